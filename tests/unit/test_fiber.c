/* Fibers: switching, every way to wait, shields, permits, groups and budgets, on the real loop. */
#include "board/rt/fiber_internal.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/sync.h"

#include "tests/unit/check.h"

#include <string.h>

/* --- switching --- */
#define PING_PONGS 500000 /* two switches each */

static struct fiber *ping;

static err pong(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < PING_PONGS; i++) {
        fiber_wake(ping);
        CHECK(fiber_park(FOREVER) == OK);
    }
    return OK;
}

static err ping_pong_body(void *arg)
{
    (void)arg;
    struct group g;
    group_open(&g, TASK_BACKUP);
    ping = fiber_self();
    CHECK(group_spawn(&g, "pong", pong, NULL) == OK);
    CHECK(fiber_park(FOREVER) == OK);
    struct fiber *other = g.first;
    int64_t began_ns = os_mono_ns();
    uint64_t switches = loop_stats()->switches;
    for (unsigned i = 1; i < PING_PONGS; i++) {
        fiber_wake(other);
        CHECK(fiber_park(FOREVER) == OK);
    }
    switches = loop_stats()->switches - switches;
    CHECK(switches >= 2 * (PING_PONGS - 1));
    print_message("%llu switches, %.1f ns each\n", (unsigned long long)switches,
                  (double)(os_mono_ns() - began_ns) / (double)switches);
    fiber_wake(other);
    CHECK(group_join(&g, FOREVER) == OK);
    return OK;
}

static void ping_pong(void **state)
{
    (void)state;
    fibers_run(ping_pong_body, NULL, OK);
}

/* More values than there are registers a callee preserves, all alive over a switch. */
static uint64_t mix(uint64_t seed, bool yields)
{
    double d[10];
    uint64_t n[14];
    for (unsigned i = 0; i < 10; i++)
        d[i] = (double)(seed + i);
    for (unsigned i = 0; i < 14; i++)
        n[i] = seed * (i + 1);
    double d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5], d6 = d[6], d7 = d[7];
    uint64_t n0 = n[0], n1 = n[1], n2 = n[2], n3 = n[3], n4 = n[4], n5 = n[5], n6 = n[6], n7 = n[7], n8 = n[8];
    for (unsigned i = 0; i < 50; i++) {
        d0 += d1 * 0.5, d1 -= d2, d2 += 3, d3 += d4 / 7, d4 += 1, d5 += d6 * 0.25, d6 -= 2, d7 += d0;
        n0 += n1, n1 ^= n2, n2 += 3, n3 += n4 >> 1, n4 += n5, n5 ^= i, n6 += n7, n7 += n8, n8 += n0;
        if (yields)
            fiber_yield();
    }
    return n0 ^ n1 ^ n2 ^ n3 ^ n4 ^ n5 ^ n6 ^ n7 ^ n8 ^ (uint64_t)(int64_t)(d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7);
}

static err mixer(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    CHECK(mix(seed, true) == mix(seed, false));
    CHECK(mem_task() == TASK_BACKUP);
    return OK;
}

static err registers_body(void *arg)
{
    (void)arg;
    static uint64_t seeds[4] = {3, 1000003, 77, 123456789};
    struct group g;
    group_open(&g, TASK_BACKUP);
    for (unsigned i = 0; i < COUNT_OF(seeds); i++)
        CHECK(group_spawn(&g, "mixer", mixer, &seeds[i]) == OK);
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(mem_task() == TASK_BOARD);
    return E_REMOTE;
}

static void registers_survive_and_error_comes_back(void **state)
{
    (void)state;
    fibers_run(registers_body, NULL, E_REMOTE);
}

/* --- every way to wait: its deadline, and its cancel --- */
static struct waitq queue;
static struct sem empty_sem;
static struct channel full, empty;
static uint8_t full_storage[1], empty_storage[1];
static struct group stuck;

static err stuck_run(void *arg)
{
    (void)arg;
    return fiber_park(FOREVER);
}
static err wait_park(ms deadline)
{
    return fiber_park(deadline);
}
static err wait_sleep(ms deadline)
{
    return fiber_sleep(deadline);
}
static err wait_queue(ms deadline)
{
    return waitq_wait(&queue, deadline);
}
static err wait_sem(ms deadline)
{
    return sem_take(&empty_sem, deadline);
}
static err wait_send(ms deadline)
{
    uint8_t item = 1;
    return channel_send(&full, &item, deadline);
}
static err wait_receive(ms deadline)
{
    uint8_t item;
    return channel_receive(&empty, &item, deadline);
}
static err wait_join(ms deadline)
{
    return group_join(&stuck, deadline);
}

