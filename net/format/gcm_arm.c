#include "net/format/gcm_choice.h"

#ifdef GCM_HAS_ARM
#include <arm_neon.h>

#define VEC_TARGET __attribute__((target("+crypto")))
typedef uint8x16_t vec;

VEC_TARGET static inline vec vec_load(const uint8_t *at)
{
    return vld1q_u8(at);
}

VEC_TARGET static inline void vec_store(uint8_t *at, vec v)
{
    vst1q_u8(at, v);
}

VEC_TARGET static inline vec vec_zero(void)
{
    return vdupq_n_u8(0);
}

VEC_TARGET static inline vec vec_of(uint64_t high, uint64_t low)
{
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
}

VEC_TARGET static inline vec vec_xor(vec a, vec b)
{
    return veorq_u8(a, b);
}

VEC_TARGET static inline vec vec_swap(vec v)
{
    return vextq_u8(v, v, 8);
}

VEC_TARGET static inline vec vec_reverse(vec v)
{
    return vec_swap(vrev64q_u8(v));
}

VEC_TARGET static inline vec vec_shift_to_high(vec v)
{
    return vextq_u8(vec_zero(), v, 8);
}

VEC_TARGET static inline vec vec_shift_to_low(vec v)
{
    return vextq_u8(v, vec_zero(), 8);
}

VEC_TARGET static inline vec vec_add_low32(vec v, unsigned n)
{
    return vreinterpretq_u8_u32(vaddq_u32(vreinterpretq_u32_u8(v), vsetq_lane_u32(n, vdupq_n_u32(0), 0)));
}

VEC_TARGET static inline vec vec_multiply_low(vec a, vec b)
{
    poly64x2_t pa = vreinterpretq_p64_u8(a), pb = vreinterpretq_p64_u8(b);
    return vreinterpretq_u8_p128(vmull_p64((poly64_t)vgetq_lane_p64(pa, 0), (poly64_t)vgetq_lane_p64(pb, 0)));
}

VEC_TARGET static inline vec vec_multiply_high(vec a, vec b)
{
    return vreinterpretq_u8_p128(vmull_high_p64(vreinterpretq_p64_u8(a), vreinterpretq_p64_u8(b)));
}

/* Arm ARM, AESE: adds the key, then shifts and substitutes; AESMC mixes. So round n adds key n, and the last one two. */
VEC_TARGET static inline vec aes_begin(vec v, const vec *keys)
{
    (void)keys;
    return v;
}

VEC_TARGET static inline vec aes_round(vec v, const vec *keys, unsigned n)
{
    return vaesmcq_u8(vaeseq_u8(v, keys[n]));
}

VEC_TARGET static inline vec aes_last(vec v, const vec *keys, unsigned rounds)
{
    return veorq_u8(vaeseq_u8(v, keys[rounds - 1]), keys[rounds]);
}

#include "net/format/gcm_kernel.h"

void gcm_crypt_arm(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES])
{
    kernel_crypt(g, tag);
}
#endif
