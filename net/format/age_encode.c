#include "net/format/age_inside.h"

#include "board/rt/os.h"
#include "board/rt/secret.h"
#include "net/format/chacha.h"

#include <stdlib.h>
#include <string.h>

/* buffer[at..len) waits for room (the header, a sealed chunk); when there is nothing to drain, buffer[0..len) is a chunk to be.
 */
struct age_encoder {
    uint8_t key[AGE_KEY_BYTES];
    uint64_t number; /* of the next chunk */
    size_t at, len;
    bool draining, ending, last, done; /* `last`: the last chunk is sealed */
    uint8_t buffer[AGE_SEALED_BYTES];
};
static_assert(sizeof(struct age_encoder) + 64 <= AGE_ENCODER_BYTES, "with the heap's own");

#define HEADER_CHARS(recipients) (sizeof AGE_VERSION_LINE - 1 + (uint64_t)(recipients)*AGE_STANZA_CHARS + AGE_CODE_CHARS)
static_assert(HEADER_CHARS(AGE_RECIPIENTS_MAX) + AGE_NONCE_BYTES < AGE_CHUNK_BYTES, "it begins in the buffer");

uint64_t age_encoded_bytes(unsigned recipients, uint64_t content)
{
    uint64_t chunks = content == 0 ? 1 : (content - 1) / AGE_CHUNK_BYTES + 1;
    return HEADER_CHARS(recipients) + AGE_NONCE_BYTES + content + chunks * AGE_CHUNK_TAG_BYTES;
}

static err header_begin(struct age_encoder *a, const struct age_recipient *recipients, unsigned count)
{
    uint8_t file_key[AGE_FILE_KEY_BYTES], nonce[AGE_NONCE_BYTES];
    struct text header = text_over((char *)a->buffer, sizeof a->buffer);
    os_random(file_key, sizeof file_key);
    os_random(nonce, sizeof nonce);
    err e = age_header_write(&header, recipients, count, file_key);
    if (e == OK) {
        ASSERT(header.len == HEADER_CHARS(count));
        memcpy(a->buffer + header.len, nonce, sizeof nonce);
        a->len = header.len + sizeof nonce;
        a->draining = true;
        age_payload_key(file_key, nonce, a->key);
    }
    wipe(file_key, sizeof file_key);
    return e;
}

err age_encoder_open(const struct age_recipient *recipients, unsigned count, struct age_encoder **out)
{
    ASSERT(count > 0 && count <= AGE_RECIPIENTS_MAX);
    struct age_encoder *a = malloc(sizeof *a);
    *out = NULL;
    if (a == NULL)
        return trail(E_BUDGET, "encrypting wants %u KiB", (unsigned)(AGE_ENCODER_BYTES / 1024));
    memset(a, 0, offsetof(struct age_encoder, buffer));
    err e = header_begin(a, recipients, count);
    if (e != OK) {
        age_encoder_close(a);
        return trail(e, "encrypting");
    }
    *out = a;
    return OK;
}

/* out may be content's own bytes. */
static void chunk_seal(struct age_encoder *a, struct bytes content, bool last, uint8_t *out)
{
    uint8_t nonce[CHACHA_NONCE_BYTES];
    age_chunk_nonce(a->number++, last, nonce);
    chacha_seal(a->key, nonce, (struct bytes){NULL, 0}, content, out, out + content.len);
    a->last = last;
}

static void buffer_seal(struct age_encoder *a, bool last)
{
    chunk_seal(a, (struct bytes){a->buffer, a->len}, last, a->buffer);
    a->len += AGE_CHUNK_TAG_BYTES;
    a->at = 0;
    a->draining = true;
}

static void buffer_drain(struct age_encoder *a, uint8_t *out, size_t cap, size_t *made)
{
    size_t n = size_min(a->len - a->at, cap - *made);
    if (n > 0)
        memcpy(out + *made, a->buffer + a->at, n);
    *made += n;
    a->at += n;
    if (a->at < a->len)
        return;
    a->draining = false;
    a->at = a->len = 0;
    a->done = a->last;
}

/* A chunk that is full is kept until it is known whether another byte follows. False: input or room is wanted. */
static bool step(struct age_encoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end)
{
    if (a->done)
        return false;
    if (a->draining) {
        buffer_drain(a, out, cap, made);
        return !a->draining;
    }
    if (a->len == 0 && in->len > AGE_CHUNK_BYTES && cap - *made >= AGE_SEALED_BYTES) { /* past the buffer */
        chunk_seal(a, (struct bytes){in->at, AGE_CHUNK_BYTES}, false, out + *made);
        *in = bytes_after(*in, AGE_CHUNK_BYTES);
        *made += AGE_SEALED_BYTES;
        return true;
    }
    if (in->len > 0 && a->len == AGE_CHUNK_BYTES) {
        buffer_seal(a, false);
        return true;
    }
    size_t n = size_min(in->len, AGE_CHUNK_BYTES - a->len);
    if (n > 0)
        memcpy(a->buffer + a->len, in->at, n);
    a->len += n;
    *in = bytes_after(*in, n);
    if (in->len == 0 && end)
        buffer_seal(a, true);
    return in->len > 0 || end;
}

err age_encode(struct age_encoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    ASSERT(!a->ending || end);
    a->ending = end;
    *made = 0;
    while (step(a, in, out, cap, made, end)) {
    }
    *done = a->done;
    return OK;
}

void age_encoder_close(struct age_encoder *a)
{
    if (a == NULL)
        return;
    wipe(a, sizeof *a);
    free(a);
}
