/* cpu: which of the instructions that we have kernels for this machine has, asked once; and the choice among the kernels.
 *
 * Layer    format.   Blocks   never.   Memory   one static word, and a caller's static choice.   Errors   none.
 * Threads  any; cpu_force() before there are threads. */
#ifndef HOLDFAST_CPU_H
#define HOLDFAST_CPU_H

#include "board/rt/base.h"

#include <stdatomic.h>

enum cpu_feature {
    CPU_SHA256 = 1, /* x86: SHA, SSSE3, SSE4.1; ARMv8: SHA2 */
    CPU_AES = 2,    /* x86: AES-NI, PCLMULQDQ, SSSE3, SSE4.1; ARMv8: AES, PMULL */
    CPU_CRC32C = 4, /* x86: SSE4.2; ARMv8: CRC32 */
    CPU_AVX2 = 8    /* x86, with BMI1 and POPCNT, as all have had; and the kernel keeps its registers */
};
bool cpu_has(unsigned features); /* all of them; of none: true */

typedef void cpu_kernel(void); /* any function: who calls it casts it back to its own type */
struct cpu_way {
    const char *name; /* NULL: not in this build */
    unsigned needs;   /* enum cpu_feature, or 0 */
    cpu_kernel *kernel;
};
struct cpu_choice {             /* static: {.ways = ways, .count = COUNT_OF(ways)} */
    const struct cpu_way *ways; /* by kind: first the one that is always there, the fastest last */
    unsigned count;
    _Atomic(const struct cpu_way *) chosen; /* NULL until first asked; every thread would choose the same */
};
const struct cpu_way *cpu_chosen(struct cpu_choice *c); /* the last that this CPU can */
bool cpu_force(struct cpu_choice *c, unsigned kind);    /* this one from now on; false (and no change) when this CPU cannot */

#endif
