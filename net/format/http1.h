/* http1: HTTP/1.1 messages, pure: heads out of a byte buffer, bodies as an incremental state machine, and helpers to write them.
 *
 * Layer    format.                                        Blocks   never.
 * Owner    the caller owns buffer and structs; all views  Memory   the caller's; struct http1_head is about 2 KiB.
 *          point into the buffer given to the call that
 *          said HTTP1_READY, and live as long as it does.
 * Errors   HTTP1_REFUSED with the status a server answers with (400, 413, 414, 417, 431, 501, 505) and why, a static text.
 *          A client treats any refusal as E_PROTOCOL. After a refusal the connection must be closed: what follows is unframed.
 * Source   RFC 9112 (messages), RFC 9110 (semantics). Strict: whatever two readers may frame differently is refused.
 *
 * Head: gather bytes in one buffer (its size >= head_bytes_max) and call the parser after each read, with the SAME zeroed-once
 * struct; it looks at each byte once. On HTTP1_READY head_bytes of the buffer are the head, the body starts behind them. */
#ifndef HOLDFAST_HTTP1_H
#define HOLDFAST_HTTP1_H

#include "board/rt/err.h"
#include "board/rt/text.h"

#define HTTP1_HEADERS_MAX       64
#define HTTP1_CHUNK_LINE_MAX    256  /* chunk size and its extensions, without CRLF */
#define HTTP1_TRAILER_BYTES_MAX 4096 /* all trailer lines of a body together */

struct http1_limits {
    size_t line_bytes_max;   /* request or status line, without CRLF; beyond it 414 (or 501 if the method never ends) */
    size_t head_bytes_max;   /* all of the head; beyond it, or beyond HTTP1_HEADERS_MAX fields, 431 */
    uint64_t body_bytes_max; /* content without chunk framing; beyond it 413 */
};

/* RFC 9110 9.1 and RFC 5789. A method that is not here is refused with 501. */
#define HTTP1_METHOD_TABLE(X)                                                                                                    \
    X(GET)                                                                                                                       \
    X(HEAD)                                                                                                                      \
    X(POST)                                                                                                                      \
    X(PUT)                                                                                                                       \
    X(DELETE)                                                                                                                    \
    X(CONNECT)                                                                                                                   \
    X(OPTIONS)                                                                                                                   \
    X(TRACE)                                                                                                                     \
    X(PATCH)

enum http1_method {
#define X(name) HTTP1_##name,
    HTTP1_METHOD_TABLE(X)
#undef X
        HTTP1_METHOD_COUNT
};

/* How the end of the body is known, RFC 9112 6.3. Until close: responses only. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE };

enum http1_result { HTTP1_NEED_MORE, HTTP1_READY, HTTP1_REFUSED };

struct http1_field {
    struct bytes name, value; /* value without surrounding white space */
};

struct http1_head {
    /* both */
    size_t head_bytes; /* on READY: bytes of the buffer, with the empty line */
    unsigned minor;    /* HTTP/1.minor, 0 or 1 */
    enum http1_framing framing;
    uint64_t length;      /* with HTTP1_LENGTH */
    bool keep_alive;      /* the connection may be used again after this message, RFC 9112 9.3 */
    bool expect_continue; /* requests, HTTP/1.1 with a body only, RFC 9110 10.1.1 */
    unsigned field_count;
    struct http1_field fields[HTTP1_HEADERS_MAX];
    /* requests */
    enum http1_method method;
    struct bytes target; /* as sent */
    struct bytes path;   /* of origin and absolute form, at least "/"; "*" of asterisk form; empty for CONNECT */
    struct bytes query;  /* behind the '?', which is not in it */
    struct bytes host;   /* authority of absolute form or CONNECT, else Host; may be empty */
    /* responses */
    unsigned status; /* 100..599 */
    struct bytes reason;
    /* refusals */
    unsigned refused_status;
    const char *why;
    /* the parser's own */
    size_t scanned, line_at, lines;
};

const char *http1_method_name(enum http1_method m); /* "GET"; static */

