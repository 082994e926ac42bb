/* tls: Mbed TLS between two byte queues. It never waits inside: its callbacks take from `raw` and add to `out`, and this file
 * moves those from and to the stream below, in the fiber. So a handshake can compute on the pool, and a reader and a writer fiber
 * never meet inside it. */
#include "net/proto/tls.h"

#include "board/rt/mem.h"
#include "board/rt/sync.h"
#include "board/rt/text.h"
#include "net/format/crypto.h"

#include <mbedtls/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define RAW_BYTES         KIB(64)                             /* what one read of the socket may bring */
#define OUT_BYTES         (MBEDTLS_SSL_OUT_CONTENT_LEN + 512) /* one record with its overhead */
#define CLOSE_NOTIFY_MS   200
#define ALERT_CERT_FIRST  42 /* bad_certificate .. unknown_ca, RFC 8446 §6.2 */
#define ALERT_CERT_LAST   48
#define ALERT_CERT_WANTED 116 /* certificate_required */
#define ALERT_HANDSHAKE   40  /* handshake_failure */
#define RECORD_POINTERS   10  /* the first half points into in_buf, the rest into out_buf */
#define SAN_IP            7   /* GeneralName iPAddress, RFC 5280 §4.2.1.6 */

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

struct tls_stream {
    struct stream stream; /* first: one address for both */
    struct stream *under;
    struct tls_config *config;
    mbedtls_ssl_context ssl;
    struct hold hold; /* the opener's, one of each call inside, and of a handshake step on the pool */
    struct lane lane; /* the handshake's */
    struct waitq flushed;
    struct addr host_ip; /* the host, when it is a literal: the certificate must have this address */
    uint8_t *raw, *out;
    size_t raw_at, raw_len, out_len;
    bool under_ended, flushing, established, ended_by_peer, ended_by_us;
    uint64_t refusals; /* of memory, to the task, before the handshake */
    char peer[96];     /* subject of the certificate it showed */
    err failed;
    err write_failed;                /* the peer hung up; what it said before may still be read */
    size_t offsets[RECORD_POINTERS]; /* of the record buffers' pointers, while they are given back at rest */
    uint8_t in_counter[8];           /* and the incoming record counter */
};

static struct tls_stream *tls_of(const struct stream *s)
{
    return (struct tls_stream *)(uintptr_t)s;
}

static int random_for_tls(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    os_random(out, len);
    return 0;
}

static err library_error(err e, int code, const char *doing)
{
    char text[CRYPTO_ERROR_TEXT_MAX];
    if (code == MBEDTLS_ERR_SSL_ALLOC_FAILED || code == MBEDTLS_ERR_X509_ALLOC_FAILED || code == MBEDTLS_ERR_PK_ALLOC_FAILED)
        e = E_BUDGET;
    return trail(e, "%s: %s", doing, crypto_error_text(code, text, sizeof text));
}

/* The library takes a failed allocation for an unreadable or untrusted certificate here and there. */
static err blame_memory(err e, uint64_t refusals_before)
{
    return e != OK && mem_use(mem_task()).refusals != refusals_before ? trail(E_BUDGET, "memory was refused meanwhile") : e;
}

static bool drop_reference(atomic_uint *count)
{
    return atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel) == 1;
}

/* --- trust --- */

/* The PEM parser wants the ending zero counted in, and DER not. */
static int parse_certificates(mbedtls_x509_crt *chain, struct bytes pem)
{
    bool ended = pem.len > 0 && pem.at[pem.len - 1] == 0;
    if (ended || pem.len == 0 || pem.at[0] == 0x30 /* SEQUENCE: DER */)
        return mbedtls_x509_crt_parse(chain, pem.at, pem.len);
    uint8_t *copy = malloc(pem.len + 1);
    if (!copy)
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    memcpy(copy, pem.at, pem.len);
    copy[pem.len] = 0;
    int code = mbedtls_x509_crt_parse(chain, copy, pem.len + 1);
    free(copy);
    return code;
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
        e = code < 0 ? library_error(E_INVALID, code, "reading CA certificates")
                     : trail(E_INVALID, "no certificate in the CA bundle");
    if (mem_use(mem_task()).refusals != refusals)
        e = trail(E_BUDGET, "no memory for the whole CA bundle");
    if (e == OK)
        *out = t;
    else
        tls_trust_release(t);
    return e;
}

/* In the order of how common they are: Debian and Talos, Fedora, SUSE, Alpine. */
static const char *const system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                             "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

