/* json_pick: what it says is wrong, what fits its arena, item by item, streams of documents, and that what is not wanted is
 * nowhere but in the piece. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/base64.h"
#include "net/format/json_pick.h"
#include "net/format/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t arena[KIB(64) / 8];

static const struct pick_field item_fields[] = {{"a", PICK_SCALAR, NULL}, {"m", PICK_MAP, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field part_fields[] = {
    {"replicas", PICK_SCALAR, NULL}, {"list", PICK_LIST, item_fields}, {"names", PICK_LIST, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field fields[] = {{"kind", PICK_SCALAR, NULL},       {"spec", PICK_OBJECT, part_fields},
                                           {"items", PICK_EACH, item_fields}, {"data", PICK_KEYS, NULL},
                                           {"n", PICK_COUNT, NULL},           {"is", PICK_PRESENT, NULL},
                                           {"any", PICK_ANY, NULL},           {"end", PICK_SCALAR, NULL},
                                           {NULL, PICK_SCALAR, NULL}};

struct items {
    unsigned count, fail_at;
};

static err count_items(void *arg, const struct pick_node *item)
{
    struct items *i = arg;
    char want[24];
    (void)snprintf(want, sizeof want, "item %u", i->count++);
    if (!bytes_equal_text(pick_text_at(item, "a"), want))
        return E_PROTOCOL;
    return i->count == i->fail_at ? E_FULL : OK;
}

static err no_items(void *arg, const struct pick_node *item)
{
    (void)arg;
    (void)item;
    return OK;
}

static void reader_open(struct json_pick *p, size_t arena_bytes)
{
    json_pick_open(p, &(struct json_pick_options){fields, arena, arena_bytes, no_items, NULL});
}

static err feed_whole(struct json_pick *p, const char *text)
{
    size_t used = 0;
    bool done = false;
    err e = json_pick_feed(p, bytes_of(text), &used, &done);
    return e == OK ? json_pick_end(p) : e;
}

/* --- what is wrong, and where --- */

static const struct {
    const char *name, *text, *told;
} wrongs[] = {
    {"an object for a scalar", "{\"spec\":{\"replicas\":{}}}",
     "byte 20: spec.replicas: an object where a text, a number or a bool belongs"},
    {"a list for a scalar", "{\"kind\":[1]}", "byte 8: kind: a list where a text, a number or a bool belongs"},
    {"a text for an object", "{\"spec\":\"hidden\"}", "byte 8: spec: a text where an object belongs"},
    {"a number for a list", "{\"spec\":{\"list\":12}}", "byte 16: spec.list: a number where a list belongs"},
    {"a bool for keys", "{\"data\":true}", "byte 8: data: a bool where an object belongs"},
    {"a list for keys", "{\"data\":[]}", "byte 8: data: a list where an object belongs"},
    {"a text to be counted", "{\"n\":\"hidden\"}", "byte 5: n: a text where an object or a list belongs"},
    {"an item of another kind", "{\"spec\":{\"list\":[{},\"hidden\"]}}", "byte 20: spec.list: a text where an object belongs"},
    {"an object among scalars", "{\"spec\":{\"names\":[\"hidden\",{}]}}",
     "byte 27: spec.names: an object where a text, a number or a bool belongs"},
    {"within an item", "{\"spec\":{\"list\":[{\"m\":{}},{\"m\":{\"k\":[]}}]}}",
     "byte 36: spec.list[].m: a list where a text, a number or a bool belongs"},
    {"within each", "{\"items\":[{\"a\":false},{\"a\":[]}]}",
     "byte 27: items[].a: a list where a text, a number or a bool belongs"},
    {"the top", "[]", "byte 0: a list where an object belongs"},
    {"the top a text", " \"hidden\"", "byte 1: a text where an object belongs"},
    {"a byte order mark", "\xEF\xBB\xBF{}", "byte 0: no value begins so"},
    {"null at the top", "null", "byte 0: no value begins so"},
    {"no JSON", "{\"kind\":hidden}", "byte 8: kind: no value begins so"},
    {"no JSON where nothing is wanted", "{\"spec\":{\"x\":{\"y\":[1,}}}}", "byte 21: spec: no value begins so"},
    {"a comma missing", "{\"kind\":\"hidden\" \"x\":1}", "byte 17: neither a comma nor an end where one belongs"},
    {"a colon missing", "{\"kind\" \"hidden\"}", "byte 8: kind: no colon where one belongs"},
    {"a key missing", "{\"kind\":1,}", "byte 10: no key where one belongs"},
    {"crossed ends", "{\"any\":[{]}", "byte 9: any[]: no key where one belongs"},
    {"crossed ends 2", "{\"any\":[1}", "byte 9: any: the end of another kind of container"},
    {"a control character", "{\"kind\":\"a\n\"}", "byte 10: kind: a control character in a text"},
    {"an escape", "{\"x\":\"hidden\\q\"}", "byte 13: no such escape"},
    {"half an escape", "{\"x\":\"hidden\\u12\"}", "byte 16: no four hexadecimal digits after \\u"},
    {"no UTF-8", "{\"x\":{\"hidden\xC0\":1}}", "byte 13: no UTF-8"},
    {"cut short", "{\"spec\":{\"replicas\":1", "byte 21: spec.replicas: the input ends inside of a value"},
};

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        struct json_pick p;
        reader_open(&p, sizeof arena);
        err e = feed_whole(&p, wrongs[i].text);
        if (e != E_CORRUPT || strcmp(json_pick_wrong(&p), wrongs[i].told) != 0)
            fail_msg("%s: %s %s", wrongs[i].name, err_name(e), json_pick_wrong(&p));
        assert_int_equal(feed_whole(&p, "{}"), E_CORRUPT); /* dead until begin */
        json_pick_begin(&p);
        assert_int_equal(feed_whole(&p, "{}"), OK);
    }
}

