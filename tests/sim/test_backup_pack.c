/* Backups that are packed on their way, in the simulated world: whatever the source, the place, the scratch folder, the stage and
 * the power do, a whole good object with its record, or nothing; a copy is what it was copied from, or nothing. */
#include "agents/backup/place.h"
#include "net/format/age.h"
#include "tests/sim/backup_run.h"
#include "tests/sim/packed.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/etcd_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS   3
#define LOCAL   "/data/backups"
#define AWAY    "/data/away"
#define SCRATCH "/data/scratch"
#define STAGE   "/data/stage"

enum { COMMITTED };

struct plan {
    const char *name;
    err (*story)(struct backup *b); /* NULL: one run into AWAY */
    err wanted;
    bool zstd, sealed, scratch, stage, damaged, any_error;
    struct sim_link link;
    uint64_t says_bytes, flip_at, disk_bytes;
    int64_t scratch_max;
    uint32_t messages;
    struct server_step ending[4];
    ms cancel_at;
    unsigned level; /* the record's, when not 0 */
    const char *reason;
};

static struct etcd_peer peer;
static struct config config;
static struct backup_record record;
static struct age_identity identity;
static uint8_t database[KIB(640)], back[PACKED_BYTES_MAX];

/* --- the world --- */

static void peer_fill(const struct plan *p)
{
    struct etcd_file f = {.keys = 300, .deleted = 1, .value_bytes = 300};
    etcd_file_make(&f, database, sizeof database);
    if (p->damaged)
        database[3 * ETCD_FILE_PAGE + 8] ^= 1;
    peer = (struct etcd_peer){
        .db_bytes = f.bytes, .database = database, .says_bytes = p->says_bytes, .flip_at = p->flip_at, .messages = p->messages};
    memcpy(peer.ending, p->ending, sizeof peer.ending);
    peer.server.listener = SOCK_CLOSED;
    etcd_peer_open(&peer);
}

static void recipient_fill(struct config_destination *d)
{
    static const char text[] = "AGE-SECRET-KEY-1T8UUHJDPVE9055FLR8DT2ZRY5WWNNHXU9YHCZJ5K7ZDTU8A7QE5Q5X9LHV\n";
    struct age_recipient r;
    char words[AGE_TEXT_MAX];
    unsigned count = 0;
    SIM_CHECK_ERR(age_identities_parse(bytes_of(text), &identity, 1, &count), OK);
    memcpy(r.key, identity.key, sizeof r.key);
    age_recipient_print(&r, words);
    memcpy(d->recipients[0], words, sizeof d->recipients[0]);
    d->recipient_count = 1;
}

static void config_fill(const struct plan *p)
{
    sim_backup_config(&config, LOCAL);
    struct config_destination *away = &config.backup.destinations[1];
    config.backup.destination_count = 2;
    (void)snprintf(away->name, sizeof away->name, "away");
    (void)snprintf(away->path, sizeof away->path, AWAY);
    away->compress = p->zstd ? COMPRESS_ZSTD : COMPRESS_NONE;
    if (p->sealed)
        recipient_fill(away);
    config.backup.destinations[0].retention[0] = away->retention[0] = 50;
    config.backup.min_rate = (int64_t)KIB(64);
    config.backup.scratch_max = p->scratch_max ? p->scratch_max : (int64_t)MIB(64);
    if (p->scratch)
        (void)snprintf(config.backup.scratch, sizeof config.backup.scratch, SCRATCH);
    if (p->stage)
        (void)snprintf(config.backup.stage, sizeof config.backup.stage, STAGE);
}

static void setup(void *arg)
{
    sim_boot(sim_metrics_boot);
    const struct plan *p = arg;
    struct addr at = sim_ip("10.0.0.1:2379");
    sim.time_limit_ms = HOURS(4);
    sim_link(&at, p->link);
    sim_disk_folder("/data");
    if (p->disk_bytes)
        sim.disk_bytes = p->disk_bytes;
    peer_fill(p);
    config_fill(p);
}

/* --- the program --- */

struct watched {
    bool copied;
};

/* etcd is held while the snapshot streams, and no longer. */
static void watch(void *arg, const char *what, uint64_t done_bytes, uint64_t total_bytes)
{
    struct watched *w = arg;
    SIM_CHECK(done_bytes <= total_bytes || strcmp(what, "snapshot") == 0);
    w->copied = w->copied || strcmp(what, "copy") == 0;
}

static err take(struct backup *b, unsigned destination, ms since, bool *copied)
{
    struct watched w = {.copied = false};
    err e = backup_take_since(b, destination, 4, since, &(struct backup_watcher){watch, &w}, &record);
    SIM_CHECK(!backup_is_streaming(b));
    SIM_CHECK((record.path[0] != 0) == (e == OK) || destination == 0 || sim_fault_name());
    *copied = w.copied;
    return e;
}

