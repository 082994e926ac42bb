/* What lies in a destination is looked after: leftovers go, what has no record is verified, damaged ones are set aside, old ones
 * are pruned; and the power may go at any write of it: what is listed good is there and whole, and the next run ends as this one
 * would have. */
#include "agents/backup/backup_internal.h"
#include "board/rt/mem.h"
#include "net/format/hex.h"
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
#define ROOM   KIB(96)
#define SEEDS  4
#define KEPT   2

static struct config config;
static uint8_t snapshot[ROOM];
static size_t snapshot_len;
static uint8_t back[ROOM];

static void put(int64_t at_s, const char *suffix, struct bytes content)
{
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX];
    backup_name(&(struct backup_entry){.at_s = at_s}, NAME_SNAPSHOT, name);
    (void)snprintf(path, sizeof path, FOLDER "/%s%s", name, suffix);
    sim_disk_put(path, content);
}

static void put_record(int64_t at_s, const char *verdict, size_t bytes)
{
    char name[BACKUP_NAME_MAX], json[200];
    backup_name(&(struct backup_entry){.at_s = at_s}, NAME_SNAPSHOT, name);
    (void)snprintf(json, sizeof json, "{\"name\":\"%s\",\"verdict\":\"%s\",\"level\":4,\"bytes\":%zu,\"endpoint\":\"http://x\"}",
                   name, verdict, bytes);
    put(at_s, ".json", bytes_of(json));
}

static void config_fill(void)
{
    sim_backup_config(&config, FOLDER);
    config.backup.destinations[0].retention[0] = KEPT;
}

/* day 0 the newest, and one with a flipped bit; 1 has no record; 2's record is of another size; 3 and 4 are too old; 5 is a
 * damaged one, 6 another; of 7 only the record is there. */
static void setup(void *arg)
{
    (void)arg;
    snapshot_len = sim_snapshot_make(snapshot, sizeof snapshot);
    struct bytes whole = {snapshot, snapshot_len};
    sim_boot(sim_metrics_boot);
    config_fill();
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
    sim_disk_put(FOLDER "/notes.txt", bytes_of("mine"));
    for (int64_t day = 0; day < 5; day++) {
        put(NEWEST - day * DAY, "", whole);
        if (day != 1)
            put_record(NEWEST - day * DAY, "good", day == 2 ? 7 : snapshot_len);
    }
    snapshot[5000] ^= 1;
    put(NEWEST + 60, "", whole);
    snapshot[5000] ^= 1;
    put(NEWEST - 5 * DAY, ".bad", bytes_of("half"));
    put_record(NEWEST - 5 * DAY, "bad", 4);
    put(NEWEST - 6 * DAY, ".bad", bytes_of("hal"));
    put_record(NEWEST - 7 * DAY, "good", snapshot_len);
    put(NEWEST - 8 * DAY, ".part-0123abcd", bytes_of("x"));
    put(NEWEST - 8 * DAY, ".json.part-0123abcd", bytes_of("x"));
}

/* --- what is listed --- */

struct listed {
    unsigned good, bad, unknown;
};

static err count(void *arg, const struct backup_record *r)
{
    struct listed *l = arg;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(r->path, back, sizeof back, &len));
    l->good += r->verification.verdict == VERDICT_GOOD;
    l->bad += r->verification.verdict == VERDICT_BAD;
    l->unknown += r->verification.verdict == VERDICT_UNKNOWN;
    if (r->verification.verdict == VERDICT_GOOD) /* the one promise */
        SIM_CHECK(len == snapshot_len && memcmp(back, snapshot, len) == 0);
    return OK;
}

static err nothing(void *arg, const struct backup_record *r, const char *why, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name());
    SIM_CHECK(r->name[0] && why[0]);
    return OK;
}

struct look {
    struct listed first, last;
    err result;
};

