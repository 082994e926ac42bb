/* http_server_visit: one connection's turn in a fiber: its handshake, its requests, its goodbye. */
#include "board/rt/log.h"
#include "net/proto/http_server_inside.h"

#include <string.h>

#define LINGER_MS    SECONDS(2)
#define LINGER_BYTES MIB(1)
#define DROP_BYTES   512 /* at a time */

/* --- reading from a peer that may be slow on purpose --- */

err http_read_some(struct visit *v, void *into, size_t cap, ms deadline, size_t *got)
{
    for (;;) {
        err e = stream_read(v->stream, into, cap, ms_min(deadline, loop_now() + HTTP_SLICE_MS), got);
        if (e != E_TIMEOUT || loop_now() >= deadline || v->server->stopping || http_server_is_pressed(v->server))
            return e;
    }
}

void http_linger(struct visit *v, ms deadline)
{
    uint8_t dropped[DROP_BYTES];
    size_t got = 0;
    if (stream_end(v->stream, deadline) != OK)
        return;
    for (size_t total = 0; total < LINGER_BYTES; total += got)
        if (http_read_some(v, dropped, sizeof dropped, deadline, &got) != OK || got == 0)
            return;
}

/* --- heads --- */

enum head_result { HEAD_READY, HEAD_REFUSED, HEAD_GONE, HEAD_REST };

static enum head_result head_parse(struct http_exchange *x)
{
    const struct http_limits *l = &x->server->options.limits;
    /* A line that leaves no room for the head's end is too long itself: 414, not 431. */
    const struct http1_limits limits = {l->head_bytes - sizeof "\r\n\r\n", l->head_bytes, l->body_bytes};
    switch (http1_parse_request(&x->head, (struct bytes){x->buf->at, x->in_len}, &limits)) {
    case HTTP1_READY:
        x->in_at = x->head.head_bytes;
        return HEAD_READY;
    case HTTP1_REFUSED:
        http_refuse(x, (int)x->head.refused_status, x->head.why);
        return HEAD_REFUSED;
    case HTTP1_NEED_MORE:
        break;
    }
    return HEAD_REST; /* of which there is more to come */
}

/* Nothing came where an event had told of something: back to rest. Half a head, and then nothing: 408. */
static enum head_result head_failed(struct http_exchange *x, err e)
{
    if (e != E_TIMEOUT)
        return HEAD_GONE;
    if (x->in_len == 0)
        return x->server->stopping ? HEAD_GONE : HEAD_REST;
    http_refuse(x, 408, "the request did not come in time");
    return HEAD_REFUSED;
}

/* From the first byte to the last within head_ms, however many bytes come one by one. */
static enum head_result head_read(struct http_exchange *x)
{
    ms deadline = loop_now() + x->server->options.limits.head_ms;
    for (;;) {
        enum head_result result = x->in_len > 0 ? head_parse(x) : HEAD_REST;
        if (result != HEAD_REST)
            return result;
        ASSERT(x->in_len < x->in_cap); /* the parser refuses before */
        size_t got = 0;
        ms until = x->in_len > 0 ? deadline : ms_min(deadline, loop_now() + HTTP_SLICE_MS);
        err e = http_read_some(x->visit, x->buf->at + x->in_len, x->in_cap - x->in_len, until, &got);
        if (e != OK)
            return head_failed(x, e);
        if (got == 0)
            return HEAD_GONE;
        x->in_len += got;
    }
}

/* --- one after the other --- */

/* Bytes behind a request are the next one's beginning. */
static size_t keep_leftover(struct http_exchange *x)
{
    size_t len = x->in_len - x->in_at;
    memmove(x->buf->at, x->buf->at + x->in_at, len);
    return len;
}

static enum visit_next request_serve(struct visit *v, struct buf *b, size_t *have)
{
    struct http_exchange x;
    http_exchange_open(&x, v, b);
    x.in_len = *have;
    *have = 0;
    switch (head_read(&x)) {
    case HEAD_REFUSED:
        return VISIT_LINGER;
    case HEAD_GONE:
        return VISIT_CLOSE;
    case HEAD_REST:
        return VISIT_KEEP;
    case HEAD_READY:
        break;
    }
    v->requests++;
    enum visit_next next = http_exchange_run(&x);
    if (next == VISIT_KEEP) {
        *have = keep_leftover(&x);
        v->idle_until = loop_now() + v->server->options.limits.idle_ms;
    }
    return next;
}

static void visit_end(struct visit *v, enum visit_next next)
{
    if (next == VISIT_KEEP) {
        visit_rest(v);
        return;
    }
    if (next == VISIT_LINGER)
        http_linger(v, loop_now() + LINGER_MS);
    visit_release(v);
}

static void requests_serve(struct visit *v)
{
    struct http_server *s = v->server;
    struct buf *b = NULL;
    size_t have = 0;
    enum visit_next next = VISIT_KEEP;
    size_t bytes = s->options.limits.head_bytes + HTTP_BODY_BYTES + HTTP_OUT_BYTES;
    if (buf_wait(bytes, loop_now() + s->options.limits.head_ms, &b) != OK) {
        http_count_refusal(s, 500);
        visit_release(v);
        return;
    }
    do
        next = request_serve(v, b, &have);
    while (next == VISIT_KEEP && have > 0 && !s->stopping);
    buf_release(b);
    visit_end(v, next);
}

static bool handshake(struct visit *v)
{
    struct stream *plain = v->stream;
    v->stream = NULL;
    v->handshake_due = false;
    err e = tls_accept(v->server->tls, plain, loop_now() + v->server->options.limits.head_ms, &v->stream);
    if (e == OK)
        return true;
    http_count_refusal(v->server, 0);
    log_debug("TLS handshake failed", F("listener", v->server->options.name), F_ERR(e));
    return false;
}

void visit_serve(struct visit *v)
{
    if (v->expired || v->server->stopping)
        visit_release(v);
    else if (!v->handshake_due)
        requests_serve(v);
    else if (handshake(v))
        visit_rest(v); /* a client may connect long before it asks */
    else
        visit_release(v);
}
