/* The whole agent between an API server that is a model and a platform that is another: after each story what the platform was
 * told is what the API server has, and on the way there it never heard an older state of an object after a newer one. */
#include "agents/ingest/ingest.h"
#include "agents/ingest/kinds.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "board/rt/text.h"
#include "hal/lock_file.h"
#include "net/format/crypto.h"
#include "tests/sim/sim.h"
#include "tests/support/kube_peer.h"
#include "tests/support/platform_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     2
#define ANY_SEEDS 12
#define KINDS     2   /* hub32's kube client has four connections; over HTTP/1.1 a watch takes one, and two are spared */
#define NAMES     300 /* of a kind */
#define LIVES     40  /* of a name: deleted and made anew, it is another object */
#define LOG_MAX   6000
#define TEXT_MAX  MIB(1)
#define PADDING   2100 /* of objects that are to fill a spool */
#define SETTLE_MS MINUTES(20)
#define STEADY_MS SECONDS(1)
#define PLATFORM  "10.0.0.1:80"
#define API       "127.0.0.1:8001"
#define PRIVATE_KEY                                                                                                              \
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"                         \
    "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\nmaQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"                   \
    "-----END EC PRIVATE KEY-----\n"

/* --- the API server's truth, and what the platform was told: they outlive the lives --- */

enum change { ADDED, MODIFIED, DELETED };
struct logged {
    uint8_t kind, change, life;
    uint16_t name;
    uint32_t version, value; /* value: the version at which what is told of it changed last */
    uint16_t padding;
};
struct told {
    bool there, dead; /* dead: its delete was told */
    uint32_t value;
};
static struct both {
    struct logged log[LOG_MAX];
    unsigned logged, compacted; /* compacted: versions up to it cannot be watched from */
    struct told told[KINDS][NAMES][LIVES];
    unsigned snapshots, events, deletes;
    /* how the API server is */
    bool down, stick_watch, stick_list, expire;
    int refused;   /* lists of pods are, with this status; 401: all lists; 429: watches */
    unsigned page; /* objects of one; 0: as asked for */
} * w;

static const struct {
    const char *plural, *word, *snapshot_key;
} kinds[KINDS] = {{"/api/v1/pods", "Pod", "\"pods\":["}, {"/api/v1/secrets", "Secret", "\"secrets\":["}};

static uint32_t version_now(void)
{
    return w->logged + 1;
}

/* Its last change not after `version`; NULL: it never was. */
static const struct logged *state_at(unsigned kind, unsigned name, uint32_t version)
{
    for (unsigned i = w->logged; i-- > 0;)
        if (w->log[i].version <= version && w->log[i].kind == kind && w->log[i].name == name)
            return &w->log[i];
    return NULL;
}

static void api_change(unsigned kind, unsigned name, enum change change, bool value, unsigned padding)
{
    const struct logged *before = state_at(kind, name, UINT32_MAX);
    bool there = before && before->change != DELETED;
    SIM_CHECK(w->logged < LOG_MAX && kind < KINDS && name < NAMES);
    if (change == DELETED && !there)
        return;
    struct logged *l = &w->log[w->logged];
    *l = (struct logged){.kind = (uint8_t)kind, .name = (uint16_t)name, .version = version_now() + 1};
    l->change = change == DELETED ? DELETED : there ? MODIFIED : ADDED;
    l->life = before ? (uint8_t)(before->life + !there) : 0;
    l->value = before && there && !value ? before->value : l->version;
    l->padding = there ? before->padding : (uint16_t)padding;
    SIM_CHECK(l->life < LIVES);
    w->logged++;
}

static void object_put(struct text *t, const struct logged *l)
{
    text_addf(t,
              "{\"metadata\":{\"name\":\"n%u\",\"namespace\":\"ns\",\"uid\":\"%u.%u.%u\",\"resourceVersion\":\"%u\","
              "\"creationTimestamp\":\"2025-01-01T00:00:00Z\",\"labels\":{\"v\":\"%u\"}",
              l->name, l->kind, l->name, l->life, l->version, l->value);
    if (l->padding)
        text_addf(t, ",\"annotations\":{\"p\":\"%0*u\"}", l->padding, 0u);
    text_add(t, "}");
    if (l->kind == 1)
        text_add(t, ",\"type\":\"Opaque\",\"data\":{\"a\":\"c2VjcmV0\"}");
    text_add(t, "}");
}

/* --- the API server --- */

static struct kube_peer api;
static struct platform_peer platform;

static int kind_of(const char *line)
{
    for (unsigned k = 0; k < KINDS; k++)
        if (strncmp(line + 4, kinds[k].plural, strlen(kinds[k].plural)) == 0)
            return (int)k;
    return -1;
}

static unsigned number_in(const char *line, const char *key, unsigned otherwise)
{
    const char *at = strstr(line, key);
    return at ? (unsigned)strtoul(at + strlen(key), NULL, 10) : otherwise;
}

static const struct kube_reply gone = {"", 0, 410, "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"x\"}",
                                       NULL};
static const struct kube_reply refusals[] = {
    {"", 0, 401, "{\"kind\":\"Status\",\"code\":401,\"reason\":\"Unauthorized\",\"message\":\"x\"}", NULL},
    {"", 0, 403, "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"message\":\"x\"}", NULL},
    {"", 0, 500, "{\"kind\":\"Status\",\"code\":500,\"reason\":\"InternalError\",\"message\":\"x\"}", NULL}};
