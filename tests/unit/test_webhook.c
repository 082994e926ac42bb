/* Webhooks against scripted servers, good and bad, over real sockets. */
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/api/webhook/webhook.h"

#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

#define JSON   "{\"event\":\"backup-failed\"}"
#define SECRET "T0TOPSECRET9"
#define OK_200 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static char request[4096]; /* what the server read */
static struct sock listener;
static char base[64];
static struct dns *dns;

struct script {
    const char *name, *answer; /* NULL: it hangs */
    err want;
    const char *words; /* in the trail */
    size_t more;       /* bytes 'x' behind the answer */
    bool reset;        /* ends with RST: something is left unread */
};

#define LONG_80 "01234567890123456789012345678901234567890123456789012345678901234567890123456789"
static const struct script scripts[] = {
    {"200", OK_200, OK, "", 0, false},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", OK, "", 0, false},
    {"202 chunked", "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK, "", 0, false},
    {"299", "HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n", OK, "", 0, false},
    {"200 and cut", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok", OK, "", 0, false},
    {"200 and garbage", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", OK, "", 0, false},
    {"200 and a huge answer", "HTTP/1.1 200 OK\r\n\r\n", OK, "", 600000, false},
    {"500", "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nbroke", E_REMOTE, "127.0.0.1 answered 500: broke", 0, false},
    {"500 and a huge answer", "HTTP/1.1 500 No\r\n\r\nbig ", E_REMOTE, "answered 500: big xxxx", 600000, false},
    {"400, nothing", "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", E_REMOTE, "answered 400: ", 0, false},
    {"400, lines", "HTTP/1.1 400 No\r\n\r\na\r\nb\x1b[0m\xc3\xa9", E_REMOTE, "answered 400: a  b [0m  :", 0, false},
    {"400, long", "HTTP/1.1 400 No\r\n\r\n" LONG_80 "END", E_REMOTE, LONG_80 ": peer answered", 0, false},
    {"404, repeats the address", "HTTP/1.1 404 No\r\n\r\nno /hook/" SECRET "/x here", E_REMOTE, "404, and repeated the address",
     0, false},
    {"404, repeats a part", "HTTP/1.1 404 No\r\n\r\nunknown token " SECRET, E_REMOTE, "404, and repeated the address", 0, false},
    {"301", "HTTP/1.1 301 M\r\nLocation: http://elsewhere/" SECRET "\r\nContent-Length: 0\r\n\r\n", E_REMOTE,
     "answered 301: redirects are not followed", 0, false},
    {"304", "HTTP/1.1 304 M\r\n\r\n", E_REMOTE, "answered 304", 0, false},
    {"101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", E_REMOTE, "answered 101", 0, false},
    {"103 before", "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" OK_200, OK, "", 0, false},
    {"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", E_PROTOCOL, "127.0.0.1", 0, false},
    {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", E_CLOSED, "waiting for the answer", 0, false},
    {"nothing", "", E_CLOSED, "waiting for the answer", 0, false},
    {"hangs", NULL, E_TIMEOUT, "waiting for the answer", 0, false},
    {"refuses before the body", "HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge", E_REMOTE, "answered 413: large", 0, true},
};

static err request_read(struct stream *t, bool head_only)
{
    size_t len = 0, got = 1;
    request[0] = 0;
    for (;;) {
        const char *end = strstr(request, "\r\n\r\n");
        bool posts = strncmp(request, "POST", 4) == 0;
        if (end && (head_only || !posts || strlen(end + 4) >= sizeof JSON - 1))
            return OK;
        size_t cap = head_only && !end ? 1 : sizeof request - 1 - len;
        TRY(stream_read(t, request + len, cap, loop_now() + SECONDS(60), &got));
        if (got == 0)
            return E_CLOSED;
        len += got;
        request[len] = 0;
    }
}

static err answer_write(struct stream *t, const struct script *s)
{
    char more[1000];
    memset(more, 'x', sizeof more);
    TRY(stream_write(t, s->answer, strlen(s->answer), loop_now() + SECONDS(60)));
    for (size_t n = 0; n < s->more; n += sizeof more)
        TRY(stream_write(t, more, sizeof more, loop_now() + SECONDS(60)));
    return OK;
}

static err serve(void *arg)
{
    const struct script *s = arg;
    struct stream *t = NULL;
    struct addr peer;
    char rest[64];
    size_t got;
    TRY(tcp_accept(&listener, FOREVER, &t, &peer));
    err e = request_read(t, s->reset);
    if (e == OK)
        e = s->answer ? answer_write(t, s) : stream_read(t, rest, sizeof rest, loop_now() + SECONDS(60), &got);
    stream_close(t);
    return e == E_CLOSED || e == E_RESET ? OK : e; /* a client that has enough goes */
}

static void check_words(const struct script *s, const char *method, err got)
{
    char text[900];
    (void)trail_text(got, text, sizeof text);
    if (got != s->want || !strstr(text, s->words) || strstr(text, SECRET) || strstr(text, "/hook")) {
        print_error("%s %s: %s: %s\n", method, s->name, err_name(got), text);
        checks_failed++;
    }
}

static void one(struct group *g, const struct script *s, bool post)
{
    char url[160], line[128], length[40];
    (void)snprintf(length, sizeof length, "content-length: %zu\r\n", sizeof JSON - 1);
    (void)snprintf(url, sizeof url, "%s/hook/" SECRET "/x?thread=1", base);
    struct webhook w = {.url = url, .dns = dns};
    ms deadline = loop_now() + (s->answer ? SECONDS(10) : 200);
    CHECK(group_spawn(g, "peer", serve, (void *)(uintptr_t)s) == OK);
    trail_clear();
    err got = post ? webhook_post_json(&w, bytes_of(JSON), deadline) : webhook_get(&w, deadline);
    check_words(s, post ? "POST" : "GET", got);
    CHECK(group_join(g, loop_now() + SECONDS(60)) == OK);
    (void)snprintf(line, sizeof line, "%s /hook/" SECRET "/x?thread=1 HTTP/1.1\r\nhost: %s\r\n", post ? "POST" : "GET", base + 7);
    CHECK(strncmp(request, line, strlen(line)) == 0);
    CHECK(!post || (strstr(request, "content-type: application/json\r\n") && strstr(request, length)));
    CHECK(!post || s->reset || strstr(request, "\r\n\r\n" JSON));
    CHECK(post || !strstr(request, "content-"));
}

static const struct wrong {
    const char *name, *url;
    err want;
} wrongs[] = {
    {"no URL", "T0TOPSECRET9", E_INVALID},
    {"no host", "http:///hook/" SECRET, E_INVALID},
    {"a password", "http://user:" SECRET "@127.0.0.1/", E_INVALID},
    {"a fragment", "http://127.0.0.1/hook#" SECRET, E_INVALID},
    {"nobody", "http://127.0.0.1:1/hook/" SECRET, E_REFUSED},
    {"https without settings", "https://127.0.0.1:1/hook/" SECRET, E_INVALID},
};

static void wrong_urls(void)
{
    char text[900];
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        struct webhook w = {.url = wrongs[i].url, .dns = dns};
        trail_clear();
        err got = webhook_post_json(&w, bytes_of(JSON), loop_now() + SECONDS(60));
        if (got != wrongs[i].want || strstr(trail_text(got, text, sizeof text), SECRET)) {
            print_error("%s: %s: %s\n", wrongs[i].name, err_name(got), text);
            checks_failed++;
        }
    }
    struct webhook w = {.url = base, .dns = dns};
    CHECK(webhook_post_json(&w, (struct bytes){NULL, 0}, loop_now() + SECONDS(60)) == E_INVALID);
}

static err everything(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct addr at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, bound;
    struct group g;
    (void)arg;
    TRY(dns_open_with(&numeric, &dns));
    TRY(sock_listen(&listener, &at, &bound));
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", bound.port);
    group_open(&g, TASK_METRICS);
    size_t before = mem_use(TASK_BOARD).used_bytes;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        one(&g, &scripts[i], true);
        one(&g, &scripts[i], false);
        before = i == 0 ? mem_use(TASK_BOARD).used_bytes : before;
        CHECK(mem_use(TASK_BOARD).used_bytes == before);
    }
    wrong_urls();
    group_close(&g);
    sock_close(&listener);
    dns_close(dns);
    return OK;
}

static void webhooks(void **state)
{
    (void)state;
    fibers_run(everything, NULL, OK);
}

static int boot(void **state)
{
    (void)state;
    return mem_boot(&profile_hub64, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(webhooks)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
