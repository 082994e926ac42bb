#include "net/format/http1_parse.h"

#include <string.h>

enum http1_result http1_refuse(struct http1_head *h, unsigned status, const char *why)
{
    h->refused_status = status;
    h->why = why;
    return HTTP1_REFUSED;
}

/* --- words --- */

bool http1_is_token_char(uint8_t c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http1_is_token(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (!http1_is_token_char(b.at[i]))
            return false;
    return b.len > 0;
}

bool http1_cut(struct bytes *rest, uint8_t at, struct bytes *before)
{
    const uint8_t *found = rest->len > 0 ? memchr(rest->at, at, rest->len) : NULL;
    if (found == NULL)
        return false;
    size_t n = (size_t)(found - rest->at);
    *before = (struct bytes){rest->at, n};
    *rest = (struct bytes){found + 1, rest->len - n - 1};
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct bytes http1_trim(struct bytes b)
{
    while (b.len > 0 && is_blank(b.at[0]))
        b = (struct bytes){b.at + 1, b.len - 1};
    while (b.len > 0 && is_blank(b.at[b.len - 1]))
        b.len--;
    return b;
}

/* --- the head as lines --- */

static bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7F;
}

/* RFC 9112 3: a method longer than any we know is 501, a target that is too long 414. */
static enum http1_result line_too_long(struct http1_head *h, struct bytes line, bool is_request)
{
    struct bytes method;
    if (!is_request)
        return http1_refuse(h, 400, "status line too long");
    if (http1_cut(&line, ' ', &method))
        return http1_refuse(h, 414, "request line too long");
    return http1_is_token(line) ? http1_refuse(h, 501, "method too long") : http1_refuse(h, 400, "no request line");
}

/* The line feed at buffer[at]. NEED_MORE: go on. */
static enum http1_result end_line(struct http1_head *h, struct bytes buffer, size_t at, bool is_request)
{
    if (at == h->line_at || buffer.at[at - 1] != '\r')
        return http1_refuse(h, 400, "line feed without carriage return"); /* RFC 9112 2.2 */
    bool is_empty = at - 1 == h->line_at;
    h->line_at = at + 1;
    if (is_empty && h->lines == 0) /* RFC 9112 2.2: one before a request is passed over */
        return is_request && at == 1 ? HTTP1_NEED_MORE : http1_refuse(h, 400, "no first line");
    if (is_empty) {
        h->head_bytes = at + 1;
        return HTTP1_READY;
    }
    h->lines++;
    return h->lines > HTTP1_HEADERS_MAX + 1 ? http1_refuse(h, 431, "too many fields") : HTTP1_NEED_MORE;
}

static enum http1_result scan_byte(struct http1_head *h, struct bytes buffer, size_t at, const struct http1_limits *limits,
                                   bool is_request)
{
    uint8_t c = buffer.at[at];
    if (at >= limits->head_bytes_max)
        return http1_refuse(h, 431, "head too large");
    if (c == '\n')
        return end_line(h, buffer, at, is_request);
    if (at > h->line_at && buffer.at[at - 1] == '\r')
        return http1_refuse(h, 400, "carriage return without line feed");
    if (c == '\r')
        return HTTP1_NEED_MORE;
    if (is_control(c))
        return http1_refuse(h, 400, "control character");
    size_t len = at - h->line_at + 1;
    if (h->lines == 0 && len > limits->line_bytes_max)
        return line_too_long(h, (struct bytes){buffer.at + h->line_at, len}, is_request);
    return HTTP1_NEED_MORE;
}

enum http1_result http1_scan(struct http1_head *h, struct bytes buffer, const struct http1_limits *limits, bool is_request)
{
    while (h->scanned < buffer.len) {
        enum http1_result r = scan_byte(h, buffer, h->scanned, limits, is_request);
        h->scanned++;
        if (r != HTTP1_NEED_MORE)
            return r;
    }
    return HTTP1_NEED_MORE;
}

struct bytes http1_first_line(const struct http1_head *h, struct bytes buffer, struct bytes *rest)
{
    struct bytes line = {0};
    *rest = (struct bytes){buffer.at, h->head_bytes - 2};
    if (rest->at[0] == '\r')
        *rest = (struct bytes){rest->at + 2, rest->len - 2};
    bool found = http1_cut(rest, '\n', &line);
    ASSERT(found && line.len > 0); /* http1_scan() saw it */
    line.len--;
    return line;
}

/* --- fields --- */

static enum http1_result one_field(struct http1_head *h, struct bytes line)
{
    struct bytes name;
    if (is_blank(line.at[0]))
        return http1_refuse(h, 400, "folded field"); /* RFC 9112 5.2 */
    if (!http1_cut(&line, ':', &name))
        return http1_refuse(h, 400, "field without colon");
    if (!http1_is_token(name)) /* RFC 9112 5.1: white space before the colon is refused */
        return http1_refuse(h, 400, "field name is no token");
    ASSERT(h->field_count < HTTP1_HEADERS_MAX);
    h->fields[h->field_count++] = (struct http1_field){.name = name, .value = http1_trim(line)};
    return HTTP1_READY;
}

enum http1_result http1_fields(struct http1_head *h, struct bytes lines)
{
    struct bytes line;
    h->field_count = 0;
    while (http1_cut(&lines, '\n', &line)) {
        line.len--; /* CR */
        enum http1_result r = one_field(h, line);
        if (r != HTTP1_READY)
            return r;
    }
    return HTTP1_READY;
}

bool http1_find(const struct http1_head *h, const char *name, struct bytes *value)
{
    for (unsigned i = 0; i < h->field_count; i++) {
        if (!bytes_equal_nocase(h->fields[i].name, name))
            continue;
        if (value != NULL)
            *value = h->fields[i].value;
        return true;
    }
    return false;
}

static bool list_has(struct bytes list, const char *token)
{
    struct bytes element;
    while (http1_cut(&list, ',', &element))
        if (bytes_equal_nocase(http1_trim(element), token))
            return true;
    return bytes_equal_nocase(http1_trim(list), token);
}

bool http1_list_has(const struct http1_head *h, const char *name, const char *token)
{
    for (unsigned i = 0; i < h->field_count; i++)
        if (bytes_equal_nocase(h->fields[i].name, name) && list_has(h->fields[i].value, token))
            return true;
    return false;
}

/* --- what both kinds of message say about themselves --- */

enum http1_result http1_version(struct http1_head *h, struct bytes text)
{
    static const char prefix[] = "HTTP/";
    if (text.len != 8 || memcmp(text.at, prefix, 5) != 0 || text.at[6] != '.' || text.at[5] < '0' || text.at[5] > '9' ||
        text.at[7] < '0' || text.at[7] > '9')
        return http1_refuse(h, 400, "no HTTP version");
    if (text.at[5] != '1')
        return http1_refuse(h, 505, "only HTTP/1 is spoken here");
    h->minor = text.at[7] == '0' ? 0 : 1;
    return HTTP1_READY;
}

/* RFC 9112 6.1: chunked once and last; any other coding before it is unknown to us. */
static enum http1_result transfer_coding(struct http1_head *h, struct bytes value)
{
    struct bytes element, rest = value;
    bool has_other = false;
    h->framing = HTTP1_CHUNKED;
    while (http1_cut(&rest, ',', &element)) {
        element = http1_trim(element);
        if (!http1_is_token(element) || bytes_equal_nocase(element, "chunked"))
            return http1_refuse(h, 400, "chunked is not the last coding");
        has_other = true;
    }
    if (!bytes_equal_nocase(http1_trim(rest), "chunked"))
        return http1_refuse(h, 400, "chunked is not the last coding");
    return has_other ? http1_refuse(h, 501, "unknown transfer coding") : HTTP1_READY;
}

enum http1_result http1_lengths(struct http1_head *h)
{
    struct bytes coding = {0}, length = {0};
    unsigned codings = 0, lengths = 0;
    for (unsigned i = 0; i < h->field_count; i++) {
        if (bytes_equal_nocase(h->fields[i].name, "transfer-encoding")) {
            coding = h->fields[i].value;
            codings++;
        } else if (bytes_equal_nocase(h->fields[i].name, "content-length")) {
            length = h->fields[i].value;
            lengths++;
        }
    }
    h->framing = HTTP1_NO_BODY;
    if (codings + lengths > 1) /* RFC 9112 6.1 and 6.3, RFC 9110 8.6: repeated ones may be refused even if equal */
        return http1_refuse(h, 400, "several lengths");
    if (codings == 1 && h->minor == 0)
        return http1_refuse(h, 400, "Transfer-Encoding in HTTP/1.0"); /* RFC 9112 6.1 */
    if (codings == 1)
        return transfer_coding(h, coding);
    if (lengths == 1 && !text_to_u64(length, &h->length)) /* digits only, RFC 9110 8.6 */
        return http1_refuse(h, 400, "Content-Length is no number");
    h->framing = lengths == 1 ? HTTP1_LENGTH : HTTP1_NO_BODY;
    return HTTP1_READY;
}

void http1_persistence(struct http1_head *h)
{
    bool close = http1_list_has(h, "connection", "close");
    h->keep_alive = !close && (h->minor >= 1 || http1_list_has(h, "connection", "keep-alive"));
}