static const struct kube_reply patience = {"", 0, 429, "{\"kind\":\"Status\",\"code\":429,\"message\":\"x\"}",
                                           "Retry-After: 3600"};
static const struct kube_reply down = {"", 0, 0, "", NULL};

/* A page as of the version of the first one; a continue token is "VERSION.NAME". */
static const struct kube_reply *list_reply(const char *line, unsigned kind)
{
    static char texts[KINDS][TEXT_MAX];
    static struct kube_reply replies[KINDS];
    struct text t = text_over(texts[kind], TEXT_MAX);
    const char *token = strstr(line, "&continue=");
    unsigned version = version_now(), name = 0, limit = number_in(line, "limit=", 500), given = 0;
    if (token)
        SIM_CHECK(sscanf(token, "&continue=%u.%u", &version, &name) == 2);
    version = number_in(line, "resourceVersion=", version);
    if (token && (w->expire || version < w->compacted)) {
        w->expire = false;
        return &gone;
    }
    limit = w->page && w->page < limit ? w->page : limit;
    text_add(&t, "{\"kind\":\"List\",\"items\":[");
    for (; name < NAMES && given < limit; name++) {
        const struct logged *l = state_at(kind, name, version);
        if (!l || l->change == DELETED)
            continue;
        text_add(&t, given++ ? "," : "");
        object_put(&t, l);
        if (w->stick_list) {
            w->stick_list = false;
            text_add(&t, ",{\"metadata\":{\"na" KP_STUCK);
        }
    }
    text_addf(&t, "],\"metadata\":{\"resourceVersion\":\"%u\"", version);
    if (name < NAMES)
        text_addf(&t, ",\"continue\":\"%u.%u\"", version, name);
    text_add(&t, "}}");
    SIM_CHECK(!t.cut);
    replies[kind] = (struct kube_reply){"", 0, 200, texts[kind], NULL};
    return &replies[kind];
}

static const struct kube_reply *api_answer(void *arg, const char *line)
{
    static const struct kube_reply watch = {"", 0, 200, KP_LIVE, NULL};
    int kind = kind_of(line);
    (void)arg;
    api.told[0] = 0;
    if (w->down)
        return &down;
    if (kind < 0)
        return NULL;
    bool lists = !strstr(line, "watch=1");
    if (w->refused == 429 && !lists)
        return &patience;
    bool refused = w->refused && w->refused != 429 && (w->refused == 401 || kind == 0);
    if (refused)
        return &refusals[w->refused == 403 ? 1 : w->refused == 500 ? 2 : 0];
    if (lists)
        return list_reply(line, (unsigned)kind);
    return number_in(line, "resourceVersion=", 0) < w->compacted ? &gone : &watch;
}

/* One event at a time: *at is the version that was told last. */
static const char *api_live(void *arg, const char *line, uint64_t *at)
{
    static const char *const words[] = {"ADDED", "MODIFIED", "DELETED"};
    static char texts[KINDS][KIB(4)];
    int kind = kind_of(line);
    (void)arg;
    if (w->down)
        return KP_CUT;
    if (*at == 0)
        *at = number_in(line, "resourceVersion=", 0);
    for (unsigned i = *at > 1 ? (unsigned)*at - 1 : 0; i < w->logged; i++) {
        const struct logged *l = &w->log[i];
        struct text t = text_over(texts[kind], sizeof texts[kind]);
        *at = l->version;
        if (l->kind != kind)
            continue;
        text_addf(&t, "{\"type\":\"%s\",\"object\":", words[l->change]);
        object_put(&t, l);
        text_add(&t, "}\n");
        SIM_CHECK(!t.cut);
        if (w->stick_watch) {
            w->stick_watch = false;
            (void)snprintf(texts[kind] + t.len / 2, 2, "%s", KP_STUCK);
        }
        return texts[kind];
    }
    return "";
}

/* --- the platform: never an older state after a newer --- */

static struct told *told_of(const char *uid, unsigned *kind)
{
    unsigned name = 0, life = 0;
    SIM_CHECK(sscanf(uid, "%u.%u.%u", kind, &name, &life) == 3 && *kind < KINDS && name < NAMES && life < LIVES);
    return &w->told[*kind][name][life];
}

static const char *after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at)
        sim_fail("no %s in %.300s", key, text);
    return at + strlen(key);
}

static void state_told(struct told *t, const char *object, const char *how)
{
    uint32_t value = (uint32_t)strtoul(after(object, "\"v\":\""), NULL, 10);
    if (t->dead || value < t->value)
        sim_fail("%s: %u after %s %u: %.200s", how, value, t->dead ? "its delete, at" : "", t->value, object);
    t->there = true;
    t->value = value;
}

static void event_told(const char *body)
{
    unsigned kind, named = KINDS;
    struct told *t = told_of(after(body, "\"uid\":\""), &kind);
    for (unsigned k = 0; k < KINDS; k++)
        if (strncmp(after(body, "\"kind\":\""), kinds[k].word, strlen(kinds[k].word)) == 0)
            named = k;
    SIM_CHECK(named == kind);
    w->events++;
    if (strncmp(after(body, "\"type\":\""), "deleted", 7) == 0) {
        w->deletes++;
        t->dead = true;
        t->there = false;
    } else
        state_told(t, after(body, "\"object\":"), "an event");
}

