/* Many events in flight in the simulated world, over HTTP/1.1 and over HTTP/2 in TLS: none is lost, whatever is answered;
 * snapshots, heartbeats and events at once; stops, a lost Lease, deadlines. */
#include "board/rt/mem.h"
#include "tests/sim/deliver_world.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVENTS      60
#define FAULTS(...) .faults = {__VA_ARGS__}

struct flow {
    const char *name;
    struct platform_fault faults[2];
    unsigned rejected, later; /* of EVENTS; later: over h2 at most */
    ms h1_most_ms, h2_most_ms;
    unsigned life_s;
};
static const struct flow flows[] = {
    {.name = "plain", .h1_most_ms = 2000, .h2_most_ms = 2000},
    {.name = "100 ms an answer: in flight together",
     FAULTS({.op = PLATFORM_EVENT, .from = 1, .wait_ms = 100}),
     .h1_most_ms = 9000,
     .h2_most_ms = 2400},
    {.name = "some are rejected",
     FAULTS({.op = PLATFORM_EVENT, .from = 5, .to = 9, .status = 422}),
     .rejected = 5,
     .h1_most_ms = 2000,
     .h2_most_ms = 2000},
    {.name = "one fails: the others go on (L7)",
     FAULTS({.op = PLATFORM_EVENT, .from = 3, .to = 3, .status = 500}),
     .h1_most_ms = 4000,
     .h2_most_ms = 4000},
    {.name = "one is silent: the others go on",
     FAULTS({.op = PLATFORM_EVENT, .from = 3, .to = 3, .wait_ms = 20000}),
     .h1_most_ms = 24000,
     .h2_most_ms = 24000},
    {.name = "cut in the middle",
     FAULTS({.op = PLATFORM_EVENT, .from = 10, .to = 10, .how = PLATFORM_CUT}),
     .h1_most_ms = 5000,
     .h2_most_ms = 5000},
    {.name = "tokens end on the way",
     FAULTS({.op = PLATFORM_EVENT, .from = 1, .wait_ms = 100}),
     .h1_most_ms = 12000,
     .h2_most_ms = 5000,
     .life_s = 1},
    {.name = "401 in the middle",
     FAULTS({.op = PLATFORM_EVENT, .from = 20, .to = 22, .status = 401}),
     .later = 1, /* the same event, twice; over h2 if nothing but one other was under way */
     .h1_most_ms = 3000,
     .h2_most_ms = 3000},
};

static char bodies[EVENTS][32];
static unsigned outcomes[DELIVER_OUTCOME_COUNT];
static bool was_collected[EVENTS];

static err collect_one(struct deliver_world *w)
{
    struct deliver_result r;
    uint64_t tag = 0;
    TRY(deliver_collect(w->deliver, loop_now() + MINUTES(5), &tag, &r));
    SIM_CHECK(tag < EVENTS && !was_collected[tag]);
    was_collected[tag] = true;
    outcomes[r.outcome]++;
    return OK;
}

static err stream(struct deliver_world *w)
{
    memset(outcomes, 0, sizeof outcomes);
    memset(was_collected, 0, sizeof was_collected);
    for (unsigned i = 0; i < EVENTS; i++) {
        (void)snprintf(bodies[i], sizeof bodies[i], "{\"n\":%u}", i);
        if (deliver_room(w->deliver) == 0) {
            SIM_CHECK(deliver_submit(w->deliver, bytes_of(bodies[i]), i) == E_FULL);
            TRY(collect_one(w));
        }
        TRY(deliver_submit(w->deliver, bytes_of(bodies[i]), i));
    }
    while (deliver_in_flight(w->deliver) > 0)
        TRY(collect_one(w));
    return OK;
}

/* Each that was told good has arrived, and no other was told so. */
static void arrivals_check(void)
{
    static bool there[EVENTS];
    unsigned distinct = 0;
    memset(there, 0, sizeof there);
    for (unsigned i = 0; i < deliver_platform.event_count; i++) {
        SIM_CHECK(deliver_platform.events[i] < EVENTS);
        distinct += !there[deliver_platform.events[i]];
        there[deliver_platform.events[i]] = true;
    }
    SIM_CHECK(distinct >= outcomes[DELIVER_GOOD]);
    SIM_CHECK(outcomes[DELIVER_GOOD] + outcomes[DELIVER_REJECTED] + outcomes[DELIVER_LATER] == EVENTS);
}

