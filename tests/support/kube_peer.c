/* kube_peer: a fiber a connection; a request is read whole, then answered by the script. */
#include "tests/support/kube_peer.h"

#include "board/rt/mem.h"
#include "net/format/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MS MINUTES(60)
#define LIVE_MS 20
#define CODES   KP_WAIT KP_CUT KP_STUCK KP_LONG KP_LIVE

struct conn {
    struct kube_peer *peer;
    struct stream *stream;
    size_t len;
    struct http1_head head;
    char line[KIB(3)]; /* what is asked */
    char buffer[KUBE_PEER_HEAD_MAX];
};

/* --- the script --- */

static void tell(struct kube_peer *p, const char *line)
{
    const char *timeout = strstr(line, "&timeoutSeconds=");
    size_t from = timeout ? (size_t)(timeout - line) : strlen(line), len = strlen(p->told);
    const char *rest = timeout ? timeout + 16 + strspn(timeout + 16, "0123456789") : "";
    (void)snprintf(p->told + len, sizeof p->told - len, "%.*s%s\n", (int)from, line, rest);
    p->requests++;
}

static const struct kube_reply *reply_to(struct kube_peer *p, const char *line)
{
    static const struct kube_reply none = {"", 0, 404, "{\"kind\":\"Status\",\"code\":404,\"message\":\"not in the script\"}",
                                           NULL};
    const struct kube_reply *made = p->answer ? p->answer(p->arg, line) : NULL;
    if (made)
        return made;
    for (size_t i = 0; p->replies[i].match && i < KUBE_PEER_REPLIES_MAX; i++) {
        const struct kube_reply *r = &p->replies[i];
        if (strstr(line, r->match) && (r->times == 0 || p->used[i] < r->times)) {
            p->used[i]++;
            return r;
        }
    }
    return &none;
}

/* --- HTTP/1.1 --- */

static err send(struct conn *c, const char *text, size_t len)
{
    size_t most = c->peer->piece_max ? c->peer->piece_max : len;
    for (size_t at = 0; at < len; at += most)
        TRY(stream_write(c->stream, text + at, size_min(most, len - at), loop_now() + SECONDS(60)));
    return OK;
}

