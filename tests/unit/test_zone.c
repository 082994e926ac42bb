/* Local time: expected offsets and moments were computed with Python's zoneinfo, once, of zones that have every oddity: half an
 * hour of summer time, summer time below zero, a day that never was, two hours, none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/civil.h"
#include "net/format/zone.h"
#include "tests/support/skip.h"

#include <stdio.h>
#include <string.h>

/* --- civil days --- */

static void days_are_those_of_the_calendar(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = civil_days(1599, 12, 31);
    int weekday = civil_weekday(days);
    assert_int_equal(civil_days(1970, 1, 1), 0);
    assert_int_equal(civil_days(2000, 3, 1), 11017);
    assert_int_equal(civil_weekday(0), 4);
    for (int year = 1600; year <= 2400; year++)
        for (int month = 1; month <= 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int length = lengths[month - 1] + (month == 2 && leap);
            assert_int_equal(civil_month_days(year, month), length);
            for (int day = 1; day <= length; day++) {
                days++;
                weekday = (weekday + 1) % 7;
                struct civil c = civil_of(days);
                if (civil_days(year, month, day) != days || c.year != year || c.month != month || c.day != day ||
                    civil_weekday(days) != weekday || civil_weekday(civil_monday(days)) != 1)
                    fail_msg("%d-%d-%d", year, month, day);
            }
        }
}

static void what_is_out_of_range_is_carried(void **state)
{
    (void)state;
    assert_int_equal(civil_days(2025, 13, 1), civil_days(2026, 1, 1));
    assert_int_equal(civil_days(2026, 0, 1), civil_days(2025, 12, 1));
    assert_int_equal(civil_days(2026, 3, 0), civil_days(2026, 2, 28));
    assert_int_equal(civil_days(2026, 1, 366), civil_days(2027, 1, 1));
    assert_true(civil_of(civil_days(-100000, 1, 1)).year == -100000);
    assert_true(civil_is_valid(2024, 2, 29, 23, 59, 59));
    assert_false(civil_is_valid(2025, 2, 29, 0, 0, 0));
    assert_false(civil_is_valid(2025, 2, 28, 24, 0, 0));
    assert_false(civil_is_valid(2025, 2, 28, 0, 0, 60));
    assert_false(civil_is_valid(2025, 13, 1, 0, 0, 0));
}

/* --- files of the system --- */

