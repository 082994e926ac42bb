/* ObsykAgent: what is read of it, what is refused and in which words, its status' patch, and its CRD as committed. Run from the
 * root of the tree, as `make` does. */
#include "agents/ingest/agent_resource.h"
#include "board/rt/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CRD        "config/crds/obsykagents.obsyk.io.yaml"
#define META       "\"metadata\":{\"name\":\"a\",\"namespace\":\"obsyk\",\"uid\":\"u-1\",\"resourceVersion\":\"7\",\"generation\":3}"
#define NEED       "\"platformURL\":\"https://api.obsyk.ai\",\"clusterName\":\"home\",\"credentialsSecretRef\":{\"name\":\"keys\"}"
#define SPEC(more) "{" META ",\"spec\":{" NEED more "}}"

static struct obsyk_agent one, two;

static err read_text(const char *text, struct obsyk_agent *out, char errors[CUSTOM_ERRORS_BYTES])
{
    struct text t = text_over(errors, CUSTOM_ERRORS_BYTES);
    err e = custom_read(&obsyk_agent_resource, bytes_of(text), out, &t);
    trail_clear();
    return e;
}

static void read_good(const char *text, struct obsyk_agent *out)
{
    char errors[CUSTOM_ERRORS_BYTES];
    if (read_text(text, out, errors) != OK)
        fail_msg("%s: %s", text, errors);
}

/* --- reading --- */
static void all_of_it_is_read(void **state)
{
    (void)state;
    read_good("{\"kind\":\"ObsykAgent\"," META ",\"spec\":{" NEED
              ",\"syncInterval\":\"1m30s\",\"rateLimit\":{\"eventsPerSecond\":50,"
              "\"burstSize\":5000},\"later\":[1]},\"status\":{\"clusterUID\":\"c-1\",\"lastSyncTime\":\"2026-11-21T09:51:32Z\","
              "\"observedGeneration\":2,\"resourceCounts\":{\"pods\":12,\"events\":3},\"conditions\":[{\"type\":\"Available\","
              "\"status\":\"True\",\"reason\":\"AgentRunning\",\"message\":\"m\",\"lastTransitionTime\":\"1970-01-01T00:00:09Z\","
              "\"observedGeneration\":2}]}}",
              &one);
    assert_string_equal(one.meta.name, "a");
    assert_string_equal(one.meta.namespace, "obsyk");
    assert_string_equal(one.meta.uid, "u-1");
    assert_string_equal(one.meta.resource_version, "7");
    assert_int_equal(one.meta.generation, 3);
    assert_false(one.meta.is_ending);
    assert_string_equal(one.platform_url, "https://api.obsyk.ai");
    assert_string_equal(one.cluster_name, "home");
    assert_string_equal(one.secret_name, "keys");
    assert_int_equal(one.sync_interval_ms, 90000);
    assert_int_equal(one.events_per_second, 50);
    assert_int_equal(one.burst_size, 5000);
    assert_string_equal(one.cluster_uid, "c-1");
    assert_int_equal(one.observed_generation, 2);
    assert_int_equal(one.counts[OBSYK_COUNT_pods], 12);
    assert_int_equal(one.counts[OBSYK_COUNT_events], 3);
    assert_int_equal(one.conditions.count, 1);
    assert_int_equal(one.conditions.list[0].status, CUSTOM_TRUE);
    assert_int_equal(one.conditions.list[0].last_transition_s, 9);
    assert_false(one.conditions.more);
}

