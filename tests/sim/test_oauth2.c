/* The life of access tokens in the simulated world, over HTTP/1.1 and over HTTP/2 in TLS: kept, renewed, refused, asked for by
 * many at once. */
#include "tests/sim/deliver_world.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct pem_key other_key = {{[31] = 2}};

static err take(struct deliver_world *w, ms within, unsigned want)
{
    struct oauth2_token *t = NULL;
    char text[32];
    err e = oauth2_take(w->oauth2, loop_now() + within, &t);
    (void)snprintf(text, sizeof text, "Bearer tok-%u", want);
    if (e == OK && want > 0 && !sim_fault_name() && strcmp(t->authorization, text) != 0)
        sim_fail("got %s, not %s", t->authorization, text);
    oauth2_release(t);
    return e;
}

static err sleep_s(int64_t s)
{
    return fiber_sleep(loop_now() + SECONDS(s));
}

/* AC-7, AC-9, AC-10: kept; the same credentials change nothing, others do. */
static err kept(struct deliver_world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(take(w, SECONDS(5), 1));
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &deliver_key));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(deliver_platform.count[PLATFORM_TOKEN] == 1);
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &other_key));
    TRY(take(w, SECONDS(5), 2));
    TRY(oauth2_set_credentials(w->oauth2, "client-8", &other_key));
    TRY(take(w, SECONDS(5), 3));
    SIM_CHECK(oauth2_set_credentials(w->oauth2, "", &deliver_key) == E_RANGE);
    trail_clear();
    return take(w, SECONDS(5), 3);
}

/* Of 1,000 s: renewed after 800 s, not before. */
static err renewed(struct deliver_world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(798));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(3));
    TRY(take(w, SECONDS(5), 2));
    struct oauth2_state s = oauth2_state(w->oauth2);
    SIM_CHECK(s.has_token && s.fetched == 2 && s.failed == 0 && s.last_status == 200);
    SIM_CHECK(s.expires_at - loop_now() > SECONDS(990) && s.expires_at - loop_now() <= SECONDS(1000));
    return OK;
}

/* A renewal that fails keeps the old one (L9), is tried again after a pause, and at the end there is none. */
static err renewal_fails(struct deliver_world *w, const void *arg)
{
    static const struct platform_fault down[] = {{.op = PLATFORM_TOKEN, .from = 2, .status = 503}};
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(801));
    deliver_platform.faults = down;
    deliver_platform.fault_count = 1;
    TRY(take(w, SECONDS(5), 1));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(deliver_platform.count[PLATFORM_TOKEN] == 2);
    TRY(sleep_s(16));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(deliver_platform.count[PLATFORM_TOKEN] == 3 && oauth2_state(w->oauth2).failed == 2);
    TRY(sleep_s(184));
    SIM_CHECK(take(w, SECONDS(5), 0) == E_REMOTE);
    trail_clear();
    deliver_platform.fault_count = 0;
    return take(w, SECONDS(5), 2);
}

/* No expires_in: a minute. 1 s: a second (AC-8). */
static err short_lives(struct deliver_world *w, const void *arg)
{
    (void)arg;
    deliver_platform.life_s = 0;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(46));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(15));
    deliver_platform.life_s = 1;
    TRY(take(w, SECONDS(5), 2));
    TRY(sleep_s(1));
    return take(w, SECONDS(5), 3);
}

/* The wall clock jumps by a day: lives are not counted on it. */
static err clock_jumps(struct deliver_world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    sim_wall_jump_at(loop_now() + 100, HOURS(24));
    sim_wall_jump_at(loop_now() + SECONDS(200), -HOURS(72));
    TRY(sleep_s(100));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(200));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(deliver_platform.count[PLATFORM_TOKEN] == 1);
    return OK;
}

static err refused_token(struct deliver_world *w, const void *arg)
{
    struct oauth2_token *old = NULL;
    (void)arg;
    TRY(oauth2_take(w->oauth2, loop_now() + SECONDS(5), &old));
    oauth2_invalidate(w->oauth2, old);
    err e = take(w, SECONDS(5), 2);
    oauth2_invalidate(w->oauth2, old); /* another has come since */
    oauth2_release(old);
    if (e == OK)
        e = take(w, SECONDS(5), 2);
    SIM_CHECK(e != OK || deliver_platform.count[PLATFORM_TOKEN] == 2);
    return e;
}