/* --- bounds --- */

static void each_arena_that_is_too_small(void **state)
{
    (void)state;
    static const char text[] =
        "{\"kind\":\"0123456789\",\"spec\":{\"list\":[{\"a\":1,\"m\":{\"key\":\"v\",\"\\u006b\":\"w\"}}],\"names\":[1,22]},"
        "\"data\":{\"one\":1,\"two\":2},\"n\":[],\"is\":0,\"any\":[{\"x\":[1]}],\"items\":[{\"a\":\"longer than these\"}]}";
    size_t refused = 0, bytes = 0, peak = 0;
    for (err e = E_BUDGET; e == E_BUDGET; bytes += 8) {
        struct json_pick p;
        memset(arena, 0xA5, sizeof arena);
        reader_open(&p, bytes);
        e = feed_whole(&p, text);
        assert_true(e == OK || (e == E_BUDGET && strstr(json_pick_wrong(&p), "do not fit into")));
        assert_int_equal(arena[bytes / 8], 0xA5A5A5A5A5A5A5A5u);
        refused += e == E_BUDGET;
        peak = json_pick_peak(&p);
        assert_true(peak <= bytes);
    }
    assert_true(refused > 20);
    assert_true(peak + 8 > bytes - 8); /* the first that is enough is used up */
}

static void nesting(void **state)
{
    (void)state;
    static const char *const before[] = {"{\"x\":", "{\"any\":", "{\"n\":"};
    for (size_t i = 0; i < COUNT_OF(before); i++)
        for (size_t deep = PICK_DEPTH_MAX - 2; deep <= PICK_DEPTH_MAX; deep++) { /* and the top */
            char text[2 * PICK_DEPTH_MAX + 40];
            struct text t = text_over(text, sizeof text);
            struct json_pick p;
            text_add(&t, before[i]);
            for (size_t at = 0; at < 2 * deep; at++)
                text_add(&t, at < deep ? "[" : "]");
            text_add(&t, "}");
            reader_open(&p, sizeof arena);
            assert_int_equal(feed_whole(&p, text), deep < PICK_DEPTH_MAX ? OK : E_CORRUPT);
            assert_int_equal(strstr(json_pick_wrong(&p), "nested too deep") != NULL, deep == PICK_DEPTH_MAX);
        }
}

