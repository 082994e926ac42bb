#include "net/format/chacha_poly.h"

#include "board/rt/secret.h"

#include <string.h>

#define BLOCK_BYTES 16

__extension__ typedef unsigned __int128 wide;

static inline uint64_t load_le64(const uint8_t *at)
{
    uint64_t x;
    memcpy(&x, at, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline void store_le64(uint8_t *at, uint64_t x)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(x >> (8 * i));
}

void poly_start(struct poly *p, const uint8_t key[POLY_KEY_BYTES])
{
    *p = (struct poly){.r = {load_le64(key) & 0x0ffffffc0fffffff, load_le64(key + 8) & 0x0ffffffc0ffffffc}}; /* 2.5: clamped */
    p->r1_fifths = p->r[1] + (p->r[1] >> 2);
    p->s[0] = load_le64(key + 16);
    p->s[1] = load_le64(key + 24);
}

/* *x += y, and what is carried out; GCC keeps sums of 128 bits in memory where it should not. */
static inline uint64_t add(uint64_t *x, uint64_t y)
{
    return (uint64_t)__builtin_add_overflow(*x, y, x);
}

/* h = (h + block + 2^128) * r modulo 2^130 - 5, not fully reduced. Clamping makes r[1] a multiple of four, so what a product with
 * it has above 2^128 is a multiple of 2^130 and comes back as 5/4 of r[1]. */
static void poly_blocks(struct poly *p, const uint8_t *at, size_t len)
{
    const uint64_t r0 = p->r[0], r1 = p->r[1], fifths = p->r1_fifths;
    uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2];
    for (; len >= BLOCK_BYTES; at += BLOCK_BYTES, len -= BLOCK_BYTES) {
        uint64_t carry = add(&h0, load_le64(at));
        carry = add(&h1, carry);
        h2 += carry + add(&h1, load_le64(at + 8)) + 1;

        wide low = (wide)h0 * r0 + (wide)h1 * fifths, middle = (wide)h0 * r1 + (wide)h1 * r0;
        uint64_t above = (uint64_t)(middle >> 64) + h2 * r0;
        h1 = (uint64_t)middle;
        above += add(&h1, (uint64_t)(low >> 64));
        above += add(&h1, h2 * fifths);

        h0 = (uint64_t)low;
        carry = add(&h0, (above & ~UINT64_C(3)) + (above >> 2)); /* five times what is above 2^130 */
        h2 = (above & 3) + add(&h1, carry);
    }
    p->h[0] = h0;
    p->h[1] = h1;
    p->h[2] = h2;
}

void poly_update_padded(struct poly *p, struct bytes data)
{
    size_t whole = data.len / BLOCK_BYTES * BLOCK_BYTES;
    uint8_t last[BLOCK_BYTES] = {0};
    if (whole > 0)
        poly_blocks(p, data.at, whole);
    if (whole == data.len)
        return;
    memcpy(last, data.at + whole, data.len - whole);
    poly_blocks(p, last, sizeof last);
    wipe(last, sizeof last);
}

void poly_finish(struct poly *p, uint8_t tag[POLY_TAG_BYTES])
{
    /* h + 5 reaches 2^130 exactly when h >= 2^130 - 5: then it is, without that bit, the remainder. */
    uint64_t g0 = p->h[0], g1 = p->h[1], carry = add(&g0, 5);
    uint64_t g2 = p->h[2] + add(&g1, carry), take = 0 - (g2 >> 2 & 1);
    uint64_t h0 = (p->h[0] & ~take) | (g0 & take), h1 = (p->h[1] & ~take) | (g1 & take);
    carry = add(&h0, p->s[0]);
    store_le64(tag, h0);
    store_le64(tag + 8, h1 + p->s[1] + carry);
}
