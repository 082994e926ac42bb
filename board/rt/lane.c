/* Lanes: what a fiber calls, and how it waits. The jobs themselves and their turns are pool.c's. */
#include "board/rt/lane.h"

#include <string.h>

void lane_is_late(struct lane *l)
{
    lane_settle(l);
    if (l->running != NULL && l->running->caller == NULL && !l->written_off)
        pool_write_off(l->running);
}

/* --- waiting --- */

static err lane_refusal(const struct lane *l)
{
    if (!l->open)
        return E_CLOSED;
    return l->written_off || pool_is_stuck() ? E_BUSY : OK;
}

/* Until there is a job slot, and a place within the lane's depth when `depth` says so. */
static err lane_wait_place(struct lane *l, bool depth, ms deadline)
{
    if (fiber_canceled())
        return E_CANCELED;
    if (loop_now() >= deadline)
        return E_TIMEOUT;
    for (;;) {
        bool deep = depth && l->outstanding >= l->depth;
        TRY(lane_refusal(l));
        if (!deep && pool_has_slot())
            return OK;
        err e = pool_wait_progress(deadline);
        if (e == E_TIMEOUT && deep)
            lane_is_late(l);
        if (e != OK)
            return e == E_TIMEOUT && !deep ? E_BUDGET : e;
    }
}

/* The error of a job, with what the job was doing. */
static err told(err e, const char *why)
{
    return e == OK || why[0] == 0 ? e : trail(e, "%s", why);
}

/* While it is queued it can be taken back; once it runs only its deadline ends the wait. */
static err job_await(struct pool_job *j, ms deadline)
{
    bool shielded = false;
    err e = OK;
    while (!j->ended) {
        if (j->running && !shielded) {
            fiber_shield();
            shielded = true;
        }
        e = fiber_park(deadline);
        if (e != OK)
            lane_settle(j->lane);
        if (e != OK && !j->ended && (e == E_TIMEOUT || !j->running))
            break;
    }
    if (shielded)
        fiber_unshield();
    return j->ended ? OK : e;
}

static void job_give_up(struct lane *l, struct pool_job *j, err why)
{
    if (j->running) {
        pool_write_off(j);
        return;
    }
    lane_unlink(l, j);
    l->outstanding--;
    if (j->hold != NULL)
        hold_release(j->hold);
    pool_job_free(j);
    if (why == E_TIMEOUT)
        lane_is_late(l);
}

err lane_call(struct lane *l, err (*run)(void *job), void *job, size_t size, struct hold *hold, ms deadline)
{
    ASSERT(size <= JOB_BYTES_MAX && fiber_self() != NULL);
    TRY(lane_wait_place(l, false, deadline));
    struct pool_job *j = pool_job_new(l, run, job, size, hold);
    j->caller = fiber_self();
    lane_push(l, j);
    pool_dispatch();
    err e = job_await(j, deadline);
    if (e != OK) {
        job_give_up(l, j, e);
        return e;
    }
    memcpy(job, j->bytes, size);
    e = told(j->result, j->why);
    j->caller = NULL;
    pool_job_free(j);
    return e;
}

static err lane_queue(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, bool quiet,
                      ms deadline)
{
    ASSERT(size <= JOB_BYTES_MAX && fiber_self() != NULL);
    TRY(lane_wait_place(l, true, deadline));
    if (!quiet && l->error != OK)
        return told(l->error, l->why);
    struct pool_job *j = pool_job_new(l, run, job, size, hold);
    j->quiet = quiet;
    lane_push(l, j);
    pool_dispatch();
    return OK;
}

err lane_submit(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, ms deadline)
{
    return l->error != OK ? told(l->error, l->why) : lane_queue(l, run, job, size, hold, false, deadline);
}

err lane_put(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, ms deadline)
{
    return lane_queue(l, run, job, size, hold, true, deadline);
}

err lane_drain(struct lane *l, ms deadline)
{
    while (l->outstanding > 0 && !l->written_off) {
        err e = pool_wait_progress(deadline);
        if (e == E_TIMEOUT && l->outstanding > 0)
            lane_is_late(l);
        if (e != OK && l->outstanding > 0)
            return e;
    }
    if (l->written_off && l->error == OK)
        return E_BUSY;
    err e = l->error;
    l->error = OK;
    return told(e, l->why);
}

/* --- open and close --- */

void lane_open(struct lane *l, const char *name, enum task task, unsigned depth)
{
    static uint64_t openings;
    ASSERT(depth > 0);
    *l = (struct lane){.opening = ++openings, .name = name, .task = task, .depth = depth, .open = true};
}

void lane_close(struct lane *l)
{
    if (!l->open)
        return;
    l->open = false;
    lane_settle(l);
    lane_drop_queue(l, E_CLOSED);
    struct pool_job *j = l->running;
    if (j != NULL) {
        j->lane = NULL;
        if (j->caller == NULL && !j->written_off) /* nobody waits for it, so nobody would tell that it sticks */
            pool_write_off(j);
    }
    l->running = NULL;
    l->outstanding = 0;
    l->written_off = false;
}
