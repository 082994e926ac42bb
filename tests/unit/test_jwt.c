/* The assertion: its bytes, its signature, and that nothing of the key stays in memory. That openssl agrees is in tests/e2e. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/pool.h"
#include "board/rt/secret.h"
#include "net/format/base64.h"
#include "net/format/hex.h"
#include "net/format/json_read.h"
#include "net/format/jwt.h"
#include "net/format/sha256.h"
#include "tests/support/skip.h"

#include <mbedtls/ecdsa.h>
#include <stdlib.h>
#include <string.h>

#define URL "https://api.obsyk.test/"

/* RFC 6979's example, A.2.5, as in test_pem_key.c. */
static const char key_text[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MDECAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49AwEH\n"
                               "-----END EC PRIVATE KEY-----\n";
static const uint8_t public_point[] =
    "\x04\x60\xFE\xD4\xBA\x25\x5A\x9D\x31\xC9\x61\xEB\x74\xC6\x35\x6D\x68\xC0\x49\xB8\x92\x3B\x61"
    "\xFA\x6C\xE6\x69\x62\x2E\x60\xF2\x9F\xB6\x79\x03\xFE\x10\x08\xB8\xBC\x99\xA4\x1A\xE9\xE9\x56"
    "\x28\xBC\x64\xF2\xF1\xB2\x0C\x2D\x7E\x9F\x51\x77\xA3\xC2\x94\xD4\x46\x22\x99";

static struct pem_key key;

static int setup(void **state)
{
    (void)state;
    return pem_key_parse(bytes_of(key_text), &key, NULL) == OK && crypto_boot() == OK ? 0 : -1;
}

static bool verifies(struct bytes signed_text, const uint8_t signature[CRYPTO_P256_SIGNATURE_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi r, s;
    sha256_of(signed_text, digest);
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    bool good = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
                mbedtls_ecp_point_read_binary(&group, &point, public_point, sizeof public_point - 1) == 0 &&
                mbedtls_mpi_read_binary(&r, signature, 32) == 0 && mbedtls_mpi_read_binary(&s, signature + 32, 32) == 0 &&
                mbedtls_ecdsa_verify(&group, digest, sizeof digest, &point, &r, &s) == 0;
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    return good;
}

struct parts {
    struct bytes part[3];
};

static struct parts split(const struct text *t)
{
    struct parts p;
    const char *at = t->at;
    for (unsigned i = 0; i < 3; i++) {
        size_t len = strcspn(at, ".");
        p.part[i] = (struct bytes){(const uint8_t *)at, len};
        assert_true(i == 2 ? at[len] == 0 : at[len] == '.');
        at += len + 1;
    }
    return p;
}

static size_t decoded(struct bytes part, char *out, size_t cap)
{
    size_t len = 0;
    assert_int_equal(base64_decode(BASE64_URL, part, (uint8_t *)out, cap - 1, &len), OK); /* no padding, no other letters */
    out[len] = 0;
    return len;
}

static const struct {
    const char *name, *client_id, *audience;
    int64_t at_s;
    const char *claims; /* up to jti's value */
} cases[] = {
    {"as the platform takes it", "client-7", URL, 1700000000,
     "{\"iss\":\"client-7\",\"sub\":\"client-7\",\"aud\":[\"https://api.obsyk.test/"
     "\"],\"exp\":1700000300,\"iat\":1700000000,\"jti\":\""},
    {"to be escaped", "a\"\\\n", "https://x/?a=\"b\"", 1,
     "{\"iss\":\"a\\\"\\\\\\n\",\"sub\":\"a\\\"\\\\\\n\",\"aud\":[\"https://x/?a=\\\"b\\\"\"],\"exp\":301,\"iat\":1,\"jti\":\""},
    {"at the beginning", "c", "http://localhost:1", 0,
     "{\"iss\":\"c\",\"sub\":\"c\",\"aud\":[\"http://localhost:1\"],\"exp\":300,\"iat\":0,\"jti\":\""},
};

static bool is_uuid_v4(const char *s)
{
    for (unsigned i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s[i] != '-' : !strchr("0123456789abcdef", s[i]) || s[i] == 0)
            return false;
    }
    return s[14] == '4' && strchr("89ab", s[19]) != NULL;
}

static void assertions_are_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char storage[2048], plain[1024];
        uint8_t signature[CRYPTO_P256_SIGNATURE_BYTES];
        struct text t = text_over(storage, sizeof storage);
        struct jwt_claims claims = {cases[i].client_id, cases[i].audience, cases[i].at_s};
        size_t len = 0, head = strlen(cases[i].claims);
        assert_int_equal(jwt_assertion(&claims, &key, &t), OK);
        struct parts p = split(&t);
        decoded(p.part[0], plain, sizeof plain);
        assert_string_equal(plain, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}");
        decoded(p.part[1], plain, sizeof plain);
        if (strncmp(plain, cases[i].claims, head) != 0)
            fail_msg("%s: %s", cases[i].name, plain);
        assert_true(is_uuid_v4(plain + head));
        assert_string_equal(plain + head + 36, "\"}");
        assert_int_equal(base64_decode(BASE64_URL, p.part[2], signature, sizeof signature, &len), OK);
        assert_int_equal(len, sizeof signature); /* r and s, not DER */
        assert_true(verifies((struct bytes){p.part[0].at, p.part[0].len + 1 + p.part[1].len}, signature));
        signature[63] ^= 1;
        assert_false(verifies((struct bytes){p.part[0].at, p.part[0].len + 1 + p.part[1].len}, signature));
    }
}

