/* Lanes: order, turns, errors, threads that stick and come back. */
#include "tests/unit/check.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static void sleep_ms(long span)
{
    struct timespec t = {.tv_sec = span / 1000, .tv_nsec = span % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* --- what jobs do --- */

static int order[1024];
static atomic_uint order_count;

struct mark_job {
    int number;
    err result;
};

static err run_mark(void *job)
{
    struct mark_job *j = job;
    order[atomic_fetch_add(&order_count, 1)] = j->number;
    j->number = -j->number;
    return j->result;
}

/* Sticks in read(2) until the test writes a byte. */
struct stuck_job {
    int pipe_end;
};

static atomic_uint stuck_begun;

static err run_stuck(void *job)
{
    char byte;
    atomic_fetch_add(&stuck_begun, 1);
    return read(((struct stuck_job *)job)->pipe_end, &byte, 1) == 1 ? OK : E_IO;
}

/* Written off at its deadline. One that no thread has begun by then is taken back, and called again for longer. */
static err call_stuck(struct lane *l, struct stuck_job *job, struct hold *hold)
{
    unsigned before = pool_stats().written_off;
    err e = E_TIMEOUT;
    for (ms span = 5; e == E_TIMEOUT && pool_stats().written_off == before && span < SECONDS(60); span *= 2)
        e = lane_call(l, run_stuck, job, sizeof *job, hold, loop_now() + span);
    return e;
}

struct counted_hold {
    struct hold hold;
    unsigned drops;
};

static void count_drop(struct hold *h)
{
    CONTAINER_OF(h, struct counted_hold, hold)->drops++;
}

static void until_written_off_is(unsigned count)
{
    ms give_up = SOON;
    while (pool_stats().written_off != count && loop_now() < give_up)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(pool_stats().written_off == count);
}

/* --- order --- */

static err order_body(void *arg)
{
    (void)arg;
    struct lane l;
    struct mark_job job = {.number = 41};
    lane_open(&l, "order", TASK_BACKUP, 3);
    order_count = 0;
    for (int i = 1; i <= 40; i++) {
        struct mark_job each = {.number = i};
        CHECK(lane_submit(&l, run_mark, &each, sizeof each, NULL, SOON) == OK);
        CHECK(each.number == i && l.outstanding <= 3);
    }
    CHECK(lane_call(&l, run_mark, &job, sizeof job, NULL, SOON) == OK);
    CHECK(job.number == -41); /* copied back */
    CHECK(order_count == 41);
    for (int i = 0; i < 41; i++)
        CHECK(order[i] == i + 1);
    CHECK(lane_drain(&l, SOON) == OK);
    lane_close(&l);
    lane_close(&l);
    CHECK(pool_stats().jobs == 0 && pool_stats().busy == 0);
    CHECK(lane_call(&l, run_mark, &job, sizeof job, NULL, SOON) == E_CLOSED);
    return OK;
}

static void jobs_of_a_lane_run_in_order(void **state)
{
    (void)state;
    fibers_run(order_body, NULL, OK);
}

static err error_body(void *arg)
{
    (void)arg;
    struct lane l;
    struct mark_job bad = {.number = 1, .result = E_NOSPACE}, good = {.number = 2}, worse = {.number = 3, .result = E_IO};
    lane_open(&l, "errors", TASK_BACKUP, 8);
    order_count = 0;
    CHECK(lane_submit(&l, run_mark, &bad, sizeof bad, NULL, SOON) == OK);
    CHECK(lane_submit(&l, run_mark, &worse, sizeof worse, NULL, SOON) == OK);
    CHECK(lane_call(&l, run_mark, &good, sizeof good, NULL, SOON) == OK); /* a call tells its own only */
    CHECK(lane_submit(&l, run_mark, &good, sizeof good, NULL, SOON) == E_NOSPACE);
    CHECK(lane_drain(&l, SOON) == E_NOSPACE);
    CHECK(lane_drain(&l, SOON) == OK);
    CHECK(lane_call(&l, run_mark, &worse, sizeof worse, NULL, SOON) == E_IO);
    CHECK(lane_drain(&l, SOON) == OK);
    CHECK(order_count == 4);
    CHECK(lane_call(&l, run_mark, &good, sizeof good, NULL, loop_now()) == E_TIMEOUT);
    CHECK(order_count == 4); /* too late to begin */
    lane_close(&l);
    return OK;
}

static void the_first_error_of_submitted_jobs_stays(void **state)
{
    (void)state;
    fibers_run(error_body, NULL, OK);
}

/* One lane fills its depth first; with all threads but one stuck, the other must not wait for all of it. */
static err turns_body(void *arg)
{
    unsigned threads = pool_stats().threads;
    int ends[2], gate[2];
    struct lane stuck[16], one, other;
    (void)arg;
    CHECK(pipe(ends) == 0 && pipe(gate) == 0);
    struct stuck_job job = {.pipe_end = ends[0]}, until_all_wait = {.pipe_end = gate[0]};
    for (unsigned i = 0; i + 1 < threads; i++) {
        lane_open(&stuck[i], "stuck", TASK_BOARD, 1);
        CHECK(lane_submit(&stuck[i], run_stuck, &job, sizeof job, NULL, SOON) == OK);
    }
    lane_open(&one, "one", TASK_BOARD, 8);
    lane_open(&other, "other", TASK_BOARD, 8);
    order_count = 0;
    CHECK(lane_submit(&one, run_stuck, &until_all_wait, sizeof until_all_wait, NULL, SOON) == OK);
    for (int i = 0; i < 4; i++)
        CHECK(lane_submit(&one, run_mark, &(struct mark_job){.number = 1}, sizeof(struct mark_job), NULL, SOON) == OK);
    for (int i = 0; i < 4; i++)
        CHECK(lane_submit(&other, run_mark, &(struct mark_job){.number = 2}, sizeof(struct mark_job), NULL, SOON) == OK);
    CHECK(write(gate[1], "x", 1) == 1);
    CHECK(lane_drain(&one, SOON) == OK && lane_drain(&other, SOON) == OK);
    for (int i = 0; i < 8; i++)
        CHECK(order[i] == (i % 2 == 0 ? 2 : 1));
    for (unsigned i = 0; i + 1 < threads; i++)
        CHECK(write(ends[1], "x", 1) == 1);
    for (unsigned i = 0; i + 1 < threads; i++) {
        CHECK(lane_drain(&stuck[i], SOON) == OK);
        lane_close(&stuck[i]);
    }
    lane_close(&one);
    lane_close(&other);
    close(ends[0]);
    close(ends[1]);
    close(gate[0]);
    close(gate[1]);
    return OK;
}

static void lanes_take_turns(void **state)
{
    (void)state;
    fibers_run(turns_body, NULL, OK);
}

/* The loop does not turn while this fiber computes, and still the thread goes on to the jobs behind the first. */
static err chain_body(void *arg)
{
    (void)arg;
    enum { JOBS = 6 };
    struct lane l;
    int gate[2];
    CHECK(pipe(gate) == 0);
    struct stuck_job until_all_wait = {.pipe_end = gate[0]};
    lane_open(&l, "chain", TASK_BACKUP, JOBS + 1);
    order_count = 0;
    CHECK(lane_submit(&l, run_stuck, &until_all_wait, sizeof until_all_wait, NULL, SOON) == OK);
    for (int i = 1; i <= JOBS; i++)
        CHECK(lane_submit(&l, run_mark, &(struct mark_job){.number = i}, sizeof(struct mark_job), NULL, SOON) == OK);
    CHECK(write(gate[1], "x", 1) == 1);
    for (int i = 0; i < 60000 && order_count < JOBS; i++)
        sleep_ms(1);
    CHECK(order_count == JOBS);
    CHECK(lane_drain(&l, SOON) == OK);
    for (int i = 0; i < JOBS; i++)
        CHECK(order[i] == i + 1);
    lane_close(&l);
    CHECK(pool_stats().jobs == 0 && pool_stats().busy == 0);
    close(gate[0]);
    close(gate[1]);
    return OK;
}

static void a_lane_keeps_its_thread_busy_without_the_loop(void **state)
{
    (void)state;
    fibers_run(chain_body, NULL, OK);
}

/* Cancels, deadlines and closes hit jobs at every point: queued, hanging behind another, begun unknown to the loop, ended. */
static err churn_run(void *arg)
{
    struct lane *l = arg;
    uint32_t random;
    for (unsigned i = 0; i < 60 && !fiber_canceled(); i++) {
        os_random(&random, sizeof random);
        struct mark_job mark = {.number = 1};
        ms deadline = random % 4 == 0 ? loop_now() + 1 : SOON;
        err e = random % 3 == 0 ? lane_submit(l, run_mark, &mark, sizeof mark, NULL, deadline)
                                : lane_call(l, run_mark, &mark, sizeof mark, NULL, deadline);
        if (e == E_CLOSED)
            return OK;
        CHECK(e == OK || e == E_TIMEOUT || e == E_CANCELED || e == E_BUSY || e == E_BUDGET);
        if (random % 5 == 0)
            fiber_yield();
    }
    return OK;
}

static err churn_body(void *arg)
{
    (void)arg;
    struct lane lanes[3];
    struct group g;
    for (unsigned round = 0; round < 40; round++) {
        order_count = 0;
        group_open(&g, TASK_BACKUP);
        for (unsigned i = 0; i < COUNT_OF(lanes); i++)
            lane_open(&lanes[i], "churn", TASK_BACKUP, 1 + i * 2);
        for (unsigned i = 0; i < 9; i++)
            CHECK(group_spawn(&g, "churns", churn_run, &lanes[i % COUNT_OF(lanes)]) == OK);
        for (unsigned i = 0; i < round % 8; i++)
            fiber_yield();
        if (round % 3 == 0)
            CHECK(fiber_sleep(loop_now() + 1) == OK);
        if (round % 2 == 0)
            group_cancel(&g);
        for (unsigned i = 0; round % 4 == 1 && i < COUNT_OF(lanes); i++)
            lane_close(&lanes[i]);
        CHECK(group_join(&g, SOON) == OK);
        group_close(&g);
        for (unsigned i = 0; i < COUNT_OF(lanes); i++)
            lane_close(&lanes[i]);
        ms give_up = SOON;
        while (pool_stats().jobs > 0 && loop_now() < give_up)
            CHECK(fiber_sleep(loop_now() + 1) == OK);
        CHECK(pool_stats().jobs == 0 && pool_stats().busy == 0 && pool_stats().written_off == 0);
    }
    trail_clear();
    return OK;
}

static void jobs_are_taken_back_at_any_moment(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_LOGFMT, 2); /* write-offs in haste are told as warnings */
    fibers_run(churn_body, NULL, OK);
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
}

/* --- what a job was doing --- */

static err run_fails(void *job)
{
    (void)job;
    return trail(E_DENIED, "opening /x");
}

static err trail_body(void *arg)
{
    (void)arg;
    struct lane l;
    char said[256], nothing = 0;
    lane_open(&l, "tells", TASK_BACKUP, 2);
    trail_clear();
    CHECK(trail(lane_call(&l, run_fails, &nothing, 1, NULL, SOON), "reading x") == E_DENIED);
    CHECK(strcmp(trail_text(E_DENIED, said, sizeof said), "reading x: opening /x: refused: permission") == 0);
    trail_clear();
    CHECK(lane_submit(&l, run_fails, &nothing, 1, NULL, SOON) == OK);
    CHECK(trail(lane_drain(&l, SOON), "writing y") == E_DENIED);
    CHECK(strcmp(trail_text(E_DENIED, said, sizeof said), "writing y: opening /x: refused: permission") == 0);
    trail_clear();
    struct mark_job mark = {.number = 1, .result = E_IO};
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, SOON) == E_IO);
    CHECK(strcmp(trail_text(E_IO, said, sizeof said), "input/output error") == 0); /* nothing left of the others */
    lane_close(&l);
    return OK;
}

