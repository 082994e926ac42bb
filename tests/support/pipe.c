#include "tests/support/pipe.h"

#include <stdlib.h>
#include <string.h>

static struct pipe_end *end_of(const struct stream *s)
{
    return (struct pipe_end *)(uintptr_t)s;
}

static void tell(struct pipe_end *e)
{
    void (*call)(void *arg) = e->on_readable;
    waitq_wake_all(&e->changed);
    e->on_readable = NULL;
    if (call)
        call(e->arg);
}

static err pipe_read(struct stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    struct pipe_end *e = end_of(s);
    *got = 0;
    while (e->len == 0 && !e->ended && !e->closed) {
        err error = waitq_wait(&e->changed, deadline);
        if (error != OK)
            return error;
    }
    if (e->closed)
        return E_CLOSED;
    if (fiber_canceled())
        return E_CANCELED;
    size_t n = size_min(cap, e->len), max = e->pipe->piece_max ? e->pipe->piece_max : n;
    n = size_min(n, max);
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)into)[i] = e->ring[(e->head + i) % e->pipe->bytes_max];
    e->head = (e->head + n) % e->pipe->bytes_max;
    e->len -= n;
    *got = n;
    waitq_wake_all(&e->far->changed);
    return OK;
}

static void push(struct pipe_end *to, uint8_t byte)
{
    to->carried++;
    if (to->carried == to->flip_at)
        byte ^= 0x10;
    to->ring[(to->head + to->len++) % to->pipe->bytes_max] = byte;
}

static err pipe_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    struct pipe_end *e = end_of(s), *far = e->far;
    for (size_t done = 0; done < len;) {
        if (e->closed)
            return E_CLOSED;
        if (far->closed)
            return E_RESET;
        if (far->len == e->pipe->bytes_max) {
            TRY(waitq_wait(&e->changed, deadline));
            continue;
        }
        while (done < len && far->len < e->pipe->bytes_max)
            push(far, ((const uint8_t *)from)[done++]);
        tell(far);
    }
    return OK;
}

static err pipe_end_stream(struct stream *s, ms deadline)
{
    (void)deadline;
    end_of(s)->far->ended = true;
    tell(end_of(s)->far);
    return OK;
}

static bool pipe_pending(const struct stream *s)
{
    ASSERT(!end_of(s)->closed);
    return false;
}

static err pipe_rest(struct stream *s, void (*on_readable)(void *arg), void *arg)
{
    struct pipe_end *e = end_of(s);
    if (e->len > 0 || e->ended)
        return E_AGAIN;
    e->on_readable = on_readable;
    e->arg = arg;
    return OK;
}

static void pipe_wake(struct stream *s)
{
    end_of(s)->on_readable = NULL;
}

static bool pipe_quiet(struct stream *s)
{
    ASSERT(!end_of(s)->closed); /* other streams are freed by then */
    return true;
}

static void pipe_close(struct stream *s)
{
    struct pipe_end *e = end_of(s);
    e->closed = true;
    e->on_readable = NULL;
    e->far->ended = true;
    waitq_wake_all(&e->changed);
    tell(e->far);
    if (!e->far->closed)
        return;
    for (unsigned i = 0; i < 2; i++) {
        free(e->pipe->end[i].ring);
        e->pipe->end[i].ring = NULL;
    }
}

static const struct stream_ops pipe_ops = {pipe_read, pipe_write, pipe_end_stream, pipe_pending,
                                           pipe_rest, pipe_wake,  pipe_quiet,      pipe_close};

err pipe_open(struct pipe *p, size_t bytes_max)
{
    *p = (struct pipe){.bytes_max = bytes_max};
    for (unsigned i = 0; i < 2; i++) {
        p->end[i] = (struct pipe_end){.stream.ops = &pipe_ops, .pipe = p, .far = &p->end[1 - i], .ring = malloc(bytes_max)};
        if (!p->end[i].ring) {
            free(p->end[0].ring);
            return E_BUDGET;
        }
    }
    return OK;
}
