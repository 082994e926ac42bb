/* grpc: calls over HTTP/2. Statuses and headers: grpc/doc/PROTOCOL-HTTP2.md; numbers: grpc/doc/statuscodes.md. */
#include "net/proto/grpc.h"

#include "board/rt/text.h"
#include "net/format/grpc_frame.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METADATA_MAX    12
#define STATUS_TEXT_MAX 160

struct grpc_call {
    struct h2_stream *stream;
    const char *path; /* static, the caller's */
    ms deadline;
    struct grpc_deframer deframer;
    ms idle_ms;    /* 0: none */
    bool answered; /* the response's headers were checked */
    err failed;    /* within a message: what came of it is lost, so nothing more can be told */
    int status;    /* -1: not told yet */
    char message[STATUS_TEXT_MAX];
};

/* code, what it means to us, name */
#define STATUS_TABLE(X)                                                                                                          \
    X(0, OK, "OK")                                                                                                               \
    X(1, E_CANCELED, "CANCELLED")                                                                                                \
    X(2, E_REMOTE, "UNKNOWN")                                                                                                    \
    X(3, E_REMOTE, "INVALID_ARGUMENT")                                                                                           \
    X(4, E_TIMEOUT, "DEADLINE_EXCEEDED")                                                                                         \
    X(5, E_ABSENT, "NOT_FOUND")                                                                                                  \
    X(6, E_EXISTS, "ALREADY_EXISTS")                                                                                             \
    X(7, E_DENIED, "PERMISSION_DENIED")                                                                                          \
    X(8, E_FULL, "RESOURCE_EXHAUSTED")                                                                                           \
    X(9, E_REMOTE, "FAILED_PRECONDITION")                                                                                        \
    X(10, E_REMOTE, "ABORTED")                                                                                                   \
    X(11, E_REMOTE, "OUT_OF_RANGE")                                                                                              \
    X(12, E_UNSUPPORTED, "UNIMPLEMENTED")                                                                                        \
    X(13, E_REMOTE, "INTERNAL")                                                                                                  \
    X(14, E_UNREACHABLE, "UNAVAILABLE")                                                                                          \
    X(15, E_REMOTE, "DATA_LOSS")                                                                                                 \
    X(16, E_DENIED, "UNAUTHENTICATED")

static const struct {
    err error;
    const char *name;
} statuses[] = {
#define X(code, error, name) [code] = {error, name},
    STATUS_TABLE(X)
#undef X
};

/* "NNNu": at most 8 digits, so the unit grows with the span. */
static void timeout_text(ms span, char out[16])
{
    span = span < 1 ? 1 : span;
    if (span <= 99999999)
        (void)snprintf(out, 16, "%lldm", (long long)span);
    else
        (void)snprintf(out, 16, "%lldS", (long long)ms_min(span / 1000, 99999999));
}

/* grpc-message is percent-encoded; a bad escape is shown as it came. */
static void message_decode(const char *in, char *out, size_t cap)
{
    size_t n = 0;
    for (; *in && n + 1 < cap; in++) {
        int high = in[0] == '%' ? hex_digit((uint8_t)in[1]) : -1, low = high >= 0 ? hex_digit((uint8_t)in[2]) : -1;
        char c = *in;
        if (low >= 0) {
            c = (char)(high * 16 + low);
            in += 2;
        }
        out[n++] = (unsigned char)c < 0x20 ? ' ' : c;
    }
    out[n] = 0;
}

/* E_CANCELED is for our own canceling only. */
static err status_error(int code)
{
    return statuses[code].error == E_CANCELED ? E_REMOTE : statuses[code].error;
}

static err status_taken(struct grpc_call *c, const char *status, const char *message)
{
    uint64_t code = 2;
    if (!text_to_u64(bytes_of(status), &code) || code >= COUNT_OF(statuses))
        code = 2; /* "an unknown code is UNKNOWN" */
    c->status = (int)code;
    message_decode(message ? message : "", c->message, sizeof c->message);
    if (code == 0)
        return OK;
    return trail(status_error(c->status), "%s: gRPC %s: %s", c->path, statuses[code].name, c->message);
}

/* A response that is no gRPC: what its HTTP status means (grpc/doc/http-grpc-status-mapping.md). */
static err not_grpc(struct grpc_call *c, int http_status)
{
    err e = E_PROTOCOL;
    if (http_status == 401 || http_status == 403)
        e = E_DENIED;
    else if (http_status == 404)
        e = E_UNSUPPORTED;
    else if (http_status == 429 || (http_status >= 502 && http_status <= 504))
        e = E_UNREACHABLE;
    return trail(e, "%s: HTTP %d and no gRPC answer", c->path, http_status);
}

static ms wait_until(const struct grpc_call *c, ms until)
{
    return c->idle_ms ? ms_min(until, loop_now() + c->idle_ms) : until;
}

void grpc_limit_idle(struct grpc_call *c, ms idle_ms)
{
    c->idle_ms = idle_ms;
}

static err answer_check(struct grpc_call *c, ms until)
{
    int status = 0;
    TRY(h2_stream_response(c->stream, wait_until(c, until), &status));
    c->answered = true;
    const char *only = h2_stream_header(c->stream, "grpc-status"); /* Trailers-Only */
    const char *type = h2_stream_header(c->stream, "content-type");
    if (status != 200 || !type || strncmp(type, "application/grpc", 16) != 0)
        return only ? status_taken(c, only, h2_stream_header(c->stream, "grpc-message")) : not_grpc(c, status);
    if (only)
        return status_taken(c, only, h2_stream_header(c->stream, "grpc-message"));
    return OK;
}

