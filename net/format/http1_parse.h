/* http1_parse: what the parsers of requests and of responses share. For net/format/http1_*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.   Errors   as http1.h: HTTP1_REFUSED, told in the head. */
#ifndef HOLDFAST_HTTP1_PARSE_H
#define HOLDFAST_HTTP1_PARSE_H

#include "net/format/http1.h"

enum http1_result http1_refuse(struct http1_head *h, unsigned status, const char *why); /* HTTP1_REFUSED */
/* Looks for the end of the head. READY: h->head_bytes is set, every line ends in CRLF, and no control character but HTAB is in
 * it. */
enum http1_result http1_scan(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits, bool is_request);
/* The first line, without CRLF; *rest: the field lines, each with CRLF, without the empty line. */
struct bytes http1_first_line(const struct http1_head *h, struct bytes buffer, struct bytes *rest);
/* Splits the field lines into h->fields. READY or REFUSED. */
enum http1_result http1_fields(struct http1_head *h, struct bytes lines);
/* "HTTP/1.0", "HTTP/1.1" and later minors (RFC 9110 2.5: as the newest we know). READY or REFUSED. */
enum http1_result http1_version(struct http1_head *h, struct bytes text);
/* Content-Length and Transfer-Encoding: h->framing becomes NO_BODY (neither), LENGTH or CHUNKED; RFC 9112 6.1 to 6.3. */
enum http1_result http1_lengths(struct http1_head *h);
void http1_persistence(struct http1_head *h); /* h->keep_alive */

bool http1_is_token_char(uint8_t c);
bool http1_cut(struct bytes *rest, uint8_t at, struct bytes *before); /* at the first such byte; false: there is none */
struct bytes http1_trim(struct bytes b);                              /* SP and HTAB at both ends */

#endif