static const struct {
    const char *name, *object;
    ms interval_ms;
    int64_t rate, burst;
} defaults[] = {
    {"none given", SPEC(""), MINUTES(5), 10, 20},
    {"an empty limit", SPEC(",\"rateLimit\":{}"), MINUTES(5), 10, 20},
    {"rate alone", SPEC(",\"rateLimit\":{\"eventsPerSecond\":25}"), MINUTES(5), 25, 20},
    {"burst alone", SPEC(",\"rateLimit\":{\"burstSize\":50}"), MINUTES(5), 10, 50},
    {"zeros", SPEC(",\"syncInterval\":\"0s\",\"rateLimit\":{\"eventsPerSecond\":0,\"burstSize\":0}"), MINUTES(5), 10, 20},
    {"below zero", SPEC(",\"syncInterval\":\"-5m\",\"rateLimit\":{\"eventsPerSecond\":-1,\"burstSize\":-5}"), MINUTES(5), 10, 20},
    {"nulls", SPEC(",\"syncInterval\":null,\"rateLimit\":null"), MINUTES(5), 10, 20},
    {"parts of a millisecond count as one", SPEC(",\"syncInterval\":\"1ns\""), 1, 10, 20},
};

static void what_is_absent_has_a_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        read_good(defaults[i].object, &one);
        if (one.sync_interval_ms != defaults[i].interval_ms || one.events_per_second != defaults[i].rate ||
            one.burst_size != defaults[i].burst)
            fail_msg("%s: %lld ms, %lld, %lld", defaults[i].name, (long long)one.sync_interval_ms,
                     (long long)one.events_per_second, (long long)one.burst_size);
    }
}

static const struct {
    const char *object, *errors;
} faults[] = {
    {SPEC(",\"rateLimit\":{\"burstSize\":6000}"), "spec.rateLimit.burstSize: 6000: at most 5000"},
    {SPEC(",\"rateLimit\":{\"eventsPerSecond\":5001,\"burstSize\":1.5}"),
     "spec.rateLimit.eventsPerSecond: 5001: at most 5000\nspec.rateLimit.burstSize: no whole number"},
    {SPEC(",\"rateLimit\":{\"burstSize\":\"9\"}"), "spec.rateLimit.burstSize: no whole number"},
    {SPEC(",\"rateLimit\":7"), "spec.rateLimit: no object"},
    {SPEC(",\"syncInterval\":\"soon\""), "spec.syncInterval: \"soon\": no duration; write it like 30s, 5m or 1h30m"},
    {SPEC(",\"syncInterval\":300"), "spec.syncInterval: no text; write it like \"5m\""},
    {"{" META "}", "spec.platformURL: missing\nspec.clusterName: missing\nspec.credentialsSecretRef: missing"},
    {"{" META ",\"spec\":[]}", "spec: no object"},
    {"{" META ",\"spec\":{\"platformURL\":\"ftp://x\",\"clusterName\":\"\",\"credentialsSecretRef\":{\"name\":\"\"}}}",
     "spec.platformURL: \"ftp://x\": no URL; write it like https://api.obsyk.ai\n"
     "spec.clusterName: \"\": 0 characters: at least 1\nspec.credentialsSecretRef.name: \"\": no name of a Secret"},
    {"{" META ",\"spec\":{\"platformURL\":\"https://x\",\"clusterName\":\"h\",\"credentialsSecretRef\":{\"name\":\"../x\"}}}",
     "spec.credentialsSecretRef.name: \"../x\": no name of a Secret"},
    {"{" META ",\"spec\":{\"platformURL\":\"https://x\",\"clusterName\":7,\"credentialsSecretRef\":{}}}",
     "spec.clusterName: no text\nspec.credentialsSecretRef.name: missing"},
    {"{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"1\"},\"spec\":{" NEED "}}",
     "metadata.namespace: missing, or longer than 253 bytes"},
};

static void a_fault_names_its_field(void **state)
{
    (void)state;
    char errors[CUSTOM_ERRORS_BYTES];
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        assert_int_equal(read_text(faults[i].object, &one, errors), E_INVALID);
        assert_string_equal(errors, faults[i].errors);
        assert_string_equal(one.meta.name, "a"); /* so that the fault can be told in its status */
    }
}

