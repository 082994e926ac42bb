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
#define WIDGET     "\"metadata\":{\"name\":\"w\",\"uid\":\"u\",\"resourceVersion\":\"1\"}"
#define NEED       "\"platformURL\":\"https://api.obsyk.ai\",\"clusterName\":\"home\",\"credentialsSecretRef\":{\"name\":\"keys\"}"
#define SPEC(more) "{" META ",\"spec\":{" NEED more "}}"

static struct obsyk_agent one;
static uint64_t arena[KIB(2)];

/* Whole, or what json_pick says of it. */
static err read_as(const struct custom *c, const char *text, void *out, char errors[CUSTOM_ERRORS_BYTES])
{
    struct text t = text_over(errors, CUSTOM_ERRORS_BYTES);
    struct json_pick pick;
    size_t used = 0;
    bool done = false;
    json_pick_open(&pick, &(struct json_pick_options){.fields = custom_fields, .arena = arena, .arena_bytes = sizeof arena});
    json_pick_begin(&pick);
    err e = json_pick_feed(&pick, bytes_of(text), &used, &done);
    if (e == OK)
        e = done ? custom_read(c, json_pick_root(&pick), out, &t) : E_CORRUPT;
    trail_clear();
    return e;
}

static err read_text(const char *text, struct obsyk_agent *out, char errors[CUSTOM_ERRORS_BYTES])
{
    return read_as(&obsyk_agent_resource, text, out, errors);
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

/* --- a resource of another shape: what ObsykAgent has not --- */
struct widget {
    struct custom_meta meta;
    bool is_on, is_loud;
    int64_t size;
    char mood[16];
    int64_t last_seen_s, parts[3];
    bool is_done;
};

#define AT(member) .offset = offsetof(struct widget, member), .bytes = sizeof(((struct widget *)0)->member)
static const char *const part_keys[] = {"a", "b", "c", NULL};
static const struct custom_row widget_rows[] = {
    {"spec", "What \"it\" is: a \\.", .type = CUSTOM_OBJECT, .required = true},
    {"spec.on", "On.", .type = CUSTOM_BOOL, AT(is_on), .fallback = "true"},
    {"spec.loud", "Loud.", .type = CUSTOM_BOOL, AT(is_loud)},
    {"spec.size", "Size.", .type = CUSTOM_INT64, AT(size), .required = true},
    {"spec.mood", "Mood.", .type = CUSTOM_TEXT, AT(mood), .fallback = "calm"},
    {"status", "Status.", .type = CUSTOM_OBJECT},
    {"status.seen", "Seen.", .type = CUSTOM_OBJECT},
    {"status.seen.last", "Last.", .type = CUSTOM_TIME, AT(last_seen_s)},
    {"status.seen.parts", "Parts.", .type = CUSTOM_COUNTS, AT(parts), .keys = part_keys},
    {"status.done", "Done.", .type = CUSTOM_BOOL, AT(is_done)},
};
static const struct custom widgets = {.group = "t.io",
                                      .version = "v1",
                                      .kind = "Widget",
                                      .list_kind = "WidgetList",
                                      .plural = "widgets",
                                      .singular = "widget",
                                      .help = "A widget.",
                                      .rows = widget_rows,
                                      .row_count = COUNT_OF(widget_rows),
                                      .bytes = sizeof(struct widget)};

static const struct {
    const char *object, *errors; /* "": good */
    bool is_on, is_loud;
    int64_t size;
    const char *mood;
} widget_cases[] = {
    {"{" WIDGET ",\"spec\":{\"size\":1}}", "", true, false, 1, "calm"},
    {"{" WIDGET ",\"spec\":{\"size\":-9223372036854775808,\"on\":false,\"loud\":true,\"mood\":\"\"}}", "", false, true, INT64_MIN,
     ""},
    {"{" WIDGET ",\"spec\":{\"size\":1,\"on\":\"yes\",\"loud\":1}}",
     "spec.on: neither true nor false\nspec.loud: neither true nor false", false, false, 1, "calm"},
    {"{" WIDGET ",\"spec\":{\"mood\":\"sixteen bytes....\"}}",
     "spec.size: missing\nspec.mood: longer than 15 bytes, or with a zero in it", true, false, 0, ""},
    {"{" WIDGET ",\"spec\":{\"size\":1,\"mood\":\"a\\u0000b\"}}", "spec.mood: longer than 15 bytes, or with a zero in it", true,
     false, 1, ""},
    {"{" WIDGET "}", "spec: missing", false, false, 0, ""},
};

static void another_resource_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(widget_cases); i++) {
        struct widget w;
        char errors[CUSTOM_ERRORS_BYTES];
        err e = read_as(&widgets, widget_cases[i].object, &w, errors);
        assert_string_equal(errors, widget_cases[i].errors);
        assert_int_equal(e, *errors ? E_INVALID : OK);
        if (w.is_on != widget_cases[i].is_on || w.is_loud != widget_cases[i].is_loud || w.size != widget_cases[i].size ||
            strcmp(w.mood, widget_cases[i].mood) != 0)
            fail_msg("%s: %d %d %lld %s", widget_cases[i].object, w.is_on, w.is_loud, (long long)w.size, w.mood);
    }
}

