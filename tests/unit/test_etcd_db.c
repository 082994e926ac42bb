/* etcd_db: what is told of sound files of every shape, of every kind of damage, and that memory, steps and failing reads change
 * nothing of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/mem.h"
#include "net/format/etcd_db_inside.h"
#include "tests/support/etcd_shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a file in memory as the source --- */

static struct {
    const uint8_t *at;
    size_t bytes;
    unsigned reads, fails_at; /* from 1; 0: never */
} disk;

static err disk_read(void *arg, uint64_t at, void *into, size_t len)
{
    (void)arg;
    assert_true(at <= disk.bytes && len <= disk.bytes - at);
    if (++disk.reads == disk.fails_at)
        return E_IO;
    memcpy(into, disk.at + at, len);
    return OK;
}

static uint64_t seed;

static struct etcd_db *open_bytes(const uint8_t *at, size_t bytes, size_t memory)
{
    struct etcd_db *d = NULL;
    struct etcd_db_source source = {disk_read, NULL, bytes, seed};
    disk.at = at;
    disk.bytes = bytes;
    disk.reads = 0;
    assert_int_equal(etcd_db_open(&source, memory, &d), OK);
    return d;
}

static err run(struct etcd_db *d, unsigned pages_max)
{
    bool done = false;
    while (!done) {
        err e = etcd_db_step(d, pages_max, &done);
        if (e != OK)
            return e;
        assert_true(done ? etcd_db_permille(d) == 1000 : etcd_db_permille(d) < 1000);
    }
    return OK;
}

static struct etcd_db *verified(const struct etcd_shaped *f, size_t memory)
{
    struct etcd_db *d = open_bytes(f->f.at, f->bytes, memory);
    assert_int_equal(run(d, 100000), OK);
    return d;
}

static const char *first_finding(const struct etcd_db_status *s)
{
    return s->finding_count > 0 ? s->findings[0].text : "nothing";
}

/* --- sound files --- */

static const struct {
    const char *name;
    struct etcd_shape shape;
} sound[] = {
    {"an empty one", {.page_bytes = 4096, .keys = 1}},
    {"one record", {.page_bytes = 4096, .records = 1, .keys = 1, .value_bytes = 5}},
    {"one page of records", {.page_bytes = 4096, .records = 9, .keys = 9, .value_bytes = 20}},
    {"branches", {.page_bytes = 512, .records = 400, .keys = 150, .tombstone_every = 5, .value_bytes = 40}},
    {"branches of two", {.page_bytes = 512, .records = 400, .keys = 400, .value_bytes = 40, .branch_max = 2}},
    {"a branch that overflows", {.page_bytes = 512, .records = 900, .keys = 90, .value_bytes = 40, .branch_max = 200}},
    {"large pages", {.page_bytes = 65536, .records = 5000, .keys = 700, .tombstone_every = 3, .value_bytes = 64}},
    {"16 KiB pages", {.page_bytes = 16384, .records = 3000, .keys = 3000, .value_bytes = 64, .stored = true, .free_pages = 3}},
    {"a value over pages", {.page_bytes = 1024, .records = 40, .keys = 10, .value_bytes = 30, .big_value_bytes = 300000}},
    {"a key over pages", {.page_bytes = 512, .records = 40, .keys = 10, .value_bytes = 30, .big_key_bytes = 200001}},
    {"both", {.page_bytes = 512, .records = 9, .keys = 9, .big_value_bytes = 150000, .big_key_bytes = 70000}},
    {"tombstones only", {.page_bytes = 512, .records = 100, .keys = 100, .tombstone_every = 1}},
    {"a stored freelist", {.page_bytes = 512, .records = 90, .keys = 9, .stored = true, .free_pages = 500}},
    {"its count first", {.page_bytes = 512, .records = 90, .keys = 9, .stored = true, .free_pages = 70, .count_first = true}},
    {"an empty freelist", {.page_bytes = 512, .records = 90, .keys = 9, .stored = true}},
    {"buckets in buckets", {.page_bytes = 512, .records = 90, .keys = 9, .nested = true, .version = "3.6.0", .compacted = 42}},
    {"as deep as may be", {.page_bytes = 512, .records = 90, .keys = 9, .chain = BBOLT_DEPTH_MAX - 2}},
    {"thousands", {.page_bytes = 4096, .records = 20000, .keys = 15000, .tombstone_every = 7, .value_bytes = 16, .nested = true}},
};

