/* TLS: keys and certificates as they are parsed, what they cost, and new ones while the old serve. */
#include "tests/unit/tls_pair.h"

#include <stdlib.h>

/* --- identities --- */

struct key_case {
    const char *name;
    enum cert chain, key;
    err want;
};
static const struct key_case keys[] = {
    {"SEC1", CERT_SERVER, CERT_SERVER_KEY, OK},
    {"PKCS#8, EC", CERT_SERVER, CERT_SERVER_PKCS8, OK},
    {"PKCS#1", CERT_RSA, CERT_RSA_KEY, OK},
    {"PKCS#8, RSA", CERT_RSA, CERT_RSA_PKCS8, OK},
    {"encrypted", CERT_RSA, CERT_RSA_LOCKED, E_INVALID},
    {"not its own", CERT_SERVER, CERT_CLIENT_KEY, E_INVALID},
    {"another kind", CERT_SERVER, CERT_RSA_KEY, E_INVALID},
    {"no key", CERT_SERVER, CERT_SERVER, E_INVALID},
    {"no certificate", CERT_SERVER_KEY, CERT_SERVER_KEY, E_INVALID},
};

static err all_keys(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        size_t before = mem_use(TASK_BOARD).used_bytes;
        struct tls_identity *identity = NULL;
        err e = tls_identity_parse(cert(keys[i].chain), cert_key(keys[i].key), &identity);
        if (e != keys[i].want || (e == OK) != (identity != NULL)) {
            print_error("%s: %s\n", keys[i].name, err_name(e));
            checks_failed++;
        }
        if (identity)
            CHECK(tls_identity_expires_s(identity) > os_wall_ms() / 1000 + 29 * 86400 &&
                  tls_identity_expires_s(identity) < os_wall_ms() / 1000 + 31 * 86400);
        tls_identity_release(identity);
        CHECK(i == 0 || mem_use(TASK_BOARD).used_bytes == before);
    }
    struct tls_trust *trust = NULL;
    CHECK(tls_trust_parse((struct bytes){(const uint8_t *)"", 0}, &trust) == E_INVALID && !trust);
    CHECK(tls_trust_parse((struct bytes){(const uint8_t *)"no PEM", 6}, &trust) == E_INVALID && !trust);
    CHECK(tls_trust_parse(cert(CERT_SERVER_KEY), &trust) == E_INVALID && !trust);
    struct tls_config *config = NULL;
    CHECK(tls_config_open(&(struct tls_options){.server = false}, &config) == E_INVALID && !config);
    CHECK(tls_config_open(&(struct tls_options){.server = true}, &config) == E_INVALID && !config);
    return OK;
}

static void keys_of_every_kind(void **state)
{
    (void)state;
    run(all_keys);
}

/* --- parsed on a lane --- */

static err all_on_a_lane(void *arg)
{
    struct lane l;
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    (void)arg;
    lane_open(&l, "certificates", TASK_METRICS, 1);
    CHECK(tls_trust_parse_on(&l, cert(CERT_CA), &trust) == OK && trust); /* and the library's own tables */
    tls_trust_release(trust);
    size_t board = mem_use(TASK_BOARD).used_bytes, metrics = mem_use(TASK_METRICS).used_bytes;
    CHECK(tls_trust_parse_on(&l, cert(CERT_CA), &trust) == OK && trust);
    CHECK(tls_identity_parse_on(&l, cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &identity) == OK && identity);
    CHECK(mem_use(TASK_BOARD).used_bytes == board && mem_use(TASK_METRICS).used_bytes > metrics); /* the lane's task pays */
    tls_trust_release(trust);
    tls_identity_release(identity);
    CHECK(mem_use(TASK_METRICS).used_bytes == metrics);
    char words[256];
    trail_clear();
    CHECK(tls_trust_parse_on(&l, (struct bytes){(const uint8_t *)"no PEM", 6}, &trust) == E_INVALID && !trust);
    CHECK(strstr(trail_text(E_INVALID, words, sizeof words), "CA ")); /* what the job was doing has come along */
    CHECK(tls_identity_parse_on(&l, cert(CERT_SERVER), cert_key(CERT_CLIENT_KEY), &identity) == E_INVALID && !identity);
    lane_close(&l);
    CHECK(tls_trust_parse_on(&l, cert(CERT_CA), &trust) == E_CLOSED && !trust);
    CHECK(tls_identity_parse_on(&l, cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &identity) == E_CLOSED && !identity);
    CHECK(mem_use(TASK_METRICS).used_bytes == metrics);
    return OK;
}

