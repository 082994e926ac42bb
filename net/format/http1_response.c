#include "net/format/http1_parse.h"

static enum http1_result status_code(struct http1_head *h, struct bytes text)
{
    uint64_t status = 0;
    if (text.len != 3 || !text_to_u64(text, &status) || status < 100 || status > 599) /* RFC 9110 15 */
        return http1_refuse(h, 400, "status code");
    h->status = (unsigned)status;
    return HTTP1_READY;
}

static enum http1_result status_line(struct http1_head *h, struct bytes line)
{
    struct bytes version, code, rest = line;
    if (!http1_cut(&rest, ' ', &version))
        return http1_refuse(h, 400, "no status line");
    enum http1_result r = http1_version(h, version);
    if (r != HTTP1_READY)
        return r;
    if (http1_cut(&rest, ' ', &code)) {
        h->reason = rest;
        return status_code(h, code);
    }
    h->reason = (struct bytes){0}; /* RFC 9112 4 wants a space even before no reason; some servers leave it out */
    return status_code(h, rest);
}

/* RFC 9112 6.3, rules 1 and 2: no body whatever the fields say. */
static bool has_no_body(const struct http1_head *h, enum http1_method asked)
{
    return asked == HTTP1_HEAD || h->status < 200 || h->status == 204 || h->status == 304 ||
           (asked == HTTP1_CONNECT && h->status < 300);
}

static enum http1_result response_body(struct http1_head *h, const struct http1_limits *limits, enum http1_method asked)
{
    enum http1_result r = http1_lengths(h);
    if (r != HTTP1_READY)
        return r;
    if (has_no_body(h, asked)) {
        h->framing = HTTP1_NO_BODY;
    } else if (h->framing == HTTP1_NO_BODY) { /* rule 8 */
        h->framing = HTTP1_UNTIL_CLOSE;
        h->keep_alive = false;
    } else if (h->framing == HTTP1_LENGTH && h->length > limits->body_bytes_max) {
        return http1_refuse(h, 413, "body too large");
    }
    return HTTP1_READY;
}

enum http1_result http1_parse_response(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits,
                                       enum http1_method asked)
{
    struct bytes line, rest;
    enum http1_result r = http1_scan(h, buffer, limits, false);
    if (r != HTTP1_READY)
        return r;
    line = http1_first_line(h, buffer, &rest);
    r = status_line(h, line);
    if (r == HTTP1_READY)
        r = http1_fields(h, rest);
    if (r != HTTP1_READY)
        return r;
    http1_persistence(h);
    return response_body(h, limits, asked);
}
