/* Fuzzes schedules and places; the first byte chooses what the rest is: a cron text, a TZ string, a zoneinfo file or a zone's
 * name. What parses must give a next moment that is later, that is the same again, and that nothing lies before; a zone's clock
 * must lead back to a moment that shows the same, or, of a skipped time, to the first after it. */
#include "net/format/cron.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define BEGIN_S INT64_C(1767225600) /* 2026-01-01 */

static void check_next(const struct cron *c, const struct zone *z, int64_t after_s)
{
    for (int i = 0; i < 8 && after_s != INT64_MAX; i++) {
        int64_t next = cron_next(c, z, after_s);
        ASSERT(next > after_s);
        ASSERT(next == INT64_MAX || cron_next(c, z, next - 1) == next);
        ASSERT(next - after_s < 2 || next == INT64_MAX || cron_next(c, z, after_s + (next - after_s) / 2) == next);
        after_s = next;
    }
}

static void check_moment(const struct zone *z, int64_t at_s)
{
    struct zone_fields local = zone_local(z, at_s);
    ASSERT(local.month >= 1 && local.month <= 12 && local.day >= 1 && local.day <= 31 && local.hour < 24 && local.weekday < 7);
    int64_t back = zone_epoch(z, &local);
    struct zone_fields again = zone_local(z, back);
    ASSERT(back <= at_s && at_s - back < (int64_t)53 * 3600);
    ASSERT(zone_epoch(z, &again) == back);
}

static void check_zone(const struct zone *z)
{
    struct cron often = {.minutes = 1, .hours = 0xffffff, .days = UINT32_MAX, .months = UINT32_MAX, .weekdays = 0x7f};
    often.any_day = often.any_weekday = true;
    ASSERT(z->transition_count <= ZONE_TRANSITIONS_MAX);
    for (int i = 0; i < 24; i++)
        check_moment(z, BEGIN_S + (int64_t)i * 1314871);
    for (unsigned i = 0; i < z->transition_count; i += 16)
        if (z->transitions[i].at_s < ZONE_EPOCH_MAX_S)
            check_moment(z, z->transitions[i].at_s);
    check_next(&often, z, BEGIN_S);
    check_moment(z, ZONE_EPOCH_MAX_S / 2);
}

static void fuzz_text(struct bytes in)
{
    static struct zone berlin;
    char storage[256];
    struct text why = text_over(storage, sizeof storage);
    struct cron c;
    err e = cron_parse(in, &c, &why);
    ASSERT((e == OK) == (why.len == 0) && (e == OK || e == E_INVALID));
    if (e != OK)
        return;
    ASSERT(zone_from_posix(bytes_of("CET-1CEST,M3.5.0,M10.5.0/3"), &berlin) == OK);
    check_next(&c, &zone_utc, BEGIN_S);
    check_next(&c, &berlin, BEGIN_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct zone z;
    if (size == 0)
        return 0;
    struct bytes in = {data + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        fuzz_text(in);
        return 0;
    case 1:
        if (zone_from_posix(in, &z) == OK)
            check_zone(&z);
        return 0;
    case 2:
        if (zone_from_file(in, &z) == OK)
            check_zone(&z);
        return 0;
    default:
        if (zone_name_is_plausible(in))
            ASSERT(in.len > 0 && in.at[0] != '/' && !memchr(in.at, '.', in.len) && !memchr(in.at, 0, in.len));
        return 0;
    }
}