static void check_sound(const char *name, const struct etcd_shape *shape, const struct etcd_shaped *f,
                        const struct etcd_db_status *s)
{
    if (!s->structure_good || !s->logic_good || s->findings_total > 0)
        fail_msg("%s: %s", name, first_finding(s));
    if (s->hash != f->hash || s->keys != f->keys || s->pairs != f->pairs || s->revision != f->revision)
        fail_msg("%s: hash %08x %08x, keys %llu %llu, pairs %llu %llu, revision %lld %lld", name, s->hash, f->hash,
                 (unsigned long long)s->keys, (unsigned long long)f->keys, (unsigned long long)s->pairs,
                 (unsigned long long)f->pairs, (long long)s->revision, (long long)f->revision);
    assert_int_equal(s->page_bytes, shape->page_bytes);
    assert_int_equal(s->db_bytes, f->bytes);
    assert_int_equal(s->txid, 100);
    assert_int_equal(s->compact_revision, shape->compacted);
    assert_string_equal(s->storage_version, shape->version ? shape->version : "");
}

static void sound_files_are_told_right(void **state)
{
    (void)state;
    static const size_t memories[] = {ETCD_DB_MEMORY_MIN, MIB(1), MIB(4)};
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        const struct etcd_shaped *f = etcd_shape_make(&sound[i].shape);
        for (size_t m = 0; m < COUNT_OF(memories); m++) {
            struct etcd_db *d = verified(f, memories[m]);
            check_sound(sound[i].name, &sound[i].shape, f, etcd_db_status(d));
            etcd_db_close(d);
        }
    }
}

static void one_page_a_step_tells_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        const struct etcd_shaped *f = etcd_shape_make(&sound[i].shape);
        struct etcd_db *d = open_bytes(f->f.at, f->bytes, ETCD_DB_MEMORY_MIN);
        assert_int_equal(run(d, 1), OK);
        check_sound(sound[i].name, &sound[i].shape, f, etcd_db_status(d));
        etcd_db_close(d);
    }
}

/* A step stays small: no more reads than pages, and of a long value no more than a window. */
static void a_step_is_bounded(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[8].shape);
    struct etcd_db *d = open_bytes(f->f.at, f->bytes, ETCD_DB_MEMORY_MIN);
    bool done = false;
    unsigned steps = 0;
    for (unsigned before = 0; !done; steps++, before = disk.reads) {
        assert_int_equal(etcd_db_step(d, 4, &done), OK);
        assert_true(disk.reads - before <= 12);
    }
    assert_true(steps > 5);
    etcd_db_close(d);
}

static void little_memory_takes_passes(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[COUNT_OF(sound) - 1].shape);
    struct etcd_db *many = verified(f, ETCD_DB_MEMORY_MIN), *one = verified(f, MIB(4));
    assert_int_equal(etcd_db_status(one)->passes, 1);
    assert_true(etcd_db_status(many)->passes >= 3 && etcd_db_status(many)->passes <= 8);
    assert_int_equal(etcd_db_status(many)->keys, f->keys);
    assert_int_equal(etcd_db_status(one)->keys, f->keys);
    etcd_db_close(many);
    etcd_db_close(one);
}

/* --- damage: one number of a page, with the metas' checksums right again --- */

