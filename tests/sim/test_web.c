/* web in the simulated world: exchanges of both protocols that one fiber hears, over links good and bad, each fallible call
 * failed once. An answer is whole or an error that may pass; nothing hangs, nothing is left. */
#include "board/rt/mem.h"
#include "net/proto/web.h"
#include "tests/sim/sim.h"
#include "tests/support/grpc_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS    6
#define AT_ONCE  5
#define LARGE    20000
#define PATIENCE SECONDS(120)

static struct server server;
static struct addr h2_at, h1_at;
static uint8_t large[LARGE];

static const struct server_step brief[] = {
    {.what = SERVER_HEADERS, .text = "text/plain"}, {.what = SERVER_RAW, .bytes = {large, 2}}, {.what = SERVER_BARE_END}, {0}};
static const struct server_step long_one[] = {{.what = SERVER_HEADERS, .text = "text/plain"},
                                              {.what = SERVER_RAW, .bytes = {large, LARGE}},
                                              {.what = SERVER_BARE_END},
                                              {0}};

static const struct server_step *by_path(void *arg, const struct server_request *r)
{
    (void)arg;
    return r->path[1] == 'l' ? long_one : brief;
}

static const struct sim_step h1_server[] = {
    SIM_DO_TEXT(SIM_UNTIL, "event"), SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"),
    SIM_DO_TEXT(SIM_UNTIL, "event"),
    SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"), SIM_DO(SIM_REPEAT)};

static void setup(void *link)
{
    h2_at = sim_ip("10.0.0.1:443");
    h1_at = sim_ip("10.0.0.2:80");
    sim_link(&h2_at, *(const struct sim_link *)link);
    sim_link(&h1_at, *(const struct sim_link *)link);
    sim_peer(&h1_at, h1_server, COUNT_OF(h1_server));
    server = (struct server){.script = by_path, .listener = SOCK_CLOSED};
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)('a' + i % 26);
}

/* --- the client --- */

struct asked {
    struct web *web;
    struct web_exchange *x;
    size_t sum, want;
    bool ended;
};

static err look(struct asked *a)
{
    static uint8_t piece[1500];
    size_t got = 1;
    int status = 0;
    TRY(web_status_now(a->x, &status));
    SIM_CHECK(status == 200);
    while (got > 0) {
        TRY(web_read_now(a->x, piece, sizeof piece, &got));
        SIM_CHECK(a->sum + got <= a->want && memcmp(piece, large + a->sum, got) == 0);
        a->sum += got;
    }
    SIM_CHECK(a->sum == a->want); /* an end is the end of the whole */
    a->ended = true;
    return OK;
}

static err hear_all(struct asked *all, unsigned count, struct bell *bell, ms deadline)
{
    for (unsigned open = count; open > 0;) {
        TRY(bell_wait(bell, deadline));
        for (unsigned i = 0; i < count; i++) {
            err e = all[i].ended ? E_AGAIN : look(&all[i]);
            if (e == OK)
                open--;
            else if (e != E_AGAIN)
                return e;
        }
    }
    return OK;
}

static err begin(struct asked *a, unsigned i)
{
    bool is_long = web_is_h2(a->web) && i % 2 == 0;
    struct web_call get = {.method = "GET", .path = "/large", .window_bytes = i ? 0 : KIB(32), .more = i + 1 < AT_ONCE};
    struct web_call post = {.method = "POST", .path = "/brief", .body = bytes_of("event"), .more = i + 1 < AT_ONCE};
    a->want = is_long ? LARGE : 2;
    return web_open(a->web, is_long ? &get : &post, loop_now() + PATIENCE, &a->x);
}

static err connect_to(const struct addr *at, bool h2, struct bell *bell, struct web **out)
{
    struct web_over how = {.authority = "sim.test", .h2 = h2, .tls = true, .window_bytes = KIB(8)};
    struct stream *s = NULL;
    *out = NULL;
    TRY(tcp_connect(at, loop_now() + SECONDS(20), &s));
    TRY(web_over(s, &how, loop_now() + SECONDS(20), out));
    web_hang(*out, bell);
    return OK;
}

/* h2: all at once; h1: one after the other. */
static err ask(const struct addr *at, bool h2)
{
    struct asked all[AT_ONCE] = {0};
    struct bell bell = {0};
    struct web *w;
    TRY(connect_to(at, h2, &bell, &w));
    err e = OK;
    for (unsigned i = 0; e == OK && i < AT_ONCE; i++) {
        all[i].web = w;
        e = begin(&all[i], i);
        if (e == OK && !h2) {
            e = hear_all(&all[i], 1, &bell, loop_now() + PATIENCE);
            web_end(all[i].x);
            all[i].x = NULL;
        }
    }
    if (e == OK && h2)
        e = hear_all(all, AT_ONCE, &bell, loop_now() + PATIENCE);
    for (unsigned i = 0; i < AT_ONCE; i++)
        web_end(all[i].x);
    web_close(w);
    return e;
}

static err client(void *arg)
{
    err *result = arg;
    *result = ask(&h2_at, true);
    err second = ask(&h1_at, false);
    if (*result == OK)
        *result = second;
    return OK;
}

static err run(void *arg)
{
    struct group far, asks;
    err result = OK;
    (void)arg;
    group_open(&far, TASK_METRICS);
    group_open(&asks, TASK_BACKUP);
    err e = sock_listen(&server.listener, &h2_at, NULL);
    if (e == OK)
        e = group_spawn(&far, "far end", server_listen, &server);
    if (e == OK)
        e = group_spawn(&asks, "client", client, &result);
    if (e == OK)
        e = group_join(&asks, FOREVER);
    group_close(&asks);
    group_close(&far);
    sock_close(&server.listener);
    return e != OK ? e : result;
}

static void check(void *arg, err result)
{
    const struct sim_link *l = arg;
    if (!sim_fault_name() && !l->reset_after_bytes)
        SIM_CHECK_ERR(result, OK);
    SIM_CHECK(result == OK || err_retry(result) == RETRY_LATER);
}

static const struct sim_link plain = {.delay_ms = 1}, narrow = {.window_bytes = 700},
                             slow = {.bytes_per_s = 20000, .delay_ms = 30}, resetting = {.reset_after_bytes = 300},
                             resetting_late = {.reset_after_bytes = 20000}, whole = {.whole = true};
#define CASE(link_)                                                                                                              \
    {                                                                                                                            \
        .name = "web_" #link_, .setup = setup, .run = run, .check = check, .arg = (void *)(uintptr_t) & (link_), .fibers = true  \
    }
static const struct sim_case cases[] = {CASE(plain), CASE(narrow), CASE(slow), CASE(resetting), CASE(resetting_late)};
static const struct sim_case faults = {.name = "web_faults",
                                       .setup = setup,
                                       .run = run,
                                       .check = check,
                                       .arg = (void *)(uintptr_t)&whole,
                                       .fibers = true,
                                       .faults_max = 600};

static void every_link(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(sim_seeds(&cases[i], SEEDS));
}

static void each_fault(void **state)
{
    (void)state;
    assert_true(sim_each_fault(&faults));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_link), cmocka_unit_test(each_fault)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
