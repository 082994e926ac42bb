#include "net/format/age_inside.h"

#include "board/rt/secret.h"
#include "net/format/chacha.h"

#include <stdlib.h>
#include <string.h>

#define ARMOR "-----BEGIN AGE ENCRYPTED FILE-----"

enum state { IN_HEADER, IN_NONCE, IN_CHUNK, DRAINING, ENDED };

/* buffer[at..len): in DRAINING what waits for room, else what was gathered of the header, the nonce or a chunk. */
struct age_decoder {
    struct age_identity identities[AGE_IDENTITIES_MAX]; /* wiped when the header was read */
    unsigned identity_count;
    enum state state;
    bool last;                            /* the last chunk was opened */
    uint8_t file_key[AGE_FILE_KEY_BYTES]; /* between header and nonce */
    uint8_t key[AGE_KEY_BYTES];
    uint64_t number; /* of the next chunk */
    size_t at, len;
    size_t line; /* of the header: where the open line begins */
    uint8_t buffer[AGE_SEALED_BYTES];
};
static_assert(sizeof(struct age_decoder) + 64 <= AGE_DECODER_BYTES, "with the heap's own");
static_assert(AGE_HEADER_BYTES_MAX <= AGE_SEALED_BYTES, "it is gathered in the buffer");

err age_decoder_open(const struct age_identity *identities, unsigned count, struct age_decoder **out)
{
    ASSERT(count > 0 && count <= AGE_IDENTITIES_MAX);
    struct age_decoder *a = malloc(sizeof *a);
    *out = NULL;
    if (a == NULL)
        return trail(E_BUDGET, "decrypting wants %u KiB", (unsigned)(AGE_DECODER_BYTES / 1024));
    memset(a, 0, offsetof(struct age_decoder, buffer));
    memcpy(a->identities, identities, count * sizeof *identities);
    a->identity_count = count;
    *out = a;
    return OK;
}

static void gather(struct age_decoder *a, struct bytes *in, size_t n)
{
    if (n > 0)
        memcpy(a->buffer + a->len, in->at, n);
    a->len += n;
    *in = bytes_after(*in, n);
}

/* --- header and nonce --- */

/* Whatever is no age file is told as soon as its first bytes differ. */
static err beginning_check(const struct age_decoder *a)
{
    size_t n = size_min(a->len, sizeof AGE_VERSION_LINE - 1);
    if (memcmp(a->buffer, AGE_VERSION_LINE, n) == 0)
        return OK;
    if (memcmp(a->buffer, ARMOR, size_min(a->len, sizeof ARMOR - 1)) == 0)
        return a->len < sizeof ARMOR - 1
                   ? OK
                   : trail(E_UNSUPPORTED, "the age file is armored (text); make it binary with `base64 -d` of "
                                          "the lines between its first and last, or encrypt without -a");
    if (a->len > 19 && memcmp(a->buffer, AGE_VERSION_LINE, 19) == 0) /* up to the slash */
        return trail(E_UNSUPPORTED, "the age file is of another version than v1");
    return trail(E_CORRUPT, "this is no age file");
}

static err header_end(struct age_decoder *a)
{
    err e = age_header_read((struct bytes){a->buffer, a->len}, a->identities, a->identity_count, a->file_key);
    wipe(a->identities, sizeof a->identities);
    a->state = IN_NONCE;
    a->len = 0;
    return e;
}

/* Line by line: the header ends with the line that begins with "---". */
static err header_step(struct age_decoder *a, struct bytes *in, bool *more)
{
    if (in->len == 0) {
        *more = false;
        return OK;
    }
    const uint8_t *feed = memchr(in->at, '\n', in->len);
    size_t n = feed != NULL ? (size_t)(feed - in->at) + 1 : in->len;
    bool fits = n <= AGE_HEADER_BYTES_MAX - a->len;
    gather(a, in, fits ? n : AGE_HEADER_BYTES_MAX - a->len);
    TRY(beginning_check(a));
    if (!fits)
        return trail(E_RANGE, "the age header is longer than %u KiB", (unsigned)(AGE_HEADER_BYTES_MAX / 1024));
    if (feed == NULL)
        return OK;
    bool is_end = a->len - a->line > 3 && memcmp(a->buffer + a->line, "---", 3) == 0;
    a->line = a->len;
    return is_end ? header_end(a) : OK;
}

static void nonce_step(struct age_decoder *a, struct bytes *in, bool *more)
{
    gather(a, in, size_min(in->len, AGE_NONCE_BYTES - a->len));
    *more = a->len == AGE_NONCE_BYTES;
    if (!*more)
        return;
    age_payload_key(a->file_key, a->buffer, a->key);
    wipe(a->file_key, sizeof a->file_key);
    a->state = IN_CHUNK;
    a->len = 0;
}

