/* serve: our HTTP server and client as a program, for others' clients and servers to meet (test_http.py).
 *
 *   serve listen ADDRESS [CERT KEY [CLIENT_CA]]    the routes of tests/unit/http_routes.h, and /use; until SIGTERM
 *   serve fetch URL [CA] [-m METHOD] [-n TIMES] [-b BYTES | -c BYTES] [-e]
 *                                                  prints each answer's status and length, the last body to stdout;
 *                                                  -b a body with its length, -c in chunks, -e expecting 100-continue
 * Exit 0 good; 1 with the error on stderr; 2 usage. */
#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "net/proto/http_client.h"
#include "tests/e2e/pem.h"
#include "tests/unit/http_routes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    const char *url, *ca, *cert, *key, *client_ca, *method;
    int64_t body;
    unsigned times;
    bool chunked, expect;
} want = {.method = "GET", .times = 1};

static struct http_server *server;
static struct fiber *main_fiber;
static bool ended;

static void complain(err e, const char *what)
{
    char text[1024];
    fprintf(stderr, "serve: %s: %s %s\n", what, err_name(e), trail_text(e, text, sizeof text));
}

/* --- listening --- */

static err route_use(struct http_exchange *x)
{
    char line[256];
    struct http_server_use use = http_server_use(server);
    (void)snprintf(
        line, sizeof line,
        "connections=%u resting=%u in_work=%u requests=%llu refused=%llu heap=%zu fibers=%u stack=%zu stack_bytes=%zu\n",
        use.connections, use.resting, use.in_work, (unsigned long long)use.requests, (unsigned long long)use.refused,
        mem_use(TASK_METRICS).used_bytes, fiber_use(TASK_METRICS).used, fiber_use(TASK_METRICS).stack_peak_bytes,
        fiber_use(TASK_METRICS).stack_bytes);
    return http_answer(x, 200, ROUTE_TEXT, bytes_of(line));
}

static err handle(void *arg, struct http_exchange *x)
{
    return bytes_equal_text(http_request_of(x)->path, "/use") ? route_use(x) : route_handle(arg, x);
}

static void on_signal(int number)
{
    if (number != SIGTERM && number != SIGINT)
        return;
    ended = true;
    fiber_wake(main_fiber);
}

static err tls_open_server(struct tls_config **out)
{
    struct tls_options o = {.server = true};
    err e = identity_read(want.cert, want.key, &o.identity);
    if (e == OK && want.client_ca)
        e = trust_read(want.client_ca, &o.trust);
    if (e == OK)
        e = tls_config_open(&o, out);
    tls_identity_release(o.identity);
    tls_trust_release(o.trust);
    return e;
}

static err listen_run(void)
{
    struct http_server_options o = {.name = "e2e", .task = TASK_METRICS, .handle = handle};
    char text[ADDR_TEXT_MAX];
    main_fiber = fiber_self();
    loop_on_signal(on_signal);
    TRY(addr_parse(bytes_of(want.url), &o.at));
    if (want.cert)
        TRY(tls_open_server(&o.tls));
    err e = http_server_start(&o, &server);
    tls_config_release(o.tls); /* the server has its own reference */
    TRY(e);
    printf("listening on %s\n", addr_text(http_server_address(server), text, sizeof text));
    (void)fflush(stdout);
    while (!ended)
        if (fiber_park(FOREVER) != OK)
            break;
    http_server_stop(server, loop_now() + SECONDS(3));
    return OK;
}

/* --- fetching --- */

static err body_send(struct http_connection *c, ms deadline)
{
    char piece[3000];
    for (int64_t at = 0; at < want.body;) {
        size_t n = 0;
        for (; n < sizeof piece && at < want.body; n++)
            piece[n] = (char)route_pattern((uint64_t)at++);
        TRY(http_send_body(c, piece, n, deadline));
    }
    return want.chunked ? http_send_body(c, NULL, 0, deadline) : OK;
}

