/* h2: an HTTP/2 client connection. Many streams, each with a window of its own. RFC 9113.
 *
 * Layer    proto; the one file that includes nghttp2.     Blocks   parks the fiber.
 * Owner    the caller owns the connection and its streams; streams end before it (h2_close() resets those left). Fibers
 *          that wait in what is closed get E_CLOSED, in a connection's ping or open E_CANCELED, and have left before it is freed.
 * Memory   the current task's heap: about 56 KiB a connection plus each stream's window (a ring of window_bytes).
 * Threads  one reader fiber a connection, in a group of its own, charged to the task that opened it.
 * Errors   E_PROTOCOL; E_CLOSED after GOAWAY or end; E_RESET the peer reset the stream (its code in the trail); E_BUDGET.
 *
 * A stream that nobody reads fills its own window and stalls only itself: the connection's window is kept open by what was
 * received, bounded by the sum of the stream windows. A stream's data leaves its window when the caller reads it: a slow consumer
 * holds the server back. */
#ifndef HOLDFAST_H2_H
#define HOLDFAST_H2_H

#include "net/proto/stream.h"

#define H2_STREAMS_MAX       64
#define H2_HEADERS_BYTES_MAX KIB(8) /* of one response, kept; more is E_RANGE */

struct h2;
struct h2_stream;

/* Takes over `under` (plaintext prior knowledge, or TLS with ALPN h2), sends the preface. window_bytes:
 * SETTINGS_INITIAL_WINDOW_SIZE, 64 KiB .. 4 MiB; a stream opened with a smaller window is simply read in smaller steps. */
MUST_USE err h2_open(struct stream *under, const char *scheme, const char *authority, size_t window_bytes, ms deadline,
                     struct h2 **out);
bool h2_usable(const struct h2 *h); /* new streams can be opened */
void h2_close(struct h2 *h);        /* GOAWAY, resets what is left, joins the reader; NULL is fine */
/* A PING and its answer; for connections that rest. E_TIMEOUT: half open. */
MUST_USE err h2_ping(struct h2 *h, ms deadline);

struct h2_header {
    const char *name, *value; /* lower-case name */
};
/* Sends HEADERS; waits while the peer's SETTINGS_MAX_CONCURRENT_STREAMS is reached. */
MUST_USE err h2_stream_open(struct h2 *h, const char *method, const char *path, const struct h2_header *headers, size_t count,
                            bool end, ms deadline, struct h2_stream **out);
MUST_USE err h2_stream_write(struct h2_stream *s, const void *from, size_t len, bool end,
                             ms deadline); /* waits for the peer's window */
/* Waits for the response's HEADERS (the first non-1xx). */
MUST_USE err h2_stream_response(struct h2_stream *s, ms deadline, int *status);
/* *got 0: the end; trailers are there then. */
MUST_USE err h2_stream_read(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got);
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