enum where { AT_METAS, AT_META_1, AT_ROOT, AT_BRANCH, AT_LEAF, AT_NEXT, AT_FREELIST };
enum { HIGH = -1, LEAF_ID = -2, BRANCH_ID = -3, FREE_ID = -4, FREELIST_ID = -5, ROOT_ID = -6 }; /* instead of a number */
#define ELEMENT(i)    (16 + 16 * (i))
#define ID            0, 8
#define FLAGS         8, 2
#define COUNT         10, 2
#define OVERFLOW      12, 4
#define CHILD(i)      ELEMENT(i) + 8, 8
#define BRANCH_POS(i) ELEMENT(i), 4
#define LEAF_FLAGS(i) ELEMENT(i), 4
#define LEAF_POS(i)   ELEMENT(i) + 4, 4
#define LEAF_KSIZE(i) ELEMENT(i) + 8, 4
#define LEAF_VSIZE(i) ELEMENT(i) + 12, 4
#define META_ROOT     32, 8
#define META_FREELIST 48, 8
#define META_HIGH     56, 8
#define DATA          0x10000 /* + i: the byte within the first element's data, behind all elements */

static const struct damage {
    const char *name;
    enum where where;
    size_t at;
    unsigned bytes;
    int64_t value;
    enum etcd_db_code code;
} damages[] = {
    {"no magic", AT_METAS, 16, 4, 0, ETCD_DB_META},
    {"version 3", AT_METAS, 20, 4, 3, ETCD_DB_META},
    {"page size 1000", AT_METAS, 24, 4, 1000, ETCD_DB_META},
    {"page size 256", AT_METAS, 24, 4, 256, ETCD_DB_META},
    {"page size 2^31", AT_METAS, 24, 4, INT64_C(1) << 31, ETCD_DB_META},
    {"more pages than the file", AT_METAS, META_HIGH, 100000, ETCD_DB_META},
    {"2^60 pages", AT_METAS, META_HIGH, INT64_C(1) << 60, ETCD_DB_META},
    {"no pages", AT_METAS, META_HIGH, 0, ETCD_DB_META},
    {"the second meta says 7", AT_META_1, ID, 7, ETCD_DB_PAGE_ID},
    {"the second meta's flags", AT_META_1, FLAGS, 2, ETCD_DB_PAGE_FLAGS},
    {"the root is a meta", AT_METAS, META_ROOT, 1, ETCD_DB_CHILD_RANGE},
    {"the root beyond", AT_METAS, META_ROOT, HIGH, ETCD_DB_CHILD_RANGE},
    {"the root is a leaf of a bucket", AT_METAS, META_ROOT, LEAF_ID, ETCD_DB_BUCKET},
    {"a leaf says 2", AT_LEAF, ID, 2, ETCD_DB_PAGE_ID},
    {"a branch says 2^40", AT_BRANCH, ID, INT64_C(1) << 40, ETCD_DB_PAGE_ID},
    {"a leaf with no flag", AT_LEAF, FLAGS, 0, ETCD_DB_PAGE_FLAGS},
    {"a leaf with two", AT_LEAF, FLAGS, 3, ETCD_DB_PAGE_FLAGS},
    {"a leaf that is a freelist", AT_LEAF, FLAGS, 16, ETCD_DB_PAGE_FLAGS},
    {"a branch with none below", AT_BRANCH, COUNT, 0, ETCD_DB_PAGE_COUNT},
    {"a leaf with nothing", AT_LEAF, COUNT, 0, ETCD_DB_PAGE_COUNT},
    {"a leaf with too many", AT_LEAF, COUNT, 0xffff, ETCD_DB_PAGE_COUNT},
    {"a branch with too many", AT_BRANCH, COUNT, 0xffff, ETCD_DB_PAGE_COUNT},
    {"a leaf longer than the file", AT_LEAF, OVERFLOW, 0xffffffff, ETCD_DB_OVERFLOW},
    {"a leaf over its neighbour", AT_LEAF, OVERFLOW, 1, ETCD_DB_CHILD_TWICE},
    {"a child beyond", AT_BRANCH, CHILD(1), HIGH, ETCD_DB_CHILD_RANGE},
    {"a child that is a meta", AT_BRANCH, CHILD(1), 0, ETCD_DB_CHILD_RANGE},
    {"a child far away", AT_BRANCH, CHILD(1), INT64_MAX, ETCD_DB_CHILD_RANGE},
    {"a child twice", AT_BRANCH, CHILD(1), LEAF_ID, ETCD_DB_CHILD_TWICE},
    {"a cycle", AT_BRANCH, CHILD(0), BRANCH_ID, ETCD_DB_CHILD_TWICE},
    {"a cycle over the root", AT_BRANCH, CHILD(1), ROOT_ID, ETCD_DB_CHILD_TWICE},
    {"a child that is the freelist", AT_BRANCH, CHILD(1), FREELIST_ID, ETCD_DB_PAGE_FLAGS},
    {"a leaf's key from another page", AT_LEAF, LEAF_POS(0), 5000, ETCD_DB_ELEMENT_RANGE},
    {"a key in the elements", AT_LEAF, LEAF_POS(0), 0, ETCD_DB_ELEMENT_RANGE},
    {"a key over the one before", AT_LEAF, LEAF_POS(1), 60, ETCD_DB_ELEMENT_RANGE},
    {"a key of 4 GiB", AT_LEAF, LEAF_KSIZE(1), 0xffffffff, ETCD_DB_ELEMENT_RANGE},
    {"a value over the next key", AT_LEAF, LEAF_VSIZE(0), 80, ETCD_DB_ELEMENT_RANGE},
    {"a value of 4 GiB", AT_LEAF, LEAF_VSIZE(1), 0xffffffff, ETCD_DB_ELEMENT_RANGE},
    {"a branch's key outside", AT_BRANCH, BRANCH_POS(0), 0xffffff00, ETCD_DB_ELEMENT_RANGE},
    {"a leaf's first key lower than its parent's", AT_NEXT, DATA + 7, 1, 0, ETCD_DB_KEY_ORDER},
    {"a leaf's first key above its second", AT_LEAF, DATA + 7, 1, 0x77, ETCD_DB_KEY_ORDER},
    {"a branch's key above the ones below", AT_BRANCH, DATA + 0, 1, 0x77, ETCD_DB_KEY_ORDER},
    {"a record that is a bucket, too short", AT_ROOT, LEAF_VSIZE(0), 15, ETCD_DB_BUCKET},
    {"a key among the buckets", AT_ROOT, LEAF_FLAGS(0), 0, ETCD_DB_BUCKET},
    {"an element of flags 2", AT_LEAF, LEAF_FLAGS(0), 2, ETCD_DB_BUCKET},
    {"a freelist with a leaf's flags", AT_FREELIST, FLAGS, 2, ETCD_DB_FREELIST},
    {"a freelist of another id", AT_FREELIST, ID, 3, ETCD_DB_PAGE_ID},
    {"a freelist too long", AT_FREELIST, COUNT, 5000, ETCD_DB_FREELIST},
    {"a freelist whose first id counts", AT_FREELIST, COUNT, 0xffff, ETCD_DB_PAGE_LOST},
    {"a freelist over the end", AT_FREELIST, OVERFLOW, 9, ETCD_DB_OVERFLOW},
    {"a free meta page", AT_FREELIST, 16, 8, 1, ETCD_DB_FREELIST},
    {"a free page beyond", AT_FREELIST, 16, 8, HIGH, ETCD_DB_FREELIST},
    {"free pages out of order", AT_FREELIST, 24, 8, FREE_ID, ETCD_DB_FREELIST},
    {"a free freelist", AT_FREELIST, ELEMENT(0) + 8 * 4, 8, FREELIST_ID, ETCD_DB_FREE_IN_USE},
    {"a free leaf", AT_FREELIST, ELEMENT(0) + 8 * 4, 8, LEAF_ID, ETCD_DB_FREE_IN_USE},
    {"a lost page", AT_FREELIST, COUNT, 4, ETCD_DB_PAGE_LOST},
    {"the freelist is a leaf", AT_METAS, META_FREELIST, LEAF_ID, ETCD_DB_FREELIST},
    {"the freelist beyond", AT_METAS, META_FREELIST, HIGH, ETCD_DB_FREELIST},
    {"no bucket \"key\"", AT_ROOT, DATA + 2, 1, 'z', ETCD_DB_BUCKET_MISSING},
    {"a revision of 16 bytes", AT_LEAF, LEAF_KSIZE(3), 16, ETCD_DB_REVISION},
    {"a revision with a letter", AT_LEAF, DATA + 8, 1, 'a', ETCD_DB_REVISION},
    {"a negative revision", AT_LEAF, DATA + 9, 1, 0xff, ETCD_DB_REVISION},
    {"a record in another field", AT_LEAF, DATA + 17, 1, 0x12, ETCD_DB_RECORD},
    {"a record with a group", AT_LEAF, DATA + 17, 1, 0x0b, ETCD_DB_RECORD},
    {"a record with a key too long", AT_LEAF, DATA + 18, 1, 0x7f, ETCD_DB_RECORD},
    {"a record with no key", AT_LEAF, DATA + 18, 1, 0, ETCD_DB_RECORD},
};

