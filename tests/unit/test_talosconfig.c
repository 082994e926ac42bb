/* A talosconfig, as talosctl writes it and as people spoil it. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/talosconfig.h"

#include <string.h>

#define PEM  "LS0tLS1CRUdJTiBYLS0tLS0K" /* -----BEGIN X----- */
#define KEYS "    ca: " PEM "\n    crt: " PEM "\n    key: " PEM "\n"
#define LAB  "contexts:\n  lab:\n    endpoints: [10.0.0.2, \"node:50000\"]\n    nodes: [10.0.0.3]\n" KEYS
#define ED25519                                                                                                                  \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJOakNCNmFBREFnRUNBaFErQ2RHc2RaMEwwOHdreUdkczgrQXBmRk95YXpBRkJnTXJaWEF3RURFT01Bd0" \
    "cKQTFVRUF3d0ZkR0ZzYjNNd0lCY05Nall4TVRJeE1UWXpNakkzV2hnUE1qRXlOakV3TWpneE5qTXlNamRhTUJBeApEakFNQmdOVkJBTU1CWFJoYkc5ek1Db3dC" \
    "UVlESzJWd0F5RUFSNVZoaFBwVFZHVFJxZ2svSFVyQVIyRmV2b0ljCnhUM3pMZnZxZDFONDBYT2pVekJSTUIwR0ExVWREZ1FXQkJUWUpHanhJWGRaZDB0S21LOW" \
    "FRTHdsOFFFTndUQWYKQmdOVkhTTUVHREFXZ0JUWUpHanhJWGRaZDB0S21LOWFRTHdsOFFFTndUQVBCZ05WSFJNQkFmOEVCVEFEQVFILwpNQVVHQXl0bGNBTkJB" \
    "RDNlQnIwb2RpNEhLOFJBQlNnbVpZbTcrM0RMSWNnSk00ODIxS0hYQ0Nwd2M2U2F1OUVyCmNaK3g5RVl6djgrY2daVHBmaG9rcCtBV2NJb3FJNklhc1FrPQotLS" \
    "0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg=="

static const struct config_case {
    const char *name, *yaml, *context;
    err want;
    const char *words; /* of the trail; of a good one the endpoints */
} cases[] = {
    {"as talosctl writes it", "context: lab\n" LAB, NULL, OK, "10.0.0.2 node:50000 "},
    {"the context after the contexts", LAB "context: lab\n", "", OK, "10.0.0.2 node:50000 "},
    {"a chosen context", "context: other\n" LAB, "lab", OK, "10.0.0.2 node:50000 "},
    {"other keys", "context: lab\nmore: {a: [b]}\n" LAB "    auth: {basic: 1}\n    cluster: [x]\n", NULL, OK,
     "10.0.0.2 node:50000 "},
    {"an empty endpoint", "context: lab\ncontexts: {lab: {endpoints: [a, ''], ca: " PEM ", crt: " PEM ", key: " PEM "}}", NULL,
     OK, "a "},
    {"no context chosen", LAB, NULL, E_CONFIG, "no `context`"},
    {"a context that is not there", "context: prod\n" LAB, NULL, E_CONFIG, "no context \"prod\""},
    {"no contexts", "context: lab\n", NULL, E_CONFIG, "no context \"lab\""},
    {"no endpoints", "contexts:\n  lab:\n" KEYS, "lab", E_CONFIG, "has no endpoints"},
    {"no ca", "contexts: {lab: {endpoints: [a], crt: " PEM ", key: " PEM "}}", "lab", E_CONFIG, "has no ca"},
    {"no crt", "contexts: {lab: {endpoints: [a], ca: " PEM ", key: " PEM "}}", "lab", E_CONFIG, "has no crt"},
    {"no key", "contexts: {lab: {endpoints: [a], ca: " PEM ", crt: " PEM "}}", "lab", E_CONFIG, "has no key"},
    {"a key twice", "contexts: {lab: {ca: " PEM ", ca: " PEM "}}", "lab", E_CONFIG, "ca: line 1: is there twice"},
    {"not base64", "contexts:\n  lab:\n    ca: '*'\n", "lab", E_CONFIG, "ca: line 3: not base64"},
    {"base64, no PEM", "contexts:\n  lab:\n    ca: aGVsbG8=\n", "lab", E_CONFIG, "ca: line 3: not PEM"},
    {"a map for a text", "contexts:\n  lab:\n    ca: {}\n", "lab", E_CONFIG, "ca: line 3: not PEM"},
    {"endpoints that are no list", "contexts:\n  lab:\n    endpoints: a\n", "lab", E_CONFIG, "endpoints: line 3: not a list"},
    {"a list in the endpoints", "contexts: {lab: {endpoints: [[a]]}}", "lab", E_CONFIG, "endpoints: line 1: not a text"},
    {"nine endpoints", "contexts: {lab: {endpoints: [a, b, c, d, e, f, g, h, i]}}", "lab", E_CONFIG, "more than 8"},
    {"contexts that are a list", "contexts: []\n", "lab", E_CONFIG, "contexts: line 1: not a map"},
    {"a context that is a text", "contexts: {lab: x}\n", "lab", E_CONFIG, "lab: line 1: not a map"},
    {"a list", "- a\n", "lab", E_CONFIG, "talosconfig: line 1: not a map"},
    {"empty", "", "lab", E_CONFIG, "not a map"},
    {"no YAML", "a: [\n", "lab", E_CONFIG, "line 2: "},
    {"an Ed25519 CA", "contexts: {lab: {endpoints: [a], ca: " ED25519 ", crt: " PEM ", key: " PEM "}}", "lab", E_UNSUPPORTED,
     "Talos' API CA is Ed25519, which this TLS does not have; use the socket /system/run/machined/machine.sock or give Talos an "
     "ECDSA/RSA CA"},
    {"an Ed25519 certificate", "contexts: {lab: {endpoints: [a], ca: " PEM ", crt: " ED25519 ", key: " PEM "}}", "lab",
     E_UNSUPPORTED,
     "Talos' API client certificate is Ed25519, which this TLS does not have; use the socket /system/run/machined/machine.sock "
     "or "
     "give Talos an ECDSA/RSA CA"},
};

static bool is_good(const struct talosconfig *c, const char *endpoints)
{
    char storage[256];
    struct text t = text_over(storage, sizeof storage);
    for (unsigned i = 0; i < c->endpoint_count; i++)
        text_addf(&t, "%s ", c->endpoints[i]);
    return strcmp(storage, endpoints) == 0 && c->key_pem.len == 18 && memcmp(c->ca_pem.at, "-----BEGIN X-----\n", 18) == 0;
}

static err run(void *arg)
{
    char why[1024];
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct talosconfig *c = NULL;
        trail_clear();
        err got = talosconfig_open(bytes_of(cases[i].yaml), cases[i].context, &c);
        bool right = got == cases[i].want && (got == OK) == (c != NULL);
        if (right)
            right = c ? is_good(c, cases[i].words) : strstr(trail_text(got, why, sizeof why), cases[i].words) != NULL;
        if (!right) {
            print_error("%s: %s %s\n", cases[i].name, err_name(got), got == OK ? "" : why);
            checks_failed++;
        }
        talosconfig_close(c);
    }
    return OK;
}

static void table(void **unused)
{
    (void)unused;
    uint64_t before = mem_use(TASK_BOARD).used_bytes;
    fibers_run(run, NULL, OK);
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("talosconfig", tests, NULL, NULL);
}