static const struct {
    const char *name;
    struct widget old, new;
    enum custom_change change;
    const char *patch;
} widget_patches[] = {
    {"done", {.is_done = false}, {.is_done = true}, CUSTOM_CHANGED, "{\"done\":true}"},
    {"seen", {.last_seen_s = 0}, {.last_seen_s = 1}, CUSTOM_CHANGED, "{\"seen\":{\"last\":\"1970-01-01T00:00:01Z\"}}"},
    {"seen later", {.last_seen_s = 1}, {.last_seen_s = 2}, CUSTOM_TIMES, "{\"seen\":{\"last\":\"1970-01-01T00:00:02Z\"}}"},
    {"parts", {.parts = {1, 2, 0}}, {.parts = {1, 0, 3}}, CUSTOM_CHANGED, "{\"seen\":{\"parts\":{\"b\":null,\"c\":3}}}"},
    {"a spec is none of it", {.size = 1}, {.size = 2}, CUSTOM_SAME, ""},
};

static void another_status_is_patched(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(widget_patches); i++) {
        char storage[512], wanted[512] = "";
        struct text out = text_over(storage, sizeof storage);
        enum custom_change change;
        assert_int_equal(custom_patch(&widgets, &widget_patches[i].old, &widget_patches[i].new, &out, &change), OK);
        if (*widget_patches[i].patch)
            (void)snprintf(wanted, sizeof wanted, "{\"metadata\":{\"resourceVersion\":\"\"},\"status\":%s}",
                           widget_patches[i].patch);
        if (change != widget_patches[i].change || strcmp(storage, wanted) != 0)
            fail_msg("%s: %d, %s", widget_patches[i].name, (int)change, storage);
    }
}

static const char *const crd_lines[] = {
    "metadata: {name: widgets.t.io}\n",
    "  scope: Cluster\n",
    "              description: \"What \\\"it\\\" is: a \\\\.\"\n",
    "          required: [spec]\n",
    "              required: [size]\n",
    "                  type: boolean\n                  default: true\n",
    "                  default: \"calm\"\n",
    "                    a: {type: integer, format: int32}\n",
    "      subresources: {status: {}}\n",
};

static void another_crd_is_written(void **state)
{
    (void)state;
    char storage[KIB(8)];
    struct text out = text_over(storage, sizeof storage);
    custom_crd(&widgets, &out);
    assert_false(out.cut);
    for (size_t i = 0; i < COUNT_OF(crd_lines); i++)
        if (!strstr(storage, crd_lines[i]))
            fail_msg("no %s in %s", crd_lines[i], storage);
    assert_null(strstr(storage, "shortNames"));
    assert_null(strstr(storage, "additionalPrinterColumns"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read),        cmocka_unit_test(what_is_absent_has_a_default),
        cmocka_unit_test(a_fault_names_its_field),  cmocka_unit_test(a_name_is_counted_in_characters),
        cmocka_unit_test(nothing_is_no_object),     cmocka_unit_test(a_bad_status_does_no_harm),
        cmocka_unit_test(another_resource_is_read), cmocka_unit_test(another_status_is_patched),
        cmocka_unit_test(another_crd_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
