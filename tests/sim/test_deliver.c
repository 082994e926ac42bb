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

static ms shut_at = FOREVER;
static int looks = -1; /* after so many it is shut; -1: never so */

static ms ours_until(const void *arg)
{
    (void)arg;
    if (looks == 0)
        return 0;
    looks -= looks > 0;
    return shut_at;
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
    struct deliver_options d = {url, w->dns, w->tls, true, w->oauth2, &w->disk, IN_FLIGHT, ours_until, NULL};
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
    looks = -1;
    shut_at = FOREVER;
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

/* The same over each protocol, with some seeds. */
static void over_both(const char *name, err (*run)(void *arg), const void *arg, bool h1_only)
{
    for (unsigned h2 = 0; h2 < (h1_only ? 1 : 2); h2++) {
        char full[128];
        over_h2 = h2;
        (void)snprintf(full, sizeof full, "%s %s", name, h2 ? "h2" : "h1");
        struct sim_case c = {
            .name = full, .setup = setup, .run = run, .check = check, .arg = (void *)(uintptr_t)arg, .fibers = true};
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void a_story(void **state)
{
    const struct story *s = *state;
    char name[128];
    static const char *const ops[] = {NULL, "snapshot", "event", "heartbeat"};
    for (op = s->not_snapshot ? PLATFORM_EVENT : PLATFORM_SNAPSHOT; op < PLATFORM_OPS; op++) {
        (void)snprintf(name, sizeof name, "%s %s", s->name, ops[op]);
        over_both(name, run_story, s, s->h1_only);
    }
}

/* --- tokens --- */

static err take(struct world *w, ms within, unsigned want)
{
    struct oauth2_token *t = NULL;
    char text[32];
    err e = oauth2_take(w->oauth2, loop_now() + within, &t);
    (void)snprintf(text, sizeof text, "Bearer tok-%u", want);
    if (e == OK && want > 0 && !sim_fault_name() && strcmp(t->authorization, text) != 0)
        sim_fail("got %s, not %s", t->authorization, text);
    oauth2_release(t);
    return e;
}

static err sleep_s(int64_t s)
{
    return fiber_sleep(loop_now() + SECONDS(s));
}

/* AC-7, AC-9, AC-10: kept; the same credentials change nothing, others do. */
static err kept(struct world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(take(w, SECONDS(5), 1));
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &key));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(peer.count[PLATFORM_TOKEN] == 1);
    TRY(oauth2_set_credentials(w->oauth2, "client-7", &other_key));
    TRY(take(w, SECONDS(5), 2));
    TRY(oauth2_set_credentials(w->oauth2, "client-8", &other_key));
    TRY(take(w, SECONDS(5), 3));
    SIM_CHECK(oauth2_set_credentials(w->oauth2, "", &key) == E_RANGE);
    trail_clear();
    return take(w, SECONDS(5), 3);
}

/* Of 1,000 s: renewed after 800 s, not before. */
static err renewed(struct world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(798));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(3));
    TRY(take(w, SECONDS(5), 2));
    struct oauth2_state s = oauth2_state(w->oauth2);
    SIM_CHECK(s.has_token && s.fetched == 2 && s.failed == 0 && s.last_status == 200);
    SIM_CHECK(s.expires_at - loop_now() > SECONDS(990) && s.expires_at - loop_now() <= SECONDS(1000));
    return OK;
}

/* A renewal that fails keeps the old one (L9), is tried again after a pause, and at the end there is none. */
static err renewal_fails(struct world *w, const void *arg)
{
    static const struct platform_fault down[] = {{.op = PLATFORM_TOKEN, .from = 2, .status = 503}};
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(801));
    peer.faults = down;
    peer.fault_count = 1;
    TRY(take(w, SECONDS(5), 1));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(peer.count[PLATFORM_TOKEN] == 2);
    TRY(sleep_s(16));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(peer.count[PLATFORM_TOKEN] == 3 && oauth2_state(w->oauth2).failed == 2);
    TRY(sleep_s(184));
    SIM_CHECK(take(w, SECONDS(5), 0) == E_REMOTE);
    trail_clear();
    peer.fault_count = 0;
    return take(w, SECONDS(5), 2);
}