static void a_job_tells_what_it_was_doing(void **state)
{
    (void)state;
    fibers_run(trail_body, NULL, OK);
}

/* --- charge --- */

static err run_allocate(void *job)
{
    *(void **)job = malloc(KIB(64));
    return *(void **)job != NULL && mem_task() == TASK_METRICS ? OK : E_BUDGET;
}

static err charge_body(void *arg)
{
    (void)arg;
    struct lane l;
    void *block = NULL;
    size_t before = mem_use(TASK_METRICS).used_bytes;
    lane_open(&l, "charge", TASK_METRICS, 1);
    CHECK(lane_call(&l, run_allocate, &block, sizeof block, NULL, SOON) == OK);
#if !defined(HOLDFAST_HOST_LIBC) || defined(__SANITIZE_ADDRESS__) /* else malloc is not ours and charges nobody */
    CHECK(mem_use(TASK_METRICS).used_bytes >= before + KIB(64));
#endif
    CHECK(mem_task() == TASK_BOARD);
    free(block);
    CHECK(mem_use(TASK_METRICS).used_bytes == before);
    lane_close(&l);
    return OK;
}

static void a_job_is_charged_to_its_lane(void **state)
{
    (void)state;
    fibers_run(charge_body, NULL, OK);
}

/* --- threads that stick --- */