static const struct {
    const char *zone, *name;
    int64_t at_s;
    int32_t before_s, after_s;
} changes[] = {
    {"Europe/Berlin", "2000-03-26 01:00:00 UTC", 954032400, 3600, 7200},
    {"Europe/Berlin", "2000-10-29 01:00:00 UTC", 972781200, 7200, 3600},
    {"Europe/Berlin", "2018-03-25 01:00:00 UTC", 1521939600, 3600, 7200},
    {"Europe/Berlin", "2018-10-28 01:00:00 UTC", 1540688400, 7200, 3600},
    {"Europe/Berlin", "2023-03-26 01:00:00 UTC", 1679792400, 3600, 7200},
    {"Europe/Berlin", "2023-10-29 01:00:00 UTC", 1698541200, 7200, 3600},
    {"America/New_York", "2000-04-02 07:00:00 UTC", 954658800, -18000, -14400},
    {"America/New_York", "2000-10-29 06:00:00 UTC", 972799200, -14400, -18000},
    {"America/New_York", "2018-03-11 07:00:00 UTC", 1520751600, -18000, -14400},
    {"America/New_York", "2018-11-04 06:00:00 UTC", 1541311200, -14400, -18000},
    {"America/New_York", "2023-03-12 07:00:00 UTC", 1678604400, -18000, -14400},
    {"America/New_York", "2023-11-05 06:00:00 UTC", 1699164000, -14400, -18000},
    {"Asia/Kolkata", "2000-01-01 00:00:00 UTC", 946684800, 19800, 19800},
    {"Asia/Kolkata", "2024-01-01 00:00:00 UTC", 1704067200, 19800, 19800},
    {"Australia/Lord_Howe", "2000-03-25 15:00:00 UTC", 953996400, 39600, 37800},
    {"Australia/Lord_Howe", "2000-08-26 15:30:00 UTC", 967303800, 37800, 39600},
    {"Australia/Lord_Howe", "2018-03-31 15:00:00 UTC", 1522508400, 39600, 37800},
    {"Australia/Lord_Howe", "2018-10-06 15:30:00 UTC", 1538839800, 37800, 39600},
    {"Australia/Lord_Howe", "2023-04-01 15:00:00 UTC", 1680361200, 39600, 37800},
    {"Australia/Lord_Howe", "2023-09-30 15:30:00 UTC", 1696087800, 37800, 39600},
    {"Africa/Casablanca", "2018-03-25 02:00:00 UTC", 1521943200, 0, 3600},
    {"Africa/Casablanca", "2018-05-13 02:00:00 UTC", 1526176800, 3600, 0},
    {"Africa/Casablanca", "2018-06-17 02:00:00 UTC", 1529200800, 0, 3600},
    {"Africa/Casablanca", "2023-03-19 02:00:00 UTC", 1679191200, 3600, 0},
    {"Africa/Casablanca", "2023-04-23 02:00:00 UTC", 1682215200, 0, 3600},
    {"Africa/Casablanca", "2023-03-19 02:00:00 UTC", 1679191200, 3600, 0},
    {"Africa/Casablanca", "2023-04-23 02:00:00 UTC", 1682215200, 0, 3600},
    {"America/Nuuk", "2000-03-26 01:00:00 UTC", 954032400, -10800, -7200},
    {"America/Nuuk", "2000-10-29 01:00:00 UTC", 972781200, -7200, -10800},
    {"America/Nuuk", "2018-03-25 01:00:00 UTC", 1521939600, -10800, -7200},
    {"America/Nuuk", "2018-10-28 01:00:00 UTC", 1540688400, -7200, -10800},
    {"America/Nuuk", "2023-03-26 01:00:00 UTC", 1679792400, -10800, -7200},
    {"Pacific/Apia", "2011-04-02 14:00:00 UTC", 1301752800, -36000, -39600},
    {"Pacific/Apia", "2011-09-24 14:00:00 UTC", 1316872800, -39600, -36000},
    {"Pacific/Apia", "2011-12-30 10:00:00 UTC", 1325239200, -36000, 50400},
    {"Pacific/Apia", "2012-03-31 14:00:00 UTC", 1333202400, 50400, 46800},
    {"Pacific/Apia", "2012-09-29 14:00:00 UTC", 1348927200, 46800, 50400},
    {"UTC", "2000-01-01 00:00:00 UTC", 946684800, 0, 0},
    {"UTC", "2024-01-01 00:00:00 UTC", 1704067200, 0, 0},
    {"Antarctica/Troll", "2018-03-25 01:00:00 UTC", 1521939600, 0, 7200},
    {"Antarctica/Troll", "2018-10-28 01:00:00 UTC", 1540688400, 7200, 0},
    {"Antarctica/Troll", "2023-03-26 01:00:00 UTC", 1679792400, 0, 7200},
    {"Antarctica/Troll", "2023-10-29 01:00:00 UTC", 1698541200, 7200, 0},
};

static bool file_zone(const char *name, struct zone *out)
{
    static uint8_t bytes[ZONE_FILE_BYTES_MAX];
    char path[128];
    (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t len = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    assert_int_equal(zone_from_file((struct bytes){bytes, len}, out), OK);
    return true;
}

static void files_tell_each_change_to_the_second(void **state)
{
    (void)state;
    static struct zone z;
    if (!file_zone("UTC", &z))
        SKIP_BECAUSE("no /usr/share/zoneinfo (package tzdata)");
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        assert_true(file_zone(changes[i].zone, &z));
        int64_t at = changes[i].at_s;
        if (zone_offset_s(&z, at - 1) != changes[i].before_s || zone_offset_s(&z, at) != changes[i].after_s ||
            zone_offset_s(&z, at + 1) != changes[i].after_s)
            fail_msg("%s %s: %d, %d", changes[i].zone, changes[i].name, zone_offset_s(&z, at - 1), zone_offset_s(&z, at));
    }
}

