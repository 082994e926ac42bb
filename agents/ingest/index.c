/* index: open addressing with linear probing; a removal moves those behind it, so that no gap ends a search too soon. */
#include "agents/ingest/index_inside.h"

#include "net/format/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPACT_LEAST KIB(256) /* a smaller file is not worth it */
#define OPEN_MS_MAX   SECONDS(30)

void index_key(enum ingest_kind kind, struct bytes uid, uint8_t out[INDEX_KEY_BYTES])
{
    struct sha256 s;
    uint8_t number = (uint8_t)kind, digest[SHA256_BYTES];
    sha256_start(&s);
    sha256_update(&s, (struct bytes){&number, 1});
    sha256_update(&s, uid);
    sha256_finish(&s, digest);
    memcpy(out, digest, INDEX_KEY_BYTES);
}

static uint64_t hash_of(const uint8_t key[INDEX_KEY_BYTES])
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    return hash ? hash : 1;
}

/* --- open and close --- */

err index_open(const char *folder, struct lane *lane, unsigned entries, struct index **out)
{
    char path[OS_PATH_MAX];
    *out = NULL;
    struct index *x = calloc(1, sizeof *x);
    if (!x)
        return E_BUDGET;
    x->entries_max = entries;
    for (x->slot_count = 64; x->slot_count * 3 / 4 < entries; x->slot_count *= 2) {
    }
    x->slots = calloc(x->slot_count, sizeof x->slots[0]);
    x->whole = true;
    int length = snprintf(path, sizeof path, "%s/names.scratch", folder);
    err e = !x->slots ? trail(E_BUDGET, "no memory for an index of %u objects", entries) : OK;
    if (e == OK)
        e = length < 0 || (size_t)length >= sizeof path ? trail(E_RANGE, "the path of the index is too long")
                                                        : names_open(&x->names, path, lane, loop_now() + OPEN_MS_MAX);
    if (e == OK)
        *out = x;
    else {
        free(x->slots);
        free(x);
    }
    return e;
}

void index_close(struct index *x, ms deadline)
{
    if (!x)
        return;
    names_close(&x->names, deadline);
    free(x->slots);
    free(x);
}

void index_clear(struct index *x)
{
    memset(x->slots, 0, x->slot_count * sizeof x->slots[0]);
    memset(x->counts, 0, sizeof x->counts);
    x->entries = 0;
    x->whole = true;
    x->names.garbage = names_bytes(&x->names);
}

/* --- slots --- */

static size_t slot_of(const struct index *x, uint64_t hash)
{
    return hash & (x->slot_count - 1);
}

/* Its slot, or the free one where it belongs. */
static size_t find(const struct index *x, uint64_t hash)
{
    size_t i = slot_of(x, hash);
    while (x->slots[i].hash != 0 && x->slots[i].hash != hash)
        i = (i + 1) & (x->slot_count - 1);
    return i;
}

/* May what is at `from` move to the gap, without being before the slot it belongs to? */
static bool may_move(const struct index *x, size_t gap, size_t from)
{
    size_t mask = x->slot_count - 1, home = slot_of(x, x->slots[from].hash);
    return ((from - home) & mask) >= ((from - gap) & mask);
}

static void remove_slot(struct index *x, size_t gap)
{
    size_t mask = x->slot_count - 1;
    x->names.garbage += size_round_up(x->slots[gap].length, NAMES_UNIT);
    x->counts[x->slots[gap].kind]--;
    x->entries--;
    for (size_t i = (gap + 1) & mask; x->slots[i].hash != 0; i = (i + 1) & mask)
        if (may_move(x, gap, i)) {
            x->slots[gap] = x->slots[i];
            gap = i;
        }
    x->slots[gap] = (struct entry){0};
}

/* --- objects --- */

static err refuse(struct index *x, err e)
{
    x->whole = false;
    x->refused++;
    return e;
}

static err put_new(struct index *x, struct entry *slot, struct entry entry, const struct info_names *names, ms deadline)
{
    if (x->entries == x->entries_max)
        return refuse(x, E_FULL);
    if (x->names.garbage > COMPACT_LEAST && x->names.garbage > names_bytes(&x->names) / 2)
        TRY(names_compact(x, deadline));
    err e = names_add(&x->names, entry.kind, names, deadline, &entry.at, &entry.length);
    if (e != OK)
        return refuse(x, e);
    *slot = entry;
    x->entries++;
    x->counts[entry.kind]++;
    return OK;
}

