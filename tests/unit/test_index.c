/* The index of what is known, against a model on the real disk: what was told before, what is gone, slots that move, a file that
 * is compacted, names of every length. A disk that fails is tests/sim's. */
#include "tests/unit/check.h"

#include "agents/ingest/index.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON        (loop_now() + SECONDS(60))
#define KINDS       3
#define OBJECTS     40 /* of a kind */
#define ENTRIES     48 /* of 64 slots */
#define NAMES_MAX   1016
#define FILE_LEAST  KIB(256)
#define GENERATIONS 256

static char folder[] = "/tmp/test_index-XXXXXX";
static struct lane lane;

static struct index *opened(unsigned entries)
{
    struct index *x = NULL;
    char why[300];
    if (!lane.open)
        lane_open(&lane, "index", TASK_BOARD, 2);
    err e = index_open(folder, &lane, entries, &x);
    if (e != OK)
        print_error("%s\n", trail_text(e, why, sizeof why));
    CHECK(e == OK);
    return x;
}

static err loop_body(void *arg)
{
    err e = ((err(*)(void))(uintptr_t)arg)();
    lane_close(&lane);
    return e;
}

static void in_loop(err (*body)(void))
{
    fibers_run(loop_body, (void *)(uintptr_t)body, OK);
}

/* --- keys --- */

static const struct key_case {
    const char *name;
    unsigned kind;
    const char *uid, *hex; /* sha256sum of the number's byte and the uid, its beginning */
} key_cases[] = {
    {"nothing", 0, "", "6e340b9cffb37a989ca544e6bb780a2c"},
    {"of the first kind", 0, "uid-1", "ccd35cf58857798ba9c0841efe7f1ab3"},
    {"the same uid of another kind", 1, "uid-1", "b15400f3f5116bd5255dc8f550d10dc0"},
    {"of the last kind", 19, "0b0e3c56-8a0d-4cf1-9a1f-7a2f1f0c9d11", "4a5a7f94324d9b2f3c50d319d9557b38"},
};

static void a_key(void **state)
{
    const struct key_case *c = *state;
    uint8_t key[INDEX_KEY_BYTES];
    char hex[2 * INDEX_KEY_BYTES + 1];
    index_key((enum ingest_kind)c->kind, bytes_of(c->uid), key);
    for (size_t i = 0; i < sizeof key; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", key[i]);
    assert_string_equal(hex, c->hex);
}

/* --- objects: their names follow from their numbers --- */

struct object {
    char uid[NAMES_MAX + 1];
    struct info_names names;
    uint8_t key[INDEX_KEY_BYTES];
};

/* homes: in how many slots they begin; 0: as their digests say. Few homes before the table's end: long runs around it. */
static void object_make(struct object *o, unsigned kind, unsigned n, unsigned homes)
{
    static const char padding[] = "................................................................";
    int length = snprintf(o->uid, sizeof o->uid, "uid-%u-%u;%.*s", kind, n, (int)(n * 7 % sizeof padding), padding);
    o->names = (struct info_names){.uid = {(const uint8_t *)o->uid, (size_t)length},
                                   .name_space = bytes_of(n % 3 ? "kube-system" : ""),
                                   .name = {(const uint8_t *)o->uid + 4, (size_t)length - 4}};
    index_key((enum ingest_kind)kind, o->names.uid, o->key);
    uint64_t hash = 64 - homes + n % (homes ? homes : 1) + ((uint64_t)(kind * OBJECTS + n + 1) << 32);
    if (homes)
        memcpy(o->key, &hash, sizeof hash);
}

static err put(struct index *x, unsigned kind, unsigned n, unsigned homes, uint64_t digest, enum index_was *was)
{
    struct object o;
    object_make(&o, kind, n, homes);
    return index_put(x, (enum ingest_kind)kind, o.key, digest, &o.names, SOON, was);
}

static bool take_away(struct index *x, unsigned kind, unsigned n, unsigned homes)
{
    struct object o;
    object_make(&o, kind, n, homes);
    return index_remove(x, (enum ingest_kind)kind, o.key);
}

/* --- the model --- */

static struct model {
    unsigned homes, count[KINDS], all;
    uint64_t digest[KINDS][OBJECTS]; /* 0: not in it */
    bool seen[KINDS][OBJECTS];
    unsigned gone, fail_after; /* of the list that ends now */
    uint32_t dice;
} m;

static unsigned draw(unsigned below)
{
    m.dice = m.dice * 1664525u + 1013904223u; /* Numerical Recipes' */
    return (m.dice >> 16) % below;
}

static void model_put(struct index *x, unsigned kind, unsigned n)
{
    uint64_t digest = 1 + draw(2), before = m.digest[kind][n];
    enum index_was was = INDEX_SAME;
    err e = put(x, kind, n, m.homes, digest, &was);
    if (before == 0 && m.all == ENTRIES) {
        CHECK(e == E_FULL && was == INDEX_NEW && !index_is_whole(x));
        return;
    }
    CHECK(e == OK);
    CHECK(was == (before == 0 ? INDEX_NEW : before == digest ? INDEX_SAME : INDEX_CHANGED));
    m.count[kind] += before == 0;
    m.all += before == 0;
    m.digest[kind][n] = digest;
    m.seen[kind][n] = true;
}

static void model_forget(unsigned kind, unsigned n)
{
    m.digest[kind][n] = 0;
    m.count[kind]--;
    m.all--;
}

static void model_remove(struct index *x, unsigned kind, unsigned n)
{
    bool there = m.digest[kind][n] != 0;
    CHECK(take_away(x, kind, n, m.homes) == there);
    if (there)
        model_forget(kind, n);
}

static err take_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    unsigned n = OBJECTS, of = KINDS;
    struct object o;
    uint8_t digest[INDEX_KEY_BYTES];
    (void)arg;
    if (m.gone++ == m.fail_after)
        return E_AGAIN;
    CHECK(names->uid.len < 100 && sscanf((const char *)names->uid.at, "uid-%u-%u", &of, &n) == 2);
    if (of >= KINDS || n >= OBJECTS)
        return E_INVALID;
    object_make(&o, of, n, m.homes);
    index_key(kind, o.names.uid, digest);
    CHECK(of == kind && memcmp(key, digest, sizeof digest) == 0);
    CHECK(bytes_equal(names->uid, o.names.uid) && bytes_equal(names->name, o.names.name));
    CHECK(bytes_equal(names->name_space, o.names.name_space) && names->resource_version.len == 0);
    CHECK(m.digest[of][n] != 0 && !m.seen[of][n]);
    model_forget(of, n);
    return OK;
}

