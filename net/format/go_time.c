/* go_time: see the header. */
#include "net/format/go_time.h"

#include "net/format/civil.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* --- durations --- */
static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    /* a longer name before what it begins with */
    {"ns", 1},           {"us", 1000},     {"\xC2\xB5s", 1000}, /* micro sign */
    {"\xCE\xBCs", 1000},                                        /* Greek mu */
    {"ms", 1000000},     {"s", SECOND_NS}, {"m", 60 * SECOND_NS}, {"h", 3600 * SECOND_NS},
};

static const struct unit *unit_take(struct bytes *text)
{
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        size_t len = strlen(units[i].name);
        if (text->len < len || memcmp(text->at, units[i].name, len) != 0)
            continue;
        *text = bytes_after(*text, len);
        return &units[i];
    }
    return NULL;
}

/* Digits at the front; false: too large. */
static bool digits_take(struct bytes *text, int64_t *out)
{
    *out = 0;
    while (text->len > 0 && is_digit(text->at[0])) {
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, text->at[0] - '0', out))
            return false;
        *text = bytes_after(*text, 1);
    }
    return true;
}

/* ".5" from the front; the digits are left to be counted in a unit. */
static struct bytes fraction_take(struct bytes *text)
{
    struct bytes digits = {text->at, 0};
    if (text->len == 0 || text->at[0] != '.')
        return digits;
    *text = bytes_after(*text, 1);
    digits.at = text->at;
    for (; text->len > 0 && is_digit(text->at[0]); *text = bytes_after(*text, 1))
        digits.len++;
    return digits;
}

/* What is finer than a nanosecond is cut: each unit is exact down to there. */
static int64_t fraction_ns(struct bytes digits, int64_t unit_ns)
{
    int64_t ns = 0;
    for (size_t i = 0; i < digits.len && unit_ns > 0; i++, unit_ns /= 10)
        ns += (digits.at[i] - '0') * unit_ns / 10;
    return ns;
}

/* "1.5h" from the front, added to *ns. */
static bool part_take(struct bytes *text, int64_t *ns)
{
    size_t before = text->len;
    int64_t whole, product;
    if (!digits_take(text, &whole))
        return false;
    size_t digits = before - text->len;
    struct bytes fraction = fraction_take(text);
    const struct unit *u = digits + fraction.len > 0 ? unit_take(text) : NULL;
    if (!u || __builtin_mul_overflow(whole, u->ns, &product) || __builtin_add_overflow(*ns, product, ns))
        return false;
    return !__builtin_add_overflow(*ns, fraction_ns(fraction, u->ns), ns);
}

bool go_duration_read(struct bytes text, int64_t *ns)
{
    bool minus = text.len > 0 && text.at[0] == '-';
    int64_t sum = 0;
    if (text.len > 0 && (minus || text.at[0] == '+'))
        text = bytes_after(text, 1);
    if (text.len == 0)
        return false;
    if (bytes_equal_text(text, "0"))
        text.len = 0;
    while (text.len > 0)
        if (!part_take(&text, &sum))
            return false;
    *ns = minus ? -sum : sum;
    return true;
}

/* 1500000 -> "1.5", with the point behind so many digits. */
static void decimal_add(struct text *t, uint64_t value, unsigned places)
{
    char parts[24] = "";
    uint64_t one = 1;
    for (unsigned i = 0; i < places; i++)
        one *= 10;
    text_addf(t, "%" PRIu64, value / one);
    if (value % one == 0)
        return;
    (void)snprintf(parts, sizeof parts, "%0*" PRIu64, (int)places, value % one);
    for (size_t len = strlen(parts); parts[len - 1] == '0'; len--)
        parts[len - 1] = 0;
    text_addf(t, ".%s", parts);
}

void go_duration_write(int64_t ns, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, second = (uint64_t)SECOND_NS;
    text_add(&t, ns < 0 ? "-" : "");
    if (left < second) {
        static const char *const names[] = {"ns", "\xC2\xB5s", "ms"};
        unsigned thousands = left < 1000 ? 0 : left < 1000000 ? 1 : 2;
        decimal_add(&t, left, 3 * thousands);
        text_add(&t, left == 0 ? "s" : names[thousands]);
        return;
    }
    if (left >= 3600 * second)
        text_addf(&t, "%" PRIu64 "h", left / (3600 * second));
    if (left >= 60 * second)
        text_addf(&t, "%" PRIu64 "m", left / (60 * second) % 60);
    decimal_add(&t, left % (60 * second), 9);
    text_add(&t, "s");
}
