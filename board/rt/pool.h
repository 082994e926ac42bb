/* pool: what the kernel may block on, and what takes long to compute, off the loop. A lane runs its jobs one at a time, in order;
 * while no other lane waits for a thread, its thread goes from one to the next at once, else lanes take turns.
 *
 * Layer    rt.                                        Blocks   parks the calling fiber; the work runs on a pool thread.
 * Owner    the caller owns the lane and closes it.    Memory   profile->pool_jobs slots of JOB_BYTES_MAX, profile->pool_threads
 *          A job's bytes are copied in; what else it         stacks; all fixed. The job is charged to the lane's task.
 *          points to must be static or kept by `hold`.
 * Errors   the job's own; E_TIMEOUT it did not end in time: the lane is written off (counted) and refuses with E_BUSY until the
 *          thread comes back; E_BUDGET no job slot within the deadline.
 *
 * What a failing job added to the trail is taken over by the fiber that is told its error.
 *
 * A wait for a job that RUNS is not canceled (its memory is in use), only its deadline ends it; so jobs that may stick in the
 * kernel get a deadline and a hold, jobs that only compute may have FOREVER and none. */
#ifndef HOLDFAST_POOL_H
#define HOLDFAST_POOL_H

#include "board/rt/fiber.h"
#include "board/rt/hold.h"

#define JOB_BYTES_MAX 1280 /* two paths and some numbers */

struct lane {         /* fields are pool.c's */
    const char *name; /* static; names the target in logs and metrics */
    enum task task;
    unsigned depth, outstanding;
    uint64_t opening;         /* no two openings have the same */
    err error;                /* first error of a submitted job; sticky until lane_drain() */
    char why[TRAIL_TEXT_MAX]; /* and what that job was doing */
    struct pool_job *first, *last, *running;
    struct lane *next_ready; /* waiting for a thread, in turn */
    bool open, written_off, ready;
};

void lane_open(struct lane *l, const char *name, enum task task, unsigned depth);
/* Runs run(job) and copies job[size] back. Waits for its turn behind earlier ones. hold: may be NULL, see above. */
MUST_USE err lane_call(struct lane *l, err (*run)(void *job), void *job, size_t size, struct hold *hold, ms deadline);
/* Queues run(job) and returns; waits only while `depth` jobs are outstanding. An earlier job's error is returned here, and the
 * job is not queued. hold is taken once per job, released when it has really ended. */
MUST_USE err lane_submit(struct lane *l, err (*run)(void *job), const void *job, size_t size, struct hold *hold, ms deadline);
/* Waits until nothing is outstanding; the first error of the submitted ones, cleared. */
MUST_USE err lane_drain(struct lane *l, ms deadline);
/* Legal in every state: drops queued jobs (their holds released), detaches a running one. Idempotent. */
void lane_close(struct lane *l);

struct pool_stats {
    unsigned threads, busy, written_off;
    unsigned jobs, jobs_peak;
    uint64_t done;
};
struct pool_stats pool_stats(void);

/* The loop's: before the first fiber; once a turn; after the last fiber (waits a second for threads that still work). */
MUST_USE err pool_boot(void);
void pool_turn(void);
void pool_stop(void);

#endif
