#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/hex.h"

#include <string.h>

static const struct {
    const char *name, *text;
    size_t cap;
    err wanted;
    const char *bytes;
    size_t len;
} cases[] = {
    {"empty", "", 0, OK, "", 0},
    {"both cases", "00fFaB", 3, OK, "\x00\xff\xab", 3},
    {"odd", "0", 3, E_INVALID, "", 0},
    {"not a digit", "0g", 3, E_INVALID, "", 0},
    {"before 0", "/0", 3, E_INVALID, "", 0},
    {"behind 9", "0:", 3, E_INVALID, "", 0},
    {"before A", "@0", 3, E_INVALID, "", 0},
    {"before a", "0`", 3, E_INVALID, "", 0},
    {"0x", "0x", 3, E_INVALID, "", 0},
    {"too long", "0011", 1, E_RANGE, "", 0},
};

static void decodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t out[8] = {0};
        size_t len = 99;
        err e = hex_decode(bytes_of(cases[i].text), out, cases[i].cap, &len);
        if (e != cases[i].wanted || len != cases[i].len || memcmp(out, cases[i].bytes, len) != 0)
            fail_msg("%s: %s, %zu bytes", cases[i].name, err_name(e), len);
    }
}

static void every_byte_returns(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b, back = (uint8_t)~b;
        size_t len = 0;
        char text[HEX_TEXT_MAX(1)];
        assert_int_equal(hex_decode(bytes_of(hex_encode((struct bytes){&byte, 1}, text, sizeof text)), &back, 1, &len), OK);
        assert_int_equal(back, byte);
        assert_int_equal((int)strlen(text), 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes), cmocka_unit_test(every_byte_returns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
