#include "board/rt/text.h"
#include "board/rt/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *name, *text;
    size_t length;
} chars[] = {
    {"empty", "", 0},
    {"ascii", "ab", 1},
    {"two bytes", "\xC3\xA9x", 2},
    {"three bytes", "\xE2\x82\xAC", 3},
    {"four bytes", "\xF0\x9F\x90\x9A", 4},
    {"overlong slash", "\xC0\xAF", 0},
    {"overlong of three", "\xE0\x80\xAF", 0},
    {"overlong of four", "\xF0\x80\x80\xAF", 0},
    {"surrogate", "\xED\xA0\x80", 0},
    {"last before surrogates", "\xED\x9F\xBF", 3},
    {"above U+10FFFF", "\xF4\x90\x80\x80", 0},
    {"U+10FFFF", "\xF4\x8F\xBF\xBF", 4},
    {"continuation alone", "\x80", 0},
    {"cut short", "\xE2\x82", 0},
    {"bad third byte",
     "\xE2\x82"
     "A",
     0},
    {"no such first byte", "\xFF", 0},
};

static void test_char(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(chars); i++)
        if (utf8_char(bytes_of(chars[i].text)) != chars[i].length)
            fail_msg("%s: %zu", chars[i].name, utf8_char(bytes_of(chars[i].text)));
}

static const struct {
    const char *name, *text;
    size_t at_most, len;
} cuts[] = {
    {"fits", "abc", 3, 3},
    {"between", "abc", 2, 2},
    {"whole character kept", "a\xC3\xA9z", 3, 3},
    {"inside two", "a\xC3\xA9", 2, 1},
    {"inside four, one in", "\xF0\x9F\x90\x9A", 1, 0},
    {"inside four, three in", "ab\xF0\x9F\x90\x9A", 5, 2},
    {"junk is cut anywhere", "\x80\x80\x80\x80\x80\x80", 4, 4},
    {"nothing", "abc", 0, 0},
};

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cuts); i++)
        if (utf8_cut(bytes_of(cuts[i].text), cuts[i].at_most) != cuts[i].len)
            fail_msg("%s: %zu", cuts[i].name, utf8_cut(bytes_of(cuts[i].text), cuts[i].at_most));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_char), cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
