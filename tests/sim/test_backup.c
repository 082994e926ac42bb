/* The backup agent and its etcd client, whole, against a scripted etcd in the simulated world: whatever the peer, the network,
 * the disk, the clock and the power do, a whole good snapshot under its name, or nothing; and nothing hangs. */
#include "agents/backup/backup_internal.h"
#include "board/rt/mem.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/etcd_file.h"
#include "tests/support/etcd_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     4
#define FOLDER    "/data/backups"
#define ENDPOINT  "http://10.0.0.1:2379"
#define FILES_MAX MIB(2)

enum { COMMITTED };

struct plan { /* one case's world, in order of use */
    const char *name;
    err wanted;
    struct sim_link link;
    unsigned keys; /* a real database of so many, verified to level 4; 0: a pattern, to level 2 */
    uint64_t db_bytes, says_bytes, flip_at, disk_bytes;
    uint64_t damage_at; /* a byte of the database that is wrong in etcd already: the digest is right */
    uint32_t messages;  /* see etcd_peer.h */
    struct server_step ending[4];
    const struct server_step *status_steps;
    ms within_ms;        /* 0: any */
    ms jump_at, jump_by; /* of the wall clock */
    ms pull_at;          /* the cable goes */
    ms cancel_at;
    bool is_learner, nobody, readonly, any_error;
    unsigned level;     /* the record's, when not 0 */
    const char *reason; /* the record's, when not NULL */
};

static struct etcd_peer peer;
static struct config config;
static struct backup_record record;
static uint8_t back[FILES_MAX];

/* --- the world --- */

static uint8_t database[KIB(640)];

static uint64_t database_make(const struct plan *p)
{
    struct etcd_file f = {.keys = p->keys, .deleted = 1, .value_bytes = 100};
    etcd_file_make(&f, database, sizeof database);
    if (p->damage_at)
        database[p->damage_at] ^= 1;
    return f.bytes;
}

static void peer_fill(const struct plan *p)
{
    uint64_t made = p->keys ? database_make(p) : 0;
    peer = (struct etcd_peer){.db_bytes = made          ? made
                                          : p->db_bytes ? p->db_bytes
                                                        : KIB(600),
                              .database = made ? database : NULL,
                              .says_bytes = p->says_bytes,
                              .flip_at = p->flip_at,
                              .messages = p->messages,
                              .status_steps = p->status_steps,
                              .is_learner = p->is_learner};
    memcpy(peer.ending, p->ending, sizeof peer.ending);
    peer.server.listener = SOCK_CLOSED;
    etcd_peer_open(&peer);
}

static void config_fill(void)
{
    sim_backup_config(&config, FOLDER);
    config.backup.destinations[0].retention[0] = 50; /* last */
}

static void setup(void *arg)
{
    sim_boot(sim_metrics_boot);
    const struct plan *p = arg;
    struct addr at = sim_ip("10.0.0.1:2379");
    sim.time_limit_ms = HOURS(48);
    sim_link(&at, p->link);
    sim_disk_folder("/data");
    if (p->disk_bytes)
        sim.disk_bytes = p->disk_bytes;
    sim.disk_readonly = p->readonly;
    if (p->jump_by)
        sim_wall_jump_at(SIM_BOOT_MS + p->jump_at, p->jump_by);
    peer_fill(p);
    config_fill();
}

/* --- the program --- */

struct taking {
    const struct plan *plan;
    err (*run)(struct backup *b, void *arg);
    void *arg;
    err result;
};

static unsigned stales, dones;
static void count_done(void *arg, const struct backup_record *r);

static void count_stale(void *arg, const char *destination, bool stale, int64_t newest_s)
{
    (void)arg;
    (void)newest_s;
    SIM_CHECK(strcmp(destination, "local") == 0 && stale == (stales % 2 == 0));
    stales++;
}

