#include "board/rt/addr.h"
#include "board/rt/text.h"

#include <string.h>

/* What is left to read. Each take_* moves on and says whether it found what it wants. */
struct span {
    const uint8_t *at, *end;
};

static struct span span_of(struct bytes b)
{
    return (struct span){.at = b.at, .end = b.len > 0 ? b.at + b.len : b.at};
}

static bool at_end(const struct span *s)
{
    return s->at == s->end;
}

static bool take_char(struct span *s, char c)
{
    if (at_end(s) || *s->at != (uint8_t)c)
        return false;
    s->at++;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t small = c | 0x20;
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

/* A number without sign or needless zeros, digits_max digits, <= max. Decimal's leading zeros are refused: some readers take them
 * for octal (RFC 6943 section 3.1.1). */
static bool take_decimal(struct span *s, unsigned digits_max, uint64_t max, uint64_t *out)
{
    const uint8_t *start = s->at;
    uint64_t n = 0;
    while (!at_end(s) && *s->at >= '0' && *s->at <= '9' && (size_t)(s->at - start) < digits_max)
        n = n * 10 + (uint64_t)(*s->at++ - '0');
    *out = n;
    return s->at > start && n <= max && !(*start == '0' && s->at - start > 1);
}

static bool take_hex16(struct span *s, uint8_t out[2])
{
    unsigned n = 0, digits = 0;
    for (; !at_end(s) && digits < 4 && hex_digit(*s->at) >= 0; digits++)
        n = n << 4 | (unsigned)hex_digit(*s->at++);
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    return digits > 0;
}

/* RFC 3986 section 3.2.2, IPv4address. */
static bool take_ipv4(struct span *s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        uint64_t octet;
        if ((i > 0 && !take_char(s, '.')) || !take_decimal(s, 3, 255, &octet))
            return false;
        out[i] = (uint8_t)octet;
    }
    return true;
}

/* The last 32 bits may be written as an IPv4 address (RFC 4291 section 2.2, 3). */
static bool take_ipv4_tail(struct span *s, uint8_t *out)
{
    struct span from = *s;
    if (take_ipv4(&from, out)) {
        *s = from;
        return true;
    }
    return false;
}

/* RFC 4291 section 2.2: eight groups, one run of them may be left out as "::". */
static bool take_ipv6(struct span *s, uint8_t out[16])
{
    uint8_t groups[16] = {0};
    size_t len = 0, gap = SIZE_MAX;
    bool more = true;
    if (s->end - s->at >= 2 && s->at[0] == ':' && s->at[1] == ':') {
        s->at += 2;
        gap = 0;
        more = !at_end(s) && hex_digit(*s->at) >= 0;
    }
    while (more) {
        if (len <= 12 && take_ipv4_tail(s, groups + len)) {
            len += 4;
            break;
        }
        if (len >= 16 || !take_hex16(s, groups + len))
            return false;
        len += 2;
        more = take_char(s, ':');
        if (more && gap == SIZE_MAX && take_char(s, ':')) {
            gap = len;
            more = !at_end(s) && hex_digit(*s->at) >= 0;
        }
    }
    if (gap == SIZE_MAX ? len != 16 : len > 14)
        return false;
    gap = size_min(gap, len);
    memset(out, 0, 16);
    memcpy(out, groups, gap);
    memcpy(out + 16 - (len - gap), groups + gap, len - gap);
    return true;
}

static bool take_ip(struct span *s, struct addr *out)
{
    struct span from = *s;
    uint64_t scope = 0;
    *out = (struct addr){.kind = ADDR_IPV4};
    if (take_ipv4(s, out->ip))
        return true;
    *s = from;
    *out = (struct addr){.kind = ADDR_IPV6};
    if (!take_ipv6(s, out->ip))
        return false;
    if (take_char(s, '%') && (!take_decimal(s, 10, UINT32_MAX, &scope) || scope == 0))
        return false;
    out->scope = (uint32_t)scope;
    return true;
}

static err not_valid(struct bytes text, const char *why)
{
    int shown = (int)size_min(text.len, ADDR_TEXT_MAX);
    return trail(E_INVALID, "address \"%.*s\": %s", shown, text.len > 0 ? (const char *)text.at : "", why);
}

err addr_parse_ip(struct bytes text, struct addr *out)
{
    struct span s = span_of(text);
    struct addr a;
    if (!take_ip(&s, &a) || !at_end(&s))
        return not_valid(text, "not a numeric IPv4 or IPv6 address");
    *out = a;
    return OK;
}

