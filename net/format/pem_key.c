#include "net/format/pem_key.h"

#include "board/rt/secret.h"
#include "board/rt/text.h"
#include "net/format/base64.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    err error;
    const char *text;
} faults[] = {
#define X(id, error, text) {error, text},
    PEM_KEY_FAULT_TABLE(X)
#undef X
};

const char *pem_key_fault_text(enum pem_key_fault fault)
{
    ASSERT(fault < PEM_KEY_FAULT_COUNT);
    return faults[fault].text;
}

void pem_key_wipe(struct pem_key *k)
{
    wipe(k, sizeof *k);
}

/* --- DER (X.690): as much of it as a private key has --- */

enum { DER_INTEGER = 0x02, DER_OCTETS = 0x04, DER_OID = 0x06, DER_SEQUENCE = 0x30, DER_CONTEXT_0 = 0xa0 };

/* Takes the next element off `in` when it has this tag. Lengths of up to two bytes: the text's bound allows no more. */
static bool der_take(struct bytes *in, uint8_t tag, struct bytes *out)
{
    size_t len, head = 2;
    if (in->len < 2 || in->at[0] != tag)
        return false;
    len = in->at[1];
    if (len >= 0x80) {
        head += len & 0x7f;
        if (head < 3 || head > 4 || in->len < head)
            return false;
        len = head == 3 ? in->at[2] : (size_t)in->at[2] << 8 | in->at[3];
    }
    if (in->len - head < len)
        return false;
    *out = (struct bytes){in->at + head, len};
    *in = bytes_after(*in, head + len);
    return true;
}

/* A version: one byte, within its bounds. */
static bool der_take_version(struct bytes *in, uint8_t least, uint8_t most)
{
    struct bytes number;
    return der_take(in, DER_INTEGER, &number) && number.len == 1 && number.at[0] >= least && number.at[0] <= most;
}

#define OID(...)                                                                                                                 \
    {                                                                                                                            \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                                                   \
    }
static const struct {
    struct bytes oid;
    enum pem_key_fault fault;
} curves[] =
    {
        {OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07), PEM_KEY_NONE}, /* 1.2.840.10045.3.1.7, RFC 5480, 2.1.1.1 */
        {OID(0x2b, 0x81, 0x04, 0x00, 0x22), PEM_KEY_P384},
        {OID(0x2b, 0x81, 0x04, 0x00, 0x23), PEM_KEY_P521},
},
  algorithms[] = {
      {OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01), PEM_KEY_NONE}, /* id-ecPublicKey */
      {OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01), PEM_KEY_RSA},
      {OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a), PEM_KEY_RSA}, /* RSASSA-PSS */
      {OID(0x2b, 0x65, 0x6e), PEM_KEY_EDWARDS},                                 /* RFC 8410, 3: X25519, X448, Ed25519, Ed448 */
      {OID(0x2b, 0x65, 0x6f), PEM_KEY_EDWARDS},
      {OID(0x2b, 0x65, 0x70), PEM_KEY_EDWARDS},
      {OID(0x2b, 0x65, 0x71), PEM_KEY_EDWARDS},
};

/* ECParameters (RFC 5480, 2.1.1): a named curve, or one that is written out. */
static enum pem_key_fault curve_of(struct bytes parameters)
{
    struct bytes found;
    if (der_take(&parameters, DER_SEQUENCE, &found))
        return PEM_KEY_EXPLICIT;
    if (!der_take(&parameters, DER_OID, &found))
        return PEM_KEY_CURVE;
    for (size_t i = 0; i < COUNT_OF(curves); i++)
        if (bytes_equal(found, curves[i].oid))
            return curves[i].fault;
    return PEM_KEY_CURVE;
}

/* Shorter than 32 bytes, or longer by zeroes: some writers count it as a number. */
static enum pem_key_fault scalar_of(struct bytes octets, struct pem_key *out)
{
    static const uint8_t order[CRYPTO_P256_BYTES] =
        {/* SP 800-186, 3.2.1.3 */
         0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51},
                         zero[CRYPTO_P256_BYTES];
    while (octets.len > CRYPTO_P256_BYTES && octets.at[0] == 0)
        octets = bytes_after(octets, 1);
    if (octets.len == 0 || octets.len > CRYPTO_P256_BYTES)
        return PEM_KEY_SCALAR;
    memcpy(out->scalar + CRYPTO_P256_BYTES - octets.len, octets.at, octets.len);
    if (memcmp(out->scalar, zero, sizeof zero) == 0 || memcmp(out->scalar, order, sizeof order) >= 0)
        return PEM_KEY_SCALAR;
    return PEM_KEY_NONE;
}

/* ECPrivateKey (RFC 5915, 3). The curve is in it, or was told around it. */
static enum pem_key_fault sec1_of(struct bytes key, bool curve_told, struct pem_key *out)
{
    struct bytes body, octets, parameters;
    if (!der_take(&key, DER_SEQUENCE, &body) || !der_take_version(&body, 1, 1) || !der_take(&body, DER_OCTETS, &octets))
        return PEM_KEY_SHAPE;
    bool has_curve = der_take(&body, DER_CONTEXT_0, &parameters);
    enum pem_key_fault fault = has_curve ? curve_of(parameters) : curve_told ? PEM_KEY_NONE : PEM_KEY_CURVE;
    return fault == PEM_KEY_NONE ? scalar_of(octets, out) : fault;
}