/* --- TZ strings --- */

#define BERLIN   "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define HOWE     "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
#define DUBLIN   "IST-1GMT0,M10.5.0,M3.5.0/1"
#define NUUK     "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"
#define GAZA     "EET-2EEST,M3.4.4/50,M10.4.4/50"
#define ALL_YEAR "EST5EDT,0/0,J365/25"
#define LATE_END "EST4EDT,0/1,J365/27"
#define JULIAN   "AAA0BBB,J60/0,J300/0"
#define PLAIN    "AAA0BBB,59/0,299/0"

static const struct {
    const char *name, *text;
    int64_t at_s;
    int32_t offset_s;
} rules[] = {
    {"UTC", "UTC0", 0, 0},
    {"east is negative", "XYZ-5", 0, 18000},
    {"a plus", "XYZ+5", 0, -18000},
    {"name in brackets", "<+0330>-3:30", 0, 12600},
    {"seconds", "LMT0:53:28", 0, -3208},
    {"24 hours", "ABC-24", 0, 86400},
    {"Berlin, second before summer 2026", BERLIN, 1774745999, 3600},
    {"Berlin, summer", BERLIN, 1774746000, 7200},
    {"Berlin, second before winter", BERLIN, 1792889999, 7200},
    {"Berlin, winter", BERLIN, 1792890000, 3600},
    {"Berlin, 2099", BERLIN, 4078429200, 7200},
    {"New York, before", NEW_YORK, 1772953199, -18000},
    {"New York, summer", NEW_YORK, 1772953200, -14400},
    {"New York, new year", NEW_YORK, 1767225600, -18000},
    {"the south, new year", HOWE, 1767225600, 39600},
    {"the south, its winter", HOWE, 1782864000, 37800},
    {"the south, second before", HOWE, 1775314799, 39600},
    {"the south, half an hour", HOWE, 1775314800, 37800},
    {"summer below zero: July", DUBLIN, 1782864000, 3600},
    {"summer below zero: January", DUBLIN, 1767225600, 0},
    {"the day before: second before", NUUK, 1774745999, -7200},
    {"the day before", NUUK, 1774746000, -3600},
    {"50 o'clock: second before", GAZA, 1774655999, 7200},
    {"50 o'clock", GAZA, 1774656000, 10800},
    {"summer all year: January", ALL_YEAR, 1767225600, -14400},
    {"summer all year: the seam", ALL_YEAR, 1767243600, -14400},
    {"summer all year: before the seam", ALL_YEAR, 1767243599, -14400},
    {"summer ends after the next begins: before", LATE_END, 1767247199, -10800},
    {"summer ends after the next begins: after", LATE_END, 1767247200, -14400},
    {"summer ends after the next begins: old year", LATE_END, 1767225599, -14400},
    {"summer ends after the next begins: new year", LATE_END, 1767225600, -14400},
    {"J60 is March 1 in 2026", JULIAN, 1772323200, 3600},
    {"J60: the second before", JULIAN, 1772323199, 0},
    {"J60 is March 1 in 2024", JULIAN, 1709251200, 3600},
    {"J60 in 2024: the second before", JULIAN, 1709251199, 0},
    {"59 is March 1 in 2026", PLAIN, 1772323200, 3600},
    {"59 is February 29 in 2024", PLAIN, 1709164800, 3600},
    {"59 in 2024: the second before", PLAIN, 1709164799, 0},
};

static void strings_tell_offsets(void **state)
{
    (void)state;
    static struct zone z;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        err e = zone_from_posix(bytes_of(rules[i].text), &z);
        if (e != OK || zone_offset_s(&z, rules[i].at_s) != rules[i].offset_s)
            fail_msg("%s: %s, %d", rules[i].name, err_name(e), zone_offset_s(&z, rules[i].at_s));
    }
}