static void long_keys(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        size_t len;
        err e;
    } cases[] = {
        {"{\"data\":{\"", "\":1}}", 1024, OK}, {"{\"data\":{\"", "\":1}}", 1025, E_RANGE}, {"{\"", "\":1}", 3000, OK},
        {"{\"x\":{\"", "\":1}}", 3000, OK},    {"{\"any\":{\"", "\":1}}", 1025, E_RANGE},  {"{\"n\":{\"", "\":1}}", 3000, OK}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static char text[4000];
        struct text t = text_over(text, sizeof text);
        struct json_pick p;
        text_add(&t, cases[i].before);
        for (size_t at = 0; at < cases[i].len; at++)
            text_add(&t, "k");
        text_add(&t, cases[i].after);
        reader_open(&p, sizeof arena);
        err e = feed_whole(&p, text);
        if (e != cases[i].e)
            fail_msg("%s%zu: %s %s", cases[i].before, cases[i].len, err_name(e), json_pick_wrong(&p));
    }
}

static err feed_item(struct json_pick *p, unsigned number, bool *done)
{
    char item[200];
    size_t used = 0;
    (void)snprintf(item, sizeof item, "%s{\"x\":[{\"a\":1}],\"a\":\"item %u\",\"m\":{\"k%u\":\"v\",\"other\":\"%*d\"}}",
                   number > 0 ? "," : "", number, number, (int)(number % 50), 1);
    return json_pick_feed(p, bytes_of(item), &used, done);
}

static void items_are_forgotten(void **state)
{
    (void)state;
    struct json_pick p;
    struct items seen = {0};
    size_t used = 0;
    bool done = false;
    json_pick_open(&p, &(struct json_pick_options){fields, arena, 1024, count_items, &seen});
    assert_int_equal(json_pick_feed(&p, bytes_of("{\"kind\":\"PodList\",\"items\":["), &used, &done), OK);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(feed_item(&p, i, &done), OK);
    assert_false(done);
    assert_int_equal(json_pick_feed(&p, bytes_of("],\"end\":\"after\"}"), &used, &done), OK);
    assert_true(done);
    assert_int_equal(seen.count, 10000);
    assert_int_equal(pick_count(pick_at(json_pick_root(&p), "items")), 10000);
    assert_true(bytes_equal_text(pick_text_at(json_pick_root(&p), "kind"), "PodList"));
    assert_true(bytes_equal_text(pick_text_at(json_pick_root(&p), "end"), "after"));
    assert_true(json_pick_peak(&p) < 500);
}

static void an_item_that_is_refused(void **state)
{
    (void)state;
    struct json_pick p;
    struct items seen = {.fail_at = 2};
    json_pick_open(&p, &(struct json_pick_options){fields, arena, 1024, count_items, &seen});
    assert_int_equal(feed_whole(&p, "{\"items\":[{\"a\":\"item 0\"},{\"a\":\"item 1\"},{\"a\":\"item 2\"}]}"), E_FULL);
    assert_int_equal(seen.count, 2);
    assert_string_equal(json_pick_wrong(&p), "byte 38: items: the item: full");
}

/* --- streams --- */

