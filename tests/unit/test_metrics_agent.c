/* The hub's three answers: /healthz while a task stalls and after, /readyz with its lines, and what is not there. */
#include "agents/metrics/metrics.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"
#include "net/proto/http_client.h"
#include "net/proto/http_server.h"

#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

#define SOON (loop_now() + SECONDS(60))

static bool peer_is_well = true;

static bool say_peer(void *arg, struct text *why)
{
    (void)arg;
    if (!peer_is_well)
        text_add(why, "gone");
    return peer_is_well;
}

static bool says(const struct addr *at, const char *method, const char *path, unsigned status, const char *body)
{
    struct stream *s = NULL;
    struct http_connection *c = NULL;
    const struct http1_head *head = NULL;
    char page[2048];
    size_t len = 0, got = 0;
    bool fits = tcp_connect(at, SOON, &s) == OK && http_over(s, "hub", &c) == OK &&
                http_send(c, &(struct http_call){.method = method, .path = path}, SOON) == OK &&
                http_receive_head(c, SOON, &head) == OK && head->status == status;
    while (fits && http_receive_body(c, page + len, sizeof page - 1 - len, SOON, &got) == OK && got > 0)
        len += got;
    page[len] = 0;
    http_disconnect(c);
    if (!fits || strcmp(page, body) != 0)
        print_error("%s %s: %u \"%s\"\n", method, path, head ? head->status : 0, page);
    return fits && strcmp(page, body) == 0;
}

static err answer_number(void *arg, struct http_exchange *x)
{
    char line[16];
    (void)snprintf(line, sizeof line, "[%d]\n", *(const int *)arg);
    return http_answer(x, 200, "application/json", bytes_of(line));
}
static err answer_fails(void *arg, struct http_exchange *x)
{
    (void)arg, (void)x;
    return E_IO;
}

#define NOT_HERE   "not here; there are /backups, /more, /fails, /metrics, /healthz and /readyz\n"
#define LINK(path) "<li><a href=\"" path "\">" path "</a>"
#define PAGE                                                                                                                     \
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>holdfast</title><h1>holdfast</h1><ul>" LINK("/metrics")     \
        LINK("/healthz") LINK("/readyz?verbose") LINK("/backups") LINK("/more") LINK("/fails") "</ul></html>\n"

/* --- cases: what is done first, what is asked, what is answered --- */

static void nothing(void)
{
}
static void backup_stalls(void)
{
    pulse_beat(TASK_BACKUP, loop_now() - mem_profile()->task[TASK_BACKUP].stall_ms_max - 1);
}
static void backup_moves(void)
{
    pulse_beat(TASK_BACKUP, loop_now());
}
static void backup_stalls_and_rests(void)
{
    backup_stalls();
    pulse_rest(TASK_BACKUP);
}
static void peer_goes(void)
{
    peer_is_well = false;
}

static const struct {
    const char *name;
    void (*first)(void);
    const char *method, *path;
    unsigned status;
    const char *body;
} cases[] = {
    {"all rest", nothing, "GET", "/healthz", 200, "ok\n"},
    {"one stalls", backup_stalls, "GET", "/healthz", 503, "stalled: backup\n"},
    {"it is asked again", nothing, "GET", "/healthz", 503, "stalled: backup\n"},
    {"a stall is no lack of readiness", nothing, "GET", "/readyz", 200, "ready\n"},
    {"it moves again", backup_moves, "GET", "/healthz", 200, "ok\n"},
    {"it rests by choice", backup_stalls_and_rests, "GET", "/healthz", 200, "ok\n"},
    {"lines", nothing, "GET", "/readyz?verbose", 200, "[+] peer\nready\n"},
    {"a peer that is gone is a line, not a 503", peer_goes, "GET", "/readyz?verbose", 200, "[-] peer: gone\nready\n"},
    {"no lines unless asked", nothing, "GET", "/readyz", 200, "ready\n"},
    {"only reading", nothing, "POST", "/healthz", 405, "only GET and HEAD here\n"},
    {"another agent's path", nothing, "GET", "/backups", 200, "[7]\n"},
    {"its head", nothing, "HEAD", "/backups", 200, ""},
    {"its second one", nothing, "GET", "/more", 200, "[8]\n"},
    {"with a query", nothing, "GET", "/backups?destination=a", 200, "[7]\n"},
    {"one that fails", nothing, "GET", "/fails", 500, "the request failed\n"},
    {"only reading there too", nothing, "POST", "/backups", 405, "only GET and HEAD here\n"},
    {"not below it", nothing, "GET", "/backups/", 404, NOT_HERE},
    {"the page of links", nothing, "GET", "/", 200, PAGE},
    {"its head too", nothing, "HEAD", "/", 200, ""},
    {"not there", nothing, "GET", "/healthzz", 404, NOT_HERE},
};

