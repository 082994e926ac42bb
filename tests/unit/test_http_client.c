/* The HTTP client against scripted answers, good and bad, and against our own server. */
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/proto/http_client.h"

#include "tests/unit/check.h"
#include "tests/unit/http_routes.h"

#include <stdlib.h>

#define AGAIN "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain"
#define LEN5  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static char request[8192]; /* what the scripted server read */
static struct sock listener;
static struct addr at;

/* --- a server that reads one request's head and `body` bytes more, answers, and once more if the connection is used again --- */

struct script {
    const char *answer;
    size_t body;       /* bytes to read behind the head before answering; SIZE_MAX: until a last chunk */
    const char *first; /* sent before the body is read */
    bool stays;        /* open, until the client goes */
};

static bool request_is_whole(size_t len, const struct script *s)
{
    const char *end = memmem(request, len, "\r\n\r\n", 4);
    if (!end)
        return false;
    size_t behind = len - (size_t)(end + 4 - request);
    return s->body == SIZE_MAX ? memmem(end, len - (size_t)(end - request), "0\r\n\r\n", 5) != NULL : behind >= s->body;
}

static err request_read(struct stream *t, const struct script *s)
{
    size_t len = 0, got = 0;
    bool told = s->first == NULL;
    while (!request_is_whole(len, s)) {
        TRY(stream_read(t, request + len, sizeof request - 1 - len, loop_now() + SECONDS(60), &got));
        if (got == 0)
            return E_CLOSED;
        len += got;
        request[len] = 0;
        if (!told && strstr(request, "\r\n\r\n")) {
            TRY(stream_write(t, s->first, strlen(s->first), loop_now() + SECONDS(60)));
            told = true;
        }
    }
    return OK;
}

static err script_run(void *arg)
{
    const struct script *s = arg;
    struct stream *t = NULL;
    struct addr peer;
    struct script again = {.answer = AGAIN};
    TRY(tcp_accept(&listener, FOREVER, &t, &peer));
    err e = request_read(t, s);
    if (e == OK)
        e = stream_write(t, s->answer, strlen(s->answer), loop_now() + SECONDS(60));
    if (e == OK && s->stays && (e = request_read(t, &again)) == OK)
        e = stream_write(t, AGAIN, sizeof AGAIN - 1, loop_now() + SECONDS(60));
    stream_close(t);
    return e == E_CLOSED || e == E_RESET ? OK : e;
}

/* --- answers --- */

