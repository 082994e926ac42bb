/* Watches in the simulated world: several kinds heard by one fiber while the API server ends, cuts, expires, refuses, is silent
 * or says what does not fit; over HTTP/1.1, and some over TLS and HTTP/2. What was told, and what the server saw, is each story.
 */
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/api/kube/kube_watch.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"
#include "tests/support/kube_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS  3
#define CONFIG "/kube/config"
#define KINDS  2 /* pods and nodes; edge16's BOARD has four connections */

static struct kube_peer peer;
static struct {
    char told[2048];
    uint64_t arena[128]; /* 1 KiB */
    uint64_t opens, resets;
} seen;

static const struct pick_field metadata_fields[] = {
    {"name", PICK_SCALAR, NULL}, {"resourceVersion", PICK_SCALAR, NULL}, {"labels", PICK_MAP, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field status_fields[] = {{"phase", PICK_SCALAR, NULL}, {NULL, PICK_SCALAR, NULL}};
static const struct pick_field fields[] = {
    {"metadata", PICK_OBJECT, metadata_fields}, {"status", PICK_OBJECT, status_fields}, {NULL, PICK_SCALAR, NULL}};

#define OBJECT(name, version)                                                                                                    \
    "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version                                       \
    "\"},\"status\":{\"phase\":\"Running\"}}"
#define EVENT(type, name, version) "{\"type\":\"" type "\",\"object\":" OBJECT(name, version) "}\n"
#define MARK(version)              "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define STATUS(code, reason, message)                                                                                            \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"" message                   \
    "\",\"reason\":\"" reason "\",\"code\":" #code "}"
#define TOO_OLD "{\"type\":\"ERROR\",\"object\":" STATUS(410, "Expired", "too old resource version: 5 (9)") "}\n"
#define LONG32  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG    LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32
#define BIG(name, v)                                                                                                             \
    "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" v                            \
    "\",\"labels\":{\"a\":\"" LONG LONG LONG LONG LONG "\"}}}}\n"
#define PODS(v) "GET /api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=" v "\n"
#define QUIET_NODES                                                                                                              \
    {                                                                                                                            \
        "/nodes", 0, 200, KP_STUCK, NULL                                                                                         \
    }
#define REPLIES(...)       .replies = {__VA_ARGS__}
#define TAKES(least, most) .least_ms = (least), .most_ms = (most)

static const struct story {
    const char *name;
    const char *told;     /* "p+a5 n-b7 " */
    const char *server;   /* NULL: does not matter */
    ms least_ms, most_ms; /* until all of it was told */
    struct kube_reply replies[6];
    size_t piece_max;
    bool h2, account;    /* account: as in a pod */
    unsigned after_ms;   /* goes on listening so long: nothing more may be told */
    ms hole_at, hole_ms; /* nothing arrives then */
    ms waits_ms;         /* what the server asks for is told meanwhile */
} stories[] = {
    {"three events", "p+a5 p~a6 p-a7 ", PODS("1"), .after_ms = 5000,
     REPLIES({"/pods", 0, 200, EVENT("ADDED", "a", "5") EVENT("MODIFIED", "a", "6") EVENT("DELETED", "a", "7") KP_STUCK, NULL},
             QUIET_NODES)},
    {"a byte at a time", "p+a5 p~a6 p-a7 ", NULL, .piece_max = 1,
     REPLIES({"/pods", 0, 200, EVENT("ADDED", "a", "5") EVENT("MODIFIED", "a", "6") EVENT("DELETED", "a", "7") KP_STUCK, NULL},
             QUIET_NODES)},
    {"two kinds in turn", "p+a5 n+b6 p~a7 n-b8 ", NULL, TAKES(3000, 4000),
     REPLIES({"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_WAIT KP_WAIT EVENT("MODIFIED", "a", "7") KP_STUCK, NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_WAIT KP_WAIT EVENT("DELETED", "b", "8") KP_STUCK, NULL})},
    {"an object in pieces, another kind waits for its end", "p+a5 n+b6 ", NULL, TAKES(2000, 2900),
     REPLIES({"/pods", 0, 200,
              "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"," KP_WAIT KP_WAIT
              "\"resourceVersion\":\"5\"}}}" KP_STUCK,
              NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_STUCK, NULL})},
    {"an object that does not end", "n+b6 p+a5 ", NULL, TAKES(10000, 12500),
     REPLIES({"/pods", 1, 200, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{" KP_STUCK, NULL},
             {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_STUCK, NULL})},
    {"bookmarks move the version on", "p+a5 p@9 p+b11 ", PODS("1") PODS("9"), TAKES(2000, 3000),
     REPLIES({"/pods", 1, 200, EVENT("ADDED", "a", "5") KP_WAIT MARK("9") KP_WAIT, NULL},
             {"resourceVersion=9", 0, 200, EVENT("ADDED", "b", "11") KP_STUCK, NULL}, QUIET_NODES)},
    {"the server ends it", "p+a5 p+b6 ", PODS("1") PODS("5"), .most_ms = 300,
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5"), NULL}, QUIET_NODES)},
    {"cut between two", "p+a5 p+b6 ", PODS("1") PODS("5"), TAKES(100, 400),
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") KP_CUT, NULL}, QUIET_NODES)},
    {"cut in an object", "p+a5 p+b6 ", PODS("1") PODS("5"), TAKES(100, 400),
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") "{\"type\":\"ADDED\",\"object\":{\"meta" KP_CUT, NULL}, QUIET_NODES)},
    {"ended in an object", "p+a5 p+b6 ", PODS("1") PODS("5"), TAKES(100, 400),
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") "{\"type\":\"ADD", NULL}, QUIET_NODES)},
    {"too old, as an event", "p+a5 p!GONE p+b31 ", PODS("1") PODS("30"),
     REPLIES({"resourceVersion=30", 0, 200, EVENT("ADDED", "b", "31") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") TOO_OLD, NULL}, QUIET_NODES)},
    {"too old, as an answer", "p!GONE p+b31 ", PODS("1") PODS("30"),
     REPLIES({"resourceVersion=30", 0, 200, EVENT("ADDED", "b", "31") KP_STUCK, NULL},
             {"/pods", 1, 410, STATUS(410, "Expired", "too old resource version"), NULL}, QUIET_NODES)},
    {"a version that never was: etcd went back", "p!GONE p+b31 ", PODS("1") PODS("1") PODS("1") PODS("1") PODS("30"),
     TAKES(3000, 9000),
     REPLIES({"resourceVersion=30", 0, 200, EVENT("ADDED", "b", "31") KP_STUCK, NULL},
             {"/pods", 0, 504,
              "{\"kind\":\"Status\",\"code\":504,\"reason\":\"Timeout\",\"message\":\"Timeout: Too large resource version: 9, "
              "current: 4\","
              "\"details\":{\"retryAfterSeconds\":1}}",
              NULL},
             QUIET_NODES)},
    {"forbidden, others go on", "p!FORBIDDEN n+b6 p+a7 ", PODS("1") PODS("1"), TAKES(1000, 2000),
     REPLIES({"/pods", 1, 403, STATUS(403, "Forbidden", "pods is forbidden"), NULL},
             {"/pods", 0, 200, EVENT("ADDED", "a", "7") KP_STUCK, NULL},
             {"/nodes", 1, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_STUCK, NULL}, {"/nodes", 0, 200, KP_STUCK, NULL})},
    {"absent", "p!ABSENT n+b6 ", NULL, TAKES(1000, 1500), .after_ms = 5000,
     REPLIES({"/pods", 1, 404, "404 page not found\n", NULL}, {"/pods", 0, 200, KP_STUCK, NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_STUCK, NULL})},
    {"429 with Retry-After", "p+a5 ", PODS("1") PODS("1"), TAKES(7000, 8500),
     REPLIES({"/pods", 1, 429, STATUS(429, "TooManyRequests", "later"), "Retry-After: 7"},
             {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"429 with a Retry-After of an hour: not longer than our bound", "p+a5 ", PODS("1") PODS("1"),
     TAKES(SECONDS(KUBE_RETRY_AFTER_S), SECONDS(KUBE_RETRY_AFTER_S) + 1500), .waits_ms = SECONDS(KUBE_RETRY_AFTER_S),
     REPLIES({"/pods", 1, 429, STATUS(429, "TooManyRequests", "later"), "Retry-After: 3600"},
             {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"429 whose body asks for an hour", "p+a5 ", PODS("1") PODS("1"),
     TAKES(SECONDS(KUBE_RETRY_AFTER_S), SECONDS(KUBE_RETRY_AFTER_S) + 1500), .waits_ms = SECONDS(KUBE_RETRY_AFTER_S),
     REPLIES({"/pods", 1, 429, "{\"kind\":\"Status\",\"code\":429,\"details\":{\"retryAfterSeconds\":3600}}", NULL},
             {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"503 some times", "p+a5 ", NULL, TAKES(600, 3000),
     REPLIES({"/pods", 3, 503, "down\n", NULL}, {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"no answer to it", "p+a5 ", NULL, TAKES(30000, 31000),
     REPLIES({"/pods", 1, 0, "", NULL}, {"/pods", 1, 200, "", NULL},
             {"/pods", 0, 200, KP_LONG EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"one that does not fit", "p+a5 p?~big6 p+c7 ", PODS("1") PODS("5"), .most_ms = 600,
     REPLIES({"resourceVersion=5", 0, 200, BIG("big", "6") EVENT("ADDED", "c", "7") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") BIG("big", "6") EVENT("ADDED", "c", "7") KP_STUCK, NULL}, QUIET_NODES)},
    {"a field of another kind", "p?+odd6 p+c7 ", NULL, .most_ms = 600,
     REPLIES(
         {"/pods", 0, 200,
          "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"odd\",\"resourceVersion\":\"6\"},\"status\":\"x\"}}\n" EVENT(
              "ADDED", "c", "7") KP_STUCK,
          NULL},
         QUIET_NODES)},
    {"no JSON, then well", "p+a5 ", NULL, TAKES(100, 600),
     REPLIES({"/pods", 2, 200, "<html>" KP_STUCK, NULL}, {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL},
             QUIET_NODES)},
    {"events that are not known", "p+a5 ", NULL,
     REPLIES(
         {"/pods", 0, 200, "{}\n{\"type\":\"NEWS\",\"object\":{}}{\"type\":\"ADDED\"} " EVENT("ADDED", "a", "5") KP_STUCK, NULL},
         QUIET_NODES)},
    {"white space where it may be", "p+a5 p!GONE p+b31 ", NULL,
     REPLIES({"resourceVersion=30", 0, 200, EVENT("ADDED", "b", "31") KP_STUCK, NULL},
             {"/pods", 0, 200,
              "\n { \"type\" :\t\"ADDED\", \"object\": " OBJECT("a", "5") " } \r\n{ \"type\" : \"ERROR\" , \"object\":" STATUS(
                  410, "Gone", "x") "}",
              NULL},
             QUIET_NODES)},
    {"silent for long, and cut off", "p+a5 ", NULL, TAKES(120000, 125000), .hole_at = 1000, .hole_ms = 100000,
     REPLIES({"/pods", 1, 200, KP_STUCK, NULL}, {"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},

    {"h2: two kinds on one connection", "p+a5 n+b6 p~a7 n-b8 ", NULL, TAKES(3000, 4000), .h2 = true,
     REPLIES({"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_WAIT KP_WAIT EVENT("MODIFIED", "a", "7") KP_STUCK, NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "b", "6") KP_WAIT KP_WAIT EVENT("DELETED", "b", "8") KP_STUCK, NULL})},
    {"h2: as in a pod", "p+a5 ", PODS("1"), .h2 = true, .account = true,
     REPLIES({"/pods", 0, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"h2: the connection dies", "p+a5 p+b6 n+c7 ", NULL, TAKES(1000, 2500), .h2 = true,
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") KP_WAIT KP_CUT, NULL}, {"/nodes", 1, 200, KP_STUCK, NULL},
             {"/nodes", 0, 200, KP_WAIT EVENT("ADDED", "c", "7") KP_STUCK, NULL})},
    {"h2: one is too old, the other stays", "p!GONE n+c7 p+b31 ", PODS("1") PODS("30"), TAKES(1000, 1600), .h2 = true,
     REPLIES({"resourceVersion=30", 0, 200, KP_WAIT EVENT("ADDED", "b", "31") KP_STUCK, NULL}, {"/pods", 1, 200, TOO_OLD, NULL},
             {"/nodes", 0, 200, EVENT("ADDED", "c", "7") KP_STUCK, NULL})},
    {"h2: half open is noticed in 30 s", "p+a5 p+b6 ", NULL, TAKES(15000, 33000), .h2 = true, .hole_at = 1000, .hole_ms = 25000,
     REPLIES({"resourceVersion=5", 0, 200, EVENT("ADDED", "b", "6") KP_STUCK, NULL},
             {"/pods", 1, 200, EVENT("ADDED", "a", "5") KP_STUCK, NULL}, QUIET_NODES)},
    {"h2: quiet, but alive", "p+a5 p+b6 ", PODS("1"), TAKES(60000, 61000), .h2 = true,
     REPLIES({"/pods", 1, 200, EVENT("ADDED", "a", "5") KP_LONG KP_LONG EVENT("ADDED", "b", "6") KP_STUCK, NULL}, QUIET_NODES)},
};

/* --- the program --- */

/* The two kinds have connections of their own over HTTP/1.1, so their order is not told. */
static const char *seen_of_pods(void)
{
    static char out[KUBE_PEER_TOLD_MAX];
    struct text t = text_over(out, sizeof out);
    for (const char *line = peer.told; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "GET /api/v1/pods", 16) == 0)
            text_add_bytes(&t, (struct bytes){(const uint8_t *)line, strcspn(line, "\n") + 1});
    return out;
}

static void tell_event(const struct kube_event *v)
{
    static const char marks[] = {[KUBE_EVENT_ADDED] = '+', [KUBE_EVENT_MODIFIED] = '~', [KUBE_EVENT_DELETED] = '-'};
    size_t len = strlen(seen.told);
    char *to = seen.told + len;
    size_t cap = sizeof seen.told - len;
    struct bytes name = pick_text_at(v->object, "metadata.name");
    if (v->type == KUBE_EVENT_BOOKMARK)
        (void)snprintf(to, cap, "%c@%s ", (char)v->tag, v->resource_version);
    else if (v->status)
        (void)snprintf(to, cap, "%c!%s ", (char)v->tag, kube_event_name(v->type));
    else
        (void)snprintf(to, cap, "%c%s%c%.*s%s ", (char)v->tag, v->type == KUBE_EVENT_OVERSIZED ? "?" : "", marks[v->of],
                       (int)name.len, (const char *)name.at, v->resource_version);
}

static err listen_until(const struct story *s, struct kube_watches *w, ms deadline)
{
    struct kube_event v;
    while (strlen(seen.told) < strlen(s->told)) {
        TRY(kube_watch_next(w, deadline, &v));
        tell_event(&v);
        if (v.type == KUBE_EVENT_GONE)
            TRY(kube_watch_restart(w, v.tag, "30"));
    }
    return OK;
}

/* Until it may ask again; then it does not wait any more. */
static err see_it_wait(const struct story *s, struct kube_watches *w)
{
    struct kube_event v;
    ms began = loop_now();
    SIM_CHECK(kube_watch_look(w, 'p').waits_until == 0);
    err e = kube_watch_next(w, loop_now() + SECONDS(1), &v);
    ms until = kube_watch_look(w, 'p').waits_until;
    if (e == E_TIMEOUT && (until < began + s->waits_ms || until > began + s->waits_ms + 1500))
        sim_fail("%s: it waits until %lld, asked at %lld", s->name, (long long)until, (long long)began);
    SIM_CHECK(kube_watch_look(w, 'n').waits_until == 0);
    return e == E_TIMEOUT ? OK : e;
}

static err watch_them(const struct story *s, struct kube *k)
{
    struct kube_watches *w = NULL;
    struct kube_event v;
    ms began = loop_now();
    TRY(kube_watches_open(k, seen.arena, sizeof seen.arena, &w));
    err e = kube_watch_add(w, "/api/v1/pods", "1", fields, 'p');
    if (e == OK)
        e = kube_watch_add(w, "/api/v1/nodes", "1", fields, 'n');
    if (e == OK && s->waits_ms)
        e = see_it_wait(s, w);
    if (e == OK)
        e = listen_until(s, w, began + MINUTES(20));
    if (e == OK)
        SIM_CHECK(kube_watch_look(w, 'p').waits_until == 0);
    ms took = loop_now() - began;
    if (e == OK && s->after_ms) {
        SIM_CHECK_ERR(kube_watch_next(w, loop_now() + s->after_ms, &v), E_TIMEOUT);
        SIM_CHECK(kube_watch_look(w, 'n').open);
    }
    kube_watches_close(w);
    char text[512];
    trail_text(e, text, sizeof text);
    if (!sim_fault_name() && (e != OK || strcmp(seen.told, s->told) != 0 || took < s->least_ms ||
                              took > (s->most_ms ? s->most_ms : 500) || (s->server && strcmp(seen_of_pods(), s->server) != 0)))
        sim_fail("%s: %s after %lld ms: %s; told: %s; the server saw: %s", s->name, err_name(e), (long long)took, text, seen.told,
                 peer.told);
    return e;
}

static void hole_begin(struct timer *t)
{
    sim_link(&peer.at, (struct sim_link){.black_hole = true});
    (void)t;
}

static void hole_end(struct timer *t)
{
    sim_link(&peer.at, (struct sim_link){.delay_ms = 0});
    (void)t;
}

static err with_client(const struct story *s, struct dns *dns)
{
    static struct lane lane;
    struct kube *k = NULL;
    struct timer begin = {.fire = hole_begin}, end = {.fire = hole_end};
    struct kube_options o = {.kubeconfig = CONFIG, .lane = &lane, .dns = dns};
    if (s->account)
        o = (struct kube_options){
            .lane = &lane, .dns = dns, .service_host = "10.0.0.1", .service_port = "6443", .account_folder = "/account"};
    lane_open(&lane, "kube files", mem_task(), 4);
    err e = kube_open(&o, loop_now() + SECONDS(10), &k);
    if (e == OK)
        SIM_CHECK(kube_in_cluster(k) == s->account && strcmp(kube_namespace(k), s->account ? "hf" : "") == 0);
    if (s->hole_ms) {
        timer_arm(&begin, loop_now() + s->hole_at);
        timer_arm(&end, loop_now() + s->hole_at + s->hole_ms);
    }
    if (e == OK)
        e = watch_them(s, k);
    timer_disarm(&begin);
    timer_disarm(&end);
    kube_close(k);
    lane_close(&lane);
    return e;
}

static err peer_secured(void)
{
    static const char *const alpn[] = {"h2", NULL};
    struct tls_identity *identity = NULL;
    TRY(tls_identity_parse(cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &identity));
    err e = tls_config_open(&(struct tls_options){.server = true, .identity = identity, .alpn = alpn}, &peer.tls);
    tls_identity_release(identity);
    return e;
}

static err run_story(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    const struct story *s = arg;
    struct dns *dns = NULL;
    err e = dns_open_with(&numeric, &dns);
    if (e == OK && s->h2)
        e = peer_secured();
    peer.server.tls = NULL; /* kube_peer's is used */
    if (e == OK)
        e = kube_peer_open(&peer);
    if (e == OK)
        e = with_client(s, dns);
    if (peer.replies)
        kube_peer_close(&peer);
    tls_config_release(peer.tls);
    dns_close(dns);
    return e;
}

static void setup(void *arg)
{
    static char config[512];
    const struct story *s = arg;
    memset(&peer, 0, sizeof peer);
    memset(&seen, 0, sizeof seen);
    peer.at = sim_ip(s->h2 ? "10.0.0.1:6443" : "127.0.0.1:8001");
    peer.listener = SOCK_CLOSED;
    peer.replies = s->replies;
    peer.piece_max = s->piece_max;
    (void)snprintf(
        config, sizeof config,
        "current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: '%s', "
        "certificate-authority: ca.crt}}]\n",
        s->h2 ? "https://10.0.0.1:6443" : "http://127.0.0.1:8001");
    sim_disk_folder("/kube");
    sim_disk_put(CONFIG, bytes_of(config));
    if (s->h2)
        sim_disk_put("/kube/ca.crt", cert(CERT_CA));
    if (!s->account)
        return;
    sim_disk_folder("/account");
    sim_disk_put("/account/ca.crt", cert(CERT_CA));
    sim_disk_put("/account/token", bytes_of("token"));
    sim_disk_put("/account/namespace", bytes_of("hf\n"));
}

static void a_story(void **state)
{
    const struct story *s = *state;
    struct sim_case c = {.name = s->name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)s, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

static void each_call_fails_once(void **state)
{
    static const struct story all = {.name = "everything",
                                     .told = "p+a5 p?~big6 p!GONE p+b31 ",
                                     .most_ms = MINUTES(20),
                                     .replies = {{"resourceVersion=30", 0, 200, EVENT("ADDED", "b", "31") KP_STUCK, NULL},
                                                 {"resourceVersion=5", 0, 200, BIG("big", "6") TOO_OLD, NULL},
                                                 {"/pods", 0, 200, EVENT("ADDED", "a", "5") BIG("big", "6") KP_STUCK, NULL},
                                                 {"/nodes", 0, 200, KP_STUCK, NULL}}};
    struct sim_case c = {
        .name = all.name, .setup = setup, .run = run_story, .arg = (void *)(uintptr_t)&all, .step = 3, .fibers = true};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(stories) + 1];
    bool secured = certs_make();
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        if (!stories[i].h2 || secured)
            tests[count++] = (struct CMUnitTest){stories[i].name, a_story, NULL, NULL, (void *)(uintptr_t)&stories[i]};
    if (!secured)
        print_message("skipped: h2: no openssl here\n");
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(each_call_fails_once);
    return _cmocka_run_group_tests("kube_watch", tests, count, NULL, NULL);
}
