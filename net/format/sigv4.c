/* sigv4: the canonical request is hashed as it is written; it is never there as a whole. */
#include "net/format/sigv4.h"

#include "board/rt/secret.h"
#include "net/format/civil.h"
#include "net/format/hex.h"
#include "net/format/hmac.h"

#include <stdio.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DAY_CHARS 8   /* of a date, "20150830" */
#define SCOPE_MAX 160 /* "20150830/us-east-1/s3/aws4_request", a region of 64 bytes */

/* --- the canonical request --- */

static void add(struct sha256 *s, const char *text)
{
    sha256_update(s, bytes_of(text));
}

static void add_names(struct sha256 *s, const struct sigv4_request *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        add(s, i > 0 ? ";" : "");
        add(s, r->fields[i].name);
    }
}

static void request_hash(const struct sigv4_request *r, char out[SIGV4_HASH_TEXT_MAX])
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 s;
    sha256_start(&s);
    const char *const lines[] = {r->method, r->path, r->query};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        add(&s, lines[i]);
        add(&s, "\n");
    }
    for (size_t i = 0; i < r->field_count; i++) {
        ASSERT(i == 0 || strcmp(r->fields[i - 1].name, r->fields[i].name) < 0);
        add(&s, r->fields[i].name);
        add(&s, ":");
        add(&s, r->fields[i].value);
        add(&s, "\n");
    }
    add(&s, "\n");
    add_names(&s, r);
    add(&s, "\n");
    add(&s, r->payload_hash);
    sha256_finish(&s, digest);
    (void)hex_encode((struct bytes){digest, sizeof digest}, out, SIGV4_HASH_TEXT_MAX);
}

/* --- the signature --- */

/* False: the secret is longer than any. */
static bool signing_key(const struct sigv4_key *k, const char *date, uint8_t out[SHA256_BYTES])
{
    char secret[256];
    struct text t = text_over(secret, sizeof secret);
    text_add(&t, "AWS4");
    text_add(&t, k->secret_key);
    hmac_sha256((struct bytes){(const uint8_t *)secret, t.len}, (struct bytes){(const uint8_t *)date, DAY_CHARS}, out);
    wipe(secret, sizeof secret);
    const char *const steps[] = {k->region, k->service, "aws4_request"};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        hmac_sha256((struct bytes){out, SHA256_BYTES}, bytes_of(steps[i]), out);
    return !t.cut;
}

void sigv4_authorize(const struct sigv4_request *r, const struct sigv4_key *key, const char *date, struct text *out)
{
    char scope[SCOPE_MAX], hash[SIGV4_HASH_TEXT_MAX], words[sizeof ALGORITHM + SIGV4_DATE_MAX + SCOPE_MAX + sizeof hash];
    uint8_t mac[SHA256_BYTES];
    struct text s = text_over(scope, sizeof scope), t = text_over(words, sizeof words);
    ASSERT(strlen(date) == SIGV4_DATE_MAX - 1);
    text_addf(&s, "%.8s/%s/%s/aws4_request", date, key->region, key->service);
    request_hash(r, hash);
    text_addf(&t, ALGORITHM "\n%s\n%s\n%s", date, scope, hash);
    bool whole = signing_key(key, date, mac);
    hmac_sha256((struct bytes){mac, sizeof mac}, (struct bytes){(const uint8_t *)words, t.len}, mac);
    text_addf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", key->access_key, scope);
    for (size_t i = 0; i < r->field_count; i++)
        text_addf(out, "%s%s", i > 0 ? ";" : "", r->fields[i].name);
    text_addf(out, ", Signature=%s", hex_encode((struct bytes){mac, sizeof mac}, hash, sizeof hash));
    out->cut = out->cut || s.cut || t.cut || !whole;
    wipe(mac, sizeof mac);
}

void sigv4_date(int64_t epoch_s, char out[SIGV4_DATE_MAX])
{
    struct civil c = civil_of(floor_div(epoch_s, DAY_SECONDS));
    unsigned day_s = (unsigned)floor_mod(epoch_s, DAY_SECONDS), year = (unsigned)floor_mod(c.year, 10000);
    (void)snprintf(out, SIGV4_DATE_MAX, "%04u%02u%02uT%02u%02u%02uZ", year, (unsigned)c.month % 100, (unsigned)c.day % 100,
                   day_s / 3600 % 100, day_s / 60 % 60, day_s % 60);
}

/* --- what is signed and sent --- */

static bool is_unreserved(uint8_t c) /* RFC 3986 2.3 */
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != 0 && strchr("-._~", c));
}

static void put_encoded(struct text *out, struct bytes raw, bool slashes_stay)
{
    static const char digits[] = "0123456789ABCDEF"; /* upper case is required */
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.at[i];
        char piece[4] = {(char)c, 0, 0, 0};
        if (!is_unreserved(c) && !(slashes_stay && c == '/')) {
            piece[0] = '%';
            piece[1] = digits[c >> 4];
            piece[2] = digits[c & 15];
        }
        text_add(out, piece);
    }
}

void sigv4_put_path(struct text *out, struct bytes path)
{
    put_encoded(out, path, true);
}

void sigv4_put_param(struct text *out, const char *name, struct bytes value)
{
    text_add(out, out->len > 0 ? "&" : "");
    put_encoded(out, bytes_of(name), false);
    text_add(out, "=");
    put_encoded(out, value, false);
}
