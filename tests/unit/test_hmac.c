#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/hex.h"
#include "net/format/hmac.h"

#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <stdlib.h>
#include <string.h>

static struct bytes unhex(const char *text, uint8_t *out, size_t cap)
{
    size_t len = 0;
    assert_int_equal(hex_decode(bytes_of(text), out, cap, &len), OK);
    return (struct bytes){out, len};
}

/* RFC 4231, 4.2 and 4.3 */
static const struct {
    const char *name, *key, *data, *mac;
} macs[] = {
    {"1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"2: short key", "4a656665", "what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
};

static void known_macs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(macs); i++) {
        uint8_t key[64], want[32], got[SHA256_BYTES];
        (void)unhex(macs[i].mac, want, sizeof want);
        hmac_sha256(unhex(macs[i].key, key, sizeof key), bytes_of(macs[i].data), got);
        if (memcmp(want, got, sizeof got) != 0)
            fail_msg("RFC 4231, case %s", macs[i].name);
    }
}

/* RFC 5869, A.1: the first 32 bytes. */
static void known_key(void **state)
{
    (void)state;
    uint8_t secret[22], salt[13], want[32], got[SHA256_BYTES];
    struct bytes s = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", secret, sizeof secret);
    (void)unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", want, sizeof want);
    hkdf_sha256(unhex("000102030405060708090a0b0c", salt, sizeof salt), s, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", got);
    assert_memory_equal(got, want, sizeof want);
}

static void agrees_with_the_library(void **state)
{
    (void)state;
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    uint8_t key[150], data[150], want[32], got[SHA256_BYTES];
    char info[HKDF_INFO_MAX + 1];
    srand(7);
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)rand();
        data[i] = (uint8_t)rand();
    }
    for (size_t len = 0; len <= sizeof key; len++) {
        assert_int_equal(mbedtls_md_hmac(md, key, len, data, sizeof data - len, want), 0);
        hmac_sha256((struct bytes){key, len}, (struct bytes){data, sizeof data - len}, got);
        assert_memory_equal(got, want, sizeof want);
        memset(info, 'i', sizeof info);
        info[len % sizeof info] = 0;
        assert_int_equal(
            mbedtls_hkdf(md, key, len, data, sizeof data - len, (const uint8_t *)info, strlen(info), want, sizeof want), 0);
        hkdf_sha256((struct bytes){key, len}, (struct bytes){data, sizeof data - len}, info, got);
        assert_memory_equal(got, want, sizeof want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_macs),
        cmocka_unit_test(known_key),
        cmocka_unit_test(agrees_with_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
