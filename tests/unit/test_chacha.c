#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/chacha.h"
#include "net/format/chacha_poly.h"
#include "net/format/hex.h"

#include <mbedtls/chachapoly.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct bytes unhex(const char *text, uint8_t *out, size_t cap)
{
    size_t len = 0;
    assert_int_equal(hex_decode(bytes_of(text), out, cap, &len), OK);
    return (struct bytes){out, len};
}

/* Runs it with every kernel that this machine has, and leaves the best chosen. */
static void for_each_kind(void (*run)(void))
{
    unsigned ran = 0;
    for (unsigned kind = 0; kind < CHACHA_KIND_COUNT; kind++) {
        if (!chacha_force((enum chacha_kind)kind))
            continue;
        run();
        ran++;
    }
    assert_true(ran > 0);
}

/* --- Poly1305 --- */

#define FF16   "ffffffffffffffffffffffffffffffff"
#define ZERO16 "00000000000000000000000000000000"
#define ONE    "01000000000000000000000000000000"
#define TWO    "02000000000000000000000000000000"
#define A10_R  "01000000000000000400000000000000"
#define A10    "e33594d7505e43b900000000000000003394d7505e4379cd010000000000000000000000000000000000000000000000"
/* RFC 8439, A.3, whose cases reach every carry. */
static const struct {
    const char *name, *r, *s, *data, *tag;
} poly_vectors[] = {
    {"A.3 1: all zero", ZERO16, ZERO16, ZERO16 ZERO16 ZERO16 ZERO16, ZERO16},
    {"A.3 2: r zero, s given back", ZERO16, "36e5f6b5c5e06070f0efca96227a863e", FF16 ONE, "36e5f6b5c5e06070f0efca96227a863e"},
    {"A.3 7: 2^130 - 5 is nearly reached", TWO, ZERO16, FF16, "03000000000000000000000000000000"},
    {"A.3 8: the sum with s wraps", TWO, FF16, TWO, "03000000000000000000000000000000"},
    {"A.3 9: a carry through all", ONE, ZERO16,
     FF16 "f0ffffffffffffffffffffffffffffff"
          "11000000000000000000000000000000",
     "05000000000000000000000000000000"},
    {"A.3 10: 2^130 - 5 exactly", ONE, ZERO16,
     FF16 "fbfefefefefefefefefefefefefefefe"
          "01010101010101010101010101010101",
     ZERO16},
    {"A.3 11: 2^130 - 6", TWO, ZERO16, "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff"},
    {"A.3 12: 5 * high + low", A10_R, ZERO16, A10 ONE, "14000000000000005500000000000000"},
    {"A.3 13: the same, shorter", A10_R, ZERO16, A10, "13000000000000000000000000000000"},
};

static void poly_knows_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(poly_vectors); i++) {
        uint8_t key[POLY_KEY_BYTES], data[128], want[16], tag[POLY_TAG_BYTES];
        struct poly p;
        (void)unhex(poly_vectors[i].r, key, 16);
        (void)unhex(poly_vectors[i].s, key + 16, 16);
        (void)unhex(poly_vectors[i].tag, want, sizeof want);
        poly_start(&p, key);
        poly_update_padded(&p, unhex(poly_vectors[i].data, data, sizeof data));
        poly_finish(&p, tag);
        if (memcmp(tag, want, sizeof tag) != 0)
            fail_msg("%s", poly_vectors[i].name);
    }
}

/* --- the AEAD --- */

static const char sunscreen[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
    "would be it.";

static void vector_once(void) /* RFC 8439, 2.8.2 */
{
    uint8_t key[32], nonce[12], additional[12], sealed[128], want[128], tag[16], want_tag[16], opened[128];
    struct bytes text = bytes_of(sunscreen);
    (void)unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, sizeof key);
    (void)unhex("070000004041424344454647", nonce, sizeof nonce);
    struct bytes add = unhex("50515253c0c1c2c3c4c5c6c7", additional, sizeof additional);
    struct bytes expected =
        unhex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e"
              "060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576"
              "d26586cec64b6116",
              want, sizeof want);
    (void)unhex("1ae10b594f09e26a7e902ecbd0600691", want_tag, sizeof want_tag);
    chacha_seal(key, nonce, add, text, sealed, tag);
    assert_int_equal(expected.len, text.len);
    assert_memory_equal(sealed, want, text.len);
    assert_memory_equal(tag, want_tag, 16);
    assert_true(chacha_open(key, nonce, add, expected, want_tag, opened));
    assert_memory_equal(opened, text.at, text.len);
}

static void knows_the_vector(void **state)
{
    (void)state;
    for_each_kind(vector_once);
}

static void fill(uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)rand();
}

#define LONG_MAX_BYTES 70000
static uint8_t text[LONG_MAX_BYTES + 8], sealed[LONG_MAX_BYTES + 8], library_sealed[LONG_MAX_BYTES + 8],
    opened[LONG_MAX_BYTES + 8];

