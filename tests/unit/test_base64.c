#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/base64.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    enum base64_kind kind;
    const char *bytes;
    const char *text;
} pairs[] = {
    /* RFC 4648 10 */
    {BASE64_STANDARD, "", ""},
    {BASE64_STANDARD, "f", "Zg=="},
    {BASE64_STANDARD, "fo", "Zm8="},
    {BASE64_STANDARD, "foo", "Zm9v"},
    {BASE64_STANDARD, "foob", "Zm9vYg=="},
    {BASE64_STANDARD, "fooba", "Zm9vYmE="},
    {BASE64_STANDARD, "foobar", "Zm9vYmFy"},
    {BASE64_STANDARD, "\xfb\xff\xbf", "+/+/"},
    {BASE64_URL, "\xfb\xff\xbf", "-_-_"},
    {BASE64_URL, "f", "Zg"},
    {BASE64_BARE, "f", "Zg"},
    {BASE64_BARE, "\xfb\xff\xbf", "+/+/"},
    {BASE64_URL, "fo", "Zm8"},
};

static void known_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char text[32];
        uint8_t back[32];
        size_t len = 0, text_len = base64_encode(pairs[i].kind, bytes_of(pairs[i].bytes), text, sizeof text);
        assert_string_equal(text, pairs[i].text);
        assert_int_equal((int)text_len, (int)strlen(text));
        assert_int_equal(base64_decode(pairs[i].kind, bytes_of(text), back, sizeof back, &len), OK);
        assert_int_equal((int)len, (int)strlen(pairs[i].bytes));
        assert_memory_equal(back, pairs[i].bytes, len);
    }
}

static const struct {
    const char *name;
    enum base64_kind kind;
    const char *text;
    size_t cap;
    err wanted;
} refused[] = {
    {"no padding", BASE64_STANDARD, "Zg", 9, E_INVALID},
    {"half the padding", BASE64_STANDARD, "Zg=", 9, E_INVALID},
    {"padding only", BASE64_STANDARD, "====", 9, E_INVALID},
    {"three paddings", BASE64_STANDARD, "Z===", 9, E_INVALID},
    {"padding in the middle", BASE64_STANDARD, "Zg==Zg==", 9, E_INVALID},
    {"byte after padding", BASE64_STANDARD, "Zg=v", 9, E_INVALID},
    {"bits left over, 4", BASE64_STANDARD, "Zh==", 9, E_INVALID},
    {"bits left over, 2", BASE64_STANDARD, "Zm9=", 9, E_INVALID},
    {"line feed", BASE64_STANDARD, "Zm9v\n", 9, E_INVALID},
    {"space", BASE64_STANDARD, "Zm 9", 9, E_INVALID},
    {"other alphabet", BASE64_STANDARD, "-_-_", 9, E_INVALID},
    {"other alphabet, url", BASE64_URL, "+/+/", 9, E_INVALID},
    {"padding, url", BASE64_URL, "Zg==", 9, E_INVALID},
    {"one digit, url", BASE64_URL, "Zm9vZ", 9, E_INVALID},
    {"bits left over, url", BASE64_URL, "Zh", 9, E_INVALID},
    {"padding, bare", BASE64_BARE, "Zg==", 9, E_INVALID},
    {"bits left over, bare", BASE64_BARE, "Zh", 9, E_INVALID},
    {"other alphabet, bare", BASE64_BARE, "-_-_", 9, E_INVALID},
    {"high byte", BASE64_STANDARD, "Zm9\xff", 9, E_INVALID},
    {"no room", BASE64_STANDARD, "Zm9vYg==", 3, E_RANGE},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        uint8_t out[16];
        size_t len = 0;
        err e = base64_decode(refused[i].kind, bytes_of(refused[i].text), out, refused[i].cap, &len);
        if (e != refused[i].wanted || len != 0)
            fail_msg("%s: %s", refused[i].name, err_name(e));
    }
}

static void random_bytes_return(void **state)
{
    (void)state;
    srand(2);
    for (size_t len = 0; len < 200; len++) {
        uint8_t bytes[200], back[200];
        char text[BASE64_TEXT_MAX(200)];
        size_t back_len = 0;
        enum base64_kind kind = (enum base64_kind)(len % 3);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand();
        size_t text_len = base64_encode(kind, (struct bytes){bytes, len}, text, sizeof text);
        assert_true(text_len < BASE64_TEXT_MAX(len) && len <= BASE64_BYTES_MAX(text_len));
        assert_int_equal(base64_decode(kind, bytes_of(text), back, len, &back_len), OK);
        assert_int_equal((int)back_len, (int)len);
        assert_true(len == 0 || memcmp(bytes, back, len) == 0);
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