/* No expires_in: a minute. 1 s: a second (AC-8). */
static err short_lives(struct world *w, const void *arg)
{
    (void)arg;
    peer.life_s = 0;
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(46));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(15));
    peer.life_s = 1;
    TRY(take(w, SECONDS(5), 2));
    TRY(sleep_s(1));
    return take(w, SECONDS(5), 3);
}

/* The wall clock jumps by a day: lives are not counted on it. */
static err clock_jumps(struct world *w, const void *arg)
{
    (void)arg;
    TRY(take(w, SECONDS(5), 1));
    sim_wall_jump_at(loop_now() + 100, HOURS(24));
    sim_wall_jump_at(loop_now() + SECONDS(200), -HOURS(72));
    TRY(sleep_s(100));
    TRY(take(w, SECONDS(5), 1));
    TRY(sleep_s(200));
    TRY(take(w, SECONDS(5), 1));
    SIM_CHECK(peer.count[PLATFORM_TOKEN] == 1);
    return OK;
}

static err refused_token(struct world *w, const void *arg)
{
    struct oauth2_token *old = NULL;
    (void)arg;
    TRY(oauth2_take(w->oauth2, loop_now() + SECONDS(5), &old));
    oauth2_invalidate(w->oauth2, old);
    err e = take(w, SECONDS(5), 2);
    oauth2_invalidate(w->oauth2, old); /* another has come since */
    oauth2_release(old);
    if (e == OK)
        e = take(w, SECONDS(5), 2);
    SIM_CHECK(e != OK || peer.count[PLATFORM_TOKEN] == 2);
    return e;
}

struct waiter {
    struct world *w;
    ms within;
    err got;
    ms took;
};

static err waiter_run(void *arg)
{
    struct waiter *a = arg;
    ms began = loop_now();
    a->got = take(a->w, a->within, 0);
    a->took = loop_now() - began;
    trail_clear();
    return OK;
}

