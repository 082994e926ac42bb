/* go_time: durations as Go's time package, and with it Kubernetes, writes them. Moments: rfc3339.h.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.   Errors   false: not one, or more than an int64_t holds. */
#ifndef HOLDFAST_GO_TIME_H
#define HOLDFAST_GO_TIME_H

#include "board/rt/text.h"

/* time.ParseDuration: a sign, then decimals with a unit (ns us µs ms s m h) each, or 0: "5m", "1h30m", "1.5s", "-2m". */
bool go_duration_read(struct bytes text, int64_t *ns);
/* time.Duration's String(): "5m0s", "1.5s", "0s". */
#define GO_DURATION_TEXT_MAX 32
void go_duration_write(int64_t ns, char *out, size_t cap);

#endif
