/* chacha_choice: which kernels this build has. For net/format/chacha*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   the stack, wiped.   Errors   none; call only what cpu_has() allows. */
#ifndef HOLDFAST_CHACHA_CHOICE_H
#define HOLDFAST_CHACHA_CHOICE_H

#include "net/format/chacha.h"

#define CHACHA_WORDS       16 /* RFC 8439, 2.3: constants, key, counter, nonce */
#define CHACHA_COUNTER     12 /* the word that counts blocks */
#define CHACHA_BLOCK_BYTES 64

/* out = in xor the key stream from the counter in state[] on; the counter is moved by the blocks that were begun. */
typedef void chacha_kernel(uint32_t state[CHACHA_WORDS], const uint8_t *in, uint8_t *out, size_t len);
chacha_kernel chacha_xor_portable;
#if defined(__x86_64__)
#define CHACHA_HAS_X86 1
chacha_kernel chacha_xor_avx2;
#endif

#endif
