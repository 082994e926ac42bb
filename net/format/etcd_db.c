/* The phases: metas, freelist, the first walk, further walks for distinct keys; and HashKV's, when asked for. */
#include "net/format/etcd_db_inside.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES_MIN 43       /* a leaf's element, its revision and the smallest KeyValue; bounds how many there can be */
#define RICH_BYTES       KIB(768) /* from here on the walk gets more room too */
#define TABLE_BYTES_MIN  KIB(8)

const char *etcd_db_code_name(enum etcd_db_code c)
{
    static const char *const names[ETCD_DB_CODE_COUNT] = {
#define X(id, name) [ETCD_DB_##id] = name,
        ETCD_DB_CODE_TABLE(X)
#undef X
    };
    ASSERT(c < ETCD_DB_CODE_COUNT);
    return names[c];
}

/* What a file of this size can make use of: two marks a page of the smallest size, a place in the table for every record. */
static uint64_t memory_useful(uint64_t bytes)
{
    return ETCD_DB_MEMORY_MIN + bytes / BBOLT_PAGE_MIN / 4 + bytes / RECORD_BYTES_MIN * 14;
}

err etcd_db_open(const struct etcd_db_source *source, size_t memory_bytes_max, struct etcd_db **out)
{
    uint64_t useful = memory_useful(source->bytes);
    size_t bytes = useful < memory_bytes_max ? (size_t)useful : memory_bytes_max;
    *out = NULL;
    if (memory_bytes_max < ETCD_DB_MEMORY_MIN)
        return trail(E_BUDGET, "%zu bytes to verify a database with; it takes %zu", memory_bytes_max, ETCD_DB_MEMORY_MIN);
    size_t own = size_round_up(sizeof(struct etcd_db), 16);
    struct etcd_db *d = malloc(bytes);
    if (d == NULL)
        return trail(E_BUDGET, "%zu bytes to verify a database with", bytes);
    *d = (struct etcd_db){.source = *source, .memory = (uint8_t *)d + own, .memory_bytes = (bytes - own) & ~(size_t)15};
    d->status.structure_good = d->status.logic_good = true;
    d->b.source = &d->source;
    d->b.status = &d->status;
    d->b.proving = true;
    *out = d;
    return OK;
}

/* --- dividing the memory, once the page size is known --- */

static size_t keep_bytes(const struct etcd_db *d, size_t rest)
{
    size_t all = size_round_up((size_t)(d->status.db_bytes / RECORD_BYTES_MIN / 8 + 8), 8);
    return size_min(all, rest / 4 & ~(size_t)7);
}

static err memory_divide(struct etcd_db *d)
{
    bool rich = d->memory_bytes >= RICH_BYTES;
    size_t walk = size_round_up(bbolt_memory_bytes(d->b.page_bytes, rich), 16);
    uint64_t marks = (d->b.pages + 63) / 64 * 8;
    if (2 * marks + TABLE_BYTES_MIN > d->memory_bytes - walk)
        return trail(E_RANGE, "%llu pages of a database, in %zu bytes of memory", (unsigned long long)d->b.pages,
                     d->memory_bytes);
    bbolt_memory_give(&d->b, d->memory, rich);
    uint8_t *at = d->memory + walk;
    size_t rest = d->memory_bytes - walk - 2 * (size_t)marks;
    memset(at, 0, 2 * (size_t)marks);
    d->b.reached = (uint64_t *)(void *)at;
    d->b.freed = (uint64_t *)(void *)(at + marks);
    key_table_give(&d->table, at + 2 * marks, rest & ~(size_t)7, keep_bytes(d, rest));
    return OK;
}

/* --- the phases --- */

static err end(struct etcd_db *d)
{
    struct etcd_db_status *s = &d->status;
    s->logic_good = s->logic_good && s->structure_good;
    s->keys = s->logic_good ? d->table.live : 0;
    d->phase = ETCD_DB_END;
    return OK;
}

