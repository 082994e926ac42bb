/* The HTTP server asked byte by byte over loopback: what it answers, and whether the connection lives on. Every case sends a last
 * request behind its own, which is answered only if the connection was kept. */
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "net/proto/http_server.h"

#include "tests/unit/check.h"
#include "tests/unit/http_routes.h"

#include <stdlib.h>

#define LAST                      "GET / HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"
#define GET(path)                 "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path, headers, body) "POST " path " HTTP/1.1\r\nHost: h\r\n" headers "\r\n" body

/* Small limits, so that they can be met. */
static const struct http_limits small = {.connections = 6,
                                         .requests_at_once = 3,
                                         .head_bytes = 1024,
                                         .body_bytes = 2000,
                                         .head_ms = 200,
                                         .body_idle_ms = 200,
                                         .idle_ms = 250,
                                         .write_ms = 1000,
                                         .requests_per_connection = 5};

/* Where connections have to stay while a test looks at them, also on a machine that is busy with other things. */
static struct http_limits limits_of(ms head_ms, ms idle_ms)
{
    struct http_limits l = small;
    l.head_ms = head_ms ? head_ms : l.head_ms;
    l.idle_ms = idle_ms ? idle_ms : l.idle_ms;
    return l;
}

static struct http_server *server;
static char reply[200000];
static size_t reply_len;

/* --- asking --- */

static err connect_to_server(struct stream **out)
{
    return tcp_connect(http_server_address(server), loop_now() + SECONDS(20), out);
}

/* Until the server ends its side. */
static err read_reply(struct stream *s)
{
    size_t got = 1;
    err e = OK;
    reply_len = 0;
    while (e == OK && got > 0 && reply_len < sizeof reply - 1) {
        e = stream_read(s, reply + reply_len, sizeof reply - 1 - reply_len, loop_now() + SECONDS(20), &got);
        reply_len += got;
    }
    reply[reply_len] = 0;
    return e;
}

/* "200 404": of all the answers in the reply. */
static void statuses(char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    for (const char *at = reply; (at = strstr(at, "HTTP/1.1 ")) != NULL; at += 9)
        text_addf(&t, "%s%.3s", t.len > 0 ? " " : "", at + 9);
}

#define ALONE (-1) /* without the last request */
#define ENDS  (-2) /* with it, and then our side ends */

struct ask_case {
    const char *name, *send;
    const char *wanted;        /* statuses of all answers, the last request's with them */
    const char *has, *has_not; /* NULL: not looked for */
    int how;                   /* ALONE, ENDS, or how often it is sent (0 is 1) */
};

static void ask_check(const struct ask_case *c)
{
    char got[256];
    struct stream *s = NULL;
    CHECK(connect_to_server(&s) == OK);
    if (!s)
        return;
    ms deadline = loop_now() + SECONDS(20);
    err e = OK;
    for (int i = 0; e == OK && i < (c->how > 0 ? c->how : 1); i++)
        e = stream_write(s, c->send, strlen(c->send), deadline);
    if (e == OK && c->how != ALONE) /* it may be refusing already */
        e = stream_write(s, LAST, sizeof LAST - 1, deadline);
    if (e == OK && c->how == ENDS)
        e = stream_end(s, deadline);
    CHECK(e == OK || e == E_RESET || e == E_CLOSED);
    CHECK(read_reply(s) == OK);
    statuses(got, sizeof got);
    bool good = strcmp(got, c->wanted) == 0 && (!c->has || strstr(reply, c->has)) && (!c->has_not || !strstr(reply, c->has_not));
    CHECK(good);
    if (!good)
        print_error("    %s: \"%s\", wanted \"%s\", in:\n%.600s\n", c->name, got, c->wanted, reply);
    stream_close(s);
}