static void no_two_are_the_same(void **state)
{
    (void)state;
    char a[1024], b[1024];
    struct text ta = text_over(a, sizeof a), tb = text_over(b, sizeof b);
    struct jwt_claims claims = {"c", URL, 1700000000};
    assert_int_equal(jwt_assertion(&claims, &key, &ta), OK);
    assert_int_equal(jwt_assertion(&claims, &key, &tb), OK);
    assert_string_not_equal(a, b);
}

/* The longest names, all of which must be escaped, fit; a text that is too small, and names that are too long, are told. */
static void bounds_hold(void **state)
{
    (void)state;
    static char id[JWT_CLIENT_ID_MAX + 1], audience[JWT_AUDIENCE_MAX + 1], storage[JWT_TEXT_MAX];
    memset(id, 1, JWT_CLIENT_ID_MAX - 1);
    memset(audience, 1, JWT_AUDIENCE_MAX - 1);
    struct jwt_claims claims = {id, audience, INT64_C(1) << 40};
    struct text t = text_over(storage, sizeof storage);
    assert_int_equal(jwt_assertion(&claims, &key, &t), OK);
    size_t whole = t.len;
    for (size_t cap = 1; cap <= whole; cap += 97) {
        t = text_over(storage, cap);
        assert_int_equal(jwt_assertion(&claims, &key, &t), E_RANGE);
    }
    id[JWT_CLIENT_ID_MAX - 1] = 1;
    t = text_over(storage, sizeof storage);
    assert_int_equal(jwt_assertion(&claims, &key, &t), E_RANGE);
    id[JWT_CLIENT_ID_MAX - 1] = 0;
    audience[JWT_AUDIENCE_MAX - 1] = 1;
    assert_int_equal(jwt_assertion(&claims, &key, &t), E_RANGE);
    trail_clear();
}

/* --- what stays of the key --- */

#ifdef HOLDFAST_HOST_LIBC
#define SEARCHABLE false /* sanitizers map terabytes, and the allocator is the host's */
#else
#define SEARCHABLE true
#endif
#define MASK 0x5a /* what is looked for lies in memory like this only */

struct needle {
    const char *name;
    uint8_t masked[32];
    size_t len;
};

static unsigned found_in(const struct needle *n, const uint8_t *at, const uint8_t *end)
{
    unsigned found = 0;
    for (; at + n->len <= end; at++) {
        size_t i = 0;
        while (i < n->len && (at[i] ^ MASK) == n->masked[i])
            i++;
        found += i == n->len;
    }
    return found;
}

/* All that is writable: heaps, stacks, static data. */
static unsigned search(const struct needle *n)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned found = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && strncmp(rights, "rw", 2) == 0)
            found += found_in(n, (const uint8_t *)from, (const uint8_t *)to);
    }
    (void)fclose(maps);
    return found;
}

