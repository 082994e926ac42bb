/* collect: the board's own numbers, brought into the registry before each exposition. One table, one row a number. */
#include "agents/metrics/metrics.h"

#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"
#include "board/rt/pulse.h"
#include "board/rt/sock.h"

#include <stdio.h>

/* --- a series for each task --- */

static double heap_limit(enum task t)
{
    return (double)mem_use(t).limit_bytes;
}
static double heap_used(enum task t)
{
    return (double)mem_use(t).used_bytes;
}
static double heap_peak(enum task t)
{
    return (double)mem_use(t).peak_bytes;
}
static double refusals(enum task t)
{
    return (double)(mem_use(t).refusals + fiber_use(t).refusals + sock_use(t).refusals);
}
static double stack_limit(enum task t)
{
    return (double)fiber_use(t).stack_bytes;
}
static double stack_peak(enum task t)
{
    return (double)fiber_use(t).stack_peak_bytes;
}
static double fibers_used(enum task t)
{
    return (double)fiber_use(t).used;
}
static double fibers_limit(enum task t)
{
    return (double)fiber_use(t).count;
}
static double longest_step(enum task t)
{
    return (double)loop_stats()->longest_step_ns[t] / 1e9;
}
static double connections(enum task t)
{
    return (double)sock_use(t).used;
}
static double connections_limit(enum task t)
{
    return (double)sock_use(t).limit;
}
static double received(enum task t)
{
    return (double)sock_use(t).received_bytes;
}
static double sent(enum task t)
{
    return (double)sock_use(t).sent_bytes;
}
static double resting(enum task t)
{
    return pulse_of(t)->resting ? 1 : 0;
}

#define TASK_FAMILIES(X)                                                                                                         \
    X(heap_limit, GAUGE, "holdfast_task_heap_limit_bytes", "Heap the task may use.")                                             \
    X(heap_used, GAUGE, "holdfast_task_heap_used_bytes", "Heap the task uses now.")                                              \
    X(heap_peak, GAUGE, "holdfast_task_heap_peak_bytes", "Most heap the task has used.")                                         \
    X(refusals, COUNTER, "holdfast_task_refusals_total",                                                                         \
      "Allocations, fibers and connections refused because the budget was spent.")                                               \
    X(stack_limit, GAUGE, "holdfast_task_stack_limit_bytes", "Bytes of each of the task's stacks.")                              \
    X(stack_peak, GAUGE, "holdfast_task_stack_peak_bytes", "Deepest use of any of the task's stacks.")                           \
    X(fibers_used, GAUGE, "holdfast_task_fibers", "Fibers of the task now.")                                                     \
    X(fibers_limit, GAUGE, "holdfast_task_fibers_limit", "Fibers the task may have.")                                            \
    X(longest_step, GAUGE, "holdfast_task_longest_step_seconds", "Longest run between two waits.")                               \
    X(connections, GAUGE, "holdfast_task_connections", "Sockets the task has open.")                                             \
    X(connections_limit, GAUGE, "holdfast_task_connections_limit", "Sockets the task may have open.")                            \
    X(received, COUNTER, "holdfast_task_received_bytes_total", "Bytes received from the network.")                               \
    X(sent, COUNTER, "holdfast_task_sent_bytes_total", "Bytes sent to the network.")                                             \
    X(resting, GAUGE, "holdfast_task_resting", "1 while the task waits by choice with nothing to do.")

