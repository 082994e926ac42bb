/* hmac: HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869) for one block of key.
 *
 * Layer    format.   Blocks   never.   Memory   the stack (< 512 bytes), wiped.   Errors   none. */
#ifndef HOLDFAST_HMAC_H
#define HOLDFAST_HMAC_H

#include "net/format/sha256.h"

/* out may be key's own bytes. */
void hmac_sha256(struct bytes key, struct bytes data, uint8_t out[SHA256_BYTES]);
#define HKDF_INFO_MAX 64
void hkdf_sha256(struct bytes salt, struct bytes secret, const char *info, uint8_t out[SHA256_BYTES]);

#endif
