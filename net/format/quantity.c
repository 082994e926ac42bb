/* quantity: rules and names as in apimachinery 0.36, pkg/api/resource. */
#include "net/format/quantity.h"

#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

#define NANO_DIGITS 9  /* nothing finer is kept */
#define FAST_DIGITS 18 /* with at most so many, and no finer than nano, a canonical text stays as it is */
#define BILLION     1000000000u

enum family { DECIMAL, EXPONENT, BINARY };

/* sign, digits before and after the point, suffix */
struct parts {
    bool negative;
    struct bytes whole, fraction; /* whole without leading zeros */
    enum family family;
    int exponent; /* of 10; BINARY: of 2 */
};

static const struct suffix {
    const char *text;
    enum family family;
    int exponent;
} suffixes[] = {
    {"n", DECIMAL, -9}, {"u", DECIMAL, -6}, {"m", DECIMAL, -3}, {"", DECIMAL, 0},   {"k", DECIMAL, 3},  {"M", DECIMAL, 6},
    {"G", DECIMAL, 9},  {"T", DECIMAL, 12}, {"P", DECIMAL, 15}, {"E", DECIMAL, 18}, {"Ki", BINARY, 10}, {"Mi", BINARY, 20},
    {"Gi", BINARY, 30}, {"Ti", BINARY, 40}, {"Pi", BINARY, 50}, {"Ei", BINARY, 60},
};

static struct bytes digits_of(struct bytes *in)
{
    struct bytes digits = {in->at, 0};
    while (digits.len < in->len && in->at[digits.len] >= '0' && in->at[digits.len] <= '9')
        digits.len++;
    *in = bytes_after(*in, digits.len);
    return digits;
}

/* "e6", "E-3" */
static bool exponent_read(struct bytes in, struct parts *p)
{
    uint64_t value = 0;
    if (in.len < 2 || (in.at[0] != 'e' && in.at[0] != 'E'))
        return false;
    bool negative = in.at[1] == '-';
    in = bytes_after(in, in.at[1] == '-' || in.at[1] == '+' ? 2 : 1);
    if (in.len > 4 || !text_to_u64(in, &value))
        return false;
    p->family = EXPONENT;
    p->exponent = negative ? -(int)value : (int)value;
    return true;
}

static bool suffix_read(struct bytes in, struct parts *p)
{
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (!bytes_equal_text(in, suffixes[i].text))
            continue;
        p->family = suffixes[i].family;
        p->exponent = suffixes[i].exponent;
        return true;
    }
    return exponent_read(in, p);
}

static bool parts_read(struct bytes in, struct parts *p)
{
    *p = (struct parts){0};
    if (in.len == 0 || in.len > QUANTITY_BYTES_MAX)
        return false;
    p->negative = in.at[0] == '-';
    in = bytes_after(in, in.at[0] == '-' || in.at[0] == '+' ? 1 : 0);
    struct bytes all = digits_of(&in);
    p->whole = all;
    while (p->whole.len > 0 && p->whole.at[0] == '0')
        p->whole = bytes_after(p->whole, 1);
    if (in.len > 0 && in.at[0] == '.') {
        in = bytes_after(in, 1);
        p->fraction = digits_of(&in);
    }
    return all.len + p->fraction.len > 0 && suffix_read(in, p);
}

/* --- decimal: digits and a power of ten --- */

struct decimal {
    char digits[QUANTITY_BYTES_MAX + 4]; /* text, without leading zeros */
    size_t len;
    int scale;
};

static bool ends_in(const struct decimal *d, const char *text)
{
    size_t len = strlen(text);
    return d->len >= len && memcmp(d->digits + d->len - len, text, len) == 0;
}

static void decimal_append(struct decimal *d, struct bytes digits)
{
    for (size_t i = 0; i < digits.len; i++)
        if (d->len > 0 || digits.at[i] != '0')
            d->digits[d->len++] = (char)digits.at[i];
}

/* Away from zero, to nano. */
static void decimal_round(struct decimal *d)
{
    bool up = false;
    for (; d->scale < -NANO_DIGITS && d->len > 0; d->scale++)
        up = d->digits[--d->len] != '0' || up;
    d->scale = d->scale < -NANO_DIGITS ? -NANO_DIGITS : d->scale;
    if (!up)
        return;
    size_t nines = d->len;
    while (nines > 0 && d->digits[nines - 1] == '9')
        d->digits[--nines] = '0';
    if (nines > 0) {
        d->digits[nines - 1]++;
        return;
    }
    memmove(d->digits + 1, d->digits, d->len++);
    d->digits[0] = '1';
}

