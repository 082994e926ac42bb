/* crypto: the primitives' library is started, and its errors have words. The one file of net/format that knows Mbed TLS.
 *
 * Layer    format.                                     Blocks   never.
 * Owner    one static state for the process.           Memory   the library's, charged to the task that runs.
 * Threads  crypto_boot() once, before there are threads.  Errors   E_BUDGET, or E_UNSUPPORTED the library refused to start.
 *
 * Randomness is os_random(), time is os_wall_ms() and os_mono(): under the simulated world, TLS is as repeatable as the rest. */
#ifndef HOLDFAST_CRYPTO_H
#define HOLDFAST_CRYPTO_H

#include "board/rt/err.h"

MUST_USE err crypto_boot(void); /* idempotent */
/* What a return code of the library means, "-0x7200" when nobody knows; returns out. */
const char *crypto_error_text(int code, char *out, size_t cap);
#define CRYPTO_ERROR_TEXT_MAX 128
/* How AES-GCM of whole messages is done here: "x86 aes-ni", "armv8 aes" or "library"; static. */
const char *crypto_gcm_implementation(void);
bool crypto_cpu_has_aes(void); /* then AES-GCM is offered before ChaCha20-Poly1305 */

#define CRYPTO_X25519_BYTES 32
/* RFC 7748, 5: scalar times point; point NULL: the base point. Some milliseconds and KiB: on the pool. E_INVALID the result is
 * all zeroes (a point of low order), E_BUDGET. Constant time in the scalar as far as the library is. */
MUST_USE err crypto_x25519(const uint8_t scalar[CRYPTO_X25519_BYTES], const uint8_t point[CRYPTO_X25519_BYTES],
                           uint8_t out[CRYPTO_X25519_BYTES]);

#define CRYPTO_P256_BYTES           32
#define CRYPTO_P256_SIGNATURE_BYTES 64
/* ECDSA over P-256 (FIPS 186-5) of a SHA-256 digest: r and s, 32 bytes each, big endian, as JWS has them (RFC 7518, 3.4). The
 * nonce is RFC 6979's. A millisecond or more: on the pool. The scalar stays in no memory of the library, nor below this call's
 * stack. E_INVALID the scalar is 0, or not below the curve's order; E_BUDGET. */
MUST_USE err crypto_p256_sign(const uint8_t scalar[CRYPTO_P256_BYTES], const uint8_t digest[32],
                              uint8_t signature[CRYPTO_P256_SIGNATURE_BYTES]);

#endif
