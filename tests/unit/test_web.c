/* web over both protocols: the same exchanges and faults against a scripted HTTP/2 server and a scripted HTTP/1.1 server, over a
 * pipe; many exchanges heard by one fiber; and that what was received is wiped in every buffer it passed. */
#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/proto/web.h"
#include "tests/support/grpc_server.h"
#include "tests/support/pipe.h"

#include <stdlib.h>
#include <string.h>

#define SOON   (loop_now() + SECONDS(60))
#define WINDOW KIB(16)

/* --- the far end: grpc_server for h2, for h1 what a script says after each request --- */

struct h1_script {
    const char *says; /* after a request; NULL: no more */
    ms then_ms;       /* silence behind it */
    bool hangs_up;    /* then */
};

struct far {
    struct pipe pipe;
    struct server server;
    struct group group;
    const struct h1_script *h1; /* NULL: h2 */
    char heard[4096];           /* by h1 */
    size_t heard_len;
    struct web *web;
};

/* One request: a head, and the body its length tells. */
static err h1_request(struct far *f, struct stream *s)
{
    size_t from = f->heard_len, need = SIZE_MAX;
    while (f->heard_len < need) {
        size_t got = 0;
        CHECK(f->heard_len < sizeof f->heard - 1);
        TRY(stream_read(s, f->heard + f->heard_len, sizeof f->heard - 1 - f->heard_len, SOON, &got));
        if (got == 0)
            return E_CLOSED;
        f->heard_len += got;
        f->heard[f->heard_len] = 0;
        const char *end = strstr(f->heard + from, "\r\n\r\n"), *length = strstr(f->heard + from, "content-length: ");
        if (end && strstr(f->heard + from, "chunked"))
            need = strstr(end, "0\r\n\r\n") ? 0 : SIZE_MAX;
        else if (end)
            need = (size_t)(end + 4 - f->heard) + (length ? (size_t)atoi(length + 16) : 0);
    }
    return OK;
}

static err h1_run(struct far *f, struct stream *s)
{
    for (const struct h1_script *step = f->h1; step->says; step++) {
        err e = h1_request(f, s);
        if (e == OK)
            e = stream_write(s, step->says, strlen(step->says), SOON);
        if (e == OK && step->then_ms)
            e = fiber_sleep(loop_now() + step->then_ms);
        if (e != OK || step->hangs_up)
            break;
    }
    while (!f->h1[0].hangs_up && fiber_sleep(loop_now() + 1) == OK && f->web)
        ; /* it stays until the client has gone */
    stream_close(s);
    return OK;
}

static err far_run(void *arg)
{
    struct far *f = arg;
    return f->h1 ? h1_run(f, pipe_stream(&f->pipe, 1)) : server_run(&f->server, pipe_stream(&f->pipe, 1));
}

/* The pipe stands for the kernel: it is another task's. */
static void far_open(struct far *f, bool tls)
{
    enum task own = mem_task();
    struct web_over how = {.authority = "web.test:80", .h2 = !f->h1, .tls = tls, .window_bytes = WINDOW};
    mem_set_task(TASK_METRICS);
    CHECK(pipe_open(&f->pipe, KIB(64)) == OK);
    mem_set_task(own);
    group_open(&f->group, TASK_METRICS);
    CHECK(group_spawn(&f->group, "far end", far_run, f) == OK);
    CHECK(web_over(pipe_stream(&f->pipe, 0), &how, SOON, &f->web) == OK);
}

static void far_close(struct far *f)
{
    struct web *w = f->web;
    f->web = NULL;
    web_close(w);
    group_close(&f->group);
}

/* --- answers, good and bad, of both --- */

#define H1(text)                                                                                                                 \
    (const struct h1_script[])                                                                                                   \
    {                                                                                                                            \
        {text, 0, true},                                                                                                         \
        {                                                                                                                        \
            0                                                                                                                    \
        }                                                                                                                        \
    }
#define RAW(text)                                                                                                                \
    {                                                                                                                            \
        .what = SERVER_RAW, .bytes = {(const uint8_t *)(text), sizeof(text) - 1 }                                                \
    }
