/* The guardian, whole, against a modelled cluster of three in the simulated world: whatever fails at whatever step, nothing is
 * done after the first doubt, never two members at once, never the leader while another can lead, and the key is asked before
 * each step. */
#include "agents/guardian/guardian.h"
#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "net/format/pb.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/grpc_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS   2
#define MEMBERS 3
#define OURS    77 /* the lease's id */

enum fault {
    NONE,
    DIES,       /* the member vanishes in its first defragmentation, and stays away */
    REFUSES,    /* it answers that call with an error */
    HANGS,      /* it never ends */
    LAGS,       /* it does not apply any more afterwards */
    LEADERLESS, /* there is no leader afterwards */
    STOLEN,     /* another name is in the key afterwards */
    EXPIRES,    /* the lease is gone afterwards */
    STUCK_HEIR, /* MoveLeader says OK, and nothing moves */
    COMES_BACK, /* leadership returns to the old leader each time */
    GROWS_ILL,  /* a CORRUPT alarm appears afterwards */
    SNAPSHOT,   /* a snapshot begins afterwards */
    STALE,      /* the backup is too old afterwards */
    LEARNER,    /* a member becomes a learner afterwards: it was taken out and in again */
};

/* What is done is written down: c compaction, 0 1 2 a defragmentation, m leadership moved, d disarmed. */
static const struct story {
    const char *name;
    enum fault fault;
    bool nospace, held_by_other, by_hand;
    err wanted;
    const char *does, *why; /* why: in the trail */
} stories[] = {
    {.name = "all is well", .does = "12m0"},
    {.name = "out of space", .nospace = true, .does = "c12m0d"},
    {.name = "the member dies at work", .fault = DIES, .wanted = E_CLOSED, .does = "1", .why = "defragmenting member m1"},
    {.name = "it refuses", .fault = REFUSES, .wanted = E_REMOTE, .does = "1", .why = "defragmenting member m1"},
    {.name = "it never ends", .fault = HANGS, .wanted = E_TIMEOUT, .does = "1", .why = "defragmenting member m1"},
    {.name = "it does not catch up", .fault = LAGS, .wanted = E_DENIED, .does = "1", .why = "has not caught up"},
    {.name = "no leader is left", .fault = LEADERLESS, .wanted = E_DENIED, .does = "1", .why = "has not caught up"},
    {.name = "the key is another's", .fault = STOLEN, .wanted = E_BUSY, .does = "1", .why = "not this hub's"},
    {.name = "the lease is gone", .fault = EXPIRES, .wanted = E_BUSY, .does = "1", .why = "not this hub's"},
    {.name = "the heir does not lead", .fault = STUCK_HEIR, .wanted = E_DENIED, .does = "12m", .why = "does not lead"},
    {.name = "leadership comes back", .fault = COMES_BACK, .wanted = E_DENIED, .does = "12mm", .why = "leadership comes back"},
    {.name = "corruption is found", .fault = GROWS_ILL, .wanted = E_DENIED, .does = "1", .why = "CORRUPT"},
    {.name = "a snapshot begins", .fault = SNAPSHOT, .wanted = E_DENIED, .does = "1", .why = "a snapshot is being taken"},
    {.name = "the backup grows old", .fault = STALE, .wanted = E_DENIED, .does = "1", .why = "no verified backup"},
    {.name = "a member is made anew", .fault = LEARNER, .wanted = E_DENIED, .does = "1", .why = "is a learner"},
    {.name = "another hub guards", .held_by_other = true, .wanted = E_BUSY, .does = "", .why = "another-hub guards etcd"},
    {.name = "out of space, then the member dies", .fault = DIES, .nospace = true, .wanted = E_CLOSED, .does = "c1", .why = "m1"},
    {.name = "out of space, corrupt", .fault = GROWS_ILL, .nospace = true, .wanted = E_DENIED, .does = "c1", .why = "CORRUPT"},
};

/* --- the cluster --- */

static struct model {
    const struct story *story;
    struct member {
        struct server server;
        struct server_step steps[5];
        unsigned index;
        int64_t db, in_use;
        uint64_t applied;
        bool dead, learner, hangs;
    } members[MEMBERS];
    unsigned leader; /* MEMBERS: nobody */
    bool nospace, corrupt, snapshotting, stale, compacted, hit;
    int64_t revision;
    char key[96];
    int64_t lease; /* of the key; 0: no key */
    char did[32];
    unsigned at_work;
} model;

static void did(char what)
{
    size_t len = strlen(model.did);
    SIM_CHECK(len + 1 < sizeof model.did);
    model.did[len] = what;
}

