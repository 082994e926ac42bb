/* acceptor: the fiber of a test's peer that accepts, and has each connection served by a fiber of its own.
 *
 * Layer    tests.   Owner   the peer; it outlives the group.   Blocks   parks its fiber.
 * Memory   what begin() allocates a connection.   Errors   an accept or spawn that fails is tried again; a close ends it. */
#ifndef HOLDFAST_TEST_ACCEPTOR_H
#define HOLDFAST_TEST_ACCEPTOR_H

#include "board/rt/fiber.h"
#include "net/proto/stream.h"

struct acceptor {
    struct sock *listener;
    struct group *group;
    const char *name;                             /* of the serving fibers; static */
    void *(*begin)(void *peer, struct stream *s); /* a connection, by malloc; NULL: no memory for it */
    err (*serve)(void *connection);               /* a fiber; takes stream and connection over */
    void *peer;
};
err acceptor_run(void *acceptor); /* a fiber */

#endif
