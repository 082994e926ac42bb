/* Timers fire in order, whatever is armed, moved and disarmed meanwhile: compared with a plain array. */
#include "board/rt/fiber_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TIMERS 200
#define ROUNDS 3000

struct model {
    struct timer timer; /* first: a timer's address is its model's */
    bool armed;
    ms at;
};

static struct model models[TIMERS];
static ms last_fired_at;
static unsigned fired, out_of_order, not_due;
static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(random_state >> 33) % n;
}

static void on_fire(struct timer *t)
{
    struct model *m = (struct model *)(void *)t;
    fired++;
    not_due += !m->armed;
    out_of_order += m->at < last_fired_at || m->at != t->at;
    last_fired_at = m->at;
    m->armed = false;
}

static ms model_next(unsigned *due, ms now)
{
    ms next = FOREVER;
    *due = 0;
    for (unsigned i = 0; i < TIMERS; i++)
        if (models[i].armed) {
            next = ms_min(next, models[i].at);
            *due += models[i].at <= now;
        }
    return next;
}

static void random_move(ms now)
{
    struct model *m = &models[random_below(TIMERS)];
    if (random_below(4) == 0) {
        timer_disarm(&m->timer);
        m->armed = false;
    } else {
        m->at = now - 5 + (ms)random_below(random_below(2) ? 20 : 2000);
        m->armed = true;
        timer_arm(&m->timer, m->at);
    }
    assert_int_equal(m->timer.armed, m->armed);
}

static void heap_agrees_with_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        random_state = seed;
        memset(models, 0, sizeof models);
        for (unsigned i = 0; i < TIMERS; i++)
            models[i].timer.fire = on_fire;
        ms now = 1000;
        for (unsigned round = 0; round < ROUNDS; round++) {
            for (unsigned i = random_below(8); i > 0; i--)
                random_move(now);
            now += random_below(6);
            unsigned due;
            assert_int_equal(timer_next_at(), model_next(&due, now));
            fired = out_of_order = not_due = 0;
            last_fired_at = INT64_MIN;
            timer_fire_due(now);
            assert_int_equal(fired, due);
            assert_int_equal(out_of_order + not_due, 0);
        }
        for (unsigned i = 0; i < TIMERS; i++)
            timer_disarm(&models[i].timer);
        assert_int_equal(timer_next_at(), FOREVER);
    }
}

static unsigned again_count;

static void fire_again(struct timer *t)
{
    again_count++;
    timer_arm(t, 0);
}

static void rearmed_for_the_past_fires_once_a_turn(void **state)
{
    (void)state;
    struct timer t = {.fire = fire_again};
    timer_arm(&t, 10);
    timer_fire_due(20);
    assert_int_equal(again_count, 1);
    timer_fire_due(21);
    assert_int_equal(again_count, 2);
    timer_disarm(&t);
}

static struct timer victim;
static unsigned victim_fired;

static void fire_victim(struct timer *t)
{
    (void)t;
    victim_fired++;
}

static void fire_disarms_victim(struct timer *t)
{
    (void)t;
    timer_disarm(&victim);
}

static void disarmed_in_a_callback_does_not_fire(void **state)
{
    (void)state;
    struct timer first = {.fire = fire_disarms_victim};
    victim = (struct timer){.fire = fire_victim};
    timer_arm(&victim, 11);
    timer_arm(&first, 10);
    timer_fire_due(20);
    assert_int_equal(victim_fired, 0);
    assert_int_equal(timer_next_at(), FOREVER);
}

static void edges(void **state)
{
    (void)state;
    struct timer t = {.fire = fire_victim};
    victim_fired = 0;
    timer_disarm(&t); /* never armed */
    timer_arm(&t, 100);
    timer_arm(&t, 50); /* moves */
    assert_int_equal(timer_next_at(), 50);
    timer_fire_due(49);
    assert_int_equal(victim_fired, 0);
    timer_fire_due(50); /* at the moment itself */
    assert_int_equal(victim_fired, 1);
    timer_disarm(&t); /* twice is fine */
    timer_disarm(&t);
    timer_arm(&t, -7); /* the clock may have begun anywhere */
    assert_int_equal(timer_next_at(), -7);
    timer_disarm(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_agrees_with_array),
        cmocka_unit_test(rearmed_for_the_past_fires_once_a_turn),
        cmocka_unit_test(disarmed_in_a_callback_does_not_fire),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
