/* http_server: HTTP/1.1 for others' clients, strict. RFC 9110, 9112.
 *
 * Layer    proto.                                        Blocks   handlers run in fibers and may wait.
 * Owner    the caller owns the options and the handler's argument until http_server_stop().
 * Memory   per connection a fixed record; a fiber and one 16 KiB buffer only while a request is in work. At rest: neither.
 * Errors   refused requests are answered with their status (400, 408, 413, 414, 417, 431, 501, 503, 505), counted by reason, and
 * the connection is closed. Smuggling vectors (both length headers, obs-fold, bare LF, bad chunk sizes, two Hosts…) are 400.
 * Limits   every one is in struct http_limits; zero means the default in the comment. */
#ifndef HOLDFAST_HTTP_SERVER_H
#define HOLDFAST_HTTP_SERVER_H

#include "net/format/http1.h"
#include "net/proto/tls.h"

struct http_limits {
    unsigned connections;             /* at once; 32. One more is accepted, told 503, and closed */
    unsigned requests_at_once;        /* fibers in handlers; 4. Others wait at rest */
    size_t head_bytes;                /* 8 KiB; also bounds the line. 414, 431 */
    uint64_t body_bytes;              /* 1 MiB. 413 */
    ms head_ms;                       /* from its first byte to its last; 10 s. 408 */
    ms body_idle_ms;                  /* between two bytes of a body; 30 s. 408 */
    ms idle_ms;                       /* between requests; 75 s; then closed */
    ms write_ms;                      /* for one write to be taken by the peer; 30 s */
    ms handler_ms;                    /* a whole request; 0: no limit */
    unsigned requests_per_connection; /* 1000 */
};

struct http_exchange; /* one request and its answer; valid until the handler returns */
typedef err http_handler(void *arg, struct http_exchange *x);

struct http_server_options {
    const char *name; /* static; the metrics' listener label */
    enum task task;   /* who is charged */
    struct addr at;
    struct tls_config *tls; /* NULL: plain; replaced at run time by http_server_set_tls() */
    struct http_limits limits;
    http_handler *handle;
    void *arg;
};

struct http_server;
/* Listens and serves in fibers of its own group. */
MUST_USE err http_server_start(const struct http_server_options *o, struct http_server **out);
const struct addr *http_server_address(const struct http_server *s);   /* the bound one */
void http_server_set_tls(struct http_server *s, struct tls_config *c); /* for new connections; takes a reference */
/* No new connections; requests in work may finish until `deadline`, then are canceled. Frees. NULL is fine. */
void http_server_stop(struct http_server *s, ms deadline);
struct http_server_use {
    unsigned connections, resting, in_work, connections_peak;
    uint64_t requests, refused;
};
struct http_server_use http_server_use(const struct http_server *s);

/* --- in a handler: the request (views are valid until the handler returns) --- */
const struct http1_head *http_request_of(const struct http_exchange *x); /* method, path, query, fields: net/format/http1.h */
/* OK with *got 0: the end. Sends 100 Continue first where it was asked for. E_RANGE: over the limit (413 is sent if nothing was).
 */
MUST_USE err http_read_body(struct http_exchange *x, void *into, size_t cap, size_t *got);
int64_t http_body_length(const struct http_exchange *x); /* -1: chunked, not known */

/* --- the answer --- */
/* Before the answer starts: one more header line. Name and value are copied (1 KiB in all). E_INVALID: CR, LF or a bad name. */
MUST_USE err http_add_header(struct http_exchange *x, const char *name, const char *value);
/* Everything at once. */
MUST_USE err http_answer(struct http_exchange *x, int status, const char *content_type, struct bytes body);
/* In pieces: length >= 0 is the Content-Length, -1 chunked (until close for HTTP/1.0). Writes nothing of a body for HEAD, 204,
 * 304. */
MUST_USE err http_start(struct http_exchange *x, int status, const char *content_type, int64_t length);
MUST_USE err http_write(struct http_exchange *x, const void *from, size_t len);
MUST_USE err
http_finish(struct http_exchange *x); /* also done when the handler returns OK; an error return cuts the connection */
/* The connection leaves HTTP (WebSocket): the handler owns the stream from now on, `rest` is what was read beyond the head (valid
 * until it returns). */
MUST_USE err http_take_over(struct http_exchange *x, struct stream **out, struct bytes *rest);

#endif
