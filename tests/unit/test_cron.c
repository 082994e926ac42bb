/* cron: from a text and a moment to the next one, wrong texts and their words, and the same answers as a search minute by minute.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/civil.h"
#include "net/format/cron.h"

#include <stdio.h>
#include <string.h>

#define UTC      "UTC0"
#define BERLIN   "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define HOWE     "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
#define NEVER    "never"

/* Times are written by the clock of UTC: "2026-03-29 01:00:00" */
static const struct {
    const char *name, *text, *zone, *after, *next;
} moments[] = {
    {"nightly", "0 2 * * *", UTC, "2026-01-01 00:00:00", "2026-01-01 02:00:00"},
    {"nightly, at it", "0 2 * * *", UTC, "2026-01-01 02:00:00", "2026-01-02 02:00:00"},
    {"nightly, the second before", "0 2 * * *", UTC, "2026-01-01 01:59:59", "2026-01-01 02:00:00"},
    {"every minute", "* * * * *", UTC, "2026-01-01 00:00:00", "2026-01-01 00:01:00"},
    {"every minute, within", "* * * * *", UTC, "2026-01-01 00:00:59", "2026-01-01 00:01:00"},
    {"blanks", "\t 0  2\t* * *  ", UTC, "2026-01-01 00:00:00", "2026-01-01 02:00:00"},
    {"a list", "5,10,50 * * * *", UTC, "2026-01-01 00:10:00", "2026-01-01 00:50:00"},
    {"a list out of order", "50,5 * * * *", UTC, "2026-01-01 00:10:00", "2026-01-01 00:50:00"},
    {"a range", "0 9-17 * * *", UTC, "2026-01-01 17:00:00", "2026-01-02 09:00:00"},
    {"a step", "*/15 * * * *", UTC, "2026-01-01 00:46:00", "2026-01-01 01:00:00"},
    {"a step in a range", "10-40/15 * * * *", UTC, "2026-01-01 00:26:00", "2026-01-01 00:40:00"},
    {"a step from a number", "5/15 * * * *", UTC, "2026-01-01 00:36:00", "2026-01-01 00:50:00"},
    {"a step past the end", "*/45 * * * *", UTC, "2026-01-01 00:45:00", "2026-01-01 01:00:00"},
    {"hour 23", "59 23 * * *", UTC, "2026-12-31 23:59:00", "2027-01-01 23:59:00"},
    {"month by name", "0 0 1 MAR *", UTC, "2026-03-01 00:00:00", "2027-03-01 00:00:00"},
    {"months by range of names", "0 0 1 feb-apr *", UTC, "2026-04-01 00:00:00", "2027-02-01 00:00:00"},
    {"weekday by name", "0 0 * * mon", UTC, "2026-01-01 00:00:00", "2026-01-05 00:00:00"},
    {"Sunday is 0", "0 0 * * 0", UTC, "2026-01-01 00:00:00", "2026-01-04 00:00:00"},
    {"Sunday is 7", "0 0 * * 7", UTC, "2026-01-01 00:00:00", "2026-01-04 00:00:00"},
    {"to Sunday", "0 0 * * 6-7", UTC, "2026-01-03 00:00:00", "2026-01-04 00:00:00"},
    {"to Sunday by name", "0 0 * * sat-sun", UTC, "2026-01-03 00:00:00", "2026-01-04 00:00:00"},
    {"the last of January", "0 0 31 * *", UTC, "2026-01-31 00:00:00", "2026-03-31 00:00:00"},
    {"day 30", "0 0 30 * *", UTC, "2026-01-30 00:00:00", "2026-03-30 00:00:00"},
    {"Feb 29", "0 0 29 2 *", UTC, "2024-02-29 00:00:00", "2028-02-29 00:00:00"},
    {"Feb 29 over 2100", "0 0 29 2 *", UTC, "2096-02-29 00:00:00", "2104-02-29 00:00:00"},
    {"Feb 30", "0 0 30 2 *", UTC, "2026-01-01 00:00:00", NEVER},
    {"the 31st of short months", "0 0 31 apr,jun,sep,nov *", UTC, "2026-01-01 00:00:00", NEVER},
    {"the 13th or Friday: Friday", "0 0 13 * 5", UTC, "2026-01-01 00:00:00", "2026-01-02 00:00:00"},
    {"the 13th or Friday: the 13th", "0 0 13 * 5", UTC, "2026-01-09 00:00:00", "2026-01-13 00:00:00"},
    {"even days that are Fridays", "0 0 */2 * 5", UTC, "2026-01-01 00:00:00", "2026-01-09 00:00:00"},
    {"the 13th, weekday */2", "0 0 13 * */2", UTC, "2026-01-01 00:00:00", "2026-01-13 00:00:00"},
    {"the 13th of June, any weekday", "0 0 13 6 *", UTC, "2026-01-01 00:00:00", "2026-06-13 00:00:00"},
    {"@hourly", "@hourly", UTC, "2026-01-01 00:00:00", "2026-01-01 01:00:00"},
    {"@daily", "@daily", UTC, "2026-01-01 00:00:00", "2026-01-02 00:00:00"},
    {"@midnight", "@midnight", UTC, "2026-01-01 00:00:01", "2026-01-02 00:00:00"},
    {"@weekly", " @weekly ", UTC, "2026-01-01 00:00:00", "2026-01-04 00:00:00"},
    {"@monthly", "@monthly", UTC, "2026-01-01 00:00:00", "2026-02-01 00:00:00"},
    {"@yearly", "@yearly", UTC, "2026-01-01 00:00:00", "2027-01-01 00:00:00"},
    {"@annually", "@ANNUALLY", UTC, "2026-01-01 00:00:00", "2027-01-01 00:00:00"},
    {"the place's clock", "0 2 * * *", BERLIN, "2026-01-01 00:00:00", "2026-01-01 01:00:00"},
    {"the place's midnight", "0 0 1 * *", NEW_YORK, "2026-01-01 00:00:00", "2026-01-01 05:00:00"},
    {"skipped hour: after it", "30 2 * * *", BERLIN, "2026-03-28 12:00:00", "2026-03-29 01:00:00"},
    {"skipped hour: once", "30 2 * * *", BERLIN, "2026-03-29 01:00:00", "2026-03-30 00:30:00"},
    {"skipped hour: three in one", "0,20,40 2 * * *", BERLIN, "2026-03-29 00:59:59", "2026-03-29 01:00:00"},
    {"skipped hour: then the next day", "0,20,40 2 * * *", BERLIN, "2026-03-29 01:00:00", "2026-03-30 00:00:00"},
    {"skipped hour and the one after: once", "0 2,3 * * *", BERLIN, "2026-03-29 00:30:00", "2026-03-29 01:00:00"},
    {"skipped hour and the one after: then", "0 2,3 * * *", BERLIN, "2026-03-29 01:00:00", "2026-03-30 00:00:00"},
    {"doubled hour: the first", "30 2 * * *", BERLIN, "2026-10-24 12:00:00", "2026-10-25 00:30:00"},
    {"doubled hour: once", "30 2 * * *", BERLIN, "2026-10-25 00:30:00", "2026-10-26 01:30:00"},
    {"doubled hour: from within the second", "30 2 * * *", BERLIN, "2026-10-25 01:10:00", "2026-10-26 01:30:00"},
    {"doubled hour: every minute, its last", "* * * * *", BERLIN, "2026-10-25 00:58:00", "2026-10-25 00:59:00"},
    {"doubled hour: every minute, again after it", "* * * * *", BERLIN, "2026-10-25 00:59:00", "2026-10-25 02:00:00"},
    {"doubled half hour", "45 1 * * *", HOWE, "2026-04-04 00:00:00", "2026-04-04 14:45:00"},
    {"doubled half hour: once", "45 1 * * *", HOWE, "2026-04-04 14:45:00", "2026-04-05 15:15:00"},
    {"skipped half hour", "15 2 * * *", HOWE, "2026-10-03 00:00:00", "2026-10-03 15:30:00"},
};

