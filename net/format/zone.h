/* zone: local time of a place. POSIX TZ strings (POSIX.1-2017 8.3, with RFC 8536's hours -167..167) and zoneinfo files (RFC
 * 8536).
 *
 * Layer    format: the caller reads the file.   Blocks   never.     Memory   struct zone, caller's; no pointers, may be copied.
 * Errors   E_INVALID no zone; E_RANGE more transitions than ZONE_TRANSITIONS_MAX from year 2000 on (older ones are let go).
 * We do not use libc's: it reads files when it likes and musl's brings its own allocator. */
#ifndef HOLDFAST_ZONE_H
#define HOLDFAST_ZONE_H

#include "board/rt/err.h"

#define ZONE_TRANSITIONS_MAX 256
#define ZONE_FILE_BYTES_MAX  KIB(16)
#define ZONE_NAME_MAX        64                             /* of the configuration's text, with the zero */
#define ZONE_EPOCH_MAX_S     ((int64_t)90000 * 366 * 86400) /* moments beyond it, or before minus it, are taken for it */

struct zone_rule {                                     /* one side of a POSIX rule */
    enum { ZONE_JULIAN, ZONE_DAY, ZONE_WEEKDAY } kind; /* Jn, n, Mm.w.d */
    int day, week, month;
    int32_t at_s; /* local time of the change */
};
struct zone {
    int32_t standard_s, summer_s; /* seconds east of UTC */
    bool has_summer;
    struct zone_rule begin, end; /* of summer time */
    unsigned transition_count;   /* from a file; after the last one the rule above holds */
    int32_t first_s;             /* offset before the first */
    struct {
        int64_t at_s;
        int32_t offset_s;
    } transitions[ZONE_TRANSITIONS_MAX];
};

extern const struct zone zone_utc;
MUST_USE err zone_from_posix(struct bytes text, struct zone *out); /* "CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3", "UTC0" */
MUST_USE err zone_from_file(struct bytes tzif, struct zone *out);  /* the bytes of /usr/share/zoneinfo/NAME, version 1 to 4 */
/* May it be an IANA name, that is, one below the zoneinfo folder: parts of letters, digits, - + _, no dots, no leading slash. */
bool zone_name_is_plausible(struct bytes name);
int32_t zone_offset_s(const struct zone *z, int64_t epoch_s);

struct zone_fields {
    int year, month, day, hour, minute, second; /* month and day from 1 */
    int weekday;                                /* 0: Sunday */
};
struct zone_fields zone_local(const struct zone *z, int64_t epoch_s);
/* Local time to epoch. In a skipped hour: the first second after it. In a doubled hour: the first of both. Fields out of range
 * are carried over (day 32). */
int64_t zone_epoch(const struct zone *z, const struct zone_fields *local);

#endif
