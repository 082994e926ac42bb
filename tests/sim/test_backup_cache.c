/* The store remembers what the destinations' files said: a hub that cannot list one tells what was there, never as good; whatever
 * the store has, a listing puts it right; and whatever fails in it, the files are told as they are. */
#include "agents/backup/backup_internal.h"
#include "board/rt/mem.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "/data/backups"
#define NEWEST 1796083200 /* 2026-12-01 00:00:00 */
#define DAY    86400
#define GOOD   3
#define MANY   90 /* more than a piece of records */
#define SEEDS  4
#define SOON   (loop_now() + SECONDS(60))

static struct config config;

/* --- the world: three good ones, a damaged one, and one nobody speaks for --- */

static void put(int64_t at_s, const char *suffix, const char *content)
{
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX];
    backup_name(&(struct backup_entry){.at_s = at_s}, NAME_SNAPSHOT, name);
    (void)snprintf(path, sizeof path, FOLDER "/%s%s", name, suffix);
    sim_disk_put(path, bytes_of(content));
}

static void put_with_record(int64_t at_s, const char *suffix, const char *verdict)
{
    char name[BACKUP_NAME_MAX], json[300];
    backup_name(&(struct backup_entry){.at_s = at_s}, NAME_SNAPSHOT, name);
    (void)snprintf(json, sizeof json,
                   "{\"name\":\"%s\",\"verdict\":\"%s\",\"level\":4,\"bytes\":4,\"took_ms\":70,\"endpoint\":\"http://x\"}", name,
                   verdict);
    put(at_s, ".json", json);
    put(at_s, suffix, "file");
}

static void setup(void *arg)
{
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = HOURS(48);
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
    sim_backup_config(&config, FOLDER);
    for (int64_t day = 0; day < GOOD; day++)
        put_with_record(NEWEST - day * DAY, "", "good");
    put_with_record(NEWEST + 60, ".bad", "bad");
    put_with_record(NEWEST - GOOD * DAY, "", "unknown");
}

static void setup_many(void *arg)
{
    setup(arg);
    for (int64_t i = 0; i < MANY; i++)
        put_with_record(NEWEST - (GOOD + 1 + i) * DAY, "", "good");
}

static void setup_file(void *arg)
{
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = HOURS(48);
    sim_disk_folder("/data");
    sim_disk_put(FOLDER, bytes_of("no folder"));
    sim_backup_config(&config, FOLDER);
}

/* --- the life of a hub: the schedule for some minutes, nobody at etcd's address; then it is asked for the list --- */

struct seen {
    unsigned good, bad, unknown, unreachable;
};

struct life {
    bool no_store;
    unsigned stick_job; /* of those after the store is open; 0: none */
    err (*first)(struct store *s);
    ms span;
    /* found */
    err result, listed;
    struct seen told, rows;
    int64_t newest_good_s;
    uint64_t written_first, written_last; /* by the store: after the start, at the end */
};

static err tell(void *arg, const struct backup_record *r)
{
    struct seen *s = arg;
    bool unreachable = strcmp(r->verification.reason, "unreachable") == 0;
    SIM_CHECK(!unreachable || (r->verification.verdict == VERDICT_UNKNOWN && r->verification.level == 0));
    SIM_CHECK(strcmp(r->destination, "local") == 0 && strncmp(r->path, FOLDER "/", sizeof FOLDER) == 0);
    s->good += r->verification.verdict == VERDICT_GOOD;
    s->bad += r->verification.verdict == VERDICT_BAD;
    s->unknown += r->verification.verdict == VERDICT_UNKNOWN && !unreachable;
    s->unreachable += unreachable;
    return OK;
}

static err row(void *arg, const struct store_value *columns, size_t count)
{
    struct seen *s = arg;
    SIM_CHECK(count == 1 && columns[0].bytes.len >= 3);
    s->good += columns[0].bytes.at[0] == 'g';
    s->bad += columns[0].bytes.at[0] == 'b';
    s->unknown += columns[0].bytes.at[0] == 'u';
    return OK;
}

static err rows_work(struct store_tx *tx, void *arg)
{
    return store_query(tx, "SELECT verdict FROM backup_records WHERE json LIKE '{\"name\":%}'", NULL, 0, row, arg);
}

static err watch(struct life *l, struct backup *b, struct store *s)
{
    struct group g;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "schedule", backup_schedule, b);
    if (e == OK)
        e = fiber_sleep(loop_now() + MINUTES(2));
    l->written_first = s ? store_stats(s).bytes_written : 0;
    if (e == OK)
        e = fiber_sleep(loop_now() + l->span);
    l->written_last = s ? store_stats(s).bytes_written : 0;
    group_close(&g);
    if (e != OK)
        return e;
    l->newest_good_s = b->destinations[0].newest_good_s;
    l->listed = backup_list(b, 0, tell, &l->told);
    trail_clear();
    return s ? store_read(s, rows_work, &l->rows, sizeof l->rows, SOON) : OK;
}

