/* web_inside: what web.c (the connection, HTTP/2) and web_h1.c (HTTP/1.1's one exchange) share.
 *
 * Layer    proto, private to web*.c.   Owner, blocking, memory, errors: as web.h says. */
#ifndef HOLDFAST_WEB_INSIDE_H
#define HOLDFAST_WEB_INSIDE_H

#include "net/proto/web.h"

struct web {
    struct h2 *h2; /* or */
    struct http_connection *h1;
    struct bell own, *bell;        /* bell: the caller's; own of web_wait_any(); NULL: none */
    struct web_exchange *exchange; /* h1's one; NULL: none is open */
    unsigned exchanges;
    bool tells_end; /* a cut is not an end below */
    bool resting;   /* h1: the loop calls when there is something to read */
};

struct web_exchange {
    struct web *web;
    struct h2_stream *stream; /* h2 */
    int64_t left;             /* of the body promised; -1 not known */
    /* h1 */
    int status;        /* 0: the head is not here */
    bool ended, loose; /* loose: its body ends with the connection */
    err failed;
    char *headers; /* name\0value\0… */
    size_t headers_len;
};

struct http_call web_common(const struct web_call *call, int64_t body_bytes);
MUST_USE err web_h1_open(struct web *w, const struct web_call *call, ms deadline, struct web_exchange *x);
MUST_USE err web_h1_send(struct web_exchange *x, const void *bytes, size_t len, ms deadline);
MUST_USE err web_h1_status(struct web_exchange *x, ms deadline, int *status);
MUST_USE err web_h1_read(struct web_exchange *x, void *into, size_t cap, ms deadline, size_t *got);
const char *web_h1_header(const struct web_exchange *x, const char *name);
void web_h1_end(struct web_exchange *x);
void web_h1_listen(struct web *w); /* the bell will ring when there is something to read; with none, nothing */
void web_h1_wake(struct web *w);   /* before anything is read or written */

#endif
