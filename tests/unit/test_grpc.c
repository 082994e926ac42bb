/* gRPC calls against a scripted server: every way an answer can end, each with its own error and words. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "net/proto/grpc.h"
#include "tests/support/wired.h"

#include <string.h>

#define SOON    (loop_now() + SECONDS(60)) /* an emulated machine under load is slow */
#define METHOD  "/test.Service/Method"
#define RECEIVE 4096
#define BYTES(text)                                                                                                              \
    {                                                                                                                            \
        (const uint8_t *)(text), sizeof(text) - 1                                                                                \
    }

static const struct server_step *script_given(void *arg, const struct server_request *r)
{
    (void)r;
    return arg;
}

static size_t make_sized(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap)
{
    size_t len = (size_t)index * 97 % 2000;
    (void)arg, (void)r, (void)cap;
    memset(out, (int)index, len);
    return len;
}

/* --- one call, one outcome --- */

struct outcome {
    const char *name;
    struct server_step steps[8];
    const char *words; /* in the trail; NULL: any */
    err error;
    int status;        /* of grpc_status(); -1: not told */
    unsigned messages; /* before the end */
};

#define OPENED                                                                                                                   \
    {                                                                                                                            \
        .what = SERVER_HEADERS                                                                                                   \
    }
#define ONE                                                                                                                      \
    {                                                                                                                            \
        .what = SERVER_MESSAGES, .bytes = BYTES("hello")                                                                         \
    }
#define STATUS(n, message)                                                                                                       \
    {                                                                                                                            \
        .what = SERVER_TRAILERS, .count = (n), .text = (message)                                                                 \
    }
#define RAW(text)                                                                                                                \
    {                                                                                                                            \
        .what = SERVER_RAW, .bytes = BYTES(text)                                                                                 \
    }