static void one_document_after_the_other(void **state)
{
    (void)state;
    static const char text[] = "{\"kind\":\"one\",\"x\":\"{\"}\n{\"kind\":\"two\"} \n\n{\"end\":3}{\"kind\":\"\xC3";
    static const struct pick_field other[] = {{"end", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};
    static const char *const kinds[] = {"one", "two", ""};
    struct bytes rest = bytes_of(text);
    struct json_pick p;
    size_t used = 0;
    bool done = false;
    reader_open(&p, sizeof arena);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        assert_false(json_pick_inside(&p));
        assert_int_equal(json_pick_feed(&p, rest, &used, &done), OK);
        assert_true(done && rest.at[used - 1] == '}');
        assert_true(bytes_equal_text(pick_text_at(json_pick_root(&p), "kind"), kinds[i]));
        rest = bytes_after(rest, used);
        assert_int_equal(json_pick_feed(&p, rest, &used, &done), OK); /* nothing is taken before begin */
        assert_true(done && used == 0);
        if (i == 1)
            json_pick_fields(&p, other);
        json_pick_begin(&p);
        assert_null(json_pick_root(&p));
    }
    assert_int_equal(json_pick_feed(&p, rest, &used, &done), OK);
    assert_true(!done && used == rest.len && json_pick_inside(&p));
    assert_int_equal(json_pick_end(&p), E_CORRUPT);
}

static void numbers_and_paths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } numbers[] = {
        {"0", true, 0},       {"-0", true, 0},   {"9223372036854775807", true, INT64_MAX},  {"9223372036854775808", false, 0},
        {"-12", true, -12},   {"1.0", false, 0}, {"-9223372036854775808", true, INT64_MIN}, {"-9223372036854775809", false, 0},
        {"\"12\"", false, 0}, {"1e3", false, 0}, {"184467440737095516160", false, 0},       {"true", false, 0}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char text[80];
        int64_t value = 0;
        struct json_pick p;
        (void)snprintf(text, sizeof text, "{\"spec\":{\"replicas\":%s}}", numbers[i].text);
        reader_open(&p, sizeof arena);
        assert_int_equal(feed_whole(&p, text), OK);
        if (pick_to_i64(pick_at(json_pick_root(&p), "spec.replicas"), &value) != numbers[i].fits || value != numbers[i].value)
            fail_msg("%s", numbers[i].text);
        assert_int_equal(pick_is_true(pick_at(json_pick_root(&p), "spec.replicas")), strcmp(numbers[i].text, "true") == 0);
        assert_null(pick_at(json_pick_root(&p), "spec.replicas.x"));
        assert_null(pick_at(json_pick_root(&p), "spec.names"));
        assert_null(pick_at(json_pick_root(&p), "spe"));
    }
    int64_t value = 0;
    assert_null(pick_at(NULL, "a"));
    assert_null(pick_first(NULL));
    assert_null(pick_next(NULL));
    assert_true(pick_text(NULL).len == 0 && pick_key(NULL).len == 0 && pick_count(NULL) == 0);
    assert_false(pick_is_true(NULL) || pick_to_i64(NULL, &value));
}

/* --- nothing of what is not wanted is kept --- */

#define PLANTED "hf-planted-QmFzZTY0-0123456789abcdef-secret"
#define SMALL   KIB(4) /* of the arena */
#define PART    8      /* bytes of it that lie so in it are a finding; 15 in a row have such */

static bool holds(const void *where, size_t len, const char *what, size_t what_len)
{
    for (size_t i = 0; i + PART <= what_len; i += PART)
        if (memmem(where, len, what + i, PART))
            return true;
    return false;
}

/* It and its three alignments in base64, without the characters at the ends, which its neighbours are in, too. */
static char needles[4][100] = {PLANTED};

static void needles_make(void)
{
    for (size_t align = 0; align < 3; align++) {
        char shifted[60] = "xx";
        (void)snprintf(shifted + align, sizeof shifted - align, "%s", PLANTED);
        (void)base64_encode(BASE64_STANDARD, bytes_of(shifted), needles[align + 1], sizeof needles[0]);
    }
}

static bool holds_any(const void *where, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(needles); i++) {
        size_t edge = i > 0 ? 4 : 0;
        if (holds(where, len, needles[i] + edge, strlen(needles[i]) - 2 * edge))
            return true;
    }
    return false;
}

