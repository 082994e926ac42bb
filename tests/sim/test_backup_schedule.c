/* When the backup agent runs, and when it says that the newest backup is too old: hours and nights of a hub in the simulated
 * world whose clock is set, and jumps, before an etcd that answers or does not. */
#include "tests/sim/backup_run.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/etcd_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS  4
#define FOLDER "/data/backups"

static struct etcd_peer peer;
static struct config config;
static uint8_t database[KIB(64)], back[KIB(96)];

struct clockwork {
    const char *name;
    const struct server_step *status_steps; /* see etcd_peer.h */
    ms every, span;
    const char *cron;  /* instead of `every` */
    int64_t wall_ms;   /* -1: as it is; 0: 1970 */
    const char *there; /* a name in the folder at start */
    bool there_long;   /* hours before it */
    int64_t age_s;     /* or a snapshot so old; negative: of the future */
    ms jumps[2], jumps_by[2];
    unsigned stales; /* how often it is told that the newest one is too old, or no longer */
    bool any_runs;
    unsigned runs;
    ms gaps[8]; /* before each run; 0: `every`; up to an eighth more, and the time of a run */
};

static const struct server_step status_denied[] = {{.what = SERVER_TRAILERS, .count = 7, .text = "no"}, {0}};
static const struct clockwork *clockwork;
static unsigned stales;

static void count_stale(void *arg, const char *destination, bool stale, int64_t newest_s)
{
    (void)arg;
    (void)newest_s;
    SIM_CHECK(strcmp(destination, "local") == 0 && stale == (stales % 2 == 0));
    stales++;
}

static void is_good(void *arg, const struct backup_record *r)
{
    (void)arg;
    SIM_CHECK(r->verification.verdict == VERDICT_GOOD);
}

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
    struct backup_run r = {.peer = &peer, .config = &config, .body = watch_schedule};
    r.events = (struct backup_events){.stale = count_stale, .done = is_good};
    err e = backup_run(&r);
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

static void world_make(const struct clockwork *c)
{
    struct etcd_file f = {.keys = 6, .deleted = 1, .value_bytes = 100};
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = HOURS(48);
    etcd_file_make(&f, database, sizeof database);
    peer = (struct etcd_peer){.db_bytes = f.bytes, .database = database, .status_steps = c->status_steps};
    peer.server.listener = SOCK_CLOSED;
    etcd_peer_open(&peer);
    sim_backup_config(&config, FOLDER);
    config.backup.destinations[0].retention[0] = 50; /* last */
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
}

static void aged_put(int64_t age_s)
{
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX], json[128];
    backup_name(&(struct backup_entry){.at_s = os_wall_ms() / 1000 - age_s}, NAME_SNAPSHOT, name);
    (void)snprintf(path, sizeof path, FOLDER "/%s", name);
    sim_disk_put(path, bytes_of("old"));
    (void)snprintf(json, sizeof json, "{\"name\":\"%s\",\"verdict\":\"good\",\"level\":4,\"bytes\":3}", name);
    (void)snprintf(path, sizeof path, FOLDER "/%s.json", name);
    sim_disk_put(path, bytes_of(json));
}

static void setup_schedule(void *arg)
{
    const struct clockwork *c = arg;
    world_make(c);
    if (c->wall_ms >= 0)
        sim_wall_set(c->wall_ms);
    if (c->there)
        sim_disk_put(c->there, bytes_of("half"));
    if (c->age_s)
        aged_put(c->age_s);
    if (c->there_long)
        sim_wall_set(os_wall_ms() + HOURS(3));
    for (unsigned i = 0; i < 2; i++)
        if (c->jumps[i])
            sim_wall_jump_at(SIM_BOOT_MS + c->jumps[i], c->jumps_by[i]);
}

static void see(const char *path, enum backup_name_kind kind, const struct backup_entry *entry)
{
    size_t len = 0;
    (void)entry;
    if (kind == NAME_RECORD)
        backup_see_record(path);
    if (kind != NAME_SNAPSHOT)
        return;
    SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && len <= sizeof back);
    SIM_CHECK(etcd_peer_is_whole(&peer, (struct bytes){back, len}));
}

static void check_schedule(void *arg, err result)
{
    const struct clockwork *c = arg;
    SIM_CHECK_ERR(result, OK);
    unsigned names = sim_disk_names(FOLDER), others = (c->age_s ? 2u : 0u);
    SIM_CHECK(c->any_runs || names == others + (c->status_steps ? 0 : 2 * c->runs));
    if (others > 0)
        return;
    struct backup_seen seen = backup_look(FOLDER, see);
    SIM_CHECK(seen.good == names / 2 && seen.bad + seen.leftovers == 0);
}

