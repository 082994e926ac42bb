/* fence: a layer over a stream; all but writing goes through. */
#include "agents/ingest/fence.h"

#include "board/rt/os.h"

#include <stdlib.h>

struct fence {
    struct stream stream;
    struct stream *under;
    ms (*until)(const void *arg);
    const void *arg;
};

static struct fence *of(struct stream *s)
{
    return (struct fence *)s; /* the stream is its first member */
}

static err fence_read(struct stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    return stream_read(of(s)->under, into, cap, deadline, got);
}

static bool is_shut(const struct fence *f)
{
    return os_mono() >= f->until(f->arg);
}

static err fence_write(struct stream *s, const void *from, size_t len, ms deadline)
{
    struct fence *f = of(s);
    return is_shut(f) ? trail(E_CLOSED, "nothing more may be sent: another replica may lead")
                      : stream_write(f->under, from, len, deadline);
}

static err fence_end(struct stream *s, ms deadline)
{
    return is_shut(of(s)) ? E_CLOSED : stream_end(of(s)->under, deadline);
}

static bool fence_pending(const struct stream *s)
{
    return stream_pending(((const struct fence *)s)->under);
}

static err fence_rest(struct stream *s, void (*on_readable)(void *arg), void *arg)
{
    return stream_rest(of(s)->under, on_readable, arg);
}

static void fence_wake(struct stream *s)
{
    stream_wake(of(s)->under);
}

static void fence_close(struct stream *s)
{
    stream_close(of(s)->under);
    free(s);
}

static const struct stream_ops fence_ops = {.read = fence_read,
                                            .write = fence_write,
                                            .end = fence_end,
                                            .pending = fence_pending,
                                            .rest = fence_rest,
                                            .wake = fence_wake,
                                            .close = fence_close};

err fence_put(struct stream *under, ms (*until)(const void *arg), const void *arg, struct stream **out)
{
    struct fence *f = malloc(sizeof *f);
    *out = NULL;
    if (!f) {
        stream_close(under);
        return E_BUDGET;
    }
    *f = (struct fence){.stream = {&fence_ops}, .under = under, .until = until, .arg = arg};
    *out = &f->stream;
    return OK;
}