err index_put(struct index *x, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], uint64_t digest,
              const struct info_names *names, ms deadline, enum index_was *was)
{
    uint64_t hash = hash_of(key);
    struct entry *slot = &x->slots[find(x, hash)];
    if (slot->hash == 0) {
        *was = INDEX_NEW;
        struct entry entry = {.hash = hash, .digest = digest, .kind = (uint8_t)kind, .seen = x->generation[kind]};
        return put_new(x, slot, entry, names, deadline);
    }
    *was = slot->digest == digest ? INDEX_SAME : INDEX_CHANGED;
    slot->digest = digest;
    slot->seen = x->generation[kind];
    return OK;
}

void index_touch(struct index *x, const uint8_t key[INDEX_KEY_BYTES])
{
    struct entry *slot = &x->slots[find(x, hash_of(key))];
    if (slot->hash != 0)
        slot->seen = x->generation[slot->kind];
}

bool index_remove(struct index *x, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES])
{
    size_t i = find(x, hash_of(key));
    (void)kind; /* it is in the key */
    if (x->slots[i].hash == 0)
        return false;
    remove_slot(x, i);
    return true;
}

/* --- lists --- */

/* A number that comes again must not be found with those that an earlier list saw, which may never have come to its end. */
void index_list_begin(struct index *x, enum ingest_kind kind)
{
    if (++x->generation[kind] != 0)
        return;
    x->generation[kind] = 1;
    for (size_t i = 0; i < x->slot_count; i++)
        if (x->slots[i].kind == kind)
            x->slots[i].seen = 0;
}

static err tell_gone(struct index *x, size_t i, index_gone *gone, void *arg, uint8_t *record, ms deadline)
{
    struct info_names names;
    enum ingest_kind kind;
    uint8_t key[INDEX_KEY_BYTES];
    TRY(names_read(&x->names, x->slots[i].at, x->slots[i].length, record, deadline, &kind, &names));
    index_key(kind, names.uid, key);
    return gone(arg, kind, key, &names);
}

err index_list_end(struct index *x, enum ingest_kind kind, index_gone *gone, void *arg, ms deadline)
{
    uint8_t *record = malloc(NAMES_RECORD_MAX);
    err e = record ? OK : E_BUDGET;
    for (size_t i = 0; e == OK && i < x->slot_count;) {
        const struct entry *s = &x->slots[i];
        if (s->hash == 0 || s->kind != kind || s->seen == x->generation[kind]) {
            i++; /* a removed one's slot is looked at again: another may have moved there */
            continue;
        }
        e = tell_gone(x, i, gone, arg, record, deadline);
        if (e == OK)
            remove_slot(x, i);
        fiber_breathe();
    }
    free(record);
    return e;
}

unsigned index_count(const struct index *x, enum ingest_kind kind)
{
    return x ? x->counts[kind] : 0;
}

bool index_is_whole(const struct index *x)
{
    return x->whole;
}

struct index_stats index_stats(const struct index *x)
{
    return (struct index_stats){.entries = x->entries,
                                .entries_max = (unsigned)x->entries_max,
                                .file_bytes = names_bytes(&x->names),
                                .garbage_bytes = x->names.garbage,
                                .refused = x->refused};
}

/* --- compaction: the old file is read from its start; a record that its slot points to is live --- */

static err copy_live(struct index *x, struct names_file *from, struct names_file *to, uint8_t *record, ms deadline)
{
    for (size_t i = 0; i < x->slot_count; i++) {
        struct entry *s = &x->slots[i];
        struct info_names names;
        enum ingest_kind kind;
        if (s->hash == 0)
            continue;
        TRY(names_read(from, s->at, s->length, record, deadline, &kind, &names));
        TRY(names_add(to, kind, &names, deadline, &s->at, &s->length));
        fiber_breathe();
    }
    return OK;
}

/* Slots point into the new file one by one: a failure leaves some pointing into a file that is gone, so all is cleared, and the
 * index is not whole: its owner makes a fresh snapshot. */
err names_compact(struct index *x, ms deadline)
{
    struct names_file fresh, old = x->names;
    char path[OS_PATH_MAX];
    uint8_t *record = malloc(NAMES_RECORD_MAX);
    if (!record)
        return refuse(x, E_BUDGET);
    (void)snprintf(path, sizeof path, "%s", old.disk->path);
    path[strlen(path) - 1] ^= 1; /* the other of two names */
    err e = names_open(&fresh, path, old.lane, deadline);
    if (e == OK) {
        e = copy_live(x, &old, &fresh, record, deadline);
        names_close(&old, deadline);
        x->names = fresh;
    }
    free(record);
    if (e == OK)
        return OK;
    index_clear(x);
    return refuse(x, e);
}