#define LEFT FOLDER "/etcd-snapshot-20260101-000000.db.part-0123abcd"
static const struct clockwork clockworks[] = {
    {.name = "hourly", .every = HOURS(1), .span = MINUTES(330), .wall_ms = -1, .runs = 6},
    {.name = "jumping",
     .every = HOURS(1),
     .span = MINUTES(330),
     .wall_ms = -1,
     .runs = 6,
     .jumps = {HOURS(1) + 60000, HOURS(3) + 60000},
     .jumps_by = {HOURS(9000), -HOURS(9011)},
     .stales = 2},
    {.name = "in_1970", .every = HOURS(1), .span = MINUTES(330), .wall_ms = 0, .runs = 6},
    {.name = "set_later",
     .every = HOURS(1),
     .span = MINUTES(330),
     .wall_ms = 0,
     .runs = 6,
     .jumps = {HOURS(2) + 60000},
     .jumps_by = {HOURS(24 * 365 * 60)},
     .stales = 2},
    {.name = "retries",
     .status_steps = status_denied,
     .every = HOURS(6),
     .span = MINUTES(42),
     .wall_ms = -1,
     .runs = 8,
     .gaps = {0, SECONDS(30), SECONDS(60), SECONDS(120), SECONDS(240), SECONDS(480), SECONDS(600), SECONDS(600)}},
    {.name = "retries_often",
     .status_steps = status_denied,
     .every = SECONDS(45),
     .span = SECONDS(190),
     .wall_ms = -1,
     .runs = 5,
     .gaps = {0, SECONDS(30)}},
    {.name = "young", .every = HOURS(1), .span = MINUTES(110), .wall_ms = -1, .age_s = 1200, .runs = 2, .gaps = {MINUTES(40)}},
    {.name = "missed", .every = HOURS(1), .span = MINUTES(110), .wall_ms = -1, .age_s = 90000, .runs = 2},
    {.name = "from_tomorrow", .every = HOURS(1), .span = MINUTES(110), .wall_ms = -1, .age_s = -90000, .runs = 2},
    {.name = "leftover", .every = HOURS(1), .span = MINUTES(50), .wall_ms = -1, .there = LEFT, .runs = 1},
    {.name = "old_leftover", .there_long = true, .every = HOURS(1), .span = MINUTES(50), .wall_ms = -1, .there = LEFT, .runs = 1},
};

/* At half past midnight; the newest one of yesterday's two o'clock, unless it says otherwise. */
#define NIGHT .cron = "0 2 * * *", .wall_ms = 1798763400000, .span = HOURS(20)
static const struct clockwork nights[] = {
    {.name = "cron", NIGHT, .age_s = 81000, .runs = 1, .gaps = {MINUTES(90)}},
    {.name = "cron_two_days",
     .cron = "0 2 * * *",
     .wall_ms = 1798763400000,
     .span = HOURS(40),
     .age_s = 81000,
     .runs = 2,
     .gaps = {MINUTES(90), HOURS(24)}},
    {.name = "cron_missed", NIGHT, .age_s = 90000, .runs = 2, .gaps = {0, MINUTES(90)}},
    {.name = "cron_first", NIGHT, .runs = 2, .gaps = {0, MINUTES(90)}},
    {.name = "cron_of_tomorrow", NIGHT, .age_s = -90000, .runs = 1, .gaps = {MINUTES(90)}},
    {.name = "cron_set_forward",
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(1)},
     .jumps_by = {HOURS(10)},
     .stales = 2,
     .runs = 2,
     .gaps = {HOURS(1), MINUTES(14 * 60 + 30)}},
    {.name = "cron_set_back",
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(2)},
     .jumps_by = {-HOURS(1)},
     .runs = 2,
     .gaps = {MINUTES(90), HOURS(1)}},
    {.name = "cron_set_back_far",
     NIGHT,
     .age_s = 81000,
     .jumps = {HOURS(2)},
     .jumps_by = {-HOURS(24 * 20)},
     .runs = 1,
     .gaps = {MINUTES(90)}},
    {.name = "cron_set_back_a_bit",
     NIGHT,
     .age_s = 81000,
     .jumps = {MINUTES(91)},
     .jumps_by = {-SECONDS(90)},
     .runs = 1,
     .gaps = {MINUTES(90)}},
    {.name = "cron_in_1970", .cron = "0 2 * * *", .wall_ms = 0, .span = HOURS(20), .runs = 0},
    {.name = "cron_set_later",
     .cron = "0 2 * * *",
     .wall_ms = 0,
     .span = HOURS(10),
     .jumps = {HOURS(2) + 60000},
     .jumps_by = {HOURS(24 * 365 * 60)},
     .runs = 1,
     .gaps = {HOURS(2) + 60000}},
    {.name = "becomes_stale",
     .status_steps = status_denied,
     .every = HOURS(48),
     .wall_ms = -1,
     .span = HOURS(3),
     .age_s = 25 * 3600,
     .any_runs = true,
     .stales = 1},
    {.name = "stale_though_set_back",
     .status_steps = status_denied,
     .every = HOURS(48),
     .wall_ms = -1,
     .span = HOURS(6),
     .age_s = 25 * 3600,
     .jumps = {MINUTES(30), HOURS(3)},
     .jumps_by = {-HOURS(20), -HOURS(20)},
     .any_runs = true,
     .stales = 1},
    {.name = "not_yet_stale",
     .status_steps = status_denied,
     .every = HOURS(48),
     .wall_ms = -1,
     .span = MINUTES(50),
     .age_s = 25 * 3600,
     .any_runs = true},
    {.name = "stale_without_any",
     .status_steps = status_denied,
     .every = HOURS(48),
     .wall_ms = 0,
     .span = HOURS(27),
     .any_runs = true,
     .stales = 1},
    {.name = "fresh_again", .every = HOURS(24), .wall_ms = -1, .span = HOURS(1), .age_s = 27 * 3600, .runs = 1},
    {.name = "stale_after_a_try",
     .status_steps = status_denied,
     .every = HOURS(24),
     .wall_ms = -1,
     .span = SECONDS(20),
     .age_s = 27 * 3600,
     .any_runs = true,
     .stales = 1},
};

static void each_of(const struct clockwork *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_case c = {.name = all[i].name,
                             .setup = setup_schedule,
                             .run = run_schedule,
                             .check = check_schedule,
                             .arg = (void *)(uintptr_t)&all[i],
                             .fibers = true};
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void schedule(void **state)
{
    (void)state;
    each_of(clockworks, COUNT_OF(clockworks));
}

static void schedule_by_night(void **state)
{
    (void)state;
    each_of(nights, COUNT_OF(nights));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedule), cmocka_unit_test(schedule_by_night)};
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