#define HEAD200                                                                                                                  \
    {                                                                                                                            \
        .what = SERVER_HEADERS, .text = "text/plain"                                                                             \
    }
#define STEPS(...)                                                                                                               \
    (const struct server_step[])                                                                                                 \
    {                                                                                                                            \
        __VA_ARGS__,                                                                                                             \
        {                                                                                                                        \
            0                                                                                                                    \
        }                                                                                                                        \
    }

static const struct answer {
    const char *name;
    const struct server_step *h2;
    const struct h1_script *h1;
    bool tls; /* as if: an end is told from a cut */
    err head;
    int status;
    size_t bytes;
    err end;
} answers[] = {
    {"a length", NULL, H1("HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"), false, OK, 201,
     5, OK},
    {"chunks", NULL,
     H1("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
     false, OK, 200, 5, OK},
    {"until the end, over TLS", NULL, H1("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"), true, OK, 200, 5, OK},
    {"until the end, over TCP", NULL, H1("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"), false, OK, 200, 5,
     E_CLOSED},
    {"cut in its length", NULL, H1("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhello"), true, OK,
     200, 5, E_CLOSED},
    {"cut in its chunks", NULL, H1("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"),
     true, OK, 200, 5, E_CLOSED},
    {"cut in its head", NULL, H1("HTTP/1.1 200 OK\r\nContent-Type: te"), true, E_CLOSED, 0, 0, E_CLOSED},
    {"no HTTP", NULL, H1("SSH-2.0-holdfast\r\n\r\n"), false, E_PROTOCOL, 0, 0, E_PROTOCOL},
    {"no body", NULL, H1("HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n"), false, OK, 204, 0, OK},
    {"an interim answer", NULL,
     H1("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello"), false,
     OK, 200, 5, OK},

    {"h2", STEPS(HEAD200, RAW("hello"), {.what = SERVER_BARE_END}), NULL, false, OK, 200, 5, OK},
    {"h2, another status",
     STEPS({.what = SERVER_HEADERS, .count = 410, .text = "text/plain"}, RAW("hello"), {.what = SERVER_BARE_END}), NULL, false,
     OK, 410, 5, OK},
    {"h2, a redirect", STEPS({.what = SERVER_HEADERS, .count = 302, .text = "text/plain"}, {.what = SERVER_BARE_END}), NULL,
     false, OK, 302, 0, OK},
    {"h2, an interim answer", STEPS({.what = SERVER_INFORM}, HEAD200, RAW("hello"), {.what = SERVER_BARE_END}), NULL, false, OK,
     200, 5, OK},
    {"h2, reset at once", STEPS({.what = SERVER_RST, .count = 2}), NULL, false, E_RESET, 0, 0, E_RESET},
    {"h2, refused", STEPS({.what = SERVER_RST, .count = 7}), NULL, false, E_BUSY, 0, 0, E_BUSY},
    {"h2, reset in its body", STEPS(HEAD200, RAW("hello"), {.what = SERVER_WAIT, .count = 5}, {.what = SERVER_RST, .count = 2}),
     NULL, false, OK, 200, 5, E_RESET},
    {"h2, dead in its body", STEPS(HEAD200, RAW("hello"), {.what = SERVER_WAIT, .count = 5}, {.what = SERVER_VANISH}), NULL,
     false, OK, 200, 5, E_CLOSED},
    {"h2, a head too large", STEPS({.what = SERVER_WIDE, .count = 9000}, {.what = SERVER_BARE_END}), NULL, false, E_RANGE, 0, 0,
     E_RANGE},
    {"h2, goes away, and answers", STEPS({.what = SERVER_GOAWAY}, HEAD200, RAW("hello"), {.what = SERVER_BARE_END}), NULL, false,
     OK, 200, 5, OK},
    {"h2, goes away without us", STEPS({.what = SERVER_GOAWAY, .count = 1}, HEAD200), NULL, false, E_BUSY, 0, 0, E_BUSY},
};

static const struct server_step *the_answer(void *arg, const struct server_request *r)
{
    (void)r;
    return arg;
}

/* How one reads: waits in each call, or by the bell only. */
enum manner { WAITING, BY_BELL, MANNERS };

static err status_by(struct web *w, struct web_exchange *x, enum manner how, int *status)
{
    err e = how == WAITING ? web_status(x, SOON, status) : web_status_now(x, status);
    while (e == E_AGAIN) {
        TRY(web_wait_any(w, SOON));
        e = web_status_now(x, status);
    }
    return e;
}

static err read_by(struct web *w, struct web_exchange *x, enum manner how, void *into, size_t cap, size_t *got)
{
    err e = how == WAITING ? web_read(x, into, cap, SOON, got) : web_read_now(x, into, cap, got);
    while (e == E_AGAIN) {
        TRY(web_wait_any(w, SOON));
        e = web_read_now(x, into, cap, got);
    }
    return e;
}

static void answer_read(const struct answer *a, struct far *f, enum manner how)
{
    struct web_call call = {.method = "GET", .path = "/x?y=1"};
    struct web_exchange *x = NULL;
    char body[64];
    size_t sum = 0, got = 1;
    int status = 0;
    CHECK(web_open(f->web, &call, SOON, &x) == OK);
    err e = status_by(f->web, x, how, &status);
    CHECK(e == a->head);
    if (e == OK)
        CHECK(status == a->status && strcmp(web_header(x, "content-type"), "text/plain") == 0 && !web_header(x, "content-typ"));
    while ((e = read_by(f->web, x, how, body + sum, 3, &got)) == OK && got > 0)
        sum += got;
    CHECK(e == a->end && sum == a->bytes && memcmp(body, "hello", sum) == 0);
    if (e != a->end || sum != a->bytes)
        print_error("%s: %s after %zu bytes\n", a->name, err_name(e), sum);
    CHECK(read_by(f->web, x, how, body, 1, &got) == a->end && got == 0); /* it stays so */
    web_end(x);
}

static err all_answers(void *arg)
{
    (void)arg;
    size_t before = mem_use(TASK_BOARD).used_bytes;
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        for (enum manner how = 0; how < MANNERS; how++) {
            const struct answer *a = &answers[i];
            struct far f = {.h1 = a->h1, .server = {.script = the_answer, .arg = (void *)(uintptr_t)a->h2}};
            far_open(&f, a->tls);
            CHECK(web_is_h2(f.web) == !a->h1);
            answer_read(a, &f, how);
            far_close(&f);
            if (checks_failed) {
                print_error("in: %s, %s\n", a->name, how == WAITING ? "waiting" : "by the bell");
                return OK;
            }
        }
    CHECK(mem_use(TASK_BOARD).used_bytes == before);
    return OK;
}

static void answers_good_and_bad(void **state)
{
    (void)state;
    fibers_run(all_answers, NULL, OK);
}

/* --- requests --- */

#define LEN2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct web_exchange *begin(struct web *w, const struct web_call *call)
{
    struct web_exchange *x = NULL;
    CHECK(web_open(w, call, SOON, &x) == OK);
    return x;
}

static void finish(struct web_exchange *x, int want)
{
    int status = 0;
    CHECK(web_status(x, SOON, &status) == OK && status == want);
    CHECK(web_skip(x, 2, SOON) == OK);
    web_end(x);
}

static err h1_requests(void *arg)
{
    static const struct h1_script four[] = {{LEN2, 0, false}, {LEN2, 0, false}, {LEN2, 0, false}, {LEN2, 0, true}, {0}};
    static const struct http_header field = {"x-key", "value"};
    struct far f = {.h1 = four};
    struct web_exchange *x, *second = NULL;
    (void)arg;
    far_open(&f, false);
    x = begin(f.web,
              &(struct web_call){.method = "POST", .path = "/a", .headers = &field, .header_count = 1, .body = bytes_of("body")});
    CHECK(web_room(f.web) == 0 && web_usable(f.web));
    CHECK(web_open(f.web, &(struct web_call){.method = "GET", .path = "/"}, SOON, &second) == E_BUSY && !second);
    finish(x, 200);
    CHECK(strstr(f.heard, "x-key: value\r\n") && strstr(f.heard, "content-length: 4\r\n") && strstr(f.heard, "\r\n\r\nbody"));
    CHECK(web_room(f.web) == 1);
    x = begin(f.web, &(struct web_call){.method = "POST", .path = "/b", .body_bytes = 4});
    CHECK(web_send(x, "bo", 2, SOON) == OK && web_send(x, "dyx", 3, SOON) == E_INVALID && web_send(x, "dy", 2, SOON) == OK);
    finish(x, 200);
    x = begin(f.web, &(struct web_call){.method = "POST", .path = "/c", .body_bytes = -1});
    CHECK(web_send(x, "some", 4, SOON) == OK && web_send(x, NULL, 0, SOON) == OK);
    finish(x, 200);
    x = begin(f.web, &(struct web_call){.method = "POST", .path = "/d"});
    CHECK(web_ping(f.web, SOON) == E_UNSUPPORTED);
    int status = 0;
    CHECK(web_status(x, SOON, &status) == OK && web_skip(x, 1, SOON) == E_RANGE);
    web_end(x);
    CHECK(strstr(f.heard, "POST /d HTTP/1.1\r\n") && strstr(strstr(f.heard, "/d HTTP"), "content-length: 0\r\n"));
    far_close(&f);
    return OK;
}

static void requests_over_http1(void **state)
{
    (void)state;
    fibers_run(h1_requests, NULL, OK);
}

static const struct server_step quick[] = {HEAD200, RAW("ok"), {.what = SERVER_BARE_END}, {0}};

static err h2_requests(void *arg)
{
    static uint8_t large[200000];
    struct far f = {.server = {.script = the_answer, .arg = (void *)(uintptr_t)quick}};
    struct web_exchange *x[8], *none = NULL;
    (void)arg;
    far_open(&f, false);
    CHECK(web_ping(f.web, SOON) == OK && web_room(f.web) == H2_STREAMS_MAX);
    x[0] = begin(f.web, &(struct web_call){.method = "POST", .path = "/", .body = {large, sizeof large}});
    finish(x[0], 200);
    x[0] = begin(f.web, &(struct web_call){.method = "POST", .path = "/", .body_bytes = 6});
    CHECK(web_send(x[0], "bod", 3, SOON) == OK && web_send(x[0], "bodx", 4, SOON) == E_INVALID &&
          web_send(x[0], "ies", 3, SOON) == OK);
    finish(x[0], 200);
    x[0] = begin(f.web, &(struct web_call){.method = "PATCH", .path = "/", .body_bytes = -1});
    CHECK(web_send(x[0], "bod", 3, SOON) == OK && web_send(x[0], NULL, 0, SOON) == OK);
    finish(x[0], 200);
    CHECK(f.server.body_bytes == sizeof large + 9);
    uint64_t carried = f.pipe.end[1].carried;
    for (unsigned i = 0; i < 8; i++)
        x[i] = begin(f.web, &(struct web_call){.method = "POST", .path = "/", .body = bytes_of("event"), .more = true});
    CHECK(f.pipe.end[1].carried == carried && web_room(f.web) == H2_STREAMS_MAX - 8); /* held back, all of them */
    CHECK(web_flush(f.web, SOON) == OK && f.pipe.end[1].carried > carried);
    for (unsigned i = 0; i < 8; i++)
        finish(x[i], 200);
    x[0] = begin(f.web, &(struct web_call){.method = "POST", .path = "/", .body = bytes_of("event"), .more = true});
    finish(x[0], 200); /* a call that waits sends what was held */
    CHECK(f.server.requests == 12 && f.server.body_bytes == sizeof large + 9 + 9 * 5);
    CHECK(web_open(f.web, &(struct web_call){.method = "GET", .path = "/a b"}, SOON, &none) == E_INVALID);
    static const struct http_header bad[] = {{"content-length", "7"}, {"x-key", "a\r\nb: c"}, {"x key", "a"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(web_open(f.web, &(struct web_call){.method = "GET", .path = "/", .headers = &bad[i], .header_count = 1}, SOON,
                       &none) == E_INVALID &&
              !none);
    far_close(&f);
    return OK;
}

static void requests_over_http2(void **state)
{
    (void)state;
    fibers_run(h2_requests, NULL, OK);
}

static err late(void *arg)
{
    static const struct h1_script slow[] = {{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0, false}, {0}};
    struct far h1 = {.h1 = slow},
               h2 = {.server = {.script = the_answer, .arg = (void *)(uintptr_t)(const struct server_step[]){HEAD200, {0}}}};
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct far *f = i ? &h1 : &h2;
        char body[4];
        size_t got = 0;
        int status = 0;
        far_open(f, false);
        struct web_exchange *x = begin(f->web, &(struct web_call){.method = "GET", .path = "/"});
        CHECK(web_status_now(x, &status) == E_AGAIN);
        CHECK(web_status(x, SOON, &status) == OK && status == 200);
        CHECK(web_read(x, body, sizeof body, loop_now() + 5, &got) == E_TIMEOUT && got == 0);
        CHECK(web_read(x, body, sizeof body, loop_now() + 5, &got) == E_TIMEOUT);
        CHECK(web_read_now(x, body, sizeof body, &got) == E_AGAIN);
        web_end(x);
        CHECK(web_usable(f->web) == (i == 0)); /* half an answer is no place to begin a request */
        far_close(f);
    }
    return OK;
}

static void deadlines_end_waits_not_exchanges(void **state)
{
    (void)state;
    fibers_run(late, NULL, OK);
}

/* --- many at once, heard by one fiber --- */

#define WATCHES 21
#define PIECES  64u
#define PIECE   1000u

static size_t make_piece(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap)
{
    (void)arg, (void)cap;
    memset(out, r->path[1] + (int)(index % 64), PIECE);
    return PIECE;
}

static const struct server_step flood[] = {HEAD200, {.what = SERVER_MESSAGES, .count = PIECES}, {.what = SERVER_BARE_END}, {0}};

/* 21 streams; the first is not read until all others have ended. */
static err many(void *arg)
{
    struct far f = {.server = {.script = the_answer, .make = make_piece, .arg = (void *)(uintptr_t)flood}};
    struct web_exchange *x[WATCHES];
    size_t sum[WATCHES] = {0}, open = WATCHES, turns = 0;
    uint8_t piece[512];
    (void)arg;
    size_t before = mem_use(TASK_BOARD).used_bytes;
    far_open(&f, false);
    for (unsigned i = 0; i < WATCHES; i++)
        x[i] = begin(f.web, &(struct web_call){.method = "GET", .path = "/w", .more = i + 1 < WATCHES});
    mem_peak_reset(TASK_BOARD);
    while (open > 0 && checks_failed == 0) {
        CHECK(web_wait_any(f.web, SOON) == OK && turns++ < 100000);
        for (unsigned i = 0; i < WATCHES; i++) {
            size_t got = 1;
            if (!x[i] || (i == 0 && open > 1))
                continue;
            err e;
            while ((e = web_read_now(x[i], piece, sizeof piece, &got)) == OK && got > 0)
                sum[i] += got;
            CHECK(e == OK || e == E_AGAIN);
            if (e == OK) {
                web_end(x[i]);
                x[i] = NULL;
                if (--open == 1)
                    i = (unsigned)-1; /* now the first, which has been full for long and rings no more */
            }
        }
        CHECK(f.server.data_of[0] <= WINDOW || open <= 1);
    }
    for (unsigned i = 0; i < WATCHES; i++)
        CHECK(sum[i] == PIECES * (PIECE + 5));
    print_message("%u streams: peak %zu bytes, %zu rings of the bell\n", WATCHES, mem_use(TASK_BOARD).peak_bytes - before, turns);
    CHECK(mem_use(TASK_BOARD).peak_bytes - before < KIB(64) + WATCHES * (WINDOW + KIB(1)));
    CHECK(web_wait_any(f.web, loop_now()) != E_CLOSED);
    far_close(&f);
    return OK;
}

static void one_fiber_hears_twenty_one_streams(void **state)
{
    (void)state;
    fibers_run(many, NULL, OK);
}

/* A LIST's stream is granted more than the others; no other is. */
static err granted(void *arg)
{
    struct far f = {.server = {.script = the_answer, .make = make_piece, .arg = (void *)(uintptr_t)flood}};
    struct web_exchange *x[2];
    uint8_t piece[512];
    size_t got = 1, sum = 0;
    (void)arg;
    far_open(&f, false);
    for (unsigned i = 0; i < 2; i++)
        x[i] = begin(f.web, &(struct web_call){.method = "GET", .path = "/", .window_bytes = i ? KIB(48) : 0});
    for (ms until = SOON; loop_now() < until && f.server.data_of[1] < KIB(48);)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    CHECK(f.server.data_of[0] == WINDOW && f.server.data_of[1] == KIB(48));
    while (web_read(x[1], piece, sizeof piece, SOON, &got) == OK && got > 0)
        sum += got;
    CHECK(sum == PIECES * (PIECE + 5) && f.server.data_of[0] == WINDOW);
    web_end(x[0]);
    web_end(x[1]);
    far_close(&f);
    return OK;
}

static void a_window_of_its_own(void **state)
{
    (void)state;
    fibers_run(granted, NULL, OK);
}

/* One bell on two connections, one of each protocol; both die. */
static err two_connections(void *arg)
{
    static const struct server_step dies[] = {HEAD200, {.what = SERVER_WAIT, .count = 10}, {.what = SERVER_VANISH}, {0}};
    static const struct h1_script cut[] = {{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 5, true}, {0}};
    struct far f[2] = {{.server = {.script = the_answer, .arg = (void *)(uintptr_t)dies}}, {.h1 = cut}};
    struct web_exchange *x[2];
    struct bell bell = {0};
    err ends[2] = {OK, OK};
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        far_open(&f[i], true);
        web_hang(f[i].web, &bell);
        x[i] = begin(f[i].web, &(struct web_call){.method = "GET", .path = "/"});
    }
    while ((ends[0] == OK || ends[1] == OK) && checks_failed == 0) {
        CHECK(bell_wait(&bell, SOON) == OK);
        for (unsigned i = 0; i < 2; i++) {
            char piece[4];
            size_t got = 0;
            err e = ends[i];
            while (e == OK)
                e = web_read_now(x[i], piece, sizeof piece, &got);
            ends[i] = e == E_AGAIN ? OK : e;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        CHECK(ends[i] == E_CLOSED && !web_usable(f[i].web));
        web_end(x[i]);
        web_hang(f[i].web, NULL);
        far_close(&f[i]);
    }
    return OK;
}

/* What came before the bell was hung is heard by it. */
static err late_bell(void *arg)
{
    struct far f = {.server = {.script = the_answer, .arg = (void *)(uintptr_t)quick}};
    struct bell bell = {0};
    int status = 0;
    (void)arg;
    far_open(&f, false);
    struct web_exchange *x = begin(f.web, &(struct web_call){.method = "GET", .path = "/"});
    for (ms until = SOON; loop_now() < until && web_status_now(x, &status) != OK;)
        CHECK(fiber_sleep(loop_now() + 1) == OK);
    web_hang(f.web, &bell);
    CHECK(bell_wait(&bell, SOON) == OK && web_status_now(x, &status) == OK);
    web_end(x);
    far_close(&f);
    return OK;
}

static void a_bell_hung_late_rings(void **state)
{
    (void)state;
    fibers_run(late_bell, NULL, OK);
}

static void one_bell_for_two_connections(void **state)
{
    (void)state;
    fibers_run(two_connections, NULL, OK);
}

/* wait_any tells the death once everything was told. */
static err death(void *arg)
{
    static const struct server_step dies[] = {{.what = SERVER_VANISH}, {0}};
    struct far f = {.server = {.script = the_answer, .arg = (void *)(uintptr_t)dies}};
    int status;
    (void)arg;
    far_open(&f, false);
    struct web_exchange *x = begin(f.web, &(struct web_call){.method = "GET", .path = "/"});
    err e = OK;
    for (unsigned i = 0; i < 20 && e == OK; i++)
        e = web_wait_any(f.web, SOON);
    CHECK(e == E_CLOSED && web_status_now(x, &status) == E_CLOSED && !web_usable(f.web) && web_room(f.web) == 0);
    CHECK(web_ping(f.web, SOON) == E_CLOSED);
    web_end(x);
    CHECK(web_open(f.web, &(struct web_call){.method = "GET", .path = "/"}, SOON, &x) == E_CLOSED);
    far_close(&f);
    return OK;
}

static void a_death_is_told_to_who_waits_for_any(void **state)
{
    (void)state;
    fibers_run(death, NULL, OK);
}

/* --- bounds, and fibers that are canceled --- */

static const struct server_step silent[] = {{0}};

static err full(void *arg)
{
    struct far f = {.server = {.script = the_answer, .arg = (void *)(uintptr_t)silent}};
    static struct web_exchange *x[H2_STREAMS_MAX];
    struct web_exchange *one_more = NULL;
    struct web_call get = {.method = "GET", .path = "/"};
    struct bell bell = {0};
    (void)arg;
    far_open(&f, false);
    for (unsigned i = 0; i < H2_STREAMS_MAX; i++)
        x[i] = begin(f.web, &get);
    CHECK(web_room(f.web) == 0 && web_usable(f.web));
    CHECK(web_open(f.web, &get, loop_now() + 10, &one_more) == E_TIMEOUT && !one_more);
    web_hang(f.web, &bell);
    web_end(x[7]);
    CHECK(bell_wait(&bell, SOON) == OK && web_room(f.web) == 1);
    x[7] = begin(f.web, &get);
    for (unsigned i = 0; i < H2_STREAMS_MAX; i++)
        web_end(x[i]);
    far_close(&f);
    return OK;
}

static void more_than_the_bound_waits(void **state)
{
    (void)state;
    fibers_run(full, NULL, OK);
}

static err read_for_ever(void *arg)
{
    struct far *f = arg;
    struct web_exchange *x = begin(f->web, &(struct web_call){.method = "GET", .path = "/"});
    char piece[4];
    size_t got;
    CHECK(web_read(x, piece, sizeof piece, FOREVER, &got) == E_CANCELED);
    web_end(x);
    return OK;
}

static err canceled(void *arg)
{
    static const struct h1_script slow[] = {{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0, false}, {0}};
    struct far far[] = {{.server = {.script = the_answer, .arg = (void *)(uintptr_t)silent}}, {.h1 = slow}};
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct far *f = &far[i];
        struct group g;
        far_open(f, false);
        group_open(&g, TASK_BOARD);
        CHECK(group_spawn(&g, "reads", read_for_ever, f) == OK);
        for (ms until = SOON; loop_now() < until && f->server.requests == 0 && f->heard_len == 0;)
            CHECK(fiber_sleep(loop_now() + 1) == OK);
        group_close(&g);
        CHECK(web_usable(f->web) == (i == 0));
        far_close(f);
    }
    return OK;
}

static void a_canceled_fiber_leaves_its_exchange(void **state)
{
    (void)state;
    fibers_run(canceled, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_hub64, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_good_and_bad),
        cmocka_unit_test(requests_over_http1),
        cmocka_unit_test(requests_over_http2),
        cmocka_unit_test(deadlines_end_waits_not_exchanges),
        cmocka_unit_test(one_fiber_hears_twenty_one_streams),
        cmocka_unit_test(a_window_of_its_own),
        cmocka_unit_test(a_bell_hung_late_rings),
        cmocka_unit_test(one_bell_for_two_connections),
        cmocka_unit_test(more_than_the_bound_waits),
        cmocka_unit_test(a_canceled_fiber_leaves_its_exchange),
        cmocka_unit_test(a_death_is_told_to_who_waits_for_any),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
