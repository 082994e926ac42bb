#include "board/rt/utf8.h"

/* RFC 3629 section 4: what may follow which first byte. */
struct lead {
    uint8_t first, last; /* of the first byte */
    uint8_t low, high;   /* of the second; the third and fourth are 80..BF */
    uint8_t length;
};
static const struct lead leads[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

static size_t lead_match(const struct lead *l, struct bytes b)
{
    if (b.len < l->length || (l->length > 1 && (b.at[1] < l->low || b.at[1] > l->high)))
        return 0;
    for (size_t i = 2; i < l->length; i++)
        if (!is_continuation(b.at[i]))
            return 0;
    return l->length;
}

size_t utf8_char(struct bytes b)
{
    for (size_t i = 0; b.len > 0 && i < COUNT_OF(leads); i++)
        if (b.at[0] >= leads[i].first && b.at[0] <= leads[i].last)
            return lead_match(&leads[i], b);
    return 0;
}

size_t utf8_cut(struct bytes b, size_t at_most)
{
    if (b.len <= at_most)
        return b.len;
    size_t start = at_most;
    while (start > 0 && at_most - start < 3 && is_continuation(b.at[start]))
        start--;
    size_t length = utf8_char((struct bytes){b.at + start, b.len - start});
    return start + length > at_most ? start : at_most;
}
