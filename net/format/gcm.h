/* gcm: AES-GCM (NIST SP 800-38D) with a 96-bit IV by the CPU's own AES and carry-less multiplication, several blocks at a time.
 *
 * Layer    format.                                     Blocks   never.
 * Owner    the caller; nothing is kept between calls.  Memory   the stack only (< 1 KiB); secrets on it are wiped.
 * Threads  any.                                        Errors   none; call only when gcm_is_fast(). The caller compares the tag.
 *
 * Constant time: no branch and no address depends on key or content. crypto.c hooks it below Mbed TLS. */
#ifndef HOLDFAST_GCM_H
#define HOLDFAST_GCM_H

#include "board/rt/base.h"

#define GCM_TAG_BYTES 16
#define GCM_IV_BYTES  12
#define GCM_BYTES_MAX ((UINT64_C(1) << 36) - 32) /* of content under one IV: SP 800-38D, 5.2.1.1 */

struct gcm {
    const uint8_t *round_keys; /* FIPS 197's key schedule: rounds + 1 of 16 bytes, any alignment */
    unsigned rounds;           /* 10, 12 or 14 */
    bool encrypt;
    const uint8_t *iv; /* GCM_IV_BYTES */
    struct bytes additional;
    const uint8_t *in;
    uint8_t *out; /* == in, or they do not overlap, or out is before in */
    size_t len;
};

enum gcm_kind { GCM_NONE, GCM_X86_AESNI, GCM_ARM_AES, GCM_KIND_COUNT };
bool gcm_is_fast(void);               /* false: this CPU, or this build, has none of it; use the library's own */
const char *gcm_implementation(void); /* "none", "x86 aes-ni", "armv8 aes" */
bool gcm_force(enum gcm_kind kind);   /* for tests and benchmarks; false (and no change) when this CPU cannot */
void gcm_crypt(const struct gcm *g, uint8_t tag[GCM_TAG_BYTES]);

#endif
