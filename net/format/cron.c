/* cron: five sets of numbers, and the first minute that is in all of them. */
#include "net/format/cron.h"

#include "net/format/civil.h"

#include <string.h>

#define MINUTE_S 60
#define YEAR_S   ((int64_t)366 * DAY_SECONDS)

/* --- reading --- */

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

/* In the order they are written. */
#define FIELD_TABLE(X)                                                                                                           \
    X(MINUTE, "minute", 0, 59, NULL, "numbers")                                                                                  \
    X(HOUR, "hour", 0, 23, NULL, "numbers")                                                                                      \
    X(DAY, "day of month", 1, 31, NULL, "numbers")                                                                               \
    X(MONTH, "month", 1, 12, month_names, "numbers, jan to dec")                                                                 \
    X(WEEKDAY, "day of week", 0, 7, weekday_names, "numbers (0 and 7: Sunday), sun to sat")
enum field_id {
#define X(id, name, low, high, names, allowed) FIELD_##id,
    FIELD_TABLE(X)
#undef X
        FIELD_COUNT
};
static const struct field {
    const char *name;
    unsigned low, high;
    const char *const *names; /* of low and those after it */
    const char *allowed;
} fields[] = {
#define X(id, name, low, high, names, allowed) {name, low, high, names, allowed},
    FIELD_TABLE(X)
#undef X
};