static err exchange(struct http_connection *c, const char *path, bool last)
{
    static char piece[10000];
    const struct http1_head *head = NULL;
    struct http_call call = {.method = want.method, .path = path, .expect_continue = want.expect};
    ms deadline = loop_now() + SECONDS(20);
    uint64_t total = 0;
    size_t got = 1;
    call.body_bytes = want.chunked ? -1 : want.body;
    TRY(http_send(c, &call, deadline));
    if (call.body_bytes != 0) {
        err e = body_send(c, deadline);
        if (e != OK && e != E_CLOSED && e != E_RESET) /* it may have answered before the body */
            return e;
    }
    TRY(http_receive_head(c, deadline, &head));
    fprintf(stderr, "status %u", head->status);
    while (got > 0) {
        TRY(http_receive_body(c, piece, sizeof piece, deadline, &got));
        total += got;
        if (last)
            (void)fwrite(piece, 1, got, stdout);
    }
    fprintf(stderr, " bytes %llu %s\n", (unsigned long long)total, http_reusable(c) ? "kept" : "ends");
    return OK;
}

static err exchanges(struct dns *d, const struct url *u, struct tls_config *tls)
{
    struct http_connection *c = NULL;
    err e = OK;
    for (unsigned i = 0; e == OK && i < want.times; i++) {
        if (c && !http_reusable(c)) {
            http_disconnect(c);
            c = NULL;
        }
        if (!c)
            e = http_connect(d, u, tls, loop_now() + SECONDS(10), &c);
        if (e == OK)
            e = exchange(c, u->path, i + 1 == want.times);
    }
    http_disconnect(c);
    return e;
}

static err fetch_run(void)
{
    struct url u;
    struct dns *d = NULL;
    struct tls_options o = {.server = false};
    struct tls_config *tls = NULL;
    TRY(url_parse(want.url, &u));
    if (want.ca) {
        TRY(trust_read(want.ca, &o.trust));
        TRY(tls_config_open(&o, &tls));
    }
    TRY(dns_open(&d));
    err e = exchanges(d, &u, tls);
    dns_close(d);
    tls_config_release(tls);
    tls_trust_release(o.trust);
    return e;
}

/* --- the command line --- */

/* The trail is the fiber's, so the complaint is made in it. */
static err main_run(void *arg)
{
    bool *listens = arg;
    err e = *listens ? listen_run() : fetch_run();
    if (e != OK)
        complain(e, want.url);
    return e;
}

static bool options_read(int count, char **at)
{
    for (int i = 0; i < count; i++) {
        bool more = i + 1 < count;
        if (strcmp(at[i], "-e") == 0)
            want.expect = true;
        else if (strcmp(at[i], "-m") == 0 && more)
            want.method = at[++i];
        else if (strcmp(at[i], "-n") == 0 && more)
            want.times = (unsigned)strtoul(at[++i], NULL, 10);
        else if ((strcmp(at[i], "-b") == 0 || strcmp(at[i], "-c") == 0) && more) {
            want.chunked = at[i][1] == 'c';
            want.body = strtoll(at[++i], NULL, 10);
        } else if (i == 0 && at[i][0] != '-')
            want.ca = at[i];
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    bool listens = argc >= 3 && argc <= 6 && argc != 4 && strcmp(argv[1], "listen") == 0;
    bool fetches = argc >= 3 && strcmp(argv[1], "fetch") == 0 && options_read(argc - 3, argv + 3);
    if (!listens && !fetches) {
        fprintf(stderr, "usage: serve listen ADDRESS [CERT KEY [CLIENT_CA]] | serve fetch URL [CA] [-m -n -b -c -e]\n");
        return 2;
    }
    want.url = argv[2];
    if (listens && argc > 4) {
        want.cert = argv[3];
        want.key = argv[4];
        want.client_ca = argc > 5 ? argv[5] : NULL;
    }
    log_setup(LOG_WARN, LOG_LOGFMT, 2);
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return loop_run(main_run, &listens) == OK ? 0 : 1;
}
