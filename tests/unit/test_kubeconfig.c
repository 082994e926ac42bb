/* A kubeconfig, as kubectl, kubeadm and talosctl write it and as people spoil it. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/format/kubeconfig.h"
#include "net/format/url.h"

#include <stdlib.h>
#include <string.h>

#define PEM "LS0tLS1CRUdJTiBYLS0tLS0K" /* -----BEGIN X----- */
#define TOP "apiVersion: v1\nkind: Config\npreferences: {}\n"
#define CONTEXTS                                                                                                                 \
    "contexts:\n- context: {cluster: c, user: u, namespace: team}\n  name: lab\n- context: {cluster: other, user: x}\n  name: "  \
    "else\n"
#define CLUSTERS                                                                                                                 \
    "clusters:\n- cluster:\n    certificate-authority-data: " PEM "\n    server: https://10.0.0.2:6443\n  name: c\n- name: "     \
    "other\n  cluster: {server: 'https://o', certificate-authority: pki/ca.crt, tls-server-name: kube.local}\n"
#define USERS                                                                                                                    \
    "users:\n- name: u\n  user:\n    client-certificate-data: " PEM "\n    client-key-data: " PEM                                \
    "\n- {name: x, user: {tokenFile: /run/token, token: old}}\n"
#define LAB         TOP CONTEXTS CLUSTERS USERS
#define CURRENT     "current-context: lab\n"
#define ONE(server) "contexts: [{name: lab, context: {cluster: c}}]\nclusters: [{name: c, cluster: {" server "}}]\n"
#define BASE64_MOST KIB(90)
#define S           "server: 'https://a'"
#define USER(text)                                                                                                               \
    "contexts: [{name: lab, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {" S                                 \
    "}}]\nusers:\n- name: u\n  user:\n    " text "\n"