static int64_t epoch(const char *text)
{
    int f[6];
    if (strcmp(text, NEVER) == 0)
        return INT64_MAX;
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d:%d", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5]), 6);
    return civil_days(f[0], f[1], f[2]) * DAY_SECONDS + f[3] * 3600 + f[4] * 60 + f[5];
}

static struct cron parsed(const char *text)
{
    char storage[256];
    struct text why = text_over(storage, sizeof storage);
    struct cron c;
    if (cron_parse(bytes_of(text), &c, &why) != OK || why.len != 0)
        fail_msg("%s: %s", text, storage);
    return c;
}

static void it_is_next(void **state)
{
    (void)state;
    static struct zone z;
    for (size_t i = 0; i < COUNT_OF(moments); i++) {
        struct cron c = parsed(moments[i].text);
        assert_int_equal(zone_from_posix(bytes_of(moments[i].zone), &z), OK);
        int64_t next = cron_next(&c, &z, epoch(moments[i].after));
        char got[TIME_TEXT_MAX] = NEVER;
        if (next != INT64_MAX)
            text_rfc3339(next, got, sizeof got);
        if (next != epoch(moments[i].next))
            fail_msg("%s: %s", moments[i].name, got);
    }
}

static const struct {
    const char *name, *text, *says;
} wrong[] = {
    {"empty", "", "0 fields where five belong: minute, hour, day of month, month, day of week"},
    {"blank", "  ", "0 fields where five belong"},
    {"one", "5", "1 field where five belong"},
    {"four", "0 2 * *", "4 fields where five belong"},
    {"six", "0 0 2 * * *", "6 fields where five belong"},
    {"minute 60", "60 * * * *", "minute \"60\": write *, 0 to 59"},
    {"minute -1", "-1 * * * *", "minute \"-1\": write *, 0 to 59"},
    {"hour 24", "0 24 * * *", "hour \"24\": write *, 0 to 23"},
    {"day 0", "0 0 0 * *", "day of month \"0\": write *, 1 to 31"},
    {"day 32", "0 0 32 * *", "day of month \"32\": write *, 1 to 31"},
    {"month 0", "0 0 * 0 *", "month \"0\": write *, 1 to 12"},
    {"month 13", "0 0 * 13 *", "month \"13\": write *, 1 to 12"},
    {"a whole name", "0 0 * january *", "month \"january\": write *, 1 to 12"},
    {"a name in the wrong field", "0 0 jan * *", "day of month \"jan\""},
    {"weekday 8", "0 0 * * 8", "day of week \"8\": write *, 0 to 7"},
    {"a month for a weekday", "0 0 * * jan", "sun to sat"},
    {"a large number", "18446744073709551616 * * * *", "minute \"18446744073709551616\""},
    {"a question mark", "0 0 ? * *", "day of month \"?\""},
    {"last", "0 0 L * *", "day of month \"L\""},
    {"a range that falls", "0 22-4 * * *", "hour \"22-4\": the range ends before it begins; write two: 22-23,0-4"},
    {"a weekday range that falls", "0 0 * * fri-mon", "write two: 5-7,0-1"},
    {"half a range", "0 5- * * *", "hour \"5-\""},
    {"three ends", "0 1-2-3 * * *", "hour \"1-2-3\""},
    {"star in a range", "0 *-3 * * *", "hour \"*-3\""},
    {"step 0", "*/0 * * * *", "minute \"*/0\": the step behind / is a number from 1 to 59"},
    {"step too large", "*/60 * * * *", "from 1 to 59"},
    {"step without number", "*/ * * * *", "the step behind /"},
    {"two steps", "*/2/3 * * * *", "the step behind /"},
    {"a comma at the end", "1, * * * *", "minute \"\": a comma without a value beside it"},
    {"two commas", "1,,2 * * * *", "a comma without a value beside it"},
    {"in a list", "1,99 * * * *", "minute \"99\""},
    {"unknown @", "@dayly", "there is no \"@dayly\"; there are @hourly @daily"},
    {"@reboot", "@reboot", "there is no \"@reboot\""},
    {"@ and more", "@daily x", "there is no \"@daily\""},
};

