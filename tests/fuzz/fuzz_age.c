/* Fuzzes age; the first byte chooses what the rest is: a file; what stands in a header behind a good recipient, which gets the
 * right code; a plan of chunks, whose verdict is known; a bech32 text; an identity file. The identity is the specification's (32
 * times 0x42). */
#include "net/format/age_inside.h"
#include "net/format/base64.h"
#include "net/format/bech32.h"
#include "net/format/chacha.h"
#include "net/format/crypto.h"
#include "net/format/hmac.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define CHUNKS_MAX 3
#define INPUT_MAX  KIB(8)
#define FILE_MAX   (INPUT_MAX + KIB(1) + (CHUNKS_MAX + 1) * AGE_SEALED_BYTES)

static struct age_identity own;
static const uint8_t file_key[AGE_FILE_KEY_BYTES] = "a key of a file";
static char stanza[AGE_STANZA_CHARS + 1];
static uint8_t file[FILE_MAX], whole[FILE_MAX], slow[FILE_MAX];

static void prepare(void)
{
    static bool prepared;
    char text[512];
    struct text t = text_over(text, sizeof text);
    if (prepared)
        return;
    memset(own.secret, 0x42, sizeof own.secret);
    err e = crypto_x25519(own.secret, NULL, own.key);
    struct age_recipient r;
    memcpy(r.key, own.key, sizeof r.key);
    if (e == OK)
        e = age_header_write(&t, &r, 1, file_key);
    ASSERT(e == OK);
    memcpy(stanza, text + sizeof AGE_VERSION_LINE - 1, AGE_STANZA_CHARS);
    prepared = true;
}

/* --- decoding: at once and in steps, the same --- */

static err decode_by(struct bytes in, size_t in_step, size_t out_step, uint8_t *out, size_t *len)
{
    struct age_decoder *a = NULL;
    bool done = false;
    err e = age_decoder_open(&own, 1, &a);
    ASSERT(e == OK);
    *len = 0;
    while (e == OK && !done) {
        struct bytes piece = {in.at, size_min(in_step, in.len)};
        size_t made = 0, given = piece.len, room = size_min(out_step, FILE_MAX - *len);
        e = age_decode(a, &piece, out + *len, room, &made, given == in.len, &done);
        ASSERT(made <= room && piece.len <= given && piece.at + piece.len == in.at + given);
        ASSERT(e != OK || done || made > 0 || piece.len < given);
        ASSERT(age_decoder_ended(a) == done);
        in = (struct bytes){in.at + (given - piece.len), in.len - (given - piece.len)};
        *len += made;
    }
    age_decoder_close(a);
    trail_clear();
    return e;
}

static err decode_try(struct bytes in, size_t step)
{
    size_t len = 0, len_slow = 0;
    err e = decode_by(in, size_max(in.len, 1), FILE_MAX, whole, &len);
    err e_slow = decode_by(in, step, step * 3, slow, &len_slow);
    ASSERT(e == e_slow && (e != OK || (len == len_slow && memcmp(whole, slow, len) == 0)));
    ASSERT(e == OK || e == E_CORRUPT || e == E_DENIED || e == E_UNSUPPORTED || e == E_RANGE);
    return e;
}

static size_t add(size_t at, const void *from, size_t len)
{
    memcpy(file + at, from, len);
    return at + len;
}

static size_t code_add(size_t at)
{
    uint8_t key[AGE_KEY_BYTES], mac[AGE_MAC_BYTES];
    char digits[BASE64_TEXT_MAX(AGE_MAC_BYTES)];
    at = add(at, "---", 3);
    hkdf_sha256((struct bytes){NULL, 0}, (struct bytes){file_key, sizeof file_key}, "header", key);
    hmac_sha256((struct bytes){key, sizeof key}, (struct bytes){file, at}, mac);
    size_t len = base64_encode(BASE64_BARE, (struct bytes){mac, sizeof mac}, digits, sizeof digits);
    at = add(at, " ", 1);
    at = add(at, digits, len);
    return add(at, "\n", 1);
}