/* --- routes go while answers of theirs are in work, and peers that do not read leave the others their turn --- */

#define ASKING     3 /* this task has four sockets */
#define AT_ONCE    2 /* of others' routes: agents/metrics/metrics.c */
#define FLOOD_STEP KIB(64)

static unsigned flooding, floods_ended;
static err flood_ended_with;

static err answer_without_end(void *arg, struct http_exchange *x)
{
    static const char step[FLOOD_STEP];
    (void)arg;
    flooding++;
    err e = http_start(x, 200, "text/plain", -1);
    while (e == OK)
        e = http_write(x, step, sizeof step);
    flooding--;
    floods_ended++;
    flood_ended_with = e;
    return e;
}

static void ask_and_never_read(const struct addr *at, struct stream **s)
{
    static const char head[] = "GET /flood HTTP/1.1\r\nhost: hub\r\n\r\n";
    CHECK(tcp_connect(at, SOON, s) == OK && stream_write(*s, head, sizeof head - 1, SOON) == OK);
}

static void routes_go(struct metrics *m)
{
    static const struct metrics_route flood[] = {{"/flood", answer_without_end, NULL}};
    const struct addr *at = metrics_address(m);
    struct stream *asking[ASKING] = {NULL};
    metrics_set_routes(m, flood, 1);
    for (size_t i = 0; i < ASKING; i++)
        ask_and_never_read(at, &asking[i]);
    AWAIT(flooding == AT_ONCE);
    ms began = loop_now();
    CHECK(says(at, "GET", "/healthz", 200, "ok\n"));
    CHECK(says(at, "GET", "/flood", 503, "too many of these are being answered; ask again in a moment\n"));
    metrics_set_routes(m, NULL, 0);
    CHECK(flooding == 0 && floods_ended == AT_ONCE && flood_ended_with == E_CANCELED && loop_now() - began < SECONDS(8));
    CHECK(says(at, "GET", "/flood", 404, "not here; there are /metrics, /healthz and /readyz\n"));
    for (size_t i = 0; i < ASKING; i++)
        stream_close(asking[i]);
}

static err ask_all(void *arg)
{
    (void)arg;
    static const struct ready_line lines[] = {{"peer", say_peer, NULL}};
    struct metrics *m = NULL;
    struct metrics_options o = {.at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, .lines = lines, .line_count = 1};
    static int seven, eight = 8;
    static const struct metrics_route more[] = {
        {"/backups", answer_number, &seven}, {"/more", answer_number, &eight}, {"/fails", answer_fails, NULL}};
    o.routes = more;
    o.route_count = COUNT_OF(more);
    o.version = "test";
    o.target = "test";
    pulse_boot(loop_now());
    CHECK(metrics_start(&o, &m) == OK);
    seven = 7; /* only now */
    for (size_t i = 0; m && i < COUNT_OF(cases); i++) {
        cases[i].first();
        bool as_wanted = says(metrics_address(m), cases[i].method, cases[i].path, cases[i].status, cases[i].body);
        if (!as_wanted)
            print_error("  %s\n", cases[i].name);
        CHECK(as_wanted);
    }
    if (m)
        routes_go(m);
    metrics_stop(m, SOON);
    return OK;
}

static void answers(void **state)
{
    (void)state;
    fibers_run(ask_all, NULL, OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers)};
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || buf_boot() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
