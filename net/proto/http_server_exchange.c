/* http_server_exchange: the answer a handler gives, and what becomes of the connection afterwards. */
#include "board/rt/log.h"
#include "board/rt/os.h"
#include "net/proto/http_server_inside.h"

#include <string.h>

#define TAIL_BYTES 512 /* of a large write, sent together with what frames it */
#define TYPE_TEXT  "text/plain; charset=utf-8"

void http_exchange_open(struct http_exchange *x, struct visit *v, struct buf *b)
{
    memset(x, 0, sizeof *x);
    x->server = v->server;
    x->visit = v;
    x->buf = b;
    x->in_cap = v->server->options.limits.head_bytes + HTTP_BODY_BYTES;
    x->extra = text_over((char *)b->at + x->in_cap, HTTP_EXTRA_BYTES);
    x->out = b->at + x->in_cap + HTTP_EXTRA_BYTES;
    x->out_cap = HTTP_OUT_BYTES - HTTP_EXTRA_BYTES;
    x->deadline = FOREVER;
}

/* --- sending --- */

err http_send_now(struct http_exchange *x, const void *from, size_t len)
{
    if (x->failed == OK && len > 0) {
        x->sent = true;
        x->failed =
            stream_write(x->visit->stream, from, len, ms_min(x->deadline, loop_now() + x->server->options.limits.write_ms));
    }
    return x->failed;
}

err http_out_flush(struct http_exchange *x)
{
    size_t len = x->out_len;
    x->out_len = 0;
    return http_send_now(x, x->out, len);
}

static size_t out_fill(struct http_exchange *x, const uint8_t *from, size_t len)
{
    size_t n = size_min(len, x->out_cap - x->out_len);
    memcpy(x->out + x->out_len, from, n);
    x->out_len += n;
    return n;
}

/* What does not fit goes out straight from the caller's memory, but for a tail that leaves with what comes behind it. */
static err out_put(struct http_exchange *x, const void *from, size_t len)
{
    const uint8_t *at = from;
    size_t n = out_fill(x, at, len);
    if (n == len)
        return OK;
    TRY(http_out_flush(x));
    at += n;
    len -= n;
    size_t tail = size_min(len, TAIL_BYTES);
    TRY(http_send_now(x, at, len - tail));
    (void)out_fill(x, at + len - tail, tail);
    return OK;
}

/* --- the answer's head --- */

static void put_common(struct text *t, int status, const char *content_type)
{
    char date[HTTP1_DATE_MAX];
    http1_put_status_line(t, (unsigned)status);
    if (os_wall_is_trusted()) { /* else none may be sent, RFC 9110 6.6.1 */
        http1_date(loop_wall_ms() / 1000, date);
        http1_put_field_text(t, "date", date);
    }
    if (content_type)
        http1_put_field_text(t, "content-type", content_type);
}

/* Whether the connection can be used again, as far as that is known when the answer begins. */
static bool may_keep(const struct http_exchange *x)
{
    const struct http_server *s = x->server;
    if (x->body.framing == HTTP1_LENGTH && x->body.left > HTTP_DROP_BYTES_MAX + x->in_len)
        return false;
    return x->head.keep_alive && !s->stopping && !x->continue_owed && (x->has_length || x->chunked || x->bodyless) &&
           x->visit->requests < s->options.limits.requests_per_connection;
}

static void put_framing(const struct http_exchange *x, struct text *t, int64_t length)
{
    if (x->status == 204 || x->status == 304)
        return;
    if (length >= 0)
        http1_put_field_u64(t, "content-length", (uint64_t)length);
    else if (x->head.minor > 0)
        http1_put_field_text(t, "transfer-encoding", "chunked");
}

static err put_head(struct http_exchange *x, const char *content_type, int64_t length)
{
    struct text t = text_over((char *)x->out, x->out_cap);
    put_common(&t, x->status, content_type);
    put_framing(x, &t, length);
    if (!x->keep_alive)
        http1_put_field_text(&t, "connection", "close");
    else if (x->head.minor == 0)
        http1_put_field_text(&t, "connection", "keep-alive");
    text_add_bytes(&t, (struct bytes){(const uint8_t *)x->extra.at, x->extra.len});
    http1_put_end(&t);
    if (t.cut)
        return trail(E_RANGE, "the answer's head does not fit");
    x->out_len = t.len;
    return OK;
}

err http_start(struct http_exchange *x, int status, const char *content_type, int64_t length)
{
    if (x->phase != ANSWER_NONE || x->taken || x->refused)
        return trail(E_INVALID, "the answer has begun already");
    if (status < 200 || status > 599 || (content_type && !http1_value_is_valid(bytes_of(content_type))))
        return trail(E_INVALID, "status %d or its content type", status);
    x->status = status;
    x->bodyless = x->head.method == HTTP1_HEAD || status == 204 || status == 304;
    x->has_length = length >= 0;
    x->left = length >= 0 ? (uint64_t)length : 0;
    x->chunked = length < 0 && x->head.minor > 0 && !x->bodyless;
    x->keep_alive = may_keep(x);
    TRY(put_head(x, content_type, length));
    x->phase = ANSWER_STARTED;
    return OK;
}

err http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    if (x->phase != ANSWER_NONE)
        return trail(E_INVALID, "header after the answer began");
    if (!http1_is_token(bytes_of(name)) || !http1_value_is_valid(bytes_of(value)))
        return trail(E_INVALID, "header name or value");
    struct text before = x->extra;
    http1_put_field_text(&x->extra, name, value);
    if (!x->extra.cut)
        return OK;
    x->extra = before;
    x->extra.at[x->extra.len] = 0;
    return trail(E_RANGE, "headers of more than %zu bytes", HTTP_EXTRA_BYTES);
}