static const struct wait_kind {
    const char *name;
    err (*wait)(ms deadline);
    err at_deadline;
} wait_kinds[] = {
    {"park", wait_park, E_TIMEOUT},     {"sleep", wait_sleep, OK},      {"wait queue", wait_queue, E_TIMEOUT},
    {"semaphore", wait_sem, E_TIMEOUT}, {"send", wait_send, E_TIMEOUT}, {"receive", wait_receive, E_TIMEOUT},
    {"join", wait_join, E_TIMEOUT},
};

static bool waits_long, cleaned_up;

static err canceled_waiter(void *arg)
{
    const struct wait_kind *kind = arg;
    ms began = os_mono();
    CHECK(kind->wait(loop_now() - 1) == kind->at_deadline);
    CHECK(kind->wait(loop_now() + 3) == kind->at_deadline);
    CHECK(os_mono() >= began + 2);
    waits_long = true;
    CHECK(kind->wait(loop_now() + SECONDS(60)) == E_CANCELED);
    CHECK(fiber_canceled());
    CHECK(kind->wait(FOREVER) == E_CANCELED); /* sticky */
    fiber_shield();
    CHECK(!fiber_canceled());
    ms until = loop_now() + 2;
    CHECK(fiber_sleep(until) == OK && loop_now() >= until);
    CHECK(kind->wait(loop_now() + 1) == kind->at_deadline);
    fiber_unshield();
    CHECK(kind->wait(loop_now() - 1) == E_CANCELED); /* before the deadline is looked at */
    cleaned_up = true;
    return E_CANCELED;
}

static err cancel_body(void *arg)
{
    struct group g;
    uint8_t item = 9;
    sem_init_count(&empty_sem, 0);
    channel_open(&full, full_storage, 1, 1);
    channel_open(&empty, empty_storage, 1, 1);
    CHECK(channel_try_send(&full, &item) == OK);
    group_open(&stuck, TASK_METRICS);
    CHECK(group_spawn(&stuck, "stuck", stuck_run, NULL) == OK);
    group_open(&g, TASK_BACKUP);
    waits_long = cleaned_up = false;
    CHECK(group_spawn(&g, "waiter", canceled_waiter, arg) == OK);
    AWAIT(waits_long);
    CHECK(!cleaned_up);
    group_cancel(&g);
    group_cancel(&g);
    CHECK(!cleaned_up); /* returns at once */
    CHECK(group_join(&g, loop_now() + SECONDS(60)) == OK);
    CHECK(cleaned_up);
    group_close(&stuck);
    CHECK(queue.first == NULL && empty_sem.waiting.first == NULL && full.senders.first == NULL && empty.receivers.first == NULL);
    return OK;
}

static void every_wait_ends_by_deadline_and_by_cancel(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wait_kinds); i++) {
        checks_failed = 0;
        err e = loop_run(cancel_body, (void *)(uintptr_t)&wait_kinds[i]);
        if (e != OK || checks_failed > 0)
            fail_msg("%s", wait_kinds[i].name);
    }
}

/* --- shield, permit --- */
static unsigned shielded_steps;

static err shielded(void *arg)
{
    (void)arg;
    fiber_shield();
    fiber_shield();
    CHECK(fiber_park(FOREVER) == OK); /* canceled meanwhile, and not ended by it */
    shielded_steps++;
    fiber_unshield();
    CHECK(fiber_park(loop_now() + 2) == E_TIMEOUT); /* one shield still holds */
    fiber_unshield();
    CHECK(fiber_park(FOREVER) == E_CANCELED);
    shielded_steps++;
    return OK;
}

static err shield_body(void *arg)
{
    (void)arg;
    struct group g;
    shielded_steps = 0;
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "shielded", shielded, NULL) == OK);
    fiber_yield();
    struct fiber *f = g.first;
    group_cancel(&g);
    CHECK(group_join(&g, loop_now() + 5) == E_TIMEOUT);
    CHECK(shielded_steps == 0);
    fiber_wake(f);
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(shielded_steps == 2);
    return OK;
}

