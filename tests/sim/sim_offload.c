/* sim_offload: pool threads. A job runs inline, at a moment and for a time the seed chooses; the order between threads is the
 * seed's. */
#include "board/rt/mem.h"
#include "tests/sim/world.h"

#include <setjmp.h>
#include <string.h>

#define WORK_MAX 256 /* queued, running and finished together */

static struct {
    unsigned threads, busy, stuck;
    struct os_work *queued[WORK_MAX], *finished[WORK_MAX];
    size_t queued_count, finished_count;
    unsigned stick_in; /* jobs until the one that sticks; 0 none */
    ms stick_ms;
    int64_t spent_ns; /* of the running job */
    bool in_job;
    jmp_buf out_of_job;
} pool;

void offload_reset(void)
{
    memset(&pool, 0, sizeof pool);
}

bool offload_ready(void)
{
    return pool.finished_count > 0;
}

bool offload_is_job(void)
{
    return pool.in_job;
}

int64_t *offload_clock(void)
{
    return pool.in_job ? &pool.spent_ns : NULL;
}

/* The thread never comes out of the kernel: what the job holds stays held, as on the device. */
void offload_leave_for_ever(void)
{
    if (!pool.in_job)
        sim_fail("hangs: the loop's own thread sticks in the kernel for ever");
    longjmp(pool.out_of_job, 1);
}

void sim_stick_job(unsigned job_number, ms for_ms)
{
    pool.stick_in = job_number;
    pool.stick_ms = for_ms;
}

static ms next_stick_ms(void)
{
    if (pool.stick_in > 0 && --pool.stick_in == 0)
        return pool.stick_ms;
    return sim_chance(sim.job_stick_permille) ? FOREVER : 0;
}

err os_offload_boot(unsigned threads, size_t stack_bytes, void *stacks)
{
    (void)stack_bytes;
    (void)stacks;
    TRY(fault_here("os_offload_boot", E_BUDGET));
    pool.threads = threads;
    return OK;
}

static void start_one(void);

static void job_ended(uint64_t work, uint64_t unused)
{
    (void)unused;
    struct os_work *w = (struct os_work *)(uintptr_t)work;
    w->done = true;
    pool.finished[pool.finished_count++] = w;
    pool.busy--;
    world_moved();
    start_one();
}

/* True when it came back. The task that pays is the thread's own, so it is put back for the loop. */
static bool run_job(struct os_work *w)
{
    enum task task = mem_task();
    volatile bool back = false;
    pool.spent_ns = 0;
    pool.in_job = true;
    if (setjmp(pool.out_of_job) == 0) {
        w->run(w);
        back = true;
    }
    pool.in_job = false;
    mem_set_task(task);
    return back;
}

static void job_runs(uint64_t work, uint64_t unused)
{
    (void)unused;
    if (run_job((struct os_work *)(uintptr_t)work))
        world_at(world_now_ns() + pool.spent_ns, job_ended, work, 0);
    else
        pool.stuck++;
}

static void job_starts(uint64_t work, uint64_t unused)
{
    (void)unused;
    ms stick_ms = next_stick_ms();
    if (stick_ms == FOREVER)
        pool.stuck++;
    else
        world_at(world_now_ns() + stick_ms * NS_PER_MS, job_runs, work, 0);
}

static void start_one(void)
{
    if (pool.queued_count == 0 || pool.busy >= pool.threads)
        return;
    struct os_work *w = pool.queued[0];
    memmove(pool.queued, pool.queued + 1, --pool.queued_count * sizeof pool.queued[0]);
    pool.busy++;
    int64_t wait_ns = (int64_t)sim_draw((uint64_t)sim.job_ms_max * NS_PER_MS + 1);
    world_at(world_now_ns() + wait_ns, job_starts, (uintptr_t)w, 0);
}

void os_offload(struct os_work *w)
{
    if (pool.threads == 0)
        sim_fail("os_offload() before os_offload_boot()");
    if (pool.queued_count + pool.finished_count + pool.busy >= WORK_MAX)
        sim_fail("more than %d jobs", WORK_MAX);
    w->done = false;
    pool.queued[pool.queued_count++] = w;
    start_one();
}

/* Among those that ended, any may be told first. */
struct os_work *os_offload_done(void)
{
    if (pool.finished_count == 0)
        return NULL;
    size_t i = sim_draw(pool.finished_count);
    struct os_work *w = pool.finished[i];
    pool.finished[i] = pool.finished[--pool.finished_count];
    return w;
}

unsigned os_offload_stop(ms deadline)
{
    if (pool.stuck > 0 && deadline != FOREVER)
        world_charge((deadline - world_now_ns() / NS_PER_MS) * NS_PER_MS);
    unsigned stuck = pool.stuck;
    pool.threads = pool.stuck = 0;
    return stuck;
}