err tls_trust_system(struct lane *files, ms deadline, struct tls_trust **out)
{
    for (size_t i = 0; i < COUNT_OF(system_bundles); i++) {
        struct buf *b = NULL;
        err e = file_read_small(files, system_bundles[i], KIB(255), deadline, &b);
        if (e == E_ABSENT)
            continue;
        if (e == OK)
            e = tls_trust_parse((struct bytes){b->at, b->len}, out);
        buf_release(b);
        return e == OK ? OK : trail(e, "%s", system_bundles[i]);
    }
    return trail(E_ABSENT, "no CA bundle in the usual places, first %s; name one with `ca`", system_bundles[0]);
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
    return code == 0 ? OK : library_error(E_INVALID, code, "reading the private key");
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
    err e =
        code == 0 ? OK : library_error(E_INVALID, code < 0 ? code : MBEDTLS_ERR_X509_INVALID_FORMAT, "reading the certificate");
    if (e == OK)
        e = parse_key(i, key_pem);
    if (e == OK && mbedtls_pk_check_pair(&i->chain.pk, &i->key, random_for_tls, NULL) != 0)
        e = trail(E_INVALID, "the private key does not belong to the certificate");
    e = blame_memory(e, refusals);
    if (e != OK) {
        tls_identity_release(i);
        return e;
    }
    *out = i;
    return OK;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

int64_t tls_identity_expires_s(const struct tls_identity *i)
{
    const mbedtls_x509_time *t = &i->chain.valid_to;
    return days_of(t->year, t->mon, t->day) * 86400 + t->hour * 3600 + t->min * 60 + t->sec;
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
        return library_error(E_INVALID, code, "TLS settings");
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

/* --- Mbed TLS's two callbacks, and the bytes behind them --- */

static int take_raw(void *arg, unsigned char *into, size_t cap)
{
    struct tls_stream *t = arg;
    size_t n = size_min(cap, t->raw_len - t->raw_at);
    if (n == 0)
        return t->under_ended ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(into, t->raw + t->raw_at, n);
    t->raw_at += n;
    return (int)n;
}

static int add_out(void *arg, const unsigned char *from, size_t len)
{
    struct tls_stream *t = arg;
    if (!t->out && !(t->out = malloc(OUT_BYTES)))
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    size_t n = size_min(len, OUT_BYTES - t->out_len);
    if (n == 0)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    memcpy(t->out + t->out_len, from, n);
    t->out_len += n;
    return (int)n;
}

static err fill_raw(struct tls_stream *t, ms deadline)
{
    if (t->raw_at < t->raw_len || t->under_ended)
        return OK;
    if (!t->raw && !(t->raw = malloc(RAW_BYTES)))
        return E_BUDGET;
    size_t got = 0;
    TRY(stream_read(t->under, t->raw, RAW_BYTES, deadline, &got));
    t->raw_at = 0;
    t->raw_len = got;
    t->under_ended = got == 0;
    return OK;
}

static bool is_hang_up(err e)
{
    return e == E_RESET || e == E_CLOSED;
}

/* Sends what Mbed TLS wrote. One fiber at a time; another one's bytes are taken along. Half a record sent is a broken connection.
 */
static err flush_out(struct tls_stream *t, ms deadline)
{
    if (t->flushing)
        return OK;
    t->flushing = true;
    err e = t->failed != OK ? t->failed : t->write_failed;
    while (e == OK && t->out_len > 0) {
        uint8_t *sending = t->out;
        size_t len = t->out_len;
        t->out = NULL;
        t->out_len = 0;
        e = stream_write(t->under, sending, len, deadline);
        free(sending);
    }
    t->flushing = false;
    if (is_hang_up(e))
        t->write_failed = e;
    else if (e != OK && t->failed == OK)
        t->failed = e;
    waitq_wake_all(&t->flushed);
    return e;
}

/* The same, after the fiber that is at it. Not for a reader: that must go on while a writer waits for the peer to read. */
static err flush_in_turn(struct tls_stream *t, ms deadline)
{
    while (t->flushing)
        TRY(waitq_wait(&t->flushed, deadline));
    return t->out_len > 0 ? flush_out(t, deadline) : t->failed != OK ? t->failed : t->write_failed;
}

/* --- what went wrong --- */

static err verify_error(struct tls_stream *t)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&t->ssl);
    err e = E_CERT_UNTRUSTED;
    if (!(flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)) {
        if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
            e = E_CERT_TIME;
        else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
            e = E_CERT_NAME;
    }
    return trail(e, "certificate of \"%s\"", t->peer);
}

