/* repeat: which log lines are held back because they were just written. Part of log; apart so that time can be given to it.
 *
 * Layer    rt.                      Blocks   never.
 * Owner    the caller, who locks.   Memory   LOG_REPEATS_MAX slots, the caller's; zeroed is valid and empty.
 * Errors   none: with all slots in use the oldest one makes room and is handed out, so that its count is told. */
#ifndef HOLDFAST_REPEAT_H
#define HOLDFAST_REPEAT_H

#include "board/rt/log.h"

#define REPEAT_MESSAGE_MAX 96 /* of the message, for the closing line; the whole of it is told apart by its hash */

struct repeat {
    uint64_t hash;
    ms since;         /* start of its window */
    unsigned written; /* in this window; 0: a free slot */
    uint64_t held;    /* not written in this window */
    enum log_level level;
    char message[REPEAT_MESSAGE_MAX];
};
struct repeats {
    struct repeat slot[LOG_REPEATS_MAX];
};

/* True: write the line. *closing is filled (held > 0) when another message's slot had to be given up. */
bool repeat_allow(struct repeats *r, enum log_level level, const char *message, ms now, struct repeat *closing);
/* Takes out the next slot whose window has ended (FOREVER: any). True: lines were held back in it, tell how many. */
bool repeat_close(struct repeats *r, ms now, struct repeat *closing);

#endif
