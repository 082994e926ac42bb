/* A week of the backup agent's schedule in virtual time, under weather drawn from the seed: networks that drop, cut and flip,
 * disks that are full or read-only, a clock that is set back and forth, jobs that stick. Whatever comes: what is named a snapshot
 * and has a record is whole, the newest good one is never removed, no alarm is missed, and in the end all is well again. */
#include "agents/backup/backup_internal.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/etcd_file.h"
#include "tests/support/etcd_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS        2
#define SPAN         HOURS(24 * 7)
#define LOOK         HOURS(3) /* how often what lies there is looked at */
#define EVERY        HOURS(6)
#define MAX_AGE      HOURS(13)
#define SLACK        MINUTES(25) /* the last retry's wait with its jitter, a run's own time, and the next look at the age */
#define KEEP         6
#define DISK         MIB(8)
#define ENDPOINT     "http://10.0.0.1:2379"
#define DATABASE_MAX KIB(256)

static const char *const folders[] = {"/data/a", "/data/b"};
static const char *const names[] = {"a", "b"};
#define FOLDERS COUNT_OF(folders)

/*            id          what            no run can succeed; a run may fail; the clock is wrong after it */
#define WEATHER_TABLE(X)                                                                                                         \
    X(CALM, "calm", false, false, false)                                                                                         \
    X(BLACK_HOLE, "black hole", true, true, false)                                                                               \
    X(NO_ROUTE, "no route", true, true, false)                                                                                   \
    X(CUTS, "connections are cut", true, true, false)                                                                            \
    X(FLIPS, "bits flip", false, true, false)                                                                                    \
    X(SLOW, "slow", false, true, false)                                                                                          \
    X(READ_ONLY, "disk is read-only", true, true, false)                                                                         \
    X(FULL, "disk is full", true, true, false)                                                                                   \
    X(STUCK, "a job sticks", false, true, false)                                                                                 \
    X(BACK, "clock goes back", false, false, true)                                                                               \
    X(FORTH, "clock goes forth", false, false, true)
enum weather {
#define X(id, name, fails, may_fail, moves) WEATHER_##id,
    WEATHER_TABLE(X)
#undef X
        WEATHER_COUNT
};
static const struct {
    const char *name;
    bool fails, may_fail, moves_clock;
} weathers[] = {
#define X(id, name, fails, may_fail, moves) {name, fails, may_fail, moves},
    WEATHER_TABLE(X)
#undef X
};

struct plan {
    const char *name;
    const char *cron; /* NULL: every */
    bool clock;       /* the clock's weather only; else all but the clock's */
};

static struct {
    ms began, done_at, failed_at; /* monotonic, of the last one; 0: none */
    unsigned done, failed;
    bool stale;
    char newest[BACKUP_NAME_MAX]; /* the last one taken */
} seen[FOLDERS];

static struct etcd_peer peer;
static struct etcd_file file = {.keys = 40, .deleted = 9, .value_bytes = 100};
static uint8_t database[DATABASE_MAX], back[DATABASE_MAX];
static struct config config;
static const struct plan *plan;
static int64_t clock_off_ms;

/* --- the world --- */

static void config_fill(void)
{
    memset(&config, 0, sizeof config);
    config.backup.endpoint_count = 1;
    config.backup.destination_count = FOLDERS;
    (void)snprintf(config.backup.endpoints[0], sizeof config.backup.endpoints[0], "%s", ENDPOINT);
    for (unsigned i = 0; i < FOLDERS; i++) {
        struct config_destination *d = &config.backup.destinations[i];
        (void)snprintf(d->name, sizeof d->name, "%s", names[i]);
        (void)snprintf(d->path, sizeof d->path, "%s", folders[i]);
        d->retention[0] = KEEP;
    }
    (void)snprintf(config.backup.timezone, sizeof config.backup.timezone, "UTC");
    if (plan->cron)
        (void)snprintf(config.backup.schedule, sizeof config.backup.schedule, "%s", plan->cron);
    else
        config.backup.every_ms = EVERY;
    config.backup.max_age_ms = MAX_AGE;
    config.backup.idle_timeout_ms = SECONDS(30);
    config.backup.total_timeout_ms = HOURS(1);
}