static const struct nickname {
    const char *word, *means;
} nicknames[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

static err wrong(const struct field *f, struct bytes item, struct text *why, const char *format, ...) PRINTF_LIKE(4, 5);
static err wrong(const struct field *f, struct bytes item, struct text *why, const char *format, ...)
{
    va_list arguments;
    text_addf(why, "%s \"", f->name);
    text_add_bytes(why, item);
    text_add(why, "\": ");
    va_start(arguments, format);
    text_addv(why, format, arguments);
    va_end(arguments);
    return E_INVALID;
}

/* Splits off what is before the first `by`; false when there is none: *head is all then. */
static bool cut(struct bytes all, char by, struct bytes *head, struct bytes *tail)
{
    const uint8_t *at = all.len > 0 ? memchr(all.at, by, all.len) : NULL;
    *head = (struct bytes){all.at, at ? (size_t)(at - all.at) : all.len};
    *tail = at ? (struct bytes){at + 1, all.len - head->len - 1} : (struct bytes){NULL, 0};
    return at != NULL;
}

static bool value_read(const struct field *f, struct bytes word, unsigned *out)
{
    uint64_t n = 0;
    for (unsigned i = 0; f->names && f->names[i]; i++)
        if (bytes_equal_nocase(word, f->names[i])) {
            *out = f->low + i;
            return true;
        }
    if (!text_to_u64(word, &n) || n < f->low || n > f->high)
        return false;
    *out = (unsigned)n;
    return true;
}

/* "3" is 3 to 3; "3" before a step is 3 to the field's end. sun as the end of a range is 7: fri-sun. */
static err range_read(const struct field *f, struct bytes item, struct bytes range, bool has_step, unsigned bound[2],
                      struct text *why)
{
    struct bytes first, last;
    bool is_range = cut(range, '-', &first, &last);
    if (bytes_equal_text(range, "*")) {
        bound[0] = f->low;
        bound[1] = f == &fields[FIELD_WEEKDAY] ? 6 : f->high;
        return OK;
    }
    if (!value_read(f, first, &bound[0]) || (is_range && !value_read(f, last, &bound[1])))
        return wrong(f, item, why, "write *, %u to %u, ranges 1-5, lists 1,3 or steps */2; %s", f->low, f->high, f->allowed);
    if (!is_range)
        bound[1] = !has_step ? bound[0] : f == &fields[FIELD_WEEKDAY] ? 6 : f->high;
    else if (f == &fields[FIELD_WEEKDAY] && bytes_equal_nocase(last, "sun"))
        bound[1] = 7;
    if (is_range && bound[0] > bound[1])
        return wrong(f, item, why, "the range ends before it begins; write two: %u-%u,%u-%u", bound[0], f->high, f->low,
                     bound[1]);
    return OK;
}

static err item_read(const struct field *f, struct bytes item, uint64_t *set, struct text *why)
{
    struct bytes range, step_text;
    unsigned bound[2];
    uint64_t step = 1;
    bool has_step = cut(item, '/', &range, &step_text);
    if (item.len == 0)
        return wrong(f, item, why, "a comma without a value beside it; remove it");
    TRY(range_read(f, item, range, has_step, bound, why));
    if (has_step && (!text_to_u64(step_text, &step) || step < 1 || step > f->high))
        return wrong(f, item, why, "the step behind / is a number from 1 to %u", f->high);
    for (uint64_t n = bound[0]; n <= bound[1]; n += step)
        *set |= UINT64_C(1) << n;
    return OK;
}

static err field_read(const struct field *f, struct bytes text, uint64_t *set, struct text *why)
{
    struct bytes item, rest = text;
    bool more = true;
    *set = 0;
    while (more) {
        more = cut(rest, ',', &item, &rest);
        TRY(item_read(f, item, set, why));
    }
    return OK;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* How many words there are; the first FIELD_COUNT are kept. */
static unsigned split(struct bytes text, struct bytes words[FIELD_COUNT])
{
    unsigned count = 0;
    for (size_t i = 0; i < text.len; count++) {
        while (i < text.len && is_blank(text.at[i]))
            i++;
        size_t begin = i;
        while (i < text.len && !is_blank(text.at[i]))
            i++;
        if (begin == i)
            break;
        if (count < FIELD_COUNT)
            words[count] = (struct bytes){text.at + begin, i - begin};
    }
    return count;
}

static struct bytes nickname_resolve(struct bytes text, struct bytes word)
{
    for (size_t i = 0; i < COUNT_OF(nicknames); i++)
        if (bytes_equal_nocase(word, nicknames[i].word))
            return bytes_of(nicknames[i].means);
    return text;
}

static err count_is_wrong(struct bytes first, unsigned count, struct text *why)
{
    if (count > 0 && first.at[0] == '@') {
        text_add(why, "there is no \"");
        text_add_bytes(why, first);
        text_add(why, "\"; there are");
        for (size_t i = 0; i < COUNT_OF(nicknames); i++)
            text_addf(why, " %s", nicknames[i].word);
        return E_INVALID;
    }
    text_addf(why, "%u field%s where five belong: minute, hour, day of month, month, day of week, as in \"0 2 * * *\"", count,
              count == 1 ? "" : "s");
    return E_INVALID;
}

err cron_parse(struct bytes text, struct cron *out, struct text *why)
{
    struct bytes words[FIELD_COUNT] = {{0}};
    uint64_t sets[FIELD_COUNT];
    *out = (struct cron){0};
    if (text.len >= CRON_TEXT_MAX) {
        text_addf(why, "longer than %d bytes; write ranges and steps instead of lists", CRON_TEXT_MAX - 1);
        return E_INVALID;
    }
    unsigned count = split(text, words);
    if (count == 1)
        count = split(nickname_resolve(text, words[0]), words);
    if (count != FIELD_COUNT)
        return count_is_wrong(words[0], count, why);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        TRY(field_read(&fields[i], words[i], &sets[i], why));
    *out = (struct cron){.minutes = sets[FIELD_MINUTE],
                         .hours = (uint32_t)sets[FIELD_HOUR],
                         .days = (uint32_t)sets[FIELD_DAY],
                         .months = (uint32_t)sets[FIELD_MONTH],
                         .weekdays = (uint8_t)((sets[FIELD_WEEKDAY] & 0x7f) | sets[FIELD_WEEKDAY] >> 7),
                         .any_day = words[FIELD_DAY].at[0] == '*',
                         .any_weekday = words[FIELD_WEEKDAY].at[0] == '*'};
    return OK;
}

/* --- the next moment --- */

static bool has(uint64_t set, int n)
{
    return (set >> n & 1) != 0;
}

/* The first member of the set from n on; 64: none. */
static int member_from(uint64_t set, int n)
{
    while (n < 64 && !has(set, n))
        n++;
    return n;
}

static bool day_matches(const struct cron *c, int64_t days, struct civil date)
{
    bool day = has(c->days, date.day), weekday = has(c->weekdays, civil_weekday(days));
    if (!has(c->months, date.month))
        return false;
    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* The first time of day named from `minute` (of the day) on; -1: none any more. */
static int minute_from(const struct cron *c, int minute)
{
    int hour = minute / 60, at = member_from(c->minutes, minute % 60);
    if (has(c->hours, hour) && at < 60)
        return hour * 60 + at;
    hour = member_from(c->hours, hour + 1);
    return hour < 24 ? hour * 60 + member_from(c->minutes, 0) : -1;
}

struct moment { /* by the clock of the place */
    int64_t days;
    int minute; /* of the day */
};

/* The first moment named at or after *m; false: none within the years. */
static bool moment_find(const struct cron *c, struct moment *m)
{
    int64_t end = m->days + CRON_YEARS_MAX * 366;
    for (; m->days <= end; m->days++, m->minute = 0) {
        struct civil date = civil_of(m->days);
        int found = day_matches(c, m->days, date) ? minute_from(c, m->minute) : -1;
        if (found >= 0) {
            m->minute = found;
            return true;
        }
        if (!has(c->months, date.month))
            m->days += civil_month_days(date.year, date.month) - date.day;
    }
    return false;
}

static int64_t moment_epoch(const struct zone *z, const struct moment *m)
{
    struct civil date = civil_of(m->days);
    return zone_epoch(
        z, &(struct zone_fields){
               .year = (int)date.year, .month = date.month, .day = date.day, .hour = m->minute / 60, .minute = m->minute % 60});
}

/* A clock set back shows again what has been: those moments are passed over, two days of them at most, since no offset is 26 h.
 */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_s)
{
    if (c->minutes == 0 || after_s < -ZONE_EPOCH_MAX_S || after_s > ZONE_EPOCH_MAX_S - (CRON_YEARS_MAX + 1) * YEAR_S)
        return INT64_MAX;
    int64_t clock_s = after_s + zone_offset_s(z, after_s);
    struct moment m = {floor_div(clock_s, DAY_SECONDS), (int)(floor_mod(clock_s, DAY_SECONDS) / MINUTE_S)};
    while (moment_find(c, &m)) {
        int64_t at_s = moment_epoch(z, &m);
        if (at_s > after_s)
            return at_s;
        m.minute++;
        if (m.minute == 24 * 60)
            m = (struct moment){m.days + 1, 0};
    }
    return INT64_MAX;
}
