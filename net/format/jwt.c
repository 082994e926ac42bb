#include "net/format/jwt.h"

#include "board/rt/os.h"
#include "board/rt/secret.h"
#include "net/format/base64.h"
#include "net/format/json_write.h"
#include "net/format/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MAX     KIB(11)
#define UUID_BYTES     16
#define UUID_TEXT_MAX  37
#define SIGNATURE_TEXT BASE64_TEXT_MAX(CRYPTO_P256_SIGNATURE_BYTES)

static void uuid_v4(char out[UUID_TEXT_MAX])
{
    uint8_t b[UUID_BYTES];
    os_random(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562, 5.4: version and variant */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    struct text t = text_over(out, UUID_TEXT_MAX);
    for (unsigned i = 0; i < UUID_BYTES; i++)
        text_addf(&t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static err claims_write(const struct jwt_claims *c, struct text *out)
{
    char id[UUID_TEXT_MAX];
    struct json_writer w = json_write_to(out);
    uuid_v4(id);
    json_object(&w);
    json_put_text(&w, "iss", c->client_id);
    json_put_text(&w, "sub", c->client_id);
    json_key(&w, "aud");
    json_array(&w);
    json_text(&w, c->audience);
    json_array_end(&w);
    json_put_i64(&w, "exp", c->issued_at_s + JWT_LIFE_S);
    json_put_i64(&w, "iat", c->issued_at_s);
    json_put_text(&w, "jti", id);
    json_object_end(&w);
    return json_done(&w) ? OK : E_RANGE;
}

/* Base64 without a block of its own: the text must have the room. */
static err part_add(struct text *out, const char *before, struct bytes part)
{
    text_add(out, before);
    if (out->cut || out->cap - out->len < BASE64_TEXT_MAX(part.len))
        return E_RANGE;
    out->len += base64_encode(BASE64_URL, part, out->at + out->len, out->cap - out->len);
    return OK;
}

static err sign(struct text *out, size_t begin, const struct pem_key *key)
{
    uint8_t digest[SHA256_BYTES], signature[CRYPTO_P256_SIGNATURE_BYTES];
    sha256_of((struct bytes){(const uint8_t *)out->at + begin, out->len - begin}, digest);
    TRY(crypto_p256_sign(key->scalar, digest, signature));
    return part_add(out, ".", (struct bytes){signature, sizeof signature});
}

static err assertion_add(const struct jwt_claims *c, const struct pem_key *key, char *space, struct text *out)
{
    struct text claims = text_over(space, CLAIMS_MAX);
    size_t begin = out->len;
    TRY(claims_write(c, &claims));
    TRY(part_add(out, "", bytes_of("{\"alg\":\"ES256\",\"typ\":\"JWT\"}")));
    TRY(part_add(out, ".", (struct bytes){(const uint8_t *)claims.at, claims.len}));
    return sign(out, begin, key);
}

err jwt_assertion(const struct jwt_claims *c, const struct pem_key *key, struct text *out)
{
    if (strlen(c->client_id) >= JWT_CLIENT_ID_MAX || strlen(c->audience) >= JWT_AUDIENCE_MAX)
        return trail(E_RANGE, "an assertion's client id or audience is too long");
    char *space = malloc(CLAIMS_MAX);
    if (!space)
        return trail(E_BUDGET, "an assertion's claims");
    err e = assertion_add(c, key, space, out);
    wipe(space, CLAIMS_MAX);
    free(space);
    return e == E_RANGE ? trail(e, "an assertion does not fit") : e;
}

err jwt_client_id(struct bytes text, char out[JWT_CLIENT_ID_MAX])
{
    while (text.len > 0 && text.at[text.len - 1] <= ' ')
        text.len--;
    while (text.len > 0 && text.at[0] <= ' ')
        text = (struct bytes){text.at + 1, text.len - 1};
    if (text.len == 0)
        return E_INVALID;
    if (text.len >= JWT_CLIENT_ID_MAX)
        return E_RANGE;
    memmove(out, text.at, text.len);
    out[text.len] = 0;
    return OK;
}
