#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/json_write.h"

#include <string.h>

static const struct {
    const char *name, *value;
    size_t len;
    const char *wanted;
} strings[] = {
    {"plain", "abc", 3, "\"abc\""},
    {"empty", "", 0, "\"\""},
    {"quote and backslash", "\"\\/", 3, "\"\\\"\\\\/\""},
    {"short escapes", "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
    {"other controls", "\x00\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\""},
    {"two to four bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8a", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8a\""},
    {"lone byte", "a\xffz", 3, "\"a\xef\xbf\xbdz\""},
    {"cut character", "\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"surrogate", "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"overlong", "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
};

static void escapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        char out[64];
        struct text t = text_over(out, sizeof out);
        struct json_writer w = json_write_to(&t);
        json_bytes(&w, (struct bytes){(const uint8_t *)strings[i].value, strings[i].len});
        if (strcmp(out, strings[i].wanted) != 0 || !json_done(&w))
            fail_msg("%s: %s", strings[i].name, out);
    }
}

static void write_sample(struct json_writer *w)
{
    json_object(w);
    json_put_u64(w, "u", UINT64_MAX);
    json_put_i64(w, "i", INT64_MIN);
    json_put_bool(w, "b", true);
    json_put_text(w, "t", "x");
    json_put_text(w, "n\"", NULL);
    json_key(w, "a");
    json_array(w);
    json_array(w);
    json_array_end(w);
    json_object(w);
    json_object_end(w);
    json_bool(w, false);
    json_null(w);
    json_array_end(w);
    json_key(w, "o");
    json_object(w);
    json_put_u64(w, "k", 0);
    json_object_end(w);
    json_object_end(w);
}

static const char sample[] = "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"b\":true,\"t\":\"x\",\"n\\\"\":null,"
                             "\"a\":[[],{},false,null],\"o\":{\"k\":0}}";

static void nests(void **state)
{
    (void)state;
    char out[256];
    struct text t = text_over(out, sizeof out);
    struct json_writer w = json_write_to(&t);
    assert_false(json_done(&w));
    write_sample(&w);
    assert_true(json_done(&w));
    assert_string_equal(out, sample);
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    for (size_t cap = 1; cap <= sizeof sample; cap++) {
        char out[sizeof sample];
        struct text t = text_over(out, cap);
        struct json_writer w = json_write_to(&t);
        write_sample(&w);
        assert_int_equal(json_done(&w), cap == sizeof sample);
        assert_true(strlen(out) < cap);
        assert_memory_equal(out, sample, strlen(out));
    }
}

static void deepest(void **state)
{
    (void)state;
    char out[256], wanted[2 * JSON_DEPTH_MAX + 1] = {0};
    struct text t = text_over(out, sizeof out);
    struct json_writer w = json_write_to(&t);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        json_array(&w);
        wanted[i] = '[';
        wanted[2 * JSON_DEPTH_MAX - 1 - i] = ']';
    }
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_end(&w);
    assert_true(json_done(&w));
    assert_string_equal(out, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes),
        cmocka_unit_test(nests),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(deepest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