/* All that is not in it is not there. */
static void snapshot_told(const char *body)
{
    w->snapshots++;
    for (unsigned i = 0; i < KINDS * NAMES * LIVES; i++)
        (&w->told[0][0][0])[i].there = false;
    for (unsigned k = 0; k < KINDS; k++) {
        const char *at = after(body, kinds[k].snapshot_key), *end = strstr(at, "\"}]"), *next = strchr(at, ']');
        end = next == at || !end ? at : end;
        for (const char *uid = strstr(at, "\"uid\":\""); uid && uid < end; uid = strstr(uid + 1, "\"uid\":\"")) {
            unsigned kind;
            struct told *t = told_of(uid + 7, &kind);
            if (kind != k)
                break;
            state_told(t, uid, "a snapshot");
        }
    }
}

static void platform_takes(enum platform_op op, const char *body)
{
    if (op == PLATFORM_EVENT)
        event_told(body);
    else if (op == PLATFORM_SNAPSHOT)
        snapshot_told(body);
}

/* What differs first, or NULL. */
static const char *difference(void)
{
    static char words[160];
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned n = 0; n < NAMES; n++) {
            const struct logged *l = state_at(k, n, UINT32_MAX);
            for (unsigned life = 0; life < LIVES; life++) {
                const struct told *t = &w->told[k][n][life];
                bool there = l && l->change != DELETED && l->life == life;
                if (t->there == there && (!there || t->value == l->value))
                    continue;
                (void)snprintf(words, sizeof words, "%s n%u.%u: %s %u, the platform has %s %u", kinds[k].word, n, life,
                               there ? "there" : "not there", l ? l->value : 0, t->there ? "it" : "it not", t->value);
                return words;
            }
        }
    return NULL;
}

/* --- the agent --- */

static struct agent {
    struct config config;
    struct dns *dns;
    struct ingest *in;
    struct group group;
    size_t bytes; /* of its heap, when it was well */
    os_fd other;  /* another hub's, of its spool */
    struct lane other_lane;
} agent;

static void config_make(int64_t spool_bytes)
{
    struct config *c = &agent.config;
    *c = (struct config){0};
    (void)snprintf(c->data, sizeof c->data, "/data");
    (void)snprintf(c->kubernetes.kubeconfig, sizeof c->kubernetes.kubeconfig, "/kube/config");
    (void)snprintf(c->ingest.platform_url, sizeof c->ingest.platform_url, "http://" PLATFORM);
    (void)snprintf(c->ingest.cluster_name, sizeof c->ingest.cluster_name, "lab");
    (void)snprintf(c->ingest.cluster_uid, sizeof c->ingest.cluster_uid, "cluster-1");
    (void)snprintf(c->ingest.client_id_file, sizeof c->ingest.client_id_file, "/kube/id");
    (void)snprintf(c->ingest.private_key_file, sizeof c->ingest.private_key_file, "/kube/key");
    c->ingest.enabled = c->ingest.allow_plaintext = c->ingest.suppress_unchanged = true;
    c->ingest.source = INGEST_CONFIG;
    c->ingest.sync_interval_ms = MINUTES(5);
    c->ingest.events_per_second = 1000;
    c->ingest.burst_size = 1000;
    c->ingest.spool_bytes_max = spool_bytes;
    c->ingest.snapshot_bytes_max = MIB(4);
    for (unsigned k = 0; k < KINDS; k++)
        (void)snprintf(c->ingest.kinds[c->ingest.kind_count++], sizeof c->ingest.kinds[0], "%s", kinds[k].word);
}

static err agent_start(void)
{
    struct ingest_options o = {.config = &agent.config, .dns = agent.dns, .version = "1.0", .host = "board"};
    enum task own = mem_task();
    group_open(&agent.group, TASK_INGEST);
    mem_set_task(TASK_INGEST);
    err e = ingest_open(&o, &agent.in);
    mem_set_task(own);
    return e == OK ? group_spawn(&agent.group, "ingest", ingest_run, agent.in) : e;
}

/* As SIGTERM does it. */
static void agent_stop(void)
{
    ms began = loop_now();
    fiber_shield();
    group_close(&agent.group);
    fiber_unshield();
    SIM_CHECK(loop_now() - began <= INGEST_STOP_MS + SECONDS(3));
    enum task own = mem_task();
    mem_set_task(TASK_INGEST);
    ingest_close(agent.in);
    mem_set_task(own);
    agent.in = NULL;
}

/* --- stories --- */

enum op {
    END,
    SET,         /* objects a..b of each kind are made or changed */
    TOUCH,       /* a..b change in what is not told */
    DELETE,      /* a..b */
    FILL,        /* a..b are made, large */
    WAIT,        /* a ms */
    LAW,         /* both are the same within a ms (0: SETTLE_MS), and stay so */
    API_DOWN,    /* a: 1 or 0; its connections are cut */
    COMPACT,     /* nothing can be watched from what was before now */
    EXPIRE,      /* the next continue token is too old */
    PAGE,        /* a objects a page */
    STICK_WATCH, /* the next event's object comes by half */
    STICK_LIST,
    API_SILENT,    /* a: 1 or 0; its connections stay, nothing arrives */
    REFUSE,        /* with status a, 0: no more; see `refused` */
    PLATFORM_DOWN, /* a: 1 or 0 */
    RESTART,
    HELD,       /* a: 1: it is restarted, and finds that another hub holds its spool; 0: that one is killed */
    JUMP,       /* the wall clock, by a s */
    DISK,       /* a bytes are free from now on; 0: all */
    REVOKE,     /* the platform's tokens so far */
    SNAPSHOTS,  /* there were at least a, at most b */
    ATTEMPTS,   /* to send one: at least a, at most b, ever */
    EVENTS,     /* there were at least a, at most b */
    FLAT,       /* the agent's memory is what it was at the first FLAT */
    HEARTBEATS, /* there were at least a, at most b */
    STATUS,     /* `ingest status` has texts[a], b times */
    RESET       /* counts of snapshots and events begin anew */
};
enum { NO_WAIT, NEXT_SNAPSHOT, IS_HELD };
static const char *const texts[] = {[NO_WAIT] = "\"waits_until\":null",
                                    [NEXT_SNAPSHOT] = " (413); the next is made at 20",
                                    [IS_HELD] = "give each hub an ingest.spool.path of its own, or stop the other one: process "};