static err metas_step(struct etcd_db *d)
{
    bool good = false;
    TRY(bbolt_metas(&d->b, &good));
    if (!good)
        return end(d);
    TRY(memory_divide(d));
    d->phase = ETCD_DB_FREE;
    return bbolt_free_start(&d->b);
}

static err free_step(struct etcd_db *d, unsigned pages_max)
{
    bool done = false;
    TRY(bbolt_free_step(&d->b, pages_max, &done));
    if (!done)
        return OK;
    d->phase = ETCD_DB_WALK;
    return bbolt_walk_start(&d->b, &etcd_db_visit_first, d, true);
}

/* Another walk for the keys that the table did not take, unless nothing is to be counted any more. */
static err pass_end(struct etcd_db *d)
{
    d->status.passes++;
    if (d->phase == ETCD_DB_KEYS && d->ordinal != d->records)
        return trail(E_CORRUPT, "the database changed while it was read");
    bool last = key_table_pass_end(&d->table);
    if (last || !d->status.structure_good || !d->status.logic_good)
        return end(d);
    d->phase = ETCD_DB_KEYS;
    d->ordinal = 0;
    return bbolt_walk_start(&d->b, &etcd_db_visit_keys, d, false);
}

static err walk_end(struct etcd_db *d)
{
    bbolt_lost_find(&d->b);
    if (!d->key_seen && d->status.structure_good) /* else it may be behind the damage */
        bbolt_found(&d->b, ETCD_DB_BUCKET_MISSING, d->b.meta.root, "there is no bucket \"key\"");
    d->status.hash = d->crc;
    d->records = d->ordinal;
    return pass_end(d);
}

static err walk_step(struct etcd_db *d, unsigned pages_max)
{
    bool done = false;
    TRY(bbolt_walk_step(&d->b, pages_max, &done));
    if (!done)
        return OK;
    if (d->phase == ETCD_DB_WALK)
        return walk_end(d);
    if (d->phase == ETCD_DB_KEYS)
        return pass_end(d);
    d->phase = ETCD_DB_HASHED;
    return d->ordinal == d->records ? OK : trail(E_CORRUPT, "the database changed while it was read");
}

static bool at_end(const struct etcd_db *d)
{
    return d->phase == ETCD_DB_END || d->phase == ETCD_DB_HASHED;
}

static err phase_step(struct etcd_db *d, unsigned pages_max)
{
    if (d->phase == ETCD_DB_METAS)
        return metas_step(d);
    return d->phase == ETCD_DB_FREE ? free_step(d, pages_max) : walk_step(d, pages_max);
}

err etcd_db_step(struct etcd_db *d, unsigned pages_max, bool *done)
{
    ASSERT(pages_max > 0);
    d->b.cost = 0;
    while (d->error == OK && !at_end(d)) {
        d->error = phase_step(d, pages_max);
        if (d->b.cost >= pages_max)
            break;
    }
    *done = d->error == OK && at_end(d);
    return d->error;
}

const struct etcd_db_status *etcd_db_status(const struct etcd_db *d)
{
    return &d->status;
}

/* --- progress --- */

static uint64_t passes_in_all(const struct etcd_db *d)
{
    const struct key_table *t = &d->table;
    uint64_t done = d->status.passes;
    if (t->below == 0)
        return done + 1;
    /* This range ends at `below`: as many again for the rest, each as wide. */
    return done + 1 + (UINT64_MAX - t->below) / (t->below - t->from);
}

unsigned etcd_db_permille(const struct etcd_db *d)
{
    if (at_end(d))
        return 1000;
    if (d->b.pages == 0)
        return 0;
    uint64_t walked = d->b.pages_walked < d->b.pages ? d->b.pages_walked : d->b.pages;
    uint64_t here = walked * 1000 / d->b.pages;
    if (d->phase == ETCD_DB_HASHING)
        return (unsigned)size_min((size_t)here, 999);
    return (unsigned)size_min((size_t)((d->status.passes * 1000 + here) / passes_in_all(d)), 999);
}

void etcd_db_close(struct etcd_db *d)
{
    free(d);
}
