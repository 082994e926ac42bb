/* The etcd client over real sockets: endpoints that are dead, learners or strangers, and answers that cannot be read. */
#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/api/etcd/etcd_kv.h"
#include "tests/support/etcd_peer.h"

#include <string.h>

#define SOON  (loop_now() + SECONDS(60))
#define PEERS 3
#define DEAD  "http://127.0.0.1:1" /* tcpmux: nobody */

static struct etcd_peer peers[PEERS];
static char urls[PEERS][64];
static struct dns *dns;

static err peers_open(struct group *g)
{
    group_open(g, TASK_METRICS);
    for (unsigned i = 0; i < PEERS; i++) {
        struct addr at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, bound;
        TRY(sock_listen(&peers[i].server.listener, &at, &bound));
        (void)snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%u", bound.port);
        etcd_peer_open(&peers[i]);
        TRY(group_spawn(g, "etcd", server_listen, &peers[i].server));
    }
    return OK;
}

static void peers_close(struct group *g)
{
    group_close(g);
    for (unsigned i = 0; i < PEERS; i++)
        sock_close(&peers[i].server.listener);
}

#define BYTES(text)                                                                                                              \
    {                                                                                                                            \
        (const uint8_t *)(text), sizeof(text) - 1                                                                                \
    }
#define ANSWER(text)                                                                                                             \
    {                                                                                                                            \
        {.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .bytes = BYTES(text)}, {.what = SERVER_TRAILERS},                    \
        {                                                                                                                        \
            0                                                                                                                    \
        }                                                                                                                        \
    }
static const struct server_step garbage[] = ANSWER("\x0a\xff"), wrong_type[] = ANSWER("\x12\x00\x18"),
                                denied[] = {{.what = SERVER_TRAILERS, .count = 7, .text = "no"}, {0}};

struct choice {
    const char *name;
    int endpoints[PEERS]; /* of peers; -1: the dead one; -2: none more */
    bool learner[PEERS];
    const struct server_step *statuses[PEERS];
    int chosen; /* -1: none */
    err want;
};
static const struct choice choices[] = {
    {"the first", {0, 1, 2}, {false}, {NULL}, 0, OK},
    {"after a dead one", {-1, 1, 2}, {false}, {NULL}, 1, OK},
    {"after a learner", {0, 1, 2}, {true}, {NULL}, 1, OK},
    {"after one that refuses", {0, 1, -2}, {false}, {denied}, 1, OK},
    {"after garbage", {0, 1, -2}, {false}, {garbage}, 1, OK},
    {"garbage only", {0, -2, -2}, {false}, {garbage}, -1, E_PROTOCOL},
    {"wrong type only", {0, -2, -2}, {false}, {wrong_type}, -1, E_PROTOCOL},
    {"dead", {-1, -2, -2}, {false}, {NULL}, -1, E_REFUSED},
    {"all dead", {-1, -1, -1}, {false}, {NULL}, -1, E_REFUSED},
    {"dead and refusing", {-1, 1, -2}, {false}, {NULL, denied}, -1, E_UNREACHABLE},
    {"all refuse", {0, 1, 2}, {false}, {denied, denied, denied}, -1, E_DENIED},
    {"a learner only", {0, -2, -2}, {true}, {NULL}, -1, E_UNREACHABLE},
    {"learners only", {0, 1, -2}, {true, true}, {NULL}, -1, E_UNREACHABLE},
};

static void choose(const struct choice *c)
{
    struct etcd_options o = {.dns = dns};
    struct etcd_status status;
    struct etcd *e = NULL;
    for (unsigned i = 0; i < PEERS && c->endpoints[i] > -2; i++) {
        o.endpoints[o.endpoint_count++] = c->endpoints[i] < 0 ? DEAD : urls[c->endpoints[i]];
        peers[i].is_learner = c->learner[i];
        peers[i].status_steps = c->statuses[i];
    }
    CHECK(etcd_open(&o, &e) == OK);
    err got = etcd_connect_any(e, SOON, &status);
    const char *want = c->chosen < 0 ? "" : urls[c->chosen];
    if (got != c->want || strcmp(etcd_endpoint(e), want) != 0) {
        print_error("%s: %s, connected to \"%s\"\n", c->name, err_name(got), etcd_endpoint(e));
        checks_failed++;
    }
    if (got == OK)
        CHECK(status.cluster_id == 0xC0FFEE && status.member_id == 7 && status.leader_id == 7 && status.revision == 42 &&
              status.db_bytes == (int64_t)KIB(100) && strcmp(status.version, "3.5.21") == 0 && !status.is_learner);
    etcd_close(e);
}

