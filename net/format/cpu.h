/* cpu: which instructions for cryptography this machine has, asked once.
 *
 * Layer    format.   Blocks   never.   Memory   one static word.   Threads   any.   Errors   none. */
#ifndef HOLDFAST_CPU_H
#define HOLDFAST_CPU_H

#include "board/rt/base.h"

enum cpu_feature {
    CPU_ASKED = 1,  /* the answer is there */
    CPU_SHA256 = 2, /* x86: SHA, SSSE3, SSE4.1; ARMv8: SHA2 */
    CPU_AES = 4,    /* x86: AES-NI, PCLMULQDQ, SSSE3, SSE4.1; ARMv8: AES, PMULL */
    CPU_CRC32C = 8, /* x86: SSE4.2; ARMv8: CRC32 */
    CPU_AVX2 = 16   /* x86, with BMI1 and POPCNT, as all have had; and the kernel keeps its registers */
};

bool cpu_has(enum cpu_feature f);

#endif
