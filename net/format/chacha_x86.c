#include "net/format/chacha_choice.h"

#ifdef CHACHA_HAS_X86
#define VEC_LANES  8
#define VEC_TARGET __attribute__((target("avx2")))
typedef uint32_t vec __attribute__((vector_size(32)));
typedef uint8_t vec_bytes __attribute__((vector_size(32)));
#define VEC_COUNTS              ((vec){0, 1, 2, 3, 4, 5, 6, 7})
#define UNPACK_LOW_WORDS(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define UNPACK_HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define UNPACK_LOW_PAIRS(a, b)  __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define UNPACK_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define VEC_QUAD(v, half)       ((half) == 0 ? __builtin_shufflevector(v, v, 0, 1, 2, 3) : __builtin_shufflevector(v, v, 4, 5, 6, 7))

/* Left by whole bytes is one shuffle of bytes: byte i of a word comes from byte i - by/8. */
#define WORD_FROM(at, by)                                                                                                        \
    (at) + (4 - (by) / 8) % 4, (at) + (5 - (by) / 8) % 4, (at) + (6 - (by) / 8) % 4, (at) + (7 - (by) / 8) % 4
#define QUAD_FROM(at, by)   WORD_FROM(at, by), WORD_FROM((at) + 4, by), WORD_FROM((at) + 8, by), WORD_FROM((at) + 12, by)
#define ROTATE_BYTES(v, by) ((vec)__builtin_shufflevector((vec_bytes)(v), (vec_bytes)(v), QUAD_FROM(0, by), QUAD_FROM(16, by)))

#include "net/format/chacha_kernel.h"

VEC_TARGET void chacha_xor_avx2(uint32_t state[CHACHA_WORDS], const uint8_t *in, uint8_t *out, size_t len)
{
    kernel_xor(state, in, out, len);
}
#endif