/* Whom a snapshot is read from. */
struct best {
    const char *name;
    int endpoints[PEERS]; /* as above */
    struct {
        uint64_t leader, applied; /* leader 0: itself; 99: none */
        const char *error;
        bool learner, refuses;
    } says[PEERS];
    int chosen;
    err want;
};
static const struct best bests[] = {
    {"a follower, though the leader comes first", {0, 1, 2}, {{.leader = 0}, {.leader = 10}, {.leader = 10}}, 1, OK},
    {"the first follower", {0, 1, 2}, {{.leader = 12}, {.leader = 12}, {.leader = 0}}, 0, OK},
    {"the last, when the others are ill", {0, 1, 2}, {{.leader = 0}, {.leader = 10, .error = "NOSPACE"}, {.leader = 10}}, 2, OK},
    {"the leader before an ill follower", {0, 1, -2}, {{.leader = 11, .error = "x"}, {.leader = 0}}, 1, OK},
    {"a follower just close enough", {0, 1, -2}, {{.leader = 11, .applied = 5000}, {.leader = 0, .applied = 6000}}, 0, OK},
    {"the leader before one that lags", {0, 1, -2}, {{.leader = 11, .applied = 4999}, {.leader = 0, .applied = 6000}}, 1, OK},
    {"one without a leader rather than none", {0, -2, -2}, {{.leader = 99}}, 0, OK},
    {"without a leader they are equal", {0, 1, -2}, {{.leader = 99}, {.leader = 99}}, 0, OK},
    {"no learner", {0, 1, 2}, {{.leader = 12, .learner = true}, {.leader = 12, .learner = true}, {.leader = 0}}, 2, OK},
    {"a lagging follower is better than nobody",
     {-1, 1, 2},
     {{.leader = 0}, {.leader = 12, .applied = 1}, {.leader = 0, .applied = 9000, .refuses = true}},
     1,
     OK},
    {"all refuse", {0, 1, 2}, {{.refuses = true}, {.refuses = true}, {.refuses = true}}, -1, E_DENIED},
    {"dead and refusing", {-1, 1, -2}, {{.leader = 0}, {.refuses = true}}, -1, E_UNREACHABLE},
    {"a learner only", {0, -2, -2}, {{.learner = true}}, -1, E_UNREACHABLE},
};

static void best_peer(const struct best *c, unsigned i)
{
    uint64_t leader = c->says[i].leader;
    peers[i].is_learner = c->says[i].learner;
    peers[i].status_steps = c->says[i].refuses ? denied : NULL;
    peers[i].member_id = 10 + i;
    peers[i].leader_id = leader == 0 ? 10 + i : leader == 99 ? ETCD_PEER_NO_LEADER : leader;
    peers[i].applied = c->says[i].applied;
    peers[i].error = c->says[i].error;
}

static void best_forget(void)
{
    for (unsigned i = 0; i < PEERS; i++) {
        peers[i].member_id = peers[i].leader_id = peers[i].applied = 0;
        peers[i].is_learner = false;
        peers[i].error = NULL;
        peers[i].status_steps = NULL;
    }
}

static void best(const struct best *c)
{
    struct etcd_options o = {.dns = dns, .window_bytes = ETCD_SMALL_WINDOW};
    struct etcd_status status;
    struct etcd *e = NULL;
    for (unsigned i = 0; i < PEERS && c->endpoints[i] > -2; i++) {
        o.endpoints[o.endpoint_count++] = c->endpoints[i] < 0 ? DEAD : urls[c->endpoints[i]];
        best_peer(c, i);
    }
    CHECK(etcd_open(&o, &e) == OK);
    err got = etcd_connect_best(e, SOON, &status);
    const char *want = c->chosen < 0 ? "" : urls[c->chosen];
    if (got != c->want || strcmp(got == OK ? etcd_endpoint(e) : "", want) != 0) {
        print_error("best: %s: %s, connected to \"%s\"\n", c->name, err_name(got), etcd_endpoint(e));
        checks_failed++;
    }
    if (got == OK)
        CHECK(status.member_id == 10u + (unsigned)c->chosen);
    etcd_close(e);
    best_forget();
}