static const struct outcome outcomes[] = {
    {"one answer", {OPENED, ONE, STATUS(0, NULL)}, NULL, OK, 0, 1},
    {"an empty message", {OPENED, RAW("\0\0\0\0\0"), STATUS(0, NULL)}, NULL, OK, 0, 1},
    {"many", {OPENED, {.what = SERVER_MESSAGES, .count = 300}, STATUS(0, NULL)}, NULL, OK, 0, 300},
    {"none", {OPENED, STATUS(0, NULL)}, NULL, OK, 0, 0},
    {"an early hint", {{.what = SERVER_INFORM}, OPENED, ONE, STATUS(0, NULL)}, NULL, OK, 0, 1},
    {"a ping between", {OPENED, ONE, {.what = SERVER_PING}, ONE, STATUS(0, NULL)}, NULL, OK, 0, 2},
    {"settings between", {OPENED, ONE, {.what = SERVER_SETTINGS, .count = 1}, ONE, STATUS(0, NULL)}, NULL, OK, 0, 2},
    {"trailers only", {STATUS(12, "no such method")}, "gRPC UNIMPLEMENTED: no such method", E_UNSUPPORTED, 12, 0},
    {"trailers only, good", {STATUS(0, NULL)}, NULL, OK, 0, 0},
    {"after a message", {OPENED, ONE, STATUS(13, "oops")}, "gRPC INTERNAL: oops", E_REMOTE, 13, 1},
    {"percent-encoded", {STATUS(9, "etcd%20is%3A%zz%4")}, "gRPC FAILED_PRECONDITION: etcd is:%zz%4", E_REMOTE, 9, 0},
    {"control bytes", {STATUS(9, "a%0Ab%00c")}, "FAILED_PRECONDITION: a b c", E_REMOTE, 9, 0},
    {"canceled by them", {STATUS(1, "x")}, "gRPC CANCELLED", E_REMOTE, 1, 0},
    {"their deadline", {STATUS(4, "x")}, "DEADLINE_EXCEEDED", E_TIMEOUT, 4, 0},
    {"absent", {STATUS(5, "x")}, "NOT_FOUND", E_ABSENT, 5, 0},
    {"denied", {STATUS(7, "x")}, "PERMISSION_DENIED", E_DENIED, 7, 0},
    {"exhausted", {STATUS(8, "x")}, "RESOURCE_EXHAUSTED", E_FULL, 8, 0},
    {"unavailable", {STATUS(14, "x")}, "UNAVAILABLE", E_UNREACHABLE, 14, 0},
    {"who are you", {STATUS(16, "x")}, "UNAUTHENTICATED", E_DENIED, 16, 0},
    {"a status of tomorrow", {STATUS(77, "x")}, "gRPC UNKNOWN", E_REMOTE, 2, 0},
    {"no status", {OPENED, ONE, {.what = SERVER_BARE_END}}, "without grpc-status", E_PROTOCOL, -1, 1},
    {"cut in a prefix", {OPENED, RAW("\0\0\0"), STATUS(0, NULL)}, "within a message", E_PROTOCOL, -1, 0},
    {"cut in a message", {OPENED, RAW("\0\0\0\0\7hell"), STATUS(0, NULL)}, "within a message", E_PROTOCOL, -1, 0},
    {"compressed", {OPENED, RAW("\1\0\0\0\1x"), STATUS(0, NULL)}, "compressed", E_PROTOCOL, -1, 0},
    {"a wrong flag", {OPENED, RAW("\2\0\0\0\1x"), STATUS(0, NULL)}, "not a gRPC message", E_PROTOCOL, -1, 0},
    {"too large", {OPENED, RAW("\0\0\0\x10\1x")}, "4097 bytes, more than 4096", E_RANGE, -1, 0},
    {"far too large", {OPENED, RAW("\0\377\377\377\377x")}, "4294967295 bytes", E_RANGE, -1, 0},
    {"reset", {OPENED, ONE, {.what = SERVER_RST, .count = 2}}, "INTERNAL_ERROR", E_RESET, -1, 1},
    {"reset at once", {{.what = SERVER_RST, .count = 8}}, "CANCEL", E_RESET, -1, 0},
    {"refused", {{.what = SERVER_RST, .count = 7}}, "REFUSED_STREAM", E_BUSY, -1, 0},
    {"reset without an error", {OPENED, {.what = SERVER_RST, .count = 0}}, NULL, E_CLOSED, -1, 0},
    {"goes away, answers", {{.what = SERVER_GOAWAY}, OPENED, ONE, STATUS(0, NULL)}, NULL, OK, 0, 1},
    {"goes away before it", {{.what = SERVER_GOAWAY, .count = 1}}, NULL, E_BUSY, -1, 0},
    {"vanishes", {OPENED, ONE, {.what = SERVER_WAIT, .count = 5}, {.what = SERVER_VANISH}}, "ended by", E_CLOSED, -1, 1},
    {"a web page", {{.what = SERVER_HEADERS, .text = "text/html"}, RAW("<html>")}, "HTTP 200", E_PROTOCOL, -1, 0},
    {"a proxy's 403", {{.what = SERVER_HEADERS, .count = 403}}, "HTTP 403", E_DENIED, -1, 0},
    {"a proxy's 503", {{.what = SERVER_HEADERS, .count = 503}}, "HTTP 503", E_UNREACHABLE, -1, 0},
    {"wide headers", {{.what = SERVER_WIDE, .count = 9000}}, "too large", E_RANGE, -1, 0},
    {"junk", {OPENED, {.what = SERVER_SPLICE, .bytes = BYTES("\0\0\1\0\0\0\0\0\0x")}}, "", E_PROTOCOL, -1, 0},
};

static err all_messages(struct grpc_call *c, unsigned *messages)
{
    uint8_t into[RECEIVE];
    size_t len = 0;
    bool more = true;
    for (*messages = 0; more; *messages += more)
        TRY(grpc_receive(c, into, sizeof into, SOON, &len, &more));
    return OK;
}

