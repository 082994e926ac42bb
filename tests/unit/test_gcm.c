#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/crypto.h"
#include "net/format/gcm.h"
#include "net/format/hex.h"

#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, whose cases NIST's validation took over; and the first of
 * gcmEncryptExtIV128.rsp (CAVP) with additional data only. */
#define KEY_2 "feffe9928665731c6d6a8f9467308308"
#define TEXT_4                                                                                                                   \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define ADD_4 "feedfacedeadbeeffeedfacedeadbeefabaddad2"
static const struct {
    const char *name, *key, *iv, *additional, *text, *sealed, *tag;
} vectors[] = {
    {"1: 128, nothing", "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"2: 128, zeroes", "00000000000000000000000000000000", "000000000000000000000000", "", "00000000000000000000000000000000",
     "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {"3: 128, four blocks", KEY_2, "cafebabefacedbaddecaf888", "", TEXT_4 "1aafd255",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473"
     "f5985",
     "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {"4: 128, additional data", KEY_2, "cafebabefacedbaddecaf888", ADD_4, TEXT_4,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"7: 192, nothing", "000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "cd33b28ac773f74ba00ed1f312572435"},
    {"8: 192, zeroes", "000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "98e7247c07f0fe411c267e4384b0f600", "2ff58d80033927ab8ef4d4587514f0fb"},
    {"13: 256, nothing", "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
     "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"14: 256, zeroes", "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"16: 256, additional data", KEY_2 KEY_2, "cafebabefacedbaddecaf888", ADD_4, TEXT_4,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static struct bytes unhex(const char *text, uint8_t *out, size_t cap)
{
    size_t len = 0;
    assert_int_equal(hex_decode(bytes_of(text), out, cap, &len), OK);
    return (struct bytes){out, len};
}

static void seal(const mbedtls_aes_context *aes, struct gcm g, uint8_t tag[GCM_TAG_BYTES])
{
    g.round_keys = (const uint8_t *)(aes->buf + aes->rk_offset);
    g.rounds = (unsigned)aes->nr;
    gcm_crypt(&g, tag);
}

/* Runs the check for every kernel this machine has; none is no failure: then the library works alone. */
static void for_each_kind(void (*check)(void))
{
    for (unsigned kind = GCM_NONE + 1; kind < GCM_KIND_COUNT; kind++)
        if (gcm_force((enum gcm_kind)kind))
            check();
}

static void check_vectors(void)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        uint8_t key[32], iv[12], additional[32], text[64], sealed[64], wanted[64], tag[16], wanted_tag[16];
        struct bytes k = unhex(vectors[i].key, key, sizeof key), t = unhex(vectors[i].text, text, sizeof text);
        struct gcm g = {.encrypt = true, .iv = iv, .in = text, .out = sealed, .len = t.len};
        mbedtls_aes_context aes;
        (void)unhex(vectors[i].iv, iv, sizeof iv);
        (void)unhex(vectors[i].sealed, wanted, sizeof wanted);
        (void)unhex(vectors[i].tag, wanted_tag, sizeof wanted_tag);
        g.additional = unhex(vectors[i].additional, additional, sizeof additional);
        mbedtls_aes_init(&aes);
        assert_int_equal(mbedtls_aes_setkey_enc(&aes, key, (unsigned)k.len * 8), 0);
        seal(&aes, g, tag);
        if (memcmp(tag, wanted_tag, 16) != 0 || memcmp(sealed, wanted, t.len) != 0)
            fail_msg("%s (%s)", vectors[i].name, gcm_implementation());
        g = (struct gcm){.iv = iv, .additional = g.additional, .in = wanted, .out = sealed, .len = t.len};
        seal(&aes, g, tag);
        if (memcmp(tag, wanted_tag, 16) != 0 || memcmp(sealed, text, t.len) != 0)
            fail_msg("%s (%s), opened", vectors[i].name, gcm_implementation());
        mbedtls_aes_free(&aes);
    }
}

static void known_vectors(void **state)
{
    (void)state;
    for_each_kind(check_vectors);
}

/* --- against the library, which in pieces is always its own --- */

static uint8_t noise[5000];

static void fill(uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)rand();
}

