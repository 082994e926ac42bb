#include "config/value.h"

#include "board/rt/utf8.h"
#include "config/suggest.h"

#include <string.h>

/*        text, worth in the field's unit; from large to small */
struct unit {
    const char *text;
    int64_t worth;
};
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {{"TiB", (int64_t)1 << 40},
                                         {"GiB", (int64_t)1 << 30},
                                         {"MiB", (int64_t)1 << 20},
                                         {"KiB", (int64_t)1 << 10},
                                         {"TB", 1000000000000},
                                         {"GB", 1000000000},
                                         {"MB", 1000000},
                                         {"kB", 1000},
                                         {"KB", 1000},
                                         {"B", 1}};
#define BINARY_UNITS 4 /* the first of size_units: what sizes are printed in */

/* --- numbers with units --- */
static size_t digits_at(struct bytes s, size_t from)
{
    size_t end = from;
    while (end < s.len && s.at[end] >= '0' && s.at[end] <= '9')
        end++;
    return end - from;
}

static size_t letters_at(struct bytes s, size_t from)
{
    size_t end = from;
    while (end < s.len && ((s.at[end] | 0x20) >= 'a' && (s.at[end] | 0x20) <= 'z'))
        end++;
    return end - from;
}

static const struct unit *unit_find(const struct unit *units, size_t count, struct bytes text)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal_text(text, units[i].text))
            return &units[i];
    return NULL;
}

/* What does not fit 63 bits is the largest number: any bound refuses it. False: not digits and a unit. */
static bool quantity_take(const struct unit *units, size_t count, struct bytes s, size_t *at, const struct unit **unit,
                          int64_t *out)
{
    size_t digits = digits_at(s, *at), letters = letters_at(s, *at + digits);
    uint64_t number = 0;
    *unit = unit_find(units, count, (struct bytes){s.at + *at + digits, letters});
    if (digits == 0 || !*unit)
        return false;
    if (!text_to_u64((struct bytes){s.at + *at, digits}, &number) || __builtin_mul_overflow(number, (*unit)->worth, out))
        *out = INT64_MAX;
    *at += digits + letters;
    return true;
}

static bool duration_parse(struct bytes s, int64_t *out)
{
    const struct unit *unit, *next = duration_units;
    int64_t part;
    *out = 0;
    for (size_t at = 0; at < s.len; next = unit + 1) {
        if (!quantity_take(duration_units, COUNT_OF(duration_units), s, &at, &unit, &part) || unit < next)
            return false; /* each unit once, large ones first */
        if (__builtin_add_overflow(*out, part, out))
            *out = INT64_MAX;
    }
    return s.len > 0;
}

