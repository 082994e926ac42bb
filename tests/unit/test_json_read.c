/* Small JSON documents: what is read is what was written, and what is none is told with its line. */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char whole[] =
    "{\"t\":\"a\\u00e9\\\"\", \"n\":42, \"m\":-7, \"big\":9007199254740993, \"half\":1.5,\n \"yes\":true, \"no\":false, "
    "\"nil\":null, \"list\":[1,2,3], \"o\":{\"t\":\"inner\"}, \"T\":\"case\", \"t\":\"twice\"}";

static struct json *read_good(const char *text)
{
    struct json *d = NULL;
    unsigned line = 0;
    assert_int_equal(json_parse(bytes_of(text), &d, &line), OK);
    assert_non_null(d);
    return d;
}

static void values_of_every_kind(void **state)
{
    (void)state;
    char text[16];
    uint64_t u = 0;
    int64_t i = 0;
    bool b = false;
    struct json *d = read_good(whole);
    assert_true(json_to_text(json_get(d, "t"), text, sizeof text));
    assert_string_equal(text, "a\xc3\xa9\"");
    assert_true(json_to_text(json_get(d, "T"), text, sizeof text));
    assert_string_equal(text, "case");
    assert_true(json_to_text(json_get(json_get(d, "o"), "t"), text, 6));
    assert_false(json_to_text(json_get(json_get(d, "o"), "t"), text, 5));
    assert_true(json_to_u64(json_get(d, "n"), &u) && u == 42);
    assert_true(json_to_i64(json_get(d, "m"), &i) && i == -7);
    assert_false(json_to_u64(json_get(d, "m"), &u));
    assert_false(json_to_u64(json_get(d, "half"), &u));
    assert_true(json_to_bool(json_get(d, "yes"), &b) && b);
    assert_true(json_to_bool(json_get(d, "no"), &b) && !b);
    assert_false(json_to_bool(json_get(d, "n"), &b));
    json_free(d);
}

static void kinds_and_what_is_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum json_kind kind;
    } kinds[] = {{"t", JSON_TEXT},   {"n", JSON_NUMBER},   {"yes", JSON_BOOL}, {"no", JSON_BOOL},
                 {"nil", JSON_NULL}, {"list", JSON_ARRAY}, {"o", JSON_OBJECT}, {"none", JSON_ABSENT}};
    struct json *d = read_good(whole);
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (json_kind_of(json_get(d, kinds[i].key)) != kinds[i].kind)
            fail_msg("%s: kind %d", kinds[i].key, (int)json_kind_of(json_get(d, kinds[i].key)));
    assert_null(json_get(json_get(d, "n"), "t"));
    assert_null(json_next(d, NULL));
    json_free(d);
    json_free(NULL);
}

static void arrays_in_turn(void **state)
{
    (void)state;
    uint64_t sum = 0, count = 0, u = 0;
    struct json *d = read_good(" [10, 20 ,12]\n");
    for (const struct json *at = NULL; (at = json_next(d, at)); count++)
        sum += json_to_u64(at, &u) ? u : 1000;
    assert_int_equal(sum, 42);
    assert_int_equal(count, 3);
    json_free(d);
}

static const struct {
    const char *name, *text;
    unsigned line;
} wrong[] = {
    {"nothing", "", 1},
    {"space", " \n", 1},
    {"open", "{\"a\":1", 1},
    {"no value", "{\"a\":\n}", 2},
    {"no key", "{1:2}", 1},
    {"a comma more", "[1,]", 1},
    {"two values", "{}\n{}", 2},
    {"a word", "{\"a\":\ntruth}", 2},
    {"single quotes", "{'a':1}", 1},
    {"a text that does not end", "\"abc", 1},
    {"half a surrogate", "\"\\ud800\"", 1},
    {"no UTF-8", "{\"a\":\n\n\"\xff\"}", 3},
    {"too deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 1},
};

static void what_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct json *d = (struct json *)(uintptr_t)&wrong;
        unsigned line = 0;
        err e = json_parse(bytes_of(wrong[i].text), &d, &line);
        if (e != E_CORRUPT || d || line != wrong[i].line)
            fail_msg("%s: %s, line %u", wrong[i].name, err_name(e), line);
    }
}

static void every_shorter_one_is_none_either(void **state)
{
    (void)state;
    for (size_t len = 0; len + 1 < sizeof whole - 1; len++) {
        struct json *d = NULL;
        unsigned line = 0;
        char *copy = malloc(len + 1); /* so that a byte too far is seen */
        assert_non_null(copy);
        memcpy(copy, whole, len);
        assert_int_equal(json_parse((struct bytes){(const uint8_t *)copy, len}, &d, &line), E_CORRUPT);
        assert_null(d);
        free(copy);
    }
}

static void too_large(void **state)
{
    (void)state;
    struct json *d = NULL;
    unsigned line = 0;
    static char large[JSON_READ_BYTES_MAX + 1];
    memset(large, ' ', sizeof large);
    large[0] = '1';
    assert_int_equal(json_parse((struct bytes){(const uint8_t *)large, sizeof large}, &d, &line), E_RANGE);
    assert_int_equal(json_parse((struct bytes){(const uint8_t *)large, sizeof large - 1}, &d, &line), OK);
    json_free(d);
}

static void the_budget_is_no_damage(void **state)
{
    (void)state;
    struct json *d = NULL;
    unsigned line = 0;
    static char many[KIB(128)];
    memset(many, ',', sizeof many);
    for (size_t i = 1; i < sizeof many; i += 2)
        many[i] = '1';
    many[0] = '[';
    many[sizeof many - 1] = ']';
    many[sizeof many - 2] = ' ';
    many[sizeof many - 3] = '1';
    enum task before = mem_task();
    size_t used = mem_use(TASK_CONTROL).used_bytes;
    mem_set_task(TASK_CONTROL); /* 256 KiB of it, 4 MiB of values */
    err e = json_parse((struct bytes){(const uint8_t *)many, sizeof many}, &d, &line);
    mem_set_task(before);
    assert_int_equal(e, E_BUDGET);
    assert_int_equal(mem_use(TASK_CONTROL).used_bytes, used);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(kinds_and_what_is_not_there),
        cmocka_unit_test(arrays_in_turn),
        cmocka_unit_test(what_is_none),
        cmocka_unit_test(too_large),
        cmocka_unit_test(every_shorter_one_is_none_either),
        cmocka_unit_test(the_budget_is_no_damage),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
