/* gcm_kernel: AES-GCM once, over a handful of vector operations that gcm_x86.c and gcm_arm.c define before they include it:
 *
 *   vec                                      16 bytes; VEC_TARGET: the attribute that allows the instructions
 *   vec_load/store/xor/zero, vec_reverse     all 16 bytes the other way round
 *   vec_swap                                 the two halves
 *   vec_of(high, low), vec_add_low32(v, n)   the lowest 32 bits, without carry
 *   vec_multiply_low/high(a, b)              carry-less, of the low halves, of the high halves: 128 bits
 *   vec_shift_to_low/high(v)                 one half moved to the other, zero behind it
 *   aes_begin/round/last(v, keys, n)         a block through round 0, round n (0..rounds-2), and the last one
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.   Errors   none. For net/format/gcm_*.c only.
 *
 * The hash is computed as POLYVAL (RFC 8452, appendix A): GHASH of H and X is the reverse of POLYVAL of x*reverse(H) and
 * reverse(X). There, a product of two 128-bit polynomials is divided by x^128 modulo x^128 + x^127 + x^126 + x^121 + 1. Eight
 * products, with H^8 down to H^1, are added up and reduced once, and each is issued between two rounds of AES on eight other
 * blocks. */
#ifndef HOLDFAST_GCM_KERNEL_H
#define HOLDFAST_GCM_KERNEL_H

#include "board/rt/secret.h"
#include "net/format/gcm.h"

#include <string.h>

#define BLOCK      16
#define WIDE       ((size_t)8) /* blocks at a time */
#define ROUNDS_MAX 14
#define EACH8(X)                                                                                                                 \
    X(0)                                                                                                                         \
    X(1)                                                                                                                         \
    X(2)                                                                                                                         \
    X(3)                                                                                                                         \
    X(4)                                                                                                                         \
    X(5)                                                                                                                         \
    X(6)                                                                                                                         \
    X(7)

struct kernel {
    vec keys[ROUNDS_MAX + 1];
    vec power[WIDE];  /* power[n]: H^(n+1) */
    vec folded[WIDE]; /* its halves added up, in the low half */
    vec hash, counter;
    unsigned rounds;
    size_t powers; /* how many are there */
};

/* --- the field --- */

struct product { /* 256 bits, the middle ones apart: Karatsuba */
    vec low, middle, high;
};

VEC_TARGET static inline vec fold(vec v)
{
    return vec_xor(v, vec_swap(v));
}

VEC_TARGET static inline void product_add(struct product *p, vec x, vec h, vec h_folded)
{
    p->low = vec_xor(p->low, vec_multiply_low(x, h));
    p->high = vec_xor(p->high, vec_multiply_high(x, h));
    p->middle = vec_xor(p->middle, vec_multiply_low(fold(x), h_folded));
}

/* Adds multiples of the modulus, whose lowest bit is 1, that clear the lower 64 bits and then the next. */
VEC_TARGET static inline vec product_reduce(const struct product *p)
{
    const vec modulus = vec_of(0, 0xC200000000000000); /* x^127 + x^126 + x^121, without x^64 */
    vec middle = vec_xor(p->middle, vec_xor(p->low, p->high));
    vec low = vec_xor(p->low, vec_shift_to_high(middle)), high = vec_xor(p->high, vec_shift_to_low(middle));
    low = vec_xor(vec_swap(low), vec_multiply_low(low, modulus));
    return vec_xor(high, vec_xor(vec_swap(low), vec_multiply_low(low, modulus)));
}

VEC_TARGET static inline vec multiply(vec a, vec b)
{
    struct product p = {vec_zero(), vec_zero(), vec_zero()};
    product_add(&p, a, b, fold(b));
    return product_reduce(&p);
}

/* x * h: RFC 8452, appendix A, mulX_POLYVAL. Without a branch on the bit that falls out. */
VEC_TARGET static inline vec times_x(const uint8_t h[BLOCK])
{
    uint64_t high = 0, low = 0;
    for (unsigned i = 0; i < 8; i++) {
        high = high << 8 | h[i];
        low = low << 8 | h[8 + i];
    }
    uint64_t out = 0 - (high >> 63);
    return vec_of((high << 1 | low >> 63) ^ (out & 0xC200000000000000), low << 1 ^ (out & 1));
}

/* Hashes whole blocks. */
VEC_TARGET static void hash_blocks(struct kernel *k, const uint8_t *at, size_t blocks)
{
    while (blocks > 0) {
        size_t n = size_min(blocks, k->powers);
        struct product p = {vec_zero(), vec_zero(), vec_zero()};
        for (size_t i = 0; i < n; i++) {
            vec x = vec_reverse(vec_load(at + i * BLOCK));
            x = i == 0 ? vec_xor(x, k->hash) : x;
            product_add(&p, x, k->power[n - 1 - i], k->folded[n - 1 - i]);
        }
        k->hash = product_reduce(&p);
        at += n * BLOCK;
        blocks -= n;
    }
}

/* Hashes bytes, zeroes behind them to a whole block. */
VEC_TARGET static void hash_bytes(struct kernel *k, struct bytes b)
{
    uint8_t last[BLOCK] = {0};
    if (b.len >= BLOCK)
        hash_blocks(k, b.at, b.len / BLOCK);
    if (b.len % BLOCK > 0) {
        memcpy(last, b.at + b.len / BLOCK * BLOCK, b.len % BLOCK);
        hash_blocks(k, last, 1);
    }
}

/* --- the cipher --- */