static void a_name_is_counted_in_characters(void **state)
{
    (void)state;
    static char text[4096];
    for (int n = 253; n <= 254; n++) {
        char errors[CUSTOM_ERRORS_BYTES];
        int at = snprintf(text, sizeof text,
                          "{" META ",\"spec\":{\"platformURL\":\"https://x\",\"credentialsSecretRef\":{\"name\":\"k\"},"
                          "\"clusterName\":\"");
        for (int i = 0; i < n; i++)
            at += snprintf(text + at, sizeof text - (size_t)at, "\xF0\x9F\x8F\xA0");
        (void)snprintf(text + at, sizeof text - (size_t)at, "\"}}");
        assert_int_equal(read_text(text, &one, errors), n == 253 ? OK : E_INVALID);
    }
}

static const struct {
    const char *object;
    err error;
} broken[] = {
    {"", E_CORRUPT}, {"[]", E_CORRUPT}, {"7", E_CORRUPT}, {"{\"metadata\":", E_CORRUPT}, {"{}", E_INVALID}, {"{} {}", E_CORRUPT},
};

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    char errors[CUSTOM_ERRORS_BYTES];
    size_t used = mem_use(mem_task()).used_bytes;
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        if (read_text(broken[i].object, &one, errors) != broken[i].error)
            fail_msg("%s", broken[i].object);
    assert_int_equal(mem_use(mem_task()).used_bytes, used);
}

static void a_bad_status_does_no_harm(void **state)
{
    (void)state;
    read_good("{" META ",\"spec\":{" NEED
              "},\"status\":{\"lastSyncTime\":\"yesterday\",\"observedGeneration\":\"x\",\"clusterUID\":7,"
              "\"resourceCounts\":[],\"conditions\":[{\"type\":\"Available\"}]}}",
              &one);
    assert_int_equal(one.last_sync_s, 0);
    assert_int_equal(one.conditions.count, 0);
    assert_true(one.conditions.more);
}

/* --- the patch --- */
#define HEAD "{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{"

static void set_all(struct obsyk_agent *a)
{
    a->last_sync_s = a->last_snapshot_s = 100;
    a->observed_generation = 3;
    a->counts[OBSYK_COUNT_pods] = 5;
    (void)snprintf(a->cluster_uid, sizeof a->cluster_uid, "c-1");
}
static void later_sync(struct obsyk_agent *a)
{
    set_all(a);
    a->last_sync_s = 160;
}
static void fewer_pods(struct obsyk_agent *a)
{
    set_all(a);
    a->counts[OBSYK_COUNT_pods] = 0;
    a->counts[OBSYK_COUNT_nodes] = 1;
}
static void no_uid(struct obsyk_agent *a)
{
    set_all(a);
    a->cluster_uid[0] = 0;
}
static void healthy(struct obsyk_agent *a)
{
    set_all(a);
    assert_int_equal(obsyk_agent_set(a, OBSYK_AGENT_HEALTHY, "all is \"well\"", 100), OK);
}
static void nothing(struct obsyk_agent *a)
{
    (void)a;
}

static const struct {
    const char *name;
    void (*before)(struct obsyk_agent *), (*after)(struct obsyk_agent *);
    enum custom_change change;
    const char *patch;
} patches[] = {
    {"nothing", nothing, nothing, CUSTOM_SAME, ""},
    {"the same", set_all, set_all, CUSTOM_SAME, ""},
    {"the first time", nothing, set_all, CUSTOM_CHANGED,
     HEAD "\"clusterUID\":\"c-1\",\"lastSyncTime\":\"1970-01-01T00:01:40Z\",\"lastSnapshotTime\":\"1970-01-01T00:01:40Z\","
          "\"observedGeneration\":3,\"resourceCounts\":{\"pods\":5}}}"},
    {"a time", set_all, later_sync, CUSTOM_TIMES, HEAD "\"lastSyncTime\":\"1970-01-01T00:02:40Z\"}}"},
    {"counts", set_all, fewer_pods, CUSTOM_CHANGED, HEAD "\"resourceCounts\":{\"pods\":null,\"nodes\":1}}}"},
    {"a text is gone", set_all, no_uid, CUSTOM_CHANGED, HEAD "\"clusterUID\":null}}"},
    {"all are gone", set_all, nothing, CUSTOM_CHANGED,
     HEAD "\"clusterUID\":null,\"lastSyncTime\":null,\"lastSnapshotTime\":null,\"observedGeneration\":null,"
          "\"resourceCounts\":{\"pods\":null}}}"},
    {"a condition", set_all, healthy, CUSTOM_CHANGED,
     HEAD "\"conditions\":[{\"type\":\"Degraded\",\"status\":\"False\",\"observedGeneration\":3,\"lastTransitionTime\":"
          "\"1970-01-01T00:01:40Z\",\"reason\":\"AgentHealthy\",\"message\":\"all is \\\"well\\\"\"}]}}"},
};