static err take_fiber(void *arg)
{
    struct taking *t = arg;
    struct dns *dns = NULL;
    struct backup *b = NULL;
    struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    t->result = dns_open_with(&numeric, &dns);
    if (t->result == OK)
        t->result = backup_open(
            &(struct backup_options){.config = &config, .dns = dns, .events = {.stale = count_stale, .done = count_done}}, &b);
    if (t->result == OK)
        t->result = t->run(b, t->arg);
    backup_close(b);
    dns_close(dns);
    return OK;
}

static err run_with(struct taking *t)
{
    const struct plan *p = t->plan;
    struct addr at = sim_ip("10.0.0.1:2379");
    struct group etcd, backup;
    group_open(&etcd, TASK_METRICS);
    group_open(&backup, TASK_BACKUP);
    err e = p->nobody ? OK : sock_listen(&peer.server.listener, &at, NULL);
    if (e == OK && !p->nobody)
        e = group_spawn(&etcd, "etcd", server_listen, &peer.server);
    if (e == OK)
        e = group_spawn(&backup, "backup", take_fiber, t);
    if (e == OK && p->pull_at) {
        e = fiber_sleep(loop_now() + p->pull_at);
        sim_link(&at, (struct sim_link){.black_hole = true});
    }
    ms began = loop_now();
    if (e == OK)
        e = group_join(&backup, p->cancel_at ? began + p->cancel_at : FOREVER);
    if (e == E_TIMEOUT && p->cancel_at)
        e = OK;
    group_close(&backup);
    SIM_CHECK(!p->cancel_at || loop_now() <= began + p->cancel_at + SECONDS(3));
    group_close(&etcd);
    sock_close(&peer.server.listener);
    return e != OK ? e : t->result;
}

static void count_done(void *arg, const struct backup_record *r)
{
    (void)arg;
    SIM_CHECK(r->verification.verdict == VERDICT_GOOD);
    dones++;
}

/* Told of as a success is only what is good; and where another run is at work, what is handed back is filled in. */
static err take_one(struct backup *b, void *arg)
{
    const struct plan *p = arg;
    memset(&record, 0xA5, sizeof record);
    b->destinations[0].busy = true;
    SIM_CHECK_ERR(backup_take(b, 0, 4, NULL, &record), E_BUSY);
    SIM_CHECK(strcmp(record.destination, "local") == 0 && !record.path[0] && record.verification.finding_count == 0);
    b->destinations[0].busy = false;
    trail_clear();
    dones = 0;
    err e = backup_take(b, 0, p->keys ? 4 : 2, NULL, &record);
    SIM_CHECK(dones == (e == OK && p->keys ? 1u : 0u));
    return e;
}

static err run_take(void *arg)
{
    ms began = loop_now();
    const struct plan *p = arg;
    struct taking t = {.plan = p, .run = take_one, .arg = arg};
    err e = run_with(&t);
    SIM_CHECK(!p->within_ms || sim_fault_name() || loop_now() - began <= p->within_ms);
    if (e == OK)
        sim_note(COMMITTED, 1);
    return e;
}

/* --- what is left of it --- */

struct seen {
    unsigned good, bad, records;
};

static void see_file(const char *path, bool is_good)
{
    if (!is_good && !peer.flip_at)
        return;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && len <= sizeof back);
    SIM_CHECK(etcd_peer_is_whole(&peer, (struct bytes){back, len}) == is_good);
}

static void see_record(const char *path, const char *name)
{
    struct backup_record r;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && len <= BACKUP_RECORD_JSON_MAX);
    SIM_CHECK_ERR(backup_record_parse((struct bytes){back, len}, &r), OK);
    SIM_CHECK(strncmp(r.name, name, strlen(r.name)) == 0 && strcmp(name + strlen(r.name), ".json") == 0);
}