static const struct answer_case {
    const char *name, *method, *answer;
    err head, body; /* wanted of each */
    unsigned status;
    const char *text;
    bool reusable;
} answers[] = {
    {"length", "GET", LEN5, OK, OK, 200, "hello", true},
    {"length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", OK, OK, 200, "", true},
    {"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nx: y\r\n\r\n", OK,
     OK, 200, "hello", true},
    {"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", OK, OK, 200, "hello", false},
    {"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", OK, OK, 200, "hello", false},
    {"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", OK, OK, 200, "hello",
     true},
    {"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", OK, OK, 200, "hello", false},
    {"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", OK, OK, 200, "", true},
    {"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", OK, OK, 204, "", true},
    {"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", OK, OK, 304, "", true},
    {"interim ones", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" LEN5, OK, OK, 200, "hello",
     true},
    {"404", "GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!", OK, OK, 404, "no!", true},
    {"no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", OK, OK, 200, "hello", true},
    {"bytes nobody asked for", "GET", LEN5 "HTTP/1.1 200 OK\r\n", OK, OK, 200, "hello", false},
    {"cut in the head", "GET", "HTTP/1.1 200 OK\r\nContent-Le", E_CLOSED, OK, 0, "", false},
    {"nothing", "GET", "", E_CLOSED, OK, 0, "", false},
    {"cut in the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", OK, E_CLOSED, 200, "hello", false},
    {"cut in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello", OK, E_CLOSED, 200, "hello",
     false},
    {"no last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", OK, E_CLOSED, 200, "hello",
     false},
    {"bad chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", OK, E_PROTOCOL, 200, "hello", false},
    {"both lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", E_PROTOCOL, OK, 0,
     "", false},
    {"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", E_PROTOCOL, OK, 0, "",
     false},
    {"not HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n\r\n", E_PROTOCOL, OK, 0, "", false},
    {"obs-fold", "GET", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", E_PROTOCOL, OK, 0, "", false},
    {"100 for ever", "GET",
     "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 "
     "C\r\n\r\n"
     "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 "
     "C\r\n\r\n"
     "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n" LEN5,
     E_PROTOCOL, OK, 0, "", false},
};

static err body_read(struct http_connection *c, char *out, size_t cap, size_t step)
{
    size_t len = 0, got = 1;
    err e = OK;
    while (e == OK && got > 0 && len + 1 < cap) {
        e = http_receive_body(c, out + len, size_min(step, cap - 1 - len), loop_now() + SECONDS(60), &got);
        len += got;
    }
    out[len] = 0;
    return e;
}

/* The answer, its body, and a second request where the connection allows it. */
static void answer_check(const struct answer_case *t, struct http_connection *c)
{
    char text[64];
    const struct http1_head *head = NULL;
    CHECK(http_send(c, &(struct http_call){.method = t->method, .path = "/x?y=1"}, loop_now() + SECONDS(60)) == OK);
    CHECK(http_receive_head(c, loop_now() + SECONDS(60), &head) == t->head);
    if (t->head == OK && head) {
        CHECK(head->status == t->status);
        CHECK(body_read(c, text, sizeof text, 3) == t->body);
        CHECK(strcmp(text, t->text) == 0);
    }
    CHECK(http_reusable(c) == t->reusable);
    CHECK(strstr(request, " /x?y=1 HTTP/1.1\r\nhost: peer:81\r\n"));
    if (!t->reusable) {
        CHECK(http_send(c, &(struct http_call){.method = "GET", .path = "/"}, loop_now() + SECONDS(60)) == E_INVALID);
        return;
    }
    CHECK(http_send(c, &(struct http_call){.method = "GET", .path = "/"}, loop_now() + SECONDS(60)) == OK);
    CHECK(http_receive_head(c, loop_now() + SECONDS(60), &head) == OK);
    CHECK(body_read(c, text, sizeof text, sizeof text) == OK && strcmp(text, "again") == 0);
}

static err with_script(struct script *s, void (*body)(const void *t, struct http_connection *c), const void *t)
{
    struct group g;
    struct stream *stream = NULL;
    struct http_connection *c = NULL;
    size_t heap = mem_use(TASK_BOARD).used_bytes;
    group_open(&g, TASK_METRICS);
    CHECK(sock_listen(&listener, &(struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, &at) == OK);
    CHECK(group_spawn(&g, "script", script_run, s) == OK);
    CHECK(tcp_connect(&at, loop_now() + SECONDS(60), &stream) == OK);
    CHECK(http_over(stream, "peer:81", &c) == OK);
    unsigned before = checks_failed;
    body(t, c);
    if (checks_failed > before)
        print_error("    in %s; the request was:\n%s\n", *(const char *const *)t, request);
    http_disconnect(c);
    CHECK(group_join(&g, loop_now() + SECONDS(60)) == OK);
    group_close(&g);
    sock_close(&listener);
    CHECK(mem_use(TASK_BOARD).used_bytes == heap && buf_use(1).used == 0);
    return OK;
}

static void answer_body(const void *t, struct http_connection *c)
{
    answer_check(t, c);
}

static err answer_run(void *arg)
{
    const struct answer_case *t = arg;
    struct script s = {.answer = t->answer, .stays = t->reusable};
    return with_script(&s, answer_body, t);
}

static void answered(void **state)
{
    fibers_run(answer_run, *state, OK);
}

/* --- requests --- */

static const struct send_case {
    const char *name, *method;
    int64_t body_bytes;
    bool expect;
    const char *send[3]; /* pieces */
    const char *has, *has_not;
    size_t body;
    const char *first; /* what the server says before it reads the body */
    const char *answer;
    err wanted; /* of the last http_send_body() */
    unsigned status;
} sends[] = {
    {"GET has no length", "GET", 0, false, {NULL}, "GET / HTTP/1.1\r\n", "content-length", 0, NULL, LEN5, OK, 200},
    {"POST of nothing has one", "POST", 0, false, {NULL}, "content-length: 0\r\n", NULL, 0, NULL, LEN5, OK, 200},
    {"PUT with a length",
     "PUT",
     6,
     false,
     {"abc", "def"},
     "content-length: 6\r\nx-a: b\r\n\r\nabcdef",
     NULL,
     6,
     NULL,
     LEN5,
     OK,
     200},
    {"PUT in chunks",
     "PUT",
     -1,
     false,
     {"abc", "defg"},
     "transfer-encoding: chunked\r\nx-a: b\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
     "content-length",
     SIZE_MAX,
     NULL,
     LEN5,
     OK,
     200},
    {"continue", "PUT", 3, true, {"abc"}, "expect: 100-continue\r\n", NULL, 3, "HTTP/1.1 100 Continue\r\n\r\n", LEN5, OK, 200},
    {"continue, in chunks",
     "PUT",
     -1,
     true,
     {"abc"},
     "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     NULL,
     SIZE_MAX,
     "HTTP/1.1 100 Continue\r\n\r\n",
     LEN5,
     OK,
     200},
    {"the body is not wanted",
     "PUT",
     3,
     true,
     {"abc"},
     "expect: 100-continue\r\n",
     "abc",
     3,
     "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello",
     "",
     E_CLOSED,
     403},
};

static err pieces_send(const struct send_case *t, struct http_connection *c)
{
    err e = OK;
    for (size_t i = 0; e == OK && i < COUNT_OF(t->send) && t->send[i]; i++)
        e = http_send_body(c, t->send[i], strlen(t->send[i]), loop_now() + SECONDS(60));
    return e == OK && t->body_bytes < 0 ? http_send_body(c, NULL, 0, loop_now() + SECONDS(60)) : e;
}

static void send_body(const void *arg, struct http_connection *c)
{
    const struct send_case *t = arg;
    const struct http1_head *head = NULL;
    const struct http_header header = {"x-a", "b"};
    char text[64];
    CHECK(http_send(c,
                    &(struct http_call){.method = t->method,
                                        .path = "/",
                                        .headers = &header,
                                        .header_count = 1,
                                        .body_bytes = t->body_bytes,
                                        .expect_continue = t->expect},
                    loop_now() + SECONDS(60)) == OK);
    CHECK(pieces_send(t, c) == t->wanted);
    CHECK(http_receive_head(c, loop_now() + SECONDS(60), &head) == OK && head && head->status == t->status);
    CHECK(body_read(c, text, sizeof text, 64) == OK && strcmp(text, "hello") == 0);
    CHECK(strstr(request, t->has) && (!t->has_not || !strstr(request, t->has_not)));
    CHECK(http_reusable(c) == (t->wanted == OK));
    CHECK(http_continued(c) == (t->expect && t->first && strstr(t->first, "HTTP/1.1 100") != NULL));
}

static err send_run(void *arg)
{
    const struct send_case *t = arg;
    struct script s = {.answer = t->answer, .body = t->body, .first = t->first};
    return with_script(&s, send_body, t);
}

static void sent(void **state)
{
    fibers_run(send_run, *state, OK);
}

/* --- what a caller may not ask for --- */

static const struct wrong_case {
    const char *name, *method, *path, *header, *value;
} wrongs[] = {{"method", "BREW", "/", NULL, NULL},
              {"lower-case method", "get", "/", NULL, NULL},
              {"blank in the path", "GET", "/a b", NULL, NULL},
              {"line end in the path", "GET", "/a\r\nx: y", NULL, NULL},
              {"empty path", "GET", "", NULL, NULL},
              {"line end in a value", "GET", "/", "x", "a\r\ny: z"},
              {"blank in a name", "GET", "/", "x y", "a"},
              {"a second host", "GET", "/", "Host", "evil"},
              {"a length of its own", "GET", "/", "content-length", "5"}};

static void wrong_body(const void *arg, struct http_connection *c)
{
    const struct wrong_case *t = arg;
    const struct http_header header = {t->header, t->value};
    const struct http_call call = {.method = t->method, .path = t->path, .headers = &header, .header_count = t->header ? 1 : 0};
    char byte;
    size_t got;
    const struct http1_head *head;
    CHECK(http_receive_head(c, loop_now() + 10, &head) == E_INVALID);
    CHECK(http_receive_body(c, &byte, 1, loop_now() + 10, &got) == E_INVALID);
    CHECK(http_send_body(c, "x", 1, loop_now() + 10) == E_INVALID);
    CHECK(http_send(c, &call, loop_now() + SECONDS(60)) == E_INVALID);
    CHECK(http_reusable(c)); /* nothing went out */
}

static err wrong_run(void *arg)
{
    struct script s = {.answer = ""};
    return with_script(&s, wrong_body, arg);
}

static void refused(void **state)
{
    fibers_run(wrong_run, *state, OK);
}

/* --- with our own server --- */

static err fetch(struct http_connection *c, const char *path, size_t wanted)
{
    static char text[70000];
    const struct http1_head *head = NULL;
    TRY(http_send(c, &(struct http_call){.method = "GET", .path = path}, loop_now() + SECONDS(60)));
    TRY(http_receive_head(c, loop_now() + SECONDS(60), &head));
    CHECK(head->status == 200);
    TRY(body_read(c, text, sizeof text, 5000));
    CHECK(strlen(text) == wanted);
    for (size_t i = 0; i < wanted; i++)
        if ((uint8_t)text[i] != route_pattern(i))
            return E_CORRUPT;
    return OK;
}

static err own_run(void *arg)
{
    struct http_server *server = NULL;
    struct dns *d = NULL;
    struct http_connection *c = NULL;
    struct url u = {.host = "localhost"};
    (void)arg;
    struct http_server_options o = {
        .name = "own", .task = TASK_METRICS, .at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, .handle = route_handle};
    CHECK(http_server_start(&o, &server) == OK);
    CHECK(dns_open(&d) == OK);
    u.port = http_server_address(server)->port;
    CHECK(http_connect(d, &u, NULL, loop_now() + SECONDS(60), &c) == OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(fetch(c, "/big?bytes=60000", 60000) == OK);
        CHECK(fetch(c, "/sized?bytes=60000", 60000) == OK);
    }
    CHECK(http_server_use(server).connections == 1 && http_server_use(server).requests == 6);
    http_disconnect(c);
    u.tls = true;
    CHECK(http_connect(d, &u, NULL, loop_now() + SECONDS(60), &c) == E_INVALID);
    dns_close(d);
    http_server_stop(server, loop_now() + SECONDS(60));
    return OK;
}

static void our_own_server(void **state)
{
    (void)state;
    fibers_run(own_run, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    static struct profile p;
    p = profile_hub32;
    p.task[TASK_BOARD].connections = 16;
    return mem_boot(&p, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

#define ADD(table, function)                                                                                                     \
    for (size_t i = 0; i < COUNT_OF(table); i++)                                                                                 \
        tests[n++] = (struct CMUnitTest)                                                                                         \
        {                                                                                                                        \
            .name = (table)[i].name, .test_func = (function), .initial_state = (void *)(uintptr_t) & (table)[i]                  \
        }

int main(void)
{
    static struct CMUnitTest tests[1 + COUNT_OF(answers) + COUNT_OF(sends) + COUNT_OF(wrongs)] = {
        cmocka_unit_test(our_own_server)};
    size_t n = 1;
    ADD(answers, answered);
    ADD(sends, sent);
    ADD(wrongs, refused);
    return cmocka_run_group_tests_name("http_client", tests, boot, NULL);
}