static bool integer_parse(struct bytes s, int64_t *out)
{
    bool negative = s.len > 0 && s.at[0] == '-';
    struct bytes digits = {s.at + (negative ? 1 : 0), s.len - (negative ? 1 : 0)};
    uint64_t number = 0;
    if (digits.len == 0 || digits_at(digits, 0) != digits.len || (digits.len > 1 && digits.at[0] == '0'))
        return false; /* 010 is eight to some readers of YAML, ten to others */
    if (!text_to_u64(digits, &number) || number > INT64_MAX)
        number = INT64_MAX;
    *out = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool size_parse(struct bytes s, int64_t *out)
{
    const struct unit *unit;
    size_t at = 0;
    if (digits_at(s, 0) == s.len)
        return integer_parse(s, out);
    return quantity_take(size_units, COUNT_OF(size_units), s, &at, &unit, out) && at == s.len;
}

static void duration_print(int64_t value, struct text *out)
{
    for (size_t i = 0; i < COUNT_OF(duration_units); i++) {
        if (value / duration_units[i].worth > 0)
            text_addf(out, "%lld%s", (long long)(value / duration_units[i].worth), duration_units[i].text);
        value %= duration_units[i].worth;
    }
}

void value_print_number(enum config_type t, int64_t value, struct text *out)
{
    if (t == CONFIG_DURATION && value > 0) {
        duration_print(value, out);
        return;
    }
    for (size_t i = 0; t == CONFIG_SIZE && value > 0 && i < BINARY_UNITS; i++)
        if (value % size_units[i].worth == 0) {
            text_addf(out, "%lld%s", (long long)(value / size_units[i].worth), size_units[i].text);
            return;
        }
    text_addf(out, "%lld%s", (long long)value, t == CONFIG_DURATION ? "s" : "");
}

/* --- saying what is wrong --- */
#define ECHO_MAX 48 /* bytes of a wrong value that are shown */

/* What YAML, a terminal or a log would not give back as it is: C0 and C1 controls, byte order marks, Unicode's line ends. */
static bool is_plain_char(struct bytes s, size_t length)
{
    static const char *const odd[] = {"\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF", "\xEF\xBF\xBE", "\xEF\xBF\xBF"};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        if (length == 3 && memcmp(s.at, odd[i], 3) == 0)
            return false;
    if (length == 2)
        return s.at[0] != 0xC2 || s.at[1] >= 0xA0;
    return length > 1 || (length == 1 && s.at[0] >= 0x20 && s.at[0] != 0x7F);
}

static bool is_plain_text(struct bytes s)
{
    size_t length = 0;
    for (size_t i = 0; i < s.len; i += length) {
        struct bytes rest = {s.at + i, s.len - i};
        length = utf8_char(rest);
        if (!is_plain_char(rest, length))
            return false;
    }
    return true;
}

static bool wrong(struct text *what, struct bytes value, const char *words, const char *how)
{
    struct bytes shown = {value.at, utf8_cut(value, ECHO_MAX)};
    bool password = value.len > 0 && memchr(value.at, '@', value.len); /* https://user:password@host */
    if (value.len > 0 && !password && is_plain_text(shown)) {
        text_add(what, "\"");
        text_add_bytes(what, shown);
        text_add(what, shown.len < value.len ? "...\" " : "\" ");
    }
    text_add(what, words);
    text_add(what, how ? "; " : "");
    text_add(what, how ? how : "");
    return false;
}

static bool wrong_type(const struct config_row *r, struct text *what, struct bytes value)
{
    char words[64];
    struct text t = text_over(words, sizeof words);
    text_addf(&t, "is not %s", config_type_name(r->type));
    return wrong(what, value, words, config_type_how(r->type));
}

static bool in_bounds(const struct config_row *r, int64_t value, struct bytes text, struct text *what)
{
    if (r->least == 0 && r->most == 0)
        return true;
    if (value >= r->least && value <= r->most)
        return true;
    bool less = value < r->least;
    (void)wrong(what, text, less ? "is less than " : "is more than ", NULL);
    value_print_number(r->type, less ? r->least : r->most, what);
    text_add(what, "; write ");
    value_print_number(r->type, less ? r->least : r->most, what);
    if (r->least < r->most)
        text_add(what, less ? " or more" : " or less");
    return false;
}

/* --- setting --- */
static bool set_number(const struct config_row *r, void *field, struct bytes text, bool plain, struct text *what)
{
    int64_t value = 0;
    bool good = r->type == CONFIG_DURATION ? duration_parse(text, &value)
                : r->type == CONFIG_SIZE   ? size_parse(text, &value)
                                           : plain && integer_parse(text, &value);
    if (!good && r->type == CONFIG_DURATION && text.len > 0 && digits_at(text, 0) == text.len)
        return wrong(what, text, "has no unit", config_type_how(r->type));
    if (!good)
        return wrong_type(r, what, text);
    if (!in_bounds(r, value, text, what))
        return false;
    memcpy(field, &value, sizeof value);
    return true;
}

static bool set_bool(const struct config_row *r, void *field, struct bytes text, bool plain, struct text *what)
{
    bool yes = bytes_equal_text(text, "true");
    if (!plain || (!yes && !bytes_equal_text(text, "false")))
        return wrong_type(r, what, text);
    memcpy(field, &yes, sizeof yes);
    return true;
}

static bool set_address(const struct config_row *r, void *field, struct bytes text, struct text *what)
{
    struct addr address;
    if (addr_parse(text, &address) != OK) {
        trail_clear(); /* the words below say it */
        return wrong_type(r, what, text);
    }
    memcpy(field, &address, sizeof address);
    return true;
}

static bool set_choice(const struct config_row *r, void *field, struct bytes text, struct text *what)
{
    struct suggestion near = suggest_start(text);
    for (int i = 0; r->choices[i]; i++) {
        suggest_offer(&near, r->choices[i]);
        if (bytes_equal_text(text, r->choices[i])) {
            memcpy(field, &i, sizeof i);
            return true;
        }
    }
    (void)wrong(what, text, r->choices[1] ? "is not one of " : "is not ", NULL);
    for (int i = 0; r->choices[i]; i++)
        text_addf(what, "%s%s", i ? ", " : "", r->choices[i]);
    if (near.best)
        text_addf(what, "; did you mean \"%s\"?", near.best);
    else
        text_add(what, r->choices[1] ? "; choose one" : "; write that");
    return false;
}

bool value_set_text(const struct config_row *r, char *to, struct bytes text, struct text *what)
{
    const char *words = NULL;
    if (text.len == 0)
        words = "is empty; write it or remove the key";
    else if (!is_plain_text(text))
        words = "has a control character or is not UTF-8; remove that";
    else if (r->type == CONFIG_PATH && text.at[0] != '/') /* it would be another place for each who is started elsewhere */
        words = "is not a whole path; begin it with a slash";
    else if (r->check)
        words = r->check(text);
    if (words && r->secret)
        text = (struct bytes){0};
    if (words)
        return wrong(what, text, words, NULL);
    if (text.len >= r->bytes) {
        text_addf(what, "is longer than %zu bytes; shorten it", r->bytes - 1);
        return false;
    }
    memset(to, 0, r->bytes); /* nothing of a default or a longer text before it */
    memcpy(to, text.at, text.len);
    return true;
}

bool value_set(const struct config_row *r, void *base, struct bytes text, bool plain, struct text *what)
{
    char *field = (char *)base + r->offset;
    if (plain && (text.len == 0 || bytes_equal_text(text, "~") || bytes_equal_text(text, "null")))
        return wrong(what, (struct bytes){0}, "has no value; write one or remove the key", NULL);
    switch (r->type) {
    case CONFIG_STRING:
    case CONFIG_PATH:
        return value_set_text(r, field, text, what);
    case CONFIG_INTEGER:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return set_number(r, field, text, plain, what);
    case CONFIG_BOOL:
        return set_bool(r, field, text, plain, what);
    case CONFIG_ADDRESS:
        return set_address(r, field, text, what);
    case CONFIG_CHOICE:
        return set_choice(r, field, text, what);
    case CONFIG_SECTION:
    case CONFIG_STRINGS:
    case CONFIG_OBJECTS:
        break;
    }
    ASSERT(config_type_is_scalar(r->type));
    return false;
}

/* --- printing --- */
void value_print_quoted(const char *s, struct text *out)
{
    text_add(out, "\"");
    for (size_t plain; *s; s += plain) {
        plain = strcspn(s, "\\\"");
        text_add_bytes(out, (struct bytes){(const uint8_t *)s, plain});
        if (s[plain])
            text_addf(out, "\\%c", s[plain++]);
    }
    text_add(out, "\"");
}

static void print_number_field(const struct config_row *r, const void *field, struct text *out)
{
    int64_t value;
    memcpy(&value, field, sizeof value);
    value_print_number(r->type, value, out);
}

static void print_address(const void *field, bool quotes, struct text *out)
{
    char address[ADDR_TEXT_MAX];
    addr_text(field, address, sizeof address);
    if (quotes)
        value_print_quoted(address, out); /* [::1]:80 would be a list */
    else
        text_add(out, address);
}

void value_print(const struct config_row *r, const void *base, bool quotes, struct text *out)
{
    const char *field = (const char *)base + r->offset;
    if (config_type_is_text(r->type) && quotes)
        value_print_quoted(field, out);
    else if (config_type_is_text(r->type))
        text_add(out, field);
    else if (r->type == CONFIG_ADDRESS)
        print_address(field, quotes, out);
    else if (r->type == CONFIG_BOOL)
        text_add(out, *(const bool *)field ? "true" : "false");
    else if (r->type == CONFIG_CHOICE)
        text_add(out, r->choices[*(const int *)(const void *)field]);
    else
        print_number_field(r, field, out);
}
