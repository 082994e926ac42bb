#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/bech32.h"
#include "net/format/hex.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text, *prefix, *hex;
} pairs[] = {
    /* BIP 173, Test vectors */
    {"no data", "a12uel5l", "a", ""},
    {"no data, upper case", "A12UEL5L", "A", ""},
    {"a 1 in the prefix", "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
     "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio", ""},
    {"every digit", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", "00443214c74254b635cf84653a56d7c675be77df"},
    {"all zeroes", "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j", "1",
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"},
    {"odd number of digits", "?1ezyfcl", "?", ""},
    /* age's specification: the identity of 32 times 0x42, and its recipient */
    {"identity", "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX", "AGE-SECRET-KEY-",
     "4242424242424242424242424242424242424242424242424242424242424242"},
};

static void known_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        uint8_t want[64], got[64];
        char again[BECH32_TEXT_MAX], folded[BECH32_TEXT_MAX];
        struct bytes prefix;
        size_t want_len = 0, len = 0;
        assert_int_equal(hex_decode(bytes_of(pairs[i].hex), want, sizeof want, &want_len), OK);
        err e = bech32_decode(bytes_of(pairs[i].text), &prefix, got, sizeof got, &len);
        if (e != OK || !bytes_equal_text(prefix, pairs[i].prefix) || len != want_len || memcmp(got, want, len) != 0)
            fail_msg("%s: %s, %zu bytes", pairs[i].name, err_name(e), len);
        bech32_encode(pairs[i].prefix, (struct bytes){got, len}, again, sizeof again);
        for (size_t c = 0; c <= strlen(again); c++)
            folded[c] = pairs[i].text[c];
        assert_true(bytes_equal_nocase(bytes_of(again), folded));
    }
}

static const struct {
    const char *name, *text;
    err want;
} refused[] = {
    {"empty", "", E_INVALID},
    {"no separator", "pzry9x0s0muk", E_INVALID},
    {"empty prefix", "1pzry9x0s0muk", E_INVALID},
    {"no digit of data", "x1b4n0q5v", E_INVALID},
    {"checksum too short", "li1dgmt3", E_INVALID},
    {"space in the prefix", " 1nwldj5", E_INVALID},
    {"byte above 126",
     "\x7f"
     "1axkwrx",
     E_INVALID},
    {"checksum of upper case", "A1G7SGD8", E_CORRUPT},
    {"empty prefix, 10", "10a06t8", E_INVALID},
    {"empty prefix, qzzfhee", "1qzzfhee", E_INVALID},
    {"mixed case", "A12uEL5L", E_INVALID},
    {"mixed case in the prefix", "aA12uel5l", E_INVALID},
    {"one digit changed", "a12uel5q", E_CORRUPT},
    {"two digits swapped", "a12eul5l", E_CORRUPT},
    {"prefix changed", "b12uel5l", E_CORRUPT},
    {"newline", "a12uel5l\n", E_INVALID},
    {"bits left over that are not zero", "age1qpu0j2ex", E_INVALID},
    {"a digit that is no byte", "age1qdd35qf", E_INVALID},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        uint8_t out[64];
        struct bytes prefix;
        size_t len = 1;
        err e = bech32_decode(bytes_of(refused[i].text), &prefix, out, sizeof out, &len);
        if (e != refused[i].want || len != 0)
            fail_msg("%s: %s", refused[i].name, err_name(e));
    }
}

static void random_bytes_return(void **state)
{
    (void)state;
    srand(3);
    for (size_t len = 0; len <= 64; len++) {
        uint8_t bytes[64], back[64];
        char text[BECH32_TEXT_MAX];
        struct bytes prefix;
        size_t back_len = 0;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand();
        bech32_encode("age", (struct bytes){bytes, len}, text, sizeof text);
        assert_int_equal(bech32_decode(bytes_of(text), &prefix, back, len, &back_len), OK);
        assert_int_equal(back_len, len);
        assert_true(len == 0 || memcmp(bytes, back, len) == 0);
        assert_true(bytes_equal_text(prefix, "age"));
        if (len > 0)
            assert_int_equal(bech32_decode(bytes_of(text), &prefix, back, len - 1, &back_len), E_RANGE);
        /* BIP 173: up to four wrong characters are always found. */
        size_t at = 4 + (size_t)rand() % (strlen(text) - 4);
        text[at] = text[at] == 'q' ? 'p' : 'q';
        assert_int_equal(bech32_decode(bytes_of(text), &prefix, back, sizeof back, &back_len), E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_pairs),
        cmocka_unit_test(refuses),
        cmocka_unit_test(random_bytes_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
