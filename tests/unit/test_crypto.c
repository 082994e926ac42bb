#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/os.h"
#include "board/rt/text.h"
#include "net/format/crypto.h"
#include "net/format/hex.h"
#include "net/format/sha256.h"

#include <mbedtls/platform_time.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <string.h>

static void boots_twice(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crypto_boot(), OK);
    assert_int_equal(crypto_boot(), OK);
    assert_int_equal(psa_generate_random(a, sizeof a), PSA_SUCCESS);
    assert_int_equal(psa_generate_random(b, sizeof b), PSA_SUCCESS);
    assert_memory_not_equal(a, b, sizeof a);
}

/* The library's clocks are ours: the wall clock in seconds, the monotonic one in milliseconds. */
static void tells_our_time(void **state)
{
    (void)state;
    int64_t wall_s = os_wall_ms() / 1000, mono = os_mono();
    mbedtls_time_t told = 0;
    assert_int_equal(crypto_boot(), OK);
    int64_t returned = mbedtls_time(&told);
    assert_true(returned == told && told >= wall_s && told <= wall_s + 2);
    int64_t told_ms = mbedtls_ms_time();
    assert_true(told_ms >= mono && told_ms <= mono + 2000);
}

static const struct {
    int code;
    const char *wanted; /* what the text must contain */
} texts[] = {
    {MBEDTLS_ERR_SSL_CONN_EOF, "EOF"},
    {MBEDTLS_ERR_SSL_BAD_CERTIFICATE, "Certificate"},
    {-0x007f, "-0x007f"},
    {0, "0x0000"},
};

static void errors_have_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char out[CRYPTO_ERROR_TEXT_MAX], tiny[5];
        if (strstr(crypto_error_text(texts[i].code, out, sizeof out), texts[i].wanted) == NULL)
            fail_msg("%d: %s", texts[i].code, out);
        assert_true(strlen(crypto_error_text(texts[i].code, tiny, sizeof tiny)) < sizeof tiny);
    }
}

static void unhex32(const char *text, uint8_t out[32])
{
    size_t len = 0;
    assert_int_equal(hex_decode(bytes_of(text), out, 32, &len), OK);
    assert_int_equal(len, 32);
}

/* RFC 7748, 5.2; the second with its highest bit, which does not count, set. */
static const struct {
    const char *name, *scalar, *point, *product; /* NULL: of low order */
} products[] = {
    {"first", "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
     "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
    {"second", "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
     "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    {"base point once", "0900000000000000000000000000000000000000000000000000000000000000",
     "0900000000000000000000000000000000000000000000000000000000000000",
     "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"},
#define SCALAR "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
    {"zero", SCALAR, "0000000000000000000000000000000000000000000000000000000000000000", NULL},
    {"one", SCALAR, "0100000000000000000000000000000000000000000000000000000000000000", NULL},
    {"order 8", SCALAR, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", NULL},
    {"order 8, the other", SCALAR, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", NULL},
    {"p - 1", SCALAR, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", NULL},
    {"p", SCALAR, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", NULL},
    {"p + 1", SCALAR, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", NULL},
};

static void x25519_knows_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(products); i++) {
        uint8_t scalar[32], point[32], want[32], got[32];
        unhex32(products[i].scalar, scalar);
        unhex32(products[i].point, point);
        err e = crypto_x25519(scalar, point, got);
        if (e != (products[i].product != NULL ? OK : E_INVALID))
            fail_msg("%s: %s", products[i].name, err_name(e));
        if (e != OK)
            continue;
        unhex32(products[i].product, want);
        assert_memory_equal(got, want, sizeof got);
    }
    trail_clear();
}

/* RFC 6979, A.2.5: P-256 with SHA-256. */
#define P256_KEY "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
static const struct {
    const char *name, *key, *message, *r, *s; /* r NULL: the key is refused */
} signatures[] = {
    {"sample", P256_KEY, "sample", "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {"test, s with a leading 01", P256_KEY, "test", "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
     "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
    {"zero", "0000000000000000000000000000000000000000000000000000000000000000", "x", NULL, NULL},
    {"the order", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "x", NULL, NULL},
    {"all ones", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "x", NULL, NULL},
};

static void p256_signs_by_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(signatures); i++) {
        uint8_t key[32], digest[SHA256_BYTES], want[64], got[64];
        unhex32(signatures[i].key, key);
        sha256_of(bytes_of(signatures[i].message), digest);
        err e = crypto_p256_sign(key, digest, got);
        if (e != (signatures[i].r != NULL ? OK : E_INVALID))
            fail_msg("%s: %s", signatures[i].name, err_name(e));
        if (e != OK)
            continue;
        unhex32(signatures[i].r, want);
        unhex32(signatures[i].s, want + 32);
        assert_memory_equal(got, want, sizeof got);
    }
    trail_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boots_twice),
        cmocka_unit_test(tells_our_time),
        cmocka_unit_test(errors_have_words),
        cmocka_unit_test(x25519_knows_the_vectors),
        cmocka_unit_test(p256_signs_by_the_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