/* A bundle as large as a system's: what is between its certificates is passed over, damaged ones are skipped; and what it costs.
 */
#define AUTHORITIES 144
static err all_of_a_bundle(void *arg)
{
    struct bytes ca = cert(CERT_CA);
    const char noise[] = "# an authority\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    size_t len = AUTHORITIES * (ca.len + sizeof noise), at = 0;
    uint8_t *pem = malloc(len);
    struct tls_trust *trust = NULL;
    (void)arg;
    CHECK(pem != NULL);
    for (unsigned i = 0; i < AUTHORITIES; i++, at += ca.len + sizeof noise - 1) {
        memcpy(pem + at, noise, sizeof noise - 1);
        memcpy(pem + at + sizeof noise - 1, ca.at, ca.len);
    }
    CHECK(tls_trust_parse(cert(CERT_CA), &trust) == OK); /* and the library's own tables */
    tls_trust_release(trust);
    size_t before = mem_use(TASK_BOARD).used_bytes;
    CHECK(tls_trust_parse((struct bytes){pem, at}, &trust) == OK && trust);
    size_t used = mem_use(TASK_BOARD).used_bytes - before;
    print_message("trust: %zu bytes of the heap each of %d authorities\n", used / AUTHORITIES, AUTHORITIES);
    CHECK(used > AUTHORITIES * (size_t)500 && used < AUTHORITIES * (size_t)4096);
    tls_trust_release(trust);
    CHECK(tls_trust_parse((struct bytes){pem, sizeof noise - 1}, &trust) == E_INVALID && !trust); /* only a damaged one */
    CHECK(tls_trust_parse((struct bytes){pem, sizeof noise + ca.len / 2}, &trust) == E_INVALID && !trust); /* and one cut short */
    CHECK(mem_use(TASK_BOARD).used_bytes == before);
    free(pem);
    return OK;
}

static void a_bundle(void **state)
{
    (void)state;
    run(all_of_a_bundle);
}

static void parsed_on_a_lane(void **state)
{
    (void)state;
    run(all_on_a_lane);
}

/* --- new ones --- */

/* A new config serves new connections; those there are keep the old one, also when its owner let go of it. */
static err reloads(void *arg)
{
    static const struct side successor = {NO, CERT_NEXT, CERT_NEXT_KEY, TLS_ANY, TLS_ANY, NULL};
    struct pair old, new;
    (void)arg;
    pair_open(&old, &server_plain, &client_plain, "etcd.test");
    tls_config_release(old.server_config);
    tls_config_release(old.client_config);
    old.server_config = old.client_config = NULL;
    pair_open(&new, &successor, &client_plain, "etcd.test");
    CHECK(old.connected == OK && new.connected == OK);
    CHECK(group_spawn(&old.group, "echo", echo, &old) == OK && group_spawn(&new.group, "echo", echo, &new) == OK);
    CHECK(ask(old.client) == OK && ask(new.client) == OK);
    pair_close(&old);
    pair_close(&new);
    return OK;
}

static void certificates_are_reloaded(void **state)
{
    (void)state;
    run(reloads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsed_on_a_lane),
        cmocka_unit_test(a_bundle),
        cmocka_unit_test(keys_of_every_kind),
        cmocka_unit_test(certificates_are_reloaded),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
