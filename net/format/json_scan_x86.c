#include "net/format/json_scan_kernel.h"

#ifdef JSON_SCAN_HAS_X86
#include <immintrin.h>

/* '[' and '{', ']' and '}' differ in bit 5 alone; of a byte, "below 0x20" is that it is its own minimum with 0x1F. */
#define BRACKET_BIT 0x20

static inline uint64_t bits16(__m128i v, unsigned at)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(v) << at;
}

static inline __attribute__((always_inline)) void masks16(struct json_masks *m, const uint8_t *from, unsigned at)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i low = _mm_or_si128(v, _mm_set1_epi8(BRACKET_BIT));
    __m128i op = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(low, _mm_set1_epi8('{')), _mm_cmpeq_epi8(low, _mm_set1_epi8('}'))),
                              _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(',')), _mm_cmpeq_epi8(v, _mm_set1_epi8(':'))));
    __m128i space = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
                                 _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'))));
    m->quote |= bits16(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), at);
    m->backslash |= bits16(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')), at);
    m->control |= bits16(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v), at);
    m->high |= bits16(v, at);
    m->op |= bits16(op, at);
    m->space |= bits16(space, at);
}

static inline __attribute__((always_inline)) struct json_masks masks_sse2(const uint8_t *at)
{
    struct json_masks m = {0};
    for (unsigned i = 0; i < JSON_SCAN_BLOCK; i += 16)
        masks16(&m, at + i, i);
    return m;
}

void json_scan_sse2(struct json_scan *s, struct bytes window, struct json_marks *marks)
{
    json_scan_over(s, window, marks, masks_sse2, json_scan_parity_shifts);
}

#define AVX2 __attribute__((target("avx2,bmi,popcnt,pclmul")))

AVX2 static inline uint64_t bits32(__m256i v, unsigned at)
{
    return (uint64_t)(unsigned)_mm256_movemask_epi8(v) << at;
}

AVX2 static inline __m256i is32(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

/* Of each byte the entry of its lower four bits; 0 when bit 7 is set. */
AVX2 static inline __m256i entry32(__m128i table, __m256i v)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v);
}

/* A byte is white space when it is the entry for its lower four bits; an operator, when with BRACKET_BIT it is that, and no
 * control character (0x0C and 0x1A become a comma and a colon). 0 is nobody's: not even that of the byte 0, whose entry is a
 * space. */
AVX2 static inline void masks32(struct json_masks *m, const uint8_t *from, unsigned at)
{
    const __m128i spaces = _mm_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    const __m128i ops = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)from);
    __m256i low = _mm256_or_si256(v, _mm256_set1_epi8(BRACKET_BIT));
    m->quote |= bits32(is32(v, '"'), at);
    m->backslash |= bits32(is32(v, '\\'), at);
    m->control |= bits32(_mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1F)), v), at);
    m->high |= bits32(v, at);
    m->op |= bits32(_mm256_cmpeq_epi8(entry32(ops, v), low), at);
    m->space |= bits32(_mm256_cmpeq_epi8(entry32(spaces, v), v), at);
}

AVX2 static inline struct json_masks masks_avx2(const uint8_t *at)
{
    struct json_masks m = {0};
    masks32(&m, at, 0);
    masks32(&m, at + 32, 32);
    m.op &= ~m.control;
    return m;
}

/* A product without carries by all ones adds up, bit by bit, all bits below. */
AVX2 static inline uint64_t parity_clmul(uint64_t bits)
{
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)bits), _mm_set1_epi8(-1), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

AVX2 void json_scan_avx2(struct json_scan *s, struct bytes window, struct json_marks *marks)
{
    json_scan_over(s, window, marks, masks_avx2, parity_clmul);
    _mm256_zeroupper();
}
#endif