struct step {
    enum op op;
    int64_t a, b;
};
#define STEPS_MAX  24
#define TELLS(...) .steps = {__VA_ARGS__}
static const struct story {
    const char *name;
    struct step steps[STEPS_MAX];
    struct platform_fault faults[3];
    int64_t spool_bytes;
} stories[] = {
    {"start", TELLS({SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0})},
    {"an empty cluster", TELLS({LAW, 0, 0}, {WAIT, 5000, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0}, {SET, 0, 0}, {LAW, 2000, 0})},
    {"made, changed, deleted, made anew",
     TELLS({LAW, 0, 0}, {SET, 0, 3}, {LAW, 2000, 0}, {SET, 1, 2}, {LAW, 2000, 0}, {DELETE, 0, 1}, {LAW, 2000, 0}, {SET, 0, 3},
           {LAW, 2000, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 24, 24})},
    {"what is not told makes no event",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {TOUCH, 0, 9}, {WAIT, 5000, 0}, {EVENTS, 0, 0}, {LAW, 0, 0})},
    {"pages", TELLS({PAGE, 3, 0}, {SET, 0, 20}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"a continue token that is too old", TELLS({PAGE, 3, 0}, {EXPIRE, 0, 0}, {SET, 0, 20}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform is down, then up",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {SET, 0, 4}, {DELETE, 7, 8}, {WAIT, 90000, 0}, {SET, 2, 5},
           {DELETE, 0, 0}, {SET, 0, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 180000, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform is down at the start",
     TELLS({PLATFORM_DOWN, 1, 0}, {SET, 0, 9}, {WAIT, 60000, 0}, {SET, 3, 12}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0})},
    {"the platform is down for long: the spool overflows, one snapshot mends it",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {PLATFORM_DOWN, 1, 0}, {FILL, 10, 199}, {WAIT, 60000, 0}, {SET, 0, 3},
           {DELETE, 4, 8}, {WAIT, 60000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 60}),
     .spool_bytes = (int64_t)KIB(64)},
    {"the API server restarts", TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {SET, 3, 5}, {DELETE, 6, 6}, {WAIT, 60000, 0},
                                      {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"410, and a delete that nobody told of",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 3, 5}, {SET, 1, 4}, {SET, 10, 12}, {COMPACT, 0, 0},
           {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"410, and pages of the new list expire",
     TELLS({SET, 0, 19}, {LAW, 0, 0}, {PAGE, 2, 0}, {EXPIRE, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 3, 15}, {COMPACT, 0, 0},
           {API_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the API server is silent", TELLS({SET, 0, 9}, {LAW, 0, 0}, {API_SILENT, 1, 0}, {SET, 3, 5}, {DELETE, 6, 6},
                                       {WAIT, 200000, 0}, {API_SILENT, 0, 0}, {SET, 4, 4}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"heartbeats", TELLS({SET, 0, 9}, {LAW, 0, 0}, {WAIT, 1250000, 0}, {HEARTBEATS, 4, 4}, {SNAPSHOTS, 1, 1}, {EVENTS, 0, 0})},
    {"memory stays what it is",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {WAIT, 10000, 0}, {FLAT, 0, 0}, {SET, 0, 250}, {LAW, 0, 0}, {DELETE, 5, 240}, {LAW, 0, 0},
           {API_DOWN, 1, 0}, {DELETE, 0, 2}, {COMPACT, 0, 0}, {API_DOWN, 0, 0}, {LAW, 0, 0}, {WAIT, 10000, 0}, {FLAT, 0, 0})},
    {"an event that sticks in the middle",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STICK_WATCH, 0, 0}, {SET, 3, 5}, {DELETE, 6, 6}, {LAW, 60000, 0}, {SNAPSHOTS, 1, 1})},
    {"a list that sticks in the middle", TELLS({STICK_LIST, 0, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"the platform refuses two events: a fresh snapshot",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 2}),
     .faults = {{.op = PLATFORM_EVENT, .from = 3, .to = 4, .status = 422}}},
    {"the platform refuses the snapshot: another one later",
     TELLS({SET, 0, 9}, {WAIT, 10000, 0}, {SET, 3, 4}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_SNAPSHOT, .from = 1, .to = 1, .status = 422}}},
    {"the platform refuses each snapshot (413): one after 5, 10, 20, 40 and then each 60 min, and it is told when",
     TELLS({SET, 0, 9}, {WAIT, MINUTES(4), 0}, {ATTEMPTS, 1, 1}, {STATUS, NEXT_SNAPSHOT, 1}, {WAIT, MINUTES(2), 0},
           {ATTEMPTS, 2, 2}, {WAIT, MINUTES(8), 0}, {ATTEMPTS, 2, 2}, {WAIT, MINUTES(2), 0}, {ATTEMPTS, 3, 3},
           {WAIT, MINUTES(20), 0}, {ATTEMPTS, 4, 4}, {WAIT, MINUTES(40), 0}, {ATTEMPTS, 5, 5}, {WAIT, MINUTES(57), 0},
           {ATTEMPTS, 5, 5}, {WAIT, MINUTES(5), 0}, {ATTEMPTS, 6, 6}, {STATUS, NEXT_SNAPSHOT, 1}, {LAW, HOURS(1), 0},
           {ATTEMPTS, 7, 7}, {STATUS, NEXT_SNAPSHOT, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_SNAPSHOT, .from = 1, .to = 6, .status = 413}}},
    {"401 of each token so far",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {REVOKE, 0, 0}, {SET, 0, 5}, {LAW, 30000, 0}, {SNAPSHOTS, 1, 1})},
    {"503 some times, and answers that are lost",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {SET, 0, 9}, {WAIT, 300, 0}, {SET, 2, 6}, {DELETE, 7, 9}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1}),
     .faults = {{.op = PLATFORM_EVENT, .from = 2, .to = 6, .status = 503},
                {.op = PLATFORM_EVENT, .from = 9, .to = 12, .how = PLATFORM_LOST},
                {.op = PLATFORM_EVENT, .from = 15, .to = 17, .how = PLATFORM_CUT}}},
    {"a kind is forbidden at first",
     TELLS({REFUSE, 403, 0}, {SET, 0, 9}, {WAIT, 10000, 0}, {SNAPSHOTS, 1, 1}, {SET, 3, 4}, {REFUSE, 0, 0}, {LAW, 0, 0})},
    {"a kind is forbidden when a fresh snapshot is made: another one when it is not any more",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {REFUSE, 403, 0}, {SET, 0, 0}, {WAIT, 10000, 0}, {REFUSE, 0, 0}, {LAW, 0, 0}),
     .faults = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 422}}},
    {"a kind is answered 500 for ever: the others are streamed",
     TELLS({REFUSE, 500, 0}, {SET, 0, 9}, {WAIT, 600000, 0}, {SNAPSHOTS, 1, 1}, {SET, 3, 4}, {REFUSE, 0, 0}, {LAW, 0, 0})},
    {"watches are answered 429 and a Retry-After of an hour: it is told, and does not take longer than 5 min",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STATUS, NO_WAIT, 20}, {REFUSE, 429, 0}, {API_DOWN, 1, 0}, {API_DOWN, 0, 0}, {WAIT, 3000, 0},
           {STATUS, NO_WAIT, 18}, {REFUSE, 0, 0}, {SET, 3, 5}, {WAIT, 280000, 0}, {STATUS, NO_WAIT, 18}, {LAW, 30000, 0},
           {STATUS, NO_WAIT, 20}, {SNAPSHOTS, 1, 1})},
    {"401 for all lists: no snapshot of an empty cluster",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {RESET, 0, 0}, {REFUSE, 401, 0}, {SET, 0, 0}, {WAIT, 60000, 0}, {SNAPSHOTS, 0, 0},
           {REFUSE, 0, 0}, {LAW, 0, 0}),
     .faults = {{.op = PLATFORM_EVENT, .from = 1, .to = 1, .status = 422}}},
    {"two hubs with one spool: the second streams nothing and says why, until the first is killed",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {STATUS, IS_HELD, 0}, {RESET, 0, 0}, {HELD, 1, 0}, {SET, 3, 6}, {WAIT, 60000, 0},
           {STATUS, IS_HELD, 1}, {SNAPSHOTS, 0, 0}, {EVENTS, 0, 0}, {HELD, 0, 0}, {LAW, 40000, 0}, {STATUS, IS_HELD, 0},
           {SNAPSHOTS, 1, 1})},
    {"SIGTERM with the rest spooled",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {SET, 0, 5}, {DELETE, 7, 8}, {WAIT, 1000, 0}, {RESTART, 0, 0},
           {SET, 3, 6}, {DELETE, 0, 0}, {WAIT, 5000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 2, 3})},
    {"a snapshot that a process before us could not send",
     TELLS({PLATFORM_DOWN, 1, 0}, {SET, 0, 9}, {WAIT, 3000, 0}, {SET, 0, 5}, {DELETE, 7, 7}, {WAIT, 3000, 0}, {RESTART, 0, 0},
           {SET, 0, 2}, {WAIT, 3000, 0}, {SET, 1, 3}, {WAIT, 1000, 0}, {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 1})},
    {"SIGTERM again and again",
     TELLS({SET, 0, 9}, {WAIT, 20, 0}, {RESTART, 0, 0}, {WAIT, 200, 0}, {RESTART, 0, 0}, {SET, 0, 5}, {WAIT, 400, 0},
           {RESTART, 0, 0}, {DELETE, 2, 4}, {WAIT, 30, 0}, {RESTART, 0, 0}, {LAW, 0, 0})},
    {"the wall clock jumps", TELLS({SET, 0, 9}, {LAW, 0, 0}, {JUMP, 86400 * 3, 0}, {SET, 0, 3}, {LAW, 60000, 0},
                                   {JUMP, -86400 * 5, 0}, {SET, 3, 9}, {WAIT, 400000, 0}, {DELETE, 1, 2}, {LAW, 60000, 0})},
    {"the disk is full at the spool",
     TELLS({SET, 0, 9}, {LAW, 0, 0}, {PLATFORM_DOWN, 1, 0}, {DISK, 1, 0}, {FILL, 10, 200}, {SET, 0, 5}, {DELETE, 7, 8},
           {WAIT, 60000, 0}, {PLATFORM_DOWN, 0, 0}, {WAIT, 60000, 0}, {DISK, 0, 0}, {LAW, 0, 0})},
    {"the disk is full at the snapshot's file",
     TELLS({FILL, 0, 200}, {DISK, 1, 0}, {WAIT, 60000, 0}, {SET, 3, 9}, {DISK, 0, 0}, {LAW, 0, 0}, {SNAPSHOTS, 1, 2})},
};