static const struct etcd_shape damaged_shape = {
    .page_bytes = 512, .records = 60, .keys = 20, .value_bytes = 20, .branch_max = 40, .stored = true, .free_pages = 5};

static uint64_t page_at(const struct etcd_shaped *f, enum where where)
{
    const uint8_t *branch = f->f.at + f->key_root * f->f.page_bytes;
    const uint64_t pages[] = {[AT_METAS] = 0,
                              [AT_META_1] = 1,
                              [AT_ROOT] = f->root,
                              [AT_BRANCH] = f->key_root,
                              [AT_LEAF] = bolt_get(branch + ELEMENT(0) + 8, 8),
                              [AT_NEXT] = bolt_get(branch + ELEMENT(1) + 8, 8),
                              [AT_FREELIST] = f->freelist};
    return pages[where];
}

static uint64_t damage_value(const struct etcd_shaped *f, int64_t value)
{
    return value == HIGH          ? f->f.pages
           : value == LEAF_ID     ? page_at(f, AT_LEAF)
           : value == BRANCH_ID   ? f->key_root
           : value == FREE_ID     ? f->free_first
           : value == FREELIST_ID ? f->freelist
           : value == ROOT_ID     ? f->root
                                  : (uint64_t)value;
}

static void damage_do(const struct etcd_shaped *f, const struct damage *d)
{
    uint8_t *page = etcd_shape_page(page_at(f, d->where));
    size_t at = d->at >= DATA ? 16 + 16 * (size_t)bolt_get(page + 10, 2) + (d->at - DATA) : d->at;
    bolt_put(page + at, d->bytes, damage_value(f, d->value));
    if (d->where == AT_METAS)
        bolt_put(etcd_shape_page(1) + at, d->bytes, damage_value(f, d->value));
    bolt_seal(f->f.at, f->bytes, f->f.page_bytes);
}

