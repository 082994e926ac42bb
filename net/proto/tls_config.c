/* tls_config: certificates, keys and settings, and the names of what goes wrong with them. Nothing here waits but
 * what takes a lane; nothing here knows of a stream. */
#include "net/proto/tls_inside.h"

#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "net/format/crypto.h"

#include <mbedtls/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALERT_CERT_FIRST  42 /* bad_certificate .. unknown_ca, RFC 8446 §6.2 */
#define ALERT_CERT_LAST   48
#define ALERT_CERT_WANTED 116 /* certificate_required */

struct tls_trust {
    atomic_uint count;
    mbedtls_x509_crt chain;
};

struct tls_identity {
    atomic_uint count;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
};

struct tls_config {
    atomic_uint count;
    mbedtls_ssl_config ssl;
    struct tls_trust *trust;
    struct tls_identity *identity;
};

static int random_for_tls(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    os_random(out, len);
    return 0;
}

err tls_library_error(err e, int code, const char *doing)
{
    char text[CRYPTO_ERROR_TEXT_MAX];
    if (code == MBEDTLS_ERR_SSL_ALLOC_FAILED || code == MBEDTLS_ERR_X509_ALLOC_FAILED || code == MBEDTLS_ERR_PK_ALLOC_FAILED)
        e = E_BUDGET;
    return trail(e, "%s: %s", doing, crypto_error_text(code, text, sizeof text));
}

err tls_blame_memory(err e, uint64_t refusals_before)
{
    return e != OK && mem_use(mem_task()).refusals != refusals_before ? trail(E_BUDGET, "memory was refused meanwhile") : e;
}

static bool drop_reference(atomic_uint *count)
{
    return atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel) == 1;
}

/* --- trust --- */

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END   "-----END CERTIFICATE-----"

/* The library's parser wants an ending zero counted in. */
static int parse_block(mbedtls_x509_crt *chain, const uint8_t *at, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    memcpy(copy, at, len);
    copy[len] = 0;
    int code = mbedtls_x509_crt_parse(chain, copy, len + 1);
    free(copy);
    return code;
}

static struct bytes bytes_from(struct bytes all, const uint8_t *at)
{
    return (struct bytes){at, (size_t)(all.at + all.len - at)};
}

static const uint8_t *find(struct bytes in, const char *words)
{
    return in.len ? memmem(in.at, in.len, words, strlen(words)) : NULL;
}

/* One after another, so that never more than one is there as text too. How many were skipped, or the first one's fault when none
 * is left. */
static int parse_certificates(mbedtls_x509_crt *chain, struct bytes pem)
{
    const uint8_t *begin = find(pem, PEM_BEGIN), *end;
    int skipped = 0, good = 0, first = 0;
    if (!begin)
        return mbedtls_x509_crt_parse_der(chain, pem.at, pem.len);
    for (struct bytes rest = pem; (begin = find(rest, PEM_BEGIN)) != NULL; rest = bytes_from(pem, end)) {
        end = find(bytes_from(pem, begin), PEM_END);
        end = end ? end + sizeof PEM_END - 1 : pem.at + pem.len;
        int code = parse_block(chain, begin, (size_t)(end - begin));
        if (code == MBEDTLS_ERR_X509_ALLOC_FAILED)
            return code;
        good += code == 0;
        skipped += code != 0;
        first = first ? first : code;
    }
    return good ? skipped : first;
}

err tls_trust_parse(struct bytes pem, struct tls_trust **out)
{
    *out = NULL;
    TRY(crypto_boot());
    if (pem.len > TLS_PEM_BYTES_MAX)
        return trail(E_RANGE, "CA bundle of %zu bytes, more than %zu", pem.len, TLS_PEM_BYTES_MAX);
    struct tls_trust *t = calloc(1, sizeof *t);
    if (!t)
        return E_BUDGET;
    atomic_init(&t->count, 1);
    mbedtls_x509_crt_init(&t->chain);
    uint64_t refusals = mem_use(mem_task()).refusals;
    int code = parse_certificates(&t->chain, pem);
    err e = OK;
    if (t->chain.raw.len == 0) /* code > 0: that many were skipped, fine when one is left */
        e = code < 0 ? tls_library_error(E_INVALID, code, "reading CA certificates")
                     : trail(E_INVALID, "no certificate in the CA bundle");
    if (mem_use(mem_task()).refusals != refusals)
        e = trail(E_BUDGET, "no memory for all these certificate authorities: name the one that is needed with `ca`");
    if (e == OK)
        *out = t;
    else
        tls_trust_release(t);
    return e;
}