static unsigned unseen(unsigned kind)
{
    unsigned count = 0;
    for (unsigned n = 0; n < OBJECTS; n++)
        count += m.digest[kind][n] != 0 && !m.seen[kind][n];
    return count;
}

static void list_ends(struct index *x, unsigned kind)
{
    m.gone = 0;
    m.fail_after = draw(4) ? UINT32_MAX : draw(6);
    unsigned missing = unseen(kind);
    err e = index_list_end(x, (enum ingest_kind)kind, take_gone, NULL, SOON);
    CHECK(e == (m.fail_after < missing ? E_AGAIN : OK));
    m.fail_after = UINT32_MAX;
    if (e == E_AGAIN) /* what was not told yet stayed */
        CHECK(index_list_end(x, (enum ingest_kind)kind, take_gone, NULL, SOON) == OK);
    CHECK(unseen(kind) == 0);
}

static void model_list(struct index *x, unsigned kind)
{
    memset(m.seen[kind], 0, sizeof m.seen[kind]);
    index_list_begin(x, (enum ingest_kind)kind);
    unsigned from = draw(OBJECTS), count = draw(OBJECTS);
    for (unsigned i = 0; i < count; i++)
        model_put(x, kind, (from + i) % OBJECTS);
    if (draw(8)) /* else it did not come to its end, and begins again some time */
        list_ends(x, kind);
}

static void model_agrees(struct index *x)
{
    struct index_stats s = index_stats(x);
    for (unsigned kind = 0; kind < KINDS; kind++)
        CHECK(index_count(x, (enum ingest_kind)kind) == m.count[kind]);
    CHECK(s.entries == m.all && s.entries_max == ENTRIES && s.garbage_bytes <= s.file_bytes);
}

static void turn(struct index *x)
{
    unsigned what = draw(100), kind = draw(KINDS), n = draw(OBJECTS);
    if (what < 50)
        model_put(x, kind, n);
    else if (what < 90)
        model_remove(x, kind, n);
    else if (what < 99)
        model_list(x, kind);
    else {
        index_clear(x);
        m = (struct model){.homes = m.homes, .dice = m.dice, .fail_after = UINT32_MAX};
        CHECK(index_is_whole(x));
    }
    model_agrees(x);
}

