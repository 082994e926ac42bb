/* The compiler's own vectors of 128 bits: SSE2, NEON, or words one by one where there is neither. */
#include "net/format/chacha_choice.h"

#define VEC_LANES 4
#define VEC_TARGET
typedef uint32_t vec __attribute__((vector_size(16)));
#define VEC_COUNTS              ((vec){0, 1, 2, 3})
#define UNPACK_LOW_WORDS(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define UNPACK_HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define UNPACK_LOW_PAIRS(a, b)  __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define UNPACK_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#define VEC_QUAD(v, half)       (v)

#include "net/format/chacha_kernel.h"

void chacha_xor_portable(uint32_t state[CHACHA_WORDS], const uint8_t *in, uint8_t *out, size_t len)
{
    kernel_xor(state, in, out, len);
}