static err write_off_body(void *arg)
{
    (void)arg;
    int ends[2];
    struct lane l;
    struct counted_hold held = {.drops = 0};
    CHECK(pipe(ends) == 0);
    struct stuck_job job = {.pipe_end = ends[0]};
    struct mark_job mark = {.number = 1};
    hold_init(&held.hold, count_drop);
    lane_open(&l, "sticky", TASK_BACKUP, 4);
    CHECK(call_stuck(&l, &job, &held.hold) == E_TIMEOUT);
    CHECK(pool_stats().written_off == 1 && l.written_off);
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, SOON) == E_BUSY);
    CHECK(lane_submit(&l, run_mark, &mark, sizeof mark, NULL, SOON) == E_BUSY);
    CHECK(lane_drain(&l, SOON) == E_BUSY);
    hold_release(&held.hold);
    CHECK(held.drops == 0); /* the thread still looks at it */
    CHECK(write(ends[1], "x", 1) == 1);
    until_written_off_is(0);
    CHECK(held.drops == 1);
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, SOON) == OK); /* usable again */
    lane_close(&l);
    CHECK(pool_stats().jobs == 0);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void a_stuck_job_is_written_off_and_comes_back(void **state)
{
    (void)state;
    fibers_run(write_off_body, NULL, OK);
}

