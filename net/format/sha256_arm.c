#include "net/format/sha256_blocks.h"

#ifdef SHA256_HAS_ARM
#include <arm_neon.h>

#define SHA_TARGET __attribute__((target("+crypto")))

struct state {
    uint32x4_t abcd, efgh;
};

/* Arm ARM, SHA256H and SHA256H2: four rounds; each half needs the other's value from before. */
SHA_TARGET static inline void rounds4(struct state *s, uint32x4_t w, unsigned at)
{
    uint32x4_t wk = vaddq_u32(w, vld1q_u32(&sha256_k[at])), abcd = s->abcd;
    s->abcd = vsha256hq_u32(abcd, s->efgh, wk);
    s->efgh = vsha256h2q_u32(s->efgh, abcd, wk);
}

SHA_TARGET static inline uint32x4_t schedule4(uint32x4_t w0, uint32x4_t w4, uint32x4_t w8, uint32x4_t w12)
{
    return vsha256su1q_u32(vsha256su0q_u32(w0, w4), w8, w12);
}

SHA_TARGET static inline uint32x4_t load_words(const uint8_t *at)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(at))); /* big-endian words */
}

SHA_TARGET static inline void one_block(struct state *s, const uint8_t *data)
{
    uint32x4_t w0 = load_words(data), w1 = load_words(data + 16), w2 = load_words(data + 32), w3 = load_words(data + 48);
    for (unsigned at = 0; at < 48; at += 16) {
        rounds4(s, w0, at);
        w0 = schedule4(w0, w1, w2, w3);
        rounds4(s, w1, at + 4);
        w1 = schedule4(w1, w2, w3, w0);
        rounds4(s, w2, at + 8);
        w2 = schedule4(w2, w3, w0, w1);
        rounds4(s, w3, at + 12);
        w3 = schedule4(w3, w0, w1, w2);
    }
    rounds4(s, w0, 48);
    rounds4(s, w1, 52);
    rounds4(s, w2, 56);
    rounds4(s, w3, 60);
}

SHA_TARGET void sha256_blocks_arm(uint32_t h[8], const uint8_t *data, size_t blocks)
{
    struct state s = {.abcd = vld1q_u32(h), .efgh = vld1q_u32(h + 4)};
    for (; blocks > 0; blocks--, data += 64) {
        struct state before = s;
        one_block(&s, data);
        s.abcd = vaddq_u32(s.abcd, before.abcd);
        s.efgh = vaddq_u32(s.efgh, before.efgh);
    }
    vst1q_u32(h, s.abcd);
    vst1q_u32(h + 4, s.efgh);
}
#endif
