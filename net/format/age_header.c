/* The textual header: C2SP age.md, "Header" and "The X25519 recipient type". */
#include "net/format/age_inside.h"

#include "board/rt/os.h"
#include "board/rt/secret.h"
#include "net/format/base64.h"
#include "net/format/chacha.h"
#include "net/format/crypto.h"
#include "net/format/hmac.h"

#include <string.h>

#define BODY_BYTES   (AGE_FILE_KEY_BYTES + CHACHA_TAG_BYTES)
#define LINE_CHARS   64 /* of a stanza's body; the last line has fewer */
#define KEY_TEXT_MAX BASE64_TEXT_MAX(AGE_KEY_BYTES)

static_assert(BODY_BYTES == AGE_KEY_BYTES && AGE_MAC_BYTES == AGE_KEY_BYTES, "all are 43 digits");
static_assert(SHA256_BYTES == AGE_KEY_BYTES, "keys are digests");

static struct bytes key_span(const uint8_t key[AGE_KEY_BYTES])
{
    return (struct bytes){key, AGE_KEY_BYTES};
}

void age_payload_key(const uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t nonce[AGE_NONCE_BYTES], uint8_t key[AGE_KEY_BYTES])
{
    hkdf_sha256((struct bytes){nonce, AGE_NONCE_BYTES}, (struct bytes){file_key, AGE_FILE_KEY_BYTES}, "payload", key);
}

void age_chunk_nonce(uint64_t number, bool last, uint8_t nonce[12])
{
    memset(nonce, 0, 3);
    for (unsigned i = 0; i < 8; i++)
        nonce[3 + i] = (uint8_t)(number >> (56 - 8 * i));
    nonce[11] = last;
}

/* Over all before the space that follows "---". */
static void header_code(struct bytes covered, const uint8_t file_key[AGE_FILE_KEY_BYTES], uint8_t code[AGE_MAC_BYTES])
{
    uint8_t key[AGE_KEY_BYTES];
    hkdf_sha256((struct bytes){NULL, 0}, (struct bytes){file_key, AGE_FILE_KEY_BYTES}, "header", key);
    hmac_sha256(key_span(key), covered, code);
    wipe(key, sizeof key);
}

/* The key that wraps the file key, from one's own secret and the other's public key. */
static err wrap_key(const uint8_t *secret, const uint8_t *other, const uint8_t *share, const uint8_t *recipient,
                    uint8_t key[AGE_KEY_BYTES])
{
    uint8_t shared[AGE_KEY_BYTES], salt[2 * AGE_KEY_BYTES];
    memcpy(salt, share, AGE_KEY_BYTES);
    memcpy(salt + AGE_KEY_BYTES, recipient, AGE_KEY_BYTES);
    err e = crypto_x25519(secret, other, shared);
    if (e == OK)
        hkdf_sha256((struct bytes){salt, sizeof salt}, key_span(shared), "age-encryption.org/v1/X25519", key);
    wipe(shared, sizeof shared);
    return e;
}

static const uint8_t zero_nonce[CHACHA_NONCE_BYTES]; /* each wrap key is used once */

/* --- writing --- */

static void digits_add(struct text *out, const uint8_t bytes[AGE_KEY_BYTES])
{
    char digits[KEY_TEXT_MAX];
    (void)base64_encode(BASE64_BARE, key_span(bytes), digits, sizeof digits);
    text_addf(out, "%s\n", digits);
}

static err stanza_write(struct text *out, const struct age_recipient *r, const uint8_t file_key[AGE_FILE_KEY_BYTES])
{
    uint8_t secret[AGE_KEY_BYTES], share[AGE_KEY_BYTES], key[AGE_KEY_BYTES], body[BODY_BYTES];
    os_random(secret, sizeof secret);
    err e = crypto_x25519(secret, NULL, share);
    if (e == OK)
        e = wrap_key(secret, r->key, share, r->key, key);
    if (e == OK) {
        chacha_seal(key, zero_nonce, (struct bytes){NULL, 0}, (struct bytes){file_key, AGE_FILE_KEY_BYTES}, body,
                    body + AGE_FILE_KEY_BYTES);
        text_add(out, "-> X25519 ");
        digits_add(out, share);
        digits_add(out, body);
    }
    wipe(secret, sizeof secret);
    wipe(key, sizeof key);
    return e;
}