static const struct ask_case asks[] = {
    {"one and the last", GET("/"), "200 200", "content-length: 6\r\n", NULL, 0},
    {"date and type, no server name", GET("/"), "200 200", "date: ", "server:", 0},
    {"three at once", GET("/") GET("/none") GET("/"), "200 404 200 200", "not here\n", NULL, 0},
    {"empty line before a request", "\r\n" GET("/"), "200 200", NULL, NULL, 0},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", "200", "connection: close\r\n", NULL, 0},
    {"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 200", "connection: keep-alive\r\n", NULL, 0},
    {"HTTP/1.0 has no chunks", "GET /big?bytes=10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200", "abcdefghij", "chunked", 0},
    {"asked to close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", "connection: close\r\n", NULL, 0},
    {"HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", "content-length: 6\r\n", "hello", 0},
    {"HEAD of a chunked one", "HEAD /big?bytes=99 HTTP/1.1\r\nHost: h\r\n\r\n", "200 200", "transfer-encoding: chunked\r\n",
     "abc", 0},
    {"204 has no length", GET("/204"), "204 200", NULL, "content-length: 0", 0},
    {"304 has no body", GET("/304"), "304 200", NULL, "content-length: 0", 0},
    {"headers of the handler, no forged ones", GET("/headers"), "200 200", "x-one: 1\r\nx-two: 2\r\n", "evil", 0},
    {"more than a buffer, with a length", GET("/sized?bytes=40000"), "200 200", "content-length: 40000\r\n", NULL, 0},
    {"more than a buffer, chunked", GET("/big?bytes=40000"), "200 200", "\r\nbb8\r\n", NULL, 0},
    {"six on a connection that has five", GET("/"), "200 200 200 200 200", "connection: close\r\n", NULL, 5},
    /* bodies in */
    {"length", POST("/count", "Content-Length: 5\r\n", "12345"), "200 200", "5 bytes\n", NULL, 0},
    {"length 0", POST("/count", "Content-Length: 0\r\n", ""), "200 200", "0 bytes\n", NULL, 0},
    {"no length is no body", POST("/count", "", ""), "200 200", "0 bytes\n", NULL, 0},
    {"chunked", POST("/count", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), "200 200", "5 bytes\n",
     NULL, 0},
    {"chunked with a trailer", POST("/count", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nx: y\r\n\r\n"), "200 200",
     "1 bytes\n", NULL, 0},
    {"echo of a length", POST("/echo", "Content-Length: 5\r\n", "12345"), "200 200", "content-length: 5\r\n\r\n12345", NULL, 0},
    {"echo of chunks", POST("/echo", "Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n"), "200 200",
     "\r\n\r\n5\r\n12345\r\n0\r\n\r\n", NULL, 0},
    {"body the handler leaves", POST("/", "Content-Length: 5\r\n", "12345"), "200 200", NULL, NULL, 0},
    {"bad chunks the handler leaves", POST("/", "Transfer-Encoding: chunked\r\n", "zz\r\n"), "200", NULL, NULL, 0},
    {"continue", POST("/count", "Content-Length: 5\r\nExpect: 100-continue\r\n", ""), "100 408", "100 Continue\r\n\r\nHTTP", NULL,
     ALONE},
    {"continue nobody waits for", POST("/count", "Content-Length: 5\r\nExpect: 100-continue\r\n", "12345"), "200 200", NULL,
     "Continue", 0},
    {"continue the handler does not want", POST("/", "Content-Length: 500\r\nExpect: 100-continue\r\n", ""), "200",
     "connection: close\r\n", "Continue", ALONE},
    {"take-over", "GET /take-over HTTP/1.1\r\nHost: h\r\n\r\nbeyond the head", "101", "\r\n\r\nbeyond the head" LAST, NULL, ENDS},
    /* handlers that fail */
    {"fails", GET("/fails"), "500", "connection: close\r\n", NULL, 0},
    {"fails with nothing sent", GET("/fails-before-sending"), "500", NULL, "chunked", 0},
    {"fails late: cut", GET("/fails-late"), "200", "half", "0\r\n\r\n", 0},
    {"answers nothing", GET("/nothing"), "500", NULL, NULL, 0},
    {"too little: cut", GET("/too-little"), "200", "half.", NULL, 0},
    {"too much: refused", GET("/too-much"), "500", NULL, "half", 0},
    /* limits */
    {"body too large by its length", POST("/count", "Content-Length: 2001\r\n", ""), "413", NULL, NULL, 0},
    {"body too large by its chunks", POST("/count", "Transfer-Encoding: chunked\r\n", "7d1\r\n"), "413", NULL, NULL, 0},
    {"target too long",
     "GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "414", NULL, NULL, 1 + 1024 / 200},
    {"unknown expectation", "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n", "417", NULL, NULL, 0},
    {"unknown method", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501", NULL, NULL, 0},
    {"no proxy", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "501", NULL, NULL, 0},
    {"no trace", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "501", NULL, NULL, 0},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505", NULL, NULL, 0},
    {"unknown coding", POST("/", "Transfer-Encoding: gzip, chunked\r\n", ""), "501", NULL, NULL, 0},
    /* what two readers may frame differently */
    {"both lengths", POST("/", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", NULL, NULL, 0},
    {"two lengths", POST("/", "Content-Length: 4\r\nContent-Length: 5\r\n", "abcde"), "400", NULL, NULL, 0},
    {"length with a sign", POST("/", "Content-Length: +4\r\n", "abcd"), "400", NULL, NULL, 0},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400", NULL, NULL, 0},
    {"obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nx: a\r\n b\r\n\r\n", "400", NULL, NULL, 0},
    {"bare LF", "GET / HTTP/1.1\nHost: h\n\n", "400", NULL, NULL, 0},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", "400", NULL, NULL, 0},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400", NULL, NULL, 0},
    {"chunk size with 0x", POST("/count", "Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"), "400", NULL, NULL, 0},
    {"chunk with a bare LF", POST("/count", "Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"), "400", NULL, NULL, 0},
    {"chunk too long for its size", POST("/count", "Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"), "400", NULL, NULL,
     0},
    {"not HTTP", "\x16\x03\x01\x02\x03\x01\xfc\x03\x03\r\n\r\n", "400", NULL, NULL, 0},
};

static struct http_server_options options_small(void)
{
    return (struct http_server_options){.name = "test",
                                        .task = TASK_METRICS,
                                        .at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}},
                                        .limits = small,
                                        .handle = route_handle};
}

struct outside {
    size_t heap, connections, buffers;
};

static struct outside outside_now(void)
{
    return (struct outside){mem_use(TASK_METRICS).used_bytes, sock_use(TASK_METRICS).used, buf_use(0).used + buf_use(1).used};
}

static err with_server(err (*body)(void *arg), void *arg, struct http_limits limits)
{
    struct outside before = outside_now();
    struct http_server_options o = options_small();
    o.limits = limits;
    CHECK(http_server_start(&o, &server) == OK);
    err e = body(arg);
    http_server_stop(server, loop_now() + SECONDS(2));
    server = NULL;
    struct outside after = outside_now();
    CHECK(after.heap == before.heap && after.connections == before.connections && after.buffers == before.buffers);
    return e;
}

static err ask_body(void *arg)
{
    ask_check(arg);
    return OK;
}

static err ask_run(void *arg)
{
    return with_server(ask_body, arg, small);
}

static void asked(void **state)
{
    fibers_run(ask_run, *state, OK);
}

/* --- time and room --- */

/* Bytes one by one: the time is for the whole head. */
static err slow_head(void *arg)
{
    static const char head[] = GET("/");
    struct stream *s = NULL;
    char got[64];
    ms began = loop_now();
    err e = OK;
    (void)arg;
    CHECK(connect_to_server(&s) == OK);
    size_t i = 0;
    for (; e == OK && i < sizeof head - 2; i++) {
        e = stream_write(s, head + i, 1, loop_now() + SECONDS(20));
        CHECK(fiber_sleep(loop_now() + 30) == OK);
        if (http_server_use(server).refused > 0)
            break;
    }
    CHECK(read_reply(s) == OK);
    statuses(got, sizeof got);
    CHECK(strcmp(got, "408") == 0);
    CHECK(i < sizeof head - 2); /* while bytes still came */
    CHECK(loop_now() - began >= small.head_ms);
    stream_close(s);
    return OK;
}

static err slow_body(void *arg)
{
    static const char head[] = POST("/count", "Content-Length: 9\r\n", "half");
    struct stream *s = NULL;
    char got[64];
    (void)arg;
    CHECK(connect_to_server(&s) == OK);
    CHECK(stream_write(s, head, sizeof head - 1, loop_now() + SECONDS(20)) == OK);
    CHECK(read_reply(s) == OK);
    statuses(got, sizeof got);
    CHECK(strcmp(got, "408") == 0);
    stream_close(s);
    return OK;
}

/* At rest: no fiber, no buffer; then closed by its time. */
static err rests(void *arg)
{
    struct stream *s[3] = {NULL};
    struct outside before = outside_now();
    unsigned fibers = fiber_use(TASK_METRICS).used;
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        char piece[512];
        size_t got = 0;
        CHECK(connect_to_server(&s[i]) == OK);
        CHECK(stream_write(s[i], GET("/"), sizeof GET("/") - 1, loop_now() + SECONDS(20)) == OK);
        CHECK(stream_read(s[i], piece, sizeof piece, loop_now() + SECONDS(20), &got) == OK && got > 0);
    }
    AWAIT(http_server_use(server).resting == 3);
    struct http_server_use use = http_server_use(server);
    CHECK(use.resting == 3 && use.connections == 3 && use.in_work == 0 && use.requests == 3);
    CHECK(outside_now().buffers == before.buffers && fiber_use(TASK_METRICS).used == fibers);
    print_message("  a plain connection at rest: %zu bytes of heap beside its record\n", (outside_now().heap - before.heap) / 3);
    CHECK(outside_now().heap - before.heap < 3 * 512);
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        CHECK(read_reply(s[i]) == OK && reply_len == 0);
        stream_close(s[i]);
    }
    AWAIT(http_server_use(server).connections == 0);
    return OK;
}

