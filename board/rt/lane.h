/* lane: what pool.c, lane.c and writer.c share beyond pool.h. Not for agents.
 *
 * Layer    rt.   Owner, Memory, Errors   as in pool.h.   Blocks   pool_wait_progress() parks the fiber. */
#ifndef HOLDFAST_LANE_H
#define HOLDFAST_LANE_H

#include "board/rt/os.h"
#include "board/rt/pool.h"

#include <stdalign.h>

/* As lane_submit(), but an earlier job's error neither refuses it nor is its own told by the lane: who queues it asks elsewhere.
 */
MUST_USE err lane_put(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, ms deadline);
/* Until any job has ended. */
MUST_USE err pool_wait_progress(ms deadline);
/* The deadline of something that waits for this lane's submitted jobs has passed: a running one is written off. */
void lane_is_late(struct lane *l);

/* --- between pool.c and lane.c --- */
struct pool_job {
    struct os_work work;
    err (*run)(void *job);
    struct pool_job *next; /* in the lane's queue or the free list */
    struct lane *lane;     /* NULL: the lane was closed */
    struct hold *hold;
    struct fiber *caller; /* of lane_call(); NULL: submitted, or given up */
    enum task task;
    err result;
    bool quiet;  /* lane_put() */
    bool linked; /* queued, and hangs behind the one before it: its thread may have begun it */
    bool running, ended, written_off;
    char why[TRAIL_TEXT_MAX]; /* what it was doing when it failed */
    alignas(max_align_t) unsigned char bytes[JOB_BYTES_MAX];
};

bool pool_has_slot(void);
/* Takes a slot (there is one) and the hold; not yet in the lane. */
struct pool_job *pool_job_new(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold);
void pool_job_free(struct pool_job *j);
void lane_push(struct lane *l, struct pool_job *j);
/* Before anything is done to the queue or the running job: what is queued from now on has not begun. NULL is fine. May end jobs.
 */
void lane_settle(struct lane *l);
void lane_unlink(struct lane *l, struct pool_job *j); /* a queued one; its count, hold and slot stay the caller's */
void lane_drop_queue(struct lane *l, err why);
void pool_dispatch(void);
void pool_write_off(struct pool_job *j); /* a running one that nobody waits for any more */
bool pool_is_stuck(void);                /* no thread is left that could run anything */

#endif