static err stream_ended(struct grpc_call *c)
{
    if (!grpc_deframe_is_between(&c->deframer))
        return trail(E_PROTOCOL, "%s: the stream ended within a message", c->path);
    const char *status = h2_stream_trailer(c->stream, "grpc-status");
    if (!status)
        return trail(E_PROTOCOL, "%s: the stream ended without grpc-status", c->path);
    return status_taken(c, status, h2_stream_trailer(c->stream, "grpc-message"));
}

static err request_write(struct grpc_call *c, struct bytes request)
{
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_prefix((uint32_t)request.len, prefix);
    TRY(h2_stream_write(c->stream, prefix, sizeof prefix, request.len == 0, c->deadline));
    return request.len == 0 ? OK : h2_stream_write(c->stream, request.at, request.len, true, c->deadline);
}

err grpc_start(struct h2 *h, const char *path, const struct h2_header *metadata, size_t count, struct bytes request, ms deadline,
               struct grpc_call **out)
{
    *out = NULL;
    ASSERT(count + 4 <= METADATA_MAX);
    struct grpc_call *c = calloc(1, sizeof *c);
    if (!c)
        return E_BUDGET;
    *c = (struct grpc_call){.path = path, .deadline = deadline, .status = -1};
    grpc_deframe_start(&c->deframer, UINT32_MAX);
    char timeout[16];
    struct h2_header headers[METADATA_MAX] = {
        {"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "grpc-c-holdfast"}};
    size_t n = 3;
    if (deadline != FOREVER) {
        timeout_text(deadline - loop_now(), timeout);
        headers[n++] = (struct h2_header){"grpc-timeout", timeout};
    }
    for (size_t i = 0; i < count; i++)
        headers[n++] = metadata[i];
    err e = h2_stream_open(h, "POST", path, headers, n, false, deadline, &c->stream);
    if (e == OK)
        e = request_write(c, request);
    if (c->stream &&
        (e == E_RESET || e == E_CLOSED)) /* the server may answer before it has read our request: its answer tells why */
        e = OK;
    if (e != OK) {
        grpc_end(c);
        return trail(e, "%s", path);
    }
    *out = c;
    return OK;
}

/* One step: bytes into `into` at *len, or into the prefix; tells when a message is whole. */
static err receive_step(struct grpc_call *c, uint8_t *into, size_t cap, size_t *len, ms until, bool *whole, bool *end)
{
    uint8_t prefix[GRPC_PREFIX_BYTES];
    bool inside = c->deframer.inside;
    uint8_t *to = inside ? into + *len : prefix;
    size_t want = inside ? c->deframer.left : GRPC_PREFIX_BYTES - c->deframer.prefix_len, got = 0;
    if (inside && want > cap - *len)
        return trail(E_RANGE, "%s: a message of %zu bytes, more than %zu", c->path, *len + want, cap);
    TRY(h2_stream_read(c->stream, to, want, wait_until(c, until), &got));
    if (got == 0) {
        *end = true;
        return stream_ended(c);
    }
    size_t used = 0;
    struct grpc_piece piece = {0};
    bool given = false;
    err e = grpc_deframe(&c->deframer, (struct bytes){to, got}, &used, &piece, &given);
    if (e == E_UNSUPPORTED)
        return trail(E_PROTOCOL, "%s: a compressed message, which nobody asked for", c->path);
    if (e != OK)
        return trail(e, "%s: not a gRPC message", c->path);
    if (inside)
        *len += got;
    *whole = given && piece.ends;
    return OK;
}

err grpc_receive(struct grpc_call *c, void *into, size_t cap, ms until, size_t *len, bool *more)
{
    *len = 0;
    *more = false;
    until = ms_min(until, c->deadline);
    if (c->failed != OK)
        return c->failed;
    if (c->status >= 0)
        return status_error(c->status);
    err e = c->answered ? OK : answer_check(c, until);
    bool whole = false, end = c->status == 0;
    while (e == OK && !whole && !end)
        e = receive_step(c, into, cap, len, until, &whole, &end);
    *more = e == OK && whole;
    if (e == OK || c->status >= 0)
        return e;
    if (e != E_TIMEOUT || !grpc_deframe_is_between(&c->deframer)) /* between messages one may wait again */
        c->failed = e;
    *len = 0;
    return trail(e, "%s", c->path);
}

int grpc_status(const struct grpc_call *c, const char **message)
{
    if (message)
        *message = c->message;
    return c->status;
}

void grpc_end(struct grpc_call *c)
{
    if (!c)
        return;
    h2_stream_close(c->stream);
    free(c);
}

err grpc_unary(struct h2 *h, const char *path, const struct h2_header *metadata, size_t count, struct bytes request, void *into,
               size_t cap, ms deadline, size_t *len)
{
    struct grpc_call *c = NULL;
    bool more = false;
    uint8_t extra = 0;
    size_t extra_len = 0;
    TRY(grpc_start(h, path, metadata, count, request, deadline, &c));
    err e = grpc_receive(c, into, cap, deadline, len, &more);
    if (e == OK && !more)
        e = trail(E_PROTOCOL, "%s: status OK and no answer", path);
    if (e != OK)
        goto cleanup;
    e = grpc_receive(c, &extra, sizeof extra, deadline, &extra_len, &more); /* the status */
    if ((e == OK && more) || e == E_RANGE)                                  /* whatever its length */
        e = trail(E_PROTOCOL, "%s: two answers to one request", path);
cleanup:
    grpc_end(c);
    return e;
}
