/* pulse: is every task still moving?
 *
 * Layer    rt.                                      Blocks   never.
 * Owner    one static pulse a task.                 Memory   none beyond them.   Time   monotonic ms, passed in.
 * Errors   E_LATE with the first stalled task.
 *
 * A task beats whenever it has made real progress (bytes moved, a step done), and rests by choice before a wait that may be long
 * with nothing to do. Between a beat and the next beat or rest at most its profile's stall_ms_max may pass. */
#ifndef HOLDFAST_PULSE_H
#define HOLDFAST_PULSE_H

#include "board/rt/err.h"
#include "board/rt/profile.h"

struct pulse {
    ms beat_at;      /* last progress */
    ms stall_ms_max; /* from the profile */
    bool resting;
    bool stalled; /* already told */
};

void pulse_boot(ms now);
void pulse_beat(enum task t, ms now);
void pulse_rest(enum task t);
/* Looks at all; logs a task that stalls or moves again (once each), sets holdfast_task_stalled. E_LATE: *who is the first. */
MUST_USE err pulse_check(ms now, enum task *who);
const struct pulse *pulse_of(enum task t);

#endif