static size_t chunk_add(size_t at, uint64_t number, bool last, size_t len)
{
    static const uint8_t nonce[AGE_NONCE_BYTES] = {7};
    uint8_t key[AGE_KEY_BYTES], chunk_nonce[CHACHA_NONCE_BYTES];
    if (number == 0)
        at = add(at, nonce, sizeof nonce);
    age_payload_key(file_key, nonce, key);
    age_chunk_nonce(number, last, chunk_nonce);
    memset(file + at, (int)number, len);
    chacha_seal(key, chunk_nonce, (struct bytes){NULL, 0}, (struct bytes){file + at, len}, file + at, file + at + len);
    return at + len + AGE_CHUNK_TAG_BYTES;
}

static size_t header_start(void)
{
    size_t at = add(0, AGE_VERSION_LINE, sizeof AGE_VERSION_LINE - 1);
    return add(at, stanza, AGE_STANZA_CHARS);
}

static void header_try(struct bytes in, size_t step)
{
    size_t at = header_start();
    at = add(at, in.at, in.len);
    at = code_add(at);
    at = chunk_add(at, 0, true, 9);
    err e = decode_try((struct bytes){file, at}, step);
    ASSERT(in.len > 0 || e == OK);
    ASSERT(e != E_DENIED && e != E_UNSUPPORTED); /* it is for us, and of this version */
}

/* A byte a chunk: two bits for its length, one for the flag, the rest a damage. */
static void payload_try(struct bytes in, size_t step)
{
    static const size_t lengths[] = {AGE_CHUNK_BYTES, 0, 1, AGE_CHUNK_BYTES - 1};
    size_t at = code_add(header_start());
    bool good = in.len > 0, ended = false;
    for (size_t i = 0; i < in.len && i < CHUNKS_MAX; i++) {
        size_t len = lengths[in.at[i] & 3], begin = at, damage = in.at[i] >> 3;
        bool last = (in.at[i] & 4) != 0;
        at = chunk_add(at, i, last, len);
        good = good && !ended && (last || len == AGE_CHUNK_BYTES) && (len > 0 || i == 0) && damage == 0;
        ended = last;
        if (damage != 0)
            file[begin + (i == 0 ? AGE_NONCE_BYTES : 0) + len * damage / 32] ^= (uint8_t)damage;
    }
    err e = decode_try((struct bytes){file, at}, step * 1021);
    ASSERT(e == (good && ended ? OK : E_CORRUPT));
}

/* --- texts --- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 32) : c;
}

static void bech32_try(struct bytes in)
{
    uint8_t bytes[BECH32_TEXT_MAX];
    char prefix[BECH32_TEXT_MAX + 1], again[2 * BECH32_TEXT_MAX];
    struct bytes written;
    size_t len = 0;
    err e = bech32_decode(in, &written, bytes, sizeof bytes, &len);
    ASSERT(e == OK || e == E_INVALID || e == E_CORRUPT || e == E_RANGE);
    ASSERT((age_check_recipient(in) == NULL) <= (e == OK));
    if (e != OK)
        return;
    for (size_t i = 0; i < written.len; i++)
        prefix[i] = (char)lower(written.at[i]);
    prefix[written.len] = 0;
    bech32_encode(prefix, (struct bytes){bytes, len}, again, sizeof again);
    ASSERT(strlen(again) == in.len); /* one text, one meaning */
    for (size_t i = 0; i < in.len; i++)
        ASSERT((uint8_t)again[i] == lower(in.at[i]));
}

static void identities_try(struct bytes in)
{
    struct age_identity out[4];
    unsigned count = 9;
    err e = age_identities_parse(in, out, COUNT_OF(out), &count);
    ASSERT(e == OK || e == E_INVALID || e == E_RANGE);
    ASSERT(e == OK ? count > 0 && count <= COUNT_OF(out) : count == 0);
    trail_clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (size == 0 || size > INPUT_MAX)
        return 0;
    struct bytes in = {data + 1, size - 1};
    size_t step = (size_t)(data[0] >> 3) + 1;
    switch (data[0] & 7) {
    case 0:
        err_ignore(decode_try(in, step)); /* any result is one; they agree */
        break;
    case 1:
        header_try(in, step);
        break;
    case 2:
        payload_try(in, step);
        break;
    case 3:
        bech32_try(in);
        break;
    default:
        identities_try(in);
    }
    return 0;
}