static err alert_error(struct tls_stream *t)
{
    unsigned alert = t->ssl.in_msg ? t->ssl.in_msg[1] : 0;
    bool about_ours = (alert >= ALERT_CERT_FIRST && alert <= ALERT_CERT_LAST && alert != 47) || alert == ALERT_CERT_WANTED;
    if (alert == ALERT_HANDSHAKE && !t->config->identity && t->ssl.state > MBEDTLS_SSL_CLIENT_FINISHED)
        about_ours = true; /* TLS 1.2 (RFC 5246 §7.4.6): all was agreed on, and only then our empty certificate was seen */
    if (about_ours)
        return trail(E_CERT_WANTED, "TLS alert %u%s", alert, t->config->identity ? "" : ", and we have no certificate to show");
    return trail(E_TLS, "TLS alert %u from the peer", alert);
}

static err tls_error(struct tls_stream *t, int code)
{
    switch (code) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        return verify_error(t);
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return alert_error(t);
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return trail(E_CLOSED, "%s", t->established ? "TLS peer gone without a close" : "peer closed during the TLS handshake");
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        return trail(E_CERT_UNTRUSTED, "the client showed no certificate");
    default:
        return library_error(E_TLS, code, "TLS");
    }
}

static err fail(struct tls_stream *t, int code)
{
    if (t->failed == OK) {
        err e = tls_error(t, code);
        t->failed = t->established ? e : blame_memory(e, t->refusals);
    }
    return t->failed;
}

/* --- record buffers are given back at rest --- */

static void record_pointers(mbedtls_ssl_context *ssl, unsigned char **list[RECORD_POINTERS])
{
    unsigned char **all[RECORD_POINTERS] = {&ssl->in_ctr,  &ssl->in_hdr,  &ssl->in_len,  &ssl->in_iv,  &ssl->in_msg,
                                            &ssl->out_ctr, &ssl->out_hdr, &ssl->out_len, &ssl->out_iv, &ssl->out_msg};
    memcpy(list, all, sizeof all);
}

/* Between records nothing in them is needed but where the pointers stood and the incoming record counter, the first 8 bytes. */
static void buffers_give_back(struct tls_stream *t)
{
    mbedtls_ssl_context *ssl = &t->ssl;
    free(t->raw);
    t->raw = NULL;
    t->raw_at = t->raw_len = 0;
    if (ssl->in_left || ssl->out_left || !ssl->in_buf || !ssl->out_buf)
        return;
    unsigned char **list[RECORD_POINTERS];
    record_pointers(ssl, list);
    for (size_t i = 0; i < RECORD_POINTERS; i++) {
        t->offsets[i] = (size_t)(*list[i] - (i < RECORD_POINTERS / 2 ? ssl->in_buf : ssl->out_buf));
        *list[i] = NULL;
    }
    memcpy(t->in_counter, ssl->in_buf, sizeof t->in_counter);
    wipe(ssl->in_buf, ssl->in_buf_len);
    wipe(ssl->out_buf, ssl->out_buf_len);
    free(ssl->in_buf);
    free(ssl->out_buf);
    ssl->in_buf = ssl->out_buf = NULL;
}

static err buffers_take_back(struct tls_stream *t)
{
    mbedtls_ssl_context *ssl = &t->ssl;
    if (ssl->in_buf)
        return OK;
    uint8_t *in = calloc(1, ssl->in_buf_len), *out = calloc(1, ssl->out_buf_len);
    if (!in || !out) {
        free(in);
        free(out);
        return E_BUDGET;
    }
    memcpy(in, t->in_counter, sizeof t->in_counter);
    ssl->in_buf = in;
    ssl->out_buf = out;
    unsigned char **list[RECORD_POINTERS];
    record_pointers(ssl, list);
    for (size_t i = 0; i < RECORD_POINTERS; i++)
        *list[i] = (i < RECORD_POINTERS / 2 ? in : out) + t->offsets[i];
    return OK;
}

/* --- the stream's calls --- */

