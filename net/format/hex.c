#include "net/format/hex.h"

const char *hex_encode(struct bytes from, char *out, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    ASSERT(cap >= HEX_TEXT_MAX(from.len));
    for (size_t i = 0; i < from.len; i++) {
        out[2 * i] = digits[from.at[i] >> 4];
        out[2 * i + 1] = digits[from.at[i] & 15];
    }
    out[2 * from.len] = 0;
    return out;
}

int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

err hex_decode(struct bytes text, uint8_t *out, size_t cap, size_t *len)
{
    *len = 0;
    if (text.len % 2 != 0)
        return E_INVALID;
    if (text.len / 2 > cap)
        return E_RANGE;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.at[i]), low = hex_digit(text.at[i + 1]);
        if (high < 0 || low < 0)
            return E_INVALID;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    *len = text.len / 2;
    return OK;
}