static void outcome_run(const struct outcome *o, size_t frame_bytes_max, size_t piece_max)
{
    struct wired w = {
        .server = {
            .script = script_given, .make = make_sized, .arg = (void *)(uintptr_t)o->steps, .frame_bytes_max = frame_bytes_max}};
    struct grpc_call *c = NULL;
    unsigned messages = 0;
    char words[512];
    trail_clear();
    CHECK(wired_open(&w, 8192, 65536) == OK);
    w.pipe.piece_max = piece_max;
    err e = grpc_start(w.h2, METHOD, NULL, 0, (struct bytes)BYTES("ask"), SOON, &c);
    if (e == OK)
        e = all_messages(c, &messages);
    trail_text(e, words, sizeof words);
    if (e != o->error || messages != o->messages || (o->words && !strstr(words, o->words)) ||
        (c && grpc_status(c, NULL) != o->status)) {
        print_error("%s: %s after %u messages, status %d: %s\n", o->name, err_name(e), messages, c ? grpc_status(c, NULL) : -9,
                    words);
        checks_failed++;
    }
    uint8_t into[8];
    size_t len = 1;
    bool more = true;
    if (c && e != OK) /* a call that is over stays over, with the same error */
        CHECK(grpc_receive(c, into, sizeof into, SOON, &len, &more) == e && !more && len == 0);
    grpc_end(c);
    wired_close(&w);
}

static err each_outcome(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        size_t board = mem_use(TASK_BOARD).used_bytes, server = mem_use(TASK_METRICS).used_bytes;
        outcome_run(&outcomes[i], 0, 0);
        outcome_run(&outcomes[i], 1, 0);
        outcome_run(&outcomes[i], 7, 1);
        CHECK(mem_use(TASK_BOARD).used_bytes == board && mem_use(TASK_METRICS).used_bytes == server);
        CHECK(fiber_use(TASK_BOARD).used == 1 && fiber_use(TASK_METRICS).used == 0);
    }
    return OK;
}

static void every_way_to_end(void **state)
{
    (void)state;
    fibers_run(each_outcome, NULL, OK);
}

/* --- what the server is sent --- */

static struct server_request seen;

static const struct server_step *script_seen(void *arg, const struct server_request *r)
{
    seen = *r;
    return arg;
}

static const struct server_step good[] = {OPENED, ONE, STATUS(0, NULL), {0}};
static const struct server_step two[] = {OPENED, ONE, ONE, STATUS(0, NULL), {0}};
static const struct server_step none[] = {OPENED, STATUS(0, NULL), {0}};
static const struct server_step silent[] = {OPENED, ONE, {0}};
static const struct server_step late[] = {OPENED, ONE, {.what = SERVER_HOLD}, ONE, STATUS(0, NULL), {0}};
static const struct server_step half[] = {OPENED, RAW("\0\0\0\0\12half"), {0}};

static err requests(void *arg)
{
    struct wired w = {.server = {.script = script_seen, .arg = (void *)(uintptr_t)good}};
    uint8_t into[64], large[1000];
    size_t len = 0;
    (void)arg;
    memset(large, 'q', sizeof large);
    CHECK(wired_open(&w, 8192, 65536) == OK);
    CHECK(grpc_unary(w.h2, METHOD, NULL, 0, (struct bytes)BYTES("ask"), into, sizeof into, loop_now() + SECONDS(60), &len) == OK);
    CHECK(len == 5 && memcmp(into, "hello", 5) == 0);
    CHECK(strcmp(seen.path, METHOD) == 0 && strcmp(seen.timeout, "60000m") == 0 && strcmp(seen.te, "trailers") == 0);
    CHECK(strcmp(seen.content_type, "application/grpc") == 0 && strcmp(seen.authority, "etcd.test:2379") == 0);
    CHECK(seen.len == 8 && memcmp(seen.body, "\0\0\0\0\3ask", 8) == 0);
    CHECK(grpc_unary(w.h2, METHOD, NULL, 0, (struct bytes){0}, into, sizeof into, FOREVER, &len) == OK);
    CHECK(seen.timeout[0] == 0 && seen.len == 5 && memcmp(seen.body, "\0\0\0\0\0", 5) == 0);
    const ms days = HOURS(24 * 30);
    CHECK(grpc_unary(w.h2, METHOD, NULL, 0, (struct bytes){large, sizeof large}, into, sizeof into, loop_now() + days, &len) ==
          OK);
    CHECK(strcmp(seen.timeout, "2592000S") == 0 && seen.len == 1005);
    CHECK(w.server.requests == 3 && w.server.connections == 1 && w.server.resets == 0);
    wired_close(&w);
    CHECK(w.server.goaways == 1 && w.server.goaway_code == 0);
    return OK;
}