static err read_some(struct tls_stream *t, void *into, size_t cap, ms deadline, size_t *got)
{
    while (t->failed == OK && !t->ended_by_peer) {
        int code = mbedtls_ssl_read(&t->ssl, into, cap);
        if (code > 0) {
            *got = (size_t)code;
            return OK;
        }
        if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            t->ended_by_peer = true;
        else if (code == MBEDTLS_ERR_SSL_WANT_READ)
            TRY(fill_raw(t, deadline));
        else if (code == 0 && t->under_ended) /* "connection closed" without its alert; else an empty record */
            return fail(t, MBEDTLS_ERR_SSL_CONN_EOF);
        else if (code != 0 && code != MBEDTLS_ERR_SSL_WANT_WRITE)
            return fail(t, code);
        if (t->out_len > 0) /* an alert */
            TRY(flush_out(t, deadline));
    }
    return t->failed;
}

static err write_all(struct tls_stream *t, const unsigned char *from, size_t len, ms deadline)
{
    for (size_t done = 0; done < len;) {
        if (t->failed != OK || t->ended_by_us)
            return t->failed != OK ? t->failed : E_CLOSED;
        int code = mbedtls_ssl_write(&t->ssl, from + done, len - done);
        if (code > 0)
            done += (size_t)code;
        else if (code != MBEDTLS_ERR_SSL_WANT_WRITE)
            return fail(t, code);
        TRY(flush_in_turn(t, deadline));
    }
    return OK;
}

static err say_end(struct tls_stream *t, ms deadline)
{
    t->ended_by_us = true;
    int code = mbedtls_ssl_close_notify(&t->ssl);
    if (code != 0 && code != MBEDTLS_ERR_SSL_WANT_WRITE)
        return fail(t, code);
    TRY(flush_in_turn(t, deadline));
    return stream_end(t->under, deadline);
}

/* A fiber inside keeps the memory: another one may close the stream meanwhile. */
static err tls_read(struct stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    struct tls_stream *t = tls_of(s);
    *got = 0;
    TRY(buffers_take_back(t));
    hold_take(&t->hold);
    err e = read_some(t, into, cap, deadline, got);
    hold_release(&t->hold);
    return e;
}

static err tls_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    struct tls_stream *t = tls_of(s);
    TRY(buffers_take_back(t));
    hold_take(&t->hold);
    err e = write_all(t, from, len, deadline);
    hold_release(&t->hold);
    return e;
}

static err tls_end(struct stream *s, ms deadline)
{
    struct tls_stream *t = tls_of(s);
    if (t->failed != OK || t->ended_by_us)
        return t->failed;
    TRY(buffers_take_back(t));
    hold_take(&t->hold);
    err e = say_end(t, deadline);
    hold_release(&t->hold);
    return e;
}

static bool tls_pending(const struct stream *s)
{
    const struct tls_stream *t = tls_of(s);
    return t->raw_at < t->raw_len || t->under_ended || (t->ssl.in_buf && mbedtls_ssl_check_pending(&t->ssl)) ||
           stream_pending(t->under);
}

static err tls_rest(struct stream *s, void (*on_readable)(void *arg), void *arg)
{
    struct tls_stream *t = tls_of(s);
    if (tls_pending(s))
        return E_AGAIN;
    buffers_give_back(t);
    return stream_rest(t->under, on_readable, arg);
}

static void tls_wake(struct stream *s)
{
    stream_wake(tls_of(s)->under);
}

static void tls_drop(struct hold *h)
{
    struct tls_stream *t = CONTAINER_OF(h, struct tls_stream, hold);
    mbedtls_ssl_free(&t->ssl);
    tls_config_release(t->config);
    free(t->raw);
    free(t->out);
    free(t);
}

static void tls_close(struct stream *s)
{
    struct tls_stream *t = tls_of(s);
    if (t->established && !t->flushing) {
        uint64_t mark = trail_mark();
        fiber_shield();
        err_ignore(tls_end(s, loop_now() + CLOSE_NOTIFY_MS)); /* polite, not promised */
        fiber_unshield();
        trail_rewind(mark);
    }
    if (t->failed == OK)
        t->failed = E_CLOSED;
    lane_close(&t->lane);
    stream_close(t->under); /* who waits in it gets E_CLOSED */
    t->under = NULL;
    waitq_wake_all(&t->flushed);
    hold_release(&t->hold);
}

static const struct stream_ops tls_ops = {tls_read, tls_write, tls_end, tls_pending, tls_rest, tls_wake, tls_close};

/* --- handshake --- */

struct handshake_job {
    struct tls_stream *t;
    int code;
};

static err handshake_step(void *arg)
{
    struct handshake_job *job = arg;
    job->code = mbedtls_ssl_handshake(&job->t->ssl);
    return OK;
}