static bool hits(enum fault f)
{
    if (model.story->fault != f || model.hit)
        return false;
    model.hit = true;
    return true;
}

/* --- answers --- */

static void put_header(struct pb_writer *w, const struct member *m)
{
    size_t header = pb_begin(w, 1);
    pb_put_u64(w, 1, 9);
    pb_put_u64(w, 2, m->index + 1);
    pb_put_i64(w, 3, model.revision);
    pb_put_u64(w, 4, 2);
    pb_end(w, header);
}

static void put_status(struct pb_writer *w, const struct member *m)
{
    pb_put_text(w, 2, "3.5.21");
    pb_put_i64(w, 3, m->db);
    pb_put_u64(w, 4, model.leader < MEMBERS ? model.leader + 1 : 0);
    pb_put_u64(w, 5, m->applied);
    pb_put_u64(w, 7, m->applied);
    if (model.nospace)
        pb_put_text(w, 8, "memberID:1 alarm:NOSPACE ");
    pb_put_i64(w, 9, m->in_use);
    pb_put_bool(w, 10, m->learner);
}

static void put_members(struct pb_writer *w)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%u", i);
        size_t member = pb_begin(w, 2);
        pb_put_u64(w, 1, i + 1);
        pb_put_text(w, 2, name);
        pb_put_bool(w, 5, model.members[i].learner);
        pb_end(w, member);
    }
}

static void put_alarm(struct pb_writer *w, bool raised, unsigned kind)
{
    if (!raised)
        return;
    size_t alarm = pb_begin(w, 2);
    pb_put_u64(w, 1, 1);
    pb_put_u64(w, 2, kind);
    pb_end(w, alarm);
}

static void put_key(struct pb_writer *w)
{
    if (!model.lease)
        return;
    size_t kv = pb_begin(w, 2);
    pb_put_text(w, 1, GUARDIAN_KEY);
    pb_put_text(w, 5, model.key);
    pb_put_i64(w, 6, model.lease);
    pb_end(w, kv);
}

static bool txn_won;

static void put_txn(struct pb_writer *w)
{
    pb_put_bool(w, 2, txn_won);
    size_t response = pb_begin(w, 3), part = pb_begin(w, txn_won ? 2 : 1);
    if (!txn_won)
        put_key(w);
    pb_end(w, part);
    pb_end(w, response);
}

static size_t make(void *arg, const struct server_request *r, uint32_t index, uint8_t *out, size_t cap)
{
    const struct member *m = arg;
    struct pb_writer w = pb_write_over(out, cap);
    (void)index;
    put_header(&w, m);
    if (strstr(r->path, "/Status"))
        put_status(&w, m);
    else if (strstr(r->path, "/MemberList"))
        put_members(&w);
    else if (strstr(r->path, "/Alarm"))
        put_alarm(&w, model.nospace, 1), put_alarm(&w, model.corrupt, 2);
    else if (strstr(r->path, "/Range"))
        put_key(&w);
    else if (strstr(r->path, "/Txn"))
        put_txn(&w);
    else if (strstr(r->path, "/LeaseGrant") || strstr(r->path, "/LeaseKeepAlive")) {
        pb_put_i64(&w, 2, OURS);
        pb_put_i64(&w, 3, 60);
    }
    return w.len;
}

/* --- what calls do --- */

static uint64_t number_of(const struct server_request *r, uint32_t field)
{
    struct pb_field f;
    struct pb_reader reader = pb_read((struct bytes){r->body + 5, size_min(r->len, sizeof r->body) - 5});
    uint64_t found = 0;
    while (pb_next(&reader, &f))
        found = f.number == field ? f.value : found;
    return found;
}

/* TxnRequest.success, RequestOp.request_put, PutRequest.value */
static void take_key(const struct server_request *r)
{
    static const uint32_t path[] = {2, 2, 2};
    struct bytes at = {r->body + 5, size_min(r->len, sizeof r->body) - 5};
    txn_won = model.lease == 0;
    for (unsigned i = 0; i < COUNT_OF(path); i++) {
        struct pb_field f;
        struct pb_reader reader = pb_read(at);
        while (pb_next(&reader, &f) && f.number != path[i])
            continue;
        at = f.bytes;
    }
    if (!txn_won)
        return;
    (void)snprintf(model.key, sizeof model.key, "%.*s", (int)at.len, (const char *)at.at);
    model.lease = OURS;
}

