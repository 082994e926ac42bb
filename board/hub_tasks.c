/* hub_tasks: SIGUSR1. What each task uses now, for who cannot ask /metrics. */
#include "board/hub.h"

#include "board/rt/log.h"
#include "board/rt/pool.h"
#include "board/rt/pulse.h"
#include "board/rt/sock.h"

static void log_task(enum task t)
{
    struct mem_use heap = mem_use(t);
    struct fiber_use fibers = fiber_use(t);
    const struct pulse *pulse = pulse_of(t);
    log_info("task", F("of", task_name(t)), F_U64("heap_used", heap.used_bytes), F_U64("heap_peak", heap.peak_bytes),
             F_U64("heap_limit", heap.limit_bytes), F_U64("refusals", heap.refusals + fibers.refusals),
             F_U64("fibers", fibers.used), F_U64("stack_peak", fibers.stack_peak_bytes), F_U64("connections", sock_use(t).used),
             F_BOOL("resting", pulse->resting), F_MS("since_beat", loop_now() - pulse->beat_at));
}

void hub_dump_if_wanted(struct hub *h)
{
    if (!h->dump)
        return;
    h->dump = false;
    for (enum task t = 0; t < TASK_COUNT; t++)
        log_task(t);
    struct pool_stats pool = pool_stats();
    log_info("pool", F_U64("threads", pool.threads), F_U64("busy", pool.busy), F_U64("written_off", pool.written_off),
             F_U64("jobs", pool.jobs), F_U64("jobs_peak", pool.jobs_peak));
}