static bool is_1_2(const struct tls_stream *t)
{
    return mbedtls_ssl_get_version_number(&t->ssl) == MBEDTLS_SSL_VERSION_TLS1_2;
}

static err handshake(struct tls_stream *t, ms deadline)
{
    for (;;) {
        struct handshake_job job = {.t = t};
        TRY(lane_call(&t->lane, handshake_step, &job, sizeof job, &t->hold, deadline));
        if (job.code == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE && is_1_2(t)) /* RFC 5246 §7.4.6; the library says nothing then */
            (void)mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, ALERT_HANDSHAKE);
        err sent = flush_out(t, deadline); /* before the verdict: our alert tells the peer why */
        if (job.code == 0)
            return sent;
        if (job.code != MBEDTLS_ERR_SSL_WANT_READ && job.code != MBEDTLS_ERR_SSL_WANT_WRITE)
            return fail(t, job.code);
        if (!is_hang_up(sent) || job.code != MBEDTLS_ERR_SSL_WANT_READ) /* an alert may tell why it hung up */
            TRY(sent);
        if (job.code == MBEDTLS_ERR_SSL_WANT_READ)
            TRY(fill_raw(t, deadline));
    }
}

/* RFC 6066 §3 forbids literals as server names, and a literal must match an iPAddress, not a name. */
static int check_peer(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct tls_stream *t = arg;
    if (depth != 0)
        return 0;
    (void)mbedtls_x509_dn_gets(t->peer, sizeof t->peer, &certificate->subject);
    if (t->host_ip.kind == ADDR_NONE)
        return 0;
    size_t len = t->host_ip.kind == ADDR_IPV4 ? 4 : 16;
    for (const mbedtls_x509_sequence *san = &certificate->subject_alt_names; san; san = san->next)
        if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == SAN_IP && san->buf.len == len &&
            memcmp(san->buf.p, t->host_ip.ip, len) == 0)
            return 0;
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int host_expect(struct tls_stream *t, const char *host)
{
    uint64_t mark = trail_mark();
    bool literal = addr_parse_ip(bytes_of(host), &t->host_ip) == OK;
    trail_rewind(mark);
    if (!literal)
        t->host_ip.kind = ADDR_NONE;
    return mbedtls_ssl_set_hostname(&t->ssl, literal ? NULL : host); /* NULL is told on purpose: check_peer() does it */
}

static err tls_open(struct tls_config *c, struct stream *under, const char *host, ms deadline, struct stream **out)
{
    *out = NULL;
    struct tls_stream *t = calloc(1, sizeof *t);
    if (!t) {
        stream_close(under);
        return E_BUDGET;
    }
    t->stream.ops = &tls_ops;
    t->under = under;
    t->config = tls_config_share(c);
    hold_init(&t->hold, tls_drop);
    t->refusals = mem_use(mem_task()).refusals;
    lane_open(&t->lane, "tls handshake", mem_task(), 1);
    mbedtls_ssl_init(&t->ssl);
    int code = mbedtls_ssl_setup(&t->ssl, &c->ssl);
    t->ssl.conf = &c->ssl; /* a set-up that failed takes it away, but freeing what it left looks at it (Mbed TLS 3.6.7) */
    if (code == 0 && host)
        code = host_expect(t, host);
    mbedtls_ssl_set_verify(&t->ssl, check_peer, t);
    mbedtls_ssl_set_bio(&t->ssl, t, add_out, take_raw, NULL);
    err e = code == 0 ? handshake(t, deadline) : blame_memory(library_error(E_TLS, code, "TLS"), t->refusals);
    if (e != OK) {
        tls_close(&t->stream);
        return e;
    }
    t->established = true;
    *out = &t->stream;
    return OK;
}

err tls_connect(struct tls_config *c, struct stream *under, const char *host, ms deadline, struct stream **out)
{
    ASSERT(host);
    return tls_open(c, under, host, deadline, out);
}

err tls_accept(struct tls_config *c, struct stream *under, ms deadline, struct stream **out)
{
    return tls_open(c, under, NULL, deadline, out);
}

const char *tls_alpn(const struct stream *s)
{
    return mbedtls_ssl_get_alpn_protocol(&tls_of(s)->ssl);
}

const char *tls_version_text(const struct stream *s)
{
    return mbedtls_ssl_get_version(&tls_of(s)->ssl);
}

const char *tls_cipher_text(const struct stream *s)
{
    return mbedtls_ssl_get_ciphersuite(&tls_of(s)->ssl);
}
