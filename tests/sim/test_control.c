/* The control socket and the lock with each fallible call failed once: no leak, no hang, and a command is told either its result
 * or that it has none; and a lock file on a disk whose power goes at any change. */
#include "board/control.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DATA     "/data"
#define SEEDS    20
#define SOON     (loop_now() + SECONDS(20))
#define RESULT   "[{\"name\":\"a\"}]"
#define STEPS    3
#define STOP_MAX SECONDS(2)

/* The registry is made with its first series, and stays. */
static void boot_metrics(void)
{
    static struct family family = {.name = "test_boot", .help = "Here so that the registry is.", .type = METRIC_GAUGE};
    struct series *series;
    SIM_CHECK_ERR(metric_series(&family, NULL, &series), OK);
}

static void setup(void *arg)
{
    (void)arg;
    sim_boot(boot_metrics);
}

static err answer(void *arg, struct http_exchange *x)
{
    (void)arg;
    for (unsigned i = 1; i <= STEPS; i++) {
        TRY(control_progress(x, "local", i, STEPS));
        TRY(fiber_sleep(loop_now() + 10));
    }
    return control_result(x, RESULT, NULL, EXIT_GOOD);
}
static err answer_late(void *arg, struct http_exchange *x)
{
    TRY(fiber_sleep(loop_now() + *(const ms *)arg));
    return answer(NULL, x);
}
static const ms in_time = CONTROL_SILENCE_MS_MAX - SECONDS(1), too_late = CONTROL_SILENCE_MS_MAX + SECONDS(1);
static const struct control_route routes[] = {{"POST", "/backup/now", answer, NULL},
                                              {"POST", "/late", answer_late, (void *)(uintptr_t)&in_time},
                                              {"POST", "/too-late", answer_late, (void *)(uintptr_t)&too_late}};

static unsigned steps;
static void count_step(void *arg, const char *what, uint64_t received, uint64_t total)
{
    (void)arg, (void)what, (void)total;
    SIM_CHECK(received == ++steps);
}

static err ask(void)
{
    struct control_reply reply;
    steps = 0;
    err e = control_ask(DATA, "POST", "/backup/now?level=4", count_step, NULL, SOON, &reply);
    SIM_CHECK((e == OK) == (reply.json != NULL || *reply.error != 0));
    if (reply.json)
        SIM_CHECK(steps == STEPS && reply.code == EXIT_GOOD && strcmp((const char *)reply.json->at, RESULT) == 0);
    bool told = e == OK && !reply.json;
    buf_release(reply.json);
    return told ? E_REMOTE : e;
}

/* A hub that says nothing for too long, as one that is stopped: the command ends, and knows that it does not know. */
static err wait_for_a_silent_hub(void *arg)
{
    struct control *c = NULL;
    struct control_reply reply;
    char why[256];
    (void)arg;
    TRY(control_start(DATA, routes, COUNT_OF(routes), &c));
    SIM_CHECK_ERR(control_ask(DATA, "POST", "/late", NULL, NULL, FOREVER, &reply), OK);
    SIM_CHECK(reply.json && reply.code == EXIT_GOOD);
    buf_release(reply.json);
    ms began = loop_now();
    SIM_CHECK_ERR(control_ask(DATA, "POST", "/too-late", NULL, NULL, FOREVER, &reply), E_TIMEOUT);
    SIM_CHECK(!reply.json && reply.asked && reply.code == EXIT_CANNOT_TELL &&
              loop_now() - began < CONTROL_SILENCE_MS_MAX + SECONDS(1));
    SIM_CHECK(strstr(trail_text(E_TIMEOUT, why, sizeof why), DATA "/" CONTROL_SOCKET_NAME " says nothing"));
    trail_clear();
    control_stop(c, loop_now() + STOP_MAX);
    return OK;
}

static err run(void *arg)
{
    struct control_lock lock = {.fd = -1}, other = {.fd = -1};
    struct control *c = NULL;
    (void)arg;
    err e = control_lock_take(&lock, DATA, SOON);
    if (e == OK)
        SIM_CHECK(control_lock_take(&other, DATA, SOON) != OK && other.fd == -1);
    trail_clear();
    if (e == OK)
        e = control_start(DATA, routes, COUNT_OF(routes), &c);
    if (e == OK)
        e = ask();
    control_stop(c, loop_now() + STOP_MAX);
    control_lock_give(&lock);
    return e;
}

/* --- the power goes; the file may be there or not, torn or whole: the next process gets the lock --- */
static err take(void *arg)
{
    struct control_lock lock = {.fd = -1};
    (void)arg;
    TRY(control_lock_take(&lock, DATA, SOON));
    control_lock_give(&lock);
    return OK;
}
static void reboot(void *arg, bool ended, err result)
{
    (void)arg, (void)ended, (void)result;
    SIM_CHECK_ERR(sim_loop(take, NULL), OK);
}

static const struct sim_case asked = {.name = "asked", .setup = setup, .run = run, .fibers = true};
static const struct sim_case silent = {.name = "silent", .setup = setup, .run = wait_for_a_silent_hub, .fibers = true};
static const struct sim_case locked = {.name = "locked", .run = take, .reboot = reboot, .fibers = true};

static void every_seed(void **state)
{
    (void)state;
    assert_true(sim_seeds(&asked, SEEDS));
}
static void a_silent_hub(void **state)
{
    (void)state;
    assert_true(sim_seeds(&silent, 1));
}
static void each_fault(void **state)
{
    (void)state;
    assert_true(sim_each_fault(&asked));
}
static void each_power_cut(void **state)
{
    (void)state;
    assert_true(sim_each_power_cut(&locked));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_seed), cmocka_unit_test(a_silent_hub), cmocka_unit_test(each_fault),
                                       cmocka_unit_test(each_power_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
