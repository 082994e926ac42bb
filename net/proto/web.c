/* web: the connection, and what both protocols have in common. */
#include "net/proto/web_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const web_alpn[] = {"h2", "http/1.1", NULL};

/* --- opening --- */

static err take_over(struct web *w, struct stream *s, const struct web_over *how, ms deadline)
{
    if (how->h2)
        return h2_open(s, how->tls ? "https" : "http", how->authority, how->window_bytes, deadline, &w->h2);
    return http_over(s, how->authority, &w->h1);
}

err web_over(struct stream *s, const struct web_over *how, ms deadline, struct web **out)
{
    *out = NULL;
    struct web *w = calloc(1, sizeof *w);
    if (!w) {
        stream_close(s);
        return E_BUDGET;
    }
    err e = take_over(w, s, how, deadline);
    if (e != OK) {
        free(w);
        return e;
    }
    w->tells_end = how->tls;
    if (w->h2)
        web_hang(w, &w->own);
    *out = w;
    return OK;
}

err web_connect(struct dns *d, const struct url *url, struct tls_config *tls, size_t window_bytes, ms deadline, struct web **out)
{
    struct stream *s = NULL;
    *out = NULL;
    if (url->tls && !tls)
        return trail(E_INVALID, "https://%s without TLS settings", url->host);
    TRY(dns_connect(d, url->host, url->port, deadline, &s));
    return web_connect_on(s, url, tls, window_bytes, deadline, out);
}

err web_connect_on(struct stream *s, const struct url *url, struct tls_config *tls, size_t window_bytes, ms deadline,
                   struct web **out)
{
    char authority[URL_AUTHORITY_MAX];
    *out = NULL;
    url_authority(url, authority, sizeof authority);
    if (url->tls) {
        struct stream *plain = s;
        ASSERT(tls != NULL);
        TRY(trail(tls_connect(tls, plain, url->host, deadline, &s), "TLS with %s", authority));
    }
    const char *alpn = url->tls ? tls_alpn(s) : NULL;
    struct web_over how = {
        .authority = authority, .h2 = alpn && strcmp(alpn, "h2") == 0, .tls = url->tls, .window_bytes = window_bytes};
    return web_over(s, &how, deadline, out);
}

bool web_is_h2(const struct web *w)
{
    return w->h2 != NULL;
}

bool web_usable(const struct web *w)
{
    if (w->h2)
        return h2_usable(w->h2);
    return w->exchange ? w->exchange->failed == OK : http_reusable(w->h1);
}

unsigned web_room(const struct web *w)
{
    if (w->h2)
        return h2_room(w->h2);
    return !w->exchange && http_reusable(w->h1);
}

err web_ping(struct web *w, ms deadline)
{
    return w->h2 ? h2_ping(w->h2, deadline) : E_UNSUPPORTED;
}

void web_close(struct web *w)
{
    if (!w)
        return;
    ASSERT(w->exchanges == 0);
    web_hang(w, NULL);
    h2_close(w->h2);
    http_disconnect(w->h1);
    free(w);
}

void web_hang(struct web *w, struct bell *b)
{
    w->bell = b;
    if (w->exchanges > 0) /* what came before is heard too */
        bell_ring(b);
    if (w->h2)
        h2_hang(w->h2, b);
    else
        web_h1_listen(w);
}

err web_wait_any(struct web *w, ms deadline)
{
    if (!w->bell) /* h1: whoever never waits so has no rests to make */
        web_hang(w, &w->own);
    ASSERT(w->bell == &w->own);
    if (!w->own.rung && w->h2)
        TRY(h2_push(w->h2));
    if (!w->own.rung && w->exchange)
        TRY(w->exchange->failed);
    return bell_wait(&w->own, deadline);
}

void web_rest(struct web *w, ms until)
{
    if (w->h2)
        h2_rest(w->h2, until);
}

err web_flush(struct web *w, ms deadline)
{
    (void)deadline; /* of its own: half a frame would break every exchange */
    return w->h2 ? h2_push(w->h2) : OK;
}

/* --- an exchange --- */

struct http_call web_common(const struct web_call *call, int64_t body_bytes)
{
    return (struct http_call){.method = call->method,
                              .path = call->path,
                              .headers = call->headers,
                              .header_count = call->header_count,
                              .body = call->body,
                              .body_bytes = body_bytes};
}

