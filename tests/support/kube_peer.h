/* kube_peer: a scripted API server, over HTTP/1.1, or over TLS and HTTP/2, in the program under test's own world: for unit tests
 * and the simulated one.
 *
 * Layer    tests.   Owner   the test; it outlives kube_peer_close().   Blocks   never; its fibers (TASK_METRICS) do.
 * Memory   struct kube_peer, static; some KiB of TASK_METRICS a connection.   Errors   those of listening.
 *
 * A request is answered by the first reply that matches and is not used up. In a body some bytes are no text: KP_… */
#ifndef HOLDFAST_TEST_KUBE_PEER_H
#define HOLDFAST_TEST_KUBE_PEER_H

#include "tests/support/acceptor.h"
#include "tests/support/grpc_server.h"

#define KP_WAIT  "\1" /* 1 s of silence */
#define KP_CUT   "\2" /* the connection ends, there and then */
#define KP_STUCK "\3" /* nothing more, the connection stays */
#define KP_LONG  "\4" /* 30 s of silence */
#define KP_LIVE  "\5" /* from here on what live() says; HTTP/1.1 only */

#define KUBE_PEER_TOLD_MAX    KIB(8)
#define KUBE_PEER_REPLIES_MAX 24
#define KUBE_PEER_STEPS_MAX   24
#define KUBE_PEER_HEAD_MAX    KIB(8)

struct kube_reply {
    const char *match; /* in "GET /api/v1/pods?limit=500", or in the body that was sent; NULL ends the list */
    unsigned times;    /* how often it may be used; 0: always */
    int status;        /* 0: KP_CUT before an answer */
    const char *body;
    const char *header; /* "Retry-After: 3"; HTTP/1.1 only */
};

struct kube_peer {
    /* the test's */
    struct addr at;
    const struct kube_reply *replies;
    /* NULL, or asked before the script: NULL: by the script. What it returns is used before the fiber waits. */
    const struct kube_reply *(*answer)(void *arg, const char *line);
    /* What comes next of an answer, which may have KP_… in it; "": nothing yet, it is asked again soon; NULL: its end. *at is the
     * answer's own, 0 at first. The text is used until it is asked for the next. */
    const char *(*live)(void *arg, const char *line, uint64_t *at);
    void *arg;
    const char *token;      /* what "authorization" must be, "Bearer a"; else 401. NULL: whatever. HTTP/1.1 only */
    struct tls_config *tls; /* then HTTP/2 */
    size_t piece_max;       /* of what is sent at once; 0: no limit. HTTP/1.1 only */
    /* what was seen: "GET /api/v1/pods?limit=500", each ended by a line end; timeoutSeconds left out; a body behind a space */
    char told[KUBE_PEER_TOLD_MAX];
    unsigned connections, requests;
    unsigned used[KUBE_PEER_REPLIES_MAX];
    /* its own */
    struct server server;
    struct server_step steps[SERVER_CALLS_MAX][KUBE_PEER_STEPS_MAX];
    struct group group;
    struct sock listener;
    struct acceptor acceptor;
};
MUST_USE err kube_peer_open(struct kube_peer *p); /* listens at p->at; port 0: it is filled in */
void kube_peer_close(struct kube_peer *p);        /* idempotent; all connections end */

#endif