static void library_seal(mbedtls_gcm_context *ctx, const struct gcm *g, uint8_t *out, uint8_t tag[16])
{
    size_t written = 0, more = 0;
    assert_int_equal(mbedtls_gcm_starts(ctx, g->encrypt ? MBEDTLS_GCM_ENCRYPT : MBEDTLS_GCM_DECRYPT, g->iv, 12), 0);
    assert_int_equal(mbedtls_gcm_update_ad(ctx, g->additional.at, g->additional.len), 0);
    assert_int_equal(mbedtls_gcm_update(ctx, g->in, g->len, out, g->len, &written), 0);
    assert_int_equal(mbedtls_gcm_finish(ctx, out + written, g->len - written, &more, tag, 16), 0);
}

/* One message: sealed by both into two buffers, sealed in place, opened in place 8 bytes lower (which the library allows). */
static void check_message(mbedtls_gcm_context *ctx, const mbedtls_aes_context *aes, size_t len, size_t additional_len)
{
    static uint8_t in_place[8 + sizeof noise], theirs[sizeof noise], ours[sizeof noise];
    uint8_t iv[12], tag[16], tag_theirs[16];
    struct gcm g = {
        .encrypt = true, .iv = iv, .additional = {noise + 3, additional_len}, .in = noise + len % 5, .out = ours, .len = len};
    fill(iv, sizeof iv);
    library_seal(ctx, &g, theirs, tag_theirs);
    seal(aes, g, tag);
    assert_memory_equal(tag, tag_theirs, 16);
    assert_true(len == 0 || memcmp(ours, theirs, len) == 0);
    memcpy(in_place + 8, g.in, len);
    g.in = g.out = in_place + 8;
    seal(aes, g, tag);
    assert_memory_equal(tag, tag_theirs, 16);
    assert_true(len == 0 || memcmp(in_place + 8, theirs, len) == 0);
    g.encrypt = false;
    g.out = in_place;
    seal(aes, g, tag);
    assert_memory_equal(tag, tag_theirs, 16);
    assert_true(len == 0 || memcmp(in_place, noise + len % 5, len) == 0);
}

static void check_against_library(void)
{
    static const unsigned key_bits[] = {128, 192, 256};
    for (size_t k = 0; k < COUNT_OF(key_bits); k++) {
        uint8_t key[32];
        mbedtls_gcm_context ctx;
        mbedtls_aes_context aes;
        fill(key, sizeof key);
        mbedtls_gcm_init(&ctx);
        mbedtls_aes_init(&aes);
        assert_int_equal(mbedtls_gcm_setkey(&ctx, MBEDTLS_CIPHER_ID_AES, key, key_bits[k]), 0);
        assert_int_equal(mbedtls_aes_setkey_enc(&aes, key, key_bits[k]), 0);
        for (size_t len = 0; len < 290; len++)
            check_message(&ctx, &aes, len, len % 40);
        for (unsigned n = 0; n < 40; n++)
            check_message(&ctx, &aes, (size_t)rand() % 4900, (size_t)rand() % 600);
        mbedtls_gcm_free(&ctx);
        mbedtls_aes_free(&aes);
    }
}

static void agrees_with_the_library(void **state)
{
    (void)state;
    srand(3);
    fill(noise, sizeof noise);
    for_each_kind(check_against_library);
}

