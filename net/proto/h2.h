/* h2: an HTTP/2 client connection. Many streams, each with a window of its own. RFC 9113.
 *
 * Layer    proto; the one file that includes nghttp2.     Blocks   parks the fiber.
 * Owner    the caller owns the connection and its streams; streams end before it (h2_close() resets those left). Fibers
 *          that wait in what is closed get E_CLOSED, in a connection's ping or open E_CANCELED, and have left before it is freed.
 * Memory   the current task's heap: about 40 KiB a connection (88 from H2_WINDOW_FAST on), 16 more while it writes, and each
 *          stream's ring, made when data comes, its window at most. What was received is wiped in both once it was handed on.
 * Threads  one reader fiber a connection, in a group of its own, charged to the task that opened it.
 * Errors   E_PROTOCOL; E_CLOSED after GOAWAY or end; E_RESET the peer reset the stream (its code in the trail); E_BUDGET.
 *
 * A stream that nobody reads fills its own window and stalls only itself: the connection's window is kept open by what was
 * received, bounded by the sum of the stream windows. A stream's data leaves its window when the caller reads it: a slow consumer
 * holds the server back. */
#ifndef HOLDFAST_H2_H
#define HOLDFAST_H2_H

#include "board/rt/sync.h"
#include "net/proto/stream.h"

#define H2_STREAMS_MAX       64
#define H2_WINDOW_BYTES_MIN  KIB(8)
#define H2_WINDOW_BYTES_MAX  MIB(4)
#define H2_WINDOW_FAST       MIB(1) /* from here on it reads 64 KiB at once, else 16 KiB, a TLS record */
#define H2_HEADERS_BYTES_MAX KIB(8) /* of one response, kept; more is E_RANGE */

struct h2;
struct h2_stream;

/* Takes over `under` (plaintext prior knowledge, or TLS with ALPN h2), sends the preface. window_bytes:
 * SETTINGS_INITIAL_WINDOW_SIZE, brought into H2_WINDOW_BYTES_MIN .. MAX. */
MUST_USE err h2_open(struct stream *under, const char *scheme, const char *authority, size_t window_bytes, ms deadline,
                     struct h2 **out);
bool h2_usable(const struct h2 *h); /* new streams can be opened */
void h2_close(struct h2 *h);        /* GOAWAY, resets what is left, joins the reader; NULL is fine */
/* A PING and its answer; for connections that rest. E_TIMEOUT: half open. */
MUST_USE err h2_ping(struct h2 *h, ms deadline);

struct h2_header {
    const char *name, *value; /* lower-case name */
};
struct h2_call {
    const char *method, *path;
    const struct h2_header *headers; /* at most H2_FIELDS_MAX */
    size_t count;
    struct bytes body;   /* sent behind HEADERS; borrowed until the call returns */
    bool end;            /* nothing follows it */
    size_t window_bytes; /* more than the connection's: this stream's own window; 0: the connection's */
    bool more;           /* another call follows in this turn: may be held back until h2_push(), or any call that waits here */
};
#define H2_FIELDS_MAX 20
/* Sends HEADERS and body, in one write where they fit; waits while the peer's SETTINGS_MAX_CONCURRENT_STREAMS, or H2_STREAMS_MAX,
 * is reached, and until the peer's window took the body. */
MUST_USE err h2_stream_begin(struct h2 *h, const struct h2_call *call, ms deadline, struct h2_stream **out);
MUST_USE err h2_push(struct h2 *h);   /* sends what was held back */
unsigned h2_room(const struct h2 *h); /* streams that can be begun now without waiting */
/* b, or none, rings when any stream has a head, data, an end or an error, when there is room for one more, and at the death. */
void h2_hang(struct h2 *h, struct bell *b);
/* Once all that has come is read, nothing is before `until`; what came meanwhile is taken in at once then. For who knows that
 * more comes soon: bytes that come one by one cost many times what they cost together. The peer waits when a window is full. */
void h2_rest(struct h2 *h, ms until);
/* The same without body and the rest. */
MUST_USE err h2_stream_open(struct h2 *h, const char *method, const char *path, const struct h2_header *headers, size_t count,
                            bool end, ms deadline, struct h2_stream **out);
MUST_USE err h2_stream_write(struct h2_stream *s, const void *from, size_t len, bool end,
                             ms deadline); /* waits for the peer's window */
/* Waits for the response's HEADERS (the first non-1xx). */
MUST_USE err h2_stream_response(struct h2_stream *s, ms deadline, int *status);
/* *got 0: the end; trailers are there then. */
MUST_USE err h2_stream_read(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got);
/* The same, E_AGAIN where they would wait for the peer's bytes. */
MUST_USE err h2_stream_response_now(struct h2_stream *s, int *status);
MUST_USE err h2_stream_read_now(struct h2_stream *s, void *into, size_t cap, size_t *got);
/* A response header or trailer; NULL: not there. Valid until the stream is closed. */
const char *h2_stream_header(const struct h2_stream *s, const char *name);
const char *h2_stream_trailer(const struct h2_stream *s, const char *name);
void h2_stream_close(struct h2_stream *s); /* RST_STREAM(CANCEL) unless both sides have ended; NULL is fine */

struct h2_stats {
    uint64_t received_bytes, sent_bytes;
    unsigned streams;
    bool goaway;
};
struct h2_stats h2_stats(const struct h2 *h);

#endif