static void only_what_differs_is_patched(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patches); i++) {
        char storage[KIB(2)];
        struct text out = text_over(storage, sizeof storage);
        enum custom_change change = CUSTOM_CHANGED;
        read_good(SPEC(""), &one);
        read_good(SPEC(""), &two);
        patches[i].before(&one);
        patches[i].after(&two);
        assert_int_equal(custom_patch(&obsyk_agent_resource, &one, &two, &out, &change), OK);
        if (change != patches[i].change || strcmp(storage, patches[i].patch) != 0)
            fail_msg("%s: %d, %s", patches[i].name, (int)change, storage);
    }
}

static void a_small_place_is_told(void **state)
{
    (void)state;
    char storage[64];
    struct text out = text_over(storage, sizeof storage);
    enum custom_change change;
    read_good(SPEC(""), &one);
    two = one;
    set_all(&two);
    assert_int_equal(custom_patch(&obsyk_agent_resource, &one, &two, &out, &change), E_RANGE);
    trail_clear();
}

static void conditions_of_others_are_not_lost(void **state)
{
    (void)state;
    char storage[KIB(2)];
    struct text out = text_over(storage, sizeof storage);
    enum custom_change change;
    read_good(SPEC(""), &one);
    one.conditions.more = true;
    two = one;
    set_all(&two); /* but for conditions, it can be written */
    assert_int_equal(custom_patch(&obsyk_agent_resource, &one, &two, &out, &change), OK);
    healthy(&two);
    assert_int_equal(custom_patch(&obsyk_agent_resource, &one, &two, &out, &change), E_RANGE);
    trail_clear();
}

/* --- conditions --- */
static const struct {
    const char *name;
    enum obsyk_condition set;
    int64_t now_s;
    unsigned count;
    const char *type, *reason;
    enum custom_status status;
    int64_t since_s;
} steps[] = {
    /* one after the other, on one list */
    {"the first", OBSYK_AGENT_RUNNING, 10, 1, "Available", "AgentRunning", CUSTOM_TRUE, 10},
    {"again", OBSYK_AGENT_RUNNING, 20, 1, "Available", "AgentRunning", CUSTOM_TRUE, 10},
    {"another type", OBSYK_SYNC_ACTIVE, 30, 2, "Syncing", "SyncActive", CUSTOM_TRUE, 30},
    {"it flips", OBSYK_HEARTBEAT_FAILED, 40, 2, "Syncing", "HeartbeatFailed", CUSTOM_FALSE, 40},
    {"another reason, the same status", OBSYK_SNAPSHOT_FAILED, 50, 2, "Syncing", "SnapshotFailed", CUSTOM_FALSE, 40},
    {"it flips back", OBSYK_SYNC_ACTIVE, 60, 2, "Syncing", "SyncActive", CUSTOM_TRUE, 60},
    {"a third", OBSYK_AUTHENTICATION_ERROR, 70, 3, "Degraded", "AuthenticationError", CUSTOM_TRUE, 70},
    {"the first is as it was", OBSYK_AGENT_RUNNING, 80, 3, "Available", "AgentRunning", CUSTOM_TRUE, 10},
};