/* One more than there is room for is told so; when one goes, the next is served. */
static err crowded(void *arg)
{
    struct stream *s[7] = {NULL};
    char got[64];
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        CHECK(connect_to_server(&s[i]) == OK);
        AWAIT(i == 6 || http_server_use(server).connections == i + 1);
    }
    CHECK(read_reply(s[6]) == OK);
    statuses(got, sizeof got);
    CHECK(strcmp(got, "503") == 0);
    for (size_t i = 0; i < COUNT_OF(s); i++)
        stream_close(s[i]);
    AWAIT(http_server_use(server).connections == 0);
    CHECK(http_server_use(server).connections_peak == 6);
    ask_check(&(struct ask_case){.name = "after the crowd", .send = GET("/"), .wanted = "200 200"});
    return OK;
}

/* Six at once where three may be in work: all are answered. */
static err busy(void *arg)
{
    struct stream *s[6] = {NULL};
    ms began = loop_now();
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        CHECK(connect_to_server(&s[i]) == OK);
        CHECK(stream_write(s[i], GET("/slow"), sizeof GET("/slow") - 1, loop_now() + SECONDS(20)) == OK);
    }
    AWAIT(http_server_use(server).in_work == 3);
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        size_t got = 0;
        CHECK(stream_read(s[i], reply, 12, loop_now() + SECONDS(20), &got) == OK && memcmp(reply, "HTTP/1.1 200", 12) == 0);
        stream_close(s[i]);
    }
    CHECK(loop_now() - began >= 400); /* two rounds of /slow */
    return OK;
}

