/* Tokens and deliveries in the simulated world, over HTTP/1.1 and over HTTP/2 in TLS: what each answer means, how often and when
 * it is tried again, and that of many events none is lost; then each fallible call fails once. */
#include "agents/ingest/deliver.h"
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "net/format/crypto.h"
#include "net/proto/web.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"
#include "tests/support/platform_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SEEDS     2
#define SNAPSHOT  "/data/snapshot.json"
#define BYTES     (KIB(100) + 7)
#define IN_FLIGHT 8

/* RFC 6979's example, A.2.5, and 2. */
static const struct pem_key key = {{0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21,
                                    0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3, 0xdb, 0x36, 0xe8,
                                    0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21}},
                            other_key = {{[31] = 2}};

static struct platform_peer peer;
static bool over_h2;

/* --- a world: a platform, and we --- */

struct world {
    struct dns *dns;
    struct tls_config *tls;
    struct lane disk;
    struct oauth2 *oauth2;
    struct deliver *deliver;
};

static err tls_of(bool server, struct tls_config **out)
{
    static const char *const alpn_h2[] = {"h2", NULL};
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    err e = server ? tls_identity_parse(cert(CERT_SERVER), cert_key(CERT_SERVER_KEY), &identity)
                   : tls_trust_parse(cert(CERT_CA), &trust);
    if (e == OK)
        e = tls_config_open(
            &(struct tls_options){.server = server, .trust = trust, .identity = identity, .alpn = server ? alpn_h2 : web_alpn},
            out);
    tls_trust_release(trust);
    tls_identity_release(identity);
    return e;
}

static err snapshot_make(struct lane *disk)
{
    struct writer *w = NULL;
    struct buf *b = NULL;
    TRY(file_make_folder(disk, "/data", FOREVER));
    err e = writer_open(disk, SNAPSHOT, 1, NULL, 0, FOREVER, &w);
    for (size_t at = 0, len; e == OK && at < BYTES; at += len) {
        len = size_min(BYTES - at, KIB(16));
        if ((e = buf_wait(KIB(16), FOREVER, &b)) != OK)
            break;
        b->len = len;
        for (size_t i = 0; i < len; i++)
            b->at[i] = sim_pattern(at + i);
        e = writer_append(w, b, false, FOREVER);
    }
    if (e == OK)
        e = writer_commit_over(w, FOREVER);
    writer_close(w);
    return e;
}

static void world_close(struct world *w)
{
    deliver_close(w->deliver);
    oauth2_close(w->oauth2);
    lane_close(&w->disk);
    tls_config_release(w->tls);
    dns_close(w->dns);
    *w = (struct world){0};
}

static err world_open(struct world *w, bool with_file)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    const char *url = over_h2 ? "https://10.0.0.1:443/" : "http://10.0.0.1:80/";
    *w = (struct world){0};
    lane_open(&w->disk, "disk", TASK_BOARD, 2);
    TRY(dns_open_with(&numeric, &w->dns));
    if (over_h2)
        TRY(tls_of(false, &w->tls));
    if (with_file)
        TRY(snapshot_make(&w->disk));
    struct oauth2_options o = {url, w->dns, w->tls, true, TASK_BOARD};
    TRY(oauth2_open(&o, &w->oauth2));
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &key));
    struct deliver_options d = {url, w->dns, w->tls, true, w->oauth2, &w->disk, IN_FLIGHT};
    return deliver_open(&d, &w->deliver);
}

/* What lives as long as the process: the crypto library, the metrics of the platform's HTTP server. */
static void boot(void)
{
    static struct family any = {.name = "any", .help = "any", .type = METRIC_GAUGE};
    struct series *series;
    SIM_CHECK_ERR(crypto_boot(), OK);
    SIM_CHECK_ERR(metric_series(&any, NULL, &series), OK);
}

static void setup(void *arg)
{
    (void)arg;
    memset(&peer, 0, sizeof peer);
    peer.at = sim_ip(over_h2 ? "10.0.0.1:443" : "10.0.0.1:80");
    peer.life_s = 3600;
    sim_boot(boot);
    sim_wall_set(((int64_t)time(NULL) + 60) * 1000); /* the certificates were made just now */
}

/* Runs body between a platform and its end. */
static err with_world(err (*body)(struct world *w, const void *arg), const void *arg, bool with_file)
{
    struct world w = {0};
    struct tls_config *server = NULL;
    err e = over_h2 ? tls_of(true, &server) : OK;
    peer.tls = server;
    if (e == OK)
        e = platform_peer_open(&peer);
    if (e == OK)
        e = world_open(&w, with_file);
    if (e == OK)
        e = body(&w, arg);
    world_close(&w);
    platform_peer_close(&peer);
    tls_config_release(server);
    if (!sim_fault_name() && peer.wrong > 0)
        sim_fail("the platform saw %u wrong things, first %s", peer.wrong, peer.why);
    return e;
}