static struct needle needle_of(const char *name, const uint8_t *at, size_t len, bool backwards)
{
    struct needle n = {.name = name, .len = len};
    for (size_t i = 0; i < len; i++)
        n.masked[i] = at[backwards ? len - 1 - i : i] ^ MASK;
    return n;
}

struct use {
    char *text; /* on the heap */
    bool wiped;
    unsigned before[4], after[4];
};

static err sign_run(void *job)
{
    struct jwt_claims claims = {"client", URL, 1700000000};
    char storage[1024];
    struct text t = text_over(storage, sizeof storage);
    return jwt_assertion(&claims, *(struct pem_key **)job, &t);
}

static err use_key(void *arg)
{
    struct use *u = arg;
    static struct pem_key k;
    struct pem_key *job = &k;
    struct lane l;
    u->text = malloc(sizeof key_text);
    CHECK(u->text != NULL);
    memcpy(u->text, key_text, sizeof key_text);
    struct needle needles[] = {needle_of("scalar", key.scalar, 32, false), needle_of("scalar, as limbs", key.scalar, 32, true),
                               needle_of("half of it", key.scalar + 16, 16, false),
                               needle_of("base64", (const uint8_t *)key_text + 31 + 20, 24, false)};
    pem_key_wipe(&key);
    CHECK(pem_key_parse(bytes_of(u->text), &k, NULL) == OK);
    for (unsigned i = 0; i < COUNT_OF(needles); i++)
        u->before[i] = search(&needles[i]);
    lane_open(&l, "test", TASK_BOARD, 1);
    CHECK(lane_call(&l, sign_run, &job, sizeof job, NULL, FOREVER) == OK);
    lane_close(&l);
    pem_key_wipe(&k);
    wipe(u->text, sizeof key_text);
    free(u->text);
    for (unsigned i = 0; i < COUNT_OF(needles); i++)
        u->after[i] = search(&needles[i]);
    return OK;
}

static void nothing_of_the_key_stays(void **state)
{
    (void)state;
    struct use u = {0};
    if (!SEARCHABLE)
        SKIP_BECAUSE("a sanitizer's shadow memory cannot be searched, and the allocator is the host's");
    fibers_run(use_key, &u, OK);
    assert_true(u.before[0] >= 1 && u.before[2] >= 1 && u.before[3] >= 1); /* the search finds */
    for (unsigned i = 0; i < COUNT_OF(u.after); i++)
        if (u.after[i] != 0)
            fail_msg("needle %u is in memory %u times", i, u.after[i]);
}

static void client_ids_are_trimmed(void **state)
{
    static const struct {
        const char *name, *text;
        err want;
        const char *id;
    } ids[] = {{"plain", "agent-1", OK, "agent-1"},
               {"a line", "agent-1\n", OK, "agent-1"},
               {"a foreign line", "agent-1\r\n", OK, "agent-1"},
               {"blanks around", " \tagent 1 \n", OK, "agent 1"},
               {"one byte", "a", OK, "a"},
               {"empty", "", E_INVALID, NULL},
               {"blanks only", " \r\n\t", E_INVALID, NULL}};
    char id[JWT_CLIENT_ID_MAX], filled[JWT_CLIENT_ID_MAX + 2];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        print_message("%s\n", ids[i].name);
        assert_int_equal(jwt_client_id(bytes_of(ids[i].text), id), ids[i].want);
        assert_true(!ids[i].id || strcmp(id, ids[i].id) == 0);
    }
    memset(filled, 'x', sizeof filled);
    assert_int_equal(jwt_client_id((struct bytes){(const uint8_t *)filled, JWT_CLIENT_ID_MAX}, id), E_RANGE);
    filled[0] = ' ';
    assert_int_equal(jwt_client_id((struct bytes){(const uint8_t *)filled, JWT_CLIENT_ID_MAX}, filled), OK); /* in its place */
    assert_int_equal(strlen(filled), JWT_CLIENT_ID_MAX - 1);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(assertions_are_right, setup),
        cmocka_unit_test_setup(no_two_are_the_same, setup),
        cmocka_unit_test_setup(bounds_hold, setup),
        cmocka_unit_test_setup(nothing_of_the_key_stays, setup),
        cmocka_unit_test(client_ids_are_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
