/* http_client: HTTP/1.1 requests over any stream, keep-alive, strict. RFC 9110, 9112.
 *
 * Layer    proto.                                       Blocks   parks the fiber.
 * Owner    the caller owns the connection; one exchange at a time.
 * Memory   one 16 KiB buffer while an exchange is open; an answer's bytes are wiped in it once they were handed on.
 * Errors   E_PROTOCOL with what was wrong; E_REMOTE is never made up here: a status is the caller's business; E_CLOSED the peer
 *          closed before the whole answer; E_RANGE a head over 16 KiB. */
#ifndef HOLDFAST_HTTP_CLIENT_H
#define HOLDFAST_HTTP_CLIENT_H

#include "net/format/url.h"
#include "net/proto/dns.h"
#include "net/proto/http_call.h"
#include "net/proto/tls.h"

struct http_connection;
/* Connects (TLS when url.tls: tls must not be NULL then). */
MUST_USE err http_connect(struct dns *d, const struct url *u, struct tls_config *tls, ms deadline, struct http_connection **out);
/* Over a stream that is open already (a unix socket); takes it over. */
MUST_USE err http_over(struct stream *s, const char *host, struct http_connection **out);
bool http_reusable(const struct http_connection *c); /* the last answer was read whole and the peer keeps the connection */
void http_disconnect(struct http_connection *c);     /* NULL is fine */

/* Sends the head; then http_send_body() as much as promised; then http_receive_head(). */
MUST_USE err http_send(struct http_connection *c, const struct http_call *call, ms deadline);
MUST_USE err http_send_body(struct http_connection *c, const void *from, size_t len,
                            ms deadline);             /* len 0: the end of a chunked body */
bool http_body_sent(const struct http_connection *c); /* as much as was promised */
bool http_continued(const struct http_connection *c); /* of this exchange: 100 came, so the body was wanted */
/* Skips 1xx. The response's views are valid until the next call on this connection. After E_TIMEOUT it may be called again, and
 * so may http_receive_body(). */
MUST_USE err http_receive_head(struct http_connection *c, ms deadline, const struct http1_head **out);
MUST_USE err http_receive_body(struct http_connection *c, void *into, size_t cap, ms deadline, size_t *got); /* *got 0: the end */
/* At rest until there is something to read, as stream_rest(); http_wake() before the next call. */
MUST_USE err http_rest(struct http_connection *c, void (*on_readable)(void *arg), void *arg);
void http_wake(struct http_connection *c);

#endif
