#include "net/format/http1_parse.h"

#include <string.h>

static const char *const method_names[HTTP1_METHOD_COUNT] = {
#define X(name) [HTTP1_##name] = #name,
    HTTP1_METHOD_TABLE(X)
#undef X
};

const char *http1_method_name(enum http1_method m)
{
    ASSERT(m < HTTP1_METHOD_COUNT);
    return method_names[m];
}

static enum http1_result parse_method(struct http1_head *h, struct bytes text)
{
    for (unsigned m = 0; m < HTTP1_METHOD_COUNT; m++) {
        if (bytes_equal_text(text, method_names[m])) { /* case-sensitive, RFC 9110 9.1 */
            h->method = (enum http1_method)m;
            return HTTP1_READY;
        }
    }
    return http1_is_token(text) ? http1_refuse(h, 501, "unknown method") : http1_refuse(h, 400, "method is no token");
}

/* --- hosts, RFC 3986 3.2.2 and 3.2.3, without user information (RFC 9110 4.2.4) --- */

static bool is_digits(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.at[i] < '0' || b.at[i] > '9')
            return false;
    return b.len <= 5;
}

static bool is_alphanumeric(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_name(struct bytes b, const char *more)
{
    for (size_t i = 0; i < b.len; i++)
        if (!is_alphanumeric(b.at[i]) && (b.at[i] == 0 || strchr(more, b.at[i]) == NULL))
            return false;
    return b.len > 0;
}

/* "name", "name:80", "[::1]", "[::1]:80" */
static bool is_authority(struct bytes b, bool port_wanted)
{
    struct bytes host = b, rest = b, port = {0};
    bool is_literal = b.len > 0 && b.at[0] == '[', has_port;
    if (is_literal) {
        rest = (struct bytes){b.at + 1, b.len - 1};
        if (!http1_cut(&rest, ']', &host) || (rest.len > 0 && rest.at[0] != ':'))
            return false;
        has_port = rest.len > 0;
        port = has_port ? (struct bytes){rest.at + 1, rest.len - 1} : rest;
    } else {
        has_port = http1_cut(&rest, ':', &host);
        port = has_port ? rest : port;
    }
    if (port_wanted && port.len == 0)
        return false;
    return is_name(host, is_literal ? ":.%" : "-._~%") && is_digits(port);
}

static enum http1_result parse_host(struct http1_head *h)
{
    unsigned count = 0;
    struct bytes host = {0};
    for (unsigned i = 0; i < h->field_count; i++) {
        if (bytes_equal_nocase(h->fields[i].name, "host")) {
            host = h->fields[i].value;
            count++;
        }
    }
    if (count > 1)
        return http1_refuse(h, 400, "several Host fields"); /* RFC 9112 3.2 */
    if (count == 0 && h->minor >= 1)
        return http1_refuse(h, 400, "no Host field");
    if (host.len > 0 && !is_authority(host, false))
        return http1_refuse(h, 400, "Host is not valid");
    if (h->host.len == 0) /* RFC 9112 3.2.2: the target's own wins */
        h->host = host;
    return HTTP1_READY;
}

/* --- targets, RFC 9112 3.2 --- */

static void split_query(struct http1_head *h, struct bytes path_and_query)
{
    struct bytes path, rest = path_and_query;
    bool has_query = http1_cut(&rest, '?', &path);
    h->path = has_query ? path : path_and_query;
    h->query = has_query ? rest : (struct bytes){0};
    if (h->path.len == 0)
        h->path = bytes_of("/"); /* RFC 9112 3.2.1 */
}

static enum http1_result absolute_form(struct http1_head *h, size_t scheme_len)
{
    struct bytes rest = {h->target.at + scheme_len, h->target.len - scheme_len};
    size_t n = 0;
    while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?')
        n++;
    h->host = (struct bytes){rest.at, n};
    if (!is_authority(h->host, false))
        return http1_refuse(h, 400, "authority is not valid");
    split_query(h, (struct bytes){rest.at + n, rest.len - n});
    return HTTP1_READY;
}

static size_t scheme_len(struct bytes target)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (unsigned i = 0; i < COUNT_OF(schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (target.len > len && bytes_equal_nocase((struct bytes){target.at, len}, schemes[i]))
            return len;
    }
    return 0;
}

bool http1_target_is_valid(struct bytes target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.at[i] <= ' ' || target.at[i] >= 0x7F || target.at[i] == '#')
            return false;
    return target.len > 0;
}

static enum http1_result parse_target(struct http1_head *h)
{
    if (!http1_target_is_valid(h->target))
        return http1_refuse(h, 400, "request target is not valid");
    if (h->method == HTTP1_CONNECT) { /* RFC 9112 3.2.3 */
        h->host = h->target;
        return is_authority(h->target, true) ? HTTP1_READY : http1_refuse(h, 400, "CONNECT wants host:port");
    }
    if (h->target.at[0] == '/') {
        split_query(h, h->target);
        return HTTP1_READY;
    }
    if (h->method == HTTP1_OPTIONS && bytes_equal_text(h->target, "*")) {
        h->path = h->target;
        return HTTP1_READY;
    }
    size_t scheme = scheme_len(h->target);
    return scheme > 0 ? absolute_form(h, scheme) : http1_refuse(h, 400, "form of the request target");
}

static enum http1_result request_line(struct http1_head *h, struct bytes line)
{
    struct bytes method, rest = line;
    if (!http1_cut(&rest, ' ', &method) || !http1_cut(&rest, ' ', &h->target))
        return http1_refuse(h, 400, "no request line");
    enum http1_result r = parse_method(h, method);
    if (r == HTTP1_READY)
        r = http1_version(h, rest);
    return r == HTTP1_READY ? parse_target(h) : r;
}

static enum http1_result request_body(struct http1_head *h, const struct http1_limits *limits)
{
    struct bytes expect;
    enum http1_result r = http1_lengths(h);
    if (r != HTTP1_READY)
        return r;
    if (h->framing == HTTP1_LENGTH && h->length > limits->body_bytes_max)
        return http1_refuse(h, 413, "body too large");
    if (http1_find(h, "expect", &expect)) { /* RFC 9110 10.1.1; from HTTP/1.0 it is ignored */
        if (!bytes_equal_nocase(expect, "100-continue"))
            return http1_refuse(h, 417, "unknown expectation");
        h->expect_continue = h->minor >= 1 && (h->framing == HTTP1_CHUNKED || h->length > 0);
    }
    return HTTP1_READY;
}

enum http1_result http1_parse_request(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits)
{
    struct bytes line, rest;
    enum http1_result r = http1_scan(h, buffer, limits, true);
    if (r != HTTP1_READY)
        return r;
    line = http1_first_line(h, buffer, &rest);
    r = request_line(h, line);
    if (r == HTTP1_READY)
        r = http1_fields(h, rest);
    if (r == HTTP1_READY)
        r = parse_host(h);
    if (r == HTTP1_READY)
        r = request_body(h, limits);
    http1_persistence(h);
    return r;
}