static const struct {
    const char *name, *text;
} refused[] = {
    {"empty", ""},
    {"name only", "CET"},
    {"short name", "CE-1"},
    {"short name in brackets", "<+1>-1"},
    {"bracket open", "<+03-3"},
    {"digit in a plain name", "CE1T-1"},
    {"no hours", "CET-"},
    {"25 hours", "CET-25"},
    {"three digits", "CET-001"},
    {"one digit of minutes", "CET-1:5"},
    {"60 minutes", "CET-1:60"},
    {"60 seconds", "CET-1:00:60"},
    {"colon at the end", "CET-1:"},
    {"no rule", "EST5EDT"},
    {"one date", "EST5EDT,M3.2.0"},
    {"three dates", "EST5EDT,M3.2.0,M11.1.0,M12.1.0"},
    {"rule without summer name", "EST5,M3.2.0,M11.1.0"},
    {"month 0", "EST5EDT,M0.2.0,M11.1.0"},
    {"month 13", "EST5EDT,M3.2.0,M13.1.0"},
    {"week 0", "EST5EDT,M3.0.0,M11.1.0"},
    {"week 6", "EST5EDT,M3.6.0,M11.1.0"},
    {"weekday 7", "EST5EDT,M3.2.7,M11.1.0"},
    {"two parts", "EST5EDT,M3.2,M11.1.0"},
    {"J0", "EST5EDT,J0,J300"},
    {"J366", "EST5EDT,J1,J366"},
    {"day 366", "EST5EDT,0,366"},
    {"168 hours", "EST5EDT,0/168,300"},
    {"-168 hours", "EST5EDT,0/-168,300"},
    {"slash at the end", "EST5EDT,0/,300"},
    {"a space", "CET -1"},
    {"a space behind", "CET-1 "},
    {"a colon before", ":UTC0"},
    {"a name of a place", "Europe/Berlin"},
    {"not ASCII", "C\xc3\x84T-1"},
};

static void other_strings_are_refused(void **state)
{
    (void)state;
    static struct zone z;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        (void)memset(&z, 1, sizeof z);
        if (zone_from_posix(bytes_of(refused[i].text), &z) != E_INVALID || zone_offset_s(&z, 0) != 0)
            fail_msg("%s", refused[i].name);
    }
    assert_int_equal(zone_from_posix((struct bytes){(const uint8_t *)"UTC0\0", 5}, &z), E_INVALID);
}

static const struct {
    const char *name;
    bool plausible;
} names[] = {
    {"UTC", true},
    {"Europe/Berlin", true},
    {"America/Argentina/Buenos_Aires", true},
    {"Etc/GMT+5", true},
    {"Etc/GMT-14", true},
    {"", false},
    {"/etc/passwd", false},
    {"../x", false},
    {"Europe/../x", false},
    {"Europe//Berlin", false},
    {"Europe/", false},
    {"Europe/Berlin.bak", false},
    {"-x", false},
    {"CET-1CEST,M3.5.0,M10.5.0/3", false},
    {"a b", false},
    {"a123456789a123456789a123456789a123456789a123456789a12345678901x", true},
    {"a123456789a123456789a123456789a123456789a123456789a12345678901xx", false},
};

static void names_stay_below_their_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (zone_name_is_plausible(bytes_of(names[i].name)) != names[i].plausible)
            fail_msg("%s", names[i].name);
    assert_false(zone_name_is_plausible((struct bytes){(const uint8_t *)"a\0b", 3}));
}

/* --- there and back --- */