static err waiters_run(struct waiter *all, unsigned count)
{
    struct group g;
    group_open(&g, TASK_INGEST);
    err e = OK;
    for (unsigned i = 0; e == OK && i < count; i++)
        e = group_spawn(&g, "waiter", waiter_run, &all[i]);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

static const struct platform_fault slow_token[] = {{.op = PLATFORM_TOKEN, .from = 1, .wait_ms = 3000}};

/* One fetch for all; who has less time than it takes goes without. */
static err single_flight(struct world *w, const void *arg)
{
    struct waiter all[4] = {{w, SECONDS(20), OK, 0}, {w, SECONDS(20), OK, 0}, {w, 500, OK, 0}, {w, SECONDS(20), OK, 0}};
    (void)arg;
    peer.faults = slow_token;
    peer.fault_count = 1;
    TRY(waiters_run(all, COUNT_OF(all)));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(all[0].got == OK && all[1].got == OK && all[3].got == OK && peer.count[PLATFORM_TOKEN] == 1);
    SIM_CHECK(all[2].got == E_TIMEOUT && all[2].took < 700);
    return OK;
}

/* The one who fetches has no time: the next one takes over. */
static err taken_over(struct world *w, const void *arg)
{
    struct waiter all[3] = {{w, 500, OK, 0}, {w, SECONDS(20), OK, 0}, {w, SECONDS(20), OK, 0}};
    (void)arg;
    peer.faults = slow_token;
    peer.fault_count = 1;
    TRY(waiters_run(all, COUNT_OF(all)));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(all[0].got == E_TIMEOUT && all[1].got == OK && all[2].got == OK);
    SIM_CHECK(oauth2_state(w->oauth2).fetched == 1);
    return OK;
}

static err change_run(void *arg)
{
    struct world *w = arg;
    TRY(fiber_sleep(loop_now() + 1000));
    return oauth2_set_credentials(w->oauth2, "client-9", &other_key);
}

/* What was asked for with the old key is not stored (5.5's race). */
static err changed_in_flight(struct world *w, const void *arg)
{
    struct group g;
    (void)arg;
    peer.faults = slow_token;
    peer.fault_count = 1;
    group_open(&g, TASK_INGEST);
    err e = group_spawn(&g, "change", change_run, w);
    if (e == OK)
        e = take(w, SECONDS(20), 2);
    group_close(&g);
    return e;
}

static const struct {
    const char *name;
    err (*body)(struct world *w, const void *arg);
    unsigned life_s;
} token_stories[] = {
    {"kept", kept, 3600},
    {"renewed before its end", renewed, 1000},
    {"a renewal that fails", renewal_fails, 1000},
    {"short lives", short_lives, 1},
    {"the wall clock jumps", clock_jumps, 1000},
    {"a refused token", refused_token, 1000},
    {"one fetch for all", single_flight, 1000},
    {"who fetches has no time", taken_over, 1000},
    {"credentials change in flight", changed_in_flight, 1000},
};
static unsigned token_story;

static err run_token(void *arg)
{
    (void)arg;
    peer.life_s = token_stories[token_story].life_s;
    return with_world(token_stories[token_story].body, NULL, false);
}

static void tokens(void **state)
{
    (void)state;
    for (token_story = 0; token_story < COUNT_OF(token_stories); token_story++) {
        char name[64];
        (void)snprintf(name, sizeof name, "token: %s", token_stories[token_story].name);
        over_both(name, run_token, NULL, false);
    }
}

/* --- many events --- */

#define EVENTS 60

struct flow {
    const char *name;
    struct platform_fault faults[2];
    unsigned rejected, h1_later; /* of EVENTS */
    ms h1_most_ms, h2_most_ms;
    unsigned life_s;
};
static const struct flow flows[] = {
    {.name = "plain", .h1_most_ms = 2000, .h2_most_ms = 2000},
    {.name = "100 ms an answer: in flight together",
     FAULTS({.op = PLATFORM_EVENT, .from = 1, .wait_ms = 100}),
     .h1_most_ms = 9000,
     .h2_most_ms = 2400},
    {.name = "some are rejected",
     FAULTS({.op = PLATFORM_EVENT, .from = 5, .to = 9, .status = 422}),
     .rejected = 5,
     .h1_most_ms = 2000,
     .h2_most_ms = 2000},
    {.name = "one fails: the others go on (L7)",
     FAULTS({.op = PLATFORM_EVENT, .from = 3, .to = 3, .status = 500}),
     .h1_most_ms = 4000,
     .h2_most_ms = 4000},
    {.name = "one is silent: the others go on",
     FAULTS({.op = PLATFORM_EVENT, .from = 3, .to = 3, .wait_ms = 20000}),
     .h1_most_ms = 24000,
     .h2_most_ms = 24000},
    {.name = "cut in the middle",
     FAULTS({.op = PLATFORM_EVENT, .from = 10, .to = 10, .how = PLATFORM_CUT}),
     .h1_most_ms = 5000,
     .h2_most_ms = 5000},
    {.name = "tokens end on the way",
     FAULTS({.op = PLATFORM_EVENT, .from = 1, .wait_ms = 100}),
     .h1_most_ms = 12000,
     .h2_most_ms = 5000,
     .life_s = 1},
    {.name = "401 in the middle",
     FAULTS({.op = PLATFORM_EVENT, .from = 20, .to = 22, .status = 401}),
     .h1_later = 1,
     /* the same event, twice */ .h1_most_ms = 3000,
     .h2_most_ms = 3000},
};

static char bodies[EVENTS][32];
static unsigned outcomes[DELIVER_OUTCOME_COUNT];
static bool was_collected[EVENTS];

static err collect_one(struct world *w)
{
    struct deliver_result r;
    uint64_t tag = 0;
    TRY(deliver_collect(w->deliver, loop_now() + MINUTES(5), &tag, &r));
    SIM_CHECK(tag < EVENTS && !was_collected[tag]);
    was_collected[tag] = true;
    outcomes[r.outcome]++;
    return OK;
}

static err stream(struct world *w)
{
    memset(outcomes, 0, sizeof outcomes);
    memset(was_collected, 0, sizeof was_collected);
    for (unsigned i = 0; i < EVENTS; i++) {
        (void)snprintf(bodies[i], sizeof bodies[i], "{\"n\":%u}", i);
        if (deliver_room(w->deliver) == 0) {
            SIM_CHECK(deliver_submit(w->deliver, bytes_of(bodies[i]), i) == E_FULL);
            TRY(collect_one(w));
        }
        TRY(deliver_submit(w->deliver, bytes_of(bodies[i]), i));
    }
    while (deliver_in_flight(w->deliver) > 0)
        TRY(collect_one(w));
    return OK;
}

/* Each that was told good has arrived, and no other was told so. */
static void arrivals_check(void)
{
    static bool there[EVENTS];
    unsigned distinct = 0;
    memset(there, 0, sizeof there);
    for (unsigned i = 0; i < peer.event_count; i++) {
        SIM_CHECK(peer.events[i] < EVENTS);
        distinct += !there[peer.events[i]];
        there[peer.events[i]] = true;
    }
    SIM_CHECK(distinct >= outcomes[DELIVER_GOOD]);
    SIM_CHECK(outcomes[DELIVER_GOOD] + outcomes[DELIVER_REJECTED] + outcomes[DELIVER_LATER] == EVENTS);
}

static err flow(struct world *w, const void *arg)
{
    const struct flow *f = arg;
    ms began = loop_now();
    TRY(stream(w));
    ms took = loop_now() - began, most = over_h2 ? f->h2_most_ms : f->h1_most_ms;
    arrivals_check();
    if (sim_fault_name())
        return OK;
    if (took > most || outcomes[DELIVER_REJECTED] != f->rejected || outcomes[DELIVER_LATER] != (over_h2 ? 0 : f->h1_later))
        sim_fail("%s: %u good, %u rejected, %u later after %lld ms; refusals %llu", f->name, outcomes[DELIVER_GOOD],
                 outcomes[DELIVER_REJECTED], outcomes[DELIVER_LATER], (long long)took,
                 (unsigned long long)mem_use(TASK_BACKUP).refusals);
    SIM_CHECK(over_h2 || f->life_s || peer.in_work_peak == 1); /* but for a token meanwhile */
    return OK;
}

static err run_flow(void *arg)
{
    const struct flow *f = arg;
    peer.faults = f->faults;
    peer.fault_count = 2;
    peer.life_s = f->life_s ? f->life_s : 3600;
    return with_world(flow, f, false);
}

static void events_in_flight(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        over_both(flows[i].name, run_flow, &flows[i], false);
}

/* --- all at once, stops, deadlines --- */

static struct world *shared;

static err beats_run(void *arg)
{
    unsigned *good = arg;
    for (unsigned i = 0; i < 10; i++) {
        struct deliver_result r;
        err e = deliver_heartbeat(shared->deliver, bytes_of("{}"), loop_now() + MINUTES(2), &r);
        *good += e == OK && r.outcome == DELIVER_GOOD;
    }
    return OK;
}

static err snapshots_run(void *arg)
{
    unsigned *good = arg;
    for (unsigned i = 0; i < 3; i++) {
        struct deliver_result r;
        err e = deliver_snapshot(shared->deliver, SNAPSHOT, BYTES, loop_now() + MINUTES(2), &r);
        *good += e == OK && r.outcome == DELIVER_GOOD;
    }
    return OK;
}

/* AC-20: snapshots, heartbeats and events from three fibers over one connection. */
static err together(struct world *w, const void *arg)
{
    unsigned beats = 0, snapshots = 0;
    struct group g;
    (void)arg;
    shared = w;
    group_open(&g, TASK_INGEST);
    err e = group_spawn(&g, "beats", beats_run, &beats);
    if (e == OK)
        e = group_spawn(&g, "snapshots", snapshots_run, &snapshots);
    if (e == OK)
        e = stream(w);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    if (e != OK || sim_fault_name())
        return e;
    SIM_CHECK(beats == 10 && snapshots == 3 && outcomes[DELIVER_GOOD] == EVENTS);
    if (peer.count[PLATFORM_EVENT] != EVENTS || peer.count[PLATFORM_SNAPSHOT] != 3)
        sim_fail("%u heartbeats, %u snapshots, %u events; refusals %llu, connections %u", peer.count[PLATFORM_HEARTBEAT],
                 peer.count[PLATFORM_SNAPSHOT], peer.count[PLATFORM_EVENT], (unsigned long long)mem_use(TASK_BACKUP).refusals,
                 peer.h2.connections);
    SIM_CHECK(peer.count[PLATFORM_HEARTBEAT] == 10 && peer.count[PLATFORM_SNAPSHOT] == 3 && peer.count[PLATFORM_EVENT] == EVENTS);
    SIM_CHECK(peer.count[PLATFORM_TOKEN] == 1);
    return OK;
}

/* SIGTERM: what waits for a pause is handed back at once, what is under way comes to its end. */
static err stopped(struct world *w, const void *arg)
{
    static const struct platform_fault failing[] = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 500},
                                                    {.op = PLATFORM_EVENT, .from = 2, .wait_ms = 1000}};
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    peer.faults = failing;
    peer.fault_count = 2;
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), 1));
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + 500, &tag, &r) == E_TIMEOUT);
    ms began = loop_now();
    deliver_stop(w->deliver);
    SIM_CHECK(deliver_room(w->deliver) == 0 && deliver_submit(w->deliver, bytes_of("{\"n\":2}"), 2) == E_CLOSED);
    unsigned count[DELIVER_OUTCOME_COUNT] = {0};
    while (deliver_in_flight(w->deliver) > 0) {
        TRY(deliver_collect(w->deliver, loop_now() + SECONDS(5), &tag, &r));
        count[r.outcome]++;
    }
    SIM_CHECK(sim_fault_name() || (count[DELIVER_GOOD] == 1 && count[DELIVER_LATER] == 1 && loop_now() - began < 1500));
    TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_STOPPED);
    return OK;
}