static void members(void)
{
    struct etcd_options o = {.endpoints = {urls[0]}, .endpoint_count = 1, .dns = dns};
    struct etcd_member list[ETCD_MEMBERS_MAX];
    struct etcd_status status;
    struct etcd *e = NULL;
    unsigned count = 9;
    peers[0].is_learner = false;
    peers[0].status_steps = NULL;
    CHECK(etcd_open(&o, &e) == OK);
    CHECK(etcd_member_list(e, SOON, list, ETCD_MEMBERS_MAX, &count) == E_INVALID && count == 0); /* not connected */
    CHECK(etcd_connect(e, 0, SOON, &status) == OK);
    CHECK(etcd_member_list(e, SOON, list, ETCD_MEMBERS_MAX, &count) == OK && count == 3);
    CHECK(list[0].id == 7 && strcmp(list[0].name, "node") == 0 && strcmp(list[0].client_urls[0], "http://10.0.0.1:2379") == 0);
    CHECK(list[0].client_url_count == 2 && strcmp(list[0].client_urls[1], "http://[fd00::1]:2379") == 0);
    CHECK(!list[0].is_learner && list[1].is_learner && list[2].name[0] == 0 && list[2].client_url_count == 0);
    CHECK(etcd_member_list(e, SOON, list, 2, &count) == E_RANGE);
    etcd_close(e);
}

static const struct alarm_case {
    const char *name;
    struct server_step steps[4];
    unsigned cap;
    err want;
    unsigned count;
    struct etcd_alarm alarms[2];
} alarm_cases[] = {
    {"none", ANSWER("\x0a\x02\x08\x01"), 2, OK, 0, {{0, ETCD_ALARM_NONE}}},
    {"no space", ANSWER("\x12\x04\x08\x07\x10\x01"), 2, OK, 1, {{7, ETCD_ALARM_NOSPACE}}},
    {"two",
     ANSWER("\x12\x04\x08\x07\x10\x01\x12\x04\x08\x08\x10\x02"),
     2,
     OK,
     2,
     {{7, ETCD_ALARM_NOSPACE}, {8, ETCD_ALARM_CORRUPT}}},
    {"two, room for one", ANSWER("\x12\x04\x08\x07\x10\x01\x12\x04\x08\x08\x10\x02"), 1, OK, 2, {{7, ETCD_ALARM_NOSPACE}}},
    {"one of a later etcd", ANSWER("\x12\x04\x08\x07\x10\x09"), 2, OK, 1, {{7, (enum etcd_alarm_kind)9}}},
    {"garbage", ANSWER("\x12\x09\x08"), 2, E_PROTOCOL, 0, {{0, ETCD_ALARM_NONE}}},
    {"garbage within", ANSWER("\x12\x02\x08\xff"), 2, E_PROTOCOL, 0, {{0, ETCD_ALARM_NONE}}},
    {"denied", {{.what = SERVER_TRAILERS, .count = 7, .text = "no"}}, 2, E_DENIED, 0, {{0, ETCD_ALARM_NONE}}},
};

static void alarm_check(struct etcd *e, const struct alarm_case *c)
{
    struct etcd_alarm got[2] = {{0}};
    unsigned count = 9;
    peers[0].maintenance_steps = c->steps;
    err r = etcd_alarm_list(e, SOON, got, c->cap, &count);
    bool same = r == c->want && count == c->count;
    for (unsigned i = 0; same && i < 2; i++)
        same = got[i].member_id == c->alarms[i].member_id && got[i].kind == c->alarms[i].kind;
    if (!same) {
        print_error("alarms: %s: %s, %u\n", c->name, err_name(r), count);
        checks_failed++;
    }
    CHECK(peers[0].asked_len == 5); /* GET of all of them is the empty message */
}