static const struct {
    const char *name, *zone;
    struct zone_fields local;
    int64_t at_s;
} moments[] = {
#define AT(y, mo, d, h, mi, s)                                                                                                   \
    {                                                                                                                            \
        .year = (y), .month = (mo), .day = (d), .hour = (h), .minute = (mi), .second = (s)                                       \
    }
    {"UTC", "UTC0", AT(1970, 1, 1, 0, 0, 0), 0},
    {"before the epoch", "UTC0", AT(1969, 12, 31, 23, 59, 59), -1},
    {"winter", BERLIN, AT(2026, 1, 15, 12, 0, 0), 1768474800},
    {"summer", BERLIN, AT(2026, 7, 15, 12, 0, 0), 1784109600},
    {"the second before the gap", BERLIN, AT(2026, 3, 29, 1, 59, 59), 1774745999},
    {"the gap's begin", BERLIN, AT(2026, 3, 29, 2, 0, 0), 1774746000},
    {"in the gap", BERLIN, AT(2026, 3, 29, 2, 30, 0), 1774746000},
    {"the gap's last second", BERLIN, AT(2026, 3, 29, 2, 59, 59), 1774746000},
    {"behind the gap", BERLIN, AT(2026, 3, 29, 3, 0, 0), 1774746000},
    {"before the doubled hour", BERLIN, AT(2026, 10, 25, 1, 59, 59), 1792886399},
    {"the doubled hour: the first", BERLIN, AT(2026, 10, 25, 2, 30, 0), 1792888200},
    {"behind the doubled hour", BERLIN, AT(2026, 10, 25, 3, 0, 0), 1792893600},
    {"half an hour skipped", HOWE, AT(2026, 10, 4, 2, 15, 0), 1791041400},
    {"half an hour doubled", HOWE, AT(2026, 4, 5, 1, 45, 0), 1775313900},
    {"day 32", "UTC0", AT(2026, 1, 32, 0, 0, 0), 1769904000},
    {"month 13", "UTC0", AT(2025, 13, 1, 0, 0, 0), 1767225600},
    {"hour 25", "UTC0", AT(2025, 12, 31, 25, 0, 0), 1767229200},
    {"minute -1", "UTC0", AT(2026, 1, 1, 0, -1, 0), 1767225540},
};

static void local_time_becomes_a_moment(void **state)
{
    (void)state;
    static struct zone z;
    for (size_t i = 0; i < COUNT_OF(moments); i++) {
        assert_int_equal(zone_from_posix(bytes_of(moments[i].zone), &z), OK);
        if (zone_epoch(&z, &moments[i].local) != moments[i].at_s)
            fail_msg("%s: %lld", moments[i].name, (long long)zone_epoch(&z, &moments[i].local));
    }
}

/* Every moment's fields lead back to it, or, in a doubled hour, to an earlier one with the same fields. */
static void all_of_a_year_comes_back(void **state)
{
    (void)state;
    static struct zone z;
    static const char *const all[] = {BERLIN, NEW_YORK, HOWE, DUBLIN, NUUK, GAZA, ALL_YEAR, "LMT0:53:28"};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_int_equal(zone_from_posix(bytes_of(all[i]), &z), OK);
        for (int64_t t = 1767225600 - 86400; t < 1767225600 + 366 * 86400; t += 599) {
            struct zone_fields local = zone_local(&z, t);
            int64_t back = zone_epoch(&z, &local);
            struct zone_fields again = zone_local(&z, back);
            if (back > t || memcmp(&local, &again, sizeof local) != 0 || (back < t && t - back > 3600))
                fail_msg("%s: %lld", all[i], (long long)t);
        }
    }
}

static void a_moment_out_of_reach_is_no_harm(void **state)
{
    (void)state;
    static struct zone z;
    assert_int_equal(zone_from_posix(bytes_of(BERLIN), &z), OK);
    assert_int_equal(zone_local(&z, INT64_MAX).month, zone_local(&z, ZONE_EPOCH_MAX_S).month);
    assert_int_equal(zone_local(&z, INT64_MIN).year, zone_local(&z, -ZONE_EPOCH_MAX_S).year);
    struct zone_fields far = {.year = INT_MAX, .month = INT_MAX, .day = INT_MAX, .hour = INT_MAX};
    assert_true(zone_epoch(&z, &far) <= ZONE_EPOCH_MAX_S + 86400 * 2);
}

/* --- TZif, byte by byte --- */

/* A file as the test wants it: `times` with their types; types are {offset, is summer}. */
struct maker {
    uint8_t bytes[8192];
    size_t len;
};

static void put(struct maker *m, uint64_t value, size_t bytes)
{
    while (bytes-- > 0)
        m->bytes[m->len++] = (uint8_t)(value >> (8 * bytes));
}

struct plan {
    char version;
    uint32_t time_count, type_count, leaps;
    int64_t times[4];
    uint8_t types[4];
    int32_t offsets[2];
    const char *footer;
};

