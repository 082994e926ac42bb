/* The control socket: what commands are told by a hub that works, fails, dies and babbles; and the lock. */
#include "board/control.h"
#include "board/rt/buf.h"
#include "board/rt/file.h"
#include "board/rt/mem.h"
#include "net/format/crypto.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static char data[OS_PATH_MAX]; /* of the case at hand */

static const char *path_of(const char *name)
{
    static char path[OS_PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%s", data, name);
    return path;
}

/* --- the hub's routes --- */
static err answer_document(void *arg, struct http_exchange *x)
{
    return http_answer(x, 200, "application/json", bytes_of(arg));
}
static err answer_result(void *arg, struct http_exchange *x)
{
    return control_result(x, arg, NULL, EXIT_PARTLY);
}
static err answer_slowly(void *arg, struct http_exchange *x)
{
    (void)arg;
    for (uint64_t i = 1; i <= 3; i++) {
        TRY(control_progress(x, "local \"a\"", i * 100, 300));
        TRY(fiber_sleep(loop_now() + 2));
    }
    return control_result(x, "[1,\n2]", NULL, EXIT_GOOD);
}
static err answer_wrong(void *arg, struct http_exchange *x)
{
    TRY(control_progress(x, "on the way", 1, 2));
    return control_result(x, NULL, arg, EXIT_BAD);
}
static err answer_error(void *arg, struct http_exchange *x)
{
    (void)arg, (void)x;
    return trail(E_BUSY, "a backup is at work");
}
static err answer_error_late(void *arg, struct http_exchange *x)
{
    (void)arg;
    TRY(control_progress(x, "so far", 0, 0));
    return trail(E_NOSPACE, "writing");
}
static err answer_parameters(void *arg, struct http_exchange *x)
{
    char level[CONTROL_PARAMETER_MAX] = "none", name[CONTROL_PARAMETER_MAX] = "none", told[160];
    (void)arg;
    (void)control_parameter(x, "level", level, sizeof level);
    (void)control_parameter(x, "name", name, sizeof name);
    (void)snprintf(told, sizeof told, "[\"%s\",\"%s\"]", level, name);
    return control_result(x, told, NULL, EXIT_GOOD);
}
static char *large; /* a JSON text of that many bytes */
static err answer_large(void *arg, struct http_exchange *x)
{
    size_t len = *(const size_t *)arg;
    memset(large, 'x', len);
    large[0] = large[len - 1] = '"';
    large[len] = 0;
    return control_result(x, large, NULL, EXIT_GOOD);
}
#define AROUND (sizeof "{\"result\":,\"exit\":0}\n" - 1)
static const size_t fits = CONTROL_REPLY_MAX - AROUND, too_large = CONTROL_REPLY_MAX - AROUND + 1;

static const struct control_route routes[] = {
    {"GET", "/document", answer_document, "{\"a\":1}"},
    {"GET", "/result", answer_result, "{\"exit\":7,\"b\":\"},\"}"},
    {"POST", "/slow", answer_slowly, NULL},
    {"POST", "/wrong", answer_wrong, "\xC3\xA9 \"quoted\"\nand more"},
    {"GET", "/error", answer_error, NULL},
    {"GET", "/late", answer_error_late, NULL},
    {"GET", "/parameters", answer_parameters, NULL},
    {"GET", "/fits", answer_large, (void *)(uintptr_t)&fits},
    {"GET", "/large", answer_large, (void *)(uintptr_t)&too_large},
};

/* --- asking --- */
static unsigned steps;
static void count_step(void *arg, const char *what, uint64_t received, uint64_t total)
{
    (void)arg;
    steps++;
    CHECK(strcmp(what, "local \"a\"") != 0 || (received == steps * 100 && total == 300));
}

static const struct {
    const char *name, *method, *target;
    err want;
    const char *json, *error;
    enum exit_code code;
    unsigned steps;
} asks[] = {
    {"a document", "GET", "/document", OK, "{\"a\":1}", "", EXIT_GOOD, 0},
    {"a result with a code", "GET", "/result", OK, "{\"exit\":7,\"b\":\"},\"}", "", EXIT_PARTLY, 0},
    {"progress, then a result", "POST", "/slow", OK, "[1, 2]", "", EXIT_GOOD, 3},
    {"progress, then an error", "POST", "/wrong", OK, NULL, "\xC3\xA9 \"quoted\"\nand more", EXIT_BAD, 1},
    {"the handler fails", "GET", "/error", OK, NULL, "a backup is at work: busy", EXIT_BUSY, 0},
    {"it fails after progress", "GET", "/late", OK, NULL, "writing: no space left on the disk", EXIT_BAD, 1},
    {"no parameters", "GET", "/parameters", OK, "[\"none\",\"none\"]", "", EXIT_GOOD, 0},
    {"parameters", "GET", "/parameters?level=2&name=a%2Db%2e", OK, "[\"2\",\"a-b.\"]", "", EXIT_GOOD, 0},
    {"the first of two", "GET", "/parameters?name=a&name=b&levels=3", OK, "[\"none\",\"a\"]", "", EXIT_GOOD, 0},
    {"an empty one", "GET", "/parameters?level=&&name", OK, "[\"\",\"\"]", "", EXIT_GOOD, 0},
    {"a broken escape", "GET", "/parameters?level=%2", OK, NULL, "a parameter cannot be read", EXIT_WRONG_USE, 0},
    {"a zero", "GET", "/parameters?level=%00", OK, NULL, "a parameter cannot be read", EXIT_WRONG_USE, 0},
    {"one that is too long", "GET", "/parameters?other=0123456789012345678901234567890123456789012345678901234567890123", OK,
     NULL, "a parameter cannot be read", EXIT_WRONG_USE, 0},
    {"an unknown path", "GET", "/document/", OK, NULL, "the running hub does not know this; is it of another version?",
     EXIT_WRONG_USE, 0},
    {"another method", "GET", "/slow", OK, NULL, "another method is wanted here", EXIT_WRONG_USE, 0},
    {"a result that just fits", "GET", "/fits", OK, "", "", EXIT_GOOD, 0},
    {"a result that is too large", "GET", "/large", E_RANGE, NULL, "", EXIT_CANNOT_TELL, 0},
};

static void ask_one(size_t i)
{
    struct control_reply reply;
    unsigned failed = checks_failed;
    steps = 0;
    err e = control_ask(data, asks[i].method, asks[i].target, count_step, NULL, SOON, &reply);
    trail_clear();
    CHECK(e == asks[i].want && reply.code == asks[i].code && steps == asks[i].steps);
    CHECK(strcmp(reply.error, asks[i].error) == 0);
    CHECK((reply.json != NULL) == (asks[i].json != NULL));
    if (reply.json && *asks[i].json)
        CHECK(reply.json->len == strlen(asks[i].json) && strcmp((char *)reply.json->at, asks[i].json) == 0);
    else if (reply.json)
        CHECK(reply.json->len == fits && reply.json->at[fits - 1] == '"' && reply.json->at[fits] == 0);
    if (checks_failed > failed)
        print_error("%s: %s, code %d, error \"%s\", %s\n", asks[i].name, err_text(e), (int)reply.code, reply.error,
                    reply.json ? (char *)reply.json->at : "no result");
    buf_release(reply.json);
}

static err ask_all(void *arg)
{
    struct control *c = NULL;
    struct stat s;
    (void)arg;
    TRY(control_start(data, routes, COUNT_OF(routes), &c));
    CHECK(stat(path_of(CONTROL_SOCKET_NAME), &s) == 0 && S_ISSOCK(s.st_mode) && (s.st_mode & 07777) == 0600);
    for (size_t i = 0; i < COUNT_OF(asks); i++)
        ask_one(i);
    control_stop(c, SOON);
    CHECK(stat(path_of(CONTROL_SOCKET_NAME), &s) != 0);
    control_stop(NULL, SOON);
    return OK;
}

/* --- nobody there --- */
static err ask_nobody(void *arg)
{
    struct control_reply reply;
    (void)arg;
    CHECK(control_ask(data, "GET", "/status", NULL, NULL, SOON, &reply) == E_ABSENT && !reply.json);
    (void)snprintf(data + strlen(data), 8, "/none");
    CHECK(control_ask(data, "GET", "/status", NULL, NULL, SOON, &reply) == E_ABSENT && !reply.json);
    *strrchr(data, '/') = 0;
    return OK;
}

/* What a hub leaves that was killed: a socket file nobody listens on. */
static void leave_socket(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%.90s/" CONTROL_SOCKET_NAME, data);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    (void)close(fd);
}

static err ask_after_a_death(void *arg)
{
    TRY(ask_nobody(arg));
    return ask_all(arg);
}

/* --- peers that are no good hub --- */
#define HEAD     "HTTP/1.1 200 OK\r\n"
#define STREAM   HEAD "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
#define CHUNK(n) n "\r\n"
#define PROGRESS "{\"progress\":{\"received_bytes\":1,\"total_bytes\":2,\"what\":\"w\"}}\n"
static const struct bad_peer {
    const char *name, *says;
    err want;
    const char *trail;
} bad_peers[] = {
    {"ends at once", "", E_CLOSED, "ended before it had answered"},
    {"ends in the head", HEAD, E_CLOSED, "ended before it had answered"},
    {"ends in the stream", STREAM CHUNK("42") PROGRESS, E_CLOSED, "ended before it had answered"},
    {"ends the stream without a result", STREAM "0\r\n\r\n", E_PROTOCOL, "it ends before the result"},
    {"ends the stream after progress", STREAM CHUNK("3d") PROGRESS "\r\n0\r\n\r\n", E_PROTOCOL, "it ends before the result"},
    {"no HTTP", "220 mail.example ESMTP\r\n\r\n", E_PROTOCOL, "asking the hub"},
    {"no content type", HEAD "content-length: 2\r\n\r\n{}", E_PROTOCOL, "no content type"},
    {"no JSON", STREAM "5\r\nhello\r\n1\r\n\n\r\n0\r\n\r\n", E_PROTOCOL, "a line that is no JSON"},
    {"another JSON", STREAM "3\r\n{}\n\r\n0\r\n\r\n", E_PROTOCOL, "an error without its words or code"},
    {"half a result", STREAM "d\r\n{\"result\":1}\n\r\n0\r\n\r\n", E_PROTOCOL, "a result without its end"},
    {"a code that is none", STREAM "19\r\n{\"result\":1,\"exit\":1234}\n\r\n0\r\n\r\n", E_PROTOCOL, "a result without its end"},
    {"no room", "HTTP/1.1 503 X\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nno\n", E_BUSY, "try again"},
    {"500 in words", "HTTP/1.1 500 X\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nno\n", E_PROTOCOL, "status 500"},
};

static struct sock listener;
static const struct bad_peer *peer_now;

static err be_peer(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(bad_peers); i++) {
        struct stream *s = NULL;
        struct addr from;
        char asked[512];
        size_t got = 0;
        TRY(tcp_accept(&listener, FOREVER, &s, &from));
        err e = stream_read(s, asked, sizeof asked, SOON, &got);
        if (e == OK)
            e = stream_write(s, bad_peers[i].says, strlen(bad_peers[i].says), SOON);
        CHECK(e == OK && got > 0);
        stream_close(s);
    }
    return OK;
}