static void decimal_write(struct decimal *d, bool negative, enum family family, struct text *out)
{
    decimal_round(d);
    if (d->len == 0) {
        text_add(out, "0");
        return;
    }
    for (; ends_in(d, "0"); d->scale++)
        d->len--;
    for (; d->scale % 3 != 0; d->scale--)
        d->digits[d->len++] = '0';
    text_addf(out, "%s%.*s", negative ? "-" : "", (int)d->len, d->digits);
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (family != DECIMAL || suffixes[i].family != DECIMAL || suffixes[i].exponent != d->scale)
            continue;
        text_add(out, suffixes[i].text);
        return;
    }
    if (d->scale != 0)
        text_addf(out, "e%d", d->scale);
}

/* Is it left as it was written? */
static bool decimal_is_kept(const struct parts *p, const struct decimal *d)
{
    return p->whole.len + p->fraction.len <= FAST_DIGITS && p->whole.len > 0 && d->scale >= -NANO_DIGITS && d->scale % 3 == 0 &&
           !ends_in(d, "000");
}

/* --- binary: billionths --- */

static wide wide_of(struct bytes digits)
{
    wide value = 0;
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (unsigned)(digits.at[i] - '0');
    return value;
}

static bool nano_of(const struct parts *p, wide *out)
{
    static const wide value_max = INT64_MAX;
    wide scale = 1;
    if (p->fraction.len > FAST_DIGITS)
        return false;
    for (size_t i = 0; i < p->fraction.len; i++)
        scale *= 10;
    wide whole = p->whole.len > 19 ? value_max + 1 : wide_of(p->whole);
    if (whole > value_max >> p->exponent) {
        *out = value_max * BILLION;
        return true;
    }
    wide fraction = wide_of(p->fraction) << p->exponent;
    *out = (whole << p->exponent) * BILLION + fraction / scale * BILLION + (fraction % scale * BILLION + scale - 1) / scale;
    *out = *out > value_max * BILLION ? value_max * BILLION : *out;
    return true;
}

static bool binary_is_kept(const struct parts *p)
{
    int room = 15 - (int)p->whole.len - p->exponent * 3 / 10 - 1; /* digits; beyond them it goes the long way */
    return p->fraction.len == 0 && room >= 0 && (wide_of(p->whole) & 7) != 0;
}

static bool binary_write(const struct parts *p, struct text *out)
{
    wide nano;
    if (!nano_of(p, &nano))
        return false;
    char digits[40];
    uint64_t whole = (uint64_t)(nano / BILLION);
    unsigned rest = (unsigned)(nano % BILLION), power = 0;
    if (whole < 1024 || rest != 0) { /* as a decimal one, so that nothing is lost */
        struct decimal d = {.scale = -NANO_DIGITS};
        (void)snprintf(digits, sizeof digits, "%llu%09u", (unsigned long long)whole, rest);
        decimal_append(&d, bytes_of(digits));
        decimal_write(&d, p->negative, DECIMAL, out);
        return true;
    }
    for (; whole % 1024 == 0; power++)
        whole /= 1024;
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    text_addf(out, "%s%llu%s", p->negative ? "-" : "", (unsigned long long)whole, names[power]);
    return true;
}

static bool canonical(struct bytes in, struct text *out)
{
    struct parts p;
    if (!parts_read(in, &p))
        return false;
    struct decimal d = {.scale = p.exponent - (int)p.fraction.len};
    decimal_append(&d, p.whole);
    decimal_append(&d, p.fraction);
    if (p.family == BINARY ? binary_is_kept(&p) : decimal_is_kept(&p, &d))
        text_add_bytes(out, in);
    else if (p.family == BINARY)
        return binary_write(&p, out);
    else
        decimal_write(&d, p.negative, p.family, out);
    return true;
}

bool quantity_canonical(struct bytes in, char out[QUANTITY_TEXT_MAX])
{
    struct text t = text_over(out, QUANTITY_TEXT_MAX);
    while (in.len > 0 && in.at[0] == ' ')
        in = bytes_after(in, 1);
    while (in.len > 0 && in.at[in.len - 1] == ' ')
        in.len--;
    return canonical(in, &t) && !t.cut;
}
