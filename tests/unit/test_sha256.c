#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/hex.h"
#include "net/format/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name, *text;
    unsigned times;
    const char *digest;
} vectors[] = {
    /* csrc.nist.gov, "Examples with Intermediate Values", and SHA256ShortMsg/LongMsg of the CAVP set */
    {"empty", "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"56 bytes", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"112 bytes",
     "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu", 1,
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"one byte", "\xd3", 1, "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
    {"a million a", "aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static const char *digest_text(struct sha256 *s, char out[65])
{
    uint8_t digest[SHA256_BYTES];
    sha256_finish(s, digest);
    return hex_encode((struct bytes){digest, sizeof digest}, out, 65);
}

/* Runs the check for every implementation this machine has; at least the portable one. */
static void for_each_kind(void (*check)(void))
{
    for (unsigned kind = 0; kind < SHA256_KIND_COUNT; kind++)
        if (sha256_force((enum sha256_kind)kind))
            check();
}

static void check_vectors(void)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct sha256 s;
        char text[65];
        sha256_start(&s);
        for (unsigned n = 0; n < vectors[i].times; n++)
            sha256_update(&s, (struct bytes){(const uint8_t *)vectors[i].text, strlen(vectors[i].text)});
        if (strcmp(digest_text(&s, text), vectors[i].digest) != 0)
            fail_msg("%s (%s): %s", vectors[i].name, sha256_implementation(), text);
    }
}

static void nist_vectors(void **state)
{
    (void)state;
    for_each_kind(check_vectors);
}

static uint8_t noise[5000];

/* Every length around the padding's edges, in one piece and in pieces, unaligned: all implementations agree with the portable
 * one. */
static void implementations_agree(void **state)
{
    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)rand();
    for (size_t len = 0; len < 2000; len += len < 300 ? 1 : 37) {
        uint8_t expected[SHA256_BYTES], digest[SHA256_BYTES];
        struct bytes data = {noise + len % 16, len};
        assert_true(sha256_force(SHA256_PORTABLE));
        sha256_of(data, expected);
        for (unsigned kind = 0; kind < SHA256_KIND_COUNT; kind++) {
            struct sha256 s;
            if (!sha256_force((enum sha256_kind)kind))
                continue;
            sha256_start(&s);
            for (size_t at = 0, n; at < len; at += n) {
                n = size_min(len - at, (size_t)rand() % 150);
                sha256_update(&s, (struct bytes){data.at + at, n});
            }
            sha256_finish(&s, digest);
            assert_memory_equal(digest, expected, SHA256_BYTES);
        }
    }
}

static void a_state_can_be_copied(void **state)
{
    (void)state;
    struct sha256 a, b;
    char text_a[65], text_b[65];
    sha256_start(&a);
    sha256_update(&a, (struct bytes){(const uint8_t *)"ab", 2});
    b = a;
    sha256_update(&a, (struct bytes){(const uint8_t *)"c", 1});
    sha256_update(&b, (struct bytes){(const uint8_t *)"c", 1});
    assert_string_equal(digest_text(&a, text_a), digest_text(&b, text_b));
    assert_string_equal(text_a, vectors[1].digest);
    for (size_t i = 0; i < sizeof a; i++)
        assert_int_equal(((uint8_t *)&a)[i], 0); /* wiped */
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_speed(void)
{
    static uint8_t block[65536];
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    double start = seconds(), end = start;
    size_t total = 0;
    sha256_start(&s);
    for (; end - start < 0.05; total += sizeof block, end = seconds())
        sha256_update(&s, (struct bytes){block, sizeof block});
    sha256_finish(&s, digest);
    printf("sha256 %-12s %7.0f MB/s\n", sha256_implementation(), (double)total / 1e6 / (end - start));
}

static void speed(void **state)
{
    (void)state;
    for_each_kind(print_speed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nist_vectors),
        cmocka_unit_test(implementations_agree),
        cmocka_unit_test(a_state_can_be_copied),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
