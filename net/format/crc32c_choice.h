/* crc32c_choice: which kernels this build has. For net/format/crc32c*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   none; call only what cpu_has(CPU_CRC32C) allows.
 *
 * A kernel takes and gives the register itself, without the inversions at start and end. */
#ifndef HOLDFAST_CRC32C_CHOICE_H
#define HOLDFAST_CRC32C_CHOICE_H

#include "net/format/crc32c.h"

typedef uint32_t crc32c_kernel(uint32_t reg, const uint8_t *at, size_t len);
#if defined(__x86_64__)
#define CRC32C_HAS_X86 1
crc32c_kernel crc32c_x86;
#elif defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_CRC32))
#define CRC32C_HAS_ARM 1 /* clang before 16 hides the intrinsics unless the whole file is compiled for them */
crc32c_kernel crc32c_arm;
#endif

#endif
