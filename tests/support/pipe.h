/* pipe: two streams, each the other's far end, in memory. For what runs over any stream, without a socket.
 *
 * Layer    tests.                                  Blocks   reads and writes park the fiber, as stream.h says.
 * Owner    the caller owns struct pipe; it must    Memory   two rings of bytes_max, malloc.
 *          outlive both streams.
 * Errors   E_RESET a write to an end that was closed; a read there is the end of the stream: a peer that vanished. */
#ifndef HOLDFAST_TEST_PIPE_H
#define HOLDFAST_TEST_PIPE_H

#include "board/rt/sync.h"
#include "net/proto/stream.h"

struct pipe;
struct pipe_end {
    struct stream stream; /* first: one address for both */
    struct pipe *pipe;
    struct pipe_end *far;
    uint8_t *ring; /* what can be read here */
    size_t head, len;
    uint64_t carried; /* bytes that came in here so far */
    uint64_t flip_at; /* the one of these bytes that arrives damaged; 0: none */
    bool ended, closed;
    struct waitq changed;
    void (*on_readable)(void *arg);
    void *arg;
};
struct pipe {
    struct pipe_end end[2];
    size_t bytes_max;
    size_t piece_max; /* a read gives at most this much; 0: no limit */
};
MUST_USE err pipe_open(struct pipe *p, size_t bytes_max);
static inline struct stream *pipe_stream(struct pipe *p, unsigned i)
{
    return &p->end[i].stream;
}

#endif
