/* number: a double as the shortest decimal text that reads back as the same double.
 *
 * Layer    rt.   Blocks   never.   Memory   the caller's.   Errors   none. */
#ifndef HOLDFAST_NUMBER_H
#define HOLDFAST_NUMBER_H

#include "board/rt/base.h"

#define NUMBER_TEXT_MAX 32 /* "-1.7976931348623157e+308" and its zero, with room */

/* "41", "0.041", "1e+300", "NaN", "+Inf", "-Inf". Returns out. */
const char *number_text(double value, char out[NUMBER_TEXT_MAX]);

#endif