/* PrivateKeyInfo or OneAsymmetricKey (RFC 5958, 2); its version is 0 or 1. */
static enum pem_key_fault pkcs8_of(struct bytes key, struct pem_key *out)
{
    struct bytes body, algorithm, oid, octets;
    if (!der_take(&key, DER_SEQUENCE, &body) || !der_take_version(&body, 0, 1) || !der_take(&body, DER_SEQUENCE, &algorithm) ||
        !der_take(&algorithm, DER_OID, &oid))
        return PEM_KEY_SHAPE;
    enum pem_key_fault fault = PEM_KEY_NOT_ECDSA;
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        if (bytes_equal(oid, algorithms[i].oid))
            fault = algorithms[i].fault;
    if (fault == PEM_KEY_NONE)
        fault = curve_of(algorithm);
    if (fault != PEM_KEY_NONE)
        return fault;
    return der_take(&body, DER_OCTETS, &octets) ? sec1_of(octets, true, out) : PEM_KEY_SHAPE;
}

/* RSAPrivateKey (RFC 8017, A.1.2): version 0, then the modulus. */
static bool is_pkcs1(struct bytes key)
{
    struct bytes body, modulus;
    return der_take(&key, DER_SEQUENCE, &body) && der_take_version(&body, 0, 0) && der_take(&body, DER_INTEGER, &modulus);
}

/* EncryptedPrivateKeyInfo (RFC 5958, 3): an algorithm, then octets. */
static bool is_encrypted(struct bytes key)
{
    struct bytes body, algorithm, octets;
    return der_take(&key, DER_SEQUENCE, &body) && der_take(&body, DER_SEQUENCE, &algorithm) &&
           der_take(&body, DER_OCTETS, &octets);
}

static enum pem_key_fault key_of(struct bytes der, struct pem_key *out)
{
    enum pem_key_fault fault = sec1_of(der, false, out);
    if (fault != PEM_KEY_SHAPE)
        return fault;
    if (is_pkcs1(der))
        return PEM_KEY_RSA;
    if (is_encrypted(der))
        return PEM_KEY_ENCRYPTED;
    return pkcs8_of(der, out);
}

/* --- PEM (RFC 7468) --- */

struct block {
    struct bytes label, inside; /* between the two lines */
};

static bool find(struct bytes in, const char *what, size_t *at)
{
    const uint8_t *found = in.len > 0 ? memmem(in.at, in.len, what, strlen(what)) : NULL;
    if (found)
        *at = (size_t)(found - in.at);
    return found != NULL;
}

static enum pem_key_fault block_next(struct bytes *text, struct block *b)
{
    static const char begin[] = "-----BEGIN ", dashes[] = "-----";
    size_t at;
    if (!find(*text, begin, &at))
        return PEM_KEY_NO_BLOCK;
    *text = bytes_after(*text, at + sizeof begin - 1);
    if (!find(*text, dashes, &at))
        return PEM_KEY_NO_BLOCK;
    b->label = (struct bytes){text->at, at};
    *text = bytes_after(*text, at + sizeof dashes - 1);
    if (!find(*text, "-----END ", &at))
        return PEM_KEY_NO_END;
    b->inside = (struct bytes){text->at, at};
    *text = bytes_after(*text, at);
    return PEM_KEY_NONE;
}

static bool label_has(const struct block *b, const char *word)
{
    size_t at;
    return find(b->label, word, &at);
}

/* space: twice the text. Its first half gets the base64 without white space, its second what that means. */
static enum pem_key_fault decode(struct bytes inside, uint8_t *space, struct bytes *der)
{
    size_t chars = 0, len = 0;
    for (size_t i = 0; i < inside.len; i++)
        if (!strchr(" \t\r\n", inside.at[i]) || inside.at[i] == 0)
            space[chars++] = inside.at[i];
    uint8_t *out = space + inside.len;
    if (chars == 0 || base64_decode(BASE64_STANDARD, (struct bytes){space, chars}, out, inside.len, &len) != OK)
        return PEM_KEY_BASE64;
    *der = (struct bytes){out, len};
    return PEM_KEY_NONE;
}

static enum pem_key_fault block_read(const struct block *b, uint8_t *space, struct pem_key *out)
{
    struct bytes der;
    size_t at;
    if (find(b->inside, "Proc-Type:", &at) && find(b->inside, "ENCRYPTED", &at)) /* RFC 1421, 4.6.1.1 */
        return PEM_KEY_ENCRYPTED;
    if (label_has(b, "CERTIFICATE") || label_has(b, "PUBLIC KEY"))
        return PEM_KEY_NOT_PRIVATE;
    enum pem_key_fault fault = decode(b->inside, space, &der);
    return fault == PEM_KEY_NONE ? key_of(der, out) : fault;
}

static enum pem_key_fault parse(struct bytes text, struct pem_key *out)
{
    struct block b;
    if (text.len > PEM_KEY_TEXT_MAX)
        return PEM_KEY_SIZE;
    enum pem_key_fault fault = block_next(&text, &b);
    if (fault == PEM_KEY_NONE && bytes_equal_text(b.label, "EC PARAMETERS")) /* openssl ecparam -genkey writes one in front */
        fault = block_next(&text, &b);
    if (fault != PEM_KEY_NONE)
        return fault;
    size_t cap = b.inside.len * 2 + 1;
    uint8_t *space = malloc(cap);
    if (!space)
        return PEM_KEY_MEMORY;
    fault = block_read(&b, space, out);
    wipe(space, cap);
    free(space);
    return fault;
}

err pem_key_parse(struct bytes text, struct pem_key *out, enum pem_key_fault *fault)
{
    pem_key_wipe(out);
    enum pem_key_fault found = parse(text, out);
    if (fault)
        *fault = found;
    if (found == PEM_KEY_NONE)
        return OK;
    pem_key_wipe(out);
    return trail(faults[found].error, "private key: %s", faults[found].text);
}
