#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>

struct text text_over(char *storage, size_t cap)
{
    ASSERT(storage != NULL && cap >= 1);
    storage[0] = 0;
    return (struct text){.at = storage, .cap = cap};
}

void text_add_bytes(struct text *t, struct bytes b)
{
    size_t room = t->cap - 1 - t->len;
    size_t len = size_min(b.len, room);
    if (len > 0)
        memcpy(t->at + t->len, b.at, len);
    t->len += len;
    t->at[t->len] = 0;
    t->cut = t->cut || len < b.len;
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, bytes_of(s));
}

void text_add_u64(struct text *t, uint64_t value, unsigned digits_min)
{
    uint8_t digits[20]; /* of UINT64_MAX */
    size_t at = sizeof digits;
    ASSERT(digits_min <= sizeof digits);
    do
        digits[--at] = (uint8_t)('0' + value % 10);
    while ((value /= 10) > 0);
    while (sizeof digits - at < digits_min)
        digits[--at] = '0';
    text_add_bytes(t, (struct bytes){digits + at, sizeof digits - at});
}

void text_addv(struct text *t, const char *format, va_list arguments)
{
    size_t room = t->cap - t->len; /* with the zero */
    int wanted = vsnprintf(t->at + t->len, room, format, arguments);
    if (wanted < 0) { /* EOVERFLOW, EILSEQ: nothing usable was written */
        t->at[t->len] = 0;
        t->cut = true;
        return;
    }
    t->cut = t->cut || (size_t)wanted >= room;
    t->len += size_min((size_t)wanted, room - 1);
}

void text_addf(struct text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_addv(t, format, arguments);
    va_end(arguments);
}

struct bytes bytes_of(const char *s)
{
    return (struct bytes){.at = (const uint8_t *)s, .len = strlen(s)};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool bytes_equal_text(struct bytes a, const char *s)
{
    return bytes_equal(a, bytes_of(s));
}

static unsigned lower(unsigned c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool bytes_equal_nocase(struct bytes a, const char *s)
{
    struct bytes b = bytes_of(s);
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

bool text_to_u64(struct bytes s, uint64_t *out)
{
    uint64_t sum = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, (uint64_t)(s.at[i] - '0'), &sum))
            return false;
    }
    *out = sum;
    return true;
}

/* Gregorian date of a day counted from 1970-01-01. Years start in March here, so that the leap day is the last of its year. */
static void date_of(int64_t day, int64_t *year, unsigned *month, unsigned *day_of_month)
{
    enum { ERA_DAYS = 146097, ERA_YEARS = 400 }; /* the calendar repeats after 400 years */
    day += 719468;                               /* days from 0000-03-01 to 1970-01-01 */
    int64_t era = (day >= 0 ? day : day - (ERA_DAYS - 1)) / ERA_DAYS;
    unsigned in_era = (unsigned)(day - era * ERA_DAYS);
    unsigned years = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * years + years / 4 - years / 100);
    unsigned from_march = (5 * in_year + 2) / 153; /* 153 days in each five months */
    *day_of_month = in_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = (int64_t)years + era * ERA_YEARS + (*month <= 2 ? 1 : 0);
}

void text_rfc3339(int64_t epoch_s, char *out, size_t cap)
{
    enum { DAY_S = 86400 };
    int64_t day = epoch_s / DAY_S, second = epoch_s % DAY_S, year;
    unsigned month, day_of_month;
    if (second < 0) {
        second += DAY_S;
        day--;
    }
    date_of(day, &year, &month, &day_of_month);
    struct text t = text_over(out, cap);
    if (year < 0)
        text_add_char(&t, '-');
    text_add_u64(&t, (uint64_t)(year < 0 ? -year : year), year < 0 ? 3 : 4);
    const struct {
        char before;
        unsigned value;
    } rest[] = {{'-', month},
                {'-', day_of_month},
                {'T', (unsigned)(second / 3600)},
                {':', (unsigned)(second / 60 % 60)},
                {':', (unsigned)(second % 60)}};
    for (size_t i = 0; i < COUNT_OF(rest); i++) {
        text_add_char(&t, rest[i].before);
        text_add_u64(&t, rest[i].value, 2);
    }
    text_add_char(&t, 'Z');
}
