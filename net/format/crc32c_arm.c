#include "net/format/crc32c_choice.h"

#ifdef CRC32C_HAS_ARM
#include <arm_acle.h>
#include <string.h>

__attribute__((target("+crc"))) uint32_t crc32c_arm(uint32_t reg, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        reg = __crc32cd(reg, word);
    }
    for (; len > 0; at++, len--)
        reg = __crc32cb(reg, *at);
    return reg;
}
#endif