static bool has_code(const struct etcd_db_status *s, enum etcd_db_code code)
{
    for (unsigned i = 0; i < s->finding_count; i++)
        if (s->findings[i].code == code && s->findings[i].text[0] != 0)
            return true;
    return false;
}

static void check_damaged(const struct damage *c, size_t memory, unsigned pages_max, bool *seen)
{
    const struct etcd_shaped *f = etcd_shape_make(&damaged_shape);
    damage_do(f, c);
    struct etcd_db *d = open_bytes(f->f.at, f->bytes, memory);
    assert_int_equal(run(d, pages_max), OK);
    const struct etcd_db_status *s = etcd_db_status(d);
    if (!has_code(s, c->code) || s->logic_good || s->structure_good != (c->code >= ETCD_DB_BUCKET_MISSING))
        fail_msg("%s: %s, not %s", c->name, first_finding(s), etcd_db_code_name(c->code));
    assert_int_equal(etcd_db_hash_kv_start(d, s->revision, 0), E_INVALID);
    seen[c->code] = true;
    etcd_db_close(d);
}

/* DEPTH needs a file of its own, below. */
static void each_damage_is_found(void **state)
{
    (void)state;
    bool seen[ETCD_DB_CODE_COUNT] = {[ETCD_DB_DEPTH] = true};
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        check_damaged(&damages[i], MIB(1), 100000, seen);
        check_damaged(&damages[i], ETCD_DB_MEMORY_MIN, 1, seen);
    }
    for (unsigned code = 0; code < ETCD_DB_CODE_COUNT; code++)
        if (!seen[code])
            fail_msg("no damage for %s", etcd_db_code_name((enum etcd_db_code)code));
}

