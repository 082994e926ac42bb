/* pem_key: the private key the platform knows us by, out of PEM: SEC1 (RFC 5915) or PKCS#8 (RFC 5958), P-256 only.
 *
 * Layer    format.                                     Blocks   never; some microseconds.
 * Owner    the caller, who wipes struct pem_key.       Memory   one block of the calling task, twice the text, wiped and freed.
 * Errors   E_INVALID no such key in it; E_UNSUPPORTED a key of another kind, or encrypted; E_RANGE too long a text; E_BUDGET.
 *
 * Text before the first block and an EC PARAMETERS block in front are skipped; what follows the key's block is not looked at. The
 * block's label decides nothing that its contents do not: what is wrong is told by what is inside. */
#ifndef HOLDFAST_PEM_KEY_H
#define HOLDFAST_PEM_KEY_H

#include "net/format/crypto.h"

#define PEM_KEY_TEXT_MAX KIB(16) /* an RSA key of 16 Kibit has 12.5 KiB, and is to be named as such */

/* What can be wrong, and what to do: words for a condition, a log line, a message. No byte of the key is ever in them. */
/*        id         error          text */
#define PEM_KEY_FAULT_TABLE(X)                                                                                                   \
    X(NONE, OK, "ok")                                                                                                            \
    X(SIZE, E_RANGE, "longer than 16 KiB: not one private key")                                                                  \
    X(NO_BLOCK, E_INVALID, "no PEM block in it: -----BEGIN EC PRIVATE KEY----- or -----BEGIN PRIVATE KEY----- is expected")      \
    X(NO_END, E_INVALID, "the PEM block has no END line: the text is cut")                                                       \
    X(BASE64, E_INVALID, "the PEM block is not base64: the text is damaged")                                                     \
    X(ENCRYPTED, E_UNSUPPORTED, "the key is encrypted: decrypt it first (openssl pkcs8 -in KEY -out NEW)")                       \
    X(NOT_PRIVATE, E_INVALID, "a certificate or public key: the private key is expected")                                        \
    X(SHAPE, E_INVALID, "neither SEC1 (EC PRIVATE KEY) nor PKCS#8 (PRIVATE KEY)")                                                \
    X(RSA, E_UNSUPPORTED, "an RSA key, not ECDSA: ES256 needs a P-256 key")                                                      \
    X(EDWARDS, E_UNSUPPORTED, "an Ed25519, Ed448, X25519 or X448 key, not ECDSA: ES256 needs a P-256 key")                       \
    X(NOT_ECDSA, E_UNSUPPORTED, "not an ECDSA key: ES256 needs a P-256 key")                                                     \
    X(P384, E_UNSUPPORTED, "a P-384 key: ES256 needs P-256")                                                                     \
    X(P521, E_UNSUPPORTED, "a P-521 key: ES256 needs P-256")                                                                     \
    X(CURVE, E_UNSUPPORTED, "a key of another curve: ES256 needs P-256")                                                         \
    X(EXPLICIT, E_UNSUPPORTED,                                                                                                   \
      "the curve is written out: ES256 needs the named curve P-256 (openssl ec -param_enc named_curve)")                         \
    X(SCALAR, E_INVALID, "the key is 0, or not below the curve's order: the text is damaged")                                    \
    X(MEMORY, E_BUDGET, "no memory to read it")

enum pem_key_fault {
#define X(id, error, text) PEM_KEY_##id,
    PEM_KEY_FAULT_TABLE(X)
#undef X
        PEM_KEY_FAULT_COUNT
};

struct pem_key { /* a secret: wiped by its owner, never logged */
    uint8_t scalar[CRYPTO_P256_BYTES];
};

/* OK, or the fault's error with its text in the trail; *fault (may be NULL) says which. Not OK: *out is wiped. */
MUST_USE err pem_key_parse(struct bytes text, struct pem_key *out, enum pem_key_fault *fault);
const char *pem_key_fault_text(enum pem_key_fault fault); /* static */
void pem_key_wipe(struct pem_key *k);

#endif