static void setup(void *arg)
{
    plan = arg;
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = SPAN + HOURS(24 * 4);
    sim_disk_folder("/data");
    sim_wall_set(os_wall_ms() + HOURS(24 * 100));
    etcd_file_make(&file, database, sizeof database);
    peer = (struct etcd_peer){.database = database, .db_bytes = file.bytes};
    peer.server.listener = SOCK_CLOSED;
    etcd_peer_open(&peer);
    config_fill();
}

static void begin(enum weather w)
{
    static const int64_t far[] = {MINUTES(3), HOURS(2), HOURS(30), HOURS(24 * 40)};
    struct addr at = sim_ip("10.0.0.1:2379");
    struct sim_link link = {.black_hole = w == WEATHER_BLACK_HOLE,
                            .no_route = w == WEATHER_NO_ROUTE,
                            .reset_after_bytes = w == WEATHER_CUTS ? 1000 + sim_draw(file.bytes / 2) : 0,
                            .flip_permille = w == WEATHER_FLIPS ? 30 : 0,
                            .bytes_per_s = w == WEATHER_SLOW ? 2000 : 0};
    sim_link(&at, link);
    sim.disk_readonly = w == WEATHER_READ_ONLY;
    sim.disk_bytes = w == WEATHER_FULL ? KIB(16) : DISK;
    if (w == WEATHER_STUCK)
        sim_stick_job((unsigned)sim_draw(60) + 1, SECONDS(1) + (ms)sim_draw(MINUTES(10))); /* perhaps when it is calm again */
    if (weathers[w].moves_clock) {
        int64_t by = far[sim_draw(COUNT_OF(far))];
        if (w == WEATHER_BACK && clock_off_ms - by < -MINUTES(60 * 24 * 60)) /* before the build no clock is believed */
            by = 0;
        clock_off_ms += w == WEATHER_BACK ? -by : by;
        sim_wall_set(os_wall_ms() + (w == WEATHER_BACK ? -by : by));
    }
}

/* --- what the agent tells --- */

static unsigned index_of(const char *destination)
{
    unsigned i = destination[0] == 'a' ? 0 : 1;
    SIM_CHECK(strcmp(destination, names[i]) == 0);
    return i;
}

static void on_done(void *arg, const struct backup_record *r)
{
    (void)arg;
    unsigned i = index_of(r->destination);
    SIM_CHECK(r->verification.verdict == VERDICT_GOOD && r->verification.level == 4);
    SIM_CHECK(r->verification.revision == file.revision && r->verification.keys == file.keys - file.deleted);
    seen[i].done++;
    seen[i].done_at = loop_now();
    (void)snprintf(seen[i].newest, sizeof seen[i].newest, "%s", r->name);
}

static void on_failed(void *arg, const char *destination, const char *reason, const char *words)
{
    (void)arg;
    unsigned i = index_of(destination);
    SIM_CHECK(reason[0] && words[0]);
    seen[i].failed++;
    seen[i].failed_at = loop_now();
}

static void on_stale(void *arg, const char *destination, bool stale, int64_t newest_s)
{
    (void)arg;
    (void)newest_s;
    seen[index_of(destination)].stale = stale;
}

/* --- what must hold at any time --- */

struct counted {
    unsigned good, bad, leftovers, unrecorded;
};

static bool lies_there(const char *folder, const char *name, const char *ending)
{
    char path[OS_PATH_MAX];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    return sim_disk_get(path, back, sizeof back, &len);
}

static struct counted count_of(const char *folder)
{
    struct counted c = {0};
    const char *name;
    for (unsigned i = 0; (name = sim_disk_name(folder, i)); i++) {
        char path[OS_PATH_MAX];
        struct backup_entry entry;
        size_t len = 0;
        enum backup_name_kind kind = backup_name_kind(name, &entry);
        SIM_CHECK(kind != NAME_OTHER);
        c.bad += kind == NAME_BAD;
        c.leftovers += kind == NAME_LEFTOVER;
        if (kind != NAME_SNAPSHOT)
            continue;
        c.unrecorded += !lies_there(folder, name, ".json");
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && etcd_peer_is_whole(&peer, (struct bytes){back, len}));
        c.good++;
    }
    return c;
}