static bool is_same(void)
{
    return w->snapshots > 0 && !difference();
}

/* They are the same in time, and for STEADY_MS: what came and went may still be on its way. */
static void law(const struct story *s, ms within)
{
    char words[200];
    ms deadline = loop_now() + (within ? within : SETTLE_MS), since = loop_now();
    struct text why = text_over(words, sizeof words);
    while ((!is_same() && loop_now() < deadline) || (is_same() && loop_now() - since < STEADY_MS)) {
        since = is_same() ? since : loop_now();
        SIM_CHECK_ERR(fiber_sleep(loop_now() + 50), OK);
    }
    (void)ingest_is_well(agent.in, &why);
    if (!is_same())
        sim_fail("%s: after %lld ms: %s; %u snapshots, %u events; %s", s->name, (long long)(within ? within : SETTLE_MS),
                 difference() ? difference() : "no snapshot", w->snapshots, w->events, why.at);
}

static void between(const struct story *s, const char *what, unsigned count, const struct step *step)
{
    if (count < step->a || count > step->b)
        sim_fail("%s: %u %s, wanted %lld to %lld", s->name, count, what, (long long)step->a, (long long)step->b);
}

static void each(const struct step *step)
{
    for (unsigned k = 0; k < KINDS; k++)
        for (int64_t n = step->a; n <= step->b; n++)
            api_change(k, (unsigned)n, step->op == DELETE ? DELETED : MODIFIED, step->op != TOUCH,
                       step->op == FILL ? PADDING : 0);
}