VEC_TARGET static inline vec encrypt_one(const struct kernel *k, vec v)
{
    v = aes_begin(v, k->keys);
    for (unsigned r = 0; r + 1 < k->rounds; r++)
        v = aes_round(v, k->keys, r);
    return aes_last(v, k->keys, k->rounds);
}

/* Eight blocks of key stream onto `in`, and meanwhile eight blocks at hash_at (NULL: none) into the hash. All of `in` and hash_at
 * is read before anything is written. */
VEC_TARGET static inline __attribute__((always_inline)) void crypt8(struct kernel *k, const uint8_t *in, uint8_t *out,
                                                                    const uint8_t *hash_at)
{
    vec b[WIDE];
    vec carried = k->hash;
    struct product p = {vec_zero(), vec_zero(), vec_zero()};
#define BEGIN(i) b[i] = aes_begin(vec_reverse(vec_add_low32(k->counter, i)), k->keys);
    EACH8(BEGIN)
    k->counter = vec_add_low32(k->counter, 8);
    for (unsigned r = 0; r < WIDE; r++) { /* there are at least nine rounds before the last */
#define ROUND(i) b[i] = aes_round(b[i], k->keys, r);
        EACH8(ROUND)
        if (hash_at != NULL) {
            vec x = vec_xor(vec_reverse(vec_load(hash_at + (size_t)r * BLOCK)), carried);
            product_add(&p, x, k->power[WIDE - 1 - r], k->folded[WIDE - 1 - r]);
            carried = vec_zero();
        }
    }
    for (unsigned r = WIDE; r + 1 < k->rounds; r++) {
        EACH8(ROUND)
    }
#define LAST(i) b[i] = vec_xor(aes_last(b[i], k->keys, k->rounds), vec_load(in + (size_t)(i)*BLOCK));
    EACH8(LAST)
#define STORE(i) vec_store(out + (size_t)(i)*BLOCK, b[i]);
    EACH8(STORE)
    if (hash_at != NULL)
        k->hash = product_reduce(&p);
}

/* --- GCM --- */

VEC_TARGET static void kernel_powers(struct kernel *k, size_t powers)
{
    uint8_t h[BLOCK];
    vec_store(h, encrypt_one(k, vec_zero()));
    k->power[0] = times_x(h);
    for (size_t n = 0; n < powers; n++) {
        if (n > 0)
            k->power[n] = multiply(k->power[n - 1], k->power[0]);
        k->folded[n] = fold(k->power[n]);
    }
    k->powers = powers;
    wipe(h, sizeof h);
}

VEC_TARGET static void kernel_start(struct kernel *k, const struct gcm *g)
{
    uint8_t first[BLOCK] = {[BLOCK - 1] = 1}; /* SP 800-38D, 7.1: the IV and a 32-bit counter, 1 for the tag */
    ASSERT(g->rounds >= 10 && g->rounds <= ROUNDS_MAX);
    k->rounds = g->rounds;
    for (unsigned i = 0; i <= g->rounds; i++)
        k->keys[i] = vec_load(g->round_keys + (size_t)i * BLOCK);
    memcpy(first, g->iv, GCM_IV_BYTES);
    k->counter = vec_reverse(vec_load(first));
    k->hash = vec_zero();
    kernel_powers(k, size_min(WIDE, g->len / BLOCK + 1));
}

/* More than nothing, less than eight blocks, by way of a buffer that is padded with zeroes. */
VEC_TARGET static void crypt_rest(struct kernel *k, const struct gcm *g, const uint8_t *in, uint8_t *out, size_t len)
{
    uint8_t buffer[WIDE * BLOCK] = {0};
    memcpy(buffer, in, len);
    if (!g->encrypt)
        hash_bytes(k, (struct bytes){buffer, len});
    crypt8(k, buffer, buffer, NULL);
    memcpy(out, buffer, len);
    if (g->encrypt)
        hash_bytes(k, (struct bytes){buffer, len});
    wipe(buffer, sizeof buffer);
}

VEC_TARGET static void encrypt_bulk(struct kernel *k, const uint8_t *in, uint8_t *out, size_t bytes)
{
    if (bytes == 0)
        return;
    crypt8(k, in, out, NULL);
    for (size_t at = WIDE * BLOCK; at < bytes; at += WIDE * BLOCK)
        crypt8(k, in + at, out + at, out + at - WIDE * BLOCK);
    hash_blocks(k, out + bytes - WIDE * BLOCK, WIDE);
}

VEC_TARGET static void decrypt_bulk(struct kernel *k, const uint8_t *in, uint8_t *out, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += WIDE * BLOCK)
        crypt8(k, in + at, out + at, in + at);
}

VEC_TARGET static void kernel_crypt(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES])
{
    struct kernel k;
    size_t bulk = g->len / (WIDE * BLOCK) * (WIDE * BLOCK);
    kernel_start(&k, g);
    vec mask = encrypt_one(&k, vec_reverse(k.counter));
    k.counter = vec_add_low32(k.counter, 1);
    hash_bytes(&k, g->additional);
    if (g->encrypt)
        encrypt_bulk(&k, g->in, g->out, bulk);
    else
        decrypt_bulk(&k, g->in, g->out, bulk);
    if (g->len > bulk)
        crypt_rest(&k, g, g->in + bulk, g->out + bulk, g->len - bulk);
    uint8_t lengths[BLOCK]; /* SP 800-38D, 7.1 step 5: in bits; additional data, then content */
    vec_store(lengths, vec_reverse(vec_of((uint64_t)g->additional.len * 8, (uint64_t)g->len * 8)));
    hash_blocks(&k, lengths, 1);
    vec_store(tag, vec_xor(vec_reverse(k.hash), mask));
    wipe(&k, sizeof k);
}

#endif
