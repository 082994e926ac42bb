/* Jobs on the world's threads. The loop thread decides everything; a pool thread only runs jobs' functions.
 *
 * Never more lanes are handed to the world than there are threads, so that lanes take turns. While no lane waits for a thread,
 * the jobs of a lane hang behind its running one, and its thread goes from one to the next without the loop. When another lane
 * needs a turn or a job is to be taken back, what has not begun is cut off again: the world knows, and tells in order. */
#include "board/rt/pool.h"

#include "board/rt/lane.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/sync.h"

#include <string.h>

#define STOP_MS 1000

static struct {
    struct pool_job *jobs, *free;
    void *stacks;
    struct lane *ready_first, *ready_last; /* lanes with a queue and nothing running */
    struct waitq progress;                 /* who waits for a slot, for depth or for a drained lane */
    struct pool_stats stats;
} pool;

/* --- slots --- */

void pool_job_free(struct pool_job *j)
{
    j->next = pool.free;
    pool.free = j;
    pool.stats.jobs--;
    waitq_wake_all(&pool.progress);
}

bool pool_has_slot(void)
{
    return pool.free != NULL;
}

struct pool_job *pool_job_new(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold)
{
    struct pool_job *j = pool.free;
    pool.free = j->next;
    j->next = NULL;
    j->run = run;
    j->lane = l;
    j->hold = hold;
    j->caller = NULL;
    j->task = l->task;
    j->result = OK;
    j->quiet = j->linked = j->running = j->ended = j->written_off = false;
    j->why[0] = 0;
    memcpy(j->bytes, job, size);
    if (hold != NULL)
        hold_take(hold);
    if (++pool.stats.jobs > pool.stats.jobs_peak)
        pool.stats.jobs_peak = pool.stats.jobs;
    return j;
}

static void job_run(struct os_work *w)
{
    struct pool_job *j = CONTAINER_OF(w, struct pool_job, work);
    enum task before = mem_task();
    mem_set_task(j->task);
    j->result = j->run(j->bytes);
    if (j->result != OK) /* whoever waits for it takes it into its own trail */
        trail_take(j->result, j->why, sizeof j->why);
    trail_clear();
    mem_set_task(before);
}

/* --- turns --- */

static void pool_collect(void);

static void lane_make_ready(struct lane *l)
{
    if (l->ready || l->first == NULL || l->running != NULL)
        return;
    l->ready = true;
    l->next_ready = NULL;
    if (pool.ready_last != NULL)
        pool.ready_last->next_ready = l;
    else
        pool.ready_first = l;
    pool.ready_last = l;
}

static void lane_make_unready(struct lane *l)
{
    struct lane *before = NULL;
    if (!l->ready)
        return;
    for (struct lane *at = pool.ready_first; at != l; at = at->next_ready)
        before = at;
    if (before != NULL)
        before->next_ready = l->next_ready;
    else
        pool.ready_first = l->next_ready;
    if (pool.ready_last == l)
        pool.ready_last = before;
    l->ready = false;
}

/* Hangs j behind the one before it. False: that one ended, or the loop must see to j itself. */
static bool job_link(struct pool_job *before, struct pool_job *j)
{
    j->linked = pool.ready_first == NULL && (before->running || before->linked) && os_offload_after(&before->work, &j->work);
    return j->linked;
}

static void lane_link(struct lane *l)
{
    struct pool_job *before = l->running;
    for (struct pool_job *j = l->first; j != NULL && (j->linked || job_link(before, j)); j = j->next)
        before = j;
}

void lane_push(struct lane *l, struct pool_job *j)
{
    struct pool_job *before = l->last != NULL ? l->last : l->running;
    if (l->last != NULL)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
    l->outstanding++;
    if (before != NULL && !job_link(before, j))
        pool_collect(); /* it may have ended while the loop was away; then j need not wait for the next turn */
    lane_make_ready(l);
}

static void lane_pop(struct lane *l)
{
    l->first = l->first->next;
    if (l->first == NULL)
        l->last = NULL;
}

static void lane_cut(struct lane *l)
{
    os_offload_cut(&l->running->work);
    for (struct pool_job *j = l->first; j != NULL; j = j->next)
        j->linked = false;
}

/* A lane waits and no thread is free: from now on they all take turns. */
static void lanes_cut(void)
{
    for (unsigned i = 0; i < mem_profile()->pool_jobs; i++) {
        struct lane *l = pool.jobs[i].running ? pool.jobs[i].lane : NULL;
        if (l != NULL && l->first != NULL && l->first->linked)
            lane_cut(l);
    }
}

void pool_dispatch(void)
{
    while (pool.ready_first != NULL && pool.stats.busy < pool.stats.threads) {
        struct lane *l = pool.ready_first;
        lane_make_unready(l);
        struct pool_job *j = l->first;
        lane_pop(l);
        l->running = j;
        j->running = true;
        pool.stats.busy++;
        os_offload(&j->work);
        lane_link(l);
    }
    if (pool.ready_first != NULL)
        lanes_cut();
}

/* --- ends --- */

static void lane_note(struct lane *l, const struct pool_job *j, err e)
{
    if (l->error != OK || j->caller != NULL || j->quiet || j->written_off)
        return;
    l->error = e;
    memcpy(l->why, j->why, sizeof l->why);
}