/* --- the answer's body --- */

static err write_framed(struct http_exchange *x, const void *from, size_t len)
{
    char line[HTTP1_CHUNK_HEAD_MAX];
    if (x->chunked)
        TRY(out_put(x, line, http1_chunk_head(len, line)));
    TRY(out_put(x, from, len));
    return x->chunked ? out_put(x, "\r\n", 2) : OK;
}

err http_write(struct http_exchange *x, const void *from, size_t len)
{
    if (x->phase != ANSWER_STARTED)
        return trail(E_INVALID, "body outside of an answer");
    if (x->has_length && len > x->left)
        return trail(E_RANGE, "more than the answer's length");
    x->left -= x->has_length ? len : 0;
    if (x->bodyless || len == 0)
        return x->failed;
    TRY(write_framed(x, from, len));
    return http_out_flush(x);
}

err http_finish(struct http_exchange *x)
{
    if (x->phase == ANSWER_DONE)
        return x->failed;
    if (x->phase != ANSWER_STARTED)
        return trail(E_INVALID, "end of an answer that has not begun");
    if (x->has_length && x->left > 0 && !x->bodyless)
        return trail(E_RANGE, "less than the answer's length");
    x->phase = ANSWER_DONE;
    if (x->chunked)
        TRY(out_put(x, HTTP1_CHUNK_LAST, sizeof HTTP1_CHUNK_LAST - 1));
    return http_out_flush(x);
}

err http_answer(struct http_exchange *x, int status, const char *content_type, struct bytes body)
{
    TRY(http_start(x, status, content_type, (int64_t)body.len));
    TRY(http_write(x, body.at, body.len));
    return http_finish(x);
}

/* --- refusing --- */

size_t http_refusal_text(int status, const char *why, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    put_common(&t, status, TYPE_TEXT);
    http1_put_field_u64(&t, "content-length", strlen(why) + 1);
    http1_put_field_text(&t, "connection", "close");
    http1_put_end(&t);
    text_addf(&t, "%s\n", why);
    return t.cut ? 0 : t.len;
}

void http_refuse(struct http_exchange *x, int status, const char *why)
{
    x->refused = true;
    x->keep_alive = false;
    if (x->sent)
        return;
    x->status = status;
    x->phase = ANSWER_DONE;
    x->out_len = http_refusal_text(status, why, (char *)x->out, x->out_cap);
    if (status != 500)
        http_count_refusal(x->server, status);
    if (http_out_flush(x) != OK)
        x->sent = true; /* it does not hear it; the connection ends either way */
}

/* --- the whole --- */

err http_take_over(struct http_exchange *x, struct stream **out, struct bytes *rest)
{
    if (x->phase != ANSWER_NONE || x->taken)
        return trail(E_INVALID, "take-over after the answer began");
    x->taken = true;
    x->keep_alive = false;
    *out = x->visit->stream;
    *rest = (struct bytes){x->buf->at + x->in_at, x->in_len - x->in_at};
    x->visit->stream = NULL;
    return OK;
}

static void count_request(struct http_exchange *x)
{
    x->server->use.requests++;
    if (x->status >= 200 && x->status < 600)
        series_add(x->server->requests[x->status / 100 - 1], 1);
}

/* An answer that has not left yet is taken back. */
static void handler_failed(struct http_exchange *x, err e)
{
    enum log_level level = x->failed != OK || e == E_CANCELED ? LOG_DEBUG : LOG_WARN; /* the peer went, or we do */
    const struct field fields[] = {F("listener", x->server->options.name), F("method", http1_method_name(x->head.method)),
                                   F_ERR(e)};
    log_write(level, "request failed", fields, COUNT_OF(fields));
    if (!x->sent && !x->refused && e != E_CANCELED)
        http_refuse(x, 500, "the request failed");
    x->failed = e;
}

static err handler_run(struct http_exchange *x)
{
    if (x->head.method == HTTP1_CONNECT || x->head.method == HTTP1_TRACE) {
        http_refuse(x, 501, "this is no proxy");
        return OK;
    }
    err e = x->server->options.handle(x->server->options.arg, x);
    if (e == OK && !x->taken && !x->refused)
        e = http_finish(x);
    return e;
}

enum visit_next http_exchange_run(struct http_exchange *x)
{
    const struct http_limits *l = &x->server->options.limits;
    x->deadline = l->handler_ms ? loop_now() + l->handler_ms : FOREVER;
    x->continue_owed = x->head.expect_continue && x->in_at == x->in_len; /* else it did not wait */
    http1_body_start(&x->body, &x->head, l->body_bytes);
    err e = handler_run(x);
    count_request(x);
    if (x->taken)
        return VISIT_CLOSE; /* the stream is not ours any more: only the slot is freed */
    if (e != OK && !x->refused)
        handler_failed(x, e);
    if (x->failed != OK && !x->refused)
        return VISIT_CLOSE;
    bool keep = x->keep_alive && !x->refused && x->failed == OK;
    err dropped = x->refused || !keep ? E_RANGE : http_body_drop(x);
    if (keep && dropped == OK)
        return VISIT_KEEP;
    /* Closing on bytes that nobody read resets, and the answer may be lost with it, RFC 9112 9.6. */
    return http1_body_ended(&x->body) && !x->refused && x->in_at == x->in_len ? VISIT_CLOSE : VISIT_LINGER;
}