static void too_deep_is_found(void **state)
{
    (void)state;
    struct etcd_shape shape = {.page_bytes = 512, .records = 9, .keys = 9, .chain = BBOLT_DEPTH_MAX - 1};
    struct etcd_db *d = verified(etcd_shape_make(&shape), MIB(1));
    assert_true(has_code(etcd_db_status(d), ETCD_DB_DEPTH));
    etcd_db_close(d);
}

/* The count as a 64-bit number, of which 8 times is less. */
static void a_freelist_cannot_wrap(void **state)
{
    (void)state;
    static const uint64_t counts[] = {60, 64, UINT64_C(1) << 61, (UINT64_C(1) << 61) + 3, UINT64_MAX};
    struct etcd_shape shape = damaged_shape;
    shape.count_first = true;
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const struct etcd_shaped *f = etcd_shape_make(&shape);
        bolt_put(etcd_shape_page(f->freelist) + 16, 8, counts[i]);
        struct etcd_db *d = verified(f, MIB(1));
        assert_true(has_code(etcd_db_status(d), ETCD_DB_FREELIST));
        etcd_db_close(d);
    }
}

/* --- either meta may be bad, and the older one counts when the newer is --- */

static void one_meta_is_enough(void **state)
{
    (void)state;
    for (unsigned bad = 0; bad < 2; bad++)
        for (size_t i = 3; i < 7; i++) {
            const struct etcd_shaped *f = etcd_shape_make(&sound[i].shape);
            memset(etcd_shape_page(bad) + 16, 0xA5, 64);
            struct etcd_db *d = verified(f, MIB(1));
            const struct etcd_db_status *s = etcd_db_status(d);
            if (!s->logic_good || s->txid != (bad == 0 ? 99 : 100) || s->hash != f->hash)
                fail_msg("%s without meta %u: %s", sound[i].name, bad, first_finding(s));
            etcd_db_close(d);
        }
}

static void what_is_no_database_is_told(void **state)
{
    (void)state;
    static uint8_t zeroes[8192];
    for (size_t bytes = 0; bytes <= sizeof zeroes; bytes += bytes < 200 ? 1 : 333) {
        struct etcd_db *d = open_bytes(zeroes, bytes, ETCD_DB_MEMORY_MIN);
        assert_int_equal(run(d, 10), OK);
        assert_true(has_code(etcd_db_status(d), ETCD_DB_META));
        assert_false(etcd_db_status(d)->structure_good);
        etcd_db_close(d);
    }
}

/* Cut anywhere, it is no good file, and nothing is read beyond the end (disk_read looks). */
static void a_cut_file_is_bad(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&damaged_shape);
    for (size_t bytes = 0; bytes < f->bytes; bytes += 251) {
        struct etcd_db *d = open_bytes(f->f.at, bytes, ETCD_DB_MEMORY_MIN);
        assert_int_equal(run(d, 10), OK);
        assert_false(etcd_db_status(d)->structure_good);
        etcd_db_close(d);
    }
}

static void findings_are_counted_beyond_those_kept(void **state)
{
    (void)state;
    struct etcd_shape shape = {.page_bytes = 512, .records = 200, .keys = 9, .value_bytes = 20, .branch_max = 100};
    const struct etcd_shaped *f = etcd_shape_make(&shape);
    uint8_t *branch = etcd_shape_page(f->key_root);
    size_t count = (size_t)bolt_get(branch + 10, 2);
    for (size_t i = 0; i < count; i++)
        bolt_put(branch + ELEMENT(i) + 8, 8, 1);
    struct etcd_db *d = verified(f, MIB(1));
    assert_true(count > ETCD_DB_FINDINGS_MAX);
    assert_int_equal(etcd_db_status(d)->finding_count, ETCD_DB_FINDINGS_MAX);
    assert_int_equal(etcd_db_status(d)->findings_total, count);
    etcd_db_close(d);
}

/* --- reads that fail, memory that is not there --- */

