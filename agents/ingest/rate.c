#include "agents/ingest/rate.h"

#define WHOLE 1000 /* thousandths of a token */

static int64_t within(int64_t value, int64_t fallback)
{
    return value < 1 ? fallback : value > RATE_PER_SECOND_MAX ? RATE_PER_SECOND_MAX : value;
}

static void limit_set(struct rate *r, int64_t per_second, int64_t burst)
{
    r->per_second = within(per_second, RATE_PER_SECOND_DEFAULT);
    r->burst = within(burst, RATE_BURST_DEFAULT);
}

/* In a millisecond come per_second thousandths of a token. */
static int64_t level(const struct rate *r, ms now)
{
    int64_t full = r->burst * WHOLE, gone = now - r->at;
    if (gone <= 0)
        return r->thousandths;
    if (gone >= (full - r->thousandths + r->per_second - 1) / r->per_second)
        return full;
    return r->thousandths + gone * r->per_second;
}

static void settle(struct rate *r, ms now)
{
    r->thousandths = level(r, now);
    r->at = now > r->at ? now : r->at;
}

void rate_start(struct rate *r, int64_t per_second, int64_t burst, ms now)
{
    limit_set(r, per_second, burst);
    r->thousandths = r->burst * WHOLE;
    r->at = now;
}

void rate_change(struct rate *r, int64_t per_second, int64_t burst, ms now)
{
    settle(r, now);
    limit_set(r, per_second, burst);
    if (r->thousandths > r->burst * WHOLE)
        r->thousandths = r->burst * WHOLE;
}

bool rate_take(struct rate *r, ms now)
{
    settle(r, now);
    if (r->thousandths < WHOLE)
        return false;
    r->thousandths -= WHOLE;
    return true;
}

void rate_give(struct rate *r)
{
    r->thousandths = r->thousandths + WHOLE < r->burst * WHOLE ? r->thousandths + WHOLE : r->burst * WHOLE;
}

ms rate_next(const struct rate *r, ms now)
{
    int64_t missing = WHOLE - level(r, now);
    return missing <= 0 ? now : now + (missing + r->per_second - 1) / r->per_second;
}