struct trust_job {
    struct bytes pem;
    struct tls_trust *made;
};

static err run_trust(void *arg)
{
    struct trust_job *job = arg;
    return tls_trust_parse(job->pem, &job->made);
}

/* FOREVER, here and below: it only computes, and a job that ran on alone would read freed memory. */
err tls_trust_parse_on(struct lane *l, struct bytes pem, struct tls_trust **out)
{
    struct trust_job job = {.pem = pem};
    err e = lane_call(l, run_trust, &job, sizeof job, NULL, FOREVER);
    *out = job.made;
    return e;
}

void tls_trust_release(struct tls_trust *t)
{
    if (!t || !drop_reference(&t->count))
        return;
    mbedtls_x509_crt_free(&t->chain);
    free(t);
}

/* --- identity --- */

static err parse_key(struct tls_identity *i, struct secret pem)
{
    uint8_t *copy = malloc(pem.len + 1);
    if (!copy)
        return E_BUDGET;
    memcpy(copy, pem.at, pem.len);
    copy[pem.len] = 0;
    int code = mbedtls_pk_parse_key(&i->key, copy, pem.len + 1, NULL, 0, random_for_tls, NULL);
    wipe(copy, pem.len + 1);
    free(copy);
    return code == 0 ? OK : tls_library_error(E_INVALID, code, "reading the private key");
}

err tls_identity_parse(struct bytes chain_pem, struct secret key_pem, struct tls_identity **out)
{
    *out = NULL;
    TRY(crypto_boot());
    struct tls_identity *i = calloc(1, sizeof *i);
    if (!i)
        return E_BUDGET;
    atomic_init(&i->count, 1);
    mbedtls_x509_crt_init(&i->chain);
    mbedtls_pk_init(&i->key);
    uint64_t refusals = mem_use(mem_task()).refusals;
    int code = parse_certificates(&i->chain, chain_pem);
    err e = code == 0
                ? OK
                : tls_library_error(E_INVALID, code < 0 ? code : MBEDTLS_ERR_X509_INVALID_FORMAT, "reading the certificate");
    if (e == OK)
        e = parse_key(i, key_pem);
    if (e == OK && mbedtls_pk_check_pair(&i->chain.pk, &i->key, random_for_tls, NULL) != 0)
        e = trail(E_INVALID, "the private key does not belong to the certificate");
    e = tls_blame_memory(e, refusals);
    if (e != OK) {
        tls_identity_release(i);
        return e;
    }
    *out = i;
    return OK;
}

struct identity_job {
    struct bytes chain_pem;
    struct secret key_pem;
    struct tls_identity *made;
};

static err run_identity(void *arg)
{
    struct identity_job *job = arg;
    return tls_identity_parse(job->chain_pem, job->key_pem, &job->made);
}