static void words_say_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char storage[256];
        struct text why = text_over(storage, sizeof storage);
        struct cron c;
        if (cron_parse(bytes_of(wrong[i].text), &c, &why) != E_INVALID || !strstr(storage, wrong[i].says) || why.cut)
            fail_msg("%s: %s", wrong[i].name, storage);
    }
}

static void the_longest_text_fits(void **state)
{
    (void)state;
    char text[CRON_TEXT_MAX + 1], storage[256];
    struct text why = text_over(storage, sizeof storage);
    struct cron c;
    (void)memset(text, ' ', sizeof text);
    (void)memcpy(text, "0 2 * * *", 9);
    assert_int_equal(cron_parse((struct bytes){(uint8_t *)text, CRON_TEXT_MAX - 1}, &c, &why), OK);
    assert_int_equal(cron_parse((struct bytes){(uint8_t *)text, CRON_TEXT_MAX}, &c, &why), E_INVALID);
    assert_non_null(strstr(storage, "longer than 127 bytes"));
}

static void a_moment_out_of_reach_has_no_next(void **state)
{
    (void)state;
    struct cron c = parsed("* * * * *");
    assert_true(cron_next(&c, &zone_utc, INT64_MAX) == INT64_MAX);
    assert_true(cron_next(&c, &zone_utc, INT64_MIN) == INT64_MAX);
    assert_true(cron_next(&c, &zone_utc, ZONE_EPOCH_MAX_S) == INT64_MAX);
    assert_int_equal(cron_next(&c, &zone_utc, -61), -60);
}