/* The Lease is lost while an event waits for its next try: nothing leaves, whatever falls due; and goes on when it is held again.
 */
static err shut(struct world *w, const void *arg)
{
    static const struct platform_fault failing[] = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 500}};
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    peer.faults = failing;
    peer.fault_count = 1;
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + 500, &tag, &r) == E_TIMEOUT);
    shut_at = loop_now();
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + SECONDS(60), &tag, &r) == E_TIMEOUT);
    SIM_CHECK(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(5), &r) == E_TIMEOUT);
    SIM_CHECK(peer.count[PLATFORM_EVENT] == 1 && peer.count[PLATFORM_HEARTBEAT] == 0);
    shut_at = FOREVER;
    trail_clear();
    TRY(deliver_collect(w->deliver, loop_now() + SECONDS(10), &tag, &r));
    SIM_CHECK(r.outcome == DELIVER_GOOD && peer.count[PLATFORM_EVENT] == 2);
    return OK;
}

/* The Lease is lost between the look whether it is held and the write. */
static err between(struct world *w, const void *arg)
{
    struct deliver_result r;
    uint64_t tag = 0;
    (void)arg;
    TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(20), &r)); /* there is a connection */
    TRY(deliver_submit(w->deliver, bytes_of("{\"n\":0}"), 0));
    looks = 1;
    SIM_CHECK(deliver_collect(w->deliver, loop_now() + SECONDS(60), &tag, &r) == E_TIMEOUT);
    SIM_CHECK(looks == 0 && peer.count[PLATFORM_EVENT] == 0);
    looks = -1;
    trail_clear();
    TRY(deliver_collect(w->deliver, loop_now() + SECONDS(10), &tag, &r));
    SIM_CHECK(r.outcome == DELIVER_GOOD && peer.count[PLATFORM_EVENT] == 1);
    return OK;
}

