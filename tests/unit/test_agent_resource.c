/* ObsykAgent: its status' patch, its conditions, and its CRD as committed. Run from the
 * root of the tree, as `make` does. */
#include "agents/ingest/agent_resource.h"
#include "board/rt/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CRD "config/crds/obsykagents.obsyk.io.yaml"
static struct obsyk_agent one, two;

/* As it comes from the API server the first time. */
static struct obsyk_agent fresh(void)
{
    return (struct obsyk_agent){.meta = {.name = "a", .namespace = "obsyk", .resource_version = "7", .generation = 3}};
}

/* --- the patch --- */
#define HEAD "{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{"

static void set_all(struct obsyk_agent *a)
{
    a->last_sync_s = a->last_snapshot_s = 100;
    a->observed_generation = 3;
    a->counts[INGEST_POD] = 5;
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
    a->counts[INGEST_POD] = 0;
    a->counts[INGEST_NODE] = 1;
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
        one = fresh();
        two = fresh();
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
    one = fresh();
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
    one = fresh();
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

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_differs_is_patched),
        cmocka_unit_test(a_small_place_is_told),
        cmocka_unit_test(conditions_of_others_are_not_lost),
        cmocka_unit_test(a_transition_is_a_change_of_status),
        cmocka_unit_test(the_list_is_bounded),
        cmocka_unit_test(a_long_message_is_cut_at_a_character),
        cmocka_unit_test(the_crd_is_as_committed),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
