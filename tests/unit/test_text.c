#include "board/rt/secret.h"
#include "board/rt/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    size_t cap;
    const char *first, *second, *want;
    bool cut;
} joins[] = {
    {"empty", 8, "", "", "", false},
    {"fits", 8, "abc", "def", "abcdef", false},
    {"fits to the byte", 7, "abc", "def", "abcdef", false},
    {"one too many", 6, "abc", "def", "abcde", true},
    {"second does not start", 4, "abc", "d", "abc", true},
    {"first is cut", 3, "abc", "d", "ab", true},
    {"room for the zero only", 1, "a", "b", "", true},
    {"empty fits anywhere", 1, "", "", "", false},
};

static void text_is_cut_where_it_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(joins); i++) {
        char plain[16], formatted[16];
        memset(plain, 'x', sizeof plain);
        struct text a = text_over(plain, joins[i].cap), b = text_over(formatted, joins[i].cap);
        text_add(&a, joins[i].first);
        text_add(&a, joins[i].second);
        text_addf(&b, "%s", joins[i].first);
        text_addf(&b, "%s", joins[i].second);
        char one_by_one[16];
        struct text c = text_over(one_by_one, joins[i].cap);
        for (const char *at = joins[i].first; *at; at++)
            text_add_char(&c, *at);
        for (const char *at = joins[i].second; *at; at++)
            text_add_char(&c, *at);
        assert_string_equal(one_by_one, joins[i].want);
        assert_int_equal(c.cut, joins[i].cut);
        if (strcmp(plain, joins[i].want) != 0 || strcmp(formatted, joins[i].want) != 0 || a.cut != joins[i].cut ||
            b.cut != joins[i].cut || a.len != strlen(plain) || b.len != a.len)
            fail_msg("%s: \"%s\" and \"%s\", cut %d and %d", joins[i].name, plain, formatted, a.cut, b.cut);
        assert_int_equal(plain[joins[i].cap], 'x');
    }
}

static void text_takes_bytes_without_a_zero(void **state)
{
    (void)state;
    char out[8];
    struct text t = text_over(out, sizeof out);
    text_add_bytes(&t, (struct bytes){(const uint8_t *)"abcd", 2});
    text_add_bytes(&t, (struct bytes){NULL, 0});
    text_addf(&t, "%03d", 7);
    assert_string_equal(out, "ab007");
    assert_false(t.cut);
}

static const struct {
    const char *name, *a, *b;
    bool equal, nocase;
} pairs[] = {
    {"both empty", "", "", true, true},
    {"same", "Host", "Host", true, true},
    {"other case", "hOST", "Host", false, true},
    {"other length", "Host", "Hosts", false, false},
    {"other byte", "Host", "Hose", false, false},
    {"not letters: @ and `", "@", "`", false, false},
    {"not letters: [ and {", "[", "{", false, false},
};

static void bytes_are_compared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct bytes a = bytes_of(pairs[i].a), b = bytes_of(pairs[i].b);
        if (bytes_equal(a, b) != pairs[i].equal || bytes_equal_text(a, pairs[i].b) != pairs[i].equal ||
            bytes_equal_secret(a, b) != pairs[i].equal || bytes_equal_nocase(a, pairs[i].b) != pairs[i].nocase)
            fail_msg("%s", pairs[i].name);
    }
}

static const struct {
    const char *text;
    bool valid;
    uint64_t value;
} numbers[] = {
    {"0", true, 0},
    {"7", true, 7},
    {"007", true, 7},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x1", false, 0},
    {"1e3", false, 0},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"18446744073709551620", false, 0},
    {"99999999999999999999", false, 0},
    {"00000000000000000000001", true, 1},
};

static void numbers_are_digits_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        uint64_t out = 4711;
        bool valid = text_to_u64(bytes_of(numbers[i].text), &out);
        if (valid != numbers[i].valid || out != (valid ? numbers[i].value : 4711))
            fail_msg("\"%s\": %d", numbers[i].text, valid);
    }
}

static const struct {
    const char *name;
    uint64_t value;
    unsigned digits_min;
    size_t cap;
    const char *want;
    bool cut;
} written[] = {
    {"zero", 0, 1, 32, "0", false},
    {"zero, at least no digit", 0, 0, 32, "0", false},
    {"as many as it has", 4711, 1, 32, "4711", false},
    {"zeros before it", 7, 3, 32, "007", false},
    {"more than the least", 4711, 2, 32, "4711", false},
    {"the largest", UINT64_MAX, 20, 32, "18446744073709551615", false},
    {"fits to the byte", 123, 1, 4, "123", false},
    {"one too many", 123, 1, 3, "12", true},
};

static void numbers_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        char out[32];
        struct text t = text_over(out, written[i].cap);
        text_add_u64(&t, written[i].value, written[i].digits_min);
        if (strcmp(out, written[i].want) != 0 || t.cut != written[i].cut)
            fail_msg("%s: \"%s\", cut %d", written[i].name, out, t.cut);
    }
}

static const struct {
    int64_t epoch_s;
    const char *text;
} times[] = {
    /* by date -u -d @N +%FT%TZ */
    {0, "1970-01-01T00:00:00Z"},
    {-1, "1969-12-31T23:59:59Z"},
    {951782400, "2000-02-29T00:00:00Z"},
    {951868799, "2000-02-29T23:59:59Z"},
    {951868800, "2000-03-01T00:00:00Z"},
    {4107542399, "2100-02-28T23:59:59Z"},
    {4107542400, "2100-03-01T00:00:00Z"},
    {1795255892, "2026-11-21T10:11:32Z"},
    {253402300799, "9999-12-31T23:59:59Z"},
    {-62135596800, "0001-01-01T00:00:00Z"},
    {-62167219200, "0000-01-01T00:00:00Z"},
    {-62167219201, "-001-12-31T23:59:59Z"},
    {253402300800, "10000-01-01T00:00:00Z"},
};

static void times_are_rfc3339(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char out[TIME_TEXT_MAX];
        text_rfc3339(times[i].epoch_s, out, sizeof out);
        assert_string_equal(out, times[i].text);
    }
}

static void secrets_are_wiped(void **state)
{
    (void)state;
    uint8_t key[] = "correct horse", zero[sizeof key] = {0};
    struct secret s = {key, sizeof key};
    secret_wipe(&s);
    assert_memory_equal(key, zero, sizeof key);
    assert_int_equal(s.len, 0);
    secret_wipe(&s);
    wipe(NULL, 0);
    assert_int_equal(s.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_where_it_ends), cmocka_unit_test(text_takes_bytes_without_a_zero),
        cmocka_unit_test(bytes_are_compared),        cmocka_unit_test(numbers_are_digits_only),
        cmocka_unit_test(numbers_are_written),       cmocka_unit_test(times_are_rfc3339),
        cmocka_unit_test(secrets_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