/* What changes by the end of the first defragmentation. */
static void happen(struct member *m)
{
    if (hits(LAGS))
        m->applied = 1;
    else if (hits(LEADERLESS))
        model.leader = MEMBERS;
    else if (hits(STOLEN))
        (void)snprintf(model.key, sizeof model.key, "a-thief");
    else if (hits(EXPIRES))
        model.lease = 0;
    else if (hits(GROWS_ILL))
        model.corrupt = true;
    else if (hits(SNAPSHOT))
        model.snapshotting = true;
    else if (hits(STALE))
        model.stale = true;
    else if (hits(LEARNER))
        model.members[2].learner = true;
}

static const struct server_step *defragment(struct member *m)
{
    static const struct server_step dies[] = {{.what = SERVER_WAIT, .count = 100}, {.what = SERVER_VANISH}, {0}},
                                    refuses[] = {{.what = SERVER_TRAILERS, .count = 2, .text = "no"}, {0}},
                                    hangs[] = {{.what = SERVER_DONE}},
                                    good[] = {{.what = SERVER_WAIT, .count = 300},
                                              {.what = SERVER_HEADERS},
                                              {.what = SERVER_MESSAGES, .count = 1},
                                              {.what = SERVER_TRAILERS},
                                              {0}};
    did((char)('0' + m->index));
    SIM_CHECK(m->index != model.leader && model.leader < MEMBERS); /* another one can always lead here */
    SIM_CHECK(!model.corrupt && !model.snapshotting && !model.stale && (!model.nospace || model.compacted));
    SIM_CHECK(model.lease == OURS && strcmp(model.key, "a-thief") != 0);
    if (hits(DIES)) {
        m->dead = true;
        return dies;
    }
    if (hits(REFUSES))
        return refuses;
    if (hits(HANGS)) {
        m->hangs = true; /* and answers no reads */
        return hangs;
    }
    m->db = m->in_use;
    happen(m);
    return good;
}

static void move_leader(const struct member *m, const struct server_request *r)
{
    uint64_t to = number_of(r, 1) - 1;
    SIM_CHECK(m->index == model.leader && to < MEMBERS);
    did('m');
    if (model.story->fault == COMES_BACK)
        model.members[to].applied++; /* it leads until it is looked at */
    if (!hits(STUCK_HEIR))
        model.leader = (unsigned)to;
}

static void disarm(const struct server_request *r)
{
    if (number_of(r, 1) != 2)
        return;
    did('d');
    SIM_CHECK(number_of(r, 3) == 1 && model.compacted);
    for (unsigned i = 0; i < MEMBERS; i++)
        SIM_CHECK(model.members[i].db == model.members[i].in_use);
    model.nospace = false;
}

static const struct server_step *script(void *arg, const struct server_request *r)
{
    static const struct server_step one[] = {
        {.what = SERVER_HEADERS}, {.what = SERVER_MESSAGES, .count = 1}, {.what = SERVER_TRAILERS}, {0}};
    static const struct server_step gone[] = {{.what = SERVER_VANISH}, {0}}, silent[] = {{.what = SERVER_DONE}};
    struct member *m = arg;
    if (m->dead || m->hangs)
        return m->dead ? gone : silent;
    if (strstr(r->path, "/Defragment"))
        return defragment(m);
    if (strstr(r->path, "/MoveLeader"))
        move_leader(m, r);
    else if (strstr(r->path, "/Compact"))
        did('c'), model.compacted = true;
    else if (strstr(r->path, "/Alarm"))
        disarm(r);
    else if (strstr(r->path, "/Txn"))
        take_key(r);
    else if (strstr(r->path, "/LeaseRevoke") && number_of(r, 1) == (uint64_t)model.lease)
        model.lease = 0;
    return one;
}

/* --- the world --- */

static struct config config;
static char words[512];

static void setup(void *arg)
{
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = HOURS(2);
    const struct story *s = arg;
    sim_backup_config(&config, "/data/backups");
    config.backup.endpoint_count = MEMBERS;
    model = (struct model){.story = s, .revision = 42, .nospace = s->nospace, .lease = s->held_by_other ? 5 : 0};
    (void)snprintf(model.key, sizeof model.key, "another-hub");
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &model.members[i];
        (void)snprintf(config.backup.endpoints[i], sizeof config.backup.endpoints[i], "http://10.0.0.%u:2379", i + 1);
        *m = (struct member){.index = i, .db = MIB(400), .in_use = MIB(100), .applied = 5000};
        m->server = (struct server){.script = script, .make = make, .arg = m, .listener = SOCK_CLOSED};
    }
}

static bool fresh(void *arg)
{
    (void)arg;
    return !model.stale;
}

