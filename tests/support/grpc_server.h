/* grpc_server: an HTTP/2 server that answers by a script, for the tests of the client. It is nghttp2's server side, so frames are
 * right where a script does not ask for wrong ones.
 *
 * Layer    tests.                                      Blocks   server_run() and server_listen() park the fiber.
 * Owner    the test owns struct server and its steps;  Memory   malloc of the current task: the session, and a message a call.
 *          they outlive the fibers.
 * Errors   those of the stream; a connection that ends is OK. */
#ifndef HOLDFAST_TEST_GRPC_SERVER_H
#define HOLDFAST_TEST_GRPC_SERVER_H

#include "board/rt/fiber.h"
#include "net/proto/tls.h"

enum server_do {
    SERVER_DONE,     /* ends the list; leaves the call open */
    SERVER_HEADERS,  /* 200 and application/grpc; `text`: another content-type, `count`: another status */
    SERVER_INFORM,   /* a 103 before them */
    SERVER_MESSAGES, /* `count` messages by make(), or one of `bytes` */
    SERVER_RAW,      /* `bytes` into the DATA as they are */
    SERVER_TRAILERS, /* grpc-status `count`, grpc-message `text`; ends the call. Without HEADERS before: Trailers-Only */
    SERVER_BARE_END, /* ends the call without a status */
    SERVER_WIDE,     /* HEADERS with a field of `count` bytes */
    SERVER_RST,      /* RST_STREAM with code `count` */
    SERVER_GOAWAY,   /* last stream: `count`, or this one when 0 */
    SERVER_WAIT,     /* `count` milliseconds */
    SERVER_HOLD,     /* until the test says go_on */
    SERVER_PING,
    SERVER_SETTINGS, /* SETTINGS_MAX_CONCURRENT_STREAMS becomes `count` */
    SERVER_SPLICE,   /* `bytes` onto the connection, past the session */
    SERVER_VANISH    /* closes the connection at once */
};
struct server_step {
    enum server_do what;
    uint32_t count;
    const char *text;
    struct bytes bytes;
};

struct server_request {
    char path[128], timeout[16], te[16], content_type[48], authority[64], method[8], authorization[64], user_agent[32];
    uint8_t body[256];
    size_t len; /* of all of it; body holds the first of them */
};

#define SERVER_CALLS_MAX    80
#define SERVER_WINDOW_BYTES 65535 /* of a stream and of a connection that nobody enlarged, RFC 9113 §6.9.2 */

struct server {
    /* the test's */
    const struct server_step *(*script)(void *arg, const struct server_request *r); /* steps ended by SERVER_DONE */
    size_t (*make)(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap);
    void *arg;
    unsigned streams_max;   /* 0: 100 */
    uint32_t window_bytes;  /* of what the client sends; 0: SERVER_WINDOW_BYTES */
    size_t frame_bytes_max; /* of DATA; 0: as nghttp2 likes */
    bool deaf;              /* reads, but gives no window back */
    bool go_on;             /* what stands at SERVER_HOLD does */
    struct tls_config *tls;
    /* counted */
    unsigned connections, requests, resets, goaways;
    uint32_t reset_code, goaway_code;
    uint64_t body_bytes;                /* of DATA the client sent */
    uint64_t data_bytes;                /* of DATA the peer's windows let out */
    uint64_t data_of[SERVER_CALLS_MAX]; /* by request, in order of arrival */
    err last_error;
    struct sock listener; /* server_listen()'s */
    struct group group;
};

/* One connection, until it ends. Takes over the stream. */
err server_run(struct server *s, struct stream *under);
/* A fiber: accepts on s->listener (opened by the test) until it is canceled or the listener closed. */
err server_listen(void *server);

#endif