/* Snapshots, whole ones and damaged ones, and their records; others may only be ours and unfinished. */
static struct seen look(bool leftovers_too)
{
    struct seen seen = {0};
    const char *name;
    for (unsigned i = 0; (name = sim_disk_name(FOLDER, i)); i++) {
        char path[OS_PATH_MAX];
        struct backup_entry entry;
        (void)snprintf(path, sizeof path, FOLDER "/%s", name);
        enum backup_name_kind kind = backup_name_kind(name, &entry);
        SIM_CHECK(kind != NAME_OTHER && (leftovers_too || kind != NAME_LEFTOVER));
        if (kind == NAME_RECORD)
            see_record(path, name);
        else if (kind != NAME_LEFTOVER)
            see_file(path, kind == NAME_SNAPSHOT);
        seen.good += kind == NAME_SNAPSHOT;
        seen.bad += kind == NAME_BAD;
        seen.records += kind == NAME_RECORD;
    }
    return seen;
}

/* A stream that is whole but wrong is kept aside; of any other failure nothing is left but, when its record could not be written,
 * the whole snapshot. */
static void check_take(void *arg, err result)
{
    const struct plan *p = arg;
    if (!sim_fault_name() && !(p->any_error && result != OK))
        SIM_CHECK_ERR(result, p->wanted);
    struct seen seen = look(false);
    SIM_CHECK(seen.bad == (result == E_CORRUPT ? 1u : 0u) || sim_fault_name());
    SIM_CHECK(seen.good == (result == OK ? 1u : 0u) ||
              (sim_fault_name() && (seen.records == 0 || record.verification.verdict == VERDICT_UNKNOWN)));
    SIM_CHECK(seen.records == seen.good + seen.bad || sim_fault_name());
    SIM_CHECK((result == OK || result == E_CORRUPT) == (record.path[0] != 0) || sim_fault_name());
    SIM_CHECK(result != OK ||
              (record.verification.db_bytes == peer.db_bytes && record.cluster_id == 0xC0FFEE && record.member_id == 7));
    SIM_CHECK(result != OK || strcmp(record.etcd_version, "3.5.21") == 0);
    if (sim_fault_name() || !record.path[0])
        return;
    SIM_CHECK(!p->level || record.verification.level == p->level);
    if (p->reason && strcmp(record.verification.reason, p->reason) != 0)
        sim_fail("reason %s, wanted %s", record.verification.reason, p->reason);
}

static void reboot_take(void *arg, bool ended, err result)
{
    peer_fill(arg);
    struct seen seen = look(true);
    SIM_CHECK(!ended || result == OK);
    SIM_CHECK(seen.good <= 1 && seen.bad == 0 && seen.records <= seen.good);
    SIM_CHECK(sim_noted(COMMITTED) == 0 || (seen.good == 1 && seen.records == 1));
}

/* --- the cases: a line each --- */

static const struct server_step status_denied[] = {{.what = SERVER_TRAILERS, .count = 7, .text = "no"}, {0}};
static const struct server_step status_never[] = {{.what = SERVER_HEADERS}, {0}};

#define FAR                                                                                                                      \
    {                                                                                                                            \
        .delay_ms = 20, .jitter_ms = 10                                                                                          \
    }
