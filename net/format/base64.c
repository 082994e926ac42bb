#include "net/format/base64.h"

#define TABLE_1 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
static const char alphabets[3][65] = {
    [BASE64_STANDARD] = TABLE_1, /* RFC 4648 */
    [BASE64_BARE] = TABLE_1,
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", /* table 2 */
};

size_t base64_encode(enum base64_kind kind, struct bytes from, char *out, size_t cap)
{
    const char *alphabet = alphabets[kind];
    size_t len = 0;
    ASSERT(cap >= BASE64_TEXT_MAX(from.len));
    for (size_t i = 0; i < from.len; i += 3) {
        size_t have = size_min(3, from.len - i);
        uint32_t group = (uint32_t)from.at[i] << 16;
        group |= have > 1 ? (uint32_t)from.at[i + 1] << 8 : 0;
        group |= have > 2 ? (uint32_t)from.at[i + 2] : 0;
        for (size_t digit = 0; digit <= have; digit++)
            out[len++] = alphabet[group >> (18 - 6 * digit) & 63];
        for (size_t pad = have; kind == BASE64_STANDARD && pad < 3; pad++)
            out[len++] = '=';
    }
    out[len] = 0;
    return len;
}

static int digit_value(enum base64_kind kind, uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (uint8_t)alphabets[kind][62])
        return 62;
    return c == (uint8_t)alphabets[kind][63] ? 63 : -1;
}

/* Takes the padding off: only where the alphabet has one, and exactly as much as the length asks for. */
static err digits_of(enum base64_kind kind, struct bytes *text)
{
    if (kind == BASE64_STANDARD) {
        if (text->len % 4 != 0)
            return E_INVALID;
        for (unsigned pad = 0; pad < 2 && text->len > 0 && text->at[text->len - 1] == '='; pad++)
            text->len--;
    }
    return text->len % 4 == 1 ? E_INVALID : OK; /* 6 bits are no byte */
}

err base64_decode(enum base64_kind kind, struct bytes text, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t group = 0;
    unsigned bits = 0;
    size_t n = 0;
    *len = 0;
    TRY(digits_of(kind, &text));
    if (text.len / 4 * 3 + text.len % 4 * 3 / 4 > cap)
        return E_RANGE;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit_value(kind, text.at[i]);
        if (value < 0)
            return E_INVALID;
        group = (group << 6 | (uint32_t)value) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(group >> bits);
        }
    }
    if ((group & ((1u << bits) - 1)) != 0)
        return E_INVALID; /* RFC 4648, 3.5: one text, one meaning */
    *len = n;
    return OK;
}