static err ask_bad_peers(void *arg)
{
    struct group g;
    struct addr at = {.kind = ADDR_UNIX}, bound;
    (void)arg;
    (void)snprintf(at.path, sizeof at.path, "%.90s/" CONTROL_SOCKET_NAME, data);
    listener = SOCK_CLOSED;
    TRY(sock_listen(&listener, &at, &bound));
    group_open(&g, TASK_METRICS);
    TRY(group_spawn(&g, "peer", be_peer, NULL));
    for (size_t i = 0; i < COUNT_OF(bad_peers); i++) {
        struct control_reply reply;
        char why[512];
        peer_now = &bad_peers[i];
        err e = control_ask(data, "GET", "/status", NULL, NULL, SOON, &reply);
        (void)trail_text(e, why, sizeof why);
        trail_clear();
        if (e != peer_now->want || !strstr(why, peer_now->trail))
            print_error("%s: %s\n", peer_now->name, why);
        CHECK(e == peer_now->want && strstr(why, peer_now->trail) && !reply.json);
    }
    CHECK(group_join(&g, SOON) == OK);
    group_close(&g);
    sock_close(&listener);
    return OK;
}

/* --- the lock --- */
static err lock_twice(void *arg)
{
    struct control_lock one = {.fd = -1}, other = {.fd = -1};
    struct stat s;
    char why[512], id[32];
    (void)arg;
    control_lock_give(&one);
    (void)snprintf(data + strlen(data), 8, "/a/b"); /* the folder is made */
    CHECK(control_lock_take(&one, data, SOON) == OK && one.fd >= 0);
    CHECK(stat(path_of(CONTROL_LOCK_NAME), &s) == 0 && (s.st_mode & 07777) == 0600);
    CHECK(control_lock_take(&other, data, SOON) == E_BUSY && other.fd == -1);
    (void)trail_text(E_BUSY, why, sizeof why);
    trail_clear();
    (void)snprintf(id, sizeof id, "process %lld holds ", (long long)getpid());
    CHECK(strstr(why, id));
    control_lock_give(&one);
    control_lock_give(&one);
    CHECK(control_lock_take(&other, data, SOON) == OK);
    control_lock_give(&other);
    return OK;
}