/* --- chunks --- */

static bool opens(const struct age_decoder *a, struct bytes sealed, bool last, uint8_t *out)
{
    uint8_t nonce[CHACHA_NONCE_BYTES];
    struct bytes body = {sealed.at, sealed.len - AGE_CHUNK_TAG_BYTES};
    age_chunk_nonce(a->number, last, nonce);
    return chacha_open(a->key, nonce, (struct bytes){NULL, 0}, body, sealed.at + body.len, out);
}

/* What is wrong with a chunk that does not open; the buffer is given up for it. */
static err chunk_tell(struct age_decoder *a, struct bytes sealed, bool last)
{
    unsigned long long number = a->number;
    bool other = opens(a, sealed, !last, a->buffer);
    wipe(a->buffer, sizeof a->buffer);
    if (other && !last)
        return trail(E_CORRUPT, "the age file: more follows after its last chunk (%llu)", number);
    if (other)
        return trail(E_CORRUPT, "the age file is cut off after chunk %llu", number);
    return trail(E_CORRUPT, "the age file: chunk %llu is %s", number,
                 last ? "damaged, or cut off" : "damaged or not in its place");
}

static err chunk_open(struct age_decoder *a, struct bytes sealed, bool last, uint8_t *out)
{
    if (!opens(a, sealed, last, out))
        return chunk_tell(a, sealed, last);
    a->number++;
    a->last = last;
    return OK;
}

/* In its place; then it waits for room. */
static err buffer_open(struct age_decoder *a, bool last)
{
    TRY(chunk_open(a, (struct bytes){a->buffer, a->len}, last, a->buffer));
    a->len -= AGE_CHUNK_TAG_BYTES;
    a->at = 0;
    a->state = DRAINING;
    return OK;
}

static err last_open(struct age_decoder *a)
{
    if (a->len < AGE_CHUNK_TAG_BYTES)
        return trail(E_CORRUPT, "the age file is cut off %s chunk %llu", a->len == 0 ? "before" : "in",
                     (unsigned long long)a->number);
    if (a->len == AGE_CHUNK_TAG_BYTES && a->number > 0)
        return trail(E_CORRUPT, "the age file: chunk %llu is empty", (unsigned long long)a->number);
    return buffer_open(a, true);
}

/* A chunk is not the last when a byte follows it. */
static err chunk_step(struct age_decoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *more)
{
    if (a->len == 0 && in->len > AGE_SEALED_BYTES && cap - *made >= AGE_CHUNK_BYTES) { /* past the buffer */
        TRY(chunk_open(a, (struct bytes){in->at, AGE_SEALED_BYTES}, false, out + *made));
        *in = bytes_after(*in, AGE_SEALED_BYTES);
        *made += AGE_CHUNK_BYTES;
        return OK;
    }
    if (in->len > 0 && a->len == AGE_SEALED_BYTES)
        return buffer_open(a, false);
    gather(a, in, size_min(in->len, AGE_SEALED_BYTES - a->len));
    if (in->len == 0 && end)
        return last_open(a);
    *more = in->len > 0;
    return OK;
}

static void drain_step(struct age_decoder *a, uint8_t *out, size_t cap, size_t *made, bool *more)
{
    size_t n = size_min(a->len - a->at, cap - *made);
    if (n > 0)
        memcpy(out + *made, a->buffer + a->at, n);
    *made += n;
    a->at += n;
    *more = a->at == a->len;
    if (!*more)
        return;
    a->at = a->len = 0;
    a->state = a->last ? ENDED : IN_CHUNK;
}

static err step(struct age_decoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *more)
{
    *more = true;
    switch (a->state) {
    case IN_HEADER:
        return header_step(a, in, more);
    case IN_NONCE:
        nonce_step(a, in, more);
        return OK;
    case IN_CHUNK:
        return chunk_step(a, in, out, cap, made, end, more);
    case DRAINING:
        drain_step(a, out, cap, made, more);
        return OK;
    case ENDED:
        *more = false;
        return OK;
    }
    return OK;
}

err age_decode(struct age_decoder *a, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    *made = 0;
    *done = false;
    for (bool more = true; more;) {
        err e = step(a, in, out, cap, made, end, &more);
        if (e != OK) {
            *made = 0;
            return e;
        }
    }
    if (end && a->state <= IN_NONCE)
        return trail(E_CORRUPT,
                     a->len == 0 && a->state == IN_HEADER ? "the age file is empty" : "the age file is cut off in its header");
    *done = a->state == ENDED;
    return OK;
}

bool age_decoder_ended(const struct age_decoder *a)
{
    return a->state == ENDED;
}

void age_decoder_close(struct age_decoder *a)
{
    if (a == NULL)
        return;
    wipe(a, sizeof *a);
    free(a);
}