static err look_after(void *arg)
{
    struct look *l = arg;
    struct backup *b = NULL;
    l->result = backup_open(&(struct backup_options){.config = &config}, &b);
    if (l->result == OK)
        l->result = backup_list(b, 0, count, &l->first);
    if (l->result == OK)
        l->result = backup_tidy(b, 0);
    if (l->result == OK)
        l->result = backup_prune(b, 0, true, nothing, NULL);
    if (l->result == OK)
        l->result = backup_prune(b, 0, false, nothing, NULL);
    if (l->result == OK)
        l->result = backup_list(b, 0, count, &l->last);
    backup_close(b);
    return OK;
}

static struct look looked;

static err run(void *arg)
{
    struct group g;
    (void)arg;
    looked = (struct look){.result = OK};
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "look after", look_after, &looked);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e != OK ? e : looked.result;
}

static bool is_there(const char *name)
{
    char path[OS_PATH_MAX];
    size_t len = 0;
    (void)snprintf(path, sizeof path, FOLDER "/%s", name);
    return sim_disk_get(path, back, sizeof back, &len);
}

/* The two newest good ones; the damaged one, which is newer than they; their records; and what is not ours. */
static void as_it_should_be(void)
{
    SIM_CHECK(looked.last.good == KEPT && looked.last.bad == 1 && looked.last.unknown == 0);
    SIM_CHECK(sim_disk_names(FOLDER) == 2 * (KEPT + 1) + 1 && is_there("notes.txt"));
    SIM_CHECK(is_there("etcd-snapshot-20261201-000000.db") && is_there("etcd-snapshot-20261130-000000.db.json"));
    SIM_CHECK(is_there("etcd-snapshot-20261201-000100.db.bad") && is_there("etcd-snapshot-20261201-000100.db.json"));
}

/* Whatever failed: the newest good one is there, and so is what is not ours. */
static void check(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(is_there("etcd-snapshot-20261201-000000.db") && is_there("notes.txt"));
    if (sim_fault_name())
        return;
    SIM_CHECK_ERR(result, OK);
    SIM_CHECK(looked.first.good == 3 && looked.first.bad == 2 && looked.first.unknown == 3);
    as_it_should_be();
}

static err again(void *arg)
{
    SIM_CHECK_ERR(run(arg), OK);
    as_it_should_be();
    return OK;
}

static void reboot(void *arg, bool ended, err result)
{
    (void)ended;
    (void)result;
    snapshot_len = sim_snapshot_make(snapshot, sizeof snapshot);
    config_fill();
    sim_boot(sim_metrics_boot);
    SIM_CHECK_ERR(sim_loop(again, arg), OK);
}

static struct sim_case keep = {.name = "keep", .setup = setup, .run = run, .check = check, .reboot = reboot, .fibers = true};

static void it_is_looked_after(void **state)
{
    (void)state;
    assert_true(sim_seeds(&keep, SEEDS));
}

static void each_fault(void **state)
{
    (void)state;
    assert_true(sim_each_fault(&keep));
}

static void each_power_cut(void **state)
{
    (void)state;
    assert_true(sim_each_power_cut(&keep));
}

/* --- what has been damaged since it was taken --- */

static void setup_good(unsigned days, int64_t last)
{
    snapshot_len = sim_snapshot_make(snapshot, sizeof snapshot);
    sim_boot(sim_metrics_boot);
    config_fill();
    config.backup.destinations[0].retention[0] = last;
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
    for (int64_t day = 0; day < (int64_t)days; day++) {
        put(NEWEST - day * DAY, "", (struct bytes){snapshot, snapshot_len});
        put_record(NEWEST - day * DAY, "good", snapshot_len);
    }
}

/* The newest two of four: what the records say of them is not so any more. */
static void setup_damaged(void *arg)
{
    (void)arg;
    setup_good(4, 1);
    for (int64_t day = 0; day < 2; day++) {
        snapshot[5000] ^= 1;
        put(NEWEST - day * DAY, "", (struct bytes){snapshot, snapshot_len});
        snapshot[5000] ^= 1;
    }
}

