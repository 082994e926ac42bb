#include "net/format/crc32c.h"

#include "net/format/cpu.h"
#include "net/format/crc32c_choice.h"

/* Half a byte at a time: small, and only for a CPU without the instruction. Entry i is what the four bits i leave behind of the
 * polynomial 0x1EDC6F41, reflected 0x82F63B78 (RFC 3720, 12.1). */
static uint32_t crc32c_portable(uint32_t reg, const uint8_t *at, size_t len)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; len > 0; at++, len--) {
        reg ^= *at;
        reg = reg >> 4 ^ nibble[reg & 15];
        reg = reg >> 4 ^ nibble[reg & 15];
    }
    return reg;
}

static const struct cpu_way ways[CRC32C_KIND_COUNT] = {
    [CRC32C_PORTABLE] = {"portable", 0, (cpu_kernel *)crc32c_portable},
#ifdef CRC32C_HAS_X86
    [CRC32C_X86_SSE42] = {"x86 sse4.2", CPU_CRC32C, (cpu_kernel *)crc32c_x86},
#endif
#ifdef CRC32C_HAS_ARM
    [CRC32C_ARM_CRC] = {"armv8 crc32", CPU_CRC32C, (cpu_kernel *)crc32c_arm},
#endif
};
static struct cpu_choice choice = {.ways = ways, .count = COUNT_OF(ways)};

bool crc32c_force(enum crc32c_kind kind)
{
    return cpu_force(&choice, kind);
}

uint32_t crc32c(uint32_t crc, struct bytes data)
{
    if (data.len == 0)
        return crc;
    crc32c_kernel *kernel = (crc32c_kernel *)cpu_chosen(&choice)->kernel;
    return ~kernel(~crc, data.at, data.len);
}
