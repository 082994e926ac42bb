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

#define META       "\"metadata\":{\"name\":\"a\",\"namespace\":\"obsyk\",\"uid\":\"u-1\",\"resourceVersion\":\"7\",\"generation\":3}"
#define NEED       "\"platformURL\":\"https://api.obsyk.ai\",\"clusterName\":\"home\",\"credentialsSecretRef\":{\"name\":\"keys\"}"
#define SPEC(more) "{" META ",\"spec\":{" NEED more "}}"

static struct obsyk_agent one;
static uint64_t arena[KIB(2)];

/* Whole, or what json_pick says of it. */
static err read_text(const char *text, struct obsyk_agent *out, char errors[CUSTOM_ERRORS_BYTES])
{
    struct text t = text_over(errors, CUSTOM_ERRORS_BYTES);
    struct json_pick pick;
    size_t used = 0;
    bool done = false;
    json_pick_open(&pick, &(struct json_pick_options){.fields = custom_fields, .arena = arena, .arena_bytes = sizeof arena});
    json_pick_begin(&pick);
    err e = json_pick_feed(&pick, bytes_of(text), &used, &done);
    if (e == OK)
        e = done ? custom_read(&obsyk_agent_resource, json_pick_root(&pick), out, &t) : E_CORRUPT;
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
    assert_int_equal(one.counts[INGEST_POD], 12);
    assert_int_equal(one.counts[INGEST_EVENT], 3);
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

static void nothing_is_no_object(void **state)
{
    (void)state;
    char errors[CUSTOM_ERRORS_BYTES];
    assert_int_equal(read_text("{}", &one, errors), E_INVALID);
    assert_non_null(strstr(errors, "metadata.name: missing"));
    assert_non_null(strstr(errors, "spec.platformURL: missing"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read),       cmocka_unit_test(what_is_absent_has_a_default),
        cmocka_unit_test(a_fault_names_its_field), cmocka_unit_test(a_name_is_counted_in_characters),
        cmocka_unit_test(nothing_is_no_object),    cmocka_unit_test(a_bad_status_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