/* --- against a search --- */

static uint32_t seed;
static unsigned random_below(unsigned n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void random_field(char *out, size_t cap, unsigned low, unsigned high)
{
    unsigned a = low + random_below(high - low + 1), b = a + random_below(high - a + 1);
    switch (random_below(5)) {
    case 0:
        (void)snprintf(out, cap, "%u", a);
        return;
    case 1:
        (void)snprintf(out, cap, "%u-%u", a, b);
        return;
    case 2:
        (void)snprintf(out, cap, "*/%u", 1 + random_below(high));
        return;
    case 3:
        (void)snprintf(out, cap, "%u,%u/%u", b, a, 1 + random_below(high));
        return;
    default:
        (void)snprintf(out, cap, "*");
        return;
    }
}

static void random_text(char *out, size_t cap)
{
    char f[5][24];
    random_field(f[0], sizeof f[0], 0, 59);
    random_field(f[1], sizeof f[1], 0, 23);
    random_field(f[2], sizeof f[2], 1, 31);
    random_field(f[3], sizeof f[3], 1, 12);
    random_field(f[4], sizeof f[4], 0, 7);
    (void)snprintf(out, cap, "%s %s %s %s %s", f[0], f[1], f[2], f[3], f[4]);
}

static bool named(const struct cron *c, int64_t clock_s)
{
    int minute = (int)(floor_mod(clock_s, DAY_SECONDS) / 60);
    if ((c->minutes >> (minute % 60) & 1) == 0 || (c->hours >> (minute / 60) & 1) == 0)
        return false;
    int64_t days = floor_div(clock_s, DAY_SECONDS);
    struct civil d = civil_of(days);
    bool day = (c->days >> d.day & 1) != 0, weekday = (c->weekdays >> civil_weekday(days) & 1) != 0;
    bool either = !c->any_day && !c->any_weekday;
    return (c->months >> d.month & 1) != 0 && (either ? day || weekday : day && weekday);
}

/* The clock is watched minute by minute: a time it has shown before does not count again, one it jumps over counts at once. */
#define BEGIN_S   INT64_C(1767225600) /* 2026-01-01 */
#define YEARS_TWO (730 * 24 * 60)
static void two_years_go_by(const struct cron *c, const struct zone *z, const char *text)
{
    int64_t next = cron_next(c, z, BEGIN_S), shown = BEGIN_S + zone_offset_s(z, BEGIN_S);
    int32_t offset_s = zone_offset_s(z, BEGIN_S);
    for (int64_t t = BEGIN_S + 60; t <= BEGIN_S + (int64_t)YEARS_TWO * 60; t += 60) {
        if (t % 1800 == 0) /* these zones change at half hours only */
            offset_s = zone_offset_s(z, t);
        int64_t clock_s = t + offset_s;
        bool now = false;
        for (; shown < clock_s; shown += 60)
            now = named(c, shown + 60) || now;
        if (now != (next == t) || next < t)
            fail_msg("%s: at %lld next is %lld", text, (long long)t, (long long)next);
        if (now)
            next = cron_next(c, z, t);
    }
}

static void it_is_what_a_search_finds(void **state)
{
    (void)state;
    static const char *const zones[] = {BERLIN, NEW_YORK, HOWE};
    static struct zone z;
    seed = 20261121;
    for (unsigned i = 0; i < 9; i++) {
        char text[CRON_TEXT_MAX];
        random_text(text, sizeof text);
        struct cron c = parsed(text);
        assert_int_equal(zone_from_posix(bytes_of(zones[i % 3]), &z), OK);
        two_years_go_by(&c, &z, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_next),
        cmocka_unit_test(words_say_what_to_do),
        cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(a_moment_out_of_reach_has_no_next),
        cmocka_unit_test(it_is_what_a_search_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