static void a_failed_read_sticks(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[15].shape);
    for (unsigned at = 1;; at++) {
        bool done = true;
        struct etcd_db *d = open_bytes(f->f.at, f->bytes, ETCD_DB_MEMORY_MIN);
        disk.fails_at = at;
        err e = run(d, 3);
        if (e == OK) {
            disk.fails_at = 0;
            assert_true(at > 10);
            etcd_db_close(d);
            return;
        }
        assert_int_equal(e, E_IO);
        assert_int_equal(etcd_db_step(d, 1000, &done), E_IO);
        assert_false(done);
        etcd_db_close(d);
    }
}

static void memory_is_refused(void **state)
{
    (void)state;
    struct etcd_db *d = NULL;
    struct etcd_db_source source = {disk_read, NULL, UINT64_C(1) << 40, 0};
    bool done = false;
    size_t before = mem_use(TASK_BACKUP).used_bytes;
    assert_int_equal(etcd_db_open(&source, ETCD_DB_MEMORY_MIN - 1, &d), E_BUDGET);
    assert_null(d);
    assert_int_equal(etcd_db_open(&source, MIB(900), &d), E_BUDGET);
    assert_null(d);
    assert_int_equal(mem_use(TASK_BACKUP).used_bytes, before);
    /* More pages than can be marked. */
    const struct etcd_shaped *f = etcd_shape_make(&damaged_shape);
    bolt_put(etcd_shape_page(0) + 56, 8, 1u << 24);
    bolt_seal(f->f.at, f->bytes, f->f.page_bytes);
    disk.at = f->f.at;
    disk.bytes = f->bytes;
    source.bytes = UINT64_C(1) << 33;
    assert_int_equal(etcd_db_open(&source, ETCD_DB_MEMORY_MIN, &d), OK);
    assert_int_equal(etcd_db_step(d, 10, &done), E_RANGE);
    etcd_db_close(d);
    etcd_db_close(NULL);
}

/* --- HashKV --- */

static void hash_kv_is_etcds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        const struct etcd_shaped *f = etcd_shape_make(&sound[i].shape);
        struct etcd_db *d = verified(f, MIB(1));
        const int64_t at[] = {sound[i].shape.compacted, f->revision / 2, f->revision - 1, f->revision};
        for (size_t n = 0; n < COUNT_OF(at); n++) {
            int64_t compacted = at[n] < sound[i].shape.compacted ? sound[i].shape.compacted : at[n];
            if (f->keys == 0 && compacted > 0)
                continue; /* etcd counts everything then; see below */
            assert_int_equal(etcd_db_hash_kv_start(d, etcd_db_status(d)->revision, compacted), OK);
            assert_int_equal(run(d, 7), OK);
            if (etcd_db_hash_kv(d) != etcd_shape_hash_kv(compacted))
                fail_msg("%s compacted at %lld: %08x, not %08x", sound[i].name, (long long)compacted, etcd_db_hash_kv(d),
                         etcd_shape_hash_kv(compacted));
        }
        etcd_db_close(d);
    }
}

static void hash_kv_of_passes_is_the_same(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[COUNT_OF(sound) - 1].shape);
    struct etcd_db *d = verified(f, KIB(256));
    uint64_t keys = etcd_db_status(d)->keys;
    assert_true(etcd_db_status(d)->passes > 1);
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision, 5000), OK);
    assert_int_equal(run(d, 1000), OK);
    assert_int_equal(etcd_db_hash_kv(d), etcd_shape_hash_kv(5000));
    etcd_db_close(d);
    seed = UINT64_C(0xfedcba9876543210);
    d = verified(f, KIB(256));
    seed = 0;
    assert_int_equal(etcd_db_status(d)->keys, keys);
    etcd_db_close(d);
}

/* Of records no memory marks, no compaction may be asked for: 0 is one, by a member that lies. */
static void hash_kv_without_marks(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[0].shape);
    struct etcd_db *d = verified(f, MIB(1));
    d->table.keeps = false;
    for (int64_t compacted = 0; compacted < 2; compacted++)
        assert_int_equal(etcd_db_hash_kv_start(d, etcd_db_status(d)->revision, etcd_db_status(d)->compact_revision + compacted),
                         E_RANGE);
    etcd_db_close(d);
}