static void a_shield_nests_and_holds_back_a_cancel(void **state)
{
    (void)state;
    fibers_run(shield_body, NULL, OK);
}

static err permit_body(void *arg)
{
    (void)arg;
    fiber_wake(fiber_self());
    fiber_wake(fiber_self());
    CHECK(fiber_sleep(loop_now() + 2) == OK); /* other waits leave the permit alone */
    CHECK(sem_take(&empty_sem, loop_now() + 1) == E_TIMEOUT);
    CHECK(fiber_park(loop_now() - 1) == OK);
    CHECK(fiber_park(loop_now() + 2) == E_TIMEOUT); /* one is kept, not two */
    return OK;
}

static void one_wake_before_the_park_is_kept(void **state)
{
    (void)state;
    fibers_run(permit_body, NULL, OK);
}

static err woken_then_canceled(void *arg)
{
    (void)arg;
    CHECK(fiber_park(FOREVER) == OK); /* the wake came first */
    CHECK(fiber_park(FOREVER) == E_CANCELED);
    return OK;
}

static err wake_cancel_body(void *arg)
{
    (void)arg;
    struct group g;
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "woken", woken_then_canceled, NULL) == OK);
    fiber_yield();
    fiber_wake(g.first);
    group_close(&g);
    return OK;
}

static err asleep(void *arg)
{
    (void)arg;
    ms until = loop_now() + 6;
    CHECK(fiber_sleep(until) == OK && loop_now() >= until);
    CHECK(fiber_park(loop_now() - 1) == OK);
    return OK;
}

static err foreign_wake_body(void *arg)
{
    (void)arg;
    struct group g;
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "asleep", asleep, NULL) == OK);
    CHECK(fiber_sleep(loop_now() + 2) == OK);
    fiber_wake(g.first);
    CHECK(group_join(&g, FOREVER) == OK);
    return OK;
}

static void a_wake_during_another_wait_is_kept_for_the_park(void **state)
{
    (void)state;
    fibers_run(foreign_wake_body, NULL, OK);
}

static void a_wake_is_not_lost_to_a_cancel(void **state)
{
    (void)state;
    fibers_run(wake_cancel_body, NULL, OK);
}

/* --- groups --- */
struct ending {
    ms after;
    err result;
};

static const struct join_case {
    const char *name;
    struct ending endings[3];
    err want;
} join_cases[] = {
    {"all good", {{1, OK}, {0, OK}, {2, OK}}, OK},
    {"the first in time", {{8, E_IO}, {1, E_NAME}, {4, E_TLS}}, E_NAME},
    {"canceled is no error", {{0, E_CANCELED}, {3, E_FULL}, {1, OK}}, E_FULL},
    {"only canceled", {{0, E_CANCELED}, {1, E_CANCELED}, {0, OK}}, OK},
    {"at once", {{0, E_IO}, {0, E_NAME}, {0, OK}}, E_IO},
};

static unsigned ended;

static err ending_run(void *arg)
{
    const struct ending *e = arg;
    if (e->after > 0)
        CHECK(fiber_sleep(loop_now() + e->after) == OK);
    ended++;
    return e->result;
}

static err join_body(void *arg)
{
    const struct join_case *c = arg;
    struct group g;
    ended = 0;
    group_open(&g, TASK_BACKUP);
    for (unsigned i = 0; i < 3; i++)
        CHECK(group_spawn(&g, "ending", ending_run, (void *)(uintptr_t)&c->endings[i]) == OK);
    err e = group_join(&g, FOREVER);
    CHECK(ended == 3 && g.count == 0 && g.first == NULL);
    CHECK(group_join(&g, 0) == e); /* again: at once, the same */
    group_close(&g);
    group_close(&g);
    CHECK(group_spawn(&g, "late", ending_run, NULL) == E_CANCELED);
    return e;
}

static void join_waits_for_all_and_tells_the_first_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(join_cases); i++)
        fibers_run(join_body, (void *)(uintptr_t)&join_cases[i], join_cases[i].want);
}

static unsigned unwound;
static struct fiber *members[4];

static err member_run(void *arg)
{
    err e = fiber_park(FOREVER);
    unwound += e == E_CANCELED;
    *(struct fiber **)arg = NULL;
    return OK;
}

