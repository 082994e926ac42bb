/* chacha: ChaCha20-Poly1305 (RFC 8439), several blocks at a time by the CPU's vectors.
 *
 * Layer    format.                                     Blocks   never; large spans belong on the pool.
 * Owner    the caller; nothing is kept between calls.  Memory   the stack only (< 3 KiB); keys on it are wiped.
 * Threads  any; chacha_force() before there are some.  Errors   none.
 *
 * Constant time: no branch and no address depends on key or content. */
#ifndef HOLDFAST_CHACHA_H
#define HOLDFAST_CHACHA_H

#include "board/rt/base.h"

#define CHACHA_KEY_BYTES   32
#define CHACHA_NONCE_BYTES 12
#define CHACHA_TAG_BYTES   16
#define CHACHA_BYTES_MAX   ((UINT64_C(1) << 38) - 64) /* under one nonce: RFC 8439, 2.8 */

/* out[0..content.len) and the tag; out == content.at, or they do not overlap. */
void chacha_seal(const uint8_t key[CHACHA_KEY_BYTES], const uint8_t nonce[CHACHA_NONCE_BYTES], struct bytes additional,
                 struct bytes content, uint8_t *out, uint8_t tag[CHACHA_TAG_BYTES]);
/* False: the tag is of something else, and out is untouched. */
MUST_USE bool chacha_open(const uint8_t key[CHACHA_KEY_BYTES], const uint8_t nonce[CHACHA_NONCE_BYTES], struct bytes additional,
                          struct bytes sealed, const uint8_t tag[CHACHA_TAG_BYTES], uint8_t *out);

enum chacha_kind { CHACHA_PORTABLE, CHACHA_X86_AVX2, CHACHA_KIND_COUNT };
const char *chacha_implementation(void);  /* "128-bit vectors", "x86 avx2": the one in use */
bool chacha_force(enum chacha_kind kind); /* for tests and benchmarks; false (and no change) when this CPU cannot */

#endif
