/* zone: what the clock of a place shows. Local time as a function of time rises by a second a second and jumps at changes; both
 * directions are told from the offset at a moment and from the moment of the next change. */
#include "net/format/zone.h"

#include "net/format/civil.h"

#define HOUR_S       3600
#define OFFSET_ANY_S (26 * HOUR_S) /* no offset is as large: 24:59:59 and an hour of summer time */

const struct zone zone_utc = {0};

static int64_t clamp(int64_t epoch_s)
{
    return epoch_s > ZONE_EPOCH_MAX_S ? ZONE_EPOCH_MAX_S : epoch_s < -ZONE_EPOCH_MAX_S ? -ZONE_EPOCH_MAX_S : epoch_s;
}

/* --- the rule --- */

static int64_t weekday_days(const struct zone_rule *r, int64_t year)
{
    int64_t first = civil_days(year, r->month, 1);
    int64_t day = floor_mod(r->day - civil_weekday(first), 7) + (int64_t)(r->week - 1) * 7;
    return first + (day < civil_month_days(year, r->month) ? day : day - 7); /* week 5 is the last one */
}

static int64_t rule_days(const struct zone_rule *r, int64_t year)
{
    switch (r->kind) {
    case ZONE_JULIAN: /* February 29 is not counted: day 60 is March 1 in all years */
        return civil_days(year, 1, r->day) + (r->day >= 60 && civil_month_days(year, 2) == 29);
    case ZONE_DAY:
        return civil_days(year, 1, 1) + r->day;
    case ZONE_WEEKDAY:
    default:
        return weekday_days(r, year);
    }
}

struct change {
    int64_t at_s;
    bool summer;
};

/* Two changes a year, from two years before to two after that of the moment: a rule's hours may lead a week into another year,
 * and then the change that counts is of the year beyond. */
#define RULE_YEARS_BEFORE 2
#define RULE_CHANGES      10
static void rule_changes(const struct zone *z, int64_t epoch_s, struct change out[RULE_CHANGES])
{
    int64_t year = civil_of(floor_div(epoch_s, DAY_SECONDS)).year;
    for (int i = 0; i < RULE_CHANGES / 2; i++) {
        int64_t end_s = rule_days(&z->end, year - RULE_YEARS_BEFORE + i) * DAY_SECONDS + z->end.at_s - z->summer_s;
        int64_t begin_s = rule_days(&z->begin, year - RULE_YEARS_BEFORE + i) * DAY_SECONDS + z->begin.at_s - z->standard_s;
        out[2 * i] = (struct change){end_s, false};
        out[2 * i + 1] = (struct change){begin_s, true};
    }
}

/* Summer time that ends when the next one begins lasts (RFC 8536, 3.3.1: all year). */
static bool is_later(struct change a, struct change b)
{
    return a.at_s > b.at_s || (a.at_s == b.at_s && a.summer);
}

static int32_t rule_offset_s(const struct zone *z, int64_t epoch_s)
{
    if (!z->has_summer)
        return z->standard_s;
    struct change all[RULE_CHANGES], last = {INT64_MIN, false};
    rule_changes(z, epoch_s, all);
    for (int i = 0; i < RULE_CHANGES; i++)
        if (all[i].at_s <= epoch_s && is_later(all[i], last))
            last = all[i];
    return last.summer ? z->summer_s : z->standard_s;
}

static int64_t rule_next_s(const struct zone *z, int64_t epoch_s)
{
    int64_t next = INT64_MAX;
    if (!z->has_summer)
        return next;
    struct change all[RULE_CHANGES];
    rule_changes(z, epoch_s, all);
    for (int i = 0; i < RULE_CHANGES; i++)
        if (all[i].at_s > epoch_s && all[i].at_s < next)
            next = all[i].at_s;
    return next;
}

/* --- the table, then the rule --- */

/* How many transitions have happened. */
static unsigned passed(const struct zone *z, int64_t epoch_s)
{
    unsigned low = 0, high = z->transition_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (z->transitions[middle].at_s <= epoch_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset_s(const struct zone *z, int64_t epoch_s)
{
    int64_t t = clamp(epoch_s);
    unsigned n = passed(z, t);
    if (n == z->transition_count)
        return rule_offset_s(z, t);
    return n == 0 ? z->first_s : z->transitions[n - 1].offset_s;
}

/* The first change after the moment, perhaps one that changes nothing. */
static int64_t next_change_s(const struct zone *z, int64_t epoch_s)
{
    unsigned n = passed(z, epoch_s);
    return n == z->transition_count ? rule_next_s(z, epoch_s) : z->transitions[n].at_s;
}

struct zone_fields zone_local(const struct zone *z, int64_t epoch_s)
{
    int64_t local_s = clamp(epoch_s) + zone_offset_s(z, epoch_s), days = floor_div(local_s, DAY_SECONDS);
    int second = (int)floor_mod(local_s, DAY_SECONDS);
    struct civil date = civil_of(days);
    return (struct zone_fields){.year = (int)date.year,
                                .month = date.month,
                                .day = date.day,
                                .hour = second / HOUR_S,
                                .minute = second / 60 % 60,
                                .second = second % 60,
                                .weekday = civil_weekday(days)};
}

/* The first moment at which the clock shows this time or a later one: of a doubled hour the first, of a skipped one its end. */
int64_t zone_epoch(const struct zone *z, const struct zone_fields *local)
{
    int64_t clock_s = clamp(civil_days(local->year, local->month, local->day) * DAY_SECONDS + (int64_t)local->hour * HOUR_S +
                            (int64_t)local->minute * 60 + local->second);
    for (int64_t from = clock_s - OFFSET_ANY_S;;) {
        int64_t at = clock_s - zone_offset_s(z, from), change = next_change_s(z, from);
        if (at < change)
            return at > from ? at : from;
        from = change;
    }
}