static err parse_unix(struct bytes text, struct span s, struct addr *out)
{
    size_t len = (size_t)(s.end - s.at);
    if (len == 0 || *s.at != '/')
        return not_valid(text, "a socket's path starts with /");
    if (len >= ADDR_PATH_MAX)
        return not_valid(text, "a socket's path has 107 bytes at most");
    if (memchr(s.at, 0, len) != NULL)
        return not_valid(text, "a path has no zero byte");
    *out = (struct addr){.kind = ADDR_UNIX};
    memcpy(out->path, s.at, len);
    return OK;
}

/* The address before ":PORT"; an IPv6 one in brackets. */
static bool take_host(struct span *s, struct addr *out)
{
    *out = (struct addr){.kind = ADDR_IPV6};
    if (take_char(s, '['))
        return take_ip(s, out) && out->kind == ADDR_IPV6 && take_char(s, ']');
    if (!at_end(s) && *s->at == ':')
        return true;
    out->kind = ADDR_IPV4;
    return take_ipv4(s, out->ip);
}

err addr_parse(struct bytes text, struct addr *out)
{
    static const char unix_prefix[] = "unix:";
    struct span s = span_of(text);
    struct addr a;
    uint64_t port;
    if (text.len >= sizeof unix_prefix - 1 && memcmp(text.at, unix_prefix, sizeof unix_prefix - 1) == 0) {
        s.at += sizeof unix_prefix - 1;
        return parse_unix(text, s, out);
    }
    if (!take_host(&s, &a))
        return not_valid(text, "not IPV4:PORT, [IPV6]:PORT, :PORT or unix:/PATH");
    if (!take_char(&s, ':') || !take_decimal(&s, 5, UINT16_MAX, &port) || !at_end(&s))
        return not_valid(text, "its port is not a number up to 65535");
    a.port = (uint16_t)port;
    *out = a;
    return OK;
}

/* --- writing --- */

static unsigned group_at(const struct addr *a, unsigned i)
{
    return (unsigned)a->ip[2 * i] << 8 | a->ip[2 * i + 1];
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 section 4.2); start 8 when there is none. */
static void zero_run(const struct addr *a, unsigned *start, unsigned *count)
{
    *start = 8;
    *count = 1;
    for (unsigned i = 0, run = 0; i < 8; i++) {
        run = group_at(a, i) == 0 ? run + 1 : 0;
        if (run > *count) {
            *count = run;
            *start = i + 1 - run;
        }
    }
}

static bool is_mapped(const struct addr *a) /* ::ffff:1.2.3.4 (RFC 4291 section 2.5.5.2) */
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a->ip, prefix, sizeof prefix) == 0;
}

static void write_ipv4(struct text *t, const uint8_t ip[4])
{
    text_addf(t, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

static void write_ipv6(struct text *t, const struct addr *a)
{
    unsigned start, count;
    zero_run(a, &start, &count);
    for (unsigned i = 0; i < 8; i++) {
        if (i == start) {
            text_add(t, "::");
            i += count - 1;
        } else {
            text_addf(t, i == 0 || i == start + count ? "%x" : ":%x", group_at(a, i));
        }
    }
}

static void write_ip(struct text *t, const struct addr *a)
{
    if (is_mapped(a)) {
        text_add(t, "::ffff:");
        write_ipv4(t, a->ip + 12);
    } else {
        write_ipv6(t, a);
    }
    if (a->scope != 0)
        text_addf(t, "%%%u", a->scope);
}

const char *addr_text(const struct addr *a, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    switch (a->kind) {
    case ADDR_NONE:
        text_add(&t, "none");
        break;
    case ADDR_IPV4:
        write_ipv4(&t, a->ip);
        text_addf(&t, ":%u", a->port);
        break;
    case ADDR_IPV6:
        text_add(&t, "[");
        write_ip(&t, a);
        text_addf(&t, "]:%u", a->port);
        break;
    case ADDR_UNIX:
        text_add(&t, "unix:");
        text_add(&t, a->path);
        break;
    }
    return out;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == ADDR_NONE)
        return true;
    if (a->kind == ADDR_UNIX)
        return strncmp(a->path, b->path, ADDR_PATH_MAX) == 0;
    return a->port == b->port && a->scope == b->scope && memcmp(a->ip, b->ip, a->kind == ADDR_IPV4 ? 4 : 16) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->kind == ADDR_UNIX)
        return true;
    if (a->kind == ADDR_IPV4)
        return a->ip[0] == 127; /* RFC 1122 section 3.2.1.3 (g) */
    if (a->kind == ADDR_IPV6)
        return memcmp(a->ip, one, sizeof one) == 0 || (is_mapped(a) && a->ip[12] == 127);
    return false;
}