static err h2_begin(struct web *w, const struct web_call *call, ms deadline, struct web_exchange *x)
{
    struct h2_header fields[WEB_REQUEST_FIELDS_MAX + 2];
    struct http_call common = web_common(call, x->left);
    char length[24];
    size_t n = 0;
    if (call->header_count > WEB_REQUEST_FIELDS_MAX)
        return trail(E_RANGE, "%zu request headers", call->header_count);
    TRY(http_call_check(&common));
    if (!http_call_tells_agent(&common))
        fields[n++] = (struct h2_header){"user-agent", "holdfast"};
    if (http_call_tells_length(&common)) {
        (void)snprintf(length, sizeof length, "%lld", (long long)x->left);
        fields[n++] = (struct h2_header){"content-length", length};
    }
    for (size_t i = 0; i < call->header_count; i++)
        fields[n++] = (struct h2_header){call->headers[i].name, call->headers[i].value};
    struct h2_call own = {.method = call->method,
                          .path = call->path,
                          .headers = fields,
                          .count = n,
                          .body = call->body,
                          .end = x->left == (int64_t)call->body.len,
                          .window_bytes = call->window_bytes,
                          .more = call->more};
    return h2_stream_begin(w->h2, &own, deadline, &x->stream);
}

static err h1_begin(struct web *w, const struct web_call *call, ms deadline, struct web_exchange *x)
{
    if (w->exchange)
        return trail(E_BUSY, "HTTP/1.1 has one exchange at a time");
    if (!http_reusable(w->h1))
        return trail(E_CLOSED, "this HTTP/1.1 connection cannot be used again");
    w->exchange = x;
    err e = web_h1_open(w, call, deadline, x);
    if (e == OK)
        web_h1_listen(w);
    else
        w->exchange = NULL;
    return e;
}

err web_open(struct web *w, const struct web_call *call, ms deadline, struct web_exchange **out)
{
    *out = NULL;
    struct web_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return E_BUDGET;
    x->web = w;
    x->left = call->body.len ? (int64_t)call->body.len : call->body_bytes;
    err e = w->h2 ? h2_begin(w, call, deadline, x) : h1_begin(w, call, deadline, x);
    if (e != OK) {
        free(x);
        return e;
    }
    if (call->body.len)
        x->left = 0;
    w->exchanges++;
    *out = x;
    return OK;
}

err web_send(struct web_exchange *x, const void *bytes, size_t len, ms deadline)
{
    if (x->left >= 0 && (uint64_t)x->left < len)
        return trail(E_INVALID, "a body that was not promised");
    if (x->left >= 0)
        x->left -= (int64_t)len;
    if (!x->stream)
        return web_h1_send(x, bytes, len, deadline);
    return h2_stream_write(x->stream, bytes, len, x->left < 0 ? len == 0 : x->left == 0, deadline);
}

err web_status(struct web_exchange *x, ms deadline, int *status)
{
    return x->stream ? h2_stream_response(x->stream, deadline, status) : web_h1_status(x, deadline, status);
}

/* Nothing came in no time. */
static err again(err e, uint64_t mark)
{
    if (e != E_TIMEOUT)
        return e;
    trail_rewind(mark);
    return E_AGAIN;
}

err web_status_now(struct web_exchange *x, int *status)
{
    if (x->stream)
        return h2_stream_response_now(x->stream, status);
    uint64_t mark = trail_mark();
    return again(web_h1_status(x, loop_now(), status), mark);
}

const char *web_header(const struct web_exchange *x, const char *name)
{
    return x->stream ? h2_stream_header(x->stream, name) : web_h1_header(x, name);
}

err web_read(struct web_exchange *x, void *into, size_t cap, ms deadline, size_t *got)
{
    *got = 0;
    return x->stream ? h2_stream_read(x->stream, into, cap, deadline, got) : web_h1_read(x, into, cap, deadline, got);
}

err web_read_now(struct web_exchange *x, void *into, size_t cap, size_t *got)
{
    *got = 0;
    if (x->stream)
        return h2_stream_read_now(x->stream, into, cap, got);
    uint64_t mark = trail_mark();
    return again(web_h1_read(x, into, cap, loop_now(), got), mark);
}

err web_skip(struct web_exchange *x, size_t bytes_max, ms deadline)
{
    uint8_t piece[512];
    size_t got = 1, sum = 0;
    err e = OK;
    while (e == OK && got > 0 && sum <= bytes_max) {
        e = web_read(x, piece, sizeof piece, deadline, &got);
        wipe(piece, got);
        sum += got;
    }
    return e == OK && sum > bytes_max ? trail(E_RANGE, "an answer of more than %zu bytes", bytes_max) : e;
}

void web_end(struct web_exchange *x)
{
    if (!x)
        return;
    if (x->stream)
        h2_stream_close(x->stream);
    else
        web_h1_end(x);
    x->web->exchanges--;
    free(x);
}
