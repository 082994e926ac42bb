/* x509_look: RFC 5280 section 4.1, as far as two algorithm identifiers; DER by X.690. */
#include "net/format/x509_look.h"

#include "net/format/base64.h"

#include <stdlib.h>
#include <string.h>

#define DER_BYTES_MAX KIB(16) /* of one certificate */

enum { TAG_INTEGER = 0x02, TAG_OID = 0x06, TAG_SEQUENCE = 0x30, TAG_VERSION = 0xA0 };

/* The element at the start of *rest, which then begins after it. False: none, or not DER. */
static bool take(struct bytes *rest, uint8_t *tag, struct bytes *content)
{
    size_t head = 2, len;
    if (rest->len < 2)
        return false;
    *tag = rest->at[0];
    len = rest->at[1];
    if (len & 0x80) {
        size_t digits = len & 0x7F;
        head += digits;
        if (digits == 0 || digits > 3 || rest->len < head)
            return false;
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | rest->at[i];
    }
    if (len > rest->len - head)
        return false;
    *content = (struct bytes){rest->at + head, len};
    *rest = (struct bytes){rest->at + head + len, rest->len - head - len};
    return true;
}

static bool take_one(struct bytes *rest, uint8_t want, struct bytes *content)
{
    uint8_t tag = 0;
    return take(rest, &tag, content) && tag == want;
}

/* AlgorithmIdentifier's content. 1.3.101.112 and .113 */
static bool is_edwards(struct bytes algorithm)
{
    static const uint8_t prefix[] = {0x2B, 0x65};
    struct bytes oid;
    return take_one(&algorithm, TAG_OID, &oid) && oid.len == 3 && memcmp(oid.at, prefix, 2) == 0 &&
           (oid.at[2] == 112 || oid.at[2] == 113);
}

bool x509_der_has_ed25519(struct bytes der)
{
    struct bytes certificate, tbs, part, algorithm, skipped;
    if (!take_one(&der, TAG_SEQUENCE, &certificate) || !take_one(&certificate, TAG_SEQUENCE, &tbs))
        return false;
    if (tbs.len > 0 && tbs.at[0] == TAG_VERSION && !take_one(&tbs, TAG_VERSION, &part))
        return false;
    if (!take_one(&tbs, TAG_INTEGER, &part) || !take_one(&tbs, TAG_SEQUENCE, &part))
        return false;
    if (is_edwards(part)) /* what it is signed with */
        return true;
    for (int i = 0; i < 3; i++) /* issuer, validity, subject */
        if (!take_one(&tbs, TAG_SEQUENCE, &skipped))
            return false;
    return take_one(&tbs, TAG_SEQUENCE, &part) && take_one(&part, TAG_SEQUENCE, &algorithm) && is_edwards(algorithm);
}

/* --- PEM, RFC 7468 --- */
static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";

static const uint8_t *find(struct bytes in, const char *what)
{
    return in.len ? memmem(in.at, in.len, what, strlen(what)) : NULL;
}

static bool body_has(struct bytes text)
{
    uint8_t *der = NULL;
    char *dense = NULL;
    size_t len = 0, der_len = 0;
    bool has = false;
    if (text.len > 2 * DER_BYTES_MAX)
        return false;
    dense = malloc(text.len + 1);
    der = malloc(BASE64_BYTES_MAX(text.len));
    if (!dense || !der)
        goto cleanup;
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n", text.at[i]))
            dense[len++] = (char)text.at[i];
    uint64_t mark = trail_mark();
    has = base64_decode(BASE64_STANDARD, (struct bytes){(const uint8_t *)dense, len}, der, BASE64_BYTES_MAX(text.len),
                        &der_len) == OK &&
          x509_der_has_ed25519((struct bytes){der, der_len});
    trail_rewind(mark);
cleanup:
    free(der);
    free(dense);
    return has;
}

bool x509_pem_has_ed25519(struct bytes pem)
{
    const uint8_t *from, *to;
    while ((from = find(pem, begin)) != NULL) {
        from += sizeof begin - 1;
        pem = (struct bytes){from, pem.len - (size_t)(from - pem.at)};
        to = find(pem, end);
        if (!to)
            return false;
        if (body_has((struct bytes){from, (size_t)(to - from)}))
            return true;
        pem = (struct bytes){to, pem.len - (size_t)(to - pem.at)};
    }
    return false;
}
