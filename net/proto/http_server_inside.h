/* http_server_inside: what the files of the HTTP server share. For net/proto/http_server*.c only.
 *
 * Layer    proto.                                Blocks   visit_serve() and what it calls park the fiber; the rest never.
 * Owner    the server owns visits; an exchange   Memory   a visit is a fixed record; an exchange lives on the stack of its fiber,
 * its lives while its request is in work.            buffer is taken with the first byte and given back at rest. Errors   as in
 * http_server.h. */
#ifndef HOLDFAST_HTTP_SERVER_INSIDE_H
#define HOLDFAST_HTTP_SERVER_INSIDE_H

#include "board/rt/buf.h"
#include "board/rt/metric.h"
#include "board/rt/sync.h"
#include "net/proto/http_server.h"

#define HTTP_OUT_BYTES      KIB(4)     /* end of the buffer: extra header lines, then what is to be sent */
#define HTTP_EXTRA_BYTES    KIB(1)     /* http_add_header() */
#define HTTP_BODY_BYTES     KIB(4)     /* least room for body bytes behind a head of full length */
#define HTTP_SLICE_MS       SECONDS(1) /* a wait for the peer looks up this often whether others wait for its fiber */
#define HTTP_DROP_BYTES_MAX KIB(64)    /* of a body that the handler left; more is not worth keeping the connection for */
#define HTTP_CLASSES        5          /* 1xx..5xx */

/*                   status  reason (the metric's label) */
#define HTTP_REFUSAL_TABLE(X)                                                                                                    \
    X(400, "bad_request")                                                                                                        \
    X(408, "timeout")                                                                                                            \
    X(411, "no_length")                                                                                                          \
    X(413, "body_too_large")                                                                                                     \
    X(414, "target_too_long")                                                                                                    \
    X(417, "expectation")                                                                                                        \
    X(431, "head_too_large")                                                                                                     \
    X(500, "no_memory")                                                                                                          \
    X(501, "method")                                                                                                             \
    X(503, "too_many")                                                                                                           \
    X(505, "version")

enum visit_state { VISIT_FREE, VISIT_RESTING, VISIT_QUEUED, VISIT_WORKING };

struct visit { /* one connection */
    struct http_server *server;
    struct stream *stream;
    enum visit_state state;
    bool handshake_due, expired;
    unsigned requests;
    ms idle_until;
    struct timer idle;
    struct visit *next; /* of the free list or the queue */
};

struct http_server {
    struct http_server_options options; /* its limits with the defaults filled in */
    struct tls_config *tls;
    struct sock listener;
    struct addr at;
    struct group group;
    struct visit *free, *first, *last; /* the queue: readable, no fiber yet */
    unsigned workers;
    struct timer respawn; /* the task had no fiber for a worker */
    struct waitq freed;   /* the accept loop waits for a connection to end */
    bool stopping;
    struct http_server_use use;
    struct series *requests[HTTP_CLASSES], *connections;
    struct visit visits[]; /* limits.connections */
};

enum answer_phase { ANSWER_NONE, ANSWER_STARTED, ANSWER_DONE };

struct http_exchange {
    struct http_server *server;
    struct visit *visit;
    struct buf *buf;
    struct http1_head head;
    struct http1_body body;
    struct bytes data;            /* body bytes that are framed but not yet read */
    size_t in_at, in_len, in_cap; /* of the buffer: bytes that nothing has looked at */
    struct text extra;
    uint8_t *out;
    size_t out_len, out_cap;
    ms deadline; /* handler_ms */
    int status;
    enum answer_phase phase;
    uint64_t left; /* of the Content-Length */
    bool chunked, bodyless, has_length, keep_alive;
    bool sent;          /* something of the answer is out */
    bool continue_owed; /* 100 Continue was asked for and not sent */
    bool refused, taken;
    err failed; /* of a write: the connection is done for */
};

enum visit_next { VISIT_CLOSE, VISIT_LINGER, VISIT_KEEP };

/* Requests of this connection until it rests or ends. Then visit_release() was called, or it rests, or it is queued again. */
void visit_serve(struct visit *v);
void visit_release(struct visit *v); /* closes the stream (NULL: taken over) and frees the slot */
void visit_rest(struct visit *v);
bool http_server_is_pressed(const struct http_server *s); /* others wait for a fiber */
void http_count_refusal(struct http_server *s, int status);

/* One request, whose bytes so far are in the buffer. */
enum visit_next http_exchange_run(struct http_exchange *x);
void http_exchange_open(struct http_exchange *x, struct visit *v, struct buf *b);
/* For heads and goodbyes: reads until deadline; E_TIMEOUT also when the server stops, or is pressed and nothing came for a
 * second. */
MUST_USE err http_read_some(struct visit *v, void *into, size_t cap, ms deadline, size_t *got);
/* Lets what was written reach the peer: ends our side, reads and drops what still comes, for a bounded while. */
void http_linger(struct visit *v, ms deadline);
/* An answer with a text of ours and "connection: close", unless one has begun. */
void http_refuse(struct http_exchange *x, int status, const char *why);
/* The same head and body as bytes, for a peer that gets no exchange. */
size_t http_refusal_text(int status, const char *why, char *out, size_t cap);
MUST_USE err http_body_drop(struct http_exchange *x); /* reads the rest of the body; E_RANGE: it is too much to wait for */
MUST_USE err http_out_flush(struct http_exchange *x);
MUST_USE err http_send_now(struct http_exchange *x, const void *from, size_t len);

#endif
