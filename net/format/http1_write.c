#include "net/format/http1.h"

#include <stdio.h>
#include <string.h>

/* RFC 9110 15, RFC 6585; the ones we send or are likely to show. */
static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http1_reason(unsigned status)
{
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

void http1_put_status_line(struct text *t, unsigned status)
{
    ASSERT(status >= 100 && status <= 599);
    text_addf(t, "HTTP/1.1 %u %s\r\n", status, http1_reason(status));
}

void http1_put_request_line(struct text *t, enum http1_method method, struct bytes target)
{
    ASSERT(http1_target_is_valid(target));
    text_add(t, http1_method_name(method));
    text_add(t, " ");
    text_add_bytes(t, target);
    text_add(t, " HTTP/1.1\r\n");
}

bool http1_value_is_valid(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7F)
            return false;
    return true;
}

void http1_put_field(struct text *t, const char *name, struct bytes value)
{
    ASSERT(http1_is_token(bytes_of(name)));
    ASSERT(http1_value_is_valid(value)); /* else the peer would read another message than we wrote */
    text_add(t, name);
    text_add(t, ": ");
    text_add_bytes(t, value);
    text_add(t, "\r\n");
}

void http1_put_field_text(struct text *t, const char *name, const char *value)
{
    http1_put_field(t, name, bytes_of(value));
}

void http1_put_field_u64(struct text *t, const char *name, uint64_t value)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    http1_put_field_text(t, name, digits);
}

void http1_put_end(struct text *t)
{
    text_add(t, "\r\n");
}

size_t http1_chunk_head(size_t bytes, char out[HTTP1_CHUNK_HEAD_MAX])
{
    ASSERT(bytes > 0); /* an empty chunk would end the body */
    return (size_t)snprintf(out, HTTP1_CHUNK_HEAD_MAX, "%zx\r\n", bytes);
}