/* Counted to the byte, as under ASan, it is the same. In our heap the same blocks are 16 bytes more or less each, by where they
 * lie: a rest of less than 32 bytes stays with the block before it (board/rt/heap.c). -32 to 48 were seen. */
#ifdef __SANITIZE_ADDRESS__
#define FLAT_BYTES 0u
#else
#define FLAT_BYTES 64u
#endif
static void is_flat(const struct story *s)
{
    size_t now = mem_use(TASK_INGEST).used_bytes;
    agent.bytes = agent.bytes ? agent.bytes : now;
    size_t apart = now > agent.bytes ? now - agent.bytes : agent.bytes - now;
    if (apart > FLAT_BYTES)
        sim_fail("%s: %zu bytes of memory, before it were %zu", s->name, now, agent.bytes);
}

static void in_status(const struct story *s, const struct step *step)
{
    static char storage[KIB(64)];
    struct text t = text_over(storage, sizeof storage);
    struct json_writer writer = json_write_to(&t);
    unsigned count = 0;
    ingest_status_json(agent.in, &writer);
    for (const char *at = storage; (at = strstr(at, texts[step->a])) != NULL; at++)
        count++;
    if (t.cut || count != step->b)
        sim_fail("%s: %s is %u times in the status, wanted %lld: %s", s->name, texts[step->a], count, (long long)step->b,
                 storage);
}

static err restart(void)
{
    agent_stop();
    return agent_start();
}

/* The other one never gets it while we run. */
static err held(bool taken)
{
    uint64_t holder = 0;
    os_fd fd;
    if (!taken) {
        os_file_close(agent.other);
        return OK;
    }
    lane_open(&agent.other_lane, "another hub", TASK_BACKUP, 1);
    err busy = lock_file_open(&agent.other_lane, "/data/ingest/ingest.lock", true, loop_now() + SECONDS(9), &fd, &holder);
    SIM_CHECK(busy == E_BUSY && fd == -1 && holder > 0);
    agent_stop();
    err e = lock_file_open(&agent.other_lane, "/data/ingest/ingest.lock", true, loop_now() + SECONDS(9), &agent.other, &holder);
    lane_close(&agent.other_lane);
    trail_clear();
    return e == OK ? agent_start() : e;
}