static err live_fiber(void *arg)
{
    static const struct store_schema schema = {backup_schema};
    struct life *l = arg;
    struct dns *dns = NULL;
    struct backup *b = NULL;
    struct store *s = NULL;
    struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    l->result = dns_open_with(&numeric, &dns);
    if (l->result == OK && !l->no_store)
        l->result = store_open("/data", &schema, SOON, &s);
    if (l->result == OK && l->first)
        l->result = l->first(s);
    if (l->result == OK)
        l->result = backup_open(&(struct backup_options){.config = &config, .dns = dns, .store = s}, &b);
    if (l->stick_job)
        sim_stick_job(l->stick_job, MINUTES(15));
    if (l->result == OK)
        l->result = watch(l, b, s);
    backup_close(b);
    store_close(s, SOON);
    dns_close(dns);
    return OK;
}

static err live(struct life *l)
{
    struct group g;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "hub", live_fiber, l);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e != OK ? e : l->result;
}

/* --- kept in step --- */

static void is_whole(const struct seen *s, unsigned good)
{
    SIM_CHECK(s->good == good && s->bad == 1 && s->unknown == 1 && s->unreachable == 0);
}

/* What a hub before, or a person, or a damage left there. */
static err spoil_work(struct store_tx *tx, void *arg)
{
    static const char *const steps[] = {
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', "
        "'etcd-snapshot-20000101-000000.db', 1, 'good', '{\"name\":1}')",
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', "
        "'etcd-snapshot-20991231-000000.db', 1, 'good', '{\"name\":1}')",
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('elsewhere', "
        "'etcd-snapshot-20260101-000000.db', 1, 'good', '{\"name\":1}')",
        "DELETE FROM backup_records WHERE name = 'etcd-snapshot-20261130-000000.db'",
        "UPDATE backup_records SET verdict = 'good', json = 'damaged' WHERE verdict = 'bad'",
        "UPDATE backup_records SET taken_at = 0, json = '' WHERE verdict = 'unknown'",
    };
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        TRY(store_exec(tx, steps[i], NULL, 0));
    return OK;
}

static err spoil(struct store *s)
{
    return store_write(s, spoil_work, NULL, 0, SOON);
}

static struct life lives[3];

static err run_kept(void *arg)
{
    (void)arg;
    lives[0] = (struct life){.span = HOURS(3)};
    lives[1] = (struct life){.span = HOURS(3)};
    lives[2] = (struct life){.span = HOURS(1), .first = spoil};
    for (size_t i = 0; i < COUNT_OF(lives); i++)
        TRY(live(&lives[i]));
    return OK;
}

static void check_kept_of(unsigned good)
{
    for (size_t i = 0; i < COUNT_OF(lives); i++) {
        is_whole(&lives[i].told, good);
        is_whole(&lives[i].rows, good);
        SIM_CHECK_ERR(lives[i].listed, OK);
        SIM_CHECK(lives[i].newest_good_s == NEWEST);
        SIM_CHECK(lives[i].written_last == lives[i].written_first); /* runs failed, nothing changed */
    }
    SIM_CHECK(lives[0].written_first > 0 && lives[1].written_first == 0); /* nor did it while the second was off */
}

static void check_kept(void *arg, err result)
{
    (void)arg;
    if (sim_fault_name()) /* the files are told as they are, or not; the store's faults change nothing of them */
        return;
    SIM_CHECK_ERR(result, OK);
    check_kept_of(GOOD);
}

static void check_many(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
    check_kept_of(GOOD + MANY);
}

/* --- a destination that cannot be listed --- */

static err run_stuck(void *arg)
{
    struct life *l = arg;
    struct life before = {.span = MINUTES(1)};
    TRY(live(&before));
    is_whole(&before.told, GOOD);
    err e = live(l);
    TRY(fiber_sleep(loop_now() + MINUTES(30))); /* the thread comes back */
    return e;
}

/* Whatever sticks, the disk or the store, it knows how old the newest good one is; and what it cannot look at is not good. */
static void check_stuck(void *arg, err result)
{
    const struct life *l = arg;
    SIM_CHECK(result == OK || result == E_TIMEOUT || result == E_BUSY); /* of the test's own read */
    SIM_CHECK(l->newest_good_s == NEWEST);
    if (l->listed == OK)
        is_whole(&l->told, GOOD);
    else
        SIM_CHECK(l->told.unreachable > 0 && l->told.good + l->told.bad + l->told.unknown + l->told.unreachable == GOOD + 2);
}

static void check_stuck_without(void *arg, err result)
{
    const struct life *l = arg;
    SIM_CHECK_ERR(result, OK);
    SIM_CHECK(l->told.good + l->told.unreachable == 0 && l->listed != OK && l->newest_good_s == 0);
}

/* --- never listed at all --- */

static err fill_work(struct store_tx *tx, void *arg)
{
    static const char *const steps[] = {
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', "
        "'etcd-snapshot-20261130-000000.db', 1, 'good',"
        "'{\"name\":\"etcd-snapshot-20261130-000000.db\",\"destination\":\"local\",\"verdict\":\"good\",\"level\":4,"
        "\"path\":\"" FOLDER "/etcd-snapshot-20261130-000000.db\"}')",
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', "
        "'etcd-snapshot-20261201-000000.db', 1, 'good',"
        "'{\"name\":\"etcd-snapshot-20261201-000000.db\",\"destination\":\"local\",\"verdict\":\"good\",\"level\":4,"
        "\"path\":\"/elsewhere/etcd-snapshot-20261201-000000.db\"}')",
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', "
        "'etcd-snapshot-20261202-000000.db', 1, 'good', 'damaged')",
        "INSERT INTO backup_records(destination, name, taken_at, verdict, json) VALUES('local', 'other', 1, 'good', "
        "zeroblob(9000))",
    };
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        TRY(store_exec(tx, steps[i], NULL, 0));
    return OK;
}

static err fill(struct store *s)
{
    return store_write(s, fill_work, NULL, 0, SOON);
}

static err run_file(void *arg)
{
    (void)arg;
    lives[0] = (struct life){.span = HOURS(1), .first = fill};
    lives[1] = (struct life){.span = HOURS(1), .no_store = true};
    TRY(live(&lives[0]));
    return live(&lives[1]);
}

/* Only what is of this folder, and can be read. */
static void check_file(void *arg, err result)
{
    (void)arg;
    if (sim_fault_name())
        return;
    SIM_CHECK_ERR(result, OK);
    SIM_CHECK(lives[0].listed != OK && lives[1].listed == lives[0].listed);
    SIM_CHECK(lives[0].told.unreachable == 1 && lives[0].told.good == 0 && lives[0].newest_good_s == NEWEST - DAY);
    SIM_CHECK(lives[1].told.unreachable == 0 && lives[1].newest_good_s == 0);
    SIM_CHECK(lives[0].written_last == lives[0].written_first);
}

/* --- the power goes --- */

static err run_first(void *arg)
{
    (void)arg;
    lives[0] = (struct life){.span = 0};
    return live(&lives[0]);
}

static err again(void *arg)
{
    SIM_CHECK_ERR(run_first(arg), OK);
    is_whole(&lives[0].told, GOOD);
    is_whole(&lives[0].rows, GOOD);
    return OK;
}

static void reboot(void *arg, bool ended, err result)
{
    SIM_CHECK(!ended || result == OK);
    sim_backup_config(&config, FOLDER);
    sim_boot(sim_metrics_boot);
    sim.time_limit_ms = HOURS(48);
    SIM_CHECK_ERR(sim_loop(again, arg), OK);
}

/* --- the cases --- */

static struct sim_case kept = {.name = "kept", .setup = setup, .run = run_kept, .check = check_kept, .fibers = true};
static struct sim_case many = {.name = "many", .setup = setup_many, .run = run_kept, .check = check_many, .fibers = true};
static struct sim_case file = {.name = "file", .setup = setup_file, .run = run_file, .check = check_file, .fibers = true};
static struct sim_case first = {.name = "first", .setup = setup, .run = run_first, .reboot = reboot, .fibers = true};

static void it_is_kept_in_step(void **state)
{
    (void)state;
    assert_true(sim_seeds(&kept, SEEDS));
    assert_true(sim_seeds(&many, 2));
}

static void a_file_where_the_folder_was(void **state)
{
    (void)state;
    assert_true(sim_seeds(&file, SEEDS));
}

static void anything_sticks(void **state)
{
    (void)state;
    for (unsigned job = 1; job <= 24; job++) {
        char name[24];
        struct life l = {.span = MINUTES(10), .stick_job = job};
        struct sim_case c = {.name = name, .setup = setup, .run = run_stuck, .check = check_stuck, .arg = &l, .fibers = true};
        (void)snprintf(name, sizeof name, "stuck_%u", job);
        assert_true(sim_seeds(&c, 2));
    }
    struct life l = {.span = MINUTES(10), .stick_job = 1, .no_store = true};
    struct sim_case c = {
        .name = "without", .setup = setup, .run = run_stuck, .check = check_stuck_without, .arg = &l, .fibers = true};
    assert_true(sim_seeds(&c, 2));
}

static void each_power_cut(void **state)
{
    (void)state;
    assert_true(sim_each_power_cut(&first));
}

static void each_fault(void **state)
{
    (void)state;
    file.faults_max = 1500;
    assert_true(sim_each_fault(&file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_kept_in_step), cmocka_unit_test(a_file_where_the_folder_was),
                                       cmocka_unit_test(anything_sticks), cmocka_unit_test(each_power_cut),
                                       cmocka_unit_test(each_fault)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
