/* IMF-fixdate, the one form of a date that is sent today: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7). */
#include "net/format/civil.h"
#include "net/format/http1.h"

#include <stdio.h>
#include <string.h>

#define MONTH_AT 8
#define CLOCK_AT 17

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void http1_date(int64_t epoch_s, char out[HTTP1_DATE_MAX])
{
    static const char weekdays[] = "SunMonTueWedThuFriSat";
    const int64_t last_s = INT64_C(253402300799); /* the end of 9999 */
    int64_t limited = epoch_s < 0 ? 0 : epoch_s > last_s ? last_s : epoch_s;
    int64_t days = limited / DAY_SECONDS;
    unsigned second = (unsigned)(limited % DAY_SECONDS);
    struct civil date = civil_of(days);
    char text[64];
    (void)snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02u:%02u:%02u GMT", weekdays + (size_t)civil_weekday(days) * 3,
                   date.day, months + (size_t)(date.month - 1) * 3, (int)date.year, second / 3600, second / 60 % 60, second % 60);
    memcpy(out, text, HTTP1_DATE_MAX);
    out[HTTP1_DATE_MAX - 1] = 0;
}

/* The digits at `at`, or -1. */
static int number_at(struct bytes text, size_t at, size_t digits)
{
    uint64_t n;
    return text_to_u64((struct bytes){text.at + at, digits}, &n) ? (int)n : -1;
}

static int month_at(struct bytes text)
{
    for (int m = 0; m < 12; m++)
        if (memcmp(text.at + MONTH_AT, months + 3 * (size_t)m, 3) == 0)
            return m + 1;
    return 0;
}

int64_t http1_date_read(struct bytes text)
{
    if (text.len != HTTP1_DATE_MAX - 1 || memcmp(text.at + 25, " GMT", 4) != 0)
        return 0;
    int year = number_at(text, 12, 4), month = month_at(text), day = number_at(text, 5, 2);
    int hour = number_at(text, CLOCK_AT, 2), minute = number_at(text, CLOCK_AT + 3, 2);
    int second = number_at(text, CLOCK_AT + 6, 2);
    second = second == 60 ? 59 : second; /* a leap second */
    if (year < 1970 || text.at[CLOCK_AT + 2] != ':' || text.at[CLOCK_AT + 5] != ':' ||
        !civil_is_valid(year, month, day, hour, minute, second))
        return 0;
    return civil_days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
}