static err take_away(struct backup *b)
{
    bool copied;
    return take(b, 1, FOREVER, &copied);
}

static err run_story(struct backup *b, void *arg)
{
    const struct plan *p = arg;
    return p->story ? p->story(b) : take_away(b);
}

static err run(void *arg)
{
    const struct plan *p = arg;
    struct backup_run r = {.peer = &peer, .config = &config, .body = run_story, .arg = arg, .cancel_at = p->cancel_at};
    err e = backup_run(&r);
    if (e == OK)
        sim_note(COMMITTED, 1);
    return e;
}

/* --- what is left of it --- */

/* All that has the name of a backup is a whole one. */
static void see(const char *path, enum backup_name_kind kind, const struct backup_entry *entry)
{
    if (kind != NAME_SNAPSHOT)
        return;
    size_t len = 0;
    SIM_CHECK(sim_disk_get(path, back, sizeof back, &len) && len <= sizeof back);
    SIM_CHECK(etcd_peer_is_whole(&peer, packed_open((struct bytes){back, len}, entry->form, &identity)));
}

static void check(void *arg, err result)
{
    const struct plan *p = arg;
    if (!sim_fault_name() && !(p->any_error && result != OK))
        SIM_CHECK_ERR(result, p->wanted);
    struct backup_seen seen = backup_look(AWAY, see);
    const char *fault = sim_fault_name();
    bool may_stay = fault && strcmp(fault, "os_unlink") == 0; /* scratch_tidy() takes it at the next start */
    SIM_CHECK(seen.bad == 0 && (may_stay || (sim_disk_names(SCRATCH) == 0 && sim_disk_names(STAGE) == 0)));
    SIM_CHECK(seen.leftovers == 0 || sim_fault_name());
    if (result == OK)
        SIM_CHECK(seen.good == seen.records && seen.good > 0);
    else if (!p->story)
        SIM_CHECK(seen.good == 0 || (sim_fault_name() && seen.records == 0));
    if (sim_fault_name() || result != OK)
        return;
    SIM_CHECK(record.verification.verdict == VERDICT_GOOD && record.stored_bytes > 0 && strlen(record.stored_sha256) == 64);
    SIM_CHECK(record.compressed == p->zstd && record.encrypted == p->sealed && strcmp(record.source, "etcd") == 0);
    SIM_CHECK(!p->level || record.verification.level == p->level);
    SIM_CHECK(strcmp(record.verification.reason, p->reason ? p->reason : "") == 0);
}

static struct backup_seen after_cut;

static err look_again(void *arg)
{
    (void)arg;
    after_cut = backup_look(AWAY, see);
    return OK;
}

static void reboot(void *arg, bool ended, err result)
{
    const struct plan *p = arg;
    sim_boot(sim_metrics_boot);
    peer_fill(p);
    config_fill(p);
    SIM_CHECK_ERR(sim_loop(look_again, NULL), OK);
    SIM_CHECK(!ended || result == OK);
    SIM_CHECK(after_cut.bad == 0 && after_cut.records <= after_cut.good && after_cut.good <= 1);
    SIM_CHECK(sim_noted(COMMITTED) == 0 || (after_cut.good == 1 && after_cut.records == 1));
}

/* --- the stories --- */

/* The plain folder first; what the other one then gets is the same, to the second. */
static err story_copy(struct backup *b)
{
    static struct backup_record first;
    bool copied = false;
    TRY(take(b, 0, 0, &copied));
    SIM_CHECK(!copied && record.verification.level == 4);
    first = record;
    unsigned streams = peer.snapshots;
    TRY(take(b, 1, 0, &copied));
    if (sim_fault_name())
        return OK;
    SIM_CHECK(copied && peer.snapshots == streams && strcmp(record.copied_from, "local") == 0);
    SIM_CHECK(record.taken_at_s == first.taken_at_s && strcmp(record.verification.sha256, first.verification.sha256) == 0);
    SIM_CHECK(record.verification.keys == first.verification.keys && record.member_id == first.member_id);
    SIM_CHECK(strncmp(record.name, first.name, strlen(first.name)) == 0 && strcmp(record.destination, "away") == 0);
    return OK;
}

/* The plain file has been damaged since: it is not copied, but set aside; the next one comes from etcd. */
static err story_damaged_since(struct backup *b)
{
    bool copied;
    size_t len = 0;
    TRY(take(b, 0, 0, &copied));
    SIM_CHECK(sim_disk_get(record.path, back, sizeof back, &len));
    back[9000] ^= 4;
    sim_disk_put(record.path, (struct bytes){back, len});
    SIM_CHECK_ERR(take(b, 1, 0, &copied), E_CORRUPT);
    trail_clear();
    SIM_CHECK(copied && sim_disk_names(AWAY) == 0 && b->destinations[1].failed[0]);
    struct backup_seen local = backup_look(LOCAL, see);
    SIM_CHECK(local.good == 0 && local.bad == 1 && local.records == 1);
    TRY(take(b, 1, 0, &copied));
    SIM_CHECK(!copied && !record.copied_from[0]);
    return OK;
}