static const struct plan plans[] = {
    {.name = "good"},
    {.name = "far", .link = FAR},
    {.name = "narrow", .link = {.window_bytes = 700}, .db_bytes = KIB(64)},
    {.name = "slow", .link = {.bytes_per_s = 1000}, .db_bytes = KIB(96), .within_ms = SECONDS(120)},
    {.name = "verified", .keys = 6, .level = 4},
    {.name = "verified_large", .keys = 2000, .level = 4},
    {.name = "verified_flip", .keys = 6, .flip_at = 9000, .wanted = E_CORRUPT, .reason = "sha256"},
    {.name = "damaged_in_etcd", .keys = 6, .damage_at = 3 * ETCD_FILE_PAGE + 8, .wanted = E_CORRUPT, .reason = "page-flags"},
    {.name = "one_page", .db_bytes = 512},
    {.name = "one_blob", .messages = 1, .ending = {{.what = SERVER_TRAILERS}}, .wanted = E_CORRUPT},
    {.name = "stuck_at_once", .ending = {{.what = SERVER_PING}}, .wanted = E_TIMEOUT, .within_ms = SECONDS(32)},
    {.name = "stuck", .messages = 5, .wanted = E_TIMEOUT, .within_ms = SECONDS(32)},
    {.name = "stuck_but_pings",
     .messages = 5,
     .wanted = E_TIMEOUT,
     .within_ms = SECONDS(42),
     .ending = {{.what = SERVER_WAIT, .count = 9000}, {.what = SERVER_PING}}},
    {.name = "cable_pulled",
     .link = {.bytes_per_s = 20000},
     .pull_at = SECONDS(6),
     .wanted = E_TIMEOUT,
     .within_ms = SECONDS(45)},
    {.name = "black_hole", .link = {.black_hole = true}, .wanted = E_TIMEOUT, .within_ms = SECONDS(11)},
    {.name = "nobody", .nobody = true, .wanted = E_REFUSED, .within_ms = SECONDS(1)},
    {.name = "no_route", .link = {.no_route = true}, .wanted = E_UNREACHABLE},
    {.name = "status_denied", .status_steps = status_denied, .wanted = E_DENIED},
    {.name = "status_never", .status_steps = status_never, .wanted = E_TIMEOUT, .within_ms = SECONDS(11)},
    {.name = "learner", .is_learner = true, .wanted = E_UNREACHABLE},
    {.name = "fails", .messages = 3, .ending = {{.what = SERVER_TRAILERS, .count = 14, .text = "gone"}}, .wanted = E_UNREACHABLE},
    {.name = "short", .messages = 19, .ending = {{.what = SERVER_TRAILERS}}, .wanted = E_CORRUPT},
    {.name = "shorter", .messages = 4, .ending = {{.what = SERVER_TRAILERS}}, .wanted = E_CORRUPT},
    {.name = "no_status", .messages = 20, .ending = {{.what = SERVER_BARE_END}}, .wanted = E_PROTOCOL},
    {.name = "first_byte_wrong", .flip_at = 1, .wanted = E_CORRUPT},
    {.name = "last_byte_wrong", .flip_at = KIB(600), .wanted = E_CORRUPT},
    {.name = "bits_flip", .link = {.flip_permille = 2}, .any_error = true},
    {.name = "clock_ahead", .link = {.bytes_per_s = 50000}, .jump_at = 3000, .jump_by = HOURS(24 * 400)},
    {.name = "clock_back", .link = {.bytes_per_s = 50000}, .jump_at = 3000, .jump_by = -HOURS(24 * 20)},
    {.name = "disk_small", .disk_bytes = KIB(300), .wanted = E_NOSPACE},
    {.name = "disk_full", .disk_bytes = KIB(300), .says_bytes = 1, .wanted = E_NOSPACE},
    {.name = "read_only", .readonly = true, .wanted = E_READONLY},
    {.name = "canceled_early", .link = FAR, .cancel_at = 50, .wanted = E_CANCELED},
    {.name = "canceled", .link = {.bytes_per_s = 50000}, .cancel_at = 4000, .wanted = E_CANCELED},
};

#define CASE(plan_)                                                                                                              \
    (struct sim_case)                                                                                                            \
    {                                                                                                                            \
        .name = (plan_)->name, .setup = setup, .run = run_take, .check = check_take, .arg = (void *)(uintptr_t)(plan_),          \
        .reboot = reboot_take, .fibers = true                                                                                    \
    }

static void every_peer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        struct sim_case c = CASE(&plans[i]);
        assert_true(sim_seeds(&c, SEEDS));
    }
}

/* The connection goes after each message, and after some number of bytes. */
static void reset_anywhere(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 20; i++) {
        char name[24];
        struct plan p = {.name = name,
                         .messages = i,
                         .wanted = E_CLOSED,
                         .any_error = true,
                         .ending = {{.what = SERVER_WAIT, .count = 1}, {.what = SERVER_VANISH}}};
        (void)snprintf(name, sizeof name, "vanish_%u", i);
        struct sim_case c = CASE(&p);
        assert_true(sim_seeds(&c, 2));
        p = (struct plan){
            .name = name, .link.reset_after_bytes = 100 + 29989 * (uint64_t)i, .wanted = E_RESET, .any_error = true};
        (void)snprintf(name, sizeof name, "reset_%u", i);
        assert_true(sim_seeds(&c, 2));
    }
}

