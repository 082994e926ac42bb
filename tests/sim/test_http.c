/* HTTP in the simulated world. The server meets clients that are slow, stuck, half there and resetting, all at once with a good
 * one; the client meets such servers. Each fallible call fails once: no leak, no hang, and who is good is still answered. */
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "net/proto/http_client.h"
#include "net/proto/http_server.h"
#include "tests/sim/sim.h"
#include "tests/unit/http_routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     8
#define PAGE      9000
#define GET(path) "GET " path " HTTP/1.1\r\nhost: h\r\n\r\n"
#define PAGE_PATH "/sized?bytes=9000"

static struct addr at, peer;
static char page[PAGE];

/* --- our client: every wait has an end --- */

static err page_read(struct http_connection *c, ms deadline)
{
    const struct http1_head *head = NULL;
    size_t len = 0, got = 1;
    TRY(http_send(c, &(struct http_call){.method = "GET", .path = PAGE_PATH}, deadline));
    TRY(http_receive_head(c, deadline, &head));
    if (head->status != 200)
        return E_REMOTE;
    while (got > 0 && len < sizeof page) {
        TRY(http_receive_body(c, page + len, sizeof page - len, deadline, &got));
        len += got;
    }
    TRY(http_receive_body(c, page, 1, deadline, &got));
    SIM_CHECK(len == PAGE);
    for (size_t i = 1; i < PAGE; i++)
        SIM_CHECK((uint8_t)page[i] == route_pattern(i));
    return OK;
}

static err page_fetch(const struct addr *from, unsigned times, ms deadline)
{
    struct stream *s = NULL;
    struct http_connection *c = NULL;
    TRY(tcp_connect(from, deadline, &s));
    TRY(http_over(s, "h", &c));
    err e = OK;
    while (e == OK && times-- > 0)
        e = page_read(c, deadline);
    http_disconnect(c);
    return e;
}

/* --- the server --- */

static const struct http_limits limits = {
    .connections = 12, .requests_at_once = 2, .head_ms = 10000, .idle_ms = 20000, .write_ms = 8000};

static struct http_server_options options(void)
{
    return (struct http_server_options){.name = "sim", .task = TASK_METRICS, .at = at, .limits = limits, .handle = route_handle};
}

/* The registry is made with its first series, and stays. */
static void boot_metrics(void)
{
    static struct family family = {.name = "test_boot", .help = "Here so that the registry is.", .type = METRIC_GAUGE};
    struct series *series;
    SIM_CHECK_ERR(metric_series(&family, NULL, &series), OK);
}

/* Two at a time, and all of these come first. */
static void setup_bad_clients(void *link)
{
    static const struct sim_step half_head[] = {SIM_DO_TEXT(SIM_SEND, "GET / HTTP/1.1\r\nho"), SIM_DO(SIM_STUCK)};
    static const struct sim_step silent[] = {SIM_DO(SIM_STUCK)};
    static const struct sim_step resets[] = {SIM_DO_TEXT(SIM_SEND, GET("/big?bytes=100000")), SIM_DO_N(SIM_EXPECT, 100),
                                             SIM_DO(SIM_RESET)};
    static const struct sim_step never_reads[] = {SIM_DO_TEXT(SIM_SEND, GET("/big?bytes=100000")), SIM_DO(SIM_STUCK)};
    static const struct sim_step half_body[] = {
        SIM_DO_TEXT(SIM_SEND, "POST /count HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhalf"), SIM_DO(SIM_STUCK)};
    static const struct sim_step leaves[] = {SIM_DO_TEXT(SIM_SEND, GET("/slow")), SIM_DO(SIM_CLOSE)};
    sim_boot(boot_metrics);
    at = sim_ip("10.0.0.1:8080");
    if (link)
        sim_link(&at, *(const struct sim_link *)link);
    sim_client(&at, SIM_BOOT_MS + 100, silent, COUNT_OF(silent));
    sim_client(&at, SIM_BOOT_MS + 110, half_head, COUNT_OF(half_head));
    sim_client(&at, SIM_BOOT_MS + 120, half_head, COUNT_OF(half_head));
    sim_client(&at, SIM_BOOT_MS + 130, half_head, COUNT_OF(half_head));
    sim_client(&at, SIM_BOOT_MS + 140, never_reads, COUNT_OF(never_reads));
    sim_client(&at, SIM_BOOT_MS + 150, resets, COUNT_OF(resets));
    sim_client(&at, SIM_BOOT_MS + 160, half_body, COUNT_OF(half_body));
    sim_client(&at, SIM_BOOT_MS + 170, leaves, COUNT_OF(leaves));
}

static err serve_and_ask(struct http_server *s, ms *took)
{
    (void)s;
    TRY(fiber_sleep(loop_now() + 500));
    ms began = loop_now();
    err e = page_fetch(&at, 2, began + SECONDS(60));
    *took = loop_now() - began;
    return e;
}

static err run_bad_clients(void *link)
{
    struct http_server *s = NULL;
    struct http_server_options o = options();
    ms took = 0;
    TRY(http_server_start(&o, &s));
    err e = serve_and_ask(s, &took);
    if (e == OK && !link && !sim_fault_name())
        SIM_CHECK(took < SECONDS(12)); /* two fibers, and bad ones before it in the queue */
    if (e == OK)
        e = fiber_sleep(loop_now() + SECONDS(60)); /* all limits have passed */
    struct http_server_use use = http_server_use(s);
    if (e == OK && !sim_fault_name())
        SIM_CHECK(use.connections == 0 && use.in_work == 0 && use.resting == 0);
    ms began = loop_now();
    http_server_stop(s, began + SECONDS(5));
    SIM_CHECK(loop_now() - began <= SECONDS(6));
    return e;
}

