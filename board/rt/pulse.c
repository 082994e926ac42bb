/* One pulse a task. It rests until its first beat, so that a task that is not configured never stalls. */
#include "board/rt/pulse.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"

static struct pulse pulses[TASK_COUNT];
static struct series *stalled_series[TASK_COUNT];

static struct family stalled_family = {
    .name = "holdfast_task_stalled",
    .help = "1 while the task makes no progress for longer than its limit.",
    .type = METRIC_GAUGE,
    .labels = {"task"},
};

static void stalled_tell(enum task t, bool stalled)
{
    const char *const values[] = {task_name(t)};
    if (stalled_series[t] == NULL && metric_series(&stalled_family, values, &stalled_series[t]) != OK)
        return; /* the registry counts what it refused */
    series_set(stalled_series[t], stalled);
}

void pulse_boot(ms now)
{
    for (enum task t = 0; t < TASK_COUNT; t++) {
        pulses[t] = (struct pulse){.beat_at = now, .stall_ms_max = mem_profile()->task[t].stall_ms_max, .resting = true};
        stalled_tell(t, false);
    }
}

void pulse_beat(enum task t, ms now)
{
    pulses[t].beat_at = now;
    pulses[t].resting = false;
}

void pulse_rest(enum task t)
{
    pulses[t].resting = true;
}

const struct pulse *pulse_of(enum task t)
{
    return &pulses[t];
}

static void change_tell(enum task t, bool stalled, ms still_for)
{
    pulses[t].stalled = stalled;
    stalled_tell(t, stalled);
    if (stalled)
        log_error("a task makes no progress", F("stalled", task_name(t)), F_MS("since", still_for),
                  F_MS("limit", pulses[t].stall_ms_max));
    else
        log_info("a task moves again", F("stalled", task_name(t)));
}

err pulse_check(ms now, enum task *who)
{
    err e = OK;
    for (enum task t = 0; t < TASK_COUNT; t++) {
        ms still_for = now - pulses[t].beat_at;
        bool stalled = !pulses[t].resting && still_for > pulses[t].stall_ms_max;
        if (stalled != pulses[t].stalled)
            change_tell(t, stalled, still_for);
        if (stalled && e == OK) {
            *who = t;
            e = E_LATE;
        }
    }
    return e;
}
