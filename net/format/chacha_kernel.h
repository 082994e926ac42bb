/* chacha_kernel: ChaCha20 (RFC 8439, 2.3 and 2.4) of VEC_LANES blocks at once, one block a lane. Included by each chacha_*.c,
 * after it said what a vector is: `vec` of VEC_LANES words, VEC_TARGET, and the two unpackings of words and of pairs within 128
 * bits.
 *
 * Layer    format.   Blocks   never.   Memory   16 vectors and a group of blocks on the stack, wiped.   Errors   none. */
#ifndef HOLDFAST_CHACHA_KERNEL_H
#define HOLDFAST_CHACHA_KERNEL_H

#include "board/rt/secret.h"
#include "net/format/chacha_choice.h"

#include <string.h>

#define GROUP_BYTES ((size_t)VEC_LANES * CHACHA_BLOCK_BYTES)

typedef uint32_t quad __attribute__((vector_size(16)));

#ifndef ROTATE_BYTES /* by 16 and by 8, which some can do in one step */
#define ROTATE_BYTES(v, by) ROTATE_BITS(v, by)
#endif
#define ROTATE_BITS(v, by) ((v) << (by) | (v) >> (32 - (by)))

/* RFC 8439, 2.1 */
#define QUARTER_ROUND(a, b, c, d)                                                                                                \
    do {                                                                                                                         \
        a += b, d ^= a, d = ROTATE_BYTES(d, 16);                                                                                 \
        c += d, b ^= c, b = ROTATE_BITS(b, 12);                                                                                  \
        a += b, d ^= a, d = ROTATE_BYTES(d, 8);                                                                                  \
        c += d, b ^= c, b = ROTATE_BITS(b, 7);                                                                                   \
    } while (0)

VEC_TARGET static inline void double_round(vec v[CHACHA_WORDS])
{
    QUARTER_ROUND(v[0], v[4], v[8], v[12]);
    QUARTER_ROUND(v[1], v[5], v[9], v[13]);
    QUARTER_ROUND(v[2], v[6], v[10], v[14]);
    QUARTER_ROUND(v[3], v[7], v[11], v[15]);
    QUARTER_ROUND(v[0], v[5], v[10], v[15]);
    QUARTER_ROUND(v[1], v[6], v[11], v[12]);
    QUARTER_ROUND(v[2], v[7], v[8], v[13]);
    QUARTER_ROUND(v[3], v[4], v[9], v[14]);
}

VEC_TARGET static inline void quad_xor(const uint8_t *in, uint8_t *out, quad stream)
{
    quad text;
    memcpy(&text, in, sizeof text);
    text ^= stream;
    memcpy(out, &text, sizeof text);
}

/* Four words of each block: lane by word becomes word by lane. A vector of eight lanes has blocks 0 to 3 in its lower half. */
VEC_TARGET static inline void words_xor(const vec w[4], const uint8_t *in, uint8_t *out)
{
    vec ab_low = UNPACK_LOW_WORDS(w[0], w[1]), ab_high = UNPACK_HIGH_WORDS(w[0], w[1]);
    vec cd_low = UNPACK_LOW_WORDS(w[2], w[3]), cd_high = UNPACK_HIGH_WORDS(w[2], w[3]);
    const vec blocks[4] = {UNPACK_LOW_PAIRS(ab_low, cd_low), UNPACK_HIGH_PAIRS(ab_low, cd_low),
                           UNPACK_LOW_PAIRS(ab_high, cd_high), UNPACK_HIGH_PAIRS(ab_high, cd_high)};
    for (size_t half = 0; half < VEC_LANES / 4; half++)
        for (size_t b = 0; b < 4; b++)
            quad_xor(in + (half * 4 + b) * CHACHA_BLOCK_BYTES, out + (half * 4 + b) * CHACHA_BLOCK_BYTES,
                     VEC_QUAD(blocks[b], half));
}

VEC_TARGET static inline void group_xor(const vec start[CHACHA_WORDS], const uint8_t *in, uint8_t *out)
{
    vec v[CHACHA_WORDS];
    memcpy(v, start, sizeof v);
    for (unsigned round = 0; round < 20; round += 2)
        double_round(v);
    for (size_t i = 0; i < CHACHA_WORDS; i++)
        v[i] += start[i];
    for (size_t word = 0; word < CHACHA_WORDS; word += 4)
        words_xor(v + word, in + 4 * word, out + 4 * word);
}

VEC_TARGET static inline void kernel_xor(uint32_t state[CHACHA_WORDS], const uint8_t *in, uint8_t *out, size_t len)
{
    uint8_t last[GROUP_BYTES];
    vec start[CHACHA_WORDS];
    for (size_t i = 0; i < CHACHA_WORDS; i++)
        start[i] = state[i] + (vec){0};
    start[CHACHA_COUNTER] += VEC_COUNTS;
    state[CHACHA_COUNTER] += (uint32_t)((len + CHACHA_BLOCK_BYTES - 1) / CHACHA_BLOCK_BYTES);
    for (; len >= GROUP_BYTES; len -= GROUP_BYTES, in += GROUP_BYTES, out += GROUP_BYTES) {
        group_xor(start, in, out);
        start[CHACHA_COUNTER] += VEC_LANES;
    }
    if (len > 0) {
        memset(last, 0, sizeof last);
        memcpy(last, in, len);
        group_xor(start, last, last);
        memcpy(out, last, len);
        wipe(last, sizeof last);
    }
    wipe(start, sizeof start);
}

#endif