static err submitted_stuck_body(void *arg)
{
    (void)arg;
    int ends[2];
    struct lane l;
    struct counted_hold held = {.drops = 0};
    CHECK(pipe(ends) == 0);
    struct stuck_job job = {.pipe_end = ends[0]};
    struct mark_job mark = {.number = 1};
    hold_init(&held.hold, count_drop);
    stuck_begun = 0;
    lane_open(&l, "sticky", TASK_BACKUP, 2);
    CHECK(lane_submit(&l, run_stuck, &job, sizeof job, &held.hold, SOON) == OK);
    AWAIT(stuck_begun == 1);
    CHECK(lane_submit(&l, run_mark, &mark, sizeof mark, &held.hold, SOON) == OK);
    hold_release(&held.hold);
    CHECK(lane_submit(&l, run_mark, &mark, sizeof mark, NULL, loop_now() + 20) == E_TIMEOUT); /* no place in time */
    CHECK(pool_stats().written_off == 1);
    CHECK(lane_drain(&l, SOON) == E_TIMEOUT); /* what was lost is told once */
    CHECK(lane_drain(&l, SOON) == E_BUSY);
    lane_close(&l); /* with the job still in the kernel */
    CHECK(held.drops == 0 && pool_stats().jobs == 1);
    CHECK(write(ends[1], "x", 1) == 1);
    until_written_off_is(0);
    CHECK(held.drops == 1 && pool_stats().jobs == 0);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void a_stuck_submitted_job_outlives_its_lane(void **state)
{
    (void)state;
    fibers_run(submitted_stuck_body, NULL, OK);
}

static err waiter_run(void *arg)
{
    struct lane *l = arg;
    struct mark_job mark = {.number = 1};
    return lane_call(l, run_mark, &mark, sizeof mark, NULL, FOREVER);
}

static err all_stuck_body(void *arg)
{
    unsigned threads = pool_stats().threads;
    int ends[2];
    struct lane stuck[16], l;
    struct group g;
    struct mark_job mark = {.number = 1};
    (void)arg;
    CHECK(pipe(ends) == 0);
    struct stuck_job job = {.pipe_end = ends[0]};
    stuck_begun = 0;
    lane_open(&l, "other", TASK_BACKUP, 2);
    for (unsigned i = 0; i < threads; i++) {
        lane_open(&stuck[i], "stuck", TASK_BACKUP, 1);
        if (i + 1 < threads)
            CHECK(call_stuck(&stuck[i], &job, NULL) == E_TIMEOUT);
    }
    CHECK(lane_submit(&stuck[threads - 1], run_stuck, &job, sizeof job, NULL, SOON) == OK);
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, loop_now() + 5) == E_TIMEOUT); /* no thread in time */
    CHECK(pool_stats().written_off == threads - 1);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "waits without a deadline", waiter_run, &l) == OK);
    AWAIT(stuck_begun == threads);
    CHECK(lane_drain(&stuck[threads - 1], loop_now() + 5) == E_TIMEOUT);
    CHECK(group_join(&g, SOON) == E_BUSY); /* never hangs */
    group_close(&g);
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, FOREVER) == E_BUSY);
    for (unsigned i = 0; i < threads; i++) {
        lane_close(&stuck[i]);
        CHECK(write(ends[1], "x", 1) == 1);
    }
    until_written_off_is(0);
    CHECK(lane_call(&l, run_mark, &mark, sizeof mark, NULL, SOON) == OK);
    lane_close(&l);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void with_all_threads_stuck_calls_are_refused(void **state)
{
    (void)state;
    fibers_run(all_stuck_body, NULL, OK);
}