static err flow(struct deliver_world *w, const void *arg)
{
    const struct flow *f = arg;
    ms began = loop_now();
    TRY(stream(w));
    ms took = loop_now() - began, most = deliver_knobs.over_h2 ? f->h2_most_ms : f->h1_most_ms;
    arrivals_check();
    if (sim_fault_name())
        return OK;
    if (took > most || outcomes[DELIVER_REJECTED] != f->rejected || outcomes[DELIVER_LATER] > f->later ||
        (!deliver_knobs.over_h2 && outcomes[DELIVER_LATER] < f->later))
        sim_fail("%s: %u good, %u rejected, %u later after %lld ms; refusals %llu", f->name, outcomes[DELIVER_GOOD],
                 outcomes[DELIVER_REJECTED], outcomes[DELIVER_LATER], (long long)took,
                 (unsigned long long)mem_use(TASK_BACKUP).refusals);
    SIM_CHECK(deliver_knobs.over_h2 || f->life_s || deliver_platform.in_work_peak == 1); /* but for a token meanwhile */
    return OK;
}

static err run_flow(void *arg)
{
    const struct flow *f = arg;
    deliver_platform.faults = f->faults;
    deliver_platform.fault_count = 2;
    deliver_platform.life_s = f->life_s ? f->life_s : 3600;
    return deliver_world_run(flow, f, false);
}

static void events_in_flight(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        assert_true(deliver_world_over_both(flows[i].name, run_flow, &flows[i], false));
}

/* --- all at once, stops, deadlines --- */

static struct deliver_world *shared;

static err beats_run(void *arg)
{
    unsigned *good = arg;
    for (unsigned i = 0; i < 10; i++) {
        struct deliver_result r;
        err e = deliver_heartbeat(shared->deliver, bytes_of("{}"), loop_now() + MINUTES(2), &r);
        *good += e == OK && r.outcome == DELIVER_GOOD;
    }
    return OK;
}

static err snapshots_run(void *arg)
{
    unsigned *good = arg;
    for (unsigned i = 0; i < 3; i++) {
        struct deliver_result r;
        err e = deliver_snapshot(shared->deliver, SNAPSHOT_FILE, SNAPSHOT_BYTES, loop_now() + MINUTES(2), &r);
        *good += e == OK && r.outcome == DELIVER_GOOD;
    }
    return OK;
}

/* AC-20: snapshots, heartbeats and events from three fibers over one connection. */
static err together(struct deliver_world *w, const void *arg)
{
    unsigned beats = 0, snapshots = 0;
    struct group g;
    (void)arg;
    shared = w;
    group_open(&g, TASK_INGEST);
    err e = group_spawn(&g, "beats", beats_run, &beats);
    if (e == OK)
        e = group_spawn(&g, "snapshots", snapshots_run, &snapshots);
    if (e == OK)
        e = stream(w);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    if (e != OK || sim_fault_name())
        return e;
    SIM_CHECK(beats == 10 && snapshots == 3 && outcomes[DELIVER_GOOD] == EVENTS);
    if (deliver_platform.count[PLATFORM_EVENT] != EVENTS || deliver_platform.count[PLATFORM_SNAPSHOT] != 3)
        sim_fail("%u heartbeats, %u snapshots, %u events; refusals %llu, connections %u",
                 deliver_platform.count[PLATFORM_HEARTBEAT], deliver_platform.count[PLATFORM_SNAPSHOT],
                 deliver_platform.count[PLATFORM_EVENT], (unsigned long long)mem_use(TASK_BACKUP).refusals,
                 deliver_platform.h2.connections);
    SIM_CHECK(deliver_platform.count[PLATFORM_HEARTBEAT] == 10 && deliver_platform.count[PLATFORM_SNAPSHOT] == 3 &&
              deliver_platform.count[PLATFORM_EVENT] == EVENTS);
    SIM_CHECK(deliver_platform.count[PLATFORM_TOKEN] == 1);
    return OK;
}

/* SIGTERM: what waits for a pause is handed back at once, what is under way comes to its end. */
static err stopped(struct deliver_world *w, const void *arg)
{
    static const struct platform_fault failing[] = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 500},
                                                    {.op = PLATFORM_EVENT, .from = 2, .wait_ms = 1000}};
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    deliver_platform.faults = failing;
    deliver_platform.fault_count = 2;
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), 1));
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + 500, &tag, &r) == E_TIMEOUT);
    ms began = loop_now();
    deliver_stop(w->deliver);
    SIM_CHECK(deliver_room(w->deliver) == 0 && deliver_submit(w->deliver, bytes_of("{\"n\":2}"), 2) == E_CLOSED);
    unsigned count[DELIVER_OUTCOME_COUNT] = {0};
    while (deliver_in_flight(w->deliver) > 0) {
        TRY(deliver_collect(w->deliver, loop_now() + SECONDS(5), &tag, &r));
        count[r.outcome]++;
    }
    SIM_CHECK(sim_fault_name() || (count[DELIVER_GOOD] == 1 && count[DELIVER_LATER] == 1 && loop_now() - began < 1500));
    TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_STOPPED);
    return OK;
}

