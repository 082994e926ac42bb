/* ingest_story: see ingest_story.h */
#include "tests/sim/ingest_story.h"

#include "agents/ingest/ingest.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "hal/lock_file.h"
#include "net/format/crypto.h"
#include "tests/sim/mirror_model.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <stdio.h>
#include <string.h>

#define PADDING   2100 /* of objects that are to fill a spool */
#define SETTLE_MS MINUTES(20)
#define STEADY_MS SECONDS(1)
#define PLATFORM  "10.0.0.1:80"
#define PRIVATE_KEY                                                                                                              \
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"                         \
    "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\nmaQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"                   \
    "-----END EC PRIVATE KEY-----\n"

struct platform_peer story_platform;

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
        (void)snprintf(c->ingest.kinds[c->ingest.kind_count++], sizeof c->ingest.kinds[0], "%s", cluster_kinds[k].word);
}

err story_start(void)
{
    struct ingest_options o = {.config = &agent.config, .dns = agent.dns, .version = "1.0", .host = "board"};
    enum task own = mem_task();
    group_open(&agent.group, TASK_INGEST);
    mem_set_task(TASK_INGEST);
    err e = ingest_open(&o, &agent.in);
    mem_set_task(own);
    return e == OK ? group_spawn(&agent.group, "ingest", ingest_run, agent.in) : e;
}

void story_stop(void)
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

/* --- what a step does --- */

static const char *const texts[] = {[NO_WAIT] = "\"waits_until\":null",
                                    [NEXT_SNAPSHOT] = " (413); the next is made at 20",
                                    [IS_HELD] = "give each hub an ingest.spool.path of its own, or stop the other one: process "};

static bool is_same(void)
{
    return mirror->snapshots > 0 && !mirror_difference();
}

/* The same in time, and for STEADY_MS: what came and went may still be on its way. */
void story_law(const struct story *s, ms within)
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
                 mirror_difference() ? mirror_difference() : "no snapshot", mirror->snapshots, mirror->events, why.at);
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
            cluster_change(k, (unsigned)n, step->op == DELETE ? DELETED : MODIFIED, step->op != TOUCH,
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
    story_stop();
    return story_start();
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
    story_stop();
    err e = lock_file_open(&agent.other_lane, "/data/ingest/ingest.lock", true, loop_now() + SECONDS(9), &agent.other, &holder);
    lane_close(&agent.other_lane);
    trail_clear();
    return e == OK ? story_start() : e;
}

err story_step(const struct story *s, const struct step *step)
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
        story_law(s, step->a);
        break;
    case API_DOWN:
        cluster->down = step->a;
        return fiber_sleep(loop_now() + 200);
    case COMPACT:
        cluster_compact();
        break;
    case EXPIRE:
        cluster->expire = true;
        break;
    case PAGE:
        cluster->page = (unsigned)step->a;
        break;
    case STICK_WATCH:
        cluster->stick_watch = true;
        break;
    case STICK_LIST:
        cluster->stick_list = true;
        break;
    case REFUSE:
        cluster->refused = (int)step->a;
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
        story_platform.refused_below = story_platform.tokens + 1;
        break;
    case API_SILENT:
        at = sim_ip(CLUSTER_AT);
        sim_link(&at, (struct sim_link){.black_hole = step->a});
        break;
    case FLAT:
        is_flat(s);
        break;
    case HEARTBEATS:
        between(s, "heartbeats", story_platform.good[PLATFORM_HEARTBEAT], step);
        break;
    case SNAPSHOTS:
        between(s, "snapshots", mirror->snapshots, step);
        break;
    case ATTEMPTS:
        between(s, "attempts to send a snapshot", story_platform.count[PLATFORM_SNAPSHOT], step);
        break;
    case EVENTS:
        between(s, "events", mirror->events, step);
        break;
    case UNKNOWN:
        between(s, "changes of what the platform does not know", mirror->unknown, step);
        break;
    case STATUS:
        in_status(s, step);
        break;
    case RESET:
        mirror->snapshots = mirror->events = mirror->unknown = 0;
        break;
    case END:
        break;
    }
    return OK;
}

static err tell_it(const struct story *s)
{
    err e = story_start();
    for (const struct step *step = s->steps; e == OK && step < s->steps + STEPS_MAX && step->op != END; step++)
        e = story_step(s, step);
    story_stop();
    return e;
}

/* --- the world around --- */

err story_in_world(const struct story *s, err (*body)(const struct story *s))
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    err e = dns_open_with(&numeric, &agent.dns);
    if (e == OK)
        e = cluster_open();
    if (e == OK)
        e = platform_peer_open(&story_platform);
    if (e == OK)
        e = body(s);
    platform_peer_close(&story_platform);
    cluster_close();
    dns_close(agent.dns);
    if (story_platform.wrong > 0)
        sim_fail("the platform saw %u wrong things, first %s", story_platform.wrong, story_platform.why);
    return e;
}

err story_run(void *arg)
{
    return story_in_world(arg, tell_it);
}

static void boot(void)
{
    log_setup(LOG_ERROR, LOG_LOGFMT, 2);
    SIM_CHECK_ERR(crypto_boot(), OK);
    sim_metrics_boot();
}

static void life_make(const struct story *s)
{
    memset(&story_platform, 0, sizeof story_platform);
    memset(&agent, 0, sizeof agent);
    story_platform.at = sim_ip(PLATFORM);
    story_platform.life_s = 3600;
    story_platform.taken = mirror_takes;
    story_platform.faults = s->faults;
    story_platform.fault_count = COUNT_OF(s->faults);
    config_make(s->spool_bytes ? s->spool_bytes : (int64_t)MIB(8));
    sim.time_limit_ms = HOURS(6);
    sim_profile(&profile_hub32);
    sim_boot(boot);
}

void story_setup(void *arg)
{
    memset(cluster, 0, sizeof *cluster);
    memset(mirror, 0, sizeof *mirror);
    life_make(arg);
    sim_disk_folder("/data");
    sim_disk_folder("/kube");
    sim_disk_put("/kube/id", bytes_of("client-7\n"));
    sim_disk_put("/kube/key", bytes_of(PRIVATE_KEY));
    sim_disk_put("/kube/config", bytes_of("current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"
                                          "clusters: [{name: c, cluster: {server: 'http://" CLUSTER_AT "'}}]\n"));
}

void story_reboot(const struct story *s)
{
    cluster->down = cluster->stick_list = cluster->stick_watch = cluster->expire = false;
    mirror->snapshots = mirror->events = mirror->unknown = 0;
    life_make(s);
}

void story_share(void)
{
    cluster = sim_shared(sizeof *cluster);
    mirror = sim_shared(sizeof *mirror);
}
