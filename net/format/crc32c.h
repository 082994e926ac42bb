/* crc32c: CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the CPU's own instruction where it has one.
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   none.   Threads   any; crc32c_force() before there are threads.
 */
#ifndef HOLDFAST_CRC32C_H
#define HOLDFAST_CRC32C_H

#include "board/rt/base.h"

/* crc: 0 at the start, else what the call before returned. */
uint32_t crc32c(uint32_t crc, struct bytes data);

enum crc32c_kind { CRC32C_PORTABLE, CRC32C_X86_SSE42, CRC32C_ARM_CRC, CRC32C_KIND_COUNT };
bool crc32c_force(enum crc32c_kind kind); /* for tests: false (and no change) when this CPU cannot */

#endif