/* Takes a job that never ran out of its lane's count; its caller, if any, frees it when it has read the result. */
static void job_drop(struct lane *l, struct pool_job *j, err why)
{
    l->outstanding--;
    lane_note(l, j, why);
    j->lane = NULL;
    j->result = why;
    j->ended = true;
    if (j->hold != NULL)
        hold_release(j->hold);
    if (j->caller != NULL)
        fiber_wake(j->caller);
    else
        pool_job_free(j);
}

void lane_drop_queue(struct lane *l, err why)
{
    lane_make_unready(l);
    while (l->first != NULL) {
        struct pool_job *j = l->first;
        lane_pop(l);
        job_drop(l, j, why);
    }
    waitq_wake_all(&pool.progress);
}

void lane_unlink(struct lane *l, struct pool_job *j)
{
    struct pool_job *before = NULL;
    for (struct pool_job *at = l->first; at != j; at = at->next)
        before = at;
    if (before != NULL)
        before->next = j->next;
    else
        l->first = j->next;
    if (l->last == j)
        l->last = before;
    if (l->first == NULL)
        lane_make_unready(l);
}

/* Its thread has begun the next one of the lane, or is free. */
static void lane_goes_on(struct lane *l, const struct pool_job *j)
{
    l->running = NULL;
    if (j->work.follow == NULL) {
        lane_make_ready(l);
        return;
    }
    l->running = l->first;
    ASSERT(l->running != NULL && &l->running->work == j->work.follow);
    lane_pop(l);
    l->running->linked = false;
    l->running->running = true;
    pool.stats.busy++;
    lane_link(l);
}

static void job_end(struct pool_job *j)
{
    struct lane *l = j->lane;
    pool.stats.busy--;
    pool.stats.done++;
    j->running = false;
    j->ended = true;
    if (l != NULL) {
        lane_note(l, j, j->result);
        l->outstanding--;
        l->written_off = false;
        lane_goes_on(l, j);
    }
    if (j->written_off) {
        pool.stats.written_off--;
        log_warn("a thread came back from a call that was given up", F("lane", l != NULL ? l->name : "closed"));
    }
    if (j->hold != NULL)
        hold_release(j->hold);
    if (j->caller != NULL)
        fiber_wake(j->caller);
    else
        pool_job_free(j);
    waitq_wake_all(&pool.progress);
}

static void pool_collect(void)
{
    struct os_work *w;
    while ((w = os_offload_done()) != NULL)
        job_end(CONTAINER_OF(w, struct pool_job, work));
}

void lane_settle(struct lane *l)
{
    pool_collect();
    while (l != NULL && l->running != NULL && l->first != NULL && l->first->linked) {
        lane_cut(l);
        pool_collect(); /* what had ended before the cut, and may have let others begin */
    }
}

void pool_turn(void)
{
    pool_collect();
    pool_dispatch();
}

bool pool_is_stuck(void)
{
    return pool.stats.written_off >= pool.stats.threads;
}

/* With no thread left, who waits for a turn would wait for as long as the kernel likes. */
static void queues_refuse(void)
{
    while (pool.ready_first != NULL)
        lane_drop_queue(pool.ready_first, E_BUSY);
}

void pool_write_off(struct pool_job *j)
{
    struct lane *l = j->lane;
    if (!j->written_off) {
        if (l != NULL)
            lane_note(l, j, E_TIMEOUT);
        j->written_off = true;
        pool.stats.written_off++;
    }
    j->caller = NULL;
    if (l != NULL) {
        l->written_off = true;
        log_warn("a call did not come back in time, its thread is written off", F("lane", l->name),
                 F_U64("threads_written_off", pool.stats.written_off));
        lane_drop_queue(l, E_BUSY);
    }
    if (pool_is_stuck())
        queues_refuse();
}

/* --- boot and stop --- */

err pool_wait_progress(ms deadline)
{
    return waitq_wait(&pool.progress, deadline);
}

struct pool_stats pool_stats(void)
{
    return pool.stats;
}

static err memory_map(const struct profile *p)
{
    if (pool.jobs != NULL)
        return OK;
    struct pool_job *jobs = mem_map(p->pool_jobs * sizeof *jobs);
    pool.stacks = mem_map(p->pool_threads * p->pool_stack_bytes);
    if (jobs == NULL || pool.stacks == NULL)
        return E_BUDGET;
    pool.jobs = jobs;
    for (unsigned i = p->pool_jobs; i-- > 0;) {
        jobs[i] = (struct pool_job){.work.run = job_run, .next = pool.free};
        pool.free = &jobs[i];
    }
    return OK;
}

err pool_boot(void)
{
    const struct profile *p = mem_profile();
    TRY(memory_map(p));
    pool.stats.threads = p->pool_threads;
    return os_offload_boot(p->pool_threads, p->pool_stack_bytes, pool.stacks);
}

void pool_stop(void)
{
    unsigned stuck = os_offload_stop(os_mono() + STOP_MS);
    pool_turn();
    if (stuck > 0)
        log_warn("threads are stuck in the kernel at the end", F_U64("threads", stuck));
}
