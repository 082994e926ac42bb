/* cron: "0 2 * * *", and when it is next. Five fields as crontab(5): minute hour day-of-month month day-of-week; *, lists,
 * ranges, steps, names (jan, mon), 0 and 7 are Sunday; and @hourly @daily @midnight @weekly @monthly @yearly @annually. Where
 * both day fields are restricted, either one suffices (as Vixie cron). A field that begins with * is not restricted.
 *
 * Layer    format.   Blocks   never.   Memory   struct cron.   Errors   E_INVALID, and in `why` the words: which field, what to
 * do. */
#ifndef HOLDFAST_CRON_H
#define HOLDFAST_CRON_H

#include "board/rt/text.h"
#include "net/format/zone.h"

#define CRON_TEXT_MAX 128 /* with the zero */

struct cron { /* bit n: value n */
    uint64_t minutes;
    uint32_t hours, days, months;
    uint8_t weekdays; /* bit 0: Sunday */
    bool any_day, any_weekday;
};

MUST_USE err cron_parse(struct bytes text, struct cron *out, struct text *why);
/* The first moment after after_s that it names, by the place's clock. A moment in a skipped hour happens once, when the hour has
 * been skipped; one in a doubled hour happens in the first of both. INT64_MAX: never within CRON_YEARS_MAX (Feb 30). */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_s);
#define CRON_YEARS_MAX 12 /* Feb 29 may be eight years away */

#endif
