/* Deliveries in the simulated world, over HTTP/1.1 and over HTTP/2 in TLS: what each answer means, how often and when it is tried
 * again; then each fallible call fails once. */
#include "tests/sim/deliver_world.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- one call and its answers --- */

#define SELF               PLATFORM_OPS /* the call that is tried */
#define FAULTS(...)        .faults = {__VA_ARGS__}
#define STATUS(n)          FAULTS({.op = SELF, .from = 1, .status = (n)})
#define ONCE(n)            FAULTS({.op = SELF, .from = 1, .to = 1, .status = (n)})
#define TAKES(least, most) .least_ms = (least), .most_ms = (most)
#define SOON               TAKES(0, 900)
#define FIRST              TAKES(1800, 2700) /* one pause */
#define ALL                TAKES(27000, 36000)

struct story {
    const char *name;
    enum deliver_outcome outcome;
    enum deliver_reason reason;
    unsigned status, attempts, tokens; /* tokens: asked for */
    ms least_ms, most_ms;              /* of virtual time */
    struct platform_fault faults[2];
    const char *token_answer;
    bool h1_only, nobody, not_snapshot;
    unsigned refused_below;
};
static const struct story stories[] = {
    {"200 (AC-11)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, SOON},
    {"201 (AC-11)", DELIVER_GOOD, DELIVER_REASON_NONE, 201, 1, 1, SOON, STATUS(201)},
    {"202 with a body", DELIVER_GOOD, DELIVER_REASON_NONE, 202, 1, 1, SOON,
     FAULTS({.op = SELF, .from = 1, .status = 202, .body = "{\"ok\":true}"})},
    {"400 (AC-15)", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 400, 1, 1, SOON, STATUS(400)},
    {"403", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 403, 1, 1, SOON, STATUS(403)},
    {"404", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 404, 1, 1, SOON, STATUS(404)},
    {"413", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 413, 1, 1, SOON, STATUS(413)},
    {"422", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 422, 1, 1, SOON, STATUS(422)},
    {"499", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 499, 1, 1, SOON, STATUS(499)},
    {"401 once: another token, at once (X-9)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, SOON, ONCE(401)},
    {"401 of an old token", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, SOON, .refused_below = 2},
    {"401 for ever: kept, not rejected", DELIVER_LATER, DELIVER_REASON_UNAUTHORIZED, 401, 2, 2, SOON, STATUS(401)},
    {"401, then 400", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 400, 2, 2, SOON,
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 401}, {.op = SELF, .from = 2, .status = 400})},
    {"500, 500, 200 (AC-14)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 3, 1, TAKES(5400, 7500),
     FAULTS({.op = SELF, .from = 1, .to = 2, .status = 500})},
    {"500 for ever", DELIVER_LATER, DELIVER_REASON_SERVER, 500, 5, 1, ALL, STATUS(500)},
    {"599", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(599)},
    {"408", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(408)},
    {"425", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(425)},
    {"429", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(429)},
    {"429 for ever", DELIVER_LATER, DELIVER_REASON_THROTTLED, 429, 5, 1, ALL, STATUS(429)},
    {"429 and Retry-After (X-10)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(7000, 7900),
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 429, .header = "Retry-After: 7"}), .h1_only = true},
    {"503 and a Retry-After that is shorter than our pause", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST,
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 503, .header = "Retry-After: 1"}), .h1_only = true},
    {"503 and a Retry-After of a day", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(300000, 301000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 503, .header = "Retry-After: 86400"}), .h1_only = true},
    {"302 is not followed", DELIVER_LATER, DELIVER_REASON_REDIRECT, 302, 5, 1, ALL,
     FAULTS({.op = SELF, .from = 1, .status = 302, .header = "Location: http://10.0.0.9/"})},
    {"cut", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, FAULTS({.op = SELF, .from = 1, .to = 1, .how = PLATFORM_CUT})},
    {"silent", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(31000, 34000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .how = PLATFORM_SILENT, .wait_ms = 290000}),
     .not_snapshot = true}, /* that one has five minutes */
    {"slow", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, TAKES(20000, 21000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .wait_ms = 20000})},
    {"no token at first", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, FIRST,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .to = 1, .status = 500})},
    {"credentials refused", DELIVER_LATER, DELIVER_REASON_CREDENTIALS, 0, 5, 5, ALL,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .status = 401, .body = "{\"error\":\"invalid_client\"}"})},
    {"no token in the answer", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL, .token_answer = "{}"},
    {"no JSON in the answer", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL, .token_answer = "<html>"},
    {"a token that would end the line", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL,
     .token_answer = "{\"access_token\":\"a\\r\\nb: c\"}"},
    {"201 with a token", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, SOON,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .status = 201})},
    {"nobody (X-11)", DELIVER_LATER, DELIVER_REASON_NETWORK, 0, 5, 0, ALL, .nobody = true},
};

static enum platform_op op;

static err call(struct deliver_world *w, ms deadline, struct deliver_result *out)
{
    uint64_t tag = 0;
    if (op == PLATFORM_HEARTBEAT)
        return deliver_heartbeat(w->deliver, bytes_of("{\"cluster_uid\":\"u\"}"), deadline, out);
    if (op == PLATFORM_SNAPSHOT)
        return deliver_snapshot(w->deliver, SNAPSHOT_FILE, SNAPSHOT_BYTES, deadline, out);
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), 77));
    err e = deliver_collect(w->deliver, deadline, &tag, out);
    SIM_CHECK(e != OK || tag == 77);
    SIM_CHECK(e != OK || deliver_in_flight(w->deliver) == 0);
    return e;
}