err age_header_write(struct text *out, const struct age_recipient *recipients, unsigned count,
                     const uint8_t file_key[AGE_FILE_KEY_BYTES])
{
    uint8_t code[AGE_MAC_BYTES];
    text_add(out, AGE_VERSION_LINE);
    for (unsigned i = 0; i < count; i++) {
        err e = stanza_write(out, &recipients[i], file_key);
        if (e != OK)
            return trail(e, "recipient %u of %u", i + 1, count);
    }
    text_add(out, "---");
    header_code((struct bytes){(const uint8_t *)out->at, out->len}, file_key, code);
    text_add(out, " ");
    digits_add(out, code);
    ASSERT(!out->cut);
    return OK;
}

/* --- reading --- */

struct reader {
    struct bytes rest;
    const struct age_identity *identities;
    unsigned identity_count;
    unsigned stanza_count, passphrase_count;
    bool has_key;
    uint8_t *file_key;
};

#define FAULT(...) trail(E_CORRUPT, "the age header: " __VA_ARGS__)

static bool line_take(struct reader *r, struct bytes *line)
{
    const uint8_t *feed = memchr(r->rest.at, '\n', r->rest.len);
    if (feed == NULL)
        return false;
    *line = (struct bytes){r->rest.at, (size_t)(feed - r->rest.at)};
    r->rest = bytes_after(r->rest, line->len + 1);
    return true;
}

/* One argument up to a space or the line's end; false: empty, or not of printable characters. */
static bool word_take(struct bytes *line, struct bytes *word)
{
    size_t len = 0;
    while (len < line->len && line->at[len] != ' ') {
        if (line->at[len] < 0x21 || line->at[len] > 0x7e)
            return false;
        len++;
    }
    *word = (struct bytes){line->at, len};
    bool ends = len == line->len;
    *line = bytes_after(*line, ends ? len : len + 1);
    return len > 0 && (ends || line->len > 0); /* a space is followed by a word */
}

struct stanza {
    struct bytes type, first; /* the arguments; what more there are is counted */
    unsigned words;
    uint8_t body[LINE_CHARS / 4 * 3]; /* of its last line */
    size_t body_len;                  /* of all lines */
};

static err words_read(struct bytes line, struct stanza *s)
{
    struct bytes word;
    *s = (struct stanza){.words = 0};
    if (line.len < 3 || memcmp(line.at, "-> ", 3) != 0)
        return FAULT("a line is neither a recipient's nor the last");
    line = bytes_after(line, 3);
    do {
        if (!word_take(&line, &word))
            return FAULT("a recipient's line is damaged");
        if (s->words == 0)
            s->type = word;
        if (s->words == 1)
            s->first = word;
        s->words++;
    } while (line.len > 0);
    return OK;
}

/* Lines of 64 digits, and one with fewer, which may be empty. */
static err body_read(struct reader *r, struct stanza *s)
{
    struct bytes line;
    do {
        size_t len = 0;
        if (!line_take(r, &line) || line.len > LINE_CHARS ||
            base64_decode(BASE64_BARE, line, s->body, sizeof s->body, &len) != OK)
            return FAULT("a recipient's body is damaged");
        s->body_len += len;
    } while (line.len == LINE_CHARS);
    return OK;
}

/* E_DENIED: it is for someone else. */
static err unwrap(const struct age_identity *own, const uint8_t share[AGE_KEY_BYTES], const uint8_t body[BODY_BYTES],
                  uint8_t file_key[AGE_FILE_KEY_BYTES])
{
    uint8_t key[AGE_KEY_BYTES];
    err e = wrap_key(own->secret, share, share, own->key, key);
    if (e == OK && !chacha_open(key, zero_nonce, (struct bytes){NULL, 0}, (struct bytes){body, AGE_FILE_KEY_BYTES},
                                body + AGE_FILE_KEY_BYTES, file_key))
        e = E_DENIED;
    wipe(key, sizeof key);
    return e == E_INVALID ? FAULT("a recipient's share is of low order") : e;
}