static err against_a_model(void)
{
    struct index *x = opened(ENTRIES);
    for (unsigned i = 0; x && i < 6000 && checks_failed == 0; i++)
        turn(x);
    index_close(x, SOON);
    return OK;
}

static const struct model_case {
    const char *name;
    unsigned homes, dice;
} model_cases[] = {
    {"a model: one run around the end of the table", 1, 1},
    {"a model: three of them", 3, 2},
    {"a model: half of the table", 32, 3},
    {"a model: anywhere", 64, 4},
    {"a model: by their digests", 0, 5},
};

static void a_model(void **state)
{
    const struct model_case *c = *state;
    m = (struct model){.homes = c->homes, .dice = c->dice, .fail_after = UINT32_MAX};
    in_loop(against_a_model);
}

/* --- bounds --- */

static err a_full_one(void)
{
    struct index *x = opened(ENTRIES);
    enum index_was was = INDEX_SAME;
    for (unsigned n = 0; n < ENTRIES; n++)
        CHECK(put(x, n / OBJECTS, n % OBJECTS, 0, 1, &was) == OK && was == INDEX_NEW);
    CHECK(index_is_whole(x));
    CHECK(put(x, 2, 0, 0, 1, &was) == E_FULL && was == INDEX_NEW && !index_is_whole(x));
    CHECK(put(x, 0, 0, 0, 2, &was) == OK && was == INDEX_CHANGED); /* what is in it goes on */
    CHECK(index_stats(x).refused == 1 && index_stats(x).entries == ENTRIES);
    CHECK(take_away(x, 0, 0, 0) && put(x, 2, 0, 0, 1, &was) == OK && was == INDEX_NEW);
    CHECK(!index_is_whole(x)); /* another may still be missing */
    index_clear(x);
    CHECK(index_is_whole(x) && index_stats(x).entries == 0 && index_count(x, 0) == 0 && !take_away(x, 2, 0, 0));
    CHECK(put(x, 2, 0, 0, 1, &was) == OK && was == INDEX_NEW);
    index_close(x, SOON);
    index_close(NULL, SOON);
    return OK;
}

static err a_hash_of_zero(void)
{
    struct index *x = opened(ENTRIES);
    enum index_was was = INDEX_SAME;
    uint8_t zero[INDEX_KEY_BYTES] = {0};
    struct info_names names = {.uid = bytes_of("u"), .name = bytes_of("n")};
    CHECK(!index_remove(x, INGEST_POD, zero));
    CHECK(index_put(x, INGEST_POD, zero, 1, &names, SOON, &was) == OK && was == INDEX_NEW);
    CHECK(index_put(x, INGEST_POD, zero, 1, &names, SOON, &was) == OK && was == INDEX_SAME);
    CHECK(index_count(x, INGEST_POD) == 1 && index_remove(x, INGEST_POD, zero) && index_count(x, INGEST_POD) == 0);
    index_close(x, SOON);
    return OK;
}

static err nothing_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    (void)kind;
    (void)key;
    (void)names;
    ++*(unsigned *)arg;
    return OK;
}

/* An API server that fails in the middle of its lists for hours: what an old list had is not taken for seen. */
static err lists_without_an_end(void)
{
    enum index_was was = INDEX_SAME;
    for (unsigned lists = GENERATIONS - 2; lists <= GENERATIONS + 2; lists++) {
        struct index *x = opened(ENTRIES);
        unsigned gone = 0;
        index_list_begin(x, 0);
        CHECK(put(x, 0, 1, 0, 1, &was) == OK);
        for (unsigned i = 0; i < lists; i++)
            index_list_begin(x, 0);
        CHECK(put(x, 0, 2, 0, 1, &was) == OK && put(x, 1, 1, 0, 1, &was) == OK);
        CHECK(index_list_end(x, 0, nothing_gone, &gone, SOON) == OK);
        CHECK(gone == 1 && index_count(x, 0) == 1 && index_count(x, 1) == 1);
        index_close(x, SOON);
    }
    return OK;
}

/* --- names --- */

static struct lengths {
    unsigned uid, name_space, name;
} wanted;

static err the_same_names(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    const char *text = arg;
    struct bytes uid = {(const uint8_t *)text, wanted.uid}, space = {(const uint8_t *)text + 1, wanted.name_space},
                 name = {(const uint8_t *)text + 2, wanted.name};
    CHECK(kind == INGEST_SECRET && key != NULL);
    CHECK(bytes_equal(names->uid, uid) && bytes_equal(names->name_space, space) && bytes_equal(names->name, name));
    return OK;
}

