/* tls: Mbed TLS between two byte queues. It never waits inside: its callbacks take from `raw` and add to `out`, and this file
 * moves those from and to the stream below, in the fiber. So a handshake can compute on the pool, and a reader and a writer fiber
 * never meet inside it. What both sides trust and show, and what an error is called, is in tls_config.c; what becomes of the
 * record buffers at rest, in tls_records.c. */
#include "net/proto/tls.h"

#include "board/rt/mem.h"
#include "board/rt/sync.h"
#include "board/rt/text.h"
#include "net/proto/tls_inside.h"

#include <mbedtls/ssl.h>
#include <stdlib.h>
#include <string.h>

#define RAW_BYTES       KIB(64)                             /* what one read of the socket may bring */
#define OUT_BYTES       (MBEDTLS_SSL_OUT_CONTENT_LEN + 512) /* one record with its overhead */
#define CLOSE_NOTIFY_MS 200
#define SAN_IP          7 /* GeneralName iPAddress, RFC 5280 §4.2.1.6 */

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
    err write_failed; /* the peer hung up; what it said before may still be read */
    struct tls_records records;
};

static struct tls_stream *tls_of(const struct stream *s)
{
    return (struct tls_stream *)(uintptr_t)s;
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

static err fail(struct tls_stream *t, int code)
{
    if (t->failed == OK) {
        err e = tls_error(t->config, &t->ssl, t->established, t->peer, code);
        t->failed = t->established ? e : tls_blame_memory(e, t->refusals);
    }
    return t->failed;
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
    TRY(tls_records_take_back(&t->records, &t->ssl));
    hold_take(&t->hold);
    err e = read_some(t, into, cap, deadline, got);
    hold_release(&t->hold);
    return e;
}

static err tls_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    struct tls_stream *t = tls_of(s);
    TRY(tls_records_take_back(&t->records, &t->ssl));
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
    TRY(tls_records_take_back(&t->records, &t->ssl));
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
    free(t->raw);
    t->raw = NULL;
    t->raw_at = t->raw_len = 0;
    tls_records_give_back(&t->records, &t->ssl);
    return stream_rest(t->under, on_readable, arg);
}

static void tls_wake(struct stream *s)
{
    stream_wake(tls_of(s)->under);
}

static bool tls_quiet(struct stream *s)
{
    return !tls_pending(s) && stream_quiet(tls_of(s)->under);
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

static const struct stream_ops tls_ops = {tls_read, tls_write, tls_end, tls_pending, tls_rest, tls_wake, tls_quiet, tls_close};

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
            (void)mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, TLS_ALERT_HANDSHAKE);
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
    const mbedtls_ssl_config *settings = tls_config_native(c);
    int code = mbedtls_ssl_setup(&t->ssl, settings);
    t->ssl.conf = settings; /* a set-up that failed takes it away, but freeing what it left looks at it (Mbed TLS 3.6.7) */
    if (code == 0 && host)
        code = host_expect(t, host);
    mbedtls_ssl_set_verify(&t->ssl, check_peer, t);
    mbedtls_ssl_set_bio(&t->ssl, t, add_out, take_raw, NULL);
    err e = code == 0 ? handshake(t, deadline) : tls_blame_memory(tls_library_error(E_TLS, code, "TLS"), t->refusals);
    if (e != OK) {
        tls_close(&t->stream);
        return e == E_RESET || e == E_TIMEOUT ? trail(e, "in the TLS handshake") : e;
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

int64_t tls_peer_expires_s(const struct stream *s)
{
    const mbedtls_x509_crt *leaf = mbedtls_ssl_get_peer_cert(&tls_of(s)->ssl);
    return leaf ? tls_time_s(&leaf->valid_to) : 0;
}
