/* The backup agent and its etcd client, whole, against a scripted etcd in the simulated world: whatever the peer, the network,
 * the disk, the clock and the power do, a whole good snapshot under its name, or nothing; and nothing hangs. */
#include "tests/sim/backup_run.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/etcd_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS     4
#define FOLDER    "/data/backups"
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

static unsigned dones;

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
    struct backup_run r = {.peer = &peer, .config = &config, .events.done = count_done, .body = take_one, .arg = arg};
    r.nobody = p->nobody;
    r.pull_at = p->pull_at;
    r.cancel_at = p->cancel_at;
    err e = backup_run(&r);
    SIM_CHECK(!p->within_ms || sim_fault_name() || loop_now() - began <= p->within_ms);
    if (e == OK)
        sim_note(COMMITTED, 1);
    return e;
}

/* --- what is left of it --- */

static void see(const char *path, enum backup_name_kind kind, const struct backup_entry *entry)
{
    (void)entry;
    if (kind == NAME_RECORD)
        backup_see_record(path);
    if (kind != NAME_SNAPSHOT && (kind != NAME_BAD || !peer.flip_at))
        return;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && len <= sizeof back);
    SIM_CHECK(etcd_peer_is_whole(&peer, (struct bytes){back, len}) == (kind == NAME_SNAPSHOT));
}

/* A stream that is whole but wrong is kept aside; of any other failure nothing is left but, when its record could not be written,
 * the whole snapshot. */
static void check_take(void *arg, err result)
{
    const struct plan *p = arg;
    if (!sim_fault_name() && !(p->any_error && result != OK))
        SIM_CHECK_ERR(result, p->wanted);
    struct backup_seen seen = backup_look(FOLDER, see);
    SIM_CHECK(seen.leftovers == 0);
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
    struct backup_seen seen = backup_look(FOLDER, see);
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
        cmocka_unit_test(every_peer),
        cmocka_unit_test(reset_anywhere),
        cmocka_unit_test(each_power_cut),
        cmocka_unit_test(each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
