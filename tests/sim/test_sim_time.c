/* The simulated clock, signals and pool, and the judge itself: what is bad must be found bad. */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#define SEEDS 12

/* --- time --- */
static err run_clock(void *arg)
{
    struct os_event none[1];
    int64_t wall = os_wall_ms();
    ms began = os_mono();
    (void)arg;
    SIM_CHECK(os_wall_is_trusted() && began == SIM_BOOT_MS);
    SIM_CHECK(os_wait(began + HOURS(1) - 1, none, 1) == 0);
    SIM_CHECK(os_mono() - began == HOURS(1) - 1 && os_wall_ms() - wall == HOURS(1) - 1);
    sim_wall_set(0);
    SIM_CHECK(!os_wall_is_trusted() && os_wall_ms() == (int64_t)OS_WALL_FLOOR_S * 1000);
    return OK;
}

static err run_jump(void *arg)
{
    struct os_event none[1];
    int64_t wall = os_wall_ms();
    (void)arg;
    sim_wall_jump_at(SIM_BOOT_MS + 100, -HOURS(5));
    sim_signal_at(SIM_BOOT_MS + 200, 15);
    (void)os_wait(SIM_BOOT_MS + 1000, none, 1);
    int number = 0;
    SIM_CHECK(os_signal_take(&number) && number == 15 && !os_signal_take(&number));
    SIM_CHECK(os_mono() == SIM_BOOT_MS + 200 && os_wall_ms() == wall + 200 - HOURS(5));
    os_poke();
    SIM_CHECK(os_wait(FOREVER, none, 1) == 0);
    return OK;
}

/* --- offload --- */
static struct job {
    struct os_work work;
    unsigned ran;
} jobs[3];

static void job_run(struct os_work *w)
{
    for (size_t calls = 0; calls < 10; calls++)
        (void)os_mono();
    CONTAINER_OF(w, struct job, work)->ran++;
}

static err run_offload(void *arg)
{
    struct os_event none[1];
    unsigned back = 0;
    (void)arg;
    TRY(os_offload_boot(2, 0, NULL));
    sim_stick_job(2, FOREVER);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].work.run = job_run;
        os_offload(&jobs[i].work);
    }
    for (ms until = os_mono() + SECONDS(5); os_mono() < until;) {
        (void)os_wait(until, none, 1);
        for (struct os_work *w; (w = os_offload_done()); back++)
            SIM_CHECK(w->done);
    }
    SIM_CHECK(back == 2 && jobs[0].ran + jobs[1].ran + jobs[2].ran == 2);
    SIM_CHECK(os_offload_stop(os_mono() + SECONDS(1)) == 1);
    return OK;
}

/* --- the judge itself: these must be found bad --- */
static err run_hangs(void *arg)
{
    struct os_event none[1];
    (void)arg;
    (void)os_wait(FOREVER, none, 1);
    return OK;
}

static err run_leaks(void *arg)
{
    os_fd fd;
    (void)arg;
    return os_udp(&(struct addr){.kind = ADDR_NONE}, &fd);
}

static err run_closes_twice(void *arg)
{
    os_fd fd;
    TRY(run_leaks(arg));
    TRY(os_udp(&(struct addr){.kind = ADDR_NONE}, &fd));
    os_close(fd);
    os_close(fd);
    return OK;
}

static err run_spins(void *arg)
{
    struct os_event none[1];
    (void)arg;
    for (size_t turns = 0; turns < 1000000; turns++)
        (void)os_wait(0, none, 1);
    return OK;
}

static err run_crashes(void *arg)
{
    (void)arg;
    abort();
}

static const struct sim_case good[] = {
    {.name = "clock", .run = run_clock},
    {.name = "jump_and_signal", .run = run_jump},
    {.name = "offload", .run = run_offload},
};

static const struct sim_case bad[] = {
    {.name = "hangs", .run = run_hangs},
    {.name = "leaks", .run = run_leaks},
    {.name = "closes_twice", .run = run_closes_twice},
    {.name = "spins", .run = run_spins},
    {.name = "crashes", .run = run_crashes},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(sim_seeds(&good[i], SEEDS));
}

static void test_bad_is_told(void **state)
{
    (void)state;
    if (sim_is_narrowed())
        SKIP_BECAUSE("one seed or fault is being repeated");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(sim_seeds(&bad[i], 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
