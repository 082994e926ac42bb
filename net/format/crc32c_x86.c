#include "net/format/crc32c_choice.h"

#ifdef CRC32C_HAS_X86
#include <nmmintrin.h>
#include <string.h>

__attribute__((target("sse4.2"))) uint32_t crc32c_x86(uint32_t reg, const uint8_t *at, size_t len)
{
    uint64_t wide = reg;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    reg = (uint32_t)wide;
    for (; len > 0; at++, len--)
        reg = _mm_crc32_u8(reg, *at);
    return reg;
}
#endif
