/* http_call: a request's method, target and header lines, checked before they are written, for HTTP/1.1 and HTTP/2 alike.
 *
 * Layer    proto.   Blocks   never.   Owner, memory   the caller's.
 * Errors   E_INVALID what no peer may be sent, with its name in the trail; E_RANGE a head larger than its buffer. */
#ifndef HOLDFAST_HTTP_CALL_H
#define HOLDFAST_HTTP_CALL_H

#include "net/format/http1.h"

struct http_header { /* one request header line */
    const char *name, *value;
};
struct http_call {
    const char *method, *path; /* "GET", "/metrics?x=1" */
    const struct http_header *headers;
    size_t header_count;
    int64_t body_bytes;   /* 0 none; -1 chunked */
    bool expect_continue; /* wait up to 1 s for 100 before the body */
    struct bytes body;    /* when body_bytes is its length and it is small, it leaves with the head, in one write */
};

/* A method we know, a target of visible ASCII, header names that are tokens and frame nothing (host, content-length, te, …),
 * values without control characters. */
MUST_USE err http_call_check(const struct http_call *call);
/* RFC 9110 8.6: a length of 0 is told where a body would be usual. */
bool http_call_tells_length(const struct http_call *call);
bool http_call_tells_agent(const struct http_call *call); /* else user-agent is ours to tell */
/* Checks it, and writes its HTTP/1.1 head. */
MUST_USE err http_call_write(const struct http_call *call, const char *host, char *into, size_t cap, size_t *len);
enum http1_method http_call_method(const struct http_call *call); /* of one that was checked */

#endif