/* --- the schedule --- */

struct clockwork {
    struct plan plan; /* first */
    ms every, span;
    const char *cron;  /* instead of `every` */
    int64_t wall_ms;   /* -1: as it is; 0: 1970 */
    const char *there; /* a name in the folder at start */
    int64_t age_s;     /* or a snapshot so old; negative: of the future */
    ms jumps[2], jumps_by[2];
    unsigned stales; /* how often it is told that the newest one is too old, or no longer */
    bool any_runs;
    unsigned runs;
    ms gaps[8]; /* before each run; 0: `every`; up to an eighth more, and the time of a run */
};

static const struct clockwork *clockwork;

static err watch_schedule(struct backup *b, void *arg)
{
    struct group g;
    (void)arg;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "schedule", backup_schedule, b);
    if (e == OK)
        e = fiber_sleep(loop_now() + clockwork->span);
    group_close(&g);
    return e;
}

static err run_schedule(void *arg)
{
    const struct clockwork *c = clockwork = arg;
    ms last = loop_now();
    config.backup.every_ms = c->every;
    if (c->cron)
        (void)snprintf(config.backup.schedule, sizeof config.backup.schedule, "%s", c->cron);
    stales = 0;
    struct taking t = {.plan = &c->plan, .run = watch_schedule};
    err e = run_with(&t);
    unsigned runs = 0;
    for (unsigned i = 0; i < size_min(peer.statuses, ETCD_PEER_VISITS_MAX);
         i++) { /* a run asks twice: for the stream, and for the hash */
        if (i && peer.asked_at[i] - peer.asked_at[i - 1] < SECONDS(5))
            continue;
        ms gap = runs < COUNT_OF(c->gaps) && (runs == 0 || c->gaps[runs]) ? c->gaps[runs] : c->every,
           took = peer.asked_at[i] - last;
        SIM_CHECK(c->any_runs || (took >= gap - 1000 && took <= gap + gap / 8 + 2000));
        last = peer.asked_at[i];
        runs++;
    }
    SIM_CHECK(runs == c->runs || c->any_runs);
    SIM_CHECK(stales == c->stales);
    return e;
}

static void setup_schedule(void *arg)
{
    const struct clockwork *c = arg;
    setup(arg);
    sim_disk_folder(FOLDER);
    if (c->wall_ms >= 0)
        sim_wall_set(c->wall_ms);
    if (c->there)
        sim_disk_put(c->there, (struct bytes){(const uint8_t *)"half", 4});
    if (c->age_s) {
        char name[BACKUP_NAME_MAX], path[OS_PATH_MAX];
        backup_name(&(struct backup_entry){.at_s = os_wall_ms() / 1000 - c->age_s}, NAME_SNAPSHOT, name);
        (void)snprintf(path, sizeof path, FOLDER "/%s", name);
        sim_disk_put(path, (struct bytes){(const uint8_t *)"old", 3});
        char json[128];
        (void)snprintf(json, sizeof json, "{\"name\":\"%s\",\"verdict\":\"good\",\"level\":4,\"bytes\":3}", name);
        (void)snprintf(path, sizeof path, FOLDER "/%s.json", name);
        sim_disk_put(path, bytes_of(json));
    }
    if (c->there && c->wall_ms < 0 && c->plan.jump_at < 0)
        sim_wall_set(os_wall_ms() + HOURS(3));
    for (unsigned i = 0; i < 2; i++)
        if (c->jumps[i])
            sim_wall_jump_at(SIM_BOOT_MS + c->jumps[i], c->jumps_by[i]);
}

static void check_schedule(void *arg, err result)
{
    const struct clockwork *c = arg;
    SIM_CHECK_ERR(result, OK);
    unsigned names = sim_disk_names(FOLDER), others = (c->age_s ? 2u : 0u);
    SIM_CHECK(c->any_runs || names == others + (c->plan.status_steps ? 0 : 2 * c->runs));
    if (others == 0)
        SIM_CHECK(look(false).good == names / 2);
}