/* Stopped while one is in work: it is answered, and told that the connection ends. */
static err stop_run(void *arg)
{
    struct http_server_options o = options_small();
    struct stream *resting = NULL, *working = NULL;
    size_t got = 1;
    char piece[8];
    (void)arg;
    o.limits = limits_of(SECONDS(20), SECONDS(20));
    CHECK(http_server_start(&o, &server) == OK);
    CHECK(connect_to_server(&resting) == OK && connect_to_server(&working) == OK);
    CHECK(stream_write(working, GET("/slow"), sizeof GET("/slow") - 1, loop_now() + SECONDS(20)) == OK);
    AWAIT(http_server_use(server).in_work == 1 && http_server_use(server).connections == 2);
    http_server_stop(server, loop_now() + SECONDS(10));
    CHECK(stream_read(resting, piece, sizeof piece, loop_now() + SECONDS(20), &got) == OK && got == 0);
    CHECK(read_reply(working) == OK && strstr(reply, "connection: close\r\n") && strstr(reply, "hello"));
    stream_close(resting);
    stream_close(working);
    return OK;
}

/* The deadline of the stop comes first: it is cut, and nothing stays. */
static err stop_late_run(void *arg)
{
    struct http_server_options o = options_small();
    struct stream *s = NULL;
    struct outside before = outside_now();
    (void)arg;
    CHECK(http_server_start(&o, &server) == OK);
    CHECK(connect_to_server(&s) == OK);
    CHECK(stream_write(s, GET("/slow"), sizeof GET("/slow") - 1, loop_now() + SECONDS(20)) == OK);
    AWAIT(http_server_use(server).in_work == 1);
    http_server_stop(server, loop_now() + 20);
    (void)read_reply(s);
    CHECK(reply_len == 0); /* cut before it was answered */
    stream_close(s);
    CHECK(outside_now().heap == before.heap && outside_now().buffers == before.buffers);
    return OK;
}