static const struct config_case {
    const char *name, *yaml, *context;
    err want;
    const char *words; /* of the trail; of a good one what is told of it */
} cases[] = {
    {"as kubectl writes it", LAB CURRENT, NULL, OK, "lab c u team https://10.0.0.2:6443  ca=data cert=data key=data token=-"},
    {"the current context first", CURRENT LAB, "", OK, "lab c u team https://10.0.0.2:6443  ca=data cert=data key=data token=-"},
    {"another context", LAB CURRENT, "else", OK,
     "else other x  https://o kube.local ca=/k/pki/ca.crt cert=- key=- token=data,/run/token"},
    {"no user", ONE(S), "lab", OK, "lab c   https://a  ca=- cert=- key=- token=-"},
    {"JSON",
     "{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\",\"context\":{\"cluster\":\"c\",\"user\":\"\"}}],\"clusters\":[{"
     "\"name\":\"c\",\"cluster\":{\"server\":\"https://[::1]:6443\"}}],\"users\":null}",
     NULL, OK, "a c   https://[::1]:6443  ca=- cert=- key=- token=-"},
    {"KubePrism", ONE("server: 'https://localhost:7445'"), "lab", OK,
     "lab c   https://localhost:7445  ca=- cert=- key=- token=-"},
    {"behind a path", ONE("server: 'https://rancher/k8s/clusters/c-1/'"), "lab", OK,
     "lab c   https://rancher/k8s/clusters/c-1/  ca="},
    {"plaintext to this machine", ONE("server: 'http://127.0.0.1:8001'"), "lab", OK, "lab c   http://127.0.0.1:8001  ca="},
    {"base64 in lines",
     USER("token: t\n    client-key: /k\n    client-certificate-data: |\n      LS0tLS1CRUdJ\n      TiBYLS0tLS0K"), "lab", OK,
     "ca=- cert=data key=/k token=data"},
    {"verification told to be on", ONE(S ", insecure-skip-tls-verify: false"), "lab", OK, "https://a"},
    {"an exec of null", USER("exec: null"), "lab", OK, "https://a"},
    {"an exec of another user", USER("token: t\n- name: aws\n  user: {exec: {command: aws}}"), "lab", OK, "token=data"},
    {"no context chosen", LAB, NULL, E_CONFIG, "/k/config: no current-context: set kubernetes.context"},
    {"a context that is not there", LAB CURRENT, "prod", E_CONFIG, "/k/config: no context \"prod\" in contexts"},
    {"no contexts", CURRENT, NULL, E_CONFIG, "no context \"lab\""},
    {"no cluster of that name", CURRENT CONTEXTS, NULL, E_CONFIG, "no cluster \"c\" in clusters"},
    {"no user of that name", CURRENT CONTEXTS CLUSTERS, NULL, E_CONFIG, "no user \"u\" in users"},
    {"a context without a cluster", "contexts: [{name: lab}]", "lab", E_CONFIG, "contexts[lab].context has no cluster"},
    {"no server", ONE("x: y"), "lab", E_CONFIG, "clusters[c].cluster has no server"},
    {"a server without a scheme", ONE("server: '10.0.0.1:6443'"), "lab", E_CONFIG,
     "/k/config: line 2: clusters[c].cluster.server: no address of an API server: \"10.0.0.1:6443\" does not start"},
    {"plaintext elsewhere", ONE("server: 'http://10.0.0.1'"), "lab", E_CONFIG,
     "http:// only to this machine; 10.0.0.1 needs https://"},
    {"plaintext to a name", ONE("server: 'http://kube'"), "lab", E_CONFIG, "http:// only to this machine"},
    {"a server with a query", ONE("server: 'https://a/?x'"), "lab", E_CONFIG, "no query"},
    {"no verification", ONE(S ", insecure-skip-tls-verify: true"), "lab", E_UNSUPPORTED,
     "/k/config: line 2: clusters[c].cluster.insecure-skip-tls-verify: TLS always verifies here; give "
     "certificate-authority(-data)"},
    {"a proxy", ONE(S ", proxy-url: 'http://p'"), "lab", E_UNSUPPORTED, "clusters[c].cluster.proxy-url"},
    {"an exec plugin", USER("exec: {command: aws}"), "lab", E_UNSUPPORTED,
     "/k/config: line 6: users[u].user.exec: plugins are never run; use a token"},
    {"an auth provider", USER("auth-provider: {name: gcp}"), "lab", E_UNSUPPORTED, "users[u].user.auth-provider"},
    {"a user name", USER("username: me"), "lab", E_UNSUPPORTED, "users[u].user.username"},
    {"a password", USER("password: hunter2"), "lab", E_UNSUPPORTED, "users[u].user.password"},
    {"an impersonation", USER("as: root"), "lab", E_UNSUPPORTED, "users[u].user.as:"},
    {"a certificate without its key", USER("client-certificate: a.crt"), "lab", E_CONFIG,
     "users[u].user has a client certificate and no key"},
    {"a key without its certificate", USER("client-key: a.key"), "lab", E_CONFIG,
     "users[u].user has a client key and no certificate"},
    {"not base64", USER("client-key-data: '*'"), "lab", E_CONFIG, "line 6: users[u].user.client-key-data: not base64"},
    {"base64, no PEM", USER("client-key-data: aGVsbG8="), "lab", E_CONFIG, "users[u].user.client-key-data: not PEM"},
    {"twice", USER("token: a\n    token: b"), "lab", E_CONFIG, "line 7: users[u].user.token: is there twice"},
    {"a token in two lines", USER("token: \"a\\nb\""), "lab", E_CONFIG, "users[u].user.token: has a byte"},
    {"a map for a token", USER("token: {}"), "lab", E_CONFIG, "users[u].user.token: not a text"},
    {"a map for a text", ONE("server: {}"), "lab", E_CONFIG, "clusters[c].cluster.server: not a text"},
    {"a zero byte", ONE("server: \"https://a\\0b\""), "lab", E_CONFIG, "zero byte"},
    {"a list for a map", "contexts: [{name: lab, context: []}]", "lab", E_CONFIG, "contexts[lab].context.: not a map"},
    {"contexts that are a map", "contexts: {}\n", "lab", E_CONFIG, "line 1: contexts: not a list"},
    {"an entry that is a text", "contexts: [x]\n", "lab", E_CONFIG, "line 1: contexts: not a map"},
    {"a list", "- a\n", "lab", E_CONFIG, "line 1: no kubeconfig: not a map"},
    {"empty", "", "lab", E_CONFIG, "not a map of keys"},
    {"no YAML", "a: [\n", "lab", E_CONFIG, "/k/config: line 2: "},
};

