/* sha256_blocks: the compression functions behind sha256.h, one a kind of CPU. For net/format/sha256*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.   Errors   none; call only what cpu_has(CPU_SHA256) allows. */
#ifndef HOLDFAST_SHA256_BLOCKS_H
#define HOLDFAST_SHA256_BLOCKS_H

#include "board/rt/base.h"

extern const uint32_t sha256_k[64]; /* FIPS 180-4, 4.2.2 */

typedef void sha256_blocks(uint32_t h[8], const uint8_t *data, size_t blocks);
sha256_blocks sha256_blocks_portable;
#if defined(__x86_64__)
#define SHA256_HAS_X86 1
sha256_blocks sha256_blocks_x86;
#elif defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_SHA2))
#define SHA256_HAS_ARM 1 /* clang before 16 hides the intrinsics unless the whole file is compiled for them */
sha256_blocks sha256_blocks_arm;
#endif

#endif
