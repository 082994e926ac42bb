#include "net/format/hex.h"
#include "net/format/http1_parse.h"

/* RFC 9112 7.1. Each state names what the next byte belongs to. */
enum state {
    IN_DATA, /* of a length, of a chunk, or until the end of the stream */
    AT_SIZE, /* the first digit */
    IN_SIZE,
    IN_EXTENSION,
    AT_SIZE_LF,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* a name's first byte, or the CR of the empty line */
    IN_TRAILER_NAME,
    IN_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    DONE,
    BAD
};

static void enter(struct http1_body *b, enum state s)
{
    b->state = (unsigned)s;
}

static void refuse(struct http1_body *b, unsigned status, const char *why)
{
    b->refused_status = status;
    b->why = why;
    enter(b, BAD);
}

void http1_body_start(struct http1_body *b, const struct http1_head *h, uint64_t bytes_max)
{
    *b = (struct http1_body){.framing = h->framing, .bytes_max = bytes_max};
    switch (h->framing) {
    case HTTP1_NO_BODY:
        enter(b, DONE);
        break;
    case HTTP1_LENGTH:
        b->left = h->length;
        enter(b, h->length > 0 ? IN_DATA : DONE);
        if (h->length > bytes_max)
            refuse(b, 413, "body too large");
        break;
    case HTTP1_CHUNKED:
        enter(b, AT_SIZE);
        break;
    case HTTP1_UNTIL_CLOSE:
        b->left = UINT64_MAX;
        enter(b, IN_DATA);
        break;
    }
}

/* --- chunk sizes --- */

static void size_digit(struct http1_body *b, uint8_t c)
{
    if (b->left > UINT64_MAX >> 4) {
        refuse(b, 400, "chunk size overflows");
        return;
    }
    b->left = b->left << 4 | (unsigned)hex_digit(c);
    enter(b, IN_SIZE);
}

static void in_size(struct http1_body *b, uint8_t c)
{
    if (hex_digit(c) >= 0)
        size_digit(b, c);
    else if (c == '\r' && b->state == IN_SIZE)
        enter(b, AT_SIZE_LF);
    else if (c == ';' && b->state == IN_SIZE)
        enter(b, IN_EXTENSION);
    else
        refuse(b, 400, "chunk size");
}

static bool is_text(uint8_t c)
{
    return (c >= ' ' && c != 0x7F) || c == '\t';
}

static void in_extension(struct http1_body *b, uint8_t c)
{
    if (c == '\r')
        enter(b, AT_SIZE_LF);
    else if (!is_text(c))
        refuse(b, 400, "chunk extension");
}

static void size_done(struct http1_body *b)
{
    b->line_bytes = 0;
    if (b->left > b->bytes_max - b->total)
        refuse(b, 413, "body too large");
    else
        enter(b, b->left > 0 ? IN_DATA : AT_TRAILER);
}

/* --- the trailer section --- */

static void at_trailer(struct http1_body *b, uint8_t c)
{
    if (c == '\r')
        enter(b, AT_LAST_LF);
    else if (http1_is_token_char(c))
        enter(b, IN_TRAILER_NAME);
    else
        refuse(b, 400, "trailer field");
}

static void in_trailer(struct http1_body *b, uint8_t c)
{
    if (b->state == IN_TRAILER_NAME && c == ':')
        enter(b, IN_TRAILER_VALUE);
    else if (b->state == IN_TRAILER_VALUE && c == '\r')
        enter(b, AT_TRAILER_LF);
    else if (b->state == IN_TRAILER_NAME ? !http1_is_token_char(c) : !is_text(c))
        refuse(b, 400, "trailer field");
}

/* --- one byte that is not content --- */

static void expect(struct http1_body *b, uint8_t c, uint8_t wanted, enum state next)
{
    if (c == wanted)
        enter(b, next);
    else
        refuse(b, 400, "chunk framing");
}

static bool within_bounds(struct http1_body *b)
{
    if (b->state >= AT_TRAILER && ++b->trailer_bytes > HTTP1_TRAILER_BYTES_MAX)
        refuse(b, 431, "trailer section too large");
    else if (b->state < AT_DATA_CR && ++b->line_bytes > HTTP1_CHUNK_LINE_MAX + 2)
        refuse(b, 400, "chunk line too long");
    return b->state != BAD;
}

static void step(struct http1_body *b, uint8_t c)
{
    if (!within_bounds(b))
        return;
    switch ((enum state)b->state) {
    case AT_SIZE:
    case IN_SIZE:
        in_size(b, c);
        break;
    case IN_EXTENSION:
        in_extension(b, c);
        break;
    case AT_SIZE_LF:
        expect(b, c, '\n', IN_DATA);
        if (b->state != BAD)
            size_done(b);
        break;
    case AT_DATA_CR:
        expect(b, c, '\r', AT_DATA_LF);
        break;
    case AT_DATA_LF:
        expect(b, c, '\n', AT_SIZE);
        break;
    case AT_TRAILER:
        at_trailer(b, c);
        break;
    case IN_TRAILER_NAME:
    case IN_TRAILER_VALUE:
        in_trailer(b, c);
        break;
    case AT_TRAILER_LF:
        expect(b, c, '\n', AT_TRAILER);
        break;
    case AT_LAST_LF:
        expect(b, c, '\n', DONE);
        break;
    case IN_DATA:
    case DONE:
    case BAD:
        break;
    }
}

static void take_data(struct http1_body *b, struct bytes in, size_t *used, struct bytes *data)
{
    size_t have = in.len - *used;
    size_t n = b->left < have ? (size_t)b->left : have;
    if (n > b->bytes_max - b->total) {
        refuse(b, 413, "body too large");
        return;
    }
    *data = (struct bytes){in.at + *used, n};
    *used += n;
    b->total += n;
    if (b->framing != HTTP1_UNTIL_CLOSE)
        b->left -= n;
    if (b->left == 0)
        enter(b, b->framing == HTTP1_CHUNKED ? AT_DATA_CR : DONE);
}

enum http1_body_result http1_body_next(struct http1_body *b, struct bytes in, size_t *used, struct bytes *data)
{
    *used = 0;
    *data = (struct bytes){0};
    while (*used < in.len && b->state != DONE && b->state != BAD && data->len == 0) {
        if (b->state == IN_DATA)
            take_data(b, in, used, data);
        else
            step(b, in.at[(*used)++]);
    }
    if (b->state == BAD)
        return HTTP1_BODY_REFUSED;
    return b->state == DONE ? HTTP1_BODY_DONE : HTTP1_BODY_MORE;
}

bool http1_body_ended(const struct http1_body *b)
{
    return b->state == DONE || (b->framing == HTTP1_UNTIL_CLOSE && b->state == IN_DATA);
}
