/* What of the Kubernetes client needs no server: paths, queries, what a refusal says and which role it lacks. */
#include "tests/unit/check.h"

#include "board/rt/text.h"
#include "net/api/kube/kube_internal.h"
#include "net/api/kube/kube_watch.h"

#include <stdlib.h>
#include <string.h>

/* --- paths --- */

static const struct kube_resource pods = {"", "v1", "pods", true},
                                  roles = {"rbac.authorization.k8s.io", "v1", "clusterroles", false};

static const struct path_case {
    const char *name;
    const struct kube_resource *resource;
    const char *name_space, *object, *part;
    const char *want; /* NULL: none */
} paths[] = {
    {"all of them", &pods, NULL, NULL, NULL, "/api/v1/pods"},
    {"of a namespace", &pods, "kube-system", NULL, NULL, "/api/v1/namespaces/kube-system/pods"},
    {"one", &pods, "a", "b.c", NULL, "/api/v1/namespaces/a/pods/b.c"},
    {"its status", &pods, "a", "b", "status", "/api/v1/namespaces/a/pods/b/status"},
    {"of a group", &roles, NULL, "system:node", NULL, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"},
    {"not namespaced", &roles, "a", NULL, NULL, "/apis/rbac.authorization.k8s.io/v1/clusterroles"},
    {"a slash in a name", &pods, "a", "b/c", NULL, NULL},
    {"a query in a name", &pods, "a", "b?c", NULL, NULL},
    {"percent in a name", &pods, "a", "b%2f", NULL, NULL},
    {"up", &pods, "..", "b", NULL, NULL},
    {"here", &pods, "a", ".", NULL, NULL},
    {"an empty name", &pods, "a", "", NULL, NULL},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        const struct path_case *c = &paths[i];
        char out[KUBE_PATH_MAX];
        bool made = kube_path(c->resource, c->name_space, c->object, c->part, out);
        if (made != (c->want != NULL) || (made && strcmp(out, c->want) != 0))
            fail_msg("%s: %s", c->name, made ? out : "none");
    }
    char name[KUBE_NAME_MAX + 1], out[KUBE_PATH_MAX];
    memset(name, 'a', sizeof name);
    name[KUBE_NAME_MAX] = 0;
    assert_false(kube_path(&pods, "a", name, NULL, out));
    name[KUBE_NAME_MAX - 1] = 0;
    assert_true(kube_path(&pods, "a", name, NULL, out));
}

static void test_query(void **state)
{
    char out[64];
    struct text t = text_over(out, sizeof out);
    (void)state;
    text_add(&t, "/p");
    kube_query_add(&t, "a", bytes_of("x/=&~_\xc3\xa4"));
    kube_query_add(&t, "b", (struct bytes){(const uint8_t *)"\0", 1});
    assert_string_equal(out, "/p?a=x%2F%3D%26~_%C3%A4&b=%00");
}

/* --- refusals --- */

static const struct role_case {
    const char *name;
    enum kube_verb verb;
    int code;
    const char *path, *message, *want;
} missing[] = {
    {"a list", KUBE_LIST, 403, "/api/v1/secrets?limit=5",
     "secrets is forbidden: User \"system:serviceaccount:hf:hf\" cannot list resource",
     "give system:serviceaccount:hf:hf a ClusterRole: apiGroups [\"\"], resources [secrets], verbs [list]"},
    {"a watch of a group", KUBE_WATCH, 403, "/apis/apps/v1/deployments", "x",
     "give us a ClusterRole: apiGroups [\"apps\"], resources [deployments], verbs [watch]"},
    {"in a namespace", KUBE_UPDATE, 403, "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", "x",
     "give us a Role in its namespace or a ClusterRole: apiGroups [\"coordination.k8s.io\"], resources [leases], verbs [update]"},
    {"a status", KUBE_PATCH, 403, "/apis/obsyk.io/v1/namespaces/a/obsykagents/o/status", "x",
     "give us a Role in its namespace or a ClusterRole: apiGroups [\"obsyk.io\"], resources [obsykagents/status], verbs [patch]"},
    {"a namespace itself", KUBE_GET, 403, "/api/v1/namespaces/a", "x",
     "give us a ClusterRole: apiGroups [\"\"], resources [namespaces], verbs [get]"},
    {"its status", KUBE_PATCH, 403, "/api/v1/namespaces/a/status", "x",
     "give us a ClusterRole: apiGroups [\"\"], resources [namespaces/status], verbs [patch]"},
    {"no resource", KUBE_GET, 403, "/version", "x", "give us a ClusterRole: nonResourceURLs [/version], verbs [get]"},
    {"a user that does not end", KUBE_GET, 403, "/version", "User \"x",
     "give us a ClusterRole: nonResourceURLs [/version], verbs [get]"},
    {"nobody", KUBE_GET, 401, "/api/v1/pods", "Unauthorized",
     "the API server does not take our token or certificate: has it expired, is it of this cluster?"},
    {"another refusal", KUBE_GET, 404, "/api/v1/pods", "x", ""},
};