static uint32_t snapshot_sum(void)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < SNAPSHOT_BYTES; i++)
        sum = sum * 31 + sim_pattern(i);
    return sum;
}

static void health_check(struct deliver_world *w, const struct story *s)
{
    const struct deliver_health *h = deliver_health(w->deliver);
    bool good = s->outcome == DELIVER_GOOD;
    SIM_CHECK(h->healthy == good && h->errors == (good ? 0 : 1)); /* AC-21, AC-22 */
    SIM_CHECK((h->last_success_s > 0) == good && (h->last_error.reason == s->reason));
    SIM_CHECK(h->good + h->rejected + h->later == 1 && h->http2 == (deliver_knobs.over_h2 && !s->nobody && h->connected));
}

static err tell(struct deliver_world *w, const void *arg)
{
    const struct story *s = arg;
    struct deliver_result r = {0};
    ms began = loop_now();
    SIM_CHECK(!deliver_health(w->deliver)->healthy);
    err e = call(w, began + MINUTES(20), &r);
    ms took = loop_now() - began;
    if (e != OK || r.outcome != s->outcome || r.reason != s->reason || r.status != s->status || r.attempts != s->attempts ||
        took < s->least_ms || took > s->most_ms || deliver_platform.count[PLATFORM_TOKEN] != s->tokens)
        sim_fail("%s: %s: %s, %s, status %u, %u attempts, %u tokens after %lld ms", s->name, err_name(e),
                 deliver_outcome_name(r.outcome), deliver_reason_text(r.reason), r.status, r.attempts,
                 deliver_platform.count[PLATFORM_TOKEN], (long long)took);
    SIM_CHECK(s->tokens == 0 || s->status == 0 ||
              deliver_platform.count[op] ==
                  s->attempts - (s->tokens > 1 && s->refused_below == 0 && s->faults[0].op == PLATFORM_TOKEN));
    if (op == PLATFORM_SNAPSHOT && s->outcome == DELIVER_GOOD && !deliver_knobs.over_h2)
        SIM_CHECK(deliver_platform.body_sum == snapshot_sum());
    if (op == PLATFORM_SNAPSHOT && s->outcome == DELIVER_GOOD)
        SIM_CHECK(deliver_platform.body_bytes[op] % SNAPSHOT_BYTES == 0);
    health_check(w, s);
    return OK;
}

static err run_story(void *arg)
{
    static struct platform_fault faults[2];
    const struct story *s = arg;
    memcpy(faults, s->faults, sizeof faults);
    for (unsigned i = 0; i < 2; i++)
        if (faults[i].op == SELF)
            faults[i].op = op;
    deliver_platform.faults = faults;
    deliver_platform.fault_count = 2;
    deliver_platform.token_answer = s->token_answer;
    deliver_platform.refused_below = s->refused_below;
    if (s->nobody) {
        struct deliver_world w;
        err e = deliver_world_open(&w, true);
        if (e == OK)
            e = tell(&w, s);
        deliver_world_close(&w);
        return e;
    }
    return deliver_world_run(tell, s, true);
}

static void a_story(void **state)
{
    const struct story *s = *state;
    char name[128];
    static const char *const ops[] = {NULL, "snapshot", "event", "heartbeat"};
    for (op = s->not_snapshot ? PLATFORM_EVENT : PLATFORM_SNAPSHOT; op < PLATFORM_OPS; op++) {
        (void)snprintf(name, sizeof name, "%s %s", s->name, ops[op]);
        assert_true(deliver_world_over_both(name, run_story, s, s->h1_only));
    }
}

/* --- each fallible call fails once --- */

static err little(struct deliver_world *w, const void *arg)
{
    struct deliver_result r;
    uint64_t tag;
    (void)arg;
    TRY(deliver_snapshot(w->deliver, SNAPSHOT_FILE, SNAPSHOT_BYTES, loop_now() + MINUTES(10), &r));
    SIM_CHECK(r.outcome != DELIVER_REJECTED);
    for (unsigned i = 0; i < 3; i++) {
        TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), i));
        TRY(deliver_collect(w->deliver, loop_now() + MINUTES(10), &tag, &r));
        SIM_CHECK(r.outcome == DELIVER_GOOD); /* one failure never costs five tries */
    }
    return deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + MINUTES(10), &r);
}

static err run_little(void *arg)
{
    (void)arg;
    return deliver_world_run(little, NULL, true);
}

static void each_call_fails_once(void **state)
{
    (void)state;
    for (unsigned h2 = 0; h2 < 2; h2++) {
        deliver_knobs.over_h2 = h2;
        struct sim_case c = {.name = h2 ? "each fault h2" : "each fault h1",
                             .setup = deliver_world_setup,
                             .run = run_little,
                             .check = deliver_world_check,
                             .fibers = true,
                             .step = h2 ? 31 : 9,
                             .faults_max = h2 ? 500 : 0};
        assert_true(sim_each_fault(&c));
    }
}

int main(void)
{
    static struct CMUnitTest tests[1 + COUNT_OF(stories)] = {cmocka_unit_test(each_call_fails_once)};
    if (!certs_make())
        return 1;
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[1 + i] =
            (struct CMUnitTest){.name = stories[i].name, .test_func = a_story, .initial_state = (void *)(uintptr_t)&stories[i]};
    return cmocka_run_group_tests_name("deliver in the sim", tests, NULL, NULL);
}
