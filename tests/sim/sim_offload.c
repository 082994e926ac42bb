/* sim_offload: pool threads. Each is a stack of its own that runs until its job spends time; then the world goes on without it
 * and comes back to it when that time has passed. So jobs of different threads, and the loop, interleave at every system call a
 * job makes, in an order that is the seed's. */
#include "board/rt/fiber_context.h"
#include "board/rt/mem.h"
#include "tests/sim/world.h"

#include <string.h>

#define WORK_MAX        256 /* queued, running and finished together */
#define THREADS_MAX     8
#define STACK_BYTES     MIB(1) /* sanitizers need much */
#define STICK_CALLS_MAX 4      /* a job that is to stick does so in one of its first calls */

struct thread {
    struct context context;
    struct os_work *work; /* NULL: idle */
    enum task task;       /* who pays, while it is suspended */
    unsigned stick_in;    /* calls until it sticks; 0: not */
    ms stick_ms;
    bool for_ever, ended;
};

static struct {
    unsigned threads;
    struct thread thread[THREADS_MAX];
    struct thread *running;
    struct context loop;
    struct os_work *queued[WORK_MAX], *finished[WORK_MAX];
    size_t queued_count, finished_count;
    unsigned stick_in; /* jobs until the one that sticks; 0 none */
    ms stick_ms;
} pool;
static uint8_t stacks[THREADS_MAX][STACK_BYTES] __attribute__((aligned(4096)));

bool offload_ready(void)
{
    return pool.finished_count > 0;
}

bool offload_is_job(void)
{
    return pool.running != NULL;
}

void sim_stick_job(unsigned job_number, ms for_ms)
{
    pool.stick_in = job_number;
    pool.stick_ms = for_ms;
}

/* --- threads --- */
static void suspend(struct thread *t, bool last)
{
    t->task = mem_task();
    context_suspend(&t->context, &pool.loop, last);
}

static void thread_main(void *arg)
{
    struct thread *t = arg;
    context_arrive(&t->context, &pool.loop);
    t->work->run(t->work);
    if (t->stick_in > 0) { /* it made fewer calls: the next job has to */
        pool.stick_in = 1;
        pool.stick_ms = t->stick_ms;
    }
    t->ended = true;
    suspend(t, true);
}

static void start_one(void);

static void thread_ended(struct thread *t)
{
    struct os_work *w = t->work;
    w->done = true;
    pool.finished[pool.finished_count++] = w;
    context_end(&t->context);
    t->work = NULL;
    world_moved();
    if (w->follow) { /* goes first */
        memmove(pool.queued + 1, pool.queued, pool.queued_count++ * sizeof pool.queued[0]);
        pool.queued[0] = w->follow;
    }
    start_one();
}

static void thread_goes_on(uint64_t index, uint64_t unused)
{
    (void)unused;
    struct thread *t = &pool.thread[index];
    enum task task = mem_task();
    pool.running = t;
    mem_set_task(t->task);
    context_resume(&pool.loop, &t->context);
    pool.running = NULL;
    mem_set_task(task);
    if (t->ended)
        thread_ended(t);
}

static void sleep_in_kernel(struct thread *t, int64_t ns)
{
    if (t->stick_in > 0 && --t->stick_in == 0) {
        t->for_ever = t->stick_ms == FOREVER;
        ns += t->for_ever ? 0 : t->stick_ms * NS_PER_MS;
    }
    if (!t->for_ever)
        world_at(world_now_ns() + ns, thread_goes_on, (uint64_t)(t - pool.thread), 0);
    suspend(t, false);
}

void offload_spend(int64_t ns)
{
    sleep_in_kernel(pool.running, ns);
}

/* --- work --- */
static struct thread *idle_thread(void)
{
    unsigned first = (unsigned)sim_draw(pool.threads);
    for (unsigned i = 0; i < pool.threads; i++)
        if (!pool.thread[(first + i) % pool.threads].work)
            return &pool.thread[(first + i) % pool.threads];
    return NULL;
}

static void decide_to_stick(struct thread *t)
{
    bool named = pool.stick_in > 0 && --pool.stick_in == 0;
    if (!named && !sim_chance(sim.job_stick_permille))
        return;
    t->stick_in = 1 + (unsigned)sim_draw(STICK_CALLS_MAX);
    t->stick_ms = named ? pool.stick_ms : FOREVER;
}

static void start_one(void)
{
    struct thread *t = pool.queued_count > 0 && pool.threads > 0 ? idle_thread() : NULL;
    if (!t)
        return;
    size_t index = (size_t)(t - pool.thread);
    *t = (struct thread){.work = pool.queued[0], .task = TASK_BOARD};
    memmove(pool.queued, pool.queued + 1, --pool.queued_count * sizeof pool.queued[0]);
    context_begin(&t->context, stacks[index], STACK_BYTES, thread_main, t);
    decide_to_stick(t);
    world_at(world_now_ns() + (int64_t)sim_draw((uint64_t)sim.job_ms_max * NS_PER_MS + 1), thread_goes_on, index, 0);
}

err os_offload_boot(unsigned threads, size_t stack_bytes, void *given)
{
    (void)stack_bytes;
    (void)given;
    TRY(fault_here("os_offload_boot", E_BUDGET));
    if (threads > THREADS_MAX)
        sim_fail("more than %d threads", THREADS_MAX);
    pool.threads = threads;
    return OK;
}

void os_offload(struct os_work *w)
{
    if (pool.threads == 0)
        sim_fail("os_offload() before os_offload_boot()");
    if (pool.queued_count + pool.finished_count + THREADS_MAX >= WORK_MAX)
        sim_fail("more than %d jobs", WORK_MAX);
    w->done = false;
    w->follow = NULL;
    pool.queued[pool.queued_count++] = w;
    start_one();
}

bool os_offload_after(struct os_work *before, struct os_work *w)
{
    if (before->done)
        return false;
    if (before->follow)
        sim_fail("two works behind one");
    w->done = false;
    w->follow = NULL;
    before->follow = w;
    return true;
}

void os_offload_cut(struct os_work *first)
{
    while (first->done && first->follow)
        first = first->follow;
    first->follow = NULL;
}

/* What it followed, while that is untold. */
static size_t before_it(size_t i)
{
    for (size_t k = 0; k < pool.finished_count; k++)
        if (pool.finished[k]->follow == pool.finished[i])
            return k;
    return i;
}

/* Among those that ended, any may be told first, but none before what it followed. */
struct os_work *os_offload_done(void)
{
    if (pool.finished_count == 0)
        return NULL;
    size_t i = sim_draw(pool.finished_count);
    for (size_t before; (before = before_it(i)) != i;)
        i = before;
    struct os_work *w = pool.finished[i];
    pool.finished[i] = pool.finished[--pool.finished_count];
    return w;
}

static unsigned busy_threads(void)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < pool.threads; i++)
        busy += pool.thread[i].work != NULL;
    return busy;
}

unsigned os_offload_stop(ms deadline)
{
    struct os_event ignored[1];
    while (busy_threads() > 0 && os_mono() < deadline)
        (void)os_wait(deadline, ignored, COUNT_OF(ignored));
    unsigned stuck = busy_threads();
    pool.threads = 0;
    return stuck;
}

/* The kernel keeps nothing per thread here. */
err os_offload_each(err (*run)(void *arg), void *arg, ms deadline)
{
    (void)run;
    (void)arg;
    (void)deadline;
    return OK;
}
