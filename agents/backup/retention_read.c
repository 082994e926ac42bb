/* retention_read: lines of `backup retention --stdin` and the text of --keep. */
#include "agents/backup/retention.h"

#include "net/format/civil.h"

#include <string.h>

#define EPOCH_LATEST_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static const char no_time[] =
    "no time: epoch seconds, RFC 3339 or etcd-snapshot-YYYYMMDD-HHMMSS[-HUBID8].db[.zst][.age] belong here";
static const char no_such_time[] = "that date or time of day does not exist";
static const char out_of_range[] = "beyond the year 9999: epoch seconds belong here, not milliseconds";
static const char no_state[] = "behind the TAB belongs verified, unverified or bad";

static bool no(const char **why, const char *words)
{
    *why = words;
    return false;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Does the text have this shape? 9 stands for a digit, T for t, T or a blank, all else for itself. *rest is what follows. */
static bool has_shape(struct bytes text, const char *shape, struct bytes *rest)
{
    size_t len = strlen(shape);
    if (text.len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = text.at[i];
        if (shape[i] == '9'   ? !is_digit(byte)
            : shape[i] == 'T' ? byte != 'T' && byte != 't' && byte != ' '
                              : byte != (uint8_t)shape[i])
            return false;
    }
    *rest = (struct bytes){text.at + len, text.len - len};
    return true;
}

static int number(const uint8_t *at, size_t digits)
{
    int n = 0;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (at[i] - '0');
    return n;
}

struct clock {
    int year, month, day, hour, minute, second;
};

/* Of a place `offset_s` east of UTC. The leap second 23:59:60 UTC is the first of the next day: epoch seconds have no other. */
static bool clock_epoch(const struct clock *c, int64_t offset_s, int64_t *at_s)
{
    bool leap = c->second == 60;
    if (!civil_is_valid(c->year, c->month, c->day, c->hour, c->minute, leap ? 59 : c->second))
        return false;
    *at_s = civil_days(c->year, c->month, c->day) * DAY_SECONDS + c->hour * 3600 + c->minute * 60 + c->second - offset_s;
    return !leap || floor_mod(*at_s, DAY_SECONDS) == 0;
}

/* "Z" or "+01:30", and nothing behind it. */
static bool offset_read(struct bytes text, int64_t *offset_s)
{
    struct bytes rest;
    *offset_s = 0;
    if (text.len == 1 && (text.at[0] == 'Z' || text.at[0] == 'z'))
        return true;
    if ((!has_shape(text, "+99:99", &rest) && !has_shape(text, "-99:99", &rest)) || rest.len != 0)
        return false;
    int hours = number(text.at + 1, 2), minutes = number(text.at + 4, 2);
    *offset_s = (text.at[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return hours <= 23 && minutes <= 59;
}

static void fraction_skip(struct bytes *text)
{
    size_t digits = 0;
    if (text->len < 2 || text->at[0] != '.')
        return;
    while (digits + 1 < text->len && is_digit(text->at[digits + 1]))
        digits++;
    if (digits > 0)
        *text = (struct bytes){text->at + digits + 1, text->len - digits - 1};
}

/* RFC 3339, 5.6 */
static bool rfc3339_read(struct bytes text, int64_t *at_s, const char **why)
{
    struct bytes rest;
    int64_t offset_s;
    if (!has_shape(text, "9999-99-99T99:99:99", &rest))
        return no(why, no_time);
    const uint8_t *d = text.at;
    struct clock c = {number(d, 4), number(d + 5, 2), number(d + 8, 2), number(d + 11, 2), number(d + 14, 2), number(d + 17, 2)};
    fraction_skip(&rest);
    if (!offset_read(rest, &offset_s))
        return no(why, no_time);
    return clock_epoch(&c, offset_s, at_s) || no(why, no_such_time);
}

static bool is_suffix(struct bytes text)
{
    static const char *const all[] = {".db", ".db.zst", ".db.age", ".db.zst.age"};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (bytes_equal_text(text, all[i]))
            return true;
    return false;
}

/* "-0123abcd": of several hubs that write into one place, the one whose it is. */
static struct bytes hub_skip(struct bytes text)
{
    size_t len = 0;
    if (text.len < 9 || text.at[0] != '-')
        return text;
    while (len < 8 && (is_digit(text.at[len + 1]) || (text.at[len + 1] >= 'a' && text.at[len + 1] <= 'f')))
        len++;
    return len == 8 ? (struct bytes){text.at + 9, text.len - 9} : text;
}

#define PREFIX "etcd-snapshot-"
static bool name_read(struct bytes text, int64_t *at_s, const char **why)
{
    struct bytes rest;
    if (!has_shape(text, PREFIX "99999999-999999", &rest) || !is_suffix(hub_skip(rest)))
        return no(why, no_time);
    const uint8_t *d = text.at + strlen(PREFIX);
    struct clock c = {number(d, 4), number(d + 4, 2), number(d + 6, 2), number(d + 9, 2), number(d + 11, 2), number(d + 13, 2)};
    return (c.second < 60 && clock_epoch(&c, 0, at_s)) || no(why, no_such_time);
}

static bool is_number(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_digit(text.at[i]))
            return false;
    return text.len > 0;
}

bool retention_read_time(struct bytes text, int64_t *at_s, const char **why)
{
    uint64_t n;
    if (!is_number(text))
        return rfc3339_read(text, at_s, why);
    if (!text_to_u64(text, &n) || n > (uint64_t)EPOCH_LATEST_S)
        return no(why, out_of_range);
    *at_s = (int64_t)n;
    return true;
}

static bool state_read(struct bytes text, uint8_t *state)
{
    static const char *const names[] = {[BACKUP_VERIFIED] = "verified", [BACKUP_UNVERIFIED] = "unverified", [BACKUP_BAD] = "bad"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (bytes_equal_text(text, names[i])) {
            *state = (uint8_t)i;
            return true;
        }
    return false;
}

bool retention_read_line(struct bytes line, struct retention_item *out, const char **why)
{
    const uint8_t *tab = line.len > 0 ? memchr(line.at, '\t', line.len) : NULL;
    struct bytes time = {line.at, tab ? (size_t)(tab - line.at) : line.len}, rest;
    *out = (struct retention_item){.state = BACKUP_VERIFIED};
    bool is_name = has_shape(time, "e", &rest);
    if (!(is_name ? name_read : retention_read_time)(time, &out->at_s, why))
        return false;
    return !tab || state_read((struct bytes){tab + 1, line.len - time.len - 1}, &out->state) || no(why, no_state);
}

/* --- --keep --- */

static err wrong(struct text *why, const char *what, struct bytes item)
{
    text_addf(why, "%s \"", what);
    text_add_bytes(why, item);
    text_add(why, "\": write rules as in daily=7,weekly=4,monthly=12; there are");
    for (enum retention_rule r = 0; r < RETENTION_RULE_COUNT; r++)
        text_addf(why, " %s", retention_rule_name(r));
    text_addf(why, "; each keeps 0 to %d", CONFIG_RETENTION_MAX);
    return E_USAGE;
}

static enum retention_rule rule_find(struct bytes name)
{
    enum retention_rule r = 0;
    while (r < RETENTION_RULE_COUNT && !bytes_equal_text(name, retention_rule_name(r)))
        r++;
    return r;
}

static err rule_read(struct bytes item, unsigned keep[RETENTION_RULE_COUNT], unsigned *given, struct text *why)
{
    const uint8_t *equals = item.len > 0 ? memchr(item.at, '=', item.len) : NULL;
    uint64_t n;
    if (!equals)
        return wrong(why, "no number in", item);
    size_t len = (size_t)(equals - item.at);
    enum retention_rule r = rule_find((struct bytes){item.at, len});
    if (r == RETENTION_RULE_COUNT)
        return wrong(why, "no such rule in", item);
    if ((*given >> r & 1) != 0)
        return wrong(why, "a second time", item);
    if (!text_to_u64((struct bytes){equals + 1, item.len - len - 1}, &n) || n > CONFIG_RETENTION_MAX)
        return wrong(why, "no such number in", item);
    *given |= 1u << r;
    keep[r] = (unsigned)n;
    return OK;
}

err retention_parse(struct bytes text, unsigned keep[RETENTION_RULE_COUNT], struct text *why)
{
    unsigned given = 0, any = 0;
    (void)memset(keep, 0, RETENTION_RULE_COUNT * sizeof keep[0]);
    for (size_t begin = 0, at = 0; at <= text.len; at++) {
        if (at < text.len && text.at[at] != ',')
            continue;
        TRY(rule_read((struct bytes){text.at + begin, at - begin}, keep, &given, why));
        begin = at + 1;
    }
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        any |= keep[r];
    return any ? OK : wrong(why, "nothing would be kept by", text);
}