static void stops(void **state)
{
    (void)state;
    fibers_run(stop_run, NULL, OK);
    fibers_run(stop_late_run, NULL, OK);
}

struct timed {
    const char *name;
    err (*body)(void *arg);
    ms head_ms, idle_ms; /* 0: as `small` has it */
};

static err all_run(void *arg)
{
    const struct timed *t = arg;
    return with_server(t->body, NULL, limits_of(t->head_ms, t->idle_ms));
}

static void in_time_and_room(void **state)
{
    fibers_run(all_run, *state, OK);
}

static err counted_body(void *arg)
{
    (void)arg;
    double good = metric_value("holdfast_http_requests_total", (const char *const[]){"test", "2xx"});
    double refused = metric_value("holdfast_http_refused_total", (const char *const[]){"test", "method"});
    ask_check(&(struct ask_case){.name = "good", .send = GET("/"), .wanted = "200 200"});
    ask_check(&(struct ask_case){.name = "refused", .send = "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", .wanted = "501"});
    CHECK(metric_value("holdfast_http_requests_total", (const char *const[]){"test", "2xx"}) == good + 2);
    CHECK(!(metric_value("holdfast_http_refused_total", (const char *const[]){"test", "method"}) <= refused));
    AWAIT(metric_value("holdfast_http_connections", (const char *const[]){"test"}) <= 0);
    return OK;
}

static int boot(void **state)
{
    (void)state;
    static struct profile p;
    p = profile_hub32;
    p.task[TASK_BOARD].connections = 16;
    return mem_boot(&p, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    static const struct timed bodies[] = {
        {"slow head", slow_head, 0, 0},           {"slow body", slow_body, 0, 0},
        {"rests", rests, SECONDS(20), 1500},      {"crowded", crowded, SECONDS(20), SECONDS(20)},
        {"busy", busy, SECONDS(20), SECONDS(20)}, {"counted", counted_body, 0, 0},
    };
    static struct CMUnitTest tests[1 + COUNT_OF(bodies) + COUNT_OF(asks)] = {cmocka_unit_test(stops)};
    size_t n = 1;
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        tests[n++] = (struct CMUnitTest){
            .name = bodies[i].name, .test_func = in_time_and_room, .initial_state = (void *)(uintptr_t)&bodies[i]};
    for (size_t i = 0; i < COUNT_OF(asks); i++)
        tests[n++] = (struct CMUnitTest){.name = asks[i].name, .test_func = asked, .initial_state = (void *)(uintptr_t)&asks[i]};
    return cmocka_run_group_tests_name("http_server", tests, boot, NULL);
}
