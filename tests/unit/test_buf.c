#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"
#include "tests/unit/check.h"
#include "tests/unit/child.h"

#include <string.h>
#include <time.h>

#define HELD_MAX 64
static struct buf *held[HELD_MAX];
static size_t held_count;

static size_t class_bytes(unsigned c)
{
    return mem_profile()->buffers[c].bytes;
}

static unsigned class_count(unsigned c)
{
    return mem_profile()->buffers[c].count;
}

/* Takes buffers of this size until there is none. */
static void hold_all(size_t bytes)
{
    while (held_count < HELD_MAX && buf_take(bytes, &held[held_count]) == OK)
        held_count++;
    trail_clear();
}

static void release_all(void)
{
    while (held_count > 0)
        buf_release(held[--held_count]);
}

/* --- taking --- */

/* Sizes around each class's edge: 4 KiB, 16 KiB, 256 KiB on edge16. */
static const struct {
    size_t bytes;
    err want;
    unsigned class_index;
} takes[] = {
    {0, OK, 0},
    {1, OK, 0},
    {KIB(4), OK, 0},
    {KIB(4) + 1, OK, 1},
    {KIB(16), OK, 1},
    {KIB(16) + 1, OK, 2},
    {KIB(256), OK, 2},
    {KIB(256) + 1, E_RANGE, 0},
    {SIZE_MAX, E_RANGE, 0},
};

static void the_smallest_that_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(takes); i++) {
        struct buf *b;
        assert_int_equal(buf_take(takes[i].bytes, &b), takes[i].want);
        if (takes[i].want != OK) {
            assert_null(b);
            continue;
        }
        assert_true(b->class_index == takes[i].class_index && b->cap == class_bytes(b->class_index) && b->len == 0);
        assert_int_equal(buf_use(b->class_index).used, 1);
        memset(b->at, 0xff, b->cap);
        buf_release(b);
        assert_int_equal(buf_use(takes[i].class_index).used, 0);
    }
}

static void a_larger_one_when_the_class_is_empty(void **state)
{
    (void)state;
    uint64_t refusals = buf_use(0).refusals;
    hold_all(1);
    assert_int_equal(held_count, class_count(0) + class_count(1) + class_count(2));
    for (unsigned c = 0, i = 0; c < BUFFER_CLASSES; c++) {
        for (unsigned end = i + class_count(c); i < end; i++)
            assert_int_equal(held[i]->class_index, c);
        assert_true(buf_use(c).used == class_count(c) && buf_use(c).peak == class_count(c));
    }
    assert_int_equal(buf_use(0).refusals, refusals + 1); /* hold_all()'s last */
    assert_int_equal(buf_use(2).refusals, 0);
    struct buf *b;
    assert_int_equal(buf_take(KIB(100), &b), E_BUDGET);
    assert_null(b);
    assert_int_equal(buf_use(2).refusals, 1);
    release_all();
    for (unsigned c = 0; c < BUFFER_CLASSES; c++)
        assert_int_equal(buf_use(c).used, 0);
}

static void buffers_do_not_overlap(void **state)
{
    (void)state;
    hold_all(1);
    for (size_t i = 0; i < held_count; i++)
        memset(held[i]->at, (int)i, held[i]->cap);
    for (size_t i = 0; i < held_count; i++)
        for (size_t n = 0; n < held[i]->cap; n += 64)
            assert_int_equal(held[i]->at[n], (uint8_t)i);
    release_all();
}

static void a_held_buffer_outlives_its_release(void **state)
{
    (void)state;
    struct buf *b;
    assert_int_equal(buf_take(1, &b), OK);
    hold_take(&b->hold);
    buf_release(b);
    assert_int_equal(buf_use(0).used, 1);
    b->at[0] = 1;
    hold_release(&b->hold);
    assert_int_equal(buf_use(0).used, 0);
    buf_release(NULL);
}

static void release_twice(void)
{
    struct buf *b;
    ASSERT(buf_take(1, &b) == OK);
    buf_release(b);
    buf_release(b);
}

