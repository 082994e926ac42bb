/* http_routes: a handler that does each thing a handler may do, good and bad. Shared by the tests of the HTTP server and client.
 *
 * Layer    tests.   Blocks   as http_server.h.   Memory   the stack.   Owner   nothing.   Errors   what each route says. */
#ifndef HOLDFAST_TEST_HTTP_ROUTES_H
#define HOLDFAST_TEST_HTTP_ROUTES_H

#include "net/proto/http_server.h"

#include <stdio.h>
#include <string.h>

#define ROUTE_TEXT "text/plain"

static inline err route_root(struct http_exchange *x)
{
    return http_answer(x, 200, ROUTE_TEXT, bytes_of("hello\n"));
}

/* Sends the body back while it comes. */
static inline err route_echo(struct http_exchange *x)
{
    uint8_t piece[1500];
    size_t got = 0;
    TRY(http_start(x, 200, "application/octet-stream", http_body_length(x)));
    for (;;) {
        TRY(http_read_body(x, piece, sizeof piece, &got));
        if (got == 0)
            return http_finish(x);
        TRY(http_write(x, piece, got));
    }
}

/* Reads all, then tells how much it was. */
static inline err route_count(struct http_exchange *x)
{
    uint8_t piece[700];
    char line[64];
    size_t got = 1, total = 0;
    while (got > 0) {
        TRY(http_read_body(x, piece, sizeof piece, &got));
        total += got;
    }
    (void)snprintf(line, sizeof line, "%zu bytes\n", total);
    return http_answer(x, 200, ROUTE_TEXT, bytes_of(line));
}

static inline uint8_t route_pattern(uint64_t at)
{
    return (uint8_t)('a' + (at + at / 251) % 26);
}

/* /big?bytes=N in pieces of 3000, chunked; /sized?bytes=N with a length, in one piece a time. */
static inline err route_pieces(struct http_exchange *x, bool sized)
{
    uint8_t piece[3000];
    uint64_t bytes = 0, at = 0;
    struct bytes query = http_request_of(x)->query;
    if (query.len <= 6 || memcmp(query.at, "bytes=", 6) != 0 || !text_to_u64((struct bytes){query.at + 6, query.len - 6}, &bytes))
        return http_answer(x, 400, ROUTE_TEXT, bytes_of("bytes=N is missing\n"));
    TRY(http_start(x, 200, ROUTE_TEXT, sized ? (int64_t)bytes : -1));
    while (at < bytes) {
        size_t n = 0;
        for (; n < sizeof piece && at < bytes; n++)
            piece[n] = route_pattern(at++);
        TRY(http_write(x, piece, n));
    }
    return http_finish(x);
}

static inline err route_big(struct http_exchange *x)
{
    return route_pieces(x, false);
}

static inline err route_sized(struct http_exchange *x)
{
    return route_pieces(x, true);
}

static inline err route_slow(struct http_exchange *x)
{
    TRY(fiber_sleep(loop_now() + 200));
    return route_root(x);
}

static inline err route_headers(struct http_exchange *x)
{
    char large[1100];
    memset(large, 'v', sizeof large - 1);
    large[sizeof large - 1] = 0;
    if (http_add_header(x, "x-one", "1") != OK || http_add_header(x, "x-bad", "a\r\nb: c") != E_INVALID ||
        http_add_header(x, "x bad", "1") != E_INVALID || http_add_header(x, "", "1") != E_INVALID ||
        http_add_header(x, "x-large", large) != E_RANGE || http_add_header(x, "x-two", "2") != OK)
        return http_answer(x, 599, NULL, bytes_of("wrong\n"));
    return http_answer(x, 200, "text/x\r\nevil: 1", bytes_of("")) == E_INVALID ? route_root(x) : E_INVALID;
}

static inline err route_status_204(struct http_exchange *x)
{
    return http_answer(x, 204, NULL, bytes_of(""));
}

static inline err route_status_304(struct http_exchange *x)
{
    return http_answer(x, 304, NULL, bytes_of(""));
}

static inline err route_fails(struct http_exchange *x)
{
    (void)x;
    return E_IO;
}

static inline err route_fails_late(struct http_exchange *x)
{
    TRY(http_start(x, 200, ROUTE_TEXT, -1));
    TRY(http_write(x, "half", 4));
    return E_IO;
}

static inline err route_fails_before_sending(struct http_exchange *x)
{
    TRY(http_start(x, 200, ROUTE_TEXT, -1));
    return E_IO;
}

static inline err route_nothing(struct http_exchange *x)
{
    (void)x;
    return OK;
}

static inline err route_too_little(struct http_exchange *x)
{
    TRY(http_start(x, 200, ROUTE_TEXT, 10));
    return http_write(x, "half.", 5);
}

static inline err route_too_much(struct http_exchange *x)
{
    TRY(http_start(x, 200, ROUTE_TEXT, 4));
    return http_write(x, "half.", 5);
}

/* Bytes both ways until the peer ends, as a WebSocket would. */
static inline err route_take_over(struct http_exchange *x)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    struct stream *s = NULL;
    struct bytes rest;
    uint8_t piece[256];
    size_t got = 0;
    TRY(http_take_over(x, &s, &rest));
    ms deadline = loop_now() + SECONDS(5);
    err e = stream_write(s, head, sizeof head - 1, deadline);
    if (e == OK)
        e = stream_write(s, rest.at, rest.len, deadline);
    while (e == OK && (e = stream_read(s, piece, sizeof piece, deadline, &got)) == OK && got > 0)
        e = stream_write(s, piece, got, deadline);
    stream_close(s);
    return e;
}

static inline err route_handle(void *arg, struct http_exchange *x)
{
    static const struct {
        const char *path;
        err (*handle)(struct http_exchange *x);
    } all[] = {{"/", route_root},
               {"/echo", route_echo},
               {"/count", route_count},
               {"/big", route_big},
               {"/sized", route_sized},
               {"/slow", route_slow},
               {"/headers", route_headers},
               {"/204", route_status_204},
               {"/304", route_status_304},
               {"/fails", route_fails},
               {"/fails-late", route_fails_late},
               {"/fails-before-sending", route_fails_before_sending},
               {"/nothing", route_nothing},
               {"/too-little", route_too_little},
               {"/too-much", route_too_much},
               {"/take-over", route_take_over}};
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (bytes_equal_text(http_request_of(x)->path, all[i].path))
            return all[i].handle(x);
    return http_answer(x, 404, ROUTE_TEXT, bytes_of("not here\n"));
}

#endif
