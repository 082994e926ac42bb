/* web_h1: an exchange over HTTP/1.1. Its head is copied, for http_client's views last until its next call only. */
#include "net/proto/web_inside.h"

#include <stdlib.h>
#include <string.h>

/* --- waiting without a fiber --- */

void web_h1_wake(struct web *w)
{
    if (w->resting)
        http_wake(w->h1);
    w->resting = false;
}

static void on_readable(void *arg)
{
    struct web *w = arg;
    w->resting = false;
    bell_ring(w->bell);
}

void web_h1_listen(struct web *w)
{
    const struct web_exchange *x = w->exchange;
    if (!x || x->ended || x->failed != OK || !w->bell || w->resting)
        return;
    w->resting = http_rest(w->h1, on_readable, w) == OK;
    if (!w->resting) /* it is here already, or it is dead, which the next look tells */
        bell_ring(w->bell);
}

/* --- the request --- */

err web_h1_open(struct web *w, const struct web_call *call, ms deadline, struct web_exchange *x)
{
    struct http_call own = web_common(call, x->left);
    TRY(http_send(w->h1, &own, deadline));
    return call->body.len == 0 || http_body_sent(w->h1) ? OK : http_send_body(w->h1, call->body.at, call->body.len, deadline);
}

err web_h1_send(struct web_exchange *x, const void *bytes, size_t len, ms deadline)
{
    web_h1_wake(x->web);
    err e = http_send_body(x->web->h1, bytes, len, deadline);
    web_h1_listen(x->web);
    return e;
}

/* --- the answer --- */

static size_t put(char *to, struct bytes from)
{
    if (from.len)
        memcpy(to, from.at, from.len);
    to[from.len] = 0;
    return from.len + 1;
}

static void lower(char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] = (char)(at[i] - 'A' + 'a');
}

static err headers_keep(struct web_exchange *x, const struct http1_head *head)
{
    size_t need = 0;
    for (unsigned i = 0; i < head->field_count; i++)
        need += head->fields[i].name.len + head->fields[i].value.len + 2;
    if (need > WEB_HEADERS_BYTES_MAX)
        return trail(E_RANGE, "response headers of %zu bytes", need);
    if (!(x->headers = malloc(need + 1)))
        return E_BUDGET;
    for (unsigned i = 0; i < head->field_count; i++) {
        char *name = x->headers + x->headers_len;
        x->headers_len += put(name, head->fields[i].name);
        lower(name, head->fields[i].name.len);
        x->headers_len += put(x->headers + x->headers_len, head->fields[i].value);
    }
    return OK;
}

const char *web_h1_header(const struct web_exchange *x, const char *name)
{
    for (size_t at = 0; at < x->headers_len;) {
        const char *n = x->headers + at, *v = n + strlen(n) + 1;
        if (strcmp(n, name) == 0)
            return v;
        at = (size_t)(v - x->headers) + strlen(v) + 1;
    }
    return NULL;
}

static err looked(struct web_exchange *x, err e)
{
    if (e != E_TIMEOUT && e != E_CANCELED)
        x->failed = e;
    web_h1_listen(x->web);
    return e;
}

static err head_take(struct web_exchange *x, ms deadline)
{
    const struct http1_head *head = NULL;
    TRY(http_receive_head(x->web->h1, deadline, &head));
    x->loose = head->framing == HTTP1_UNTIL_CLOSE;
    TRY(headers_keep(x, head));
    x->status = (int)head->status;
    return OK;
}

err web_h1_status(struct web_exchange *x, ms deadline, int *status)
{
    if (x->status == 0) {
        TRY(x->failed);
        web_h1_wake(x->web);
        TRY(looked(x, head_take(x, deadline)));
    }
    *status = x->status;
    return OK;
}

static err body_end(struct web_exchange *x)
{
    x->ended = !x->loose || x->web->tells_end;
    return x->ended ? OK : trail(E_CLOSED, "an answer without length or chunks: whether it is whole cannot be told");
}

err web_h1_read(struct web_exchange *x, void *into, size_t cap, ms deadline, size_t *got)
{
    int status;
    TRY(web_h1_status(x, deadline, &status));
    if (x->ended || x->failed != OK)
        return x->failed;
    web_h1_wake(x->web);
    err e = http_receive_body(x->web->h1, into, cap, deadline, got);
    if (e == OK && *got == 0)
        e = body_end(x);
    return looked(x, e);
}

/* An answer without a body has ended with its head: read to its end, the connection can be used again. */
void web_h1_end(struct web_exchange *x)
{
    uint8_t none;
    size_t got = 0;
    uint64_t mark = trail_mark();
    web_h1_wake(x->web);
    if (x->status != 0 && !x->ended && x->failed == OK)
        err_ignore(http_receive_body(x->web->h1, &none, sizeof none, loop_now(), &got));
    trail_rewind(mark);
    if (x->headers)
        wipe(x->headers, x->headers_len);
    free(x->headers);
    x->web->exchange = NULL;
}