static void releasing_twice_is_our_bug(void **state)
{
    (void)state;
    char said[CHILD_TEXT_MAX];
    assert_int_equal(child_run(release_twice, said), 1000 + SIGABRT);
    assert_non_null(strstr(said, "assertion failed"));
}

/* --- waiting --- */

#define WAITERS 4
static struct waiting {
    size_t bytes;
    ms deadline;
    err result;
    int served; /* when, counted from 1 */
    bool keeps;
} waiting[WAITERS];
static int served_count;

static err wait_body(void *arg)
{
    struct waiting *w = arg;
    struct buf *b;
    w->result = buf_wait(w->bytes, w->deadline, &b);
    CHECK((w->result == OK) == (b != NULL));
    if (b == NULL)
        return w->result == E_CANCELED ? E_CANCELED : OK;
    CHECK(b->cap >= w->bytes);
    w->served = ++served_count;
    fiber_yield();
    if (w->keeps)
        held[held_count++] = b;
    else
        buf_release(b);
    return OK;
}

static void start_waiters(struct group *g, const size_t bytes[WAITERS], bool keep)
{
    served_count = 0;
    group_open(g, TASK_BACKUP);
    for (size_t i = 0; i < WAITERS; i++) {
        waiting[i] = (struct waiting){.bytes = bytes[i], .deadline = loop_now() + SECONDS(60), .keeps = keep};
        CHECK(group_spawn(g, "waiter", wait_body, &waiting[i]) == OK);
    }
    CHECK(fiber_sleep(loop_now() + 2) == OK);
}

static err first_come_body(void *arg)
{
    (void)arg;
    struct group g;
    hold_all(1);
    start_waiters(&g, (const size_t[WAITERS]){1, 1, 1, 1}, true);
    CHECK(served_count == 0);
    for (int i = 0; i < WAITERS; i++) {
        struct buf *barging;
        buf_release(held[--held_count]);
        CHECK(buf_take(1, &barging) == E_BUDGET); /* it belongs to who waits already */
        trail_clear();
        fiber_yield();
        fiber_yield();
        fiber_yield();
    }
    CHECK(group_join(&g, loop_now() + SECONDS(60)) == OK);
    for (int i = 0; i < WAITERS; i++)
        CHECK(waiting[i].result == OK && waiting[i].served == i + 1);
    release_all();
    return OK;
}

static void who_waits_is_served_in_order(void **state)
{
    (void)state;
    fibers_run(first_come_body, NULL, OK);
}

static err small_past_large_body(void *arg)
{
    (void)arg;
    struct group g;
    hold_all(1);
    start_waiters(&g, (const size_t[WAITERS]){KIB(256), 1, KIB(16), 1}, false);
    buf_release(held[0]); /* the smallest class: too small for the first */
    held[0] = held[--held_count];
    AWAIT(waiting[1].served == 1 && waiting[3].served == 2);
    CHECK(waiting[0].served == 0 && waiting[2].served == 0);
    release_all();
    CHECK(group_join(&g, loop_now() + SECONDS(60)) == OK);
    CHECK(waiting[0].served > 0 && waiting[2].served > 0);
    return OK;
}

static void a_small_one_does_not_wait_for_a_large_one(void **state)
{
    (void)state;
    fibers_run(small_past_large_body, NULL, OK);
}

static err deadline_body(void *arg)
{
    (void)arg;
    struct buf *b = (struct buf *)&served_count;
    hold_all(1);
    ms start = loop_now();
    CHECK(buf_wait(1, start + 25, &b) == E_TIMEOUT && b == NULL); /* longer than one look */
    CHECK(loop_now() >= start + 25 && loop_now() < start + SECONDS(5));
    CHECK(buf_wait(1, start, &b) == E_TIMEOUT && b == NULL);
    CHECK(buf_wait(SIZE_MAX, FOREVER, &b) == E_RANGE && b == NULL);
    release_all();
    CHECK(buf_wait(1, start, &b) == OK && b != NULL); /* one is free: no wait, no deadline */
    buf_release(b);
    trail_clear();
    return OK;
}