/* One object of these lengths, which then is not listed. */
static void one_length(struct index *x, char *text, unsigned uid, unsigned name_space, unsigned name)
{
    enum index_was was = INDEX_SAME;
    uint8_t key[INDEX_KEY_BYTES] = {1};
    wanted = (struct lengths){uid, name_space, name};
    struct info_names names = {.uid = {(const uint8_t *)text, uid},
                               .name_space = {(const uint8_t *)text + 1, name_space},
                               .name = {(const uint8_t *)text + 2, name}};
    bool fits = uid + name_space + name <= NAMES_MAX;
    CHECK(index_put(x, INGEST_SECRET, key, 1, &names, SOON, &was) == (fits ? OK : E_RANGE) && was == INDEX_NEW);
    CHECK(index_count(x, INGEST_SECRET) == fits && index_is_whole(x) == fits);
    index_list_begin(x, INGEST_SECRET);
    CHECK(index_list_end(x, INGEST_SECRET, the_same_names, text, SOON) == OK && index_count(x, INGEST_SECRET) == 0);
}

static err names_of_every_length(void)
{
    char *text = malloc(2 * NAMES_MAX);
    struct index *x = opened(ENTRIES);
    for (unsigned i = 0; i < 2 * NAMES_MAX; i++)
        text[i] = (char)('a' + i % 23);
    for (unsigned n = 0; n <= NAMES_MAX && checks_failed == 0; n++) {
        one_length(x, text, n / 3, n / 2 - n / 3, n - n / 2);
        if (n % 127 == 0) {
            one_length(x, text, n, 0, 0);
            one_length(x, text, 0, n, 0);
            one_length(x, text, 0, 0, n);
        }
    }
    one_length(x, text, 300, 300, NAMES_MAX - 599);
    index_close(x, SOON);
    free(text);
    return OK;
}

static err take_all_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    return take_gone(arg, kind, key, names);
}

/* Objects come and go for long: the file is short, and what is there has its names. */
static err the_file_stays_short(void)
{
    struct index *x = opened(ENTRIES);
    uint64_t peak = 0, turned = 0, before = 0;
    enum index_was was;
    for (unsigned n = 0; n < 5; n++)
        model_put(x, 0, n);
    for (unsigned i = 0; i < 20000 && checks_failed == 0; i++) {
        CHECK(put(x, 1, i % OBJECTS, 0, 1, &was) == OK && take_away(x, 1, i % OBJECTS, 0));
        uint64_t now = index_stats(x).file_bytes;
        turned += now < before;
        before = now;
        peak = now > peak ? now : peak;
    }
    CHECK(turned >= 2 && peak > FILE_LEAST && peak < FILE_LEAST + KIB(16));
    memset(m.seen, 0, sizeof m.seen);
    index_list_begin(x, 0);
    CHECK(index_list_end(x, 0, take_all_gone, NULL, SOON) == OK && m.gone == 5 && m.all == 0);
    CHECK(index_is_whole(x));
    index_close(x, SOON);
    return OK;
}

/* --- */

static void full(void **state)
{
    (void)state;
    in_loop(a_full_one);
}

static void zero(void **state)
{
    (void)state;
    in_loop(a_hash_of_zero);
}

static void endless(void **state)
{
    (void)state;
    in_loop(lists_without_an_end);
}

static void every_length(void **state)
{
    (void)state;
    in_loop(names_of_every_length);
}

static void compaction(void **state)
{
    (void)state;
    m = (struct model){.dice = 9, .fail_after = UINT32_MAX};
    in_loop(the_file_stays_short);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* The file was removed at each close. */
static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(key_cases) + COUNT_OF(model_cases) + 5];
    size_t count = 0;
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    for (size_t i = 0; i < COUNT_OF(key_cases); i++)
        tests[count++] = (struct CMUnitTest){key_cases[i].name, a_key, NULL, NULL, (void *)(uintptr_t)&key_cases[i]};
    for (size_t i = 0; i < COUNT_OF(model_cases); i++)
        tests[count++] = (struct CMUnitTest){model_cases[i].name, a_model, NULL, NULL, (void *)(uintptr_t)&model_cases[i]};
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(full);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(zero);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(endless);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_length);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(compaction);
    return _cmocka_run_group_tests("index", tests, count, setup, teardown);
}