err tls_identity_parse_on(struct lane *l, struct bytes chain_pem, struct secret key_pem, struct tls_identity **out)
{
    struct identity_job job = {.chain_pem = chain_pem, .key_pem = key_pem};
    err e = lane_call(l, run_identity, &job, sizeof job, NULL, FOREVER);
    *out = job.made;
    return e;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

int64_t tls_time_s(const void *time)
{
    const mbedtls_x509_time *t = time;
    return days_of(t->year, t->mon, t->day) * 86400 + t->hour * 3600 + t->min * 60 + t->sec;
}

int64_t tls_identity_expires_s(const struct tls_identity *i)
{
    return tls_time_s(&i->chain.valid_to);
}

void tls_identity_release(struct tls_identity *i)
{
    if (!i || !drop_reference(&i->count))
        return;
    mbedtls_x509_crt_free(&i->chain);
    mbedtls_pk_free(&i->key);
    free(i);
}

/* --- config --- */

#define SUITES_AES                                                                                                               \
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,       \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,                          \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
#define SUITES_CHACHA                                                                                                            \
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,                              \
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256

static const int suites_aes_first[] = {SUITES_AES, SUITES_CHACHA, 0}, suites_chacha_first[] = {SUITES_CHACHA, SUITES_AES, 0};
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                  MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

static int config_fill(struct tls_config *c, const struct tls_options *o)
{
    int code = mbedtls_ssl_config_defaults(&c->ssl, o->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                           MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (code != 0)
        return code;
    mbedtls_ssl_conf_rng(&c->ssl, random_for_tls, NULL);
    mbedtls_ssl_conf_ciphersuites(&c->ssl, crypto_cpu_has_aes() ? suites_aes_first : suites_chacha_first);
    mbedtls_ssl_conf_groups(&c->ssl, groups);
    mbedtls_ssl_conf_min_tls_version(&c->ssl, o->least == TLS_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
    if (o->most == TLS_1_2)
        mbedtls_ssl_conf_max_tls_version(&c->ssl, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_authmode(&c->ssl, o->trust ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    if (o->trust)
        mbedtls_ssl_conf_ca_chain(&c->ssl, &o->trust->chain, NULL);
    if (o->identity)
        code = mbedtls_ssl_conf_own_cert(&c->ssl, &o->identity->chain, &o->identity->key);
    if (code == 0 && o->alpn)
        code = mbedtls_ssl_conf_alpn_protocols(&c->ssl, (const char **)(uintptr_t)o->alpn);
    return code;
}

err tls_config_open(const struct tls_options *o, struct tls_config **out)
{
    *out = NULL;
    if (!o->server && !o->trust)
        return trail(E_INVALID, "a TLS client needs a CA to trust");
    if (o->server && !o->identity)
        return trail(E_INVALID, "a TLS server needs a certificate and its key");
    TRY(crypto_boot());
    struct tls_config *c = calloc(1, sizeof *c);
    if (!c)
        return E_BUDGET;
    atomic_init(&c->count, 1);
    mbedtls_ssl_config_init(&c->ssl);
    int code = config_fill(c, o);
    if (code == 0 && o->trust) {
        c->trust = o->trust;
        atomic_fetch_add(&c->trust->count, 1);
    }
    if (code == 0 && o->identity) {
        c->identity = o->identity;
        atomic_fetch_add(&c->identity->count, 1);
    }
    if (code != 0) {
        tls_config_release(c);
        return tls_library_error(E_INVALID, code, "TLS settings");
    }
    *out = c;
    return OK;
}

struct tls_config *tls_config_share(struct tls_config *c)
{
    atomic_fetch_add(&c->count, 1);
    return c;
}

void tls_config_release(struct tls_config *c)
{
    if (!c || !drop_reference(&c->count))
        return;
    mbedtls_ssl_config_free(&c->ssl);
    tls_trust_release(c->trust);
    tls_identity_release(c->identity);
    free(c);
}

const void *tls_config_native(const struct tls_config *c)
{
    return &c->ssl;
}

/* --- what went wrong --- */

static err verify_error(const mbedtls_ssl_context *ssl, const char *peer)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
    err e = E_CERT_UNTRUSTED;
    if (!(flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)) {
        if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
            e = E_CERT_TIME;
        else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
            e = E_CERT_NAME;
    }
    return trail(e, "certificate of \"%s\"", peer);
}

static err alert_error(const struct tls_config *c, const mbedtls_ssl_context *ssl)
{
    unsigned alert = ssl->in_msg ? ssl->in_msg[1] : 0;
    bool about_ours = (alert >= ALERT_CERT_FIRST && alert <= ALERT_CERT_LAST && alert != 47) || alert == ALERT_CERT_WANTED;
    if (alert == TLS_ALERT_HANDSHAKE && !c->identity && ssl->state > MBEDTLS_SSL_CLIENT_FINISHED)
        about_ours = true; /* TLS 1.2 (RFC 5246 §7.4.6): all was agreed on, and only then our empty certificate was seen */
    if (about_ours)
        return trail(E_CERT_WANTED, "TLS alert %u%s", alert, c->identity ? "" : ", and we have no certificate to show");
    return trail(E_TLS, "TLS alert %u from the peer", alert);
}

err tls_error(const struct tls_config *c, const void *ssl, bool established, const char *peer, int code)
{
    switch (code) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        return verify_error(ssl, peer);
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return alert_error(c, ssl);
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return trail(E_CLOSED, "%s", established ? "TLS peer gone without a close" : "peer closed during the TLS handshake");
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        return trail(E_CERT_UNTRUSTED, "the client showed no certificate");
    default:
        return tls_library_error(E_TLS, code, "TLS");
    }
}
