/* age: files of age-encryption.org/v1 with X25519 keys: written for several recipients, read with several identities, streaming.
 *
 * Layer    format.                               Blocks   never; open() and the first call of age_decode() compute some
 * Owner    the caller closes. Not shared: one             milliseconds a key (X25519): on the pool, as large streams.
 *          thread at a time, any thread.         Memory   one block of AGE_ENCODER_BYTES or AGE_DECODER_BYTES of the opening
 *                                                         task's heap, wiped by close(); a few KiB more during X25519.
 * Errors   E_BUDGET no memory; E_INVALID not a key: what and where is told, never the key; E_DENIED none of the identities
 *          opens this file; E_CORRUPT damaged, cut off, reordered or lengthened: what and where is told, and no byte of the
 *          damaged piece is handed out; E_UNSUPPORTED armored (text), or of another version; E_RANGE a header of more than
 *          AGE_HEADER_BYTES_MAX. After an error only close() is of use.
 *
 * Format: C2SP age.md. The stream calls take from *in what they can, moving it, and write to out[0..cap): *made says how much;
 * with nothing to take or no room they do nothing. Spans of many chunks (AGE_CHUNK_BYTES) are done without copying. */
#ifndef HOLDFAST_AGE_H
#define HOLDFAST_AGE_H

#include "board/rt/err.h"

#define AGE_KEY_BYTES        32
#define AGE_RECIPIENTS_MAX   8
#define AGE_IDENTITIES_MAX   8
#define AGE_CHUNK_BYTES      KIB(64)
#define AGE_CHUNK_TAG_BYTES  16 /* a chunk grows by it */
#define AGE_HEADER_BYTES_MAX KIB(64)
#define AGE_ENCODER_BYTES    KIB(68)
#define AGE_DECODER_BYTES    KIB(68)
#define AGE_TEXT_MAX         80 /* of a recipient or an identity, with the zero */

struct age_recipient {
    uint8_t key[AGE_KEY_BYTES];
};
struct age_identity { /* wipe() it after use */
    uint8_t secret[AGE_KEY_BYTES], key[AGE_KEY_BYTES];
};

/* NULL: `text` is a recipient ("age1…"). Else what it is and what to do, static, to follow the name of the option; the text
 * itself is never part of it, for it may be a secret. */
const char *age_check_recipient(struct bytes text);
MUST_USE err age_recipient_parse(struct bytes text, struct age_recipient *out);
void age_recipient_print(const struct age_recipient *r, char out[AGE_TEXT_MAX]); /* "age1…" */
/* An identity file as age-keygen writes it: one key a line, empty lines and lines that begin with # between. E_INVALID names the
 * line; E_RANGE more than cap keys. The caller wipes out[] and the file's bytes. */
MUST_USE err age_identities_parse(struct bytes file, struct age_identity *out, unsigned cap, unsigned *count);

struct age_encoder;
MUST_USE err age_encoder_open(const struct age_recipient *recipients, unsigned count, struct age_encoder **out);
/* `end`: nothing comes after *in; it then stays true, and *in only shrinks. *done: all is written, the file is whole. */
MUST_USE err age_encode(struct age_encoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);
void age_encoder_close(struct age_encoder *a);                     /* NULL is fine */
uint64_t age_encoded_bytes(unsigned recipients, uint64_t content); /* how long the file becomes, exactly */

struct age_decoder;
/* Keeps a copy of the identities until the header is read. */
MUST_USE err age_decoder_open(const struct age_identity *identities, unsigned count, struct age_decoder **out);
/* A chunk is handed out when it is known whether it is the last, so `end` must be told; *done: the last one is written. */
MUST_USE err age_decode(struct age_decoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);
bool age_decoder_ended(const struct age_decoder *a); /* the last chunk was verified and is written */
void age_decoder_close(struct age_decoder *a);       /* NULL is fine */

#endif