/* It is gone: then etcd is asked. */
static err story_gone(struct backup *b)
{
    bool copied;
    TRY(take(b, 0, 0, &copied));
    TRY(file_remove(&b->destinations[0].lane, record.path, loop_now() + SECONDS(10)));
    TRY(take(b, 1, 0, &copied));
    SIM_CHECK(!copied && !record.copied_from[0] && peer.snapshots == 2);
    return OK;
}

/* Older than what may be copied. */
static err story_older(struct backup *b)
{
    bool copied;
    TRY(take(b, 0, 0, &copied));
    TRY(fiber_sleep(loop_now() + SECONDS(10)));
    TRY(take(b, 1, loop_now() - SECONDS(5), &copied));
    SIM_CHECK(!copied && !record.copied_from[0] && peer.snapshots == 2);
    return OK;
}

/* Two in one second have two names. */
static err story_one_second(struct backup *b)
{
    char name[BACKUP_NAME_MAX];
    bool copied;
    TRY(take(b, 1, FOREVER, &copied));
    memcpy(name, record.name, sizeof name);
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(strcmp(name, record.name) < 0 && sim_disk_names(AWAY) == 4);
    return OK;
}

/* A stream that is too slow for etcd: the next one is kept here first, and sent when etcd is left alone. */
static err story_slow(struct backup *b)
{
    bool copied;
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(!copied && b->destinations[1].slow == (config.backup.stage[0] != 0));
    struct addr at = sim_ip("10.0.0.1:2379");
    sim_link(&at, (struct sim_link){.bytes_per_s = 0});
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(copied == (config.backup.stage[0] != 0) && !b->destinations[1].slow); /* the sending was quick */
    return OK;
}

/* The stage has no room: better slow than not at all. */
static err story_no_room(struct backup *b)
{
    bool copied;
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(!copied && b->destinations[1].slow);
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(!copied && sim_disk_names(AWAY) == 4);
    return OK;
}

static ms held_until;
static unsigned held_from; /* it begins after so many looks */

static bool held(void *arg)
{
    SIM_CHECK(arg == &held_until && !peer.statuses);
    if (held_from > 0) {
        held_from--;
        return false;
    }
    return loop_now() < held_until;
}

/* A member is being defragmented: nobody asks it meanwhile. */
static err story_held(struct backup *b)
{
    bool copied;
    ms began = loop_now();
    b->options.held = held;
    b->options.held_arg = &held_until;
    held_until = began + SECONDS(30);
    TRY(take(b, 1, FOREVER, &copied));
    SIM_CHECK(loop_now() >= held_until && record.taken_at_s * 1000 + 1000 > loop_wall_ms() - SECONDS(2));
    return OK;
}

/* It began while the destination was being reached. */
static err story_held_later(struct backup *b)
{
    held_from = 1;
    return story_held(b);
}

/* --- the cases: a line each --- */

#define DIES                                                                                                                     \
    {                                                                                                                            \
        {                                                                                                                        \
            .what = SERVER_TRAILERS, .count = 14, .text = "gone"                                                                 \
        }                                                                                                                        \
    }