static void waiting_ends_at_the_deadline(void **state)
{
    (void)state;
    fibers_run(deadline_body, NULL, OK);
}

static err cancel_body(void *arg)
{
    (void)arg;
    struct group g;
    hold_all(1);
    start_waiters(&g, (const size_t[WAITERS]){1, 1, 1, 1}, false);
    group_close(&g);
    for (int i = 0; i < WAITERS; i++)
        CHECK(waiting[i].result == E_CANCELED);
    release_all(); /* nobody waits any more */
    for (unsigned c = 0; c < BUFFER_CLASSES; c++)
        CHECK(buf_use(c).used == 0);
    return OK;
}

static void waiting_can_be_canceled(void **state)
{
    (void)state;
    fibers_run(cancel_body, NULL, OK);
}

static err run_release(void *job)
{
    struct timespec while_it_waits = {.tv_nsec = 5000000};
    nanosleep(&while_it_waits, NULL);
    buf_release(*(struct buf **)job);
    return OK;
}

static err from_thread_body(void *arg)
{
    (void)arg;
    struct lane l;
    struct buf *b;
    hold_all(1);
    struct buf *released = held[--held_count];
    lane_open(&l, "releases", TASK_BACKUP, 1);
    CHECK(lane_submit(&l, run_release, &released, sizeof(struct buf *), NULL, loop_now() + SECONDS(60)) == OK);
    CHECK(buf_wait(1, loop_now() + SECONDS(60), &b) == OK);
    buf_release(b);
    CHECK(lane_drain(&l, loop_now() + SECONDS(60)) == OK);
    lane_close(&l);
    release_all();
    return OK;
}

static void a_thread_may_release(void **state)
{
    (void)state;
    fibers_run(from_thread_body, NULL, OK);
}

#define AT_A_LOOK_NS ((BUF_RECHECK_MS - 1) * 1000000) /* the next look would not come sooner */

/* Nobody else turns up, and the end of the job is enough: far sooner than the next look. */
static err end_of_job_body(void *arg)
{
    (void)arg;
    struct lane l;
    int64_t fastest_ns = INT64_MAX;
    lane_open(&l, "releases", TASK_BACKUP, 1);
    for (int i = 0; i < 10 || (i < 2000 && fastest_ns >= AT_A_LOOK_NS); i++) { /* one shows it: a busy machine delays most */
        struct buf *b;
        hold_all(1);
        struct buf *released = held[--held_count];
        CHECK(lane_submit(&l, run_release, &released, sizeof(struct buf *), NULL, loop_now() + SECONDS(60)) == OK);
        int64_t began_ns = os_mono_ns();
        CHECK(buf_wait(1, loop_now() + SECONDS(60), &b) == OK);
        fastest_ns = os_mono_ns() - began_ns < fastest_ns ? os_mono_ns() - began_ns : fastest_ns;
        buf_release(b);
        CHECK(lane_drain(&l, loop_now() + SECONDS(60)) == OK);
        release_all();
    }
    CHECK(fastest_ns < AT_A_LOOK_NS);
    lane_close(&l);
    return OK;
}

static void the_end_of_a_job_serves_who_waits(void **state)
{
    (void)state;
    fibers_run(end_of_job_body, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_that_fits),
        cmocka_unit_test(a_larger_one_when_the_class_is_empty),
        cmocka_unit_test(buffers_do_not_overlap),
        cmocka_unit_test(a_held_buffer_outlives_its_release),
        cmocka_unit_test(releasing_twice_is_our_bug),
        cmocka_unit_test(who_waits_is_served_in_order),
        cmocka_unit_test(a_small_one_does_not_wait_for_a_large_one),
        cmocka_unit_test(waiting_ends_at_the_deadline),
        cmocka_unit_test(waiting_can_be_canceled),
        cmocka_unit_test(a_thread_may_release),
        cmocka_unit_test(the_end_of_a_job_serves_who_waits),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
