/* loop: one thread, turn after turn: clock, events, pool, timers, signals, then fibers. Between turns with nothing to run it
 * sleeps in os_wait() until the next timer; nothing wakes it by the clock alone. */
#include "board/rt/buf.h"
#include "board/rt/fiber_internal.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"
#include "board/rt/proc.h"
#include "board/rt/sock.h"

#include <signal.h>
#include <string.h>

#define EVENTS_MAX        64     /* of one os_wait(); the rest comes with the next turn */
#define TURN_STEPS_MAX    256    /* fibers run this many steps, */
#define TURN_NS           100000 /* or this long, before the kernel is asked again */
#define STEP_NS_MAX       ((int64_t)STEP_MS_MAX * 1000000)
#define LOG_FLUSH_MS      1000 /* at most so often; nothing wakes the loop for it */
#define CPU_MARK_EVERY_NS 10000000

struct loop {
    struct loop_stats stats;
    ms now, log_at;
    int64_t wall_ms;
    int64_t step_started_ns;
    int64_t mark_ns, mark_cpu_ns; /* both clocks at one moment, see step_cpu_ns() */
    void (*on_signal)(int signal_number);
    unsigned untold; /* signals that it has yet to be told of, or that found none: bits 1 << number */
    void (*on_turn)(ms now);
    bool running;
};

static struct loop loop;

ms loop_now(void)
{
    return loop.running ? loop.now : os_mono();
}

int64_t loop_wall_ms(void)
{
    return loop.running ? loop.wall_ms : os_wall_ms();
}

int64_t loop_step_started_ns(void)
{
    return loop.step_started_ns;
}

void loop_on_signal(void (*handle)(int signal_number))
{
    loop.on_signal = handle;
    if (handle != NULL && loop.untold != 0)
        os_poke(); /* the next turn tells them */
}

void loop_on_turn(void (*turn)(ms now))
{
    loop.on_turn = turn;
}

const struct loop_stats *loop_stats(void)
{
    return &loop.stats;
}

/* --- how long steps take --- */
/* The thread's CPU clock costs a system call, so it is read seldom and a step's share is bounded from below: what the thread used
 * since the mark, less all the time that passed between the mark and the step. Time spent waiting for a CPU is never blamed on a
 * fiber. */
static int64_t step_cpu_ns(int64_t ran_ns)
{
    int64_t cpu = os_thread_cpu_ns() - loop.mark_cpu_ns - (loop.step_started_ns - loop.mark_ns);
    if (cpu < 0)
        return 0;
    return cpu < ran_ns ? cpu : ran_ns;
}

static void step_record(const struct fiber *f, int64_t ran_ns)
{
    if (ran_ns > STEP_NS_MAX) {
        ran_ns = step_cpu_ns(ran_ns);
        if (ran_ns > STEP_NS_MAX) {
            loop.stats.slow_steps[f->task]++;
            log_info("a fiber ran too long between two waits", F("fiber", f->name), F("of", task_name(f->task)),
                     F_MS("ran", ran_ns / 1000000));
        }
    }
    if (ran_ns > loop.stats.longest_step_ns[f->task]) {
        loop.stats.longest_step_ns[f->task] = ran_ns;
        loop.stats.longest_name[f->task] = f->name;
    }
}

static void cpu_mark(void)
{
    loop.mark_ns = loop.step_started_ns;
    loop.mark_cpu_ns = os_thread_cpu_ns();
}

/* One clock reading ends this step and starts the next. */
static void loop_step(struct fiber *f)
{
    loop.stats.switches++;
    mem_set_task(f->task);
    fiber_step(f);
    int64_t now_ns = os_mono_ns(), ran_ns = now_ns - loop.step_started_ns;
    if (ran_ns > STEP_NS_MAX || ran_ns > loop.stats.longest_step_ns[f->task]) {
        mem_set_task(TASK_BOARD);
        step_record(f, ran_ns);
        now_ns = os_mono_ns();
    }
    loop.step_started_ns = now_ns;
    if (f->state == FIBER_ENDED)
        fiber_give(f);
}

/* --- a turn --- */
static void run_fibers(void)
{
    int64_t began_ns = loop.step_started_ns;
    for (unsigned i = 0; i < TURN_STEPS_MAX && loop.step_started_ns - began_ns < TURN_NS; i++) {
        struct fiber *f = fiber_next_ready();
        if (f == NULL)
            break;
        loop_step(f);
    }
    mem_set_task(TASK_BOARD);
}

static void take_signals(void)
{
    for (int n = 0; os_signal_take(&n);) {
        if (n == SIGCHLD)
            (void)proc_reap_orphans();
        loop.untold |= 1u << n;
    }
    for (int n = 1; loop.untold != 0 && loop.on_signal != NULL; n++) {
        unsigned bit = 1u << n;
        if (loop.untold & bit)
            loop.on_signal(n);
        loop.untold &= ~bit;
    }
}

static void read_clocks(bool slept)
{
    loop.now = os_mono();
    loop.wall_ms = os_wall_ms();
    loop.step_started_ns = os_mono_ns();
    if (slept || loop.step_started_ns - loop.mark_ns > CPU_MARK_EVERY_NS)
        cpu_mark();
}

static void loop_turn(void)
{
    struct os_event events[EVENTS_MAX];
    bool sleeps = !fiber_any_ready();
    size_t count = os_wait(sleeps ? timer_next_at() : loop.now, events, EVENTS_MAX);
    loop.stats.turns++;
    loop.stats.wakeups++;
    read_clocks(sleeps);
    for (size_t i = 0; i < count; i++)
        sock_event(&events[i]);
    pool_turn();
    timer_fire_due(loop.now); /* after what came: a process that was held up takes it before it gives anything up */
    buf_turn();
    take_signals();
    loop.step_started_ns = os_mono_ns(); /* the callbacks' time is no fiber's */
    run_fibers();
    if (loop.on_turn != NULL)
        loop.on_turn(loop.now);
    if (loop.now >= loop.log_at) {
        log_flush(loop.now);
        loop.log_at = loop.now + LOG_FLUSH_MS;
    }
}

/* --- the whole --- */
static err loop_boot(void)
{
    TRY(fiber_stack_boot());
    TRY(os_boot());
    TRY(sock_boot());
    TRY(pool_boot());
    crash_boot();
    memset(&loop.stats, 0, sizeof loop.stats);
    loop.log_at = 0;
    loop.untold = 0;
    read_clocks(true);
    return OK;
}

struct first_fiber {
    err (*main)(void *arg);
    void *arg;
    err result;
};

static err run_main(void *arg)
{
    struct first_fiber *first = arg;
    return first->result = first->main(first->arg);
}

err loop_run(err (*main)(void *arg), void *arg)
{
    ASSERT(!loop.running && fiber_self() == NULL);
    TRY(loop_boot());
    enum task charged_before = mem_task();
    struct first_fiber first = {.main = main, .arg = arg};
    struct group all;
    group_open(&all, TASK_BOARD);
    err spawned = group_spawn(&all, "main", run_main, &first);
    loop.running = true;
    while (all.count > 0)
        loop_turn();
    loop.running = false;
    ASSERT(fiber_used_count() == 0);
    pool_stop();
    log_flush(FOREVER);
    mem_set_task(charged_before);
    return spawned != OK ? spawned : first.result;
}