#define LEFT FOLDER "/etcd-snapshot-20260101-000000.db.part-0123abcd"
static const struct clockwork clockworks[] = {
    {{.name = "hourly", .keys = 6}, .every = HOURS(1), .span = MINUTES(330), .wall_ms = -1, .runs = 6},
    {{.name = "jumping", .keys = 6},
     .every = HOURS(1),
     .span = MINUTES(330),
     .wall_ms = -1,
     .runs = 6,
     .jumps = {HOURS(1) + 60000, HOURS(3) + 60000},
     .jumps_by = {HOURS(9000), -HOURS(9011)},
     .stales = 2},
    {{.name = "in_1970", .keys = 6}, .every = HOURS(1), .span = MINUTES(330), .wall_ms = 0, .runs = 6},
    {{.name = "set_later", .keys = 6},
     .every = HOURS(1),
     .span = MINUTES(330),
     .wall_ms = 0,
     .runs = 6,
     .jumps = {HOURS(2) + 60000},
     .jumps_by = {HOURS(24 * 365 * 60)},
     .stales = 2},
    {{.name = "retries", .status_steps = status_denied},
     .every = HOURS(6),
     .span = MINUTES(42),
     .wall_ms = -1,
     .runs = 8,
     .gaps = {0, SECONDS(30), SECONDS(60), SECONDS(120), SECONDS(240), SECONDS(480), SECONDS(600), SECONDS(600)}},
    {{.name = "retries_often", .status_steps = status_denied},
     .every = SECONDS(45),
     .span = SECONDS(190),
     .wall_ms = -1,
     .runs = 5,
     .gaps = {0, SECONDS(30)}},
    {{.name = "young", .keys = 6},
     .every = HOURS(1),
     .span = MINUTES(110),
     .wall_ms = -1,
     .age_s = 1200,
     .runs = 2,
     .gaps = {MINUTES(40)}},
    {{.name = "missed", .keys = 6}, .every = HOURS(1), .span = MINUTES(110), .wall_ms = -1, .age_s = 90000, .runs = 2},
    {{.name = "from_tomorrow", .keys = 6}, .every = HOURS(1), .span = MINUTES(110), .wall_ms = -1, .age_s = -90000, .runs = 2},
    {{.name = "leftover", .keys = 6}, .every = HOURS(1), .span = MINUTES(50), .wall_ms = -1, .there = LEFT, .runs = 1},
    {{.name = "old_leftover", .keys = 6, .jump_at = -1},
     .every = HOURS(1),
     .span = MINUTES(50),
     .wall_ms = -1,
     .there = LEFT,
     .runs = 1},
};

