/* http_client: one exchange after the other on a connection. The buffer first holds the request's head (and its chunks), then
 * what comes back; at the end of an answer it is given back. */
#include "net/proto/http_client.h"

#include "board/rt/buf.h"
#include "board/rt/secret.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES KIB(16)
#define CONTINUE_MS  SECONDS(1)
#define INTERIM_MAX  16 /* 1xx before an answer */

enum exchange_phase {
    PHASE_IDLE,    /* nothing is open */
    PHASE_SENDING, /* the head is out */
    PHASE_BODY,    /* the answer's head is here */
    PHASE_END      /* all of the answer was read */
};

struct http_connection {
    struct stream *stream;
    struct buf *buf;
    size_t in_at, in_len;
    enum exchange_phase phase;
    enum http1_method method;
    struct http1_head head;
    struct http1_body body;
    struct bytes data; /* unframed, not yet handed out */
    uint64_t left;     /* of our body's length */
    bool chunked, wait_for_continue, continued, answered_early;
    bool broken; /* by an error, or bytes that nobody asked for */
    char host[URL_AUTHORITY_MAX];
};

/* --- opening --- */

err http_over(struct stream *s, const char *host, struct http_connection **out)
{
    *out = NULL;
    struct http_connection *c = strlen(host) < URL_AUTHORITY_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        stream_close(s);
        return strlen(host) < URL_AUTHORITY_MAX ? E_BUDGET : E_RANGE;
    }
    c->stream = s;
    memcpy(c->host, host, strlen(host) + 1);
    *out = c;
    return OK;
}

err http_connect(struct dns *d, const struct url *u, struct tls_config *tls, ms deadline, struct http_connection **out)
{
    char host[URL_AUTHORITY_MAX];
    struct stream *s = NULL;
    *out = NULL;
    url_authority(u, host, sizeof host);
    if (u->tls && !tls)
        return trail(E_INVALID, "https://%s without TLS settings", host);
    TRY(dns_connect(d, u->host, u->port, deadline, &s));
    if (u->tls) {
        struct stream *plain = s;
        TRY(trail(tls_connect(tls, plain, u->host, deadline, &s), "TLS with %s", host));
    }
    return http_over(s, host, out);
}

bool http_reusable(const struct http_connection *c)
{
    return !c->broken && (c->phase == PHASE_IDLE || (c->phase == PHASE_END && c->head.keep_alive));
}

/* What was received and not handed on is wiped; what was, is already. */
static void buffer_drop(struct http_connection *c)
{
    if (c->buf)
        wipe(c->buf->at, c->in_len);
    c->in_at = c->in_len = 0;
    buf_release(c->buf);
    c->buf = NULL;
}

void http_disconnect(struct http_connection *c)
{
    if (!c)
        return;
    buffer_drop(c);
    stream_close(c->stream);
    free(c);
}

static err broken(struct http_connection *c, err e)
{
    c->broken = true;
    return e;
}

/* One may wait again. */
static err broken_unless_late(struct http_connection *c, err e)
{
    return e == E_TIMEOUT ? e : broken(c, e);
}

/* --- the request's head --- */

static void exchange_begin(struct http_connection *c, const struct http_call *call)
{
    c->phase = PHASE_SENDING;
    c->method = http_call_method(call);
    c->in_at = c->in_len = 0;
    c->data = (struct bytes){NULL, 0};
    c->head = (struct http1_head){.head_bytes = 0};
    c->chunked = call->body_bytes < 0;
    c->left = call->body_bytes > 0 ? (uint64_t)call->body_bytes : 0;
    c->wait_for_continue = call->expect_continue && call->body_bytes != 0;
    c->continued = c->answered_early = false;
}

static void put_body(struct http_connection *c, const struct http_call *call)
{
    if (call->body.len == 0 || call->body.len != c->left || c->wait_for_continue || call->body.len > BUFFER_BYTES - c->buf->len)
        return;
    memcpy(c->buf->at + c->buf->len, call->body.at, call->body.len);
    c->buf->len += call->body.len;
    c->left = 0;
}

bool http_body_sent(const struct http_connection *c)
{
    return c->left == 0 && !c->chunked;
}