/* The Lease is lost while an event waits for its next try: nothing leaves, whatever falls due; and goes on when it is held again.
 */
static err shut(struct deliver_world *w, const void *arg)
{
    static const struct platform_fault failing[] = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 500}};
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    deliver_platform.faults = failing;
    deliver_platform.fault_count = 1;
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + 500, &tag, &r) == E_TIMEOUT);
    deliver_knobs.shut_at = loop_now();
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + SECONDS(60), &tag, &r) == E_TIMEOUT);
    SIM_CHECK(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(5), &r) == E_TIMEOUT);
    SIM_CHECK(deliver_platform.count[PLATFORM_EVENT] == 1 && deliver_platform.count[PLATFORM_HEARTBEAT] == 0);
    deliver_knobs.shut_at = FOREVER;
    trail_clear();
    TRY(deliver_collect(w->deliver, loop_now() + SECONDS(10), &tag, &r));
    SIM_CHECK(r.outcome == DELIVER_GOOD && deliver_platform.count[PLATFORM_EVENT] == 2);
    return OK;
}

/* The Lease is lost between the look whether it is held and the write. */
static err between(struct deliver_world *w, const void *arg)
{
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(20), &r)); /* there is a connection */
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    deliver_knobs.looks = 1;
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + SECONDS(60), &tag, &r) == E_TIMEOUT);
    SIM_CHECK(deliver_knobs.looks == 0 && deliver_platform.count[PLATFORM_EVENT] == 0);
    deliver_knobs.looks = -1;
    trail_clear();
    TRY(deliver_collect(w->deliver, loop_now() + SECONDS(10), &tag, &r));
    SIM_CHECK(r.outcome == DELIVER_GOOD && deliver_platform.count[PLATFORM_EVENT] == 1);
    return OK;
}

/* AC-16: the caller's own deadline; and a file that is not there, or shorter than was said. */
static err own_ends(struct deliver_world *w, const void *arg)
{
    static const struct platform_fault slow[] = {{.op = PLATFORM_HEARTBEAT, .from = 1, .wait_ms = 5000}};
    struct deliver_result r;
    (void)arg;
    deliver_platform.faults = slow;
    deliver_platform.fault_count = 1;
    SIM_CHECK(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + 1000, &r) == E_TIMEOUT && r.outcome == DELIVER_LATER);
    trail_clear();
    TRY(deliver_snapshot(w->deliver, "/data/none", SNAPSHOT_BYTES, loop_now() + MINUTES(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_FILE && r.error == E_ABSENT && r.attempts == 5);
    TRY(deliver_snapshot(w->deliver, SNAPSHOT_FILE, SNAPSHOT_BYTES + 1, loop_now() + MINUTES(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_FILE && r.error == E_CORRUPT);
    SIM_CHECK(deliver_platform.good[PLATFORM_SNAPSHOT] == 0);
    trail_clear();
    return OK;
}

/* Minutes of rest: the connection is looked at, or made anew; nothing fails. A dead one is found by a ping. */
static err rested(struct deliver_world *w, const void *arg)
{
    struct deliver_result r;
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(20), &r));
        SIM_CHECK(sim_fault_name() || (r.outcome == DELIVER_GOOD && r.attempts == 1));
        TRY(fiber_sleep(loop_now() + SECONDS(i == 0 ? 30 : 200)));
    }
    return OK;
}

static const struct {
    const char *name;
    deliver_body *body;
} scenes[] = {{"together", together}, {"stopped", stopped},   {"shut", shut},
              {"between", between},   {"own ends", own_ends}, {"rested", rested}};
static unsigned scene;

static err run_scene(void *arg)
{
    (void)arg;
    return deliver_world_run(scenes[scene].body, NULL, true);
}

static void other_scenes(void **state)
{
    (void)state;
    for (scene = 0; scene < COUNT_OF(scenes); scene++)
        assert_true(deliver_world_over_both(scenes[scene].name, run_scene, NULL, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(events_in_flight), cmocka_unit_test(other_scenes)};
    return certs_make() ? cmocka_run_group_tests_name("events in flight in the sim", tests, NULL, NULL) : 1;
}
