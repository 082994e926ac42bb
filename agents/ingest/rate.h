/* rate: a token bucket: how many events a second may leave.
 *
 * Layer    agents/ingest, pure.   Owner, Memory   the caller's struct.   Blocks   never.   Errors   none.
 * Time     monotonic milliseconds, passed in; a clock that stands still or goes back gives nothing. */
#ifndef HOLDFAST_INGEST_RATE_H
#define HOLDFAST_INGEST_RATE_H

#include "board/rt/base.h"

#define RATE_PER_SECOND_MAX     5000 /* and of the burst; the CRD's maximum is raised to it */
#define RATE_PER_SECOND_DEFAULT 10
#define RATE_BURST_DEFAULT      20

struct rate {            /* fields are rate.c's */
    int64_t thousandths; /* of tokens */
    int64_t per_second, burst;
    ms at;
};

/* Full. Values below 1 are the defaults, larger ones than the maximum are the maximum. */
void rate_start(struct rate *r, int64_t per_second, int64_t burst, ms now);
/* Other numbers, the tokens kept up to the new burst. */
void rate_change(struct rate *r, int64_t per_second, int64_t burst, ms now);
bool rate_take(struct rate *r, ms now);     /* one token; false: none is there */
void rate_give(struct rate *r);             /* back: what it was taken for did not happen */
ms rate_next(const struct rate *r, ms now); /* when the next one is there; `now` when one is */

#endif