static void value_told(struct text *t, const char *name, const struct kubeconfig_value *v)
{
    text_addf(t, " %s=%s%s%s", name, v->data.at ? "data" : v->path[0] ? "" : "-", v->data.at && v->path[0] ? "," : "", v->path);
}

static const char *told(const struct kubeconfig *c, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    text_addf(&t, "%s %s %s %s %s %s", c->context, c->cluster, c->user, c->name_space, c->server, c->tls_server_name);
    value_told(&t, "ca", &c->ca);
    value_told(&t, "cert", &c->cert);
    value_told(&t, "key", &c->key);
    value_told(&t, "token", &c->token);
    return out;
}

static void test_files(void **state)
{
    unsigned bad = 0;
    uint64_t before = mem_use(TASK_BOARD).used_bytes;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kubeconfig *c = NULL;
        char why[1024];
        trail_clear();
        err got = kubeconfig_open(bytes_of(cases[i].yaml), "/k/config", cases[i].context, &c);
        const char *is = c ? told(c, why, sizeof why) : trail_text(got, why, sizeof why);
        if (got != cases[i].want || (got == OK) != (c != NULL) || !strstr(is, cases[i].words) || strstr(is, "hunter2")) {
            bad++;
            print_error("%s: %s, %s\n", cases[i].name, err_name(got), is);
        }
        kubeconfig_close(c);
    }
    trail_clear();
    assert_int_equal(bad, 0);
    assert_int_equal(mem_use(TASK_BOARD).used_bytes, before);
}

static void test_beside(void **state)
{
    struct kubeconfig *c = NULL;
    (void)state;
    assert_int_equal(kubeconfig_open(bytes_of(LAB), "config", "else", &c), OK);
    assert_string_equal(c->ca.path, "pki/ca.crt");
    kubeconfig_close(c);
    assert_int_equal(kubeconfig_open(bytes_of(LAB), "../x/config", "else", &c), OK);
    assert_string_equal(c->ca.path, "../x/pki/ca.crt");
    kubeconfig_close(c);
}

static void test_data(void **state)
{
    struct kubeconfig *c = NULL;
    (void)state;
    assert_int_equal(kubeconfig_open(bytes_of(LAB), "c", "lab", &c), OK);
    assert_memory_equal(c->key.data.at, "-----BEGIN X-----\n", c->key.data.len);
    assert_int_equal(c->key.data.len, 18);
    kubeconfig_close(c);
    assert_int_equal(kubeconfig_open(bytes_of(LAB), "c", "else", &c), OK);
    assert_true(bytes_equal_text((struct bytes){c->token.data.at, c->token.data.len}, "old"));
    kubeconfig_close(c);
}

static void test_bounds(void **state)
{
    struct kubeconfig *c = NULL;
    size_t large = KUBECONFIG_BYTES_MAX + 1;
    char *text = malloc(large);
    (void)state;
    memset(text, '#', large);
    assert_int_equal(kubeconfig_open((struct bytes){(uint8_t *)text, large}, "c", "lab", &c), E_CONFIG);
    assert_null(c);
    size_t used = (size_t)snprintf(text, large, "%s", USER("token: "));
    memset(text + used - 1, 'a', BASE64_MOST);
    assert_int_equal(kubeconfig_open((struct bytes){(uint8_t *)text, used + BASE64_MOST - 1}, "c", "lab", &c), E_CONFIG);
    assert_null(c);
    free(text);
    trail_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_bounds),
    };
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK)
        return 1;
    return cmocka_run_group_tests_name("kubeconfig", tests, NULL, NULL);
}
