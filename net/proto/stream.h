/* stream: bytes both ways, whatever carries them: TCP, a unix socket, TLS over another stream, a test's pipe.
 *
 * Layer    proto.                                   Blocks   calls with a deadline park the fiber.
 * Owner    whoever opened it closes it; closing a   Memory   none here.
 *          layered stream closes what is under it.
 * Threads  the loop thread; one reader and one writer fiber at a time.
 * Errors   those of sock.h and tls.h. End of stream is OK with *got 0, never silence: a TLS peer that vanishes without
 * close_notify is E_CLOSED. */
#ifndef HOLDFAST_STREAM_H
#define HOLDFAST_STREAM_H

#include "board/rt/sock.h"

struct stream;
struct stream_ops {
    err (*read)(struct stream *s, void *into, size_t cap, ms deadline, size_t *got);
    err (*write)(struct stream *s, const void *from, size_t len, ms deadline); /* all of it */
    err (*end)(struct stream *s, ms deadline);                                 /* no more from us: close_notify, FIN */
    bool (*pending)(const struct stream *s); /* bytes are here that no socket event will tell of (inside TLS) */
    /* At rest: no fiber, and no more memory than it must; on_readable(arg) once, in the loop. E_AGAIN: bytes are pending, read
     * on. */
    err (*rest)(struct stream *s, void (*on_readable)(void *arg), void *arg);
    void (*wake)(struct stream *s);
    bool (*quiet)(struct stream *s); /* sock_quiet() of what is below; NULL: never */
    void (*close)(struct stream *s); /* frees; a waiting fiber gets E_CLOSED */
};
struct stream {
    const struct stream_ops *ops;
};

MUST_USE static inline err stream_read(struct stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    return s->ops->read(s, into, cap, deadline, got);
}
MUST_USE static inline err stream_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    return s->ops->write(s, from, len, deadline);
}
MUST_USE static inline err stream_end(struct stream *s, ms deadline)
{
    return s->ops->end(s, deadline);
}
static inline bool stream_pending(const struct stream *s)
{
    return s->ops->pending(s);
}
MUST_USE static inline err stream_rest(struct stream *s, void (*on_readable)(void *arg), void *arg)
{
    return s->ops->rest(s, on_readable, arg);
}
static inline void stream_wake(struct stream *s)
{
    s->ops->wake(s);
}
MUST_USE static inline bool stream_quiet(struct stream *s)
{
    return s->ops->quiet && s->ops->quiet(s);
}
static inline void stream_close(struct stream *s)
{
    if (s)
        s->ops->close(s);
}
/* Exactly len bytes; E_CLOSED when the stream ends before. */
MUST_USE err stream_read_full(struct stream *s, void *into, size_t len, ms deadline);

/* A stream over a socket; one small heap block of the current task. */
MUST_USE err tcp_connect(const struct addr *to, ms deadline, struct stream **out);
/* One accepted connection. E_BUDGET: the task's connections are all in use, accept again later. */
MUST_USE err tcp_accept(struct sock *listener, ms deadline, struct stream **out, struct addr *peer);

#endif