static void check_always(void)
{
    for (unsigned i = 0; i < FOLDERS; i++) {
        struct counted c = count_of(folders[i]);
        SIM_CHECK(c.bad <= 1);
        SIM_CHECK(seen[i].done == 0 || lies_there(folders[i], seen[i].newest, ""));
        SIM_CHECK(c.good >= (seen[i].done < KEEP ? seen[i].done : KEEP));
        SIM_CHECK(plan->clock || c.good <= KEEP + 2); /* one at work, one without its record */
    }
}

/* After weather that lasted from `since` until now. */
static void check_alarms(enum weather w, ms since)
{
    ms now = loop_now(), lasted = now - since;
    ms good_within = EVERY + SLACK;
    for (unsigned i = 0; i < FOLDERS; i++) {
        if (weathers[w].fails && lasted > EVERY + SLACK)
            SIM_CHECK(seen[i].failed_at >= since);
        if (!plan->clock && now - seen[i].done_at > MAX_AGE + SLACK)
            SIM_CHECK(seen[i].stale);
        if (!weathers[w].may_fail && lasted > good_within) {
            SIM_CHECK(seen[i].done_at >= now - good_within);
            SIM_CHECK(!seen[i].stale);
        }
    }
}

/* --- the program, and the week --- */

struct hub {
    struct dns *dns;
    struct backup *backup;
};

static err schedule_fiber(void *arg)
{
    struct hub *h = arg;
    struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct backup_options options = {
        .config = &config, .zone = &zone_utc, .events = {.done = on_done, .failed = on_failed, .stale = on_stale}};
    err e = dns_open_with(&numeric, &h->dns);
    options.dns = h->dns;
    if (e == OK)
        e = backup_open(&options, &h->backup);
    if (e == OK)
        e = backup_schedule(h->backup);
    backup_close(h->backup);
    dns_close(h->dns);
    return e;
}

static enum weather draw_weather(void)
{
    for (;;) {
        enum weather w = (enum weather)sim_draw(WEATHER_COUNT);
        if (w == WEATHER_CALM || weathers[w].moves_clock == plan->clock)
            return w;
    }
}

static err one_weather(enum weather w, ms lasting)
{
    ms since = loop_now();
    begin(w);
    while (loop_now() < since + lasting) {
        TRY(fiber_sleep(ms_min(loop_now() + LOOK, since + lasting)));
        check_always();
    }
    check_alarms(w, since);
    return OK;
}

static err week(void)
{
    ms end = loop_now() + SPAN;
    while (loop_now() < end) {
        TRY(one_weather(draw_weather(), MINUTES(30) + (ms)sim_draw(HOURS(20))));
        TRY(one_weather(WEATHER_CALM, MINUTES(5) + (ms)sim_draw(HOURS(9))));
    }
    return one_weather(WEATHER_CALM, HOURS(24));
}

static err run(void *arg)
{
    (void)arg;
    struct hub hub = {0};
    struct addr at = sim_ip("10.0.0.1:2379");
    struct group etcd, agent;
    group_open(&etcd, TASK_METRICS);
    group_open(&agent, TASK_BACKUP);
    for (unsigned i = 0; i < FOLDERS; i++)
        seen[i].done_at = loop_now();
    err e = sock_listen(&peer.server.listener, &at, NULL);
    if (e == OK)
        e = group_spawn(&etcd, "etcd", server_listen, &peer.server);
    if (e == OK)
        e = group_spawn(&agent, "schedule", schedule_fiber, &hub);
    if (e == OK)
        e = week();
    group_close(&agent);
    sock_close(&peer.server.listener);
    group_close(&etcd);
    return e;
}

static void check(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
    for (unsigned i = 0; i < FOLDERS; i++) {
        struct counted c = count_of(folders[i]);
        SIM_CHECK(c.leftovers == 0 && c.unrecorded == 0 && !seen[i].stale);
        SIM_CHECK(seen[i].done >= 4 && c.good >= 4);
    }
}

static const struct plan plans[] = {
    {.name = "weather"},
    {.name = "weather_cron", .cron = "0 */6 * * *"},
    {.name = "clock", .clock = true},
    {.name = "clock_cron", .cron = "0 */6 * * *", .clock = true},
};

static void a_week(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        struct sim_case c = {.name = plans[i].name,
                             .setup = setup,
                             .run = run,
                             .check = check,
                             .arg = (void *)(uintptr_t)&plans[i],
                             .fibers = true};
        assert_true(sim_seeds(&c, SEEDS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_week)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
