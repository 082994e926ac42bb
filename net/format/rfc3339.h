/* rfc3339: reading moments as JSON has them: "2026-11-21T09:51:32Z", with a fraction or an offset, too. Writing: text_rfc3339().
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   false: no such moment. */
#ifndef HOLDFAST_RFC3339_H
#define HOLDFAST_RFC3339_H

#include "board/rt/text.h"

#define RFC3339_ZERO_S (-62135596800) /* 0001-01-01T00:00:00Z: no time at all, as Go has it */

/* Seconds since 1970, rounded down. A leap second is not taken: the epoch has none. */
bool rfc3339_read(struct bytes in, int64_t *epoch_s);

#endif