static void put_block(struct maker *m, const struct plan *p, size_t time_bytes)
{
    (void)memcpy(m->bytes + m->len, "TZif", 4);
    m->len += 4;
    put(m, (uint8_t)p->version, 1);
    put(m, 0, 15 - 7);
    put(m, 0, 7);
    const uint32_t counts[] = {0, 0, p->leaps, p->time_count, p->type_count, 4};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        put(m, counts[i], 4);
    for (uint32_t i = 0; i < p->time_count; i++)
        put(m, (uint64_t)p->times[i], time_bytes);
    for (uint32_t i = 0; i < p->time_count; i++)
        put(m, p->types[i], 1);
    for (uint32_t i = 0; i < p->type_count; i++) {
        put(m, (uint32_t)p->offsets[i], 4);
        put(m, i & 1, 1);
        put(m, 0, 1);
    }
    put(m, 0x58595a00, 4); /* "XYZ" */
    put(m, 0, p->leaps * (time_bytes + 4));
}

static struct bytes made(struct maker *m, const struct plan *p)
{
    m->len = 0;
    put_block(m, p, 4);
    if (p->version != 0)
        put_block(m, p, 8);
    if (p->footer)
        for (const char *at = p->footer; *at; at++)
            put(m, (uint8_t)*at, 1);
    return (struct bytes){m->bytes, m->len};
}

#define Y2001 978307200
#define Y2010 1262304000
#define Y2026 1767225600
#define JULY  1782864000
static const struct {
    const char *name;
    struct plan plan;
    err want;
    int64_t at_s;
    int32_t offset_s;
} files[] = {
    {"version 1, before", {0, 2, 2, 0, {Y2001, Y2010}, {1, 0}, {3600, 7200}, NULL}, OK, Y2001 - 1, 3600},
    {"version 1, at", {0, 2, 2, 0, {Y2001, Y2010}, {1, 0}, {3600, 7200}, NULL}, OK, Y2001, 7200},
    {"version 1, the last stays", {0, 2, 2, 0, {Y2001, Y2010}, {1, 0}, {3600, 7200}, NULL}, OK, Y2026, 3600},
    {"version 1, before 1970", {0, 2, 2, 0, {-1, Y2010}, {1, 0}, {3600, 7200}, NULL}, OK, Y2001, 7200},
    {"no transition", {0, 0, 1, 0, {0}, {0}, {-3600, 0}, NULL}, OK, Y2026, -3600},
    {"version 2, its rule", {'2', 1, 2, 0, {Y2001}, {1}, {0, 7200}, "\nCET-1CEST,M3.5.0,M10.5.0/3\n"}, OK, JULY, 7200},
    {"version 2, its rule in winter", {'2', 1, 2, 0, {Y2001}, {1}, {0, 7200}, "\nCET-1CEST,M3.5.0,M10.5.0/3\n"}, OK, Y2026, 3600},
    {"version 2, before the rule", {'2', 1, 2, 0, {Y2010}, {1}, {60, 7200}, "\nCET-1\n"}, OK, Y2010 - 1, 60},
    {"version 2, no rule", {'2', 1, 2, 0, {Y2001}, {1}, {0, 7200}, "\n\n"}, OK, JULY, 7200},
    {"version 2, 64 bits", {'2', 2, 2, 0, {Y2001, 9000000000}, {1, 0}, {0, 7200}, "\nABC0\n"}, OK, 8999999999, 7200},
    {"version 3", {'3', 0, 1, 0, {0}, {0}, {0, 0}, "\nEST5EDT,0/0,J365/25\n"}, OK, Y2026, -14400},
    {"version 4", {'4', 0, 1, 0, {0}, {0}, {0, 0}, "\nABC-2\n"}, OK, Y2026, 7200},
    {"version 5", {'5', 0, 1, 0, {0}, {0}, {0, 0}, "\nABC-2\n"}, E_INVALID, 0, 0},
    {"no footer", {'2', 0, 1, 0, {0}, {0}, {0, 0}, NULL}, E_INVALID, 0, 0},
    {"footer without end", {'2', 0, 1, 0, {0}, {0}, {0, 0}, "\nABC-2"}, E_INVALID, 0, 0},
    {"footer is no rule", {'2', 0, 1, 0, {0}, {0}, {0, 0}, "\nABC\n"}, E_INVALID, 0, 0},
    {"times fall", {'2', 2, 2, 0, {Y2010, Y2001}, {1, 0}, {0, 0}, "\nABC0\n"}, E_INVALID, 0, 0},
    {"times equal", {'2', 2, 2, 0, {Y2001, Y2001}, {1, 0}, {0, 0}, "\nABC0\n"}, E_INVALID, 0, 0},
    {"no such type", {'2', 1, 2, 0, {Y2001}, {2}, {0, 0}, "\nABC0\n"}, E_INVALID, 0, 0},
    {"no type at all", {0, 0, 0, 0, {0}, {0}, {0, 0}, NULL}, E_INVALID, 0, 0},
    {"offset too far east", {0, 0, 1, 0, {0}, {0}, {93600, 0}, NULL}, E_INVALID, 0, 0},
    {"offset too far west", {0, 0, 1, 0, {0}, {0}, {-90000, 0}, NULL}, E_INVALID, 0, 0},
    {"leap seconds", {0, 0, 1, 1, {0}, {0}, {0, 0}, NULL}, E_INVALID, 0, 0},
};

