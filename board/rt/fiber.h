/* fiber: straight-line code that waits. Stackful fibers on one thread, in groups, with structured cancellation.
 *
 * Layer    rt.                                   Blocks   calls that take a deadline park the calling fiber, never the thread.
 * Owner    a group owns its fibers; group_close() cancels and joins them. A fiber is never killed.
 * Memory   fixed stacks from the profile, guard page below each, painted; none allocated after boot.
 * Time     absolute monotonic milliseconds.      Threads  the loop thread only.
 * Errors   E_TIMEOUT the deadline passed; E_CANCELED the group was canceled; E_BUDGET no fiber left in the task.
 *
 * A canceled fiber's every wait returns E_CANCELED at once, until it ends, except between fiber_shield() and fiber_unshield(),
 * which cleanup uses with a deadline of its own. After a wait, re-read what you assumed. */
#ifndef HOLDFAST_FIBER_H
#define HOLDFAST_FIBER_H

#include "board/rt/err.h"
#include "board/rt/profile.h"

struct fiber;

/* --- groups --- */
struct group { /* caller-owned; all fields are fiber.c's */
    struct fiber *first;
    struct fiber *joiner;
    unsigned count;
    enum task task;
    err error;
    bool canceled;
};

/* A group outlives its opener's scope only through group_close(). Fibers are charged to `task`. */
void group_open(struct group *g, enum task task);
/* Starts run(arg) at the next turn. `name` is static. E_BUDGET: the task has no fiber left; E_CANCELED: the group is canceled. */
MUST_USE err group_spawn(struct group *g, const char *name, err (*run)(void *arg), void *arg);
/* Waits until all ended. The first error of a fiber that was not E_CANCELED, E_TIMEOUT when they did not end in time. */
MUST_USE err group_join(struct group *g, ms deadline);
void group_cancel(struct group *g); /* wakes each with E_CANCELED; returns at once; idempotent */
void group_close(struct group *g);  /* cancels, joins without a deadline, shielded; idempotent; legal on a zeroed group */

/* --- the calling fiber --- */
struct fiber *fiber_self(void); /* NULL on the loop itself or a pool thread */
const char *fiber_name(const struct fiber *f);
void fiber_yield(void);             /* lets the others run; not a wait, never canceled */
void fiber_breathe(void);           /* yields when this fiber has run for more than 1 ms; call in loops that compute */
MUST_USE err fiber_sleep(ms until); /* OK at the time, or E_CANCELED */
bool fiber_canceled(void);          /* canceled and not shielded */
void fiber_shield(void);            /* nests */
void fiber_unshield(void);
/* Parks until fiber_wake(). A wake that came before the park is kept (one), so check-then-park never sleeps through it. */
MUST_USE err fiber_park(ms deadline);
void fiber_wake(struct fiber *f); /* from the loop thread; idempotent until it runs */

/* --- the loop --- */
/* Boots scheduler, loop and pool from mem_profile(), runs main(arg) as the first fiber of TASK_BOARD, and returns when it
 * has ended, with its error. Everything else must have ended by then (asserted). */
MUST_USE err loop_run(err (*main)(void *arg), void *arg);
ms loop_now(void);          /* read once a turn; use it for deadlines: loop_now() + SECONDS(5) */
int64_t loop_wall_ms(void); /* the wall clock, read once a turn */

/* A callback in the loop, O(log n), intrusive. It may wake fibers and arm timers; it may not wait. */
struct timer {
    ms at;
    void (*fire)(struct timer *t);
    struct timer *child, *next, *prev; /* the heap's */
    bool armed;
};
void timer_arm(struct timer *t, ms at); /* re-arms when armed */
void timer_disarm(struct timer *t);     /* idempotent */

/* Called in the loop for each collected signal; NULL: none. Those that came since loop_run() began and found none are told to the
 * first one there is. */
void loop_on_signal(void (*handle)(int signal_number));
/* Called once a turn, after the fibers ran (the watchdog's place). */
void loop_on_turn(void (*turn)(ms now));

struct loop_stats {
    uint64_t turns, switches;
    uint64_t wakeups;                    /* returns of os_wait() */
    int64_t longest_step_ns[TASK_COUNT]; /* a fiber's longest run between two waits, by task */
    const char *longest_name[TASK_COUNT];
    uint64_t slow_steps[TASK_COUNT]; /* longer than STEP_MS_MAX */
};
const struct loop_stats *loop_stats(void);
struct fiber_use {
    unsigned count, used, peak;
    size_t stack_bytes, stack_peak_bytes; /* deepest use of any of the task's stacks, measured on the paint */
    uint64_t refusals;
};
struct fiber_use fiber_use(enum task t);

#define STEP_MS_MAX 5 /* a longer step is counted and logged with the fiber's name */

#endif