static bool snapshotting(void *arg)
{
    (void)arg;
    return model.snapshotting;
}

/* After a move that is not to last. */
static void decided(void *arg, const struct guardian_decision *d, const struct guardian_view *v)
{
    (void)arg;
    (void)v;
    SIM_CHECK(d->why[0]);
}

static void done(void *arg, const struct guardian_decision *d, const struct guardian_view *v, ms took_ms, ms stall_ms,
                 int64_t won_bytes, err result)
{
    (void)arg;
    (void)v;
    SIM_CHECK(took_ms >= 0 && stall_ms >= 0);
    if (d->step == GUARDIAN_DEFRAG && result == OK)
        SIM_CHECK(won_bytes == (int64_t)MIB(300) && took_ms >= 300);
    if (d->step == GUARDIAN_MOVE_LEADER && model.story->fault == COMES_BACK)
        model.leader = 0;
}

struct acting {
    err result;
    char words[512];
};

static err act(void *arg)
{
    struct acting *a = arg;
    struct dns *dns = NULL;
    struct guardian *g = NULL;
    unsigned steps = 0;
    struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct guardian_watcher watcher = {decided, done, NULL};
    struct guardian_order order = {
        .rules = {.defrag = true, .nospace = true, .fragmentation = 50, .floor_bytes = (int64_t)MIB(100), .quota_percent = 80}};
    a->result = dns_open_with(&numeric, &dns);
    if (a->result == OK)
        a->result = guardian_open(
            &(struct guardian_options){
                .config = &config, .dns = dns, .name = "sim", .fresh = fresh, .snapshotting = snapshotting},
            &g);
    if (a->result == OK)
        a->result = guardian_act(g, &order, &watcher, &steps);
    (void)trail_text(a->result, a->words, sizeof a->words);
    SIM_CHECK(!g || !guardian_is_holding(g));
    guardian_close(g);
    dns_close(dns);
    return OK;
}

static err run(void *arg)
{
    const struct story *s = arg;
    struct group etcd, guard;
    struct acting a = {.result = OK};
    group_open(&etcd, TASK_BACKUP); /* its slice is idle here */
    group_open(&guard, TASK_GUARDIAN);
    err e = OK;
    for (unsigned i = 0; i < MEMBERS && e == OK; i++) {
        struct addr at = sim_ip("10.0.0.1:2379");
        at.ip[3] = (uint8_t)(i + 1);
        mem_set_task(TASK_BACKUP); /* whose connections they are */
        e = sock_listen(&model.members[i].server.listener, &at, NULL);
        mem_set_task(TASK_BOARD);
        if (e == OK)
            e = group_spawn(&etcd, "etcd", server_listen, &model.members[i].server);
    }
    if (e == OK)
        e = group_spawn(&guard, "guardian", act, &a);
    if (e == OK)
        e = group_join(&guard, FOREVER);
    (void)snprintf(words, sizeof words, "%s", a.words);
    group_close(&guard);
    group_close(&etcd);
    for (unsigned i = 0; i < MEMBERS; i++)
        sock_close(&model.members[i].server.listener);
    if (e == OK && a.result != OK && !sim_fault_name() && s->why && !strstr(a.words, s->why))
        sim_fail("%s", a.words);
    return e != OK ? e : a.result;
}

/* Without a fault of the world just this; with one a beginning of it. */
static void check(void *arg, err result)
{
    const struct story *s = arg;
    if (sim_fault_name()) {
        SIM_CHECK(strncmp(s->does, model.did, strlen(model.did)) == 0);
        SIM_CHECK(result != OK || strcmp(s->does, model.did) == 0);
        return;
    }
    if (strcmp(s->does, model.did) != 0)
        sim_fail("did \"%s\": %s: %s", model.did, err_name(result), words);
    SIM_CHECK_ERR(result, s->wanted);
    SIM_CHECK(model.lease != OURS || s->fault == STOLEN); /* given back */
}

static struct sim_case case_of(const struct story *s)
{
    return (struct sim_case){
        .name = s->name, .setup = setup, .run = run, .check = check, .arg = (void *)(uintptr_t)s, .fibers = true};
}

static void all_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(stories); i++) {
        struct sim_case c = case_of(&stories[i]);
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void each_call_fails_once(void **state)
{
    (void)state;
    struct sim_case c = case_of(&stories[1]);
    c.faults_max = 6000; /* there are more: allocations of connections, mostly */
    c.step = 60;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_stories), cmocka_unit_test(each_call_fails_once)};
    return cmocka_run_group_tests_name("guardian", tests, NULL, NULL);
}