/* One leaves the group, one comes, then the rest is canceled: whoever leaves, nobody is forgotten. */
static err leave_body(void *arg)
{
    (void)arg;
    for (unsigned leaver = 0; leaver < 3; leaver++) {
        struct group g;
        unwound = 0;
        group_open(&g, TASK_BACKUP);
        for (unsigned i = 0; i < 3; i++) {
            CHECK(group_spawn(&g, "member", member_run, &members[i]) == OK);
            members[i] = g.first->group_previous;
        }
        fiber_yield();
        fiber_wake(members[leaver]);
        fiber_yield();
        CHECK(g.count == 2 && members[leaver] == NULL);
        CHECK(group_spawn(&g, "new member", member_run, &members[3]) == OK);
        fiber_yield();
        group_close(&g);
        CHECK(unwound == 3 && g.count == 0);
    }
    return OK;
}

static void whoever_leaves_the_rest_is_canceled(void **state)
{
    (void)state;
    fibers_run(leave_body, NULL, OK);
}

static err inner_run(void *arg)
{
    (void)arg;
    err e = fiber_sleep(FOREVER);
    unwound++;
    return e;
}

static err outer_run(void *arg)
{
    (void)arg;
    struct group inner;
    group_open(&inner, TASK_METRICS);
    for (unsigned i = 0; i < 3; i++)
        CHECK(group_spawn(&inner, "inner", inner_run, NULL) == OK);
    err e = group_join(&inner, FOREVER);
    CHECK(e == E_CANCELED && unwound == 0);
    group_close(&inner);
    CHECK(unwound == 3);
    return e;
}

static err nested_body(void *arg)
{
    (void)arg;
    struct group outer, zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    group_close(&zeroed);
    unwound = 0;
    group_open(&outer, TASK_BACKUP);
    CHECK(group_spawn(&outer, "outer", outer_run, NULL) == OK);
    CHECK(fiber_sleep(loop_now() + 2) == OK);
    group_close(&outer);
    CHECK(unwound == 3);
    return OK;
}

static void cancelling_the_outer_unwinds_the_inner(void **state)
{
    (void)state;
    fibers_run(nested_body, NULL, OK);
}

static err budget_body(void *arg)
{
    (void)arg;
    struct fiber_use before = fiber_use(TASK_METRICS);
    struct group g;
    group_open(&g, TASK_METRICS);
    for (unsigned i = 0; i < before.count; i++)
        CHECK(group_spawn(&g, "one of many", stuck_run, NULL) == OK);
    CHECK(group_spawn(&g, "one too many", stuck_run, NULL) == E_BUDGET);
    trail_clear();
    struct fiber_use use = fiber_use(TASK_METRICS);
    CHECK(use.count == mem_profile()->task[TASK_METRICS].fibers);
    CHECK(use.used == use.count && use.peak == use.count && use.refusals == before.refusals + 1);
    group_close(&g);
    CHECK(fiber_use(TASK_METRICS).used == 0);
    group_open(&g, TASK_METRICS);
    CHECK(group_spawn(&g, "again", ending_run, (void *)(uintptr_t)&join_cases[0].endings[1]) == OK);
    CHECK(group_join(&g, FOREVER) == OK);
    return OK;
}

static void a_spawn_beyond_the_budget_is_refused_and_counted(void **state)
{
    (void)state;
    fibers_run(budget_body, NULL, OK);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping_pong),
        cmocka_unit_test(registers_survive_and_error_comes_back),
        cmocka_unit_test(every_wait_ends_by_deadline_and_by_cancel),
        cmocka_unit_test(a_shield_nests_and_holds_back_a_cancel),
        cmocka_unit_test(one_wake_before_the_park_is_kept),
        cmocka_unit_test(a_wake_during_another_wait_is_kept_for_the_park),
        cmocka_unit_test(a_wake_is_not_lost_to_a_cancel),
        cmocka_unit_test(join_waits_for_all_and_tells_the_first_error),
        cmocka_unit_test(whoever_leaves_the_rest_is_canceled),
        cmocka_unit_test(cancelling_the_outer_unwinds_the_inner),
        cmocka_unit_test(a_spawn_beyond_the_budget_is_refused_and_counted),
    };
    return cmocka_run_group_tests_name("fiber", tests, NULL, NULL);
}