/* The stack below the caller's frame: as it was left, or zeroed. */
static __attribute__((noinline)) bool stack_below(bool zero)
{
    uint8_t here[KIB(12)];
    __asm__ volatile("" : "=m"(here)); /* whatever is in it */
    bool found = !zero && holds_any(here, sizeof here);
    if (zero)
        memset(here, 0, sizeof here);
    __asm__ volatile("" : : "m"(here));
    return found;
}

static __attribute__((noinline)) bool feed_cut(struct json_pick *p, struct bytes text, size_t cut)
{
    size_t used = 0;
    bool done = false;
    struct bytes first = {text.at, size_min(cut, text.len)};
    if (json_pick_feed(p, first, &used, &done) != OK)
        return false;
    return done || (json_pick_feed(p, bytes_after(text, first.len), &used, &done) == OK && done);
}

static void nothing_of_it_is_kept(unsigned kind, struct bytes text, size_t cut)
{
    struct json_pick p;
    memset(arena, 0, SMALL);
    reader_open(&p, SMALL);
    (void)stack_below(true);
    bool good = feed_cut(&p, text, cut);
    bool on_stack = stack_below(false);
    if (!good || on_stack || holds_any(&p, sizeof p) || holds_any(arena, SMALL))
        fail_msg("kernel %u, cut at %zu: %s", kind, cut, on_stack ? "on the stack" : good ? "kept" : json_pick_wrong(&p));
    assert_int_equal(pick_count(pick_at(json_pick_root(&p), "data")), 2);
}

static __attribute__((noinline)) void leave_on_stack(const char *value)
{
    char here[KIB(2)]; /* its lower end: not what the searching function itself needs */
    (void)snprintf(here, sizeof here, "%s", value);
    __asm__ volatile("" : : "m"(here));
}

/* What is wanted is kept, until it is wiped, or another document begins: so that the search is known to find. */
static void the_search_finds(const char *value)
{
    struct json_pick p;
    char text[200];
    (void)snprintf(text, sizeof text, "{\"any\":\"%s\"}", value);
    reader_open(&p, sizeof arena);
    assert_int_equal(feed_whole(&p, text), OK);
    assert_true(holds_any(arena, SMALL));
    json_pick_begin(&p);
    assert_false(holds_any(arena, SMALL));
    assert_int_equal(feed_whole(&p, text), OK);
    assert_true(holds_any(arena, SMALL));
    json_pick_wipe(&p);
    assert_false(holds_any(arena, SMALL));
    leave_on_stack(value);
    assert_true(stack_below(false));
}

static void nothing_of_values_is_kept(void **state)
{
    (void)state;
    char *text = malloc(1000);
    assert_non_null(text);
    needles_make();
    for (unsigned kind = 0; kind < JSON_SCAN_KIND_COUNT; kind++)
        for (size_t i = 0; json_scan_force((enum json_scan_kind)kind) && i < COUNT_OF(needles); i++) {
            const char *value = needles[i];
            int len =
                snprintf(text, 1000,
                         "{\"kind\":\"Secret\",\"stringData\":{\"x\":\"%s\"},\"data\":{\"k1\":\"%s\",\"k2\":{\"in\":[\"%s\",\"\\"
                         "u0041%s\"]}},\"n\":[\"%s\"],\"is\":\"%s\",\"%s\":1}",
                         value, value, value, value, value, value, value);
            assert_true(len > 0 && len < 1000);
            the_search_finds(value);
            for (size_t cut = 1 + kind; cut < (size_t)len; cut += 5)
                nothing_of_it_is_kept(kind, (struct bytes){(uint8_t *)text, (size_t)len}, cut);
        }
    free(text);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(each_arena_that_is_too_small),
        cmocka_unit_test(nesting),
        cmocka_unit_test(long_keys),
        cmocka_unit_test(items_are_forgotten),
        cmocka_unit_test(an_item_that_is_refused),
        cmocka_unit_test(one_document_after_the_other),
        cmocka_unit_test(numbers_and_paths),
        cmocka_unit_test(nothing_of_values_is_kept),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
