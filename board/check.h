/* check: what a good configuration means here and now, and what of it is likely wrong though not certainly.
 *
 * Layer    board; nobody includes it but check*.c.   Blocks   check_look() parks the fiber: it looks for files.
 * Owner    the caller owns struct checked; config     Memory   the caller's: 12 KiB, on the heap.
 *          and finder outlive it.
 * Errors   E_CANCELED; what cannot be looked at is a warning. */
#ifndef HOLDFAST_CHECK_H
#define HOLDFAST_CHECK_H

#include "board/command.h"

#define CHECK_RUNS           3 /* next ones that are shown */
#define CHECK_WARNINGS_MAX   24
#define CHECK_WARNINGS_BYTES KIB(6)
#define CHECK_REFUSAL_BYTES  512

struct checked {
    const struct config *config;
    struct zone zone;
    int64_t next_s[CHECK_RUNS];
    unsigned next_count; /* 0: by `every`, counted from the newest backup */
    int64_t gap_s;       /* the longest time between two runs; of a schedule, of those looked at */
    char storage[CHECK_WARNINGS_BYTES];
    struct text text;                    /* what warnings point into, each ended by a zero */
    size_t warnings[CHECK_WARNINGS_MAX]; /* where each begins */
    unsigned warning_count;
    char refusal[CHECK_REFUSAL_BYTES]; /* "": none; else what can never work, to follow the file's name: as an error of it */
};

MUST_USE err check_look(struct checked *out, const struct config *c, const struct config_zones *zones, int64_t now_s);
const char *check_warning(const struct checked *c, unsigned i);

/* --- between the check_*.c --- */
void check_warn(struct checked *c, const char *format, ...) PRINTF_LIKE(2, 3); /* what has no room is left out */
MUST_USE err check_look_rehearse(struct checked *c);                           /* check_rehearse.c */

#endif
