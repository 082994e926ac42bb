/* wired: an h2 client whose far end is a scripted server, over a pipe in memory.
 *
 * Layer    tests.   Owner   the test; wired_close() ends all of it.   Blocks   parks the fiber.
 * Memory   the server's is charged to TASK_METRICS, so that the client's can be told.   Errors   those of h2_open(). */
#ifndef HOLDFAST_TEST_WIRED_H
#define HOLDFAST_TEST_WIRED_H

#include "net/proto/h2.h"
#include "tests/support/grpc_server.h"
#include "tests/support/pipe.h"

struct wired {
    struct pipe pipe;
    struct server server; /* filled by the test before wired_open() */
    struct group group;
    struct h2 *h2;
};
MUST_USE err wired_open(struct wired *w, size_t pipe_bytes_max, size_t window_bytes);
void wired_close(struct wired *w);

#endif
