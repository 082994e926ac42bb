/* fiber_internal: what fiber.c, fiber_group.c, fiber_stack.c, loop.c, timer.c, sync.c and crash.c share. Private to them.
 *
 * Layer    rt.                                           Blocks   fiber_block() parks the fiber; the rest never.
 * Owner    the stack table owns every struct fiber.      Memory   one mem_map() at the first fiber_stack_boot().
 * Threads  the loop thread only.                         Errors   as fiber.h. */
#ifndef HOLDFAST_FIBER_INTERNAL_H
#define HOLDFAST_FIBER_INTERNAL_H

#include "board/rt/fiber.h"
#include "board/rt/fiber_context.h"

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_RUNNING, FIBER_PARKED, FIBER_ENDED };

struct fiber {
    struct context context;
    struct fiber *next;                        /* run queue, or free list */
    struct fiber *group_next, *group_previous; /* a ring; group->first->group_previous is the newest */
    struct group *group;
    const char *name;
    err (*run)(void *arg);
    void *arg;
    struct timer deadline;
    const bool *waits_for; /* while parked: what ends the wait well */
    enum task task;
    enum fiber_state state;
    unsigned shields;
    bool canceled;
    bool permit;  /* fiber_wake() came */
    bool resumed; /* fiber_resume() came */
    bool painted;
    uint8_t *stack; /* lowest usable byte; the guard lies below */
    size_t stack_bytes, stack_peak_bytes;
};

/* --- fiber_stack.c: the table of fibers and their stacks --- */
MUST_USE err fiber_stack_boot(void);              /* from mem_profile(); idempotent. E_BUDGET: mem_map() has none left */
struct fiber *fiber_take(enum task t);            /* NULL: counted as a refusal of the task */
void fiber_give(struct fiber *f);                 /* frees it with its stack; from the loop */
unsigned fiber_used_count(void);                  /* all tasks together */
const struct fiber *fiber_of_guard(uintptr_t at); /* whose guard page holds that address; NULL none. Async-signal-safe */

/* --- fiber.c --- */
void fiber_begin(struct fiber *f);     /* lays out its stack and makes it ready */
void fiber_ready(struct fiber *f);     /* to the end of the run queue; from RUNNING or PARKED */
MUST_USE err fiber_block(ms deadline); /* parks the calling fiber until fiber_resume(); a permit is left alone */
void fiber_block_begin(void);          /* before the fiber tells anybody whom to resume */
void fiber_resume(struct fiber *f);    /* the wait it announced by fiber_block_begin() ends with OK, whatever happens later */
void fiber_cancel(struct fiber *f);
struct fiber *fiber_next_ready(void); /* takes the first of the run queue; NULL none */
bool fiber_any_ready(void);
void fiber_step(struct fiber *f); /* runs it until it parks, yields or ends; from the loop */

/* --- fiber_group.c --- */
void group_leave(struct fiber *f, err result); /* the fiber has ended */

/* --- loop.c --- */
int64_t loop_step_started_ns(void); /* when the running fiber was resumed */

/* --- timer.c --- */
ms timer_next_at(void);      /* FOREVER: none armed */
void timer_fire_due(ms now); /* a timer armed meanwhile fires at the next call at the earliest */

/* --- crash.c --- */
void crash_boot(void); /* one line on stderr before a fatal signal takes its course; names an overflown stack. Idempotent */

#endif