/* By its kernel: what a killed process held is free. */
static err lock_after_a_death(void *arg)
{
    struct control_lock l = {.fd = -1};
    (void)arg;
    CHECK(control_lock_take(&l, data, SOON) == OK);
    control_lock_give(&l);
    return OK;
}

static err lock_nowhere(void *arg)
{
    struct control_lock l = {.fd = -1};
    (void)arg;
    CHECK(control_lock_take(&l, "/proc/nothing/here", SOON) != OK && l.fd == -1);
    trail_clear();
    return OK;
}

/* --- cases --- */
static const struct {
    const char *name;
    size_t data_bytes; /* at least so long */
    void (*first)(void);
    err (*run)(void *arg);
} cases[] = {
    {"a hub answers", 0, NULL, ask_all},
    {"a path that just fits", 108 - 1 - sizeof CONTROL_SOCKET_NAME, NULL, ask_all},
    {"one byte more", 108 - sizeof CONTROL_SOCKET_NAME, NULL, ask_all},
    {"a data of 200 bytes", 200, NULL, ask_all},
    {"nobody listens", 0, NULL, ask_nobody},
    {"nobody listens below a long path", 200, NULL, ask_nobody},
    {"a killed hub's socket", 0, leave_socket, ask_after_a_death},
    {"peers that are none", 0, NULL, ask_bad_peers},
    {"the lock, twice", 0, NULL, lock_twice},
    {"the lock below a long path", 200, NULL, lock_twice},
    {"the lock of one that died", 0, NULL, lock_after_a_death},
    {"a lock where nothing can be made", 0, NULL, lock_nowhere},
};