static void check(void *arg, err result)
{
    char why[512];
    (void)arg;
    if (result != OK && !sim_fault_name())
        sim_fail("%s", trail_text(result, why, sizeof why));
}

/* --- one call and its answers --- */

#define SELF               PLATFORM_OPS /* the call that is tried */
#define FAULTS(...)        .faults = {__VA_ARGS__}
#define STATUS(n)          FAULTS({.op = SELF, .from = 1, .status = (n)})
#define ONCE(n)            FAULTS({.op = SELF, .from = 1, .to = 1, .status = (n)})
#define TAKES(least, most) .least_ms = (least), .most_ms = (most)
#define SOON               TAKES(0, 900)
#define FIRST              TAKES(1800, 2700) /* one pause */
#define ALL                TAKES(27000, 36000)

struct story {
    const char *name;
    enum deliver_outcome outcome;
    enum deliver_reason reason;
    unsigned status, attempts, tokens; /* tokens: asked for */
    ms least_ms, most_ms;              /* of virtual time */
    struct platform_fault faults[2];
    const char *token_answer;
    bool h1_only, nobody, not_snapshot;
    unsigned refused_below;
};
static const struct story stories[] = {
    {"200 (AC-11)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, SOON},
    {"201 (AC-11)", DELIVER_GOOD, DELIVER_REASON_NONE, 201, 1, 1, SOON, STATUS(201)},
    {"202 with a body", DELIVER_GOOD, DELIVER_REASON_NONE, 202, 1, 1, SOON,
     FAULTS({.op = SELF, .from = 1, .status = 202, .body = "{\"ok\":true}"})},
    {"400 (AC-15)", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 400, 1, 1, SOON, STATUS(400)},
    {"403", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 403, 1, 1, SOON, STATUS(403)},
    {"404", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 404, 1, 1, SOON, STATUS(404)},
    {"413", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 413, 1, 1, SOON, STATUS(413)},
    {"422", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 422, 1, 1, SOON, STATUS(422)},
    {"499", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 499, 1, 1, SOON, STATUS(499)},
    {"401 once: another token, at once (X-9)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, SOON, ONCE(401)},
    {"401 of an old token", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, SOON, .refused_below = 2},
    {"401 for ever: kept, not rejected", DELIVER_LATER, DELIVER_REASON_UNAUTHORIZED, 401, 2, 2, SOON, STATUS(401)},
    {"401, then 400", DELIVER_REJECTED, DELIVER_REASON_REJECTED, 400, 2, 2, SOON,
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 401}, {.op = SELF, .from = 2, .status = 400})},
    {"500, 500, 200 (AC-14)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 3, 1, TAKES(5400, 7500),
     FAULTS({.op = SELF, .from = 1, .to = 2, .status = 500})},
    {"500 for ever", DELIVER_LATER, DELIVER_REASON_SERVER, 500, 5, 1, ALL, STATUS(500)},
    {"599", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(599)},
    {"408", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(408)},
    {"425", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(425)},
    {"429", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, ONCE(429)},
    {"429 for ever", DELIVER_LATER, DELIVER_REASON_THROTTLED, 429, 5, 1, ALL, STATUS(429)},
    {"429 and Retry-After (X-10)", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(7000, 7900),
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 429, .header = "Retry-After: 7"}), .h1_only = true},
    {"503 and a Retry-After that is shorter than our pause", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST,
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 503, .header = "Retry-After: 1"}), .h1_only = true},
    {"503 and a Retry-After of a day", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(300000, 301000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .status = 503, .header = "Retry-After: 86400"}), .h1_only = true},
    {"302 is not followed", DELIVER_LATER, DELIVER_REASON_REDIRECT, 302, 5, 1, ALL,
     FAULTS({.op = SELF, .from = 1, .status = 302, .header = "Location: http://10.0.0.9/"})},
    {"cut", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, FIRST, FAULTS({.op = SELF, .from = 1, .to = 1, .how = PLATFORM_CUT})},
    {"silent", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 1, TAKES(31000, 34000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .how = PLATFORM_SILENT, .wait_ms = 290000}),
     .not_snapshot = true}, /* that one has five minutes */
    {"slow", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, TAKES(20000, 21000),
     FAULTS({.op = SELF, .from = 1, .to = 1, .wait_ms = 20000})},
    {"no token at first", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 2, 2, FIRST,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .to = 1, .status = 500})},
    {"credentials refused", DELIVER_LATER, DELIVER_REASON_CREDENTIALS, 0, 5, 5, ALL,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .status = 401, .body = "{\"error\":\"invalid_client\"}"})},
    {"no token in the answer", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL, .token_answer = "{}"},
    {"no JSON in the answer", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL, .token_answer = "<html>"},
    {"a token that would end the line", DELIVER_LATER, DELIVER_REASON_TOKEN, 0, 5, 5, ALL,
     .token_answer = "{\"access_token\":\"a\\r\\nb: c\"}"},
    {"201 with a token", DELIVER_GOOD, DELIVER_REASON_NONE, 200, 1, 1, SOON,
     FAULTS({.op = PLATFORM_TOKEN, .from = 1, .status = 201})},
    {"nobody (X-11)", DELIVER_LATER, DELIVER_REASON_NETWORK, 0, 5, 0, ALL, .nobody = true},
};