#define COMPACTED "mvcc: required revision has been compacted"
static const struct hash_case {
    const char *name;
    int64_t revision;
    struct server_step steps[4];
    err want;
    struct etcd_hash_kv got;
    const char *words;
} hash_cases[] = {
    {"hash", 42, ANSWER("\x0a\x02\x08\x01\x10\xef\xfd\xb6\xf5\x0d\x18\x05\x20\x2a"), OK, {0xDEADBEEF, 5}, ""},
    {"never compacted", 42, ANSWER("\x10\x01\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), OK, {1, -1}, ""},
    {"hash 0", 42, ANSWER("\x0a\x00"), OK, {0, 0}, ""},
    {"compacted",
     1,
     {{.what = SERVER_TRAILERS, .count = 11, .text = "mvcc:%20required%20revision%20has%20been%20compacted"}},
     E_ABSENT,
     {0, 0},
     COMPACTED},
    {"compacted, after headers",
     1,
     {{.what = SERVER_HEADERS}, {.what = SERVER_TRAILERS, .count = 11, .text = COMPACTED}},
     E_ABSENT,
     {0, 0},
     COMPACTED},
    {"of the future",
     99,
     {{.what = SERVER_TRAILERS, .count = 11, .text = "mvcc: required revision is a future revision"}},
     E_ABSENT,
     {0, 0},
     "a future revision"},
    {"an etcd without it", 1, {{.what = SERVER_TRAILERS, .count = 12, .text = "unknown"}}, E_UNSUPPORTED, {0, 0}, "unknown"},
    {"no such thing", 1, {{.what = SERVER_TRAILERS, .count = 5, .text = "lost"}}, E_ABSENT, {0, 0}, "lost"},
    {"garbage", 1, ANSWER("\x10"), E_PROTOCOL, {0, 0}, "HashKV at revision 1"},
    {"no answer", 1, {{.what = SERVER_HEADERS}, {.what = SERVER_TRAILERS}}, E_PROTOCOL, {0, 0}, "no answer"},
    {"reset", 1, {{.what = SERVER_RST, .count = 2}}, E_RESET, {0, 0}, "HashKV"},
};

static void hash_check(struct etcd *e, const struct hash_case *c)
{
    struct etcd_hash_kv got = {9, 9};
    char text[600];
    peers[0].maintenance_steps = c->steps;
    trail_clear();
    err r = etcd_hash_kv(e, c->revision, SOON, &got);
    if (r != c->want || (r == OK && (got.hash != c->got.hash || got.compact_revision != c->got.compact_revision)) ||
        !strstr(trail_text(r, text, sizeof text), c->words)) {
        print_error("hash: %s: %s, %u at %lld: %s\n", c->name, err_name(r), got.hash, (long long)got.compact_revision, text);
        checks_failed++;
    }
    CHECK(peers[0].asked_len == 7 && peers[0].asked[5] == 0x08 && peers[0].asked[6] == c->revision);
}

static void maintenance(void)
{
    struct etcd_options o = {.endpoints = {urls[0]}, .endpoint_count = 1, .dns = dns};
    struct etcd_status status;
    struct etcd_hash_kv hash;
    struct etcd *e = NULL;
    unsigned count = 9;
    CHECK(etcd_open(&o, &e) == OK);
    CHECK(etcd_alarm_list(e, SOON, NULL, 0, &count) == E_INVALID && count == 0);
    CHECK(etcd_hash_kv(e, 1, SOON, &hash) == E_INVALID);
    CHECK(etcd_connect(e, 0, SOON, &status) == OK);
    CHECK(etcd_hash_kv(e, 0, SOON, &hash) == E_INVALID && etcd_hash_kv(e, -1, SOON, &hash) == E_INVALID);
    for (size_t i = 0; i < COUNT_OF(alarm_cases); i++)
        alarm_check(e, &alarm_cases[i]);
    for (size_t i = 0; i < COUNT_OF(hash_cases); i++)
        hash_check(e, &hash_cases[i]);
    CHECK(strcmp(etcd_alarm_name(ETCD_ALARM_NOSPACE), "NOSPACE") == 0);
    CHECK(strcmp(etcd_alarm_name((enum etcd_alarm_kind)9), "unknown") == 0);
    peers[0].maintenance_steps = NULL;
    etcd_close(e);
}

/* --- keys and leases: what is sent, byte by byte, and what comes back --- */
static bool asked(const char *bytes, size_t len)
{
    return peers[0].asked_len == len + 5 && memcmp(peers[0].asked + 5, bytes, len) == 0; /* after gRPC's prefix */
}
#define ASKED(text) asked((text), sizeof(text) - 1)

static void order(struct etcd *e)
{
    static const struct server_step good[] = ANSWER("\x0a\x00"),
                                    gone[] = {{.what = SERVER_TRAILERS, .count = 11, .text = "mvcc: compacted"}, {0}},
                                    not_leader[] = {{.what = SERVER_TRAILERS, .count = 9, .text = "not leader"}, {0}};
    peers[0].maintenance_steps = good;
    CHECK(etcd_alarm_disarm(e, &(struct etcd_alarm){7, ETCD_ALARM_NOSPACE}, SOON) == OK && ASKED("\x08\x02\x10\x07\x18\x01"));
    CHECK(etcd_defragment(e, SOON) == OK && ASKED(""));
    CHECK(etcd_move_leader(e, 9, SOON) == OK && ASKED("\x08\x09"));
    CHECK(etcd_compact(e, 42, SOON) == OK && ASKED("\x08\x2a\x10\x01"));
    CHECK(etcd_lease_revoke(e, 5, SOON) == OK && ASKED("\x08\x05"));
    peers[0].maintenance_steps = gone;
    CHECK(etcd_compact(e, 41, SOON) == E_ABSENT);
    peers[0].maintenance_steps = not_leader;
    CHECK(etcd_move_leader(e, 9, SOON) == E_REMOTE);
}

static void leases(struct etcd *e)
{
    static const struct server_step granted[] = ANSWER("\x10\x05\x18\x3c"), nothing[] = ANSWER("\x0a\x00"),
                                    expired[] = ANSWER("\x10\x05"),
                                    full[] = {{.what = SERVER_TRAILERS, .count = 8, .text = "no space"}, {0}};
    int64_t lease = 0, ttl = 0;
    peers[0].maintenance_steps = granted;
    CHECK(etcd_lease_grant(e, 60, SOON, &lease, &ttl) == OK && lease == 5 && ttl == 60 && ASKED("\x08\x3c"));
    CHECK(etcd_lease_renew(e, 5, SOON, &ttl) == OK && ttl == 60 && ASKED("\x08\x05"));
    peers[0].maintenance_steps = expired;
    CHECK(etcd_lease_renew(e, 5, SOON, &ttl) == E_ABSENT);
    peers[0].maintenance_steps = nothing;
    CHECK(etcd_lease_grant(e, 60, SOON, &lease, &ttl) == E_PROTOCOL);
    peers[0].maintenance_steps = full;
    CHECK(etcd_lease_grant(e, 60, SOON, &lease, &ttl) == E_FULL);
}

static void keys(struct etcd *e)
{
    static const struct server_step none[] = ANSWER("\x0a\x00"),
                                    one[] = ANSWER("\x12\x0d\x0a\x01k\x10\x02\x18\x03\x2a\x02"
                                                   "me\x30\x05"),
                                    won[] = ANSWER("\x10\x01\x1a\x02\x12\x00"),
                                    lost[] = ANSWER("\x1a\x0f\x0a\x0d\x12\x0b\x0a\x01k\x2a\x04them\x30\x06"),
                                    torn[] = ANSWER("\x12\x09\x08");
    struct etcd_value v = {.there = true};
    bool ours = true;
    peers[0].maintenance_steps = none;
    CHECK(etcd_get(e, "k", SOON, &v) == OK && !v.there && ASKED("\x0a\x01k"));
    peers[0].maintenance_steps = one;
    CHECK(etcd_get(e, "k", SOON, &v) == OK && v.there && v.lease == 5 && v.create_revision == 2 && v.mod_revision == 3);
    CHECK(strcmp(v.value, "me") == 0);
    peers[0].maintenance_steps = torn;
    CHECK(etcd_get(e, "k", SOON, &v) == E_PROTOCOL);
    peers[0].maintenance_steps = won;
    CHECK(etcd_put_absent(e, "k", "v", 5, SOON, &ours, &v) == OK && ours && !v.there);
    CHECK(ASKED("\x0a\x07\x10\x01\x1a\x01k\x28\x00\x12\x0a\x12\x08\x0a\x01k\x12\x01v\x18\x05\x1a\x05\x0a\x03\x0a\x01k"));
    peers[0].maintenance_steps = lost;
    CHECK(etcd_put_absent(e, "k", "v", 5, SOON, &ours, &v) == OK && !ours && v.there && v.lease == 6);
    CHECK(strcmp(v.value, "them") == 0);
}

static void offices(void)
{
    struct etcd_options o = {.endpoints = {urls[0]}, .endpoint_count = 1, .dns = dns};
    struct etcd_status status;
    struct etcd_value v;
    struct etcd *e = NULL;
    CHECK(etcd_open(&o, &e) == OK && etcd_get(e, "k", SOON, &v) == E_INVALID && etcd_defragment(e, SOON) == E_INVALID);
    CHECK(etcd_connect(e, 0, SOON, &status) == OK && etcd_server_expires_s(e) == 0);
    order(e);
    leases(e);
    keys(e);
    peers[0].maintenance_steps = NULL;
    etcd_close(e);
}

static void snapshot(void)
{
    struct etcd_options o = {.endpoints = {urls[0]}, .endpoint_count = 1, .dns = dns};
    struct etcd_snapshot *s = NULL;
    struct etcd_status status;
    struct etcd *e = NULL;
    struct bytes blob;
    uint64_t remaining = 0, sum = 0;
    bool more = true;
    CHECK(etcd_open(&o, &e) == OK);
    CHECK(etcd_snapshot_start(e, SOON, &s) == E_INVALID && !s);
    CHECK(etcd_connect(e, 0, SOON, &status) == OK && etcd_snapshot_start(e, SOON, &s) == OK);
    while (more && checks_failed == 0) {
        CHECK(etcd_snapshot_next(s, SECONDS(5), &blob, &remaining, &more) == OK);
        for (size_t i = 0; i < blob.len && sum + i < KIB(100); i++)
            checks_failed += blob.at[i] != etcd_peer_byte(sum + i);
        sum += blob.len;
        CHECK(!more || sum > KIB(100) || remaining == KIB(100) - sum);
    }
    CHECK(sum == KIB(100) + SHA256_BYTES);
    CHECK(etcd_snapshot_next(s, SECONDS(5), &blob, &remaining, &more) == OK && !more); /* it stays ended */
    etcd_snapshot_end(s);
    etcd_close(e);
}

static void wrong_options(void)
{
    struct etcd_options o = {.endpoints = {"https://127.0.0.1:1"}, .dns = dns};
    struct etcd_status status;
    struct etcd *e = NULL;
    CHECK(etcd_open(&o, &e) == E_INVALID && !e);
    o.endpoint_count = ETCD_ENDPOINTS_MAX + 1;
    CHECK(etcd_open(&o, &e) == E_INVALID && !e);
    o.endpoint_count = 1;
    o.endpoints[0] = "nonsense";
    CHECK(etcd_open(&o, &e) == OK && etcd_connect_any(e, SOON, &status) == E_INVALID);
    etcd_close(e);
    char https[256]; /* no CA was given for it */
    (void)snprintf(https, sizeof https, "https%s", urls[0] + 4);
    o.endpoints[0] = https;
    CHECK(etcd_open(&o, &e) == OK && etcd_connect_any(e, SOON, &status) == E_CONFIG);
    etcd_close(e);
    etcd_close(NULL);
}

static err everything(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct group g;
    (void)arg;
    for (unsigned i = 0; i < PEERS; i++)
        peers[i] = (struct etcd_peer){.db_bytes = KIB(100)};
    TRY(dns_open_with(&numeric, &dns));
    TRY(peers_open(&g));
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        size_t before = mem_use(TASK_BOARD).used_bytes;
        choose(&choices[i]);
        CHECK(i == 0 || mem_use(TASK_BOARD).used_bytes == before);
    }
    for (size_t i = 0; i < COUNT_OF(bests); i++)
        best(&bests[i]);
    members();
    maintenance();
    offices();
    snapshot();
    wrong_options();
    peers_close(&g);
    dns_close(dns);
    return OK;
}

static void endpoints_and_answers(void **state)
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(endpoints_and_answers)};
    return cmocka_run_group_tests(tests, boot, NULL);
}