err http_send(struct http_connection *c, const struct http_call *call, ms deadline)
{
    if (!http_reusable(c))
        return trail(E_INVALID, "this connection cannot be used again");
    if (!c->buf)
        TRY(buf_wait(BUFFER_BYTES, deadline, &c->buf));
    err e = http_call_write(call, c->host, (char *)c->buf->at, BUFFER_BYTES, &c->buf->len);
    if (e != OK) {
        wipe(c->buf->at, c->buf->len);
        return e;
    }
    exchange_begin(c, call);
    put_body(c, call);
    e = stream_write(c->stream, c->buf->at, c->buf->len, deadline);
    wipe(c->buf->at, c->buf->len); /* tokens and signatures; the buffer will be somebody else's */
    return e == OK ? OK : broken(c, trail(e, "sending the request to %s", c->host));
}

/* --- what comes back --- */

static err receive_more(struct http_connection *c, ms deadline)
{
    size_t got = 0;
    TRY(stream_read(c->stream, c->buf->at + c->in_len, BUFFER_BYTES - c->in_len, deadline, &got));
    c->in_len += got;
    return got > 0 ? OK : E_CLOSED;
}

/* Behind the bytes of an earlier head, which are dropped. */
static void head_forget(struct http_connection *c)
{
    memmove(c->buf->at, c->buf->at + c->in_at, c->in_len - c->in_at);
    c->in_len -= c->in_at;
    c->in_at = 0;
    c->head = (struct http1_head){.head_bytes = 0};
}

/* One head, interim or not. */
static err head_receive(struct http_connection *c, ms deadline)
{
    static const struct http1_limits limits = {BUFFER_BYTES, BUFFER_BYTES, UINT64_MAX};
    head_forget(c);
    for (;;) {
        struct bytes all = {c->buf->at, c->in_len};
        enum http1_result result = c->in_len > 0 ? http1_parse_response(&c->head, all, &limits, c->method) : HTTP1_NEED_MORE;
        if (result == HTTP1_READY) {
            c->in_at = c->head.head_bytes;
            return OK;
        }
        if (result == HTTP1_REFUSED)
            return trail(c->head.refused_status == 431 ? E_RANGE : E_PROTOCOL, "%s", c->head.why);
        if (c->in_len == BUFFER_BYTES)
            return trail(E_RANGE, "an answer's head of more than %zu bytes", BUFFER_BYTES);
        TRY(receive_more(c, deadline));
    }
}

static bool head_is_interim(const struct http_connection *c)
{
    return c->head.status < 200 && c->head.status != 101;
}

static err answer_begin(struct http_connection *c, ms deadline)
{
    for (unsigned i = 0; i < INTERIM_MAX; i++) {
        TRY(head_receive(c, deadline));
        if (!head_is_interim(c))
            return OK;
    }
    return trail(E_PROTOCOL, "more than %u interim answers", INTERIM_MAX);
}

err http_receive_head(struct http_connection *c, ms deadline, const struct http1_head **out)
{
    *out = NULL;
    if (c->phase != PHASE_SENDING)
        return trail(E_INVALID, "no request is open");
    err e = c->answered_early ? OK : answer_begin(c, deadline);
    if (e != OK)
        return broken_unless_late(c, trail(e, "waiting for the answer of %s", c->host));
    c->phase = PHASE_BODY;
    if (c->left > 0 || c->chunked || c->head.status == 101)
        c->broken = true; /* the rest of our body would be taken for a request */
    http1_body_start(&c->body, &c->head, UINT64_MAX);
    *out = &c->head;
    return OK;
}

static err answer_end(struct http_connection *c)
{
    c->phase = PHASE_END;
    if (c->in_at < c->in_len || c->head.framing == HTTP1_UNTIL_CLOSE)
        c->broken = true;
    buffer_drop(c);
    return OK;
}

/* Unframes what is there. *ended with nothing in c->data: that was all. */
static err unframe(struct http_connection *c, bool *ended)
{
    size_t used = 0;
    struct bytes in = {c->buf->at + c->in_at, c->in_len - c->in_at};
    enum http1_body_result result = http1_body_next(&c->body, in, &used, &c->data);
    c->in_at += used;
    *ended = result == HTTP1_BODY_DONE && c->data.len == 0;
    return result == HTTP1_BODY_REFUSED ? trail(E_PROTOCOL, "%s", c->body.why) : OK;
}

