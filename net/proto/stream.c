/* stream: TCP and unix sockets as streams. */
#include "net/proto/stream.h"

#include <stdlib.h>

struct tcp_stream {
    struct stream stream; /* first: one address for both */
    struct sock sock;
};

static struct tcp_stream *tcp_of(const struct stream *s)
{
    return (struct tcp_stream *)(uintptr_t)s;
}

static err tcp_read(struct stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    return sock_read(&tcp_of(s)->sock, into, cap, deadline, got);
}

static err tcp_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    return sock_write(&tcp_of(s)->sock, from, len, deadline);
}

static err tcp_end(struct stream *s, ms deadline)
{
    (void)deadline; /* shutdown(2) does not wait */
    return sock_shutdown_send(&tcp_of(s)->sock);
}

static bool tcp_pending(const struct stream *s)
{
    (void)s;
    return false;
}

static err tcp_rest(struct stream *s, void (*on_readable)(void *arg), void *arg)
{
    sock_rest(&tcp_of(s)->sock, on_readable, arg);
    return OK;
}

static void tcp_wake(struct stream *s)
{
    sock_wake(&tcp_of(s)->sock);
}

static bool tcp_quiet(struct stream *s)
{
    return sock_quiet(&tcp_of(s)->sock);
}

static void tcp_close(struct stream *s)
{
    sock_close(&tcp_of(s)->sock);
    free(tcp_of(s));
}

static const struct stream_ops tcp_ops = {tcp_read, tcp_write, tcp_end, tcp_pending, tcp_rest, tcp_wake, tcp_quiet, tcp_close};

static struct tcp_stream *tcp_new(void)
{
    struct tcp_stream *t = calloc(1, sizeof *t);
    if (t) {
        t->stream.ops = &tcp_ops;
        t->sock = SOCK_CLOSED;
    }
    return t;
}

err tcp_connect(const struct addr *to, ms deadline, struct stream **out)
{
    *out = NULL;
    struct tcp_stream *t = tcp_new();
    if (!t)
        return E_BUDGET;
    err e = sock_connect(&t->sock, to, deadline);
    if (e != OK) {
        tcp_close(&t->stream);
        return e;
    }
    *out = &t->stream;
    return OK;
}

err tcp_accept(struct sock *listener, ms deadline, struct stream **out, struct addr *peer)
{
    *out = NULL;
    struct tcp_stream *t = tcp_new();
    if (!t)
        return E_BUDGET;
    err e = sock_accept(listener, &t->sock, peer, deadline);
    if (e != OK) {
        tcp_close(&t->stream);
        return e;
    }
    *out = &t->stream;
    return OK;
}

err stream_read_full(struct stream *s, void *into, size_t len, ms deadline)
{
    for (size_t have = 0, got = 0; have < len; have += got) {
        TRY(stream_read(s, (uint8_t *)into + have, len - have, deadline, &got));
        if (got == 0)
            return trail(E_CLOSED, "stream ended after %zu of %zu bytes", have, len);
    }
    return OK;
}
