/* age_inside: what net/format/age*.c share: the key of a file, its header, the nonces of its chunks.
 *
 * Layer    format.   Blocks   never; wrapping and unwrapping compute X25519.   Memory   the caller's.
 * Errors   as net/format/age.h says. */
#ifndef HOLDFAST_AGE_INSIDE_H
#define HOLDFAST_AGE_INSIDE_H

#include "board/rt/text.h"
#include "net/format/age.h"

#define AGE_VERSION_LINE   "age-encryption.org/v1\n"
#define AGE_FILE_KEY_BYTES 16
#define AGE_NONCE_BYTES    16 /* of the payload */
#define AGE_MAC_BYTES      32
#define AGE_SEALED_BYTES   (AGE_CHUNK_BYTES + AGE_CHUNK_TAG_BYTES)
#define AGE_STANZAS_MAX    64
/* "-> X25519 ", a share, a body, in base64 with their line feeds; and the line with the code. */
#define AGE_STANZA_CHARS (10 + 43 + 1 + 43 + 1)
#define AGE_CODE_CHARS   (4 + 43 + 1)

/* Writes the header: the file key, wrapped for each recipient, and the code over it. E_INVALID a recipient of low order. */
MUST_USE err age_header_write(struct text *out, const struct age_recipient *recipients, unsigned count,
                              const uint8_t file_key[AGE_FILE_KEY_BYTES]);
/* A whole header, up to and with the line feed after its code. */
MUST_USE err age_header_read(struct bytes header, const struct age_identity *identities, unsigned count,
                             uint8_t file_key[AGE_FILE_KEY_BYTES]);
void age_payload_key(const uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t nonce[AGE_NONCE_BYTES],
                     uint8_t key[AGE_KEY_BYTES]);
/* STREAM's nonce, twelve bytes: the chunk's number, big endian, and whether it is the last. */
void age_chunk_nonce(uint64_t number, bool last, uint8_t nonce[12]);

#endif