static err act(const struct story *s, const struct step *step)
{
    struct addr at = sim_ip(PLATFORM);
    switch (step->op) {
    case SET:
    case TOUCH:
    case DELETE:
    case FILL:
        each(step);
        break;
    case WAIT:
        return fiber_sleep(loop_now() + step->a);
    case LAW:
        law(s, step->a);
        break;
    case API_DOWN:
        w->down = step->a;
        return fiber_sleep(loop_now() + 200);
    case COMPACT:
        w->compacted = version_now();
        break;
    case EXPIRE:
        w->expire = true;
        break;
    case PAGE:
        w->page = (unsigned)step->a;
        break;
    case STICK_WATCH:
        w->stick_watch = true;
        break;
    case STICK_LIST:
        w->stick_list = true;
        break;
    case REFUSE:
        w->refused = (int)step->a;
        break;
    case PLATFORM_DOWN:
        sim_link(&at, (struct sim_link){.black_hole = step->a, .no_route = step->a});
        break;
    case RESTART:
        return restart();
    case HELD:
        return held(step->a != 0);
    case JUMP:
        sim_wall_jump_at(loop_now() + 1, step->a * 1000);
        break;
    case DISK:
        sim.disk_bytes = step->a ? (uint64_t)step->a : MIB(48);
        break;
    case REVOKE:
        platform.refused_below = platform.tokens + 1;
        break;
    case API_SILENT:
        at = sim_ip(API);
        sim_link(&at, (struct sim_link){.black_hole = step->a});
        break;
    case FLAT:
        is_flat(s);
        break;
    case HEARTBEATS:
        between(s, "heartbeats", platform.good[PLATFORM_HEARTBEAT], step);
        break;
    case SNAPSHOTS:
        between(s, "snapshots", w->snapshots, step);
        break;
    case ATTEMPTS:
        between(s, "attempts to send a snapshot", platform.count[PLATFORM_SNAPSHOT], step);
        break;
    case EVENTS:
        between(s, "events", w->events, step);
        break;
    case STATUS:
        in_status(s, step);
        break;
    case RESET:
        w->snapshots = w->events = 0;
        break;
    case END:
        break;
    }
    return OK;
}

static err tell_it(const struct story *s)
{
    err e = agent_start();
    for (const struct step *step = s->steps; e == OK && step < s->steps + STEPS_MAX && step->op != END; step++)
        e = act(s, step);
    agent_stop();
    return e;
}

static err in_the_world(const struct story *s, err (*body)(const struct story *s))
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    err e = dns_open_with(&numeric, &agent.dns);
    if (e == OK)
        e = kube_peer_open(&api);
    if (e == OK)
        e = platform_peer_open(&platform);
    if (e == OK)
        e = body(s);
    platform_peer_close(&platform);
    kube_peer_close(&api);
    dns_close(agent.dns);
    if (platform.wrong > 0)
        sim_fail("the platform saw %u wrong things, first %s", platform.wrong, platform.why);
    return e;
}

static err run_story(void *arg)
{
    return in_the_world(arg, tell_it);
}

static void boot(void)
{
    static struct family any = {.name = "any", .help = "any", .type = METRIC_GAUGE};
    struct series *series;
    log_setup(LOG_ERROR, LOG_LOGFMT, 2);
    SIM_CHECK_ERR(crypto_boot(), OK);
    SIM_CHECK_ERR(metric_series(&any, NULL, &series), OK);
}

static void peers_make(const struct story *s)
{
    memset(&api, 0, sizeof api);
    memset(&platform, 0, sizeof platform);
    memset(&agent, 0, sizeof agent);
    static const struct kube_reply none[1];
    api.at = sim_ip(API);
    api.listener = SOCK_CLOSED;
    api.replies = none;
    api.answer = api_answer;
    api.live = api_live;
    platform.at = sim_ip(PLATFORM);
    platform.life_s = 3600;
    platform.taken = platform_takes;
    platform.faults = s->faults;
    platform.fault_count = COUNT_OF(s->faults);
    config_make(s->spool_bytes ? s->spool_bytes : (int64_t)MIB(8));
    sim.time_limit_ms = HOURS(6);
    sim_profile(&profile_hub32);
    sim_boot(boot);
}

