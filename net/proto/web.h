/* web: one HTTP client connection to an origin: HTTP/2 where its ALPN says so, else HTTP/1.1 kept alive, behind one API.
 * RFC 9110, 9112, 9113. Redirects are told as any status, never followed; no content coding is asked for.
 *
 * Layer    proto.                                 Blocks   calls with a deadline park the fiber; those ending in _now do
 *                                                          not, but for a full socket (30 s, then the connection is dead).
 * Owner    the caller owns the connection and     Memory   the task's heap, as h2.h says; HTTP/1.1: one 16 KiB buffer of the
 *          its exchanges; each is ended with               pool while an exchange is open. What tls.h says is added.
 *          web_end() before web_close().
 * Threads  the loop's; one fiber in an exchange   Time     absolute deadlines, of loop_now().
 *          at a time.
 * Errors   E_CLOSED it ended (GOAWAY, end of stream) before the whole answer: a cut body is never a silent end; E_RESET the
 *          exchange or connection was reset; E_PROTOCOL; E_RANGE response headers over WEB_HEADERS_BYTES_MAX; E_BUDGET;
 *          E_TIMEOUT, and the exchange may go on. E_BUSY: nothing was sent, or the server says it was not processed (RFC 9113
 *          §8.7): send it again, on another connection. A status is the caller's business.
 *
 * What was received is wiped in every buffer from the socket to `into` once it was handed on, and what is closed unread before
 * it is freed (board/rt/secret.h). What lies in `into`, and header values, are the caller's to wipe.
 *
 * Many exchanges by one fiber: hang a bell (board/rt/sync.h) on each connection, then, in a loop, bell_wait(), and of each
 * exchange web_status_now() and web_read_now() until E_AGAIN. It rings when a head, bytes, an end or an error came to any
 * exchange of the connection, when one more may be opened, and when it died. What is left unread on purpose rings no more.
 * Small requests: open several with `more`, web_flush(), and the next ones when half of them have ended. That costs two thirds
 * of the CPU of one after the other, for most of it is the kernel's, of each write. */
#ifndef HOLDFAST_WEB_H
#define HOLDFAST_WEB_H

#include "board/rt/sync.h"
#include "net/format/url.h"
#include "net/proto/dns.h"
#include "net/proto/h2.h"
#include "net/proto/http_client.h"
#include "net/proto/tls.h"

#define WEB_HEADERS_BYTES_MAX  H2_HEADERS_BYTES_MAX
#define WEB_REQUEST_FIELDS_MAX 18 /* of a call */

extern const char *const web_alpn[]; /* for tls_options.alpn: "h2", "http/1.1". A config without it speaks HTTP/1.1 */

struct web;
struct web_exchange;

/* Looks up, connects, TLS where url->tls (tls must not be NULL then), and starts HTTP/2 if ALPN chose it. url->path is not used.
 * window_bytes: what the server may send ahead of our reading, of an exchange that does not tell its own: 8 KiB .. 4 MiB. */
MUST_USE err web_connect(struct dns *d, const struct url *url, struct tls_config *tls, size_t window_bytes, ms deadline,
                         struct web **out);
/* The same over a connection to that host that is open already, which it takes over, also on error. */
MUST_USE err web_connect_on(struct stream *s, const struct url *url, struct tls_config *tls, size_t window_bytes, ms deadline,
                            struct web **out);
/* Over a stream that is open already, which it takes over, also on error. authority: "host:port". h2: speaks it at once (prior
 * knowledge). tls: the stream tells a cut from an end. */
struct web_over {
    const char *authority;
    bool h2, tls;
    size_t window_bytes;
};
MUST_USE err web_over(struct stream *s, const struct web_over *how, ms deadline, struct web **out);
bool web_is_h2(const struct web *w);
bool web_usable(const struct web *w);              /* alive, and takes exchanges: now, or when one has ended */
unsigned web_room(const struct web *w);            /* exchanges that can be opened now without waiting; h1: 1 or 0 */
MUST_USE err web_ping(struct web *w, ms deadline); /* h2; E_TIMEOUT: half open. h1: E_UNSUPPORTED */
void web_close(struct web *w);                     /* NULL is fine */

/* b rings as told above, and now if an exchange is open, until another is hung here (NULL: none) or web_close(). One bell may
 * hang on many connections. */
void web_hang(struct web *w, struct bell *b);
/* Without a bell of one's own: OK when something came to any exchange since the last OK; else the error that the connection died
 * of, or E_TIMEOUT. Not while another bell hangs there. */
MUST_USE err web_wait_any(struct web *w, ms deadline);
void web_rest(struct web *w, ms until); /* h2_rest(); h1: nothing */

struct web_call {
    const char *method, *path;         /* path with query */
    const struct http_header *headers; /* lower-case names; none that frames or routes: host, content-length, te, … */
    size_t header_count;
    struct bytes body;   /* all of it, sent with the head; borrowed until web_open() returns. Else: */
    int64_t body_bytes;  /* 0 none; what web_send() will bring; -1 not known (HTTP/1.1: chunked) */
    size_t window_bytes; /* 0: the connection's. h2 only: more than that is granted to this exchange (a LIST), 4 MiB at most */
    bool more; /* h2: another call follows in this turn; may be held back until any call here that waits, or web_flush() */
};
/* Content-Length is always sent but with -1, or without a body where none is usual. Waits for room (h1: E_BUSY), and until the
 * server's window took the body. */
MUST_USE err web_open(struct web *w, const struct web_call *call, ms deadline, struct web_exchange **out);
MUST_USE err web_flush(struct web *w, ms deadline);
/* As much as promised, in any pieces; with -1, len 0 is the end. After E_RESET or E_CLOSED the server's answer may still tell
 * why.
 */
MUST_USE err web_send(struct web_exchange *x, const void *bytes, size_t len, ms deadline);
/* Waits for the answer's head; 1xx are skipped. Again: the same. */
MUST_USE err web_status(struct web_exchange *x, ms deadline, int *status);
MUST_USE err web_status_now(struct web_exchange *x, int *status); /* E_AGAIN: not there yet */
/* Of the answer's head, the first of that lower-case name; NULL: not there. Valid until web_end(). */
const char *web_header(const struct web_exchange *x, const char *name);
/* *got 0: the end of the whole body. Waits for the head too. An HTTP/1.1 body without length or chunks over plain TCP ends with
 * E_CLOSED, for nobody can tell whether it was cut. */
MUST_USE err web_read(struct web_exchange *x, void *into, size_t cap, ms deadline, size_t *got);
MUST_USE err web_read_now(struct web_exchange *x, void *into, size_t cap, size_t *got); /* E_AGAIN: nothing there */
/* Reads the rest and drops it, so that an h1 connection can be used again. E_RANGE: more than bytes_max. */
MUST_USE err web_skip(struct web_exchange *x, size_t bytes_max, ms deadline);
/* Ends it: h2 resets a stream that has not ended both ways; an h1 connection whose answer was not read whole is not usable any
 * more. NULL is fine. */
void web_end(struct web_exchange *x);

#endif