static void hash_kv_is_refused(void **state)
{
    (void)state;
    const struct etcd_shaped *f = etcd_shape_make(&sound[15].shape);
    struct etcd_db *d = open_bytes(f->f.at, f->bytes, MIB(1));
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision, 42), E_INVALID); /* not yet verified */
    assert_int_equal(run(d, 1000), OK);
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision - 1, 42), E_INVALID);
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision + 1, 42), E_INVALID);
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision, 41), E_INVALID); /* those records are gone */
    assert_int_equal(etcd_db_hash_kv_start(d, f->revision, 42), OK);
    etcd_db_close(d);
}

static int setup(void **state)
{
    (void)state;
    if (mem_boot(&profile_hub64, MEM_LAZY) != OK)
        return -1;
    mem_set_task(TASK_BACKUP);
    return 0;
}

/* --- seeds for tests/fuzz/fuzz_etcd_db.c: a byte that says the page size, and a file --- */

static int seed_write(const char *folder, unsigned number, const struct etcd_shaped *f)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/seed-%03u", folder, number);
    FILE *out = fopen(path, "wb");
    if (out == NULL)
        return 1;
    bool written = fputc(f->f.page_bytes == 512 ? 0 : 1, out) != EOF && fwrite(f->f.at, f->bytes, 1, out) == 1;
    return fclose(out) == 0 && written ? 0 : 1;
}

static int seeds_write(const char *folder)
{
    static const struct etcd_shape shapes[] = {
        {.page_bytes = 512, .keys = 1},
        {.page_bytes = 1024, .records = 3, .keys = 2, .value_bytes = 5, .version = "3.6.0", .compacted = 2},
        {.page_bytes = 512, .records = 24, .keys = 9, .tombstone_every = 5, .value_bytes = 20, .branch_max = 3},
        {.page_bytes = 512, .records = 8, .keys = 8, .value_bytes = 9, .big_value_bytes = 1500, .big_key_bytes = 900},
        {.page_bytes = 512, .records = 12, .keys = 5, .stored = true, .free_pages = 3, .nested = true},
        {.page_bytes = 512, .records = 6, .keys = 5, .stored = true, .free_pages = 2, .count_first = true},
        {.page_bytes = 512, .records = 6, .keys = 5, .chain = 5},
    };
    int failed = 0;
    for (unsigned i = 0; i < COUNT_OF(shapes); i++)
        failed |= seed_write(folder, i, etcd_shape_make(&shapes[i]));
    for (unsigned i = 0; i < COUNT_OF(damages); i += 4) {
        const struct etcd_shaped *f = etcd_shape_make(&damaged_shape);
        damage_do(f, &damages[i]);
        failed |= seed_write(folder, 100 + i, f);
    }
    return failed;
}

int main(void)
{
    const char *seeds = getenv("SEEDS"); /* tests/fuzz/corpus/etcd_db */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_are_told_right),
        cmocka_unit_test(one_page_a_step_tells_the_same),
        cmocka_unit_test(a_step_is_bounded),
        cmocka_unit_test(little_memory_takes_passes),
        cmocka_unit_test(each_damage_is_found),
        cmocka_unit_test(too_deep_is_found),
        cmocka_unit_test(a_freelist_cannot_wrap),
        cmocka_unit_test(one_meta_is_enough),
        cmocka_unit_test(what_is_no_database_is_told),
        cmocka_unit_test(a_cut_file_is_bad),
        cmocka_unit_test(findings_are_counted_beyond_those_kept),
        cmocka_unit_test(a_failed_read_sticks),
        cmocka_unit_test(memory_is_refused),
        cmocka_unit_test(hash_kv_is_etcds),
        cmocka_unit_test(hash_kv_of_passes_is_the_same),
        cmocka_unit_test(hash_kv_without_marks),
        cmocka_unit_test(hash_kv_is_refused),
    };
    if (seeds)
        return seeds_write(seeds);
    return cmocka_run_group_tests(tests, setup, NULL);
}
