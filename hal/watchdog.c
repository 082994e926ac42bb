/* The turn of the watchdog. The hardware is behind watchdog_device; this release has none. */
#include "hal/watchdog.h"

static err none_open(void *state)
{
    (void)state;
    return E_ABSENT;
}

static err none_feed(void *state)
{
    (void)state;
    return E_ABSENT;
}

static void none_close(void *state)
{
    (void)state;
}

const struct watchdog_device watchdog_none = {.name = "none", .open = none_open, .feed = none_feed, .close = none_close};

err watchdog_open(struct watchdog *d, const struct watchdog_device *device, void *state, ms feed_every_ms, ms now)
{
    ASSERT(feed_every_ms > 0);
    *d = (struct watchdog){.device = device, .state = state, .feed_every_ms = feed_every_ms, .fed_at = now};
    err e = device->open(state);
    d->open = e == OK;
    return e == OK ? OK : trail(e, "opening the watchdog %s", device->name);
}

err watchdog_turn(struct watchdog *d, ms now, enum task *who)
{
    TRY(pulse_check(now, who));
    if (!d->open || now - d->fed_at < d->feed_every_ms)
        return OK;
    TRY(d->device->feed(d->state));
    d->fed_at = now;
    return OK;
}

void watchdog_close(struct watchdog *d)
{
    if (d->open)
        d->device->close(d->state);
    d->open = false;
}