static struct {
    struct family family;
    double (*read)(enum task t);
    struct series *series[TASK_COUNT];
} task_rows[] = {
#define X(reader, kind, full_name, words)                                                                                        \
    {{.name = (full_name), .help = (words), .type = METRIC_##kind, .labels = {"task"}}, reader, {0}},
    TASK_FAMILIES(X)
#undef X
};

/* --- one of a kind --- */

static struct os_process process;

static double cpu_seconds(void)
{
    return (double)process.cpu_ms / 1000.0;
}
static double virtual_memory(void)
{
    return (double)process.virtual_bytes;
}
static double resident(void)
{
    return (double)process.rss_bytes;
}
static double resident_anon(void)
{
    return (double)process.rss_anon_bytes;
}
static double resident_file(void)
{
    return (double)process.rss_file_bytes;
}
static double open_fds(void)
{
    return (double)process.open_fds;
}
static double max_fds(void)
{
    return (double)process.max_fds;
}
static double started(void)
{
    return (double)process.started_wall_ms / 1000.0;
}
static double profile_bytes(void)
{
    return (double)mem_profile()->total_bytes;
}
static double pool_threads(void)
{
    return (double)pool_stats().threads;
}
static double pool_busy(void)
{
    return (double)pool_stats().busy;
}
static double pool_written_off(void)
{
    return (double)pool_stats().written_off;
}
static double pool_done(void)
{
    return (double)pool_stats().done;
}
static double loop_turns(void)
{
    return (double)loop_stats()->turns;
}
static double loop_wakeups(void)
{
    return (double)loop_stats()->wakeups;
}
static double lines_dropped(void)
{
    return (double)log_dropped();
}
static double clock_trusted(void)
{
    return os_wall_is_trusted() ? 1 : 0;
}

#define SINGLE_FAMILIES(X)                                                                                                       \
    X(cpu_seconds, COUNTER, "process_cpu_seconds_total", "User and system CPU time.")                                            \
    X(virtual_memory, GAUGE, "process_virtual_memory_bytes", "Address space in use, mostly reserved and never touched.")         \
    X(resident, GAUGE, "process_resident_memory_bytes", "Resident memory.")                                                      \
    X(resident_anon, GAUGE, "process_resident_anon_bytes", "Resident private memory (RssAnon): what the profile bounds.")        \
    X(resident_file, GAUGE, "process_resident_file_bytes", "Resident file-backed memory (RssFile): program text.")               \
    X(open_fds, GAUGE, "process_open_fds", "Open file descriptors.")                                                             \
    X(max_fds, GAUGE, "process_max_fds", "Most file descriptors the process may open.")                                          \
    X(started, GAUGE, "process_start_time_seconds", "When the process started, Unix time.")                                      \
    X(profile_bytes, GAUGE, "holdfast_profile_bytes", "Private writable memory the board profile allows.")                       \
    X(pool_threads, GAUGE, "holdfast_pool_threads", "Threads for blocking calls and long computing.")                            \
    X(pool_busy, GAUGE, "holdfast_pool_busy", "Pool threads at work.")                                                           \
    X(pool_written_off, GAUGE, "holdfast_pool_written_off", "Pool threads stuck in the kernel and given up.")                    \
    X(pool_done, COUNTER, "holdfast_pool_jobs_total", "Jobs the pool has finished.")                                             \
    X(loop_turns, COUNTER, "holdfast_loop_turns_total", "Turns of the event loop.")                                              \
    X(loop_wakeups, COUNTER, "holdfast_loop_wakeups_total", "Times the loop woke up.")                                           \
    X(lines_dropped, COUNTER, "holdfast_log_dropped_total", "Log lines dropped because nobody read them.")                       \
    X(clock_trusted, GAUGE, "holdfast_clock_trusted",                                                                            \
      "0 while the clock is before the build: no signatures, no schedules by date.")

static struct {
    struct family family;
    double (*read)(void);
    struct series *series;
} single_rows[] = {
#define X(reader, kind, full_name, words) {{.name = (full_name), .help = (words), .type = METRIC_##kind}, reader, NULL},
    SINGLE_FAMILIES(X)
#undef X
};

static struct family build = {
    .name = "holdfast_build_info", .help = "What is running.", .type = METRIC_INFO, .labels = {"version", "arch", "profile"}};
static struct family buffers_used = {
    .name = "holdfast_buffers_used", .help = "I/O buffers in use.", .type = METRIC_GAUGE, .labels = {"bytes"}};
static struct family buffers_peak = {
    .name = "holdfast_buffers_peak", .help = "Most I/O buffers used.", .type = METRIC_GAUGE, .labels = {"bytes"}};
static struct family buffers_limit = {
    .name = "holdfast_buffers_limit", .help = "I/O buffers there are.", .type = METRIC_GAUGE, .labels = {"bytes"}};
static struct series *buffer_series[BUFFER_CLASSES][3];

static void collect_buffers(void)
{
    for (unsigned i = 0; i < BUFFER_CLASSES; i++) {
        struct buf_use use = buf_use(i);
        series_set(buffer_series[i][0], use.used);
        series_set(buffer_series[i][1], use.peak);
        series_set(buffer_series[i][2], use.count);
    }
}

static void collect(void)
{
    if (os_process(&process) != OK)
        return; /* no /proc: the last values stand */
    for (size_t row = 0; row < COUNT_OF(task_rows); row++)
        for (enum task t = 0; t < TASK_COUNT; t++)
            series_set(task_rows[row].series[t], task_rows[row].read(t));
    for (size_t row = 0; row < COUNT_OF(single_rows); row++)
        series_set(single_rows[row].series, single_rows[row].read());
    collect_buffers();
}

static err register_buffers(void)
{
    for (unsigned i = 0; i < BUFFER_CLASSES; i++) {
        char bytes[24];
        (void)snprintf(bytes, sizeof bytes, "%zu", mem_profile()->buffers[i].bytes);
        const char *const labels[] = {bytes};
        TRY(metric_series(&buffers_used, labels, &buffer_series[i][0]));
        TRY(metric_series(&buffers_peak, labels, &buffer_series[i][1]));
        TRY(metric_series(&buffers_limit, labels, &buffer_series[i][2]));
    }
    return OK;
}

err metrics_register(const char *version, const char *target)
{
    struct series *info = NULL;
    const char *const about[] = {version, target, mem_profile()->name};
    TRY(metric_series(&build, about, &info));
    series_set(info, 1);
    for (size_t row = 0; row < COUNT_OF(single_rows); row++)
        TRY(metric_series(&single_rows[row].family, NULL, &single_rows[row].series));
    for (size_t row = 0; row < COUNT_OF(task_rows); row++)
        for (enum task t = 0; t < TASK_COUNT; t++) {
            const char *const labels[] = {task_name(t)};
            TRY(metric_series(&task_rows[row].family, labels, &task_rows[row].series[t]));
        }
    TRY(register_buffers());
    metric_collector(collect);
    return OK;
}