static void test_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(missing); i++) {
        struct kube_status s = {.code = missing[i].code};
        (void)snprintf(s.message, sizeof s.message, "%s", missing[i].message);
        kube_status_missing(&s, missing[i].verb, missing[i].path);
        if (strcmp(s.missing, missing[i].want) != 0)
            fail_msg("%s: %s", missing[i].name, s.missing);
    }
}

static const struct code_case {
    int code;
    enum kube_verb verb;
    const char *reason;
    err want;
} codes[] = {
    {400, KUBE_GET, "", E_INVALID},   {401, KUBE_GET, "", E_DENIED},           {403, KUBE_LIST, "Forbidden", E_DENIED},
    {404, KUBE_GET, "", E_ABSENT},    {405, KUBE_GET, "", E_UNSUPPORTED},      {409, KUBE_CREATE, "AlreadyExists", E_EXISTS},
    {409, KUBE_CREATE, "x", E_AGAIN}, {409, KUBE_UPDATE, "Conflict", E_AGAIN}, {410, KUBE_LIST, "Expired", E_AGAIN},
    {413, KUBE_CREATE, "", E_RANGE},  {415, KUBE_PATCH, "", E_UNSUPPORTED},    {422, KUBE_CREATE, "Invalid", E_INVALID},
    {429, KUBE_GET, "", E_BUSY},      {500, KUBE_GET, "", E_REMOTE},           {504, KUBE_GET, "", E_REMOTE},
    {302, KUBE_GET, "", E_REMOTE},
};

static void test_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct kube_status s = {.code = codes[i].code};
        (void)snprintf(s.reason, sizeof s.reason, "%s", codes[i].reason);
        err got = kube_status_err(&s, codes[i].verb);
        if (got != codes[i].want)
            fail_msg("%d %s: %s", codes[i].code, codes[i].reason, err_name(got));
    }
}

static const struct print_case {
    const char *from;
    size_t cap;
    const char *want;
} prints[] = {
    {"plain", 32, "plain"},
    {"two\nlines\r\n", 32, "two lines"},
    {"\x1b[31m", 32, " [31m"},
    {"too long", 4, "too"},
    {"\xc3\xa4\xc3\xa4", 4, "\xc3\xa4"},
    {"a\xe2\x82\xac", 4, "a"},
    {"a\xe2\x82\xac", 5, "a\xe2\x82\xac"},
    {"", 4, ""},
    {"\xf0\x9f\x98\x80", 4, ""},
};

static void test_prints(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(prints); i++) {
        char out[32];
        kube_text_printable(bytes_of(prints[i].from), out, prints[i].cap);
        if (strcmp(out, prints[i].want) != 0)
            fail_msg("%s: %s", prints[i].from, out);
    }
}

static void test_pause(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        ms first = kube_pause(0, KUBE_BACKOFF_MS_MAX), last = kube_pause(i, KUBE_BACKOFF_MS_MAX);
        assert_int_in_range(first, 100, 200);
        assert_int_in_range(last, 100, KUBE_BACKOFF_MS_MAX);
        assert_true(i < 10 || last >= KUBE_BACKOFF_MS_MAX / 2);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(kube_event_name(KUBE_EVENT_ADDED), "ADDED");
    assert_string_equal(kube_event_name(KUBE_EVENT_OVERSIZED), "OVERSIZED");
    assert_string_equal(kube_verb_name(KUBE_PATCH), "patch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),  cmocka_unit_test(test_query), cmocka_unit_test(test_missing), cmocka_unit_test(test_codes),
        cmocka_unit_test(test_prints), cmocka_unit_test(test_pause), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("kube", tests, NULL, NULL);
}