static const struct plan plans[] = {
    {.name = "zstd", .zstd = true, .level = 2, .reason = "no-scratch"},
    {.name = "age", .sealed = true, .level = 2, .reason = "no-scratch"},
    {.name = "both", .zstd = true, .sealed = true, .level = 2, .reason = "no-scratch"},
    {.name = "scratch", .zstd = true, .sealed = true, .scratch = true, .level = 4},
    {.name = "zstd_scratch", .zstd = true, .scratch = true, .level = 4},
    {.name = "scratch_too_small", .zstd = true, .scratch = true, .scratch_max = 4096, .level = 2, .reason = "no-scratch"},
    {.name = "scratch_has_no_room", .zstd = true, .scratch = true, .disk_bytes = KIB(100), .level = 2, .reason = "no-scratch"},
    {.name = "scratch_fills",
     .zstd = true,
     .scratch = true,
     .disk_bytes = KIB(100),
     .says_bytes = 1,
     .level = 2,
     .reason = "no-scratch"},
    {.name = "digest_wrong", .zstd = true, .flip_at = 9000, .wanted = E_CORRUPT},
    {.name = "digest_wrong_scratch", .sealed = true, .scratch = true, .flip_at = 9000, .wanted = E_CORRUPT},
    {.name = "damaged_in_etcd", .zstd = true, .scratch = true, .damaged = true, .wanted = E_CORRUPT},
    {.name = "damaged_in_etcd_unseen", .zstd = true, .damaged = true, .level = 2, .reason = "no-scratch"},
    {.name = "short", .zstd = true, .scratch = true, .messages = 2, .ending = {{.what = SERVER_TRAILERS}}, .wanted = E_CORRUPT},
    {.name = "dies", .zstd = true, .scratch = true, .messages = 3, .ending = DIES, .wanted = E_UNREACHABLE},
    {.name = "stuck", .zstd = true, .scratch = true, .messages = 2, .wanted = E_TIMEOUT},
    {.name = "full", .sealed = true, .disk_bytes = KIB(64), .wanted = E_NOSPACE},
    {.name = "canceled_early", .zstd = true, .scratch = true, .link = {.delay_ms = 20}, .cancel_at = 50, .wanted = E_CANCELED},
    {.name = "canceled",
     .sealed = true,
     .scratch = true,
     .link = {.bytes_per_s = 50000},
     .cancel_at = 2000,
     .wanted = E_CANCELED},
    {.name = "copy", .story = story_copy, .zstd = true, .level = 4},
    {.name = "copy_sealed", .story = story_copy, .sealed = true, .level = 4},
    {.name = "damaged_since", .story = story_damaged_since, .zstd = true, .level = 2, .reason = "no-scratch"},
    {.name = "gone", .story = story_gone, .zstd = true, .level = 2, .reason = "no-scratch"},
    {.name = "older", .story = story_older, .sealed = true, .level = 2, .reason = "no-scratch"},
    {.name = "one_second", .story = story_one_second, .zstd = true, .level = 2, .reason = "no-scratch"},
    {.name = "slow", .story = story_slow, .zstd = true, .stage = true, .link = {.bytes_per_s = 1500}, .level = 4},
    {.name = "slow_no_stage",
     .story = story_slow,
     .zstd = true,
     .link = {.bytes_per_s = 1500},
     .level = 2,
     .reason = "no-scratch"},
    {.name = "slow_stage_has_no_room",
     .story = story_no_room,
     .zstd = true,
     .stage = true,
     .says_bytes = (uint64_t)1 << 40,
     .link = {.bytes_per_s = 1500},
     .level = 2,
     .reason = "no-scratch"},
    {.name = "held", .story = story_held, .zstd = true, .level = 2, .reason = "no-scratch"},
    {.name = "held a moment later", .story = story_held_later, .zstd = true, .level = 2, .reason = "no-scratch"},
};

#define CASE(plan_)                                                                                                              \
    (struct sim_case)                                                                                                            \
    {                                                                                                                            \
        .name = (plan_)->name, .setup = setup, .run = run, .check = check, .arg = (void *)(uintptr_t)(plan_), .reboot = reboot,  \
        .fibers = true, .step = 5                                                                                                \
    }

static void every_story(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        struct sim_case c = CASE(&plans[i]);
        assert_true(sim_seeds(&c, SEEDS));
    }
}

/* The stream ends after each message: too early, or with an error. */
static void it_dies_anywhere(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        char name[24];
        struct plan p = {.name = name,
                         .zstd = true,
                         .sealed = true,
                         .scratch = true,
                         .messages = i,
                         .any_error = true,
                         .wanted = E_CLOSED,
                         .ending = {{.what = SERVER_WAIT, .count = 1}, {.what = SERVER_VANISH}}};
        (void)snprintf(name, sizeof name, "vanish_%u", i);
        struct sim_case c = CASE(&p);
        assert_true(sim_seeds(&c, 2));
    }
}

static const struct plan *plan_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(plans); i++)
        if (strcmp(plans[i].name, name) == 0)
            return &plans[i];
    fail_msg("no story %s", name);
}

/* Not of what is sealed: the library's X25519 allocates thousands of times. */
static void each_fault_of(const char *name)
{
    struct sim_case c = CASE(plan_of(name));
    assert_true(sim_each_fault(&c));
}

static void each_fault_packed(void **state)
{
    (void)state;
    each_fault_of("zstd_scratch");
}

static void each_fault_copied(void **state)
{
    (void)state;
    each_fault_of("copy");
}

static void each_power_cut(void **state)
{
    (void)state;
    struct sim_case c = CASE(plan_of("zstd_scratch"));
    assert_true(sim_each_power_cut(&c));
    struct sim_case copy = CASE(plan_of("copy"));
    assert_true(sim_each_power_cut(&copy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_story), cmocka_unit_test(it_dies_anywhere),
                                       cmocka_unit_test(each_fault_packed), cmocka_unit_test(each_fault_copied),
                                       cmocka_unit_test(each_power_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