/* AC-16: the caller's own deadline; and a file that is not there, or shorter than was said. */
static err own_ends(struct world *w, const void *arg)
{
    static const struct platform_fault slow[] = {{.op = PLATFORM_HEARTBEAT, .from = 1, .wait_ms = 5000}};
    struct deliver_result r;
    (void)arg;
    peer.faults = slow;
    peer.fault_count = 1;
    SIM_CHECK(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + 1000, &r) == E_TIMEOUT && r.outcome == DELIVER_LATER);
    trail_clear();
    TRY(deliver_snapshot(w->deliver, "/data/none", BYTES, loop_now() + MINUTES(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_FILE && r.error == E_ABSENT && r.attempts == 5);
    TRY(deliver_snapshot(w->deliver, SNAPSHOT, BYTES + 1, loop_now() + MINUTES(5), &r));
    SIM_CHECK(r.outcome == DELIVER_LATER && r.reason == DELIVER_REASON_FILE && r.error == E_CORRUPT);
    SIM_CHECK(peer.good[PLATFORM_SNAPSHOT] == 0);
    trail_clear();
    return OK;
}

/* Minutes of rest: the connection is looked at, or made anew; nothing fails. A dead one is found by a ping. */
static err rested(struct world *w, const void *arg)
{
    struct deliver_result r;
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        TRY(deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + SECONDS(20), &r));
        SIM_CHECK(sim_fault_name() || (r.outcome == DELIVER_GOOD && r.attempts == 1));
        TRY(sleep_s(i == 0 ? 30 : 200));
    }
    return OK;
}

