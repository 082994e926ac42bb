/* http_server_body: the request as a handler sees it, and its body as it comes. */
#include "net/proto/http_server_inside.h"

#include <string.h>

#define DROP_MS          SECONDS(2)
#define BODY_PATIENCE_MS SECONDS(5)

const struct http1_head *http_request_of(const struct http_exchange *x)
{
    return &x->head;
}

int64_t http_body_length(const struct http_exchange *x)
{
    return x->head.framing == HTTP1_CHUNKED ? -1 : (int64_t)x->head.length;
}

static err continue_send(struct http_exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    x->continue_owed = false;
    if (x->phase != ANSWER_NONE)
        return OK; /* too late: the final answer is on its way */
    err e = http_send_now(x, text, sizeof text - 1);
    x->sent = false; /* the answer itself is not out */
    return e;
}

/* A peer that sends nothing for a while loses its fiber to others, if there are any. */
static err body_read(struct http_exchange *x, ms deadline, size_t *got)
{
    for (;;) {
        err e = stream_read(x->visit->stream, x->buf->at + x->in_at, x->in_cap - x->in_at,
                            ms_min(deadline, loop_now() + BODY_PATIENCE_MS), got);
        if (e != E_TIMEOUT || loop_now() >= deadline || http_server_is_pressed(x->server))
            return e;
    }
}

/* More bytes of the body into the room behind the head. */
static err body_fill(struct http_exchange *x, ms deadline)
{
    size_t got = 0;
    if (x->continue_owed)
        TRY(continue_send(x));
    x->in_at = x->in_len = x->head.head_bytes;
    err e = body_read(x, deadline, &got);
    if (e == E_TIMEOUT)
        http_refuse(x, 408, "the body did not come in time");
    if (e != OK)
        return e;
    x->in_len += got;
    return got > 0 ? OK : trail(E_CLOSED, "the body was cut short");
}

/* Unframes until there is content in x->data, or the end. */
static err body_next(struct http_exchange *x, ms deadline, bool *ended)
{
    *ended = false;
    while (x->data.len == 0) {
        size_t used = 0;
        struct bytes in = {x->buf->at + x->in_at, x->in_len - x->in_at};
        enum http1_body_result result = http1_body_next(&x->body, in, &used, &x->data);
        x->in_at += used;
        if (result == HTTP1_BODY_REFUSED) {
            http_refuse(x, (int)x->body.refused_status, x->body.why);
            return trail(x->body.refused_status == 400 ? E_PROTOCOL : E_RANGE, "%s", x->body.why);
        }
        *ended = result == HTTP1_BODY_DONE && x->data.len == 0;
        if (*ended)
            return OK;
        if (x->data.len == 0 && x->in_at == x->in_len)
            TRY(body_fill(x, deadline));
    }
    return OK;
}

err http_read_body(struct http_exchange *x, void *into, size_t cap, size_t *got)
{
    bool ended;
    *got = 0;
    if (x->refused || x->taken)
        return E_INVALID;
    TRY(body_next(x, ms_min(x->deadline, loop_now() + x->server->options.limits.body_idle_ms), &ended));
    *got = size_min(cap, x->data.len);
    if (*got > 0)
        memcpy(into, x->data.at, *got);
    x->data.at += *got;
    x->data.len -= *got;
    return OK;
}

err http_body_drop(struct http_exchange *x)
{
    ms deadline = loop_now() + DROP_MS;
    bool ended = false;
    if (x->continue_owed || (x->body.framing == HTTP1_LENGTH && x->body.left > HTTP_DROP_BYTES_MAX))
        return E_RANGE;
    for (uint64_t start = x->body.total; !ended && x->body.total - start <= HTTP_DROP_BYTES_MAX;) {
        x->data.len = 0;
        TRY(body_next(x, deadline, &ended));
    }
    return ended ? OK : E_RANGE;
}
