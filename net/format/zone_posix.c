/* zone_posix: TZ strings. POSIX.1-2017, 8.3; times of a rule from -167 to 167 hours as RFC 8536, 3.3.1 has them. */
#include "net/format/zone.h"

#define HOUR_S 3600

/* What is read; at the first thing that does not fit, ok becomes false and stays so. */
struct cursor {
    struct bytes left;
    bool ok;
};

static int peek(const struct cursor *c)
{
    return c->left.len > 0 ? c->left.at[0] : -1;
}

static void skip(struct cursor *c)
{
    c->left.at++;
    c->left.len--;
}

static bool take(struct cursor *c, char wanted)
{
    if (peek(c) != wanted)
        return false;
    skip(c);
    return true;
}

static void must(struct cursor *c, bool good)
{
    c->ok = c->ok && good;
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(int byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static int number(struct cursor *c, int digits_min, int digits_max, int low, int high)
{
    int value = 0, digits = 0;
    for (; digits < digits_max && is_digit(peek(c)); digits++) {
        value = value * 10 + (c->left.at[0] - '0');
        skip(c);
    }
    must(c, digits >= digits_min && value >= low && value <= high);
    return value;
}

/* "CET", or anything of letters, digits, + and - within < and >; three at least. Nobody needs it afterwards. */
static void abbreviation(struct cursor *c)
{
    bool quoted = take(c, '<');
    size_t len = 0;
    for (int b = peek(c); is_letter(b) || (quoted && (is_digit(b) || b == '+' || b == '-')); b = peek(c), len++)
        skip(c);
    must(c, len >= 3 && (!quoted || take(c, '>')));
}

static int32_t clock_time(struct cursor *c, int hours_max)
{
    int sign = take(c, '-') ? -1 : (take(c, '+'), 1);
    int32_t s = HOUR_S * number(c, 1, hours_max > 99 ? 3 : 2, 0, hours_max);
    if (take(c, ':')) {
        s += 60 * number(c, 2, 2, 0, 59);
        if (take(c, ':'))
            s += number(c, 2, 2, 0, 59);
    }
    return sign * s;
}

/* West is positive in the string, east in our fields. */
static int32_t offset(struct cursor *c)
{
    return -clock_time(c, 24);
}

static struct zone_rule rule(struct cursor *c)
{
    struct zone_rule r = {.kind = ZONE_DAY, .at_s = 2 * HOUR_S};
    must(c, take(c, ','));
    if (take(c, 'J')) {
        r.kind = ZONE_JULIAN;
        r.day = number(c, 1, 3, 1, 365);
    } else if (take(c, 'M')) {
        r.kind = ZONE_WEEKDAY;
        r.month = number(c, 1, 2, 1, 12);
        must(c, take(c, '.'));
        r.week = number(c, 1, 1, 1, 5);
        must(c, take(c, '.'));
        r.day = number(c, 1, 1, 0, 6);
    } else {
        r.day = number(c, 1, 3, 0, 365);
    }
    if (take(c, '/'))
        r.at_s = clock_time(c, 167);
    return r;
}

err zone_from_posix(struct bytes text, struct zone *out)
{
    struct cursor c = {text, true};
    *out = zone_utc;
    abbreviation(&c);
    out->standard_s = offset(&c);
    if (c.ok && c.left.len > 0) {
        out->has_summer = true;
        abbreviation(&c);
        out->summer_s = peek(&c) == ',' ? out->standard_s + HOUR_S : offset(&c);
        out->begin = rule(&c); /* POSIX lets it be left out, for a rule of the system's liking: we have none */
        out->end = rule(&c);
    }
    if (c.ok && c.left.len == 0)
        return OK;
    *out = zone_utc;
    return E_INVALID;
}

static bool name_part_is_plausible(struct bytes part)
{
    for (size_t i = 0; i < part.len; i++)
        if (!is_letter(part.at[i]) && !is_digit(part.at[i]) && part.at[i] != '-' && part.at[i] != '+' && part.at[i] != '_')
            return false;
    return part.len > 0 && part.at[0] != '-'; /* and none does in zoneinfo */
}

bool zone_name_is_plausible(struct bytes name)
{
    size_t begin = 0;
    if (name.len >= ZONE_NAME_MAX)
        return false;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.at[i] != '/')
            continue;
        if (!name_part_is_plausible((struct bytes){name.at + begin, i - begin}))
            return false;
        begin = i + 1;
    }
    return true;
}