static const struct {
    const char *name;
    err (*body)(struct world *w, const void *arg);
} scenes[] = {{"together", together}, {"stopped", stopped},   {"shut", shut},
              {"between", between},   {"own ends", own_ends}, {"rested", rested}};
static unsigned scene;

static err run_scene(void *arg)
{
    (void)arg;
    return with_world(scenes[scene].body, NULL, true);
}

static void other_scenes(void **state)
{
    (void)state;
    for (scene = 0; scene < COUNT_OF(scenes); scene++)
        over_both(scenes[scene].name, run_scene, NULL, false);
}

/* --- each fallible call fails once --- */

static err little(struct world *w, const void *arg)
{
    struct deliver_result r;
    uint64_t tag;
    (void)arg;
    TRY(deliver_snapshot(w->deliver, SNAPSHOT, BYTES, loop_now() + MINUTES(10), &r));
    SIM_CHECK(r.outcome != DELIVER_REJECTED);
    for (unsigned i = 0; i < 3; i++) {
        TRY(deliver_submit(w->deliver, bytes_of("{\"n\":1}"), i));
        TRY(deliver_collect(w->deliver, loop_now() + MINUTES(10), &tag, &r));
        SIM_CHECK(r.outcome == DELIVER_GOOD); /* one failure never costs five tries */
    }
    return deliver_heartbeat(w->deliver, bytes_of("{}"), loop_now() + MINUTES(10), &r);
}

static err run_little(void *arg)
{
    (void)arg;
    return with_world(little, NULL, true);
}

static void each_call_fails_once(void **state)
{
    (void)state;
    for (unsigned h2 = 0; h2 < 2; h2++) {
        over_h2 = h2;
        struct sim_case c = {.name = h2 ? "each fault h2" : "each fault h1",
                             .setup = setup,
                             .run = run_little,
                             .check = check,
                             .fibers = true,
                             .step = h2 ? 31 : 9,
                             .faults_max = h2 ? 500 : 0};
        assert_true(sim_each_fault(&c));
    }
}

int main(void)
{
    static struct CMUnitTest tests[4 + COUNT_OF(stories)] = {cmocka_unit_test(tokens), cmocka_unit_test(events_in_flight),
                                                             cmocka_unit_test(other_scenes),
                                                             cmocka_unit_test(each_call_fails_once)};
    if (!certs_make())
        return 1;
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[4 + i] =
            (struct CMUnitTest){.name = stories[i].name, .test_func = a_story, .initial_state = (void *)(uintptr_t)&stories[i]};
    return cmocka_run_group_tests_name("deliver in the sim", tests, NULL, NULL);
}
