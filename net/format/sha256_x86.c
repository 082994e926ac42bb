#include "net/format/sha256_blocks.h"

#ifdef SHA256_HAS_X86
#include <immintrin.h>

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* Intel SDM vol. 2B, SHA256RNDS2: two rounds; the state is kept as ABEF and CDGH, W+K of the two rounds in the low half. */
struct state {
    __m128i abef, cdgh;
};

SHA_TARGET static inline void rounds4(struct state *s, __m128i w, unsigned at)
{
    __m128i wk = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)&sha256_k[at]));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0E));
}

/* The next four words of the schedule from the sixteen before: FIPS 180-4, 6.2.2 step 1. */
SHA_TARGET static inline __m128i schedule4(__m128i w0, __m128i w4, __m128i w8, __m128i w12)
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8(w12, w8, 4));
    return _mm_sha256msg2_epu32(sum, w12);
}

SHA_TARGET static inline __m128i load_words(const uint8_t *at)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203); /* big-endian words */
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)at), swap);
}

SHA_TARGET static inline void one_block(struct state *s, const uint8_t *data)
{
    __m128i w0 = load_words(data), w1 = load_words(data + 16), w2 = load_words(data + 32), w3 = load_words(data + 48);
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

SHA_TARGET static struct state state_load(const uint32_t h[8])
{
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + 4)), 0x1B);
    return (struct state){.abef = _mm_alignr_epi8(cdab, efgh, 8), .cdgh = _mm_blend_epi16(efgh, cdab, 0xF0)};
}

SHA_TARGET static void state_store(const struct state *s, uint32_t h[8])
{
    __m128i feba = _mm_shuffle_epi32(s->abef, 0x1B), dchg = _mm_shuffle_epi32(s->cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

SHA_TARGET void sha256_blocks_x86(uint32_t h[8], const uint8_t *data, size_t blocks)
{
    struct state s = state_load(h);
    for (; blocks > 0; blocks--, data += 64) {
        struct state before = s;
        one_block(&s, data);
        s.abef = _mm_add_epi32(s.abef, before.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    }
    state_store(&s, h);
}
#endif