static enum platform_op op;

static err call(struct world *w, ms deadline, struct deliver_result *out)
{
    uint64_t tag = 0;
    if (op == PLATFORM_HEARTBEAT)
        return deliver_heartbeat(w->deliver, bytes_of("{\"cluster_uid\":\"u\"}"), deadline, out);
    if (op == PLATFORM_SNAPSHOT)
        return deliver_snapshot(w->deliver, SNAPSHOT, BYTES, deadline, out);
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), 77));
    err e = deliver_collect(w->deliver, deadline, &tag, out);
    SIM_CHECK(e != OK || tag == 77);
    SIM_CHECK(e != OK || deliver_in_flight(w->deliver) == 0);
    return e;
}

static uint32_t snapshot_sum(void)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < BYTES; i++)
        sum = sum * 31 + sim_pattern(i);
    return sum;
}

static void health_check(struct world *w, const struct story *s)
{
    const struct deliver_health *h = deliver_health(w->deliver);
    bool good = s->outcome == DELIVER_GOOD;
    SIM_CHECK(h->healthy == good && h->errors == (good ? 0 : 1)); /* AC-21, AC-22 */
    SIM_CHECK((h->last_success_s > 0) == good && (h->last_error.reason == s->reason));
    SIM_CHECK(h->good + h->rejected + h->later == 1 && h->http2 == (over_h2 && !s->nobody && h->connected));
}

static err tell(struct world *w, const void *arg)
{
    const struct story *s = arg;
    struct deliver_result r = {0};
    ms began = loop_now();
    SIM_CHECK(!deliver_health(w->deliver)->healthy);
    err e = call(w, began + MINUTES(20), &r);
    ms took = loop_now() - began;
    if (e != OK || r.outcome != s->outcome || r.reason != s->reason || r.status != s->status || r.attempts != s->attempts ||
        took < s->least_ms || took > s->most_ms || peer.count[PLATFORM_TOKEN] != s->tokens)
        sim_fail("%s: %s: %s, %s, status %u, %u attempts, %u tokens after %lld ms", s->name, err_name(e),
                 deliver_outcome_name(r.outcome), deliver_reason_text(r.reason), r.status, r.attempts, peer.count[PLATFORM_TOKEN],
                 (long long)took);
    SIM_CHECK(s->tokens == 0 || s->status == 0 ||
              peer.count[op] == s->attempts - (s->tokens > 1 && s->refused_below == 0 && s->faults[0].op == PLATFORM_TOKEN));
    if (op == PLATFORM_SNAPSHOT && s->outcome == DELIVER_GOOD && !over_h2)
        SIM_CHECK(peer.body_sum == snapshot_sum());
    if (op == PLATFORM_SNAPSHOT && s->outcome == DELIVER_GOOD)
        SIM_CHECK(peer.body_bytes[op] % BYTES == 0);
    health_check(w, s);
    return OK;
}

static err run_story(void *arg)
{
    static struct platform_fault faults[2];
    const struct story *s = arg;
    memcpy(faults, s->faults, sizeof faults);
    for (unsigned i = 0; i < 2; i++)
        if (faults[i].op == SELF)
            faults[i].op = op;
    peer.faults = faults;
    peer.fault_count = 2;
    peer.token_answer = s->token_answer;
    peer.refused_below = s->refused_below;
    if (s->nobody) {
        struct world w;
        err e = world_open(&w, true);
        if (e == OK)
            e = tell(&w, s);
        world_close(&w);
        return e;
    }
    return with_world(tell, s, true);
}

static void a_story(void **state)
{
    const struct story *s = *state;
    char name[128];
    static const char *const ops[] = {NULL, "snapshot", "event", "heartbeat"};
    for (op = s->not_snapshot ? PLATFORM_EVENT : PLATFORM_SNAPSHOT; op < PLATFORM_OPS; op++)
        for (unsigned h2 = 0; h2 < (s->h1_only ? 1 : 2); h2++) {
            over_h2 = h2;
            (void)snprintf(name, sizeof name, "%s %s %s", s->name, ops[op], h2 ? "h2" : "h1");
            struct sim_case c = {
                .name = name, .setup = setup, .run = run_story, .check = check, .arg = (void *)(uintptr_t)s, .fibers = true};
            assert_true(sim_seeds(&c, SEEDS));
        }
}

int main(void)
{
    static struct CMUnitTest tests[COUNT_OF(stories)];
    if (!certs_make())
        return 1;
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[i] =
            (struct CMUnitTest){.name = stories[i].name, .test_func = a_story, .initial_state = (void *)(uintptr_t)&stories[i]};
    (void)other_key;
    return cmocka_run_group_tests_name("deliver in the sim", tests, NULL, NULL);
}