struct waiter {
    struct deliver_world *w;
    ms within;
    err got;
    ms took;
};

static err waiter_run(void *arg)
{
    struct waiter *a = arg;
    ms began = loop_now();
    a->got = take(a->w, a->within, 0);
    a->took = loop_now() - began;
    trail_clear();
    return OK;
}

static err waiters_run(struct waiter *all, unsigned count)
{
    struct group g;
    group_open(&g, TASK_INGEST);
    err e = OK;
    for (unsigned i = 0; e == OK && i < count; i++)
        e = group_spawn(&g, "waiter", waiter_run, &all[i]);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

static const struct platform_fault slow_token[] = {{.op = PLATFORM_TOKEN, .from = 1, .wait_ms = 3000}};

/* One fetch for all; who has less time than it takes goes without. */
static err single_flight(struct deliver_world *w, const void *arg)
{
    struct waiter all[4] = {{w, SECONDS(20), OK, 0}, {w, SECONDS(20), OK, 0}, {w, 500, OK, 0}, {w, SECONDS(20), OK, 0}};
    (void)arg;
    deliver_platform.faults = slow_token;
    deliver_platform.fault_count = 1;
    TRY(waiters_run(all, COUNT_OF(all)));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(all[0].got == OK && all[1].got == OK && all[3].got == OK && deliver_platform.count[PLATFORM_TOKEN] == 1);
    SIM_CHECK(all[2].got == E_TIMEOUT && all[2].took < 700);
    return OK;
}

/* The one who fetches has no time: the next one takes over. */
static err taken_over(struct deliver_world *w, const void *arg)
{
    struct waiter all[3] = {{w, 500, OK, 0}, {w, SECONDS(20), OK, 0}, {w, SECONDS(20), OK, 0}};
    (void)arg;
    deliver_platform.faults = slow_token;
    deliver_platform.fault_count = 1;
    TRY(waiters_run(all, COUNT_OF(all)));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(all[0].got == E_TIMEOUT && all[1].got == OK && all[2].got == OK);
    SIM_CHECK(oauth2_state(w->oauth2).fetched == 1);
    return OK;
}

static err change_run(void *arg)
{
    struct deliver_world *w = arg;
    TRY(fiber_sleep(loop_now() + 1000));
    return oauth2_set_credentials(w->oauth2, "client-9", &other_key);
}

/* What was asked for with the old key is not stored (5.5's race). */
static err changed_in_flight(struct deliver_world *w, const void *arg)
{
    struct group g;
    (void)arg;
    deliver_platform.faults = slow_token;
    deliver_platform.fault_count = 1;
    group_open(&g, TASK_INGEST);
    err e = group_spawn(&g, "change", change_run, w);
    if (e == OK)
        e = take(w, SECONDS(20), 2);
    group_close(&g);
    return e;
}

static const struct {
    const char *name;
    deliver_body *body;
    unsigned life_s;
} token_stories[] = {
    {"kept", kept, 3600},
    {"renewed before its end", renewed, 1000},
    {"a renewal that fails", renewal_fails, 1000},
    {"short lives", short_lives, 1},
    {"the wall clock jumps", clock_jumps, 1000},
    {"a refused token", refused_token, 1000},
    {"one fetch for all", single_flight, 1000},
    {"who fetches has no time", taken_over, 1000},
    {"credentials change in flight", changed_in_flight, 1000},
};
static unsigned token_story;

static err run_token(void *arg)
{
    (void)arg;
    deliver_platform.life_s = token_stories[token_story].life_s;
    return deliver_world_run(token_stories[token_story].body, NULL, false);
}

static void tokens(void **state)
{
    (void)state;
    for (token_story = 0; token_story < COUNT_OF(token_stories); token_story++) {
        char name[64];
        (void)snprintf(name, sizeof name, "token: %s", token_stories[token_story].name);
        assert_true(deliver_world_over_both(name, run_token, NULL, false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens)};
    return certs_make() ? cmocka_run_group_tests_name("oauth2 in the sim", tests, NULL, NULL) : 1;
}