/* --- cancel, slots, close --- */

struct canceled {
    struct lane *l;
    err got;
    int pipe_end; /* what runs sticks until a byte comes */
};

static err canceled_stuck(void *arg)
{
    struct canceled *c = arg;
    struct stuck_job job = {.pipe_end = c->pipe_end};
    c->got = lane_call(c->l, run_stuck, &job, sizeof job, NULL, FOREVER);
    return OK;
}

static err canceled_mark(void *arg)
{
    struct canceled *c = arg;
    struct mark_job mark = {.number = 9};
    c->got = lane_call(c->l, run_mark, &mark, sizeof mark, NULL, FOREVER);
    return OK;
}

static err cancel_body(void *arg)
{
    (void)arg;
    struct lane l;
    struct group g;
    int ends[2];
    CHECK(pipe(ends) == 0);
    struct canceled running = {.l = &l, .got = ERR_COUNT, .pipe_end = ends[0]}, queued = {.l = &l, .got = ERR_COUNT};
    order_count = 0;
    stuck_begun = 0;
    lane_open(&l, "cancel", TASK_BACKUP, 4);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "running", canceled_stuck, &running) == OK);
    CHECK(group_spawn(&g, "queued", canceled_mark, &queued) == OK);
    AWAIT(pool_stats().jobs == 2 && stuck_begun == 1);
    group_cancel(&g);
    AWAIT(queued.got == E_CANCELED); /* while the other runs */
    CHECK(running.got == ERR_COUNT && write(ends[1], "x", 1) == 1);
    CHECK(group_join(&g, SOON) == OK);
    CHECK(running.got == OK); /* its memory is in use: it was waited for */
    CHECK(order_count == 0 && l.outstanding == 0);
    group_close(&g);
    lane_close(&l);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void a_cancel_takes_back_what_is_queued_only(void **state)
{
    (void)state;
    fibers_run(cancel_body, NULL, OK);
}