static err body_more(struct http_connection *c, ms deadline, bool *ended)
{
    c->in_at = c->in_len = 0; /* the head's views end here */
    err e = receive_more(c, deadline);
    if (e != E_CLOSED || c->in_len > 0 || !http1_body_ended(&c->body))
        return e;
    *ended = true;
    return OK;
}

static err body_receive(struct http_connection *c, ms deadline, bool *ended)
{
    *ended = false;
    while (c->data.len == 0) {
        TRY(unframe(c, ended));
        if (*ended)
            return OK;
        if (c->data.len == 0 && c->in_at == c->in_len)
            TRY(body_more(c, deadline, ended));
        if (*ended)
            return OK;
    }
    return OK;
}

err http_receive_body(struct http_connection *c, void *into, size_t cap, ms deadline, size_t *got)
{
    bool ended;
    *got = 0;
    if (c->phase == PHASE_END)
        return OK;
    if (c->phase != PHASE_BODY)
        return trail(E_INVALID, "no answer is open");
    err e = body_receive(c, deadline, &ended);
    if (e != OK)
        return broken_unless_late(c, trail(e, "reading the answer of %s", c->host));
    if (ended)
        return answer_end(c);
    *got = size_min(cap, c->data.len);
    memcpy(into, c->data.at, *got);
    wipe(c->buf->at + (c->data.at - c->buf->at), *got);
    c->data.at += *got;
    c->data.len -= *got;
    return OK;
}

err http_rest(struct http_connection *c, void (*on_readable)(void *arg), void *arg)
{
    return stream_rest(c->stream, on_readable, arg);
}

void http_wake(struct http_connection *c)
{
    stream_wake(c->stream);
}

/* --- the request's body --- */

/* A final answer instead of 100: it does not want the body, and http_receive_head() tells why. */
static err continue_await(struct http_connection *c, ms deadline)
{
    c->wait_for_continue = false;
    err e = head_receive(c, ms_min(deadline, loop_now() + CONTINUE_MS));
    if (e == E_TIMEOUT && loop_now() < deadline && c->in_len == 0)
        return OK; /* it may not know of 100, RFC 9110 10.1.1 */
    if (e != OK)
        return broken(c, trail(e, "waiting for %s to want the body", c->host));
    c->answered_early = !head_is_interim(c);
    c->continued = c->head.status == 100;
    return c->answered_early ? trail(E_CLOSED, "%s answered before the body", c->host) : OK;
}

bool http_continued(const struct http_connection *c)
{
    return c->continued;
}

/* Each piece with its size and its end in one write, made behind what may have come with 100 Continue. */
static err chunks_send(struct http_connection *c, const uint8_t *at, size_t len, ms deadline)
{
    if (c->in_len > BUFFER_BYTES / 2)
        return trail(E_PROTOCOL, "an answer before the body");
    uint8_t *piece = c->buf->at + c->in_len;
    size_t room = BUFFER_BYTES - c->in_len - HTTP1_CHUNK_HEAD_MAX - 2;
    while (len > 0) {
        size_t n = size_min(len, room);
        size_t line = http1_chunk_head(n, (char *)piece);
        memcpy(piece + line, at, n);
        memcpy(piece + line + n, "\r\n", 2);
        TRY(stream_write(c->stream, piece, line + n + 2, deadline));
        at += n;
        len -= n;
    }
    return OK;
}

static err body_send(struct http_connection *c, const void *from, size_t len, ms deadline)
{
    if (!c->chunked) {
        c->left -= len;
        return stream_write(c->stream, from, len, deadline);
    }
    if (len > 0)
        return chunks_send(c, from, len, deadline);
    c->chunked = false;
    return stream_write(c->stream, HTTP1_CHUNK_LAST, sizeof HTTP1_CHUNK_LAST - 1, deadline);
}

err http_send_body(struct http_connection *c, const void *from, size_t len, ms deadline)
{
    if (c->phase != PHASE_SENDING || (!c->chunked && len > c->left))
        return trail(E_INVALID, "a body that was not promised");
    if (c->wait_for_continue)
        TRY(continue_await(c, deadline));
    if (c->answered_early)
        return trail(E_CLOSED, "%s answered before the body", c->host);
    err e = body_send(c, from, len, deadline);
    return e == OK ? OK : broken(c, trail(e, "sending the body to %s", c->host));
}
