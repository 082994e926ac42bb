/* civil: counted from the first of January of year 1. */
#include "net/format/civil.h"

#define EPOCH_DAYS 719162 /* from 0001-01-01 to 1970-01-01 */
#define CYCLE_DAYS 146097 /* in 400 years, always */

static bool is_leap(int64_t year)
{
    return (floor_mod(year, 4) == 0 && floor_mod(year, 100) != 0) || floor_mod(year, 400) == 0;
}

/* Days of the year before the month. */
static int before_month(int64_t year, int month)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    return before[month - 1] + (month > 2 && is_leap(year));
}

static int64_t before_year(int64_t year)
{
    int64_t n = year - 1;
    return 365 * n + floor_div(n, 4) - floor_div(n, 100) + floor_div(n, 400) - EPOCH_DAYS;
}

int64_t civil_days(int64_t year, int month, int64_t day)
{
    int64_t y = year + floor_div((int64_t)month - 1, 12);
    return before_year(y) + before_month(y, (int)floor_mod((int64_t)month - 1, 12) + 1) + day - 1;
}

struct civil civil_of(int64_t days)
{
    int64_t year = floor_div((days + EPOCH_DAYS) * 400, CYCLE_DAYS) + 1;
    while (before_year(year) > days)
        year--;
    while (before_year(year + 1) <= days)
        year++;
    int left = (int)(days - before_year(year)), month = 12;
    while (before_month(year, month) > left)
        month--;
    return (struct civil){year, month, left - before_month(year, month) + 1};
}

int civil_weekday(int64_t days)
{
    return (int)floor_mod(days + 4, 7); /* 1970-01-01 was a Thursday */
}

int civil_month_days(int64_t year, int month)
{
    return (int)(civil_days(year, month + 1, 1) - civil_days(year, month, 1));
}

int64_t civil_monday(int64_t days)
{
    return days - floor_mod(days + 3, 7);
}

bool civil_is_valid(int year, int month, int day, int hour, int minute, int second)
{
    return month >= 1 && month <= 12 && day >= 1 && day <= civil_month_days(year, month) && hour >= 0 && hour <= 23 &&
           minute >= 0 && minute <= 59 && second >= 0 && second <= 59;
}