/* Through the library's own entry points, hooked or not: every bit of tag, text, additional data and IV matters. */
static void every_changed_bit_is_refused(void **state)
{
    (void)state;
    uint8_t key[16] = {1}, iv[12] = {2}, additional[5] = {3}, text[33] = {4}, sealed[33], opened[33], tag[16];
    static const uint8_t zeroes[33];
    mbedtls_gcm_context ctx;
    mbedtls_gcm_init(&ctx);
    assert_int_equal(mbedtls_gcm_setkey(&ctx, MBEDTLS_CIPHER_ID_AES, key, 128), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&ctx, MBEDTLS_GCM_ENCRYPT, 33, iv, 12, additional, 5, text, sealed, 16, tag), 0);
    assert_int_equal(mbedtls_gcm_auth_decrypt(&ctx, 33, iv, 12, additional, 5, tag, 16, sealed, opened), 0);
    assert_memory_equal(opened, text, 33);
    struct {
        uint8_t *at;
        size_t len;
    } parts[] = {{tag, 16}, {sealed, 33}, {additional, 5}, {iv, 12}};
    for (size_t p = 0; p < COUNT_OF(parts); p++) {
        for (size_t bit = 0; bit < parts[p].len * 8; bit++) {
            parts[p].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(mbedtls_gcm_auth_decrypt(&ctx, 33, iv, 12, additional, 5, tag, 16, sealed, opened),
                             MBEDTLS_ERR_GCM_AUTH_FAILED);
            assert_memory_equal(opened, zeroes, 33);
            parts[p].at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    mbedtls_gcm_free(&ctx);
}

/* Short tags and other IV lengths go to the library where the kernel does not take them: the results belong together. */
static void other_shapes(void **state)
{
    (void)state;
    uint8_t key[16] = {1}, iv[16] = {2}, text[20] = {4}, sealed[20], opened[20], tag[16], whole[16];
    mbedtls_gcm_context ctx;
    mbedtls_gcm_init(&ctx);
    assert_int_equal(mbedtls_gcm_setkey(&ctx, MBEDTLS_CIPHER_ID_AES, key, 128), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&ctx, MBEDTLS_GCM_ENCRYPT, 20, iv, 16, NULL, 0, text, sealed, 16, tag), 0);
    assert_int_equal(mbedtls_gcm_auth_decrypt(&ctx, 20, iv, 16, NULL, 0, tag, 16, sealed, opened), 0);
    assert_memory_equal(opened, text, 20);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&ctx, MBEDTLS_GCM_ENCRYPT, 0, iv, 12, NULL, 0, NULL, NULL, 16, whole), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&ctx, MBEDTLS_GCM_ENCRYPT, 0, iv, 12, NULL, 0, NULL, NULL, 4, tag), 0);
    assert_memory_equal(tag, whole, 4);
    assert_int_equal(mbedtls_gcm_auth_decrypt(&ctx, 0, iv, 12, NULL, 0, tag, 4, NULL, NULL), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&ctx, MBEDTLS_GCM_ENCRYPT, 0, iv, 12, NULL, 0, NULL, NULL, 3, tag),
                     MBEDTLS_ERR_GCM_BAD_INPUT);
    mbedtls_gcm_free(&ctx);
}

/* --- speed, in TLS's record size --- */

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint8_t record[16384];
static mbedtls_gcm_context speed_ctx;
static mbedtls_aes_context speed_aes;

static void print_rate(const char *name, const char *how, void (*once)(void))
{
    double start = seconds(), end = start;
    size_t total = 0;
    for (; end - start < 0.05; total += sizeof record, end = seconds())
        once();
    printf("aes-128-gcm %-12s %s %6.0f MB/s\n", name, how, (double)total / 1e6 / (end - start));
}

static const uint8_t zero_iv[12];

static void library_once(void)
{
    struct gcm g = {.encrypt = true, .iv = zero_iv, .in = record, .len = sizeof record};
    uint8_t tag[16];
    library_seal(&speed_ctx, &g, record, tag);
}

static void seal_once(void)
{
    uint8_t tag[16];
    seal(&speed_aes, (struct gcm){.encrypt = true, .iv = zero_iv, .in = record, .out = record, .len = sizeof record}, tag);
}

static void open_once(void)
{
    uint8_t tag[16];
    seal(&speed_aes, (struct gcm){.iv = zero_iv, .in = record, .out = record, .len = sizeof record}, tag);
}

static void print_speed(void)
{
    print_rate(gcm_implementation(), "seal", seal_once);
    print_rate(gcm_implementation(), "open", open_once);
}

static void speed(void **state)
{
    (void)state;
    uint8_t key[16] = {5};
    mbedtls_gcm_init(&speed_ctx);
    mbedtls_aes_init(&speed_aes);
    assert_int_equal(mbedtls_gcm_setkey(&speed_ctx, MBEDTLS_CIPHER_ID_AES, key, 128), 0);
    assert_int_equal(mbedtls_aes_setkey_enc(&speed_aes, key, 128), 0);
    print_rate("library", "seal", library_once);
    for_each_kind(print_speed);
    /* Losing the linker's --wrap would lose the speed and nothing else. */
    assert_string_equal(crypto_gcm_implementation(), gcm_is_fast() ? gcm_implementation() : "library");
    printf("aes-gcm of TLS records: %s\n", crypto_gcm_implementation());
    mbedtls_gcm_free(&speed_ctx);
    mbedtls_aes_free(&speed_aes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(agrees_with_the_library),
        cmocka_unit_test(every_changed_bit_is_refused),
        cmocka_unit_test(other_shapes),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
