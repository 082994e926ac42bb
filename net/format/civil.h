/* civil: days and dates of the Gregorian calendar, also before it was in use.
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   none. Exact for years -100,000 to 100,000.
 * libc has it for struct tm and time_t only, and reads the machine's time zone beside. */
#ifndef HOLDFAST_CIVIL_H
#define HOLDFAST_CIVIL_H

#include "board/rt/base.h"

#define DAY_SECONDS 86400

struct civil {
    int64_t year;
    int month, day; /* from 1 */
};

/* Days since 1970-01-01. Month and day may be out of range and are carried over: month 13 is January, day 0 the day before. */
int64_t civil_days(int64_t year, int month, int64_t day);
struct civil civil_of(int64_t days);
int civil_weekday(int64_t days); /* 0: Sunday */
int civil_month_days(int64_t year, int month);
/* The Monday of the ISO 8601 week that has this day, as days since 1970-01-01: it names the week. */
int64_t civil_monday(int64_t days);
/* A time of day that exists, on a date that does; else false. A leap second's 60 is not there: the epoch has none. */
bool civil_is_valid(int year, int month, int day, int hour, int minute, int second);

/* Division that rounds down, and its rest, which is never negative. */
static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static inline int64_t floor_mod(int64_t a, int64_t b)
{
    return a - floor_div(a, b) * b;
}

#endif