/* h must be zeroed before the first call for a message. One empty line before a request is skipped (RFC 9112 2.2). */
MUST_USE enum http1_result http1_parse_request(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits);
/* `asked` is the method of the request this answers. Interim responses (1xx but 101) are READY with HTTP1_NO_BODY: zero the
 * struct and parse again behind them. A 2xx to CONNECT and 101 are READY with HTTP1_NO_BODY; what follows is another protocol. */
MUST_USE enum http1_result http1_parse_response(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits,
                                                enum http1_method asked);

/* Is the field there, and its value (value may be NULL)? The first one when there are several. Case-insensitive. */
bool http1_find(const struct http1_head *h, const char *name, struct bytes *value);
/* Is `token` an element of the comma-separated lists of all fields of this name? Case-insensitive: Connection, Upgrade, Accept…
 */
bool http1_list_has(const struct http1_head *h, const char *name, const char *token);
bool http1_is_token(struct bytes b); /* RFC 9110 5.6.2, not empty: a method, the name of a field */

/* --- bodies --- */
enum http1_body_result {
    HTTP1_BODY_MORE,   /* bytes were used up (maybe with data in *data); call again with the rest, or when there is more */
    HTTP1_BODY_DONE,   /* ended; what is behind *used belongs to the next message. May come with data. */
    HTTP1_BODY_REFUSED /* b->refused_status (400, 413) and b->why */
};

struct http1_body { /* fields are http1_body.c's, but total and the refusal */
    enum http1_framing framing;
    unsigned state;
    uint64_t left;  /* of this chunk or length */
    uint64_t total; /* content bytes so far */
    uint64_t bytes_max;
    unsigned line_bytes; /* of this chunk or trailer line */
    unsigned trailer_bytes;
    unsigned refused_status;
    const char *why;
};

void http1_body_start(struct http1_body *b, const struct http1_head *h, uint64_t bytes_max);
/* Feeds `in`. *used bytes are consumed; *data (may be empty) is content, a view into `in`. With in.len 0 it tells whether the
 * body is complete. Trailer fields are checked and dropped (RFC 9112 7.1.2 allows it). */
MUST_USE enum http1_body_result http1_body_next(struct http1_body *b, struct bytes in, size_t *used, struct bytes *data);
/* The peer ended its side: true if the body is complete with that (until-close, or it was DONE), false: it was cut short. */
bool http1_body_ended(const struct http1_body *b);

/* --- writing --- */
#define HTTP1_DATE_MAX       30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and the zero, RFC 9110 5.6.7 */
#define HTTP1_CHUNK_HEAD_MAX 20 /* 16 hex digits, CRLF, the zero */
#define HTTP1_CHUNK_LAST     "0\r\n\r\n"

const char *http1_reason(unsigned status);                   /* "Not Found"; "" when unknown; static */
void http1_put_status_line(struct text *t, unsigned status); /* HTTP/1.1 always */
void http1_put_request_line(struct text *t, enum http1_method method, struct bytes target);
/* Name ": " value CRLF. A name that is no token or a value with control characters is our bug (asserted): check foreign values
 * with http1_value_is_valid() first. */
void http1_put_field(struct text *t, const char *name, struct bytes value);
void http1_put_field_text(struct text *t, const char *name, const char *value);
void http1_put_field_u64(struct text *t, const char *name, uint64_t value);
void http1_put_end(struct text *t);              /* the empty line */
bool http1_value_is_valid(struct bytes value);   /* no control character but HTAB, RFC 9110 5.5 */
bool http1_target_is_valid(struct bytes target); /* visible ASCII only, not empty */
void http1_date(int64_t epoch_s, char out[HTTP1_DATE_MAX]);
int64_t http1_date_read(struct bytes text); /* seconds since 1970; 0: not one, or before */
/* The line in front of `bytes` (> 0) of chunk data, which CRLF must follow; returns its length. */
size_t http1_chunk_head(size_t bytes, char out[HTTP1_CHUNK_HEAD_MAX]);

#endif