static err chunk(struct conn *c, const char *text, size_t len)
{
    char head[16];
    if (len == 0)
        return OK;
    TRY(send(c, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", len)));
    TRY(send(c, text, len));
    return send(c, "\r\n", 2);
}

/* Nothing more is said; what still comes is dropped, until the peer ends it. */
static err stuck(struct conn *c)
{
    char dropped[256];
    size_t got = 1;
    while (got > 0)
        TRY(stream_read(c->stream, dropped, sizeof dropped, loop_now() + REST_MS, &got));
    return E_CLOSED;
}

static err live(struct conn *c);

static err pieces(struct conn *c, const char *body)
{
    while (*body) {
        size_t len = strcspn(body, CODES);
        TRY(chunk(c, body, len));
        body += len;
        if (*body == *KP_WAIT || *body == *KP_LONG)
            TRY(fiber_sleep(loop_now() + SECONDS(*body == *KP_WAIT ? 1 : 30)));
        else if (*body == *KP_CUT)
            return E_CLOSED;
        else if (*body == *KP_STUCK)
            return stuck(c);
        else if (*body == *KP_LIVE)
            return live(c);
        body += *body != 0;
    }
    return OK;
}

/* Until its end, or the client's: who watches says nothing more. */
static err live(struct conn *c)
{
    uint64_t at = 0;
    char dropped[16];
    size_t got = 1;
    for (const char *more; (more = c->peer->live(c->peer->arg, c->line, &at)) != NULL;) {
        if (*more)
            TRY(pieces(c, more));
        else {
            err e = stream_read(c->stream, dropped, sizeof dropped, loop_now() + LIVE_MS, &got);
            trail_clear();
            if (e != E_TIMEOUT)
                return e == OK ? E_CLOSED : e;
        }
    }
    return OK;
}

static err chunks(struct conn *c, const char *body)
{
    TRY(pieces(c, body));
    return send(c, "0\r\n\r\n", 5);
}

static err answer(struct conn *c, const struct kube_reply *r)
{
    char head[512];
    bool whole = !strpbrk(r->body, CODES);
    char framing[64] = "Transfer-Encoding: chunked";
    if (r->status == 0)
        return E_CLOSED;
    if (whole)
        (void)snprintf(framing, sizeof framing, "Content-Length: %zu", strlen(r->body));
    int len = snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Type: %s\r\n%s%s%s\r\n\r\n", r->status,
                       *r->body == '{' || !whole ? "application/json" : "text/plain", r->header ? r->header : "",
                       r->header ? "\r\n" : "", framing);
    TRY(send(c, head, (size_t)len));
    return whole ? send(c, r->body, strlen(r->body)) : chunks(c, r->body);
}

static err head_receive(struct conn *c)
{
    static const struct http1_limits limits = {KUBE_PEER_HEAD_MAX, KUBE_PEER_HEAD_MAX, UINT64_MAX};
    size_t got;
    c->head = (struct http1_head){.head_bytes = 0};
    for (;;) {
        struct bytes all = {(uint8_t *)c->buffer, c->len};
        enum http1_result r = c->len > 0 ? http1_parse_request(&c->head, all, &limits) : HTTP1_NEED_MORE;
        if (r != HTTP1_NEED_MORE)
            return r == HTTP1_READY ? OK : E_PROTOCOL;
        TRY(stream_read(c->stream, c->buffer + c->len, sizeof c->buffer - 1 - c->len, loop_now() + REST_MS, &got));
        if (got == 0)
            return E_CLOSED;
        c->len += got;
    }
}

static err body_receive(struct conn *c, size_t length)
{
    size_t got, need = c->head.head_bytes + length;
    if (need >= sizeof c->buffer)
        return E_RANGE;
    for (; c->len < need; c->len += got) {
        TRY(stream_read(c->stream, c->buffer + c->len, need - c->len, loop_now() + SECONDS(60), &got));
        if (got == 0)
            return E_CLOSED;
    }
    return OK;
}

static bool is_allowed(const struct conn *c)
{
    struct bytes value;
    return !c->peer->token || (http1_find(&c->head, "authorization", &value) && bytes_equal_text(value, c->peer->token));
}

static err serve_one(struct conn *c)
{
    static const struct kube_reply denied = {
        "", 0, 401, "{\"kind\":\"Status\",\"code\":401,\"reason\":\"Unauthorized\",\"message\":\"Unauthorized\"}", NULL};
    TRY(head_receive(c));
    size_t length = c->head.framing == HTTP1_LENGTH ? (size_t)c->head.length : 0;
    TRY(body_receive(c, length));
    const char *first = c->buffer;
    size_t method = strcspn(first, " "), target = strcspn(first + method + 1, " ");
    (void)snprintf(c->line, sizeof c->line, "%.*s%s%.*s", (int)(method + 1 + target), first, length ? " " : "", (int)length,
                   c->buffer + c->head.head_bytes);
    tell(c->peer, c->line);
    const struct kube_reply *r = is_allowed(c) ? reply_to(c->peer, c->line) : &denied;
    size_t used = c->head.head_bytes + length;
    memmove(c->buffer, c->buffer + used, c->len - used);
    c->len -= used;
    return answer(c, r);
}

static err serve_h1(struct conn *c)
{
    err e = OK;
    while (e == OK)
        e = serve_one(c);
    stream_close(c->stream);
    return OK;
}

/* --- HTTP/2 --- */

static const struct server_step *script(void *arg, const struct server_request *request)
{
    struct kube_peer *p = arg;
    char line[KIB(3)];
    struct server_step *steps = p->steps[p->requests % SERVER_CALLS_MAX], *s = steps;
    (void)snprintf(line, sizeof line, "GET %s", request->path);
    tell(p, line);
    const struct kube_reply *r = reply_to(p, line);
    if (r->status == 0)
        *s++ = (struct server_step){.what = SERVER_VANISH};
    else
        *s++ = (struct server_step){.what = SERVER_HEADERS, .count = (uint32_t)r->status, .text = "application/json"};
    for (const char *body = r->status ? r->body : ""; *body;) {
        size_t len = strcspn(body, KP_WAIT KP_CUT KP_STUCK KP_LONG);
        if (len > 0)
            *s++ = (struct server_step){.what = SERVER_RAW, .bytes = {(const uint8_t *)body, len}};
        body += len;
        if (*body == *KP_WAIT || *body == *KP_LONG)
            *s++ = (struct server_step){.what = SERVER_WAIT, .count = *body == *KP_WAIT ? 1000 : 30000};
        else if (*body == *KP_CUT)
            *s++ = (struct server_step){.what = SERVER_VANISH};
        else if (*body == *KP_STUCK) {
            *s = (struct server_step){.what = SERVER_DONE};
            return steps;
        }
        body += *body != 0;
    }
    *s++ = (struct server_step){.what = SERVER_BARE_END};
    *s = (struct server_step){.what = SERVER_DONE};
    return steps;
}

/* --- connections --- */

static err serve(void *arg)
{
    struct conn *c = arg;
    err e = OK;
    if (c->peer->tls)
        e = tls_accept(c->peer->tls, c->stream, loop_now() + SECONDS(20), &c->stream);
    if (e == OK)
        e = c->peer->tls ? server_run(&c->peer->server, c->stream) : serve_h1(c);
    free(c);
    trail_clear();
    return OK;
}

static void *begin(void *arg, struct stream *s)
{
    struct kube_peer *p = arg;
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->peer = p;
    c->stream = s;
    p->connections++;
    return c;
}

err kube_peer_open(struct kube_peer *p)
{
    group_open(&p->group, TASK_METRICS);
    p->listener = SOCK_CLOSED;
    p->acceptor = (struct acceptor){&p->listener, &p->group, "kube peer", begin, serve, p};
    p->server.script = script;
    p->server.arg = p;
    enum task caller = mem_task();
    mem_set_task(TASK_METRICS); /* who listens is charged for what is accepted */
    err e = sock_listen(&p->listener, &p->at, &p->at);
    mem_set_task(caller);
    if (e == OK)
        e = group_spawn(&p->group, "kube peer", acceptor_run, &p->acceptor);
    return e;
}

void kube_peer_close(struct kube_peer *p)
{
    group_close(&p->group);
    sock_close(&p->listener);
}