/* At half past midnight; the newest one of yesterday's two o'clock, unless it says otherwise. */
#define NIGHT .cron = "0 2 * * *", .wall_ms = 1798763400000, .span = HOURS(20)
static const struct clockwork nights[] = {
    {{.name = "cron", .keys = 6}, NIGHT, .age_s = 81000, .runs = 1, .gaps = {MINUTES(90)}},
    {{.name = "cron_two_days", .keys = 6},
     .cron = "0 2 * * *",
     .wall_ms = 1798763400000,
     .span = HOURS(40),
     .age_s = 81000,
     .runs = 2,
     .gaps = {MINUTES(90), HOURS(24)}},
    {{.name = "cron_missed", .keys = 6}, NIGHT, .age_s = 90000, .runs = 2, .gaps = {0, MINUTES(90)}},
    {{.name = "cron_first", .keys = 6}, NIGHT, .runs = 2, .gaps = {0, MINUTES(90)}},
    {{.name = "cron_of_tomorrow", .keys = 6}, NIGHT, .age_s = -90000, .runs = 1, .gaps = {MINUTES(90)}},
    {{.name = "cron_set_forward", .keys = 6},
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(1)},
     .jumps_by = {HOURS(10)},
     .stales = 2,
     .runs = 2,
     .gaps = {HOURS(1), MINUTES(14 * 60 + 30)}},
    {{.name = "cron_set_back", .keys = 6},
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(2)},
     .jumps_by = {-HOURS(1)},
     .runs = 2,
     .gaps = {MINUTES(90), HOURS(1)}},
    {{.name = "cron_set_back_far", .keys = 6},
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(2)},
     .jumps_by = {-HOURS(24 * 20)},
     .runs = 1,
     .gaps = {MINUTES(90)}},
    {{.name = "cron_set_back_a_bit", .keys = 6},
     NIGHT,
     .age_s = 81000,
     .jumps = {MINUTES(91)},
     .jumps_by = {-SECONDS(90)},
     .runs = 1,
     .gaps = {MINUTES(90)}},
    {{.name = "cron_in_1970", .keys = 6}, .cron = "0 2 * * *", .wall_ms = 0, .span = HOURS(20), .runs = 0},
    {{.name = "cron_set_later", .keys = 6},
     .cron = "0 2 * * *",
     .wall_ms = 0,
     .span = HOURS(10),
     .jumps = {HOURS(2) + 60000},
     .jumps_by = {HOURS(24 * 365 * 60)},
     .runs = 1,
     .gaps = {HOURS(2) + 60000}},
    {{.name = "becomes_stale", .status_steps = status_denied},
     .every = HOURS(48),
     .wall_ms = -1,
     .span = HOURS(3),
     .age_s = 25 * 3600,
     .any_runs = true,
     .stales = 1},
    {{.name = "stale_though_set_back", .status_steps = status_denied},
     .every = HOURS(48),
     .wall_ms = -1,
     .span = HOURS(6),
     .age_s = 25 * 3600,
     .jumps = {MINUTES(30), HOURS(3)},
     .jumps_by = {-HOURS(20), -HOURS(20)},
     .any_runs = true,
     .stales = 1},
    {{.name = "not_yet_stale", .status_steps = status_denied},
     .every = HOURS(48),
     .wall_ms = -1,
     .span = MINUTES(50),
     .age_s = 25 * 3600,
     .any_runs = true},
    {{.name = "stale_without_any", .status_steps = status_denied},
     .every = HOURS(48),
     .wall_ms = 0,
     .span = HOURS(27),
     .any_runs = true,
     .stales = 1},
    {{.name = "fresh_again", .keys = 6}, .every = HOURS(24), .wall_ms = -1, .span = HOURS(1), .age_s = 27 * 3600, .runs = 1},
    {{.name = "stale_after_a_try", .status_steps = status_denied},
     .every = HOURS(24),
     .wall_ms = -1,
     .span = SECONDS(20),
     .age_s = 27 * 3600,
     .any_runs = true,
     .stales = 1},
};

static void schedule_by_night(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(nights); i++) {
        struct sim_case c = {.name = nights[i].plan.name,
                             .setup = setup_schedule,
                             .run = run_schedule,
                             .check = check_schedule,
                             .arg = (void *)(uintptr_t)&nights[i],
                             .fibers = true};
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void schedule(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(clockworks); i++) {
        struct sim_case c = {.name = clockworks[i].plan.name,
                             .setup = setup_schedule,
                             .run = run_schedule,
                             .check = check_schedule,
                             .arg = (void *)(uintptr_t)&clockworks[i],
                             .fibers = true};
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static const struct plan small = {.name = "each", .keys = 6};

static void each_fault(void **state)
{
    (void)state;
    struct sim_case c = CASE(&small);
    assert_true(sim_each_fault(&c));
}

static void each_power_cut(void **state)
{
    (void)state;
    static const struct plan large = {.name = "cut", .db_bytes = KIB(600)};
    struct sim_case c = CASE(&large);
    assert_true(sim_each_power_cut(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_peer),        cmocka_unit_test(reset_anywhere), cmocka_unit_test(schedule),
        cmocka_unit_test(schedule_by_night), cmocka_unit_test(each_power_cut), cmocka_unit_test(each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