static void files_are_read_by_the_byte(void **state)
{
    (void)state;
    static struct zone z;
    static struct maker m;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        err e = zone_from_file(made(&m, &files[i].plan), &z);
        if (e != files[i].want || zone_offset_s(&z, files[i].at_s) != files[i].offset_s)
            fail_msg("%s: %s, %d", files[i].name, err_name(e), zone_offset_s(&z, files[i].at_s));
    }
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static struct zone z;
    static struct maker m;
    struct bytes whole = made(&m, &files[5].plan);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_equal(zone_from_file((struct bytes){whole.at, len}, &z), E_INVALID);
    assert_int_equal(zone_from_file(whole, &z), OK);
    for (size_t at = 20; at < 44; at += 4) { /* each count, as large as can be */
        (void)made(&m, &files[5].plan);
        (void)memset(m.bytes + at, 0xff, 4);
        assert_int_equal(zone_from_file(whole, &z), E_INVALID);
    }
}

static void too_many_transitions_are_refused_and_old_ones_forgotten(void **state)
{
    (void)state;
    static struct zone z;
    static struct maker m;
    for (int64_t from = 0; from <= Y2001; from += Y2001) {
        m.len = 0;
        const uint32_t counts[] = {0, 0, 0, ZONE_TRANSITIONS_MAX + 1, 1, 1};
        put(&m, 0x545a6966, 4);
        put(&m, 0, 8);
        put(&m, 0, 8);
        for (size_t i = 0; i < COUNT_OF(counts); i++)
            put(&m, counts[i], 4);
        for (uint32_t i = 0; i < counts[3]; i++)
            put(&m, (uint64_t)from + i, 4);
        put(&m, 0, 8);
        m.len += counts[3] - 8; /* types 0: the rest of the array is still zero */
        (void)memset(m.bytes + m.len - (counts[3] - 8), 0, sizeof m.bytes - m.len);
        put(&m, 3600, 4);
        put(&m, 0, 3);
        assert_int_equal(zone_from_file((struct bytes){m.bytes, m.len}, &z), from ? E_RANGE : OK);
        assert_int_equal(zone_offset_s(&z, Y2026), from ? 0 : 3600);
    }
    static uint8_t large[ZONE_FILE_BYTES_MAX + 1];
    assert_int_equal(zone_from_file((struct bytes){large, sizeof large}, &z), E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_are_those_of_the_calendar),
        cmocka_unit_test(what_is_out_of_range_is_carried),
        cmocka_unit_test(files_tell_each_change_to_the_second),
        cmocka_unit_test(strings_tell_offsets),
        cmocka_unit_test(other_strings_are_refused),
        cmocka_unit_test(names_stay_below_their_folder),
        cmocka_unit_test(local_time_becomes_a_moment),
        cmocka_unit_test(all_of_a_year_comes_back),
        cmocka_unit_test(a_moment_out_of_reach_is_no_harm),
        cmocka_unit_test(files_are_read_by_the_byte),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(too_many_transitions_are_refused_and_old_ones_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