static err stanza_try(struct reader *r, const struct stanza *s)
{
    uint8_t share[AGE_KEY_BYTES];
    size_t len = 0;
    if (s->words != 2 || s->body_len != BODY_BYTES || base64_decode(BASE64_BARE, s->first, share, sizeof share, &len) != OK ||
        len != sizeof share)
        return FAULT("an X25519 recipient is not of the form it must have");
    err e = E_DENIED;
    for (unsigned i = 0; e == E_DENIED && !r->has_key && i < r->identity_count; i++)
        e = unwrap(&r->identities[i], share, s->body, r->file_key);
    r->has_key |= e == OK;
    return e == E_DENIED ? OK : e;
}

static err stanza_read(struct reader *r, struct bytes line)
{
    struct stanza s;
    TRY(words_read(line, &s));
    TRY(body_read(r, &s));
    if (++r->stanza_count > AGE_STANZAS_MAX)
        return trail(E_RANGE, "the age header: more than %u recipients", AGE_STANZAS_MAX);
    r->passphrase_count += bytes_equal_text(s.type, "scrypt");
    return bytes_equal_text(s.type, "X25519") ? stanza_try(r, &s) : OK; /* other types are for others */
}

static err key_found(const struct reader *r)
{
    if (r->stanza_count == 0)
        return FAULT("no recipient");
    if (r->passphrase_count > 0 && r->stanza_count > 1)
        return FAULT("a passphrase beside other recipients"); /* "The scrypt recipient type" */
    if (r->has_key)
        return OK;
    if (r->passphrase_count > 0)
        return trail(E_DENIED, "the age file is encrypted with a passphrase, not for an identity");
    return trail(E_DENIED, "none of the %u identities given opens this age file (it has %u recipients)", r->identity_count,
                 r->stanza_count);
}

/* "--- " and the code. */
static err code_check(struct bytes line, struct bytes header, const uint8_t file_key[AGE_FILE_KEY_BYTES])
{
    uint8_t want[AGE_MAC_BYTES], code[AGE_MAC_BYTES];
    size_t len = 0;
    if (line.len < 4 || line.at[3] != ' ' || base64_decode(BASE64_BARE, bytes_after(line, 4), code, sizeof code, &len) != OK ||
        len != sizeof code)
        return FAULT("its last line is damaged");
    if (file_key == NULL)
        return OK; /* only its form could be seen */
    header_code((struct bytes){header.at, (size_t)(line.at + 3 - header.at)}, file_key, want);
    return bytes_equal_secret(key_span(want), key_span(code)) ? OK : FAULT("its code is wrong: damaged or changed");
}

static bool is_last(struct bytes line)
{
    return line.len >= 3 && memcmp(line.at, "---", 3) == 0;
}

static err header_walk(struct reader *r, struct bytes header)
{
    struct bytes line;
    if (!line_take(r, &line) || !bytes_equal((struct bytes){line.at, line.len + 1}, bytes_of(AGE_VERSION_LINE)))
        return FAULT("of another version");
    for (;;) {
        if (!line_take(r, &line))
            return FAULT("cut off");
        if (is_last(line))
            break;
        TRY(stanza_read(r, line));
    }
    TRY(code_check(line, header, NULL));
    TRY(key_found(r));
    return code_check(line, header, r->file_key);
}

err age_header_read(struct bytes header, const struct age_identity *identities, unsigned count,
                    uint8_t file_key[AGE_FILE_KEY_BYTES])
{
    struct reader r = {.rest = header, .identities = identities, .identity_count = count, .file_key = file_key};
    err e = header_walk(&r, header);
    if (e != OK)
        wipe(file_key, AGE_FILE_KEY_BYTES);
    return e;
}
