/* The loop: fairness, the time of steps, sleeping when there is nothing to do, hooks and signals. */
#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/sock_inside.h"
#include "board/rt/sync.h"

#include "tests/unit/check.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- the loop's time --- */
static bool stop_spinning;

static err spin_yield(void *arg)
{
    (void)arg;
    while (!stop_spinning)
        fiber_yield();
    return OK;
}
static err spin_breathe(void *arg)
{
    (void)arg;
    while (!stop_spinning)
        fiber_breathe();
    return OK;
}
static err spin_late(void *arg)
{
    (void)arg;
    while (!stop_spinning)
        CHECK(fiber_sleep(loop_now() - 10) == OK);
    return OK;
}

static err starve_body(void *arg)
{
    err (*const spins[])(void *) = {spin_yield, spin_breathe, spin_late};
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(spins); i++) {
        struct group g;
        stop_spinning = false;
        group_open(&g, TASK_BACKUP);
        CHECK(group_spawn(&g, "spin", spins[i], NULL) == OK);
        CHECK(fiber_sleep(loop_now() + 3) == OK);
        stop_spinning = true;
        CHECK(group_join(&g, FOREVER) == OK);
    }
    return OK;
}

static void a_busy_fiber_does_not_starve_timers(void **state)
{
    (void)state;
    fiber_breathe(); /* legal outside of fibers, where it does nothing */
    assert_false(fiber_canceled());
    fibers_run(starve_body, NULL, OK);
}

static void burn_cpu(int64_t ns)
{
    int64_t began = os_thread_cpu_ns();
    while (os_thread_cpu_ns() - began < ns)
        ;
}

static err burner(void *arg)
{
    (void)arg;
    burn_cpu(SECONDS(1) * 200000); /* 200 ms: of a step that began late less is told */
    return OK;
}

static err dozer(void *arg)
{
    (void)arg;
    struct timespec twenty_ms = {.tv_nsec = 20000000}; /* as if another process had the CPU */
    (void)nanosleep(&twenty_ms, NULL);
    return OK;
}

static err slow_body(void *arg)
{
    (void)arg;
    struct group g;
    const struct loop_stats *stats = loop_stats();
    group_open(&g, TASK_METRICS);
    CHECK(group_spawn(&g, "dozer", dozer, NULL) == OK);
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(stats->slow_steps[TASK_METRICS] == 0);
    CHECK(stats->longest_step_ns[TASK_METRICS] < 10000000);
    CHECK(group_spawn(&g, "burner", burner, NULL) == OK);
    CHECK(group_join(&g, FOREVER) == OK);
    CHECK(stats->slow_steps[TASK_METRICS] == 1);
    CHECK(stats->longest_step_ns[TASK_METRICS] > 10000000);
    CHECK(strcmp(stats->longest_name[TASK_METRICS], "burner") == 0);
    return OK;
}

static void a_slow_step_is_counted_by_cpu_time_and_named(void **state)
{
    (void)state;
    fibers_run(slow_body, NULL, OK);
}

static unsigned hook_calls;

static void on_turn(ms now)
{
    hook_calls++;
    CHECK(now == loop_now() && fiber_self() == NULL);
}

static err idle_body(void *arg)
{
    (void)arg;
    uint64_t wakeups = loop_stats()->wakeups;
    CHECK(fiber_sleep(loop_now() + 60) == OK);
    CHECK(loop_stats()->wakeups - wakeups <= 2);
    CHECK(loop_wall_ms() > INT64_C(1500000000000) && loop_wall_ms() <= os_wall_ms());
    return OK;
}

static void an_idle_loop_sleeps_until_the_next_timer(void **state)
{
    (void)state;
    hook_calls = 0;
    loop_on_turn(on_turn);
    fibers_run(idle_body, NULL, OK);
    loop_on_turn(NULL);
    assert_true(hook_calls >= 2);
}

/* --- held up --- */
static struct {
    struct sock near;
    struct bell bell;
    ms deadline;
    unsigned waiting;
} held;

static err reader(void *arg)
{
    char got[8];
    size_t n = 0;
    (void)arg;
    held.waiting++;
    CHECK(sock_read(&held.near, got, sizeof got, FOREVER, &n) == OK && n == 1);
    bell_ring(&held.bell);
    return OK;
}

/* Waits for what the reader makes of it. */
static err waiter(void *arg)
{
    (void)arg;
    held.waiting++;
    CHECK(bell_wait(&held.bell, held.deadline) == OK);
    return OK;
}

/* The byte is there in time; the process goes on when the deadline is past, as after a SIGSTOP. */
static err held_body(void *arg)
{
    struct timespec one_ms = {.tv_nsec = 1000000};
    struct group g;
    int ends[2];
    (void)arg;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(sock_adopt(&held.near, ends[0]) == OK);
    held.deadline = loop_now() + SECONDS(1);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "reader", reader, NULL) == OK);
    CHECK(group_spawn(&g, "waiter", waiter, NULL) == OK);
    AWAIT(held.waiting == 2);
    CHECK(write(ends[1], "x", 1) == 1);
    while (os_mono() <= held.deadline)
        (void)nanosleep(&one_ms, NULL);
    CHECK(group_join(&g, FOREVER) == OK);
    sock_close(&held.near);
    CHECK(close(ends[1]) == 0);
    return OK;
}

static void what_came_in_time_is_taken_by_who_was_held_up(void **state)
{
    (void)state;
    fibers_run(held_body, NULL, OK);
}

/* --- signals --- */
static unsigned signals_seen;

static void on_signal(int signal_number)
{
    signals_seen += signal_number == SIGHUP;
}

static err signal_body(void *arg)
{
    (void)arg;
    CHECK(kill(getpid(), SIGHUP) == 0);
    AWAIT(signals_seen > 0); /* once each: test_os */
    return OK;
}

static void signals_come_to_the_handler(void **state)
{
    (void)state;
    loop_on_signal(on_signal);
    fibers_run(signal_body, NULL, OK);
    loop_on_signal(NULL);
}

static err late_handler_body(void *arg)
{
    (void)arg;
    CHECK(kill(getpid(), SIGHUP) == 0);
    CHECK(fiber_sleep(loop_now() + 20) == OK); /* turns in which it is collected */
    CHECK(signals_seen == 0);
    loop_on_signal(on_signal);
    AWAIT(signals_seen > 0);
    CHECK(signals_seen == 1);
    return OK;
}

static void a_signal_before_the_handler_is_told_to_it(void **state)
{
    (void)state;
    signals_seen = 0;
    fibers_run(late_handler_body, NULL, OK);
    loop_on_signal(NULL);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_step_is_counted_by_cpu_time_and_named),
        cmocka_unit_test(a_busy_fiber_does_not_starve_timers),
        cmocka_unit_test(an_idle_loop_sleeps_until_the_next_timer),
        cmocka_unit_test(what_came_in_time_is_taken_by_who_was_held_up),
        cmocka_unit_test(signals_come_to_the_handler),
        cmocka_unit_test(a_signal_before_the_handler_is_told_to_it),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
