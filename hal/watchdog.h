/* watchdog: feeds the hardware watchdog, and only while every task makes progress.
 *
 * Layer    hal.                                    Blocks   never.
 * Owner    caller owns struct watchdog, which      Memory   none beyond it.
 *          outlives watchdog_close().              Time     monotonic milliseconds, passed in.
 * Errors   E_ABSENT no watchdog here; E_BUSY another process owns it; E_IO the kernel refused; E_LATE a task stalled. */
#ifndef HOLDFAST_WATCHDOG_H
#define HOLDFAST_WATCHDOG_H

#include "board/rt/pulse.h"

struct watchdog_device { /* the hardware side; the null device of this release is watchdog_none */
    const char *name;
    err (*open)(void *state);
    err (*feed)(void *state);
    void (*close)(void *state);
};

extern const struct watchdog_device watchdog_none; /* opens with E_ABSENT */

struct watchdog {
    const struct watchdog_device *device;
    void *state;
    ms fed_at, feed_every_ms;
    bool open;
};

MUST_USE err watchdog_open(struct watchdog *d, const struct watchdog_device *device, void *state, ms feed_every_ms, ms now);
/* Checks the pulses; feeds when due and all move, else E_LATE with the first stalled task, and no feed. Call from the loop once a
 * turn (loop_on_turn()); never from a timer of its own or a thread. Without a device it still checks. */
MUST_USE err watchdog_turn(struct watchdog *d, ms now, enum task *who);
void watchdog_close(struct watchdog *d); /* idempotent; leaves the hardware armed */

#endif
