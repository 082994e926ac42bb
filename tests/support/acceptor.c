/* acceptor: accept, spawn, and what becomes of a stream that nobody serves. */
#include "tests/support/acceptor.h"

#include <stdlib.h>

err acceptor_run(void *arg)
{
    const struct acceptor *a = arg;
    err e = OK;
    while (e != E_CANCELED && e != E_CLOSED) {
        struct stream *s = NULL;
        struct addr from;
        e = tcp_accept(a->listener, FOREVER, &s, &from);
        void *connection = e == OK ? a->begin(a->peer, s) : NULL;
        if (connection)
            e = group_spawn(a->group, a->name, a->serve, connection);
        if (s && (!connection || e != OK)) {
            stream_close(s);
            free(connection);
        }
        if (e != OK && e != E_CANCELED && e != E_CLOSED)
            e = fiber_sleep(loop_now() + 10); /* an accept that fails may be tried again */
    }
    return OK;
}
