/* The ingest agent when the dice say what happens to it, to the API server and to the platform; and when the power goes, or one
 * call fails, at any moment of a life in which much happens. In the end what the platform was told is what the API server has. */
#include "agents/ingest/kinds.h"
#include "tests/sim/ingest_story.h"
#include "tests/sim/mirror_model.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS        12
#define RANDOM_STEPS 60
#define FEW          12 /* objects of a kind */

static struct platform_fault drawn_fault(void)
{
    static const unsigned statuses[] = {503, 429, 422, 400, 401, 500};
    static const enum platform_how hows[] = {PLATFORM_ANSWER, PLATFORM_ANSWER, PLATFORM_CUT, PLATFORM_LOST, PLATFORM_SILENT};
    enum platform_op op = sim_draw(4) ? PLATFORM_EVENT : (enum platform_op)sim_draw(PLATFORM_OPS);
    unsigned from = story_platform.count[op] + 1 + (unsigned)sim_draw(3);
    struct platform_fault f = {.op = op, .from = from, .to = from + (unsigned)sim_draw(6), .how = hows[sim_draw(COUNT_OF(hows))]};
    if (f.how == PLATFORM_ANSWER)
        f.status = statuses[sim_draw(COUNT_OF(statuses))];
    if (f.how == PLATFORM_SILENT)
        f.wait_ms = 40000;
    return f;
}

static struct step drawn_step(void)
{
    static const struct step mishaps[] = {{API_DOWN, 1, 0},    {API_DOWN, 0, 0},   {COMPACT, 0, 0},       {EXPIRE, 0, 0},
                                          {STICK_WATCH, 0, 0}, {STICK_LIST, 0, 0}, {PLATFORM_DOWN, 1, 0}, {PLATFORM_DOWN, 0, 0},
                                          {RESTART, 0, 0},     {REVOKE, 0, 0},     {DISK, 1, 0},          {DISK, 0, 0},
                                          {JUMP, 7200, 0},     {JUMP, -86400, 0},  {PAGE, 2, 0},          {PAGE, 0, 0}};
    int64_t a = (int64_t)sim_draw(FEW), b = a + (int64_t)sim_draw(3);
    switch (sim_draw(8)) {
    case 0:
    case 1:
        return (struct step){SET, a, b};
    case 2:
        return (struct step){sim_draw(4) ? DELETE : TOUCH, a, b};
    case 3:
    case 4:
        return (struct step){WAIT, (int64_t)sim_draw(sim_draw(3) ? 400 : 40000), 0};
    case 5:
        return (struct step){FILL, FEW + a, FEW + b};
    default:
        return mishaps[sim_draw(COUNT_OF(mishaps))];
    }
}

/* All is well in the end. */
static err calm(const struct story *s)
{
    static const struct step steps[] = {{API_DOWN, 0, 0}, {PLATFORM_DOWN, 0, 0}, {DISK, 0, 0}, {EXPIRE, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        TRY(story_step(s, &steps[i]));
    cluster->expire = cluster->stick_list = cluster->stick_watch = false;
    story_law(s, MINUTES(90)); /* snapshots are not made more often than each hour, when the platform refuses again and again */
    return OK;
}

static err anything(const struct story *s)
{
    static struct platform_fault fault;
    story_platform.faults = &fault;
    story_platform.fault_count = 1;
    fault = drawn_fault();
    err e = story_start();
    for (unsigned i = 0; e == OK && i < RANDOM_STEPS; i++) {
        if (sim_draw(10) == 0)
            fault = drawn_fault();
        struct step step = drawn_step();
        e = story_step(s, &step);
    }
    if (e == OK)
        e = calm(s);
    story_stop();
    return e;
}

static err run_anything(void *arg)
{
    return story_in_world(arg, anything);
}

static void whatever_happens(void **state)
{
    static const struct story any = {.name = "anything"};
    struct sim_case c = {
        .name = any.name, .setup = story_setup, .run = run_anything, .fibers = true, .arg = (void *)(uintptr_t)&any};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- the power goes, or one call fails, at any moment of a life in which much happens --- */

static const struct story busy = {
    "busy",
    TELLS({PAGE, 4, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SET, 2, 5}, {DELETE, 6, 7}, {WAIT, 150, 0}, {SET, 6, 6}, {PLATFORM_DOWN, 1, 0},
          {SET, 0, 4}, {DELETE, 8, 8}, {WAIT, 1000, 0}, {SET, 1, 3}, {DELETE, 2, 2}, {SET, 2, 2}, {WAIT, 1000, 0},
          {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 9, 9}, {COMPACT, 0, 0}, {API_DOWN, 0, 0}, {LAW, 0, 0}),
    .faults = {{.op = PLATFORM_EVENT, .from = 3, .to = 3, .how = PLATFORM_LOST}}};

/* What happened meanwhile is there at once. */
static err run_after(const struct story *s)
{
    err e = story_start();
    if (e == OK)
        e = story_step(s, &(struct step){SET, 1, 1});
    if (e == OK)
        e = calm(s);
    story_stop();
    return e;
}

static err after_the_cut(void *arg)
{
    return story_in_world(arg, run_after);
}

static void reboot(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    story_reboot(arg);
    SIM_CHECK_ERR(sim_loop(after_the_cut, arg), OK);
}

static void the_power_goes(void **state)
{
    struct sim_case c = {.name = busy.name,
                         .setup = story_setup,
                         .run = story_run,
                         .reboot = reboot,
                         .fibers = true,
                         .arg = (void *)(uintptr_t)&busy};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

static void the_power_goes_whenever(void **state)
{
    static const struct story any = {.name = "any"};
    struct sim_case c = {.name = any.name,
                         .setup = story_setup,
                         .run = run_anything,
                         .reboot = reboot,
                         .fibers = true,
                         .step = 13,
                         .arg = (void *)(uintptr_t)&any};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

/* Opening may fail; what runs mends itself. */
static void each_call_fails_once(void **state)
{
    struct sim_case c = {
        .name = "fault", .setup = story_setup, .run = story_run, .fibers = true, .step = 29, .arg = (void *)(uintptr_t)&busy};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_happens), cmocka_unit_test(the_power_goes),
                                       cmocka_unit_test(the_power_goes_whenever), cmocka_unit_test(each_call_fails_once)};
    story_share();
    return cmocka_run_group_tests_name("ingest, whatever happens", tests, NULL, NULL);
}
