#include "net/format/bech32.h"

#include "board/rt/secret.h"

#include <string.h>

#define CHECKSUM_DIGITS 6

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"; /* BIP 173, Bech32 */

/* BIP 173, Checksum: a BCH code over GF(32); the remainder of all digits is 1. */
static uint32_t checksum_add(uint32_t sum, uint8_t digit)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = sum >> 25;
    sum = (sum & 0x1ffffff) << 5 ^ digit;
    for (unsigned i = 0; i < 5; i++)
        sum ^= generator[i] & (0 - (top >> i & 1));
    return sum;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* The prefix counts by its high bits, a zero, and its low bits, in lower case. */
static uint32_t checksum_prefix(struct bytes prefix)
{
    uint32_t sum = 1;
    for (size_t i = 0; i < prefix.len; i++)
        sum = checksum_add(sum, lower(prefix.at[i]) >> 5);
    sum = checksum_add(sum, 0);
    for (size_t i = 0; i < prefix.len; i++)
        sum = checksum_add(sum, lower(prefix.at[i]) & 31);
    return sum;
}

void bech32_encode(const char *prefix, struct bytes from, char *out, size_t cap)
{
    size_t prefix_len = strlen(prefix), len = 0;
    uint32_t sum = checksum_prefix((struct bytes){(const uint8_t *)prefix, prefix_len}), group = 0;
    ASSERT(cap > prefix_len + 1 + (from.len * 8 + 4) / 5 + CHECKSUM_DIGITS);
    for (; len < prefix_len; len++)
        out[len] = prefix[len];
    out[len++] = '1';
    unsigned bits = 0;
    for (size_t i = 0; i < from.len || bits > 0;) {
        if (bits < 5 && i < from.len)
            group = (group << 8 | from.at[i++]) & 0xfff, bits += 8;
        else if (bits < 5)
            group <<= 5 - bits, bits = 5;
        for (; bits >= 5; bits -= 5) {
            uint8_t digit = group >> (bits - 5) & 31;
            sum = checksum_add(sum, digit);
            out[len++] = alphabet[digit];
        }
    }
    for (unsigned i = 0; i < CHECKSUM_DIGITS; i++)
        sum = checksum_add(sum, 0);
    sum ^= 1;
    for (unsigned i = CHECKSUM_DIGITS; i-- > 0;)
        out[len++] = alphabet[sum >> (5 * i) & 31];
    out[len] = 0;
}

/* Splits at the last '1', which is no digit; every character is printable, letters are of one case. */
static err text_split(struct bytes text, struct bytes *prefix, struct bytes *digits)
{
    bool has_upper = false, has_lower = false;
    size_t one = 0;
    if (text.len > BECH32_TEXT_MAX)
        return E_RANGE;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        if (c < 33 || c > 126)
            return E_INVALID;
        has_upper |= c >= 'A' && c <= 'Z';
        has_lower |= c >= 'a' && c <= 'z';
        one = c == '1' ? i : one;
    }
    if (one == 0 || (has_upper && has_lower) || text.len - one - 1 < CHECKSUM_DIGITS)
        return E_INVALID;
    *prefix = (struct bytes){text.at, one};
    *digits = (struct bytes){text.at + one + 1, text.len - one - 1};
    return OK;
}

static err digits_read(struct bytes text, uint8_t *digits, uint32_t *sum)
{
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(alphabet, lower(text.at[i]), sizeof alphabet - 1);
        if (at == NULL)
            return E_INVALID;
        digits[i] = (uint8_t)(at - alphabet);
        *sum = checksum_add(*sum, digits[i]);
    }
    return OK;
}

static err bytes_join(const uint8_t *digits, size_t count, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t group = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        group = (group << 5 | digits[i]) & 0xfff;
        bits += 5;
        if (bits < 8)
            continue;
        if (n == cap)
            return E_RANGE;
        bits -= 8;
        out[n++] = (uint8_t)(group >> bits);
    }
    if (bits >= 5 || (group & ((1u << bits) - 1)) != 0)
        return E_INVALID; /* one text, one meaning */
    *len = n;
    return OK;
}

err bech32_decode(struct bytes text, struct bytes *prefix, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t digits[BECH32_TEXT_MAX];
    struct bytes written;
    *len = 0;
    TRY(text_split(text, prefix, &written));
    uint32_t sum = checksum_prefix(*prefix);
    err e = digits_read(written, digits, &sum);
    if (e == OK && sum != 1)
        e = E_CORRUPT;
    if (e == OK)
        e = bytes_join(digits, written.len - CHECKSUM_DIGITS, out, cap, len);
    wipe(digits, sizeof digits);
    return e;
}
