#include "net/format/gcm_choice.h"

#ifdef GCM_HAS_X86
#include <immintrin.h>

#define VEC_TARGET __attribute__((target("aes,pclmul,sse4.1,ssse3")))
typedef __m128i vec;

VEC_TARGET static inline vec vec_load(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

VEC_TARGET static inline void vec_store(uint8_t *at, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)at, v);
}

VEC_TARGET static inline vec vec_zero(void)
{
    return _mm_setzero_si128();
}

VEC_TARGET static inline vec vec_of(uint64_t high, uint64_t low)
{
    return _mm_set_epi64x((long long)high, (long long)low);
}

VEC_TARGET static inline vec vec_xor(vec a, vec b)
{
    return _mm_xor_si128(a, b);
}

VEC_TARGET static inline vec vec_reverse(vec v)
{
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

VEC_TARGET static inline vec vec_swap(vec v)
{
    return _mm_shuffle_epi32(v, 0x4E);
}

VEC_TARGET static inline vec vec_shift_to_high(vec v)
{
    return _mm_slli_si128(v, 8);
}

VEC_TARGET static inline vec vec_shift_to_low(vec v)
{
    return _mm_srli_si128(v, 8);
}

VEC_TARGET static inline vec vec_add_low32(vec v, int n)
{
    return _mm_add_epi32(v, _mm_set_epi32(0, 0, 0, n));
}

VEC_TARGET static inline vec vec_multiply_low(vec a, vec b)
{
    return _mm_clmulepi64_si128(a, b, 0x00);
}

VEC_TARGET static inline vec vec_multiply_high(vec a, vec b)
{
    return _mm_clmulepi64_si128(a, b, 0x11);
}

/* Intel SDM vol. 2A, AESENC: shifts, substitutes, mixes, and then adds the key; so key 0 comes before, and round n adds key n
 * + 1. */
VEC_TARGET static inline vec aes_begin(vec v, const vec *keys)
{
    return _mm_xor_si128(v, keys[0]);
}

VEC_TARGET static inline vec aes_round(vec v, const vec *keys, unsigned n)
{
    return _mm_aesenc_si128(v, keys[n + 1]);
}

VEC_TARGET static inline vec aes_last(vec v, const vec *keys, unsigned rounds)
{
    return _mm_aesenclast_si128(v, keys[rounds]);
}

#include "net/format/gcm_kernel.h"

void gcm_crypt_x86(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES])
{
    kernel_crypt(g, tag);
}
#endif
