/* http_call: what a caller gives us to send is checked here, and nowhere else. */
#include "net/proto/http_call.h"

#include <string.h>
#include <strings.h>

/* HTTP1_METHOD_COUNT: none of ours. */
static enum http1_method method_find(const char *name)
{
    int m = 0;
    while (m < (int)HTTP1_METHOD_COUNT && strcmp(name, http1_method_name((enum http1_method)m)) != 0)
        m++;
    return (enum http1_method)m;
}

enum http1_method http_call_method(const struct http_call *call)
{
    enum http1_method m = method_find(call->method);
    ASSERT(m != HTTP1_METHOD_COUNT);
    return m;
}

/* What frames a message, or tells whom it is for, is not the caller's to write. */
static bool header_is_ours(const char *name)
{
    static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (bytes_equal_nocase(bytes_of(name), ours[i]))
            return true;
    return false;
}

err http_call_check(const struct http_call *call)
{
    if (method_find(call->method) == HTTP1_METHOD_COUNT || !http1_target_is_valid(bytes_of(call->path)))
        return trail(E_INVALID, "request %.16s %.40s", call->method, call->path);
    for (size_t i = 0; i < call->header_count; i++) {
        const struct http_header *h = &call->headers[i];
        if (!http1_is_token(bytes_of(h->name)) || !http1_value_is_valid(bytes_of(h->value)) || header_is_ours(h->name))
            return trail(E_INVALID, "request header %.40s", h->name);
    }
    return OK;
}

bool http_call_tells_length(const struct http_call *call)
{
    enum http1_method m = method_find(call->method);
    return call->body_bytes > 0 || (call->body_bytes == 0 && (m == HTTP1_POST || m == HTTP1_PUT || m == HTTP1_PATCH));
}

bool http_call_tells_agent(const struct http_call *call)
{
    for (size_t i = 0; i < call->header_count; i++)
        if (strcasecmp(call->headers[i].name, "user-agent") == 0)
            return true;
    return false;
}

static void put_framing(struct text *t, const struct http_call *call)
{
    if (call->body_bytes < 0)
        http1_put_field_text(t, "transfer-encoding", "chunked");
    else if (http_call_tells_length(call))
        http1_put_field_u64(t, "content-length", (uint64_t)call->body_bytes);
    if (call->expect_continue && call->body_bytes != 0)
        http1_put_field_text(t, "expect", "100-continue");
}

err http_call_write(const struct http_call *call, const char *host, char *into, size_t cap, size_t *len)
{
    *len = 0;
    TRY(http_call_check(call));
    struct text t = text_over(into, cap);
    http1_put_request_line(&t, http_call_method(call), bytes_of(call->path));
    http1_put_field_text(&t, "host", host);
    if (!http_call_tells_agent(call))
        http1_put_field_text(&t, "user-agent", "holdfast");
    put_framing(&t, call);
    for (size_t i = 0; i < call->header_count; i++)
        http1_put_field_text(&t, call->headers[i].name, call->headers[i].value);
    http1_put_end(&t);
    *len = t.len;
    return t.cut ? trail(E_RANGE, "a request head of more than %zu bytes", cap) : OK;
}