static void a_transition_is_a_change_of_status(void **state)
{
    (void)state;
    one = (struct obsyk_agent){.meta.generation = 4};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        assert_int_equal(obsyk_agent_set(&one, steps[i].set, steps[i].name, steps[i].now_s), OK);
        const struct custom_condition *c = custom_condition_find(&one.conditions, steps[i].type);
        assert_non_null(c);
        if (one.conditions.count != steps[i].count || strcmp(c->reason, steps[i].reason) != 0 || c->status != steps[i].status ||
            c->last_transition_s != steps[i].since_s || strcmp(c->message, steps[i].name) != 0 || c->observed_generation != 4)
            fail_msg("%s: %u, %s, %d, since %lld", steps[i].name, one.conditions.count, c->reason, (int)c->status,
                     (long long)c->last_transition_s);
    }
}

static void the_list_is_bounded(void **state)
{
    (void)state;
    one = (struct obsyk_agent){0};
    for (unsigned i = 0; i < CUSTOM_CONDITIONS_MAX; i++) {
        char type[8];
        (void)snprintf(type, sizeof type, "T%u", i);
        assert_int_equal(custom_condition_set(&one.conditions, type, CUSTOM_TRUE, "R", "", 1, 1), OK);
    }
    assert_int_equal(obsyk_agent_set(&one, OBSYK_AGENT_RUNNING, "", 2), E_FULL);
    trail_clear();
    assert_null(custom_condition_find(&one.conditions, "Available"));
}

static void a_long_message_is_cut_at_a_character(void **state)
{
    (void)state;
    static char message[CUSTOM_MESSAGE_MAX + 8];
    one = (struct obsyk_agent){0};
    memset(message, 'x', CUSTOM_MESSAGE_MAX - 2);
    memcpy(message + CUSTOM_MESSAGE_MAX - 2, "\xC3\xA9", 3);
    assert_int_equal(obsyk_agent_set(&one, OBSYK_INVALID_SPEC, message, 2), OK);
    assert_int_equal(strlen(one.conditions.list[0].message), CUSTOM_MESSAGE_MAX - 2);
}

/* --- the CRD --- */
static void the_crd_is_as_committed(void **state)
{
    (void)state;
    static char written[KIB(32)], committed[KIB(32)];
    struct text out = text_over(written, sizeof written);
    custom_crd(&obsyk_agent_resource, &out);
    assert_false(out.cut);
    FILE *f = fopen(CRD, "r");
    if (!f)
        fail_msg(CRD ": cannot be opened; tests run in the root of the tree");
    size_t len = fread(committed, 1, sizeof committed - 1, f);
    assert_int_equal(fclose(f), 0);
    committed[len] = 0;
    if (strcmp(committed, written) != 0)
        fail_msg(CRD " is not what `holdfast crd` prints:\n%s", written);
}

static void every_count_has_a_kind(void **state)
{
    (void)state;
    assert_int_equal(OBSYK_COUNT_COUNT, 20);
    for (enum obsyk_count c = 0; c < OBSYK_COUNT_COUNT; c++)
        assert_non_null(obsyk_count_kind(c));
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read),
        cmocka_unit_test(what_is_absent_has_a_default),
        cmocka_unit_test(a_fault_names_its_field),
        cmocka_unit_test(a_name_is_counted_in_characters),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(a_bad_status_does_no_harm),
        cmocka_unit_test(only_what_differs_is_patched),
        cmocka_unit_test(a_small_place_is_told),
        cmocka_unit_test(conditions_of_others_are_not_lost),
        cmocka_unit_test(a_transition_is_a_change_of_status),
        cmocka_unit_test(the_list_is_bounded),
        cmocka_unit_test(a_long_message_is_cut_at_a_character),
        cmocka_unit_test(the_crd_is_as_committed),
        cmocka_unit_test(every_count_has_a_kind),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
