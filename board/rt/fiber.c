/* fiber: the states of a fiber, its waits, and the run queue. */
#include "board/rt/fiber_internal.h"
#include "board/rt/os.h"

#define BREATH_NS 1000000 /* fiber_breathe() lets others run after 1 ms */

static _Thread_local struct fiber *current; /* a pool thread's is always NULL */
static struct fiber *run_first, *run_last;
static struct context loop_context;

struct fiber *fiber_self(void)
{
    return current;
}

const char *fiber_name(const struct fiber *f)
{
    return f != NULL ? f->name : "loop";
}

/* --- the run queue --- */
void fiber_ready(struct fiber *f)
{
    ASSERT(f->state == FIBER_RUNNING || f->state == FIBER_PARKED);
    f->state = FIBER_READY;
    f->next = NULL;
    if (run_first == NULL)
        run_first = f;
    else
        run_last->next = f;
    run_last = f;
}

struct fiber *fiber_next_ready(void)
{
    struct fiber *f = run_first;
    if (f != NULL)
        run_first = f->next;
    return f;
}

bool fiber_any_ready(void)
{
    return run_first != NULL;
}

void fiber_step(struct fiber *f)
{
    ASSERT(current == NULL && f->state == FIBER_READY);
    f->state = FIBER_RUNNING;
    loop_context.tsan = TSAN_THREAD();
    current = f;
    context_resume(&loop_context, &f->context);
    current = NULL;
}

/* --- a life --- */
static void fiber_main(void *arg)
{
    struct fiber *f = arg;
    context_arrive(&f->context, &loop_context);
    trail_clear(); /* of the one that had this stack before */
    err result = f->run(f->arg);
    ASSERT(f->shields == 0);
    f->state = FIBER_ENDED;
    group_leave(f, result);
    context_suspend(&f->context, &loop_context, true);
    ASSERT(f->state == FIBER_FREE); /* nobody resumes what has ended */
}

static void on_deadline(struct timer *t)
{
    fiber_ready(CONTAINER_OF(t, struct fiber, deadline));
}

void fiber_begin(struct fiber *f)
{
    f->canceled = f->permit = f->resumed = false;
    f->shields = 0;
    f->deadline = (struct timer){.fire = on_deadline};
    context_begin(&f->context, f->stack, f->stack_bytes, fiber_main, f);
    f->state = FIBER_PARKED;
    fiber_ready(f);
}

/* --- waiting --- */
bool fiber_canceled(void)
{
    return current != NULL && current->canceled && current->shields == 0;
}

/* What ended the wait well counts before a cancel or a deadline that came after it: nothing handed over is lost. */
static err fiber_wait(const bool *done, ms deadline)
{
    struct fiber *f = current;
    if (fiber_canceled())
        return E_CANCELED;
    if (*done)
        return OK;
    if (deadline <= loop_now())
        return E_TIMEOUT;
    if (deadline != FOREVER)
        timer_arm(&f->deadline, deadline);
    f->waits_for = done;
    f->state = FIBER_PARKED;
    context_suspend(&f->context, &loop_context, false);
    timer_disarm(&f->deadline);
    if (*done)
        return OK;
    return fiber_canceled() ? E_CANCELED : E_TIMEOUT;
}

static void fiber_unpark(struct fiber *f, const bool *done)
{
    if (f->state == FIBER_PARKED && f->waits_for == done) {
        timer_disarm(&f->deadline);
        fiber_ready(f);
    }
}

err fiber_park(ms deadline)
{
    struct fiber *f = current;
    ASSERT(f != NULL);
    err e = fiber_wait(&f->permit, deadline);
    if (e == OK)
        f->permit = false;
    return e;
}

void fiber_wake(struct fiber *f)
{
    ASSERT(f->state != FIBER_FREE && f->state != FIBER_ENDED);
    f->permit = true;
    fiber_unpark(f, &f->permit);
}

void fiber_block_begin(void)
{
    ASSERT(current != NULL);
    current->resumed = false;
}

err fiber_block(ms deadline)
{
    return fiber_wait(&current->resumed, deadline);
}

void fiber_resume(struct fiber *f)
{
    f->resumed = true;
    fiber_unpark(f, &f->resumed);
}

void fiber_cancel(struct fiber *f)
{
    f->canceled = true;
    if (f->state == FIBER_PARKED && f->shields == 0)
        fiber_unpark(f, f->waits_for);
}

err fiber_sleep(ms until)
{
    fiber_block_begin();
    if (until <= loop_now() && !fiber_canceled())
        fiber_yield(); /* a fiber that is always late still lets the others run */
    err e = fiber_block(until);
    return e == E_TIMEOUT ? OK : e;
}

void fiber_yield(void)
{
    struct fiber *f = current;
    ASSERT(f != NULL);
    fiber_ready(f);
    context_suspend(&f->context, &loop_context, false);
}

void fiber_breathe(void)
{
    if (current == NULL) /* the same code may run on a pool thread */
        return;
    if (os_mono_ns() - loop_step_started_ns() > BREATH_NS)
        fiber_yield();
}

void fiber_shield(void)
{
    ASSERT(current != NULL);
    current->shields++;
}

void fiber_unshield(void)
{
    ASSERT(current != NULL && current->shields > 0);
    current->shields--;
}