static void setup(void *arg)
{
    memset(w, 0, sizeof *w);
    peers_make(arg);
    sim_disk_folder("/data");
    sim_disk_folder("/kube");
    sim_disk_put("/kube/id", bytes_of("client-7\n"));
    sim_disk_put("/kube/key", bytes_of(PRIVATE_KEY));
    sim_disk_put("/kube/config", bytes_of("current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                                          "clusters: [{name: c, cluster: {server: 'http://" API "'}}]\n"));
}

static void a_story(void **state)
{
    struct sim_case c = {.setup = setup, .run = run_story, .fibers = true, .arg = *state};
    c.name = ((const struct story *)*state)->name;
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- and whatever the dice say --- */

#define RANDOM_STEPS 60
#define FEW          12 /* objects of a kind */

static struct platform_fault drawn_fault(void)
{
    static const unsigned statuses[] = {503, 429, 422, 400, 401, 500};
    static const enum platform_how hows[] = {PLATFORM_ANSWER, PLATFORM_ANSWER, PLATFORM_CUT, PLATFORM_LOST, PLATFORM_SILENT};
    enum platform_op op = sim_draw(4) ? PLATFORM_EVENT : (enum platform_op)sim_draw(PLATFORM_OPS);
    unsigned from = platform.count[op] + 1 + (unsigned)sim_draw(3);
    struct platform_fault f = {.op = op, .from = from, .to = from + (unsigned)sim_draw(6), .how = hows[sim_draw(COUNT_OF(hows))]};
    if (f.how == PLATFORM_ANSWER)
        f.status = statuses[sim_draw(COUNT_OF(statuses))];
    if (f.how == PLATFORM_SILENT)
        f.wait_ms = 40000;
    return f;
}

static struct step drawn_step(void)
{
    static const struct step mishaps[] = {{API_DOWN, 1, 0},    {API_DOWN, 0, 0},   {COMPACT, 0, 0},       {EXPIRE, 0, 0},
                                          {STICK_WATCH, 0, 0}, {STICK_LIST, 0, 0}, {PLATFORM_DOWN, 1, 0}, {PLATFORM_DOWN, 0, 0},
                                          {RESTART, 0, 0},     {REVOKE, 0, 0},     {DISK, 1, 0},          {DISK, 0, 0},
                                          {JUMP, 7200, 0},     {JUMP, -86400, 0},  {PAGE, 2, 0},          {PAGE, 0, 0}};
    int64_t a = (int64_t)sim_draw(FEW), b = a + (int64_t)sim_draw(3);
    switch (sim_draw(8)) {
    case 0:
    case 1:
        return (struct step){SET, a, b};
    case 2:
        return (struct step){sim_draw(4) ? DELETE : TOUCH, a, b};
    case 3:
    case 4:
        return (struct step){WAIT, (int64_t)sim_draw(sim_draw(3) ? 400 : 40000), 0};
    case 5:
        return (struct step){FILL, FEW + a, FEW + b};
    default:
        return mishaps[sim_draw(COUNT_OF(mishaps))];
    }
}

/* All is well in the end. */
static err calm(const struct story *s)
{
    static const struct step steps[] = {{API_DOWN, 0, 0}, {PLATFORM_DOWN, 0, 0}, {DISK, 0, 0}, {EXPIRE, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        TRY(act(s, &steps[i]));
    w->expire = w->stick_list = w->stick_watch = false;
    law(s, MINUTES(90)); /* snapshots are not made more often than each hour, when the platform refuses again and again */
    return OK;
}

static err anything(const struct story *s)
{
    static struct platform_fault fault;
    platform.faults = &fault;
    platform.fault_count = 1;
    fault = drawn_fault();
    err e = agent_start();
    for (unsigned i = 0; e == OK && i < RANDOM_STEPS; i++) {
        if (sim_draw(10) == 0)
            fault = drawn_fault();
        struct step step = drawn_step();
        e = act(s, &step);
    }
    if (e == OK)
        e = calm(s);
    agent_stop();
    return e;
}

static err run_anything(void *arg)
{
    return in_the_world(arg, anything);
}

static void whatever_happens(void **state)
{
    static const struct story any = {.name = "anything"};
    struct sim_case c = {.name = any.name, .setup = setup, .run = run_anything, .fibers = true, .arg = (void *)(uintptr_t)&any};
    (void)state;
    assert_true(sim_seeds(&c, ANY_SEEDS));
}

/* --- the power goes, or one call fails, at any moment of a life in which much happens --- */

static const struct story busy = {
    "busy",
    TELLS({PAGE, 4, 0}, {SET, 0, 9}, {LAW, 0, 0}, {SET, 2, 5}, {DELETE, 6, 7}, {WAIT, 150, 0}, {SET, 6, 6}, {PLATFORM_DOWN, 1, 0},
          {SET, 0, 4}, {DELETE, 8, 8}, {WAIT, 1000, 0}, {SET, 1, 3}, {DELETE, 2, 2}, {SET, 2, 2}, {WAIT, 1000, 0},
          {PLATFORM_DOWN, 0, 0}, {LAW, 0, 0}, {API_DOWN, 1, 0}, {DELETE, 9, 9}, {COMPACT, 0, 0}, {API_DOWN, 0, 0}, {LAW, 0, 0}),
    .faults = {{.op = PLATFORM_EVENT, .from = 3, .to = 3, .how = PLATFORM_LOST}}};

/* What happened meanwhile is there at once. */
static err run_after(const struct story *s)
{
    err e = agent_start();
    if (e == OK)
        e = act(s, &(struct step){SET, 1, 1});
    if (e == OK)
        e = calm(s);
    agent_stop();
    return e;
}

static err after_the_cut(void *arg)
{
    return in_the_world(arg, run_after);
}

static void reboot(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    w->down = w->stick_list = w->stick_watch = w->expire = false;
    w->snapshots = w->events = 0;
    peers_make(arg);
    SIM_CHECK_ERR(sim_loop(after_the_cut, arg), OK);
}

static void the_power_goes(void **state)
{
    struct sim_case c = {
        .name = busy.name, .setup = setup, .run = run_story, .reboot = reboot, .fibers = true, .arg = (void *)(uintptr_t)&busy};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

/* Opening may fail; what runs mends itself. */
static void check_faults(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name());
}

static void the_power_goes_whenever(void **state)
{
    static const struct story any = {.name = "any"};
    struct sim_case c = {.name = any.name,
                         .setup = setup,
                         .run = run_anything,
                         .reboot = reboot,
                         .fibers = true,
                         .step = 13,
                         .arg = (void *)(uintptr_t)&any};
    (void)state;
    assert_true(sim_each_power_cut(&c));
}

static void each_call_fails_once(void **state)
{
    struct sim_case c = {.name = "fault",
                         .setup = setup,
                         .run = run_story,
                         .check = check_faults,
                         .fibers = true,
                         .step = 29,
                         .arg = (void *)(uintptr_t)&busy};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(stories) + 4];
    size_t count = 0;
    w = sim_shared(sizeof *w);
    for (size_t i = 0; i < COUNT_OF(stories); i++)
        tests[count++] = (struct CMUnitTest){stories[i].name, a_story, NULL, NULL, (void *)(uintptr_t)&stories[i]};
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(whatever_happens);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(the_power_goes);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(the_power_goes_whenever);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(each_call_fails_once);
    return _cmocka_run_group_tests("ingest", tests, count, NULL, NULL);
}