static err prune_fiber(void *arg)
{
    struct backup *b = NULL;
    struct look *l = arg;
    SIM_CHECK_ERR(backup_open(&(struct backup_options){.config = &config}, &b), OK);
    SIM_CHECK_ERR(backup_prune(b, 0, true, nothing, NULL), E_CORRUPT);
    SIM_CHECK(sim_disk_names(FOLDER) == 8 && is_there("etcd-snapshot-20261128-000000.db"));
    l->result = backup_prune(b, 0, false, nothing, NULL);
    SIM_CHECK_ERR(backup_list(b, 0, count, &l->last), OK);
    SIM_CHECK_ERR(backup_tidy(b, 0), OK);
    backup_close(b);
    return OK;
}

static err run_damaged(void *arg)
{
    struct group g;
    (void)arg;
    looked = (struct look){.result = OK};
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "prune", prune_fiber, &looked);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

/* Both are set aside, and stay while no newer one is good; the next one proves good, and what it replaces goes. */
static void check_damaged(void *arg, err result)
{
    (void)arg;
    SIM_CHECK_ERR(result, OK);
    SIM_CHECK_ERR(looked.result, E_CORRUPT);
    SIM_CHECK(looked.last.good == 1 && looked.last.bad == 2 && looked.last.unknown == 0);
    SIM_CHECK(sim_disk_names(FOLDER) == 6 && is_there("etcd-snapshot-20261129-000000.db"));
    SIM_CHECK(is_there("etcd-snapshot-20261201-000000.db.bad") && is_there("etcd-snapshot-20261130-000000.db.bad"));
}

static void the_newest_is_damaged(void **state)
{
    (void)state;
    struct sim_case c = {.name = "damaged", .setup = setup_damaged, .run = run_damaged, .check = check_damaged, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- a disk that sticks while a file is verified --- */

struct stick {
    unsigned job;
    struct backup_verification found;
    ms took;
};

static void setup_stick(void *arg)
{
    setup(arg);
    sim_stick_job(((const struct stick *)arg)->job, SECONDS(70));
}

static err verify_fiber(void *arg)
{
    struct stick *s = arg;
    ms began = loop_now();
    err e = backup_verify_file(FOLDER "/etcd-snapshot-20261201-000000.db", 4, NULL, &s->found);
    s->took = loop_now() - began;
    return e;
}

static err run_stick(void *arg)
{
    struct group g;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "verify", verify_fiber, arg);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e != OK ? e : fiber_sleep(loop_now() + SECONDS(90)); /* the thread comes back */
}

/* Good when the job was not one of its own, else unknown: never bad, and never for ever. */
static void check_stick(void *arg, err result)
{
    const struct stick *s = arg;
    SIM_CHECK_ERR(result, OK);
    SIM_CHECK(s->took <= BACKUP_DISK_MS_MAX + SECONDS(15));
    SIM_CHECK(s->found.verdict == (s->took < BACKUP_DISK_MS_MAX ? VERDICT_GOOD : VERDICT_UNKNOWN) ||
              (s->found.verdict == VERDICT_GOOD && s->found.level == 4));
    SIM_CHECK(s->found.verdict != VERDICT_UNKNOWN || strcmp(s->found.reason, "unreadable") == 0);
}

static void a_disk_sticks(void **state)
{
    (void)state;
    for (unsigned job = 1; job <= 12; job++) {
        char name[24];
        struct stick s = {.job = job};
        (void)snprintf(name, sizeof name, "stick_%u", job);
        struct sim_case c = {
            .name = name, .setup = setup_stick, .run = run_stick, .check = check_stick, .arg = &s, .fibers = true};
        assert_true(sim_seeds(&c, 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_looked_after), cmocka_unit_test(each_power_cut),
                                       cmocka_unit_test(each_fault), cmocka_unit_test(the_newest_is_damaged),
                                       cmocka_unit_test(a_disk_sticks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
