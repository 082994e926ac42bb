/* Pulses, and the watchdog that is fed only while all of them move. */
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "board/rt/pulse.h"
#include "hal/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define LIMIT (mem_profile()->task[TASK_BACKUP].stall_ms_max)

enum what { BOOT, BEAT, REST, CHECK };
struct step {
    const char *name;
    enum what what;
    ms at;
    err want;
    int stalled; /* the metric */
};

static double stalled_metric(enum task t)
{
    const char *const values[] = {task_name(t)};
    return metric_value("holdfast_task_stalled", values);
}

static void a_task_stalls_after_its_limit_and_not_before(void **state)
{
    (void)state;
    const struct step steps[] = {
        {"booted, rests", BOOT, 1000, OK, 0},
        {"never started is no stall", CHECK, 1000 + 10 * LIMIT, OK, 0},
        {"begins", BEAT, 2000, OK, 0},
        {"within", CHECK, 2000 + LIMIT - 1, OK, 0},
        {"at its limit", CHECK, 2000 + LIMIT, OK, 0},
        {"past it", CHECK, 2000 + LIMIT + 1, E_LATE, 1},
        {"still", CHECK, 2000 + 3 * LIMIT, E_LATE, 1},
        {"moves", BEAT, 2000 + 3 * LIMIT, OK, 1},
        {"seen moving", CHECK, 2000 + 3 * LIMIT + 1, OK, 0},
        {"rests", REST, 0, OK, 0},
        {"as long as it likes", CHECK, 2000 + 100 * LIMIT, OK, 0},
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const struct step *s = &steps[i];
        enum task who = TASK_COUNT;
        print_message("%s\n", s->name);
        if (s->what == BOOT)
            pulse_boot(s->at);
        if (s->what == BEAT)
            pulse_beat(TASK_BACKUP, s->at);
        if (s->what == REST)
            pulse_rest(TASK_BACKUP);
        if (s->what == CHECK) {
            assert_int_equal(pulse_check(s->at, &who), s->want);
            assert_int_equal(who, s->want == OK ? TASK_COUNT : TASK_BACKUP);
        }
        assert_int_equal((int)stalled_metric(TASK_BACKUP), s->stalled);
        assert_int_equal((int)stalled_metric(TASK_BOARD), 0);
        assert_int_equal(pulse_of(TASK_BACKUP)->stalled, s->stalled);
    }
}

static void the_first_of_several_is_named(void **state)
{
    (void)state;
    enum task who = TASK_COUNT;
    pulse_boot(0);
    for (enum task t = 0; t < TASK_COUNT; t++)
        pulse_beat(t, 0);
    assert_int_equal(pulse_check(HOURS(1), &who), E_LATE);
    assert_int_equal(who, TASK_BOARD);
    pulse_rest(TASK_BOARD);
    assert_int_equal(pulse_check(HOURS(1), &who), E_LATE);
    assert_int_equal(who, TASK_BOARD + 1);
}

/* --- the watchdog --- */

struct fake {
    unsigned opened, fed, closed;
    err open_result, feed_result;
};

static err fake_open(void *state)
{
    struct fake *f = state;
    f->opened++;
    return f->open_result;
}

static err fake_feed(void *state)
{
    struct fake *f = state;
    f->fed++;
    return f->feed_result;
}

static void fake_close(void *state)
{
    ((struct fake *)state)->closed++;
}

static const struct watchdog_device fake_device = {.name = "fake", .open = fake_open, .feed = fake_feed, .close = fake_close};

static void it_is_fed_when_due_and_only_while_all_move(void **state)
{
    (void)state;
    struct watchdog d;
    struct fake f = {.opened = 0};
    enum task who;
    pulse_boot(0);
    pulse_beat(TASK_BACKUP, 0);
    assert_int_equal(watchdog_open(&d, &fake_device, &f, 1000, 0), OK);
    assert_int_equal(watchdog_turn(&d, 999, &who), OK);
    assert_int_equal(f.fed, 0);
    assert_int_equal(watchdog_turn(&d, 1000, &who), OK);
    assert_int_equal(watchdog_turn(&d, 1001, &who), OK);
    assert_int_equal(f.fed, 1);
    assert_int_equal(watchdog_turn(&d, LIMIT + 1, &who), E_LATE);
    assert_int_equal(who, TASK_BACKUP);
    assert_int_equal(f.fed, 1);
    pulse_beat(TASK_BACKUP, LIMIT + 2);
    assert_int_equal(watchdog_turn(&d, LIMIT + 2, &who), OK);
    assert_int_equal(f.fed, 2);
    f.feed_result = E_IO;
    assert_int_equal(watchdog_turn(&d, LIMIT + 2000, &who), E_IO);
    assert_int_equal(watchdog_turn(&d, LIMIT + 2001, &who), E_IO); /* tried again at once: it was not fed */
    assert_int_equal(f.fed, 4);
    watchdog_close(&d);
    watchdog_close(&d);
    assert_int_equal(f.closed, 1);
}

static void without_a_device_the_pulses_are_still_checked(void **state)
{
    (void)state;
    struct watchdog d;
    struct fake f = {.open_result = E_BUSY};
    enum task who;
    assert_int_equal(watchdog_open(&d, &fake_device, &f, 1000, 0), E_BUSY);
    watchdog_close(&d);
    assert_int_equal(f.closed, 0);
    assert_int_equal(watchdog_open(&d, &watchdog_none, NULL, 1000, 0), E_ABSENT);
    trail_clear();
    pulse_boot(0);
    assert_int_equal(watchdog_turn(&d, 5000, &who), OK);
    pulse_beat(TASK_BOARD, 0);
    assert_int_equal(watchdog_turn(&d, HOURS(1), &who), E_LATE);
    assert_int_equal(who, TASK_BOARD);
    watchdog_close(&d);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_stalls_after_its_limit_and_not_before),
        cmocka_unit_test(the_first_of_several_is_named),
        cmocka_unit_test(it_is_fed_when_due_and_only_while_all_move),
        cmocka_unit_test(without_a_device_the_pulses_are_still_checked),
    };
    return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