static void what_is_sent(void **state)
{
    (void)state;
    fibers_run(requests, NULL, OK);
}

static err unary(const struct server_step *steps, ms deadline, size_t *len)
{
    struct wired w = {.server = {.script = script_given, .arg = (void *)(uintptr_t)steps}};
    uint8_t into[64];
    trail_clear();
    CHECK(wired_open(&w, 8192, 65536) == OK);
    err e = grpc_unary(w.h2, METHOD, NULL, 0, (struct bytes){0}, into, sizeof into, deadline, len);
    wired_close(&w);
    return e;
}

static err unaries(void *arg)
{
    size_t len = 0;
    (void)arg;
    CHECK(unary(good, SOON, &len) == OK && len == 5);
    CHECK(unary(two, SOON, &len) == E_PROTOCOL);
    CHECK(unary(none, SOON, &len) == E_PROTOCOL);
    ms began = loop_now();
    CHECK(unary(silent, began + 60, &len) == E_TIMEOUT);
    CHECK(loop_now() >= began + 60 && loop_now() < began + 1000);
    return OK;
}

static void one_request_one_answer(void **state)
{
    (void)state;
    fibers_run(unaries, NULL, OK);
}

/* Between messages one may wait again; within one, what came is lost and the call says so. */
static err waits(void *arg)
{
    uint8_t into[64];
    size_t len = 0;
    bool more = false;
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct wired w = {.server = {.script = script_given, .arg = (void *)(uintptr_t)(i ? half : late)}};
        struct grpc_call *c = NULL;
        CHECK(wired_open(&w, 8192, 65536) == OK);
        CHECK(grpc_start(w.h2, METHOD, NULL, 0, (struct bytes){0}, SOON, &c) == OK);
        if (i == 0)
            CHECK(grpc_receive(c, into, sizeof into, SOON, &len, &more) == OK && more);
        CHECK(grpc_receive(c, into, sizeof into, loop_now() + 10, &len, &more) == E_TIMEOUT && !more && len == 0);
        w.server.go_on = true;
        err e = grpc_receive(c, into, sizeof into, SOON, &len, &more);
        CHECK(i == 0 ? e == OK && more && len == 5 : e == E_TIMEOUT);
        grpc_end(c);
        wired_close(&w);
        CHECK(w.server.resets == i && w.server.reset_code == 8 * i); /* CANCEL; nothing to cancel in what has ended */
    }
    return OK;
}

static void a_timeout_loses_no_message(void **state)
{
    (void)state;
    fibers_run(waits, NULL, OK);
}

/* A connection that goes away gives an error, not a call without a stream. */
static err start_on_dead(void *arg)
{
    static const struct server_step steps[] = {{.what = SERVER_VANISH}, {0}},
                                    away[] = {{.what = SERVER_GOAWAY}, OPENED, ONE, {0}};
    uint8_t into[64];
    size_t len = 0;
    bool more = false;
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct wired w = {.server = {.script = script_given, .arg = (void *)(uintptr_t)(i ? away : steps)}};
        struct grpc_call *c = NULL, *second = NULL;
        CHECK(wired_open(&w, 8192, 65536) == OK);
        CHECK(grpc_start(w.h2, METHOD, NULL, 0, (struct bytes){0}, SOON, &c) == OK);
        CHECK(grpc_receive(c, into, sizeof into, SOON, &len, &more) == (i ? OK : E_CLOSED));
        CHECK(!h2_usable(w.h2));
        CHECK(grpc_start(w.h2, METHOD, NULL, 0, (struct bytes){0}, SOON, &second) == E_CLOSED && second == NULL);
        grpc_end(c);
        wired_close(&w);
    }
    return OK;
}

static void no_call_on_what_is_gone(void **state)
{
    (void)state;
    fibers_run(start_on_dead, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_end),        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(one_request_one_answer),  cmocka_unit_test(a_timeout_loses_no_message),
        cmocka_unit_test(no_call_on_what_is_gone),
    };
    return cmocka_run_group_tests(tests, boot, NULL);
}