/* Ours against Mbed TLS's: text at any alignment, beside and in place. */
static void compare(size_t len, size_t additional_len, size_t shift)
{
    uint8_t key[32], nonce[12], additional[64], tag[16], library_tag[16];
    struct bytes add = {additional, additional_len};
    mbedtls_chachapoly_context ctx;
    fill(key, sizeof key);
    fill(nonce, sizeof nonce);
    fill(additional, sizeof additional);
    fill(text, len + shift);
    mbedtls_chachapoly_init(&ctx);
    assert_int_equal(mbedtls_chachapoly_setkey(&ctx, key), 0);
    assert_int_equal(mbedtls_chachapoly_encrypt_and_tag(&ctx, len, nonce, additional, additional_len, text + shift,
                                                        library_sealed, library_tag),
                     0);
    mbedtls_chachapoly_free(&ctx);
    sealed[len] = 0xA5; /* the byte behind is not ours */
    chacha_seal(key, nonce, add, (struct bytes){text + shift, len}, sealed, tag);
    assert_memory_equal(tag, library_tag, sizeof tag);
    assert_true(len == 0 || memcmp(sealed, library_sealed, len) == 0);
    assert_int_equal(sealed[len], 0xA5);
    assert_true(chacha_open(key, nonce, add, (struct bytes){sealed, len}, tag, opened));
    assert_true(len == 0 || memcmp(opened, text + shift, len) == 0);
    assert_true(chacha_open(key, nonce, add, (struct bytes){sealed, len}, tag, sealed));
    assert_true(len == 0 || memcmp(sealed, text + shift, len) == 0);
    chacha_seal(key, nonce, add, (struct bytes){sealed, len}, sealed, tag);
    assert_true(len == 0 || memcmp(sealed, library_sealed, len) == 0);
}

static void compare_all(void)
{
    static const size_t longer[] = {511,  512,  513,   1023,  1024,  1025,  4096,          8191,
                                    8192, 8193, 16384, 65535, 65536, 65537, LONG_MAX_BYTES};
    for (size_t len = 0; len <= 300; len++)
        compare(len, len % 40, len % 8);
    for (size_t i = 0; i < COUNT_OF(longer); i++)
        compare(longer[i], i, i % 8);
}

static void agrees_with_the_library(void **state)
{
    (void)state;
    srand(5);
    for_each_kind(compare_all);
}

static void changed_once(void)
{
    uint8_t key[32] = {1}, nonce[12] = {2}, additional[5] = {3}, body[33] = {4}, tag[16], out[33];
    static const uint8_t untouched[33];
    struct bytes add = {additional, sizeof additional}, content = {body, sizeof body};
    chacha_seal(key, nonce, add, content, body, tag);
    struct {
        uint8_t *at;
        size_t len;
    } parts[] = {{tag, 16}, {body, 33}, {additional, 5}, {nonce, 12}, {key, 32}};
    for (size_t p = 0; p < COUNT_OF(parts); p++) {
        for (size_t bit = 0; bit < parts[p].len * 8; bit++) {
            memset(out, 0, sizeof out);
            parts[p].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(chacha_open(key, nonce, add, content, tag, out));
            parts[p].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_memory_equal(out, untouched, sizeof out);
        }
    }
    assert_true(chacha_open(key, nonce, add, content, tag, out));
    /* The lengths are in the tag: a byte that moves from one side to the other is seen. */
    assert_false(chacha_open(key, nonce, add, (struct bytes){body, 32}, tag, out));
    assert_false(chacha_open(key, nonce, (struct bytes){additional, 4}, content, tag, out));
}

static void every_changed_bit_is_refused(void **state)
{
    (void)state;
    for_each_kind(changed_once);
}

/* --- speed, in age's chunk: the best of many, for the machine is shared --- */

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const uint8_t speed_key[32], speed_nonce[12];
static uint8_t speed_tag[16];

static void seal_once(void)
{
    chacha_seal(speed_key, speed_nonce, (struct bytes){NULL, 0}, (struct bytes){text, 65536}, sealed, speed_tag);
}

static void open_once(void)
{
    assert_true(chacha_open(speed_key, speed_nonce, (struct bytes){NULL, 0}, (struct bytes){sealed, 65536}, speed_tag, opened));
}

static void library_once(void)
{
    mbedtls_chachapoly_context ctx;
    mbedtls_chachapoly_init(&ctx);
    assert_int_equal(mbedtls_chachapoly_setkey(&ctx, speed_key), 0);
    assert_int_equal(mbedtls_chachapoly_encrypt_and_tag(&ctx, 65536, speed_nonce, NULL, 0, text, sealed, speed_tag), 0);
    mbedtls_chachapoly_free(&ctx);
}

static void poly_once(void)
{
    struct poly p;
    poly_start(&p, speed_key);
    poly_update_padded(&p, (struct bytes){text, 65536});
    poly_finish(&p, speed_tag);
}

static void print_rate(const char *name, const char *how, void (*once)(void))
{
    double start = seconds(), best = 1e9;
    while (seconds() - start < 0.05) {
        double begin = seconds();
        once();
        double took = seconds() - begin;
        best = took < best ? took : best;
    }
    printf("chacha20-poly1305 %-15s %s %6.0f MB/s\n", name, how, 65536 / 1e6 / best);
}

static void print_speed(void)
{
    print_rate(chacha_implementation(), "seal", seal_once);
    print_rate(chacha_implementation(), "open", open_once);
}

static void speed(void **state)
{
    (void)state;
    print_rate("library", "seal", library_once);
    print_rate("poly1305 alone", "tag ", poly_once);
    for_each_kind(print_speed);
    assert_string_equal(chacha_implementation(), chacha_force(CHACHA_X86_AVX2) ? "x86 avx2" : "128-bit vectors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poly_knows_the_vectors),
        cmocka_unit_test(knows_the_vector),
        cmocka_unit_test(agrees_with_the_library),
        cmocka_unit_test(every_changed_bit_is_refused),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
