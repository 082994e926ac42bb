#include "tests/support/etcd_shape.h"

#include "net/format/crc32c.h"
#include "net/format/pb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t image[ETCD_SHAPE_BYTES_MAX], arena[ETCD_SHAPE_BYTES_MAX];
static size_t arena_used;
static struct bolt_entry records[ETCD_SHAPE_RECORDS_MAX];
static struct {
    int64_t main;
    unsigned key;
    bool tombstone, last; /* of its key */
} facts[ETCD_SHAPE_RECORDS_MAX];
static unsigned record_count;
static struct etcd_shaped made;

static uint8_t *arena_take(size_t bytes)
{
    uint8_t *at = arena + arena_used;
    arena_used += bytes;
    ASSERT(arena_used <= sizeof arena);
    return at;
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* --- records --- */

static struct bytes revision_bytes(int64_t main, int64_t sub, bool tombstone)
{
    uint8_t *at = arena_take(18);
    for (unsigned i = 0; i < 8; i++) {
        at[i] = (uint8_t)((uint64_t)main >> (56 - 8 * i));
        at[9 + i] = (uint8_t)((uint64_t)sub >> (56 - 8 * i));
    }
    at[8] = '_';
    at[17] = 't';
    return (struct bytes){at, tombstone ? 18 : 17};
}

static struct bytes record_value(const struct etcd_shape *s, unsigned i)
{
    size_t key_bytes = i == 6 && s->big_key_bytes > 0 ? s->big_key_bytes : 16;
    size_t value_bytes = i == 5 && s->big_value_bytes > 0 ? s->big_value_bytes : s->value_bytes;
    uint8_t *key = arena_take(key_bytes), *value = arena_take(value_bytes);
    char name[32];
    struct bytes out;
    (void)snprintf(name, sizeof name, "/registry/%06u", facts[i].key);
    memset(key, 'k', key_bytes);
    memcpy(key, name, 16);
    memset(value, 'a' + (int)(i % 26), value_bytes);
    size_t cap = key_bytes + value_bytes + 64;
    struct pb_writer w = pb_write_over(arena_take(cap), cap);
    pb_put_bytes(&w, 1, (struct bytes){key, key_bytes});
    if (!facts[i].tombstone) {
        pb_put_i64(&w, 2, facts[i].main);
        pb_put_i64(&w, 3, facts[i].main);
        pb_put_i64(&w, 4, 1);
        pb_put_bytes(&w, 5, (struct bytes){value, value_bytes});
    }
    ASSERT(pb_written(&w, &out) == OK);
    return out;
}

static void records_make(const struct etcd_shape *s)
{
    static unsigned last_of[ETCD_SHAPE_RECORDS_MAX + 1]; /* 1 + the record */
    memset(last_of, 0, sizeof last_of);
    ASSERT(s->records <= ETCD_SHAPE_RECORDS_MAX && s->keys > 0 && s->keys <= ETCD_SHAPE_RECORDS_MAX);
    record_count = s->records;
    for (unsigned i = 0; i < s->records; i++) {
        bool pair = i >= 2000;
        facts[i].main = pair ? 2002 + (int64_t)(i - 2000) / 2 : 2 + (int64_t)i;
        facts[i].key = (unsigned)((uint64_t)i * 7919 % s->keys) + (i == 6 && s->big_key_bytes > 0 ? s->keys : 0);
        facts[i].tombstone = s->tombstone_every > 0 && i % s->tombstone_every == s->tombstone_every - 1;
        facts[i].last = true;
        unsigned *last = &last_of[facts[i].key < s->keys ? facts[i].key : ETCD_SHAPE_RECORDS_MAX];
        if (*last > 0)
            facts[*last - 1].last = false;
        *last = i + 1;
        records[i] =
            (struct bolt_entry){revision_bytes(facts[i].main, pair ? i % 2 : 0, facts[i].tombstone), record_value(s, i), false};
    }
}

/* --- the hash and the counts, the naive way --- */

static void tell(struct bytes name, const struct bolt_entry *entries, size_t count)
{
    made.hash = crc32c(made.hash, name);
    made.pairs += count;
    for (size_t i = 0; i < count; i++) {
        made.hash = crc32c(made.hash, entries[i].key);
        if (!entries[i].bucket)
            made.hash = crc32c(made.hash, entries[i].value);
    }
}

static void records_tell(void)
{
    for (unsigned i = 0; i < record_count; i++) {
        made.keys += facts[i].last && !facts[i].tombstone;
        made.revision = facts[i].main;
    }
}

uint32_t etcd_shape_hash_kv(int64_t compacted)
{
    uint32_t crc = crc32c(0, text_bytes("key"));
    for (unsigned i = 0; i < record_count; i++) {
        bool kept = facts[i].last && !facts[i].tombstone;
        if ((facts[i].main <= compacted && !kept) || (facts[i].main == compacted && facts[i].tombstone))
            continue;
        crc = crc32c(crc32c(crc, records[i].key), records[i].value);
    }
    return crc;
}

/* --- buckets --- */

static struct bolt_entry bucket_entry(const char *name, const struct bolt_entry *entries, size_t count, bool inlined)
{
    uint8_t *value = arena_take(2048);
    size_t len = inlined ? bolt_inline(value, 2048, entries, count) : bolt_bucket(value, bolt_tree(&made.f, entries, count));
    return (struct bolt_entry){text_bytes(name), {value, len}, true};
}

static struct bolt_entry meta_bucket(const struct etcd_shape *s)
{
    struct bolt_entry entries[3];
    size_t n = 0;
    entries[n++] = (struct bolt_entry){text_bytes("consistent_index"), text_bytes("12345678"), false};
    if (s->compacted > 0)
        entries[n++] = (struct bolt_entry){text_bytes("finishedCompactRev"), revision_bytes(s->compacted, 0, false), false};
    if (s->version)
        entries[n++] = (struct bolt_entry){text_bytes("storageVersion"), text_bytes(s->version), false};
    tell(text_bytes("meta"), entries, n);
    return bucket_entry("meta", entries, n, true);
}

static struct bolt_entry nested_bucket(void)
{
    struct bolt_entry plain[2] = {{text_bytes("a"), text_bytes("1"), false}, {text_bytes("b"), text_bytes(""), false}};
    struct bolt_entry within[4] = {{text_bytes("first"), text_bytes("x"), false},
                                   bucket_entry("inline", plain, 2, true),
                                   bucket_entry("own", plain, 2, false),
                                   {text_bytes("zlast"), text_bytes("y"), false}};
    tell(text_bytes("nested"), within, 4);
    return bucket_entry("nested", within, 4, false);
}

/* Branches with one child each, all with the leaf's first key. */
static struct bolt_entry chain_bucket(const struct etcd_shape *s)
{
    struct bolt_entry one = {text_bytes("k"), text_bytes("v"), false};
    uint64_t page = bolt_tree(&made.f, &one, 1);
    for (unsigned i = 0; i < s->chain; i++) {
        uint64_t above = bolt_take(&made.f, 1);
        uint8_t *at = bolt_page(&made.f, above);
        bolt_put(at + 8, 2, 1);
        bolt_put(at + 10, 2, 1);
        bolt_put(at + 16, 4, 16);
        bolt_put(at + 20, 4, 1);
        bolt_put(at + 24, 8, page);
        at[32] = 'k';
        page = above;
    }
    uint8_t *value = arena_take(16);
    tell(text_bytes("chain"), &one, 1);
    return (struct bolt_entry){text_bytes("chain"), {value, bolt_bucket(value, page)}, true};
}

static struct bolt_entry key_bucket(const struct etcd_shape *s)
{
    uint8_t *value = arena_take(16);
    records_make(s);
    records_tell();
    tell(text_bytes("key"), records, s->records);
    made.key_root = bolt_tree(&made.f, records, s->records);
    return (struct bolt_entry){text_bytes("key"), {value, bolt_bucket(value, made.key_root)}, true};
}

static uint64_t freelist_make(const struct etcd_shape *s)
{
    if (!s->stored)
        return BOLT_NO_FREELIST;
    uint64_t *ids = calloc(s->free_pages + 1, sizeof *ids);
    ASSERT(ids != NULL);
    for (unsigned i = 0; i < s->free_pages; i++)
        ids[i] = made.free_first + i;
    uint64_t page = bolt_freelist(&made.f, ids, s->free_pages, s->count_first);
    free(ids);
    return page;
}

const struct etcd_shaped *etcd_shape_make(const struct etcd_shape *s)
{
    struct bolt_entry top[8];
    size_t n = 0;
    made = (struct etcd_shaped){0};
    arena_used = 0;
    record_count = 0;
    bolt_start(&made.f, image, sizeof image, s->page_bytes);
    if (s->branch_max > 0)
        made.f.branch_max = s->branch_max;
    made.free_first = s->free_pages > 0 ? bolt_take(&made.f, s->free_pages) : 0;
    if (s->chain > 0)
        top[n++] = chain_bucket(s);
    if (!s->no_key_bucket)
        top[n++] = key_bucket(s);
    tell(text_bytes("lease"), NULL, 0);
    top[n++] = bucket_entry("lease", NULL, 0, true);
    top[n++] = meta_bucket(s);
    if (s->nested)
        top[n++] = nested_bucket();
    made.root = bolt_tree(&made.f, top, n);
    made.freelist = freelist_make(s);
    made.bytes = bolt_finish(&made.f, made.root, made.freelist);
    return &made;
}

uint8_t *etcd_shape_page(uint64_t page)
{
    return bolt_page(&made.f, page);
}