static err slots_body(void *arg)
{
    unsigned slots = mem_profile()->pool_jobs;
    int ends[2];
    struct lane l, other;
    struct mark_job mark = {.number = 5};
    (void)arg;
    CHECK(pipe(ends) == 0);
    struct stuck_job job = {.pipe_end = ends[0]};
    order_count = 0;
    lane_open(&l, "full", TASK_BACKUP, 10000);
    lane_open(&other, "other", TASK_BACKUP, 1);
    CHECK(lane_submit(&l, run_stuck, &job, sizeof job, NULL, SOON) == OK);
    for (unsigned i = 1; i < slots; i++)
        CHECK(lane_submit(&l, run_mark, &mark, sizeof mark, NULL, SOON) == OK);
    CHECK(pool_stats().jobs == slots && pool_stats().jobs_peak == slots);
    CHECK(lane_call(&other, run_mark, &mark, sizeof mark, NULL, loop_now() + 5) == E_BUDGET);
    CHECK(pool_stats().written_off == 0); /* no slot is not a stuck thread */
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(lane_call(&other, run_mark, &mark, sizeof mark, NULL, SOON) == OK);
    CHECK(lane_drain(&l, SOON) == OK && order_count == slots);
    CHECK(pool_stats().jobs == 0);
    lane_close(&l);
    lane_close(&other);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void job_slots_are_bounded(void **state)
{
    (void)state;
    fibers_run(slots_body, NULL, OK);
}

static err close_body(void *arg)
{
    (void)arg;
    struct lane l;
    struct group g;
    int ends[2];
    CHECK(pipe(ends) == 0);
    struct canceled running = {.l = &l, .got = ERR_COUNT, .pipe_end = ends[0]}, queued = {.l = &l, .got = ERR_COUNT};
    struct counted_hold held = {.drops = 0};
    struct mark_job mark = {.number = 1};
    order_count = 0;
    hold_init(&held.hold, count_drop);
    stuck_begun = 0;
    lane_open(&l, "closing", TASK_BACKUP, 8);
    group_open(&g, TASK_BACKUP);
    CHECK(group_spawn(&g, "running", canceled_stuck, &running) == OK);
    CHECK(group_spawn(&g, "queued", canceled_mark, &queued) == OK);
    AWAIT(pool_stats().jobs == 2 && stuck_begun == 1);
    CHECK(lane_submit(&l, run_mark, &mark, sizeof mark, &held.hold, SOON) == OK);
    hold_release(&held.hold);
    lane_close(&l);
    CHECK(held.drops == 1);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(group_join(&g, SOON) == OK);
    CHECK(running.got == OK && queued.got == E_CLOSED && order_count == 0);
    group_close(&g);
    CHECK(pool_stats().jobs == 0 && pool_stats().busy == 0);
    close(ends[0]);
    close(ends[1]);
    return OK;
}

static void a_closed_lane_drops_its_queue(void **state)
{
    (void)state;
    fibers_run(close_body, NULL, OK);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_of_a_lane_run_in_order),
        cmocka_unit_test(the_first_error_of_submitted_jobs_stays),
        cmocka_unit_test(lanes_take_turns),
        cmocka_unit_test(a_lane_keeps_its_thread_busy_without_the_loop),
        cmocka_unit_test(jobs_are_taken_back_at_any_moment),
        cmocka_unit_test(a_job_tells_what_it_was_doing),
        cmocka_unit_test(a_job_is_charged_to_its_lane),
        cmocka_unit_test(a_stuck_job_is_written_off_and_comes_back),
        cmocka_unit_test(a_stuck_submitted_job_outlives_its_lane),
        cmocka_unit_test(with_all_threads_stuck_calls_are_refused),
        cmocka_unit_test(a_cancel_takes_back_what_is_queued_only),
        cmocka_unit_test(job_slots_are_bounded),
        cmocka_unit_test(a_closed_lane_drops_its_queue),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
