#include "net/format/dns_wire.h"

#include "board/rt/text.h"

#include <string.h>

#define POINTER_BITS 0xC0u /* RFC 1035 4.1.4 */
#define JUMPS_MAX    127   /* a name of 255 bytes has no more labels; one jump each is more than any server writes */

void dns_store16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

err dns_read16(struct dns_cursor *c, unsigned *out)
{
    if (c->message.len - c->at < 2)
        return E_PROTOCOL;
    *out = (unsigned)c->message.at[c->at] << 8 | c->message.at[c->at + 1];
    c->at += 2;
    return OK;
}

err dns_read32(struct dns_cursor *c, uint32_t *out)
{
    unsigned high = 0, low = 0;
    TRY(dns_read16(c, &high));
    TRY(dns_read16(c, &low));
    *out = (uint32_t)high << 16 | low;
    return OK;
}

/* Host names and the underscore of SRV. Anything else in a label (a dot, a zero, a space) would be read differently as text. */
static bool is_label_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* --- names out of a message --- */

static err add_label(char out[DNS_NAME_TEXT_MAX], size_t *len, struct bytes label)
{
    size_t dot = *len > 0 ? 1 : 0;
    if (*len + dot + label.len >= DNS_NAME_TEXT_MAX)
        return E_PROTOCOL;
    if (dot > 0)
        out[(*len)++] = '.';
    for (size_t i = 0; i < label.len; i++) {
        if (!is_label_char(label.at[i]))
            return E_PROTOCOL;
        out[(*len)++] = (char)label.at[i];
    }
    return OK;
}

/* One step at *at: a label, a jump, or the end. `before` is where the current run of labels began: each jump goes to before it.
 */
static err name_step(struct bytes m, size_t *at, size_t *before, char out[DNS_NAME_TEXT_MAX], size_t *len, bool *ended,
                     bool *jumped)
{
    if (*at >= m.len)
        return E_PROTOCOL;
    unsigned first = m.at[*at];
    *jumped = (first & POINTER_BITS) == POINTER_BITS;
    *ended = first == 0;
    if (*jumped) {
        if (m.len - *at < 2)
            return E_PROTOCOL;
        size_t to = (size_t)(first & ~POINTER_BITS) << 8 | m.at[*at + 1];
        if (to >= *before)
            return E_PROTOCOL;
        *at = *before = to;
        return OK;
    }
    if ((first & POINTER_BITS) != 0 || first > m.len - *at - 1)
        return E_PROTOCOL;
    if (first > 0)
        TRY(add_label(out, len, (struct bytes){m.at + *at + 1, first}));
    *at += 1 + first;
    return OK;
}

err dns_read_name(struct dns_cursor *c, char out[DNS_NAME_TEXT_MAX])
{
    size_t at = c->at, before = c->at, len = 0;
    bool ended = false, jumped = false;
    unsigned jumps = 0;
    while (!ended) { /* labels between two jumps are bounded by the text's length */
        size_t step_at = at;
        TRY(name_step(c->message, &at, &before, out, &len, &ended, &jumped));
        if (jumps == 0)
            c->at = jumped ? step_at + 2 : at;
        if (jumped && ++jumps > JUMPS_MAX)
            return E_PROTOCOL;
    }
    if (len == 0)
        out[len++] = '.';
    out[len] = 0;
    return OK;
}

/* --- names out of text --- */

static size_t name_len(const char *name)
{
    size_t len = strnlen(name, DNS_NAME_TEXT_MAX + 1);
    return len > 1 && name[len - 1] == '.' ? len - 1 : len;
}

err dns_name_to_wire(const char *name, uint8_t out[DNS_NAME_WIRE_MAX], size_t *len)
{
    size_t end = name_len(name), label_at = 0;
    *len = 0;
    if (end == 0 || end >= DNS_NAME_TEXT_MAX)
        return E_INVALID;
    for (size_t i = 0; i <= end; i++) {
        if (i < end && name[i] != '.') {
            if (!is_label_char((uint8_t)name[i]))
                return E_INVALID;
            out[1 + i] = (uint8_t)name[i];
            continue;
        }
        if (i == label_at || i - label_at > DNS_LABEL_MAX)
            return E_INVALID;
        out[label_at] = (uint8_t)(i - label_at);
        label_at = i + 1;
    }
    out[end + 1] = 0;
    *len = end + 2;
    return OK;
}

bool dns_name_is_valid(const char *name)
{
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t len = 0;
    return dns_name_to_wire(name, wire, &len) == OK;
}

static uint8_t lower(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool dns_name_equal(const char *a, const char *b)
{
    size_t len = name_len(a);
    if (len != name_len(b))
        return false;
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}