static void make_data(size_t bytes)
{
    (void)snprintf(data, sizeof data, "/tmp/holdfast-control-XXXXXX");
    assert_non_null(mkdtemp(data));
    while (strlen(data) < bytes) {
        size_t len = strlen(data), part = size_min(bytes - len, 100);
        if (bytes - len == 1)
            part = 2; /* a slash alone makes no folder */
        data[len] = '/';
        memset(data + len + 1, 'd', part - 1);
        data[len + part] = 0;
        assert_int_equal(mkdir(data, 0700), 0);
    }
}

static void remove_data(void)
{
    char command[OS_PATH_MAX + 16];
    data[strlen("/tmp/holdfast-control-XXXXXX")] = 0;
    (void)snprintf(command, sizeof command, "rm -rf %s", data);
    assert_int_equal(system(command), 0);
}

static void every_case(void **state)
{
    (void)state;
    large = malloc(CONTROL_REPLY_MAX + 1);
    assert_non_null(large);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("%s\n", cases[i].name);
        make_data(cases[i].data_bytes);
        if (cases[i].first)
            cases[i].first();
        fibers_run(cases[i].run, NULL, OK);
        assert_int_equal(mem_use(TASK_CONTROL).used_bytes, 0);
        remove_data();
    }
    free(large);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK || crypto_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