/* Stopped in the middle of all that. */
static err run_stop_early(void *link)
{
    struct http_server *s = NULL;
    struct http_server_options o = options();
    (void)link;
    TRY(http_server_start(&o, &s));
    err e = fiber_sleep(loop_now() + (ms)sim_draw(400));
    ms began = loop_now();
    http_server_stop(s, began + SECONDS(2));
    SIM_CHECK(loop_now() - began <= SECONDS(3));
    return e;
}

static void a_server_among_bad_clients(void **state)
{
    struct sim_case c = {.name = "bad clients", .setup = setup_bad_clients, .run = run_bad_clients, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
    assert_true(sim_each_fault(&c));
}

static void a_server_on_a_slow_line(void **state)
{
    static struct sim_link slow = {.delay_ms = 40, .jitter_ms = 30, .bytes_per_s = 20000};
    struct sim_case c = {.name = "slow line", .setup = setup_bad_clients, .run = run_bad_clients, .arg = &slow, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

static void a_server_stopped_early(void **state)
{
    struct sim_case c = {.name = "stopped early", .setup = setup_bad_clients, .run = run_stop_early, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, 2 * SEEDS));
    assert_true(sim_each_fault(&c));
}

/* --- the client and bad servers --- */

static const struct server_case {
    const char *name;
    struct sim_link link;
    struct sim_step steps[4];
    size_t count;
    err wanted;
    ms least_ms, most_ms;
} servers[] = {
    {"good",
     {.delay_ms = 1},
     {SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"), SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
      SIM_DO(SIM_STUCK)},
     3,
     OK,
     0,
     1000},
    {"a byte per millisecond",
     {.bytes_per_s = 1000},
     {SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"),
      SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), SIM_DO(SIM_CLOSE)},
     3,
     OK,
     90,
     400},
    {"silent", {0}, {SIM_DO(SIM_STUCK)}, 1, E_TIMEOUT, 5000, 5100},
    {"half a head", {0}, {SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\n"), SIM_DO(SIM_STUCK)}, 2, E_TIMEOUT, 5000, 5100},
    {"half a body",
     {0},
     {SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc"), SIM_DO(SIM_STUCK)},
     2,
     E_TIMEOUT,
     5000,
     5100},
    {"closes in the body",
     {0},
     {SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"), SIM_DO_TEXT(SIM_SEND, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc"),
      SIM_DO(SIM_CLOSE)},
     3,
     E_CLOSED,
     0,
     1000},
    {"resets", {0}, {SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"), SIM_DO(SIM_RESET)}, 2, E_RESET, 0, 1000},
    {"nothing but an end", {0}, {SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"), SIM_DO(SIM_CLOSE)}, 2, E_CLOSED, 0, 1000},
    {"garbage without end", {0}, {SIM_DO_N(SIM_SEND, 40000), SIM_DO(SIM_STUCK)}, 2, E_PROTOCOL, 0, 1000},
    {"black hole", {.black_hole = true}, {SIM_DO(SIM_STUCK)}, 1, E_TIMEOUT, 5000, 5100},
};

static void setup_server(void *arg)
{
    const struct server_case *t = arg;
    peer = sim_ip("[fd00::9]:80");
    sim_link(&peer, t->link);
    sim_peer(&peer, t->steps, t->count);
}

static err small_fetch(ms deadline)
{
    struct stream *s = NULL;
    struct http_connection *c = NULL;
    const struct http1_head *head = NULL;
    char text[8];
    size_t len = 0, got = 1;
    TRY(tcp_connect(&peer, deadline, &s));
    TRY(http_over(s, "h", &c));
    err e = http_send(c, &(struct http_call){.method = "GET", .path = "/"}, deadline);
    if (e == OK)
        e = http_receive_head(c, deadline, &head);
    while (e == OK && got > 0) {
        e = http_receive_body(c, text + len, sizeof text - len, deadline, &got);
        len += got;
    }
    SIM_CHECK(e != OK || (len == 3 && memcmp(text, "abc", 3) == 0));
    http_disconnect(c);
    return e;
}

static err run_client(void *arg)
{
    const struct server_case *t = arg;
    ms began = loop_now();
    err e = small_fetch(began + SECONDS(5));
    ms took = loop_now() - began;
    if (sim_fault_name())
        return e;
    SIM_CHECK_ERR(e, t->wanted);
    SIM_CHECK(took >= t->least_ms && took <= t->most_ms);
    return OK;
}

static void a_client_among_bad_servers(void **state)
{
    const struct server_case *t = *state;
    struct sim_case c = {.name = t->name, .setup = setup_server, .run = run_client, .arg = (void *)(uintptr_t)t, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    static struct CMUnitTest tests[3 + COUNT_OF(servers)] = {cmocka_unit_test(a_server_among_bad_clients),
                                                             cmocka_unit_test(a_server_on_a_slow_line),
                                                             cmocka_unit_test(a_server_stopped_early)};
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        tests[3 + i] = (struct CMUnitTest){
            .name = servers[i].name, .test_func = a_client_among_bad_servers, .initial_state = (void *)(uintptr_t)&servers[i]};
    return cmocka_run_group_tests_name("http in the sim", tests, NULL, NULL);
}
