/* A stored backup is read back: as a rehearsal, and as a restore. Whatever lies there, whichever key there is, whatever fails:
 * the verdict is right or unknown, never bad of a good one; nothing plain is left; and of a restore the whole file, or none. */
#include "agents/backup/pack.h"
#include "agents/backup/restore.h"
#include "board/rt/mem.h"
#include "net/format/hex.h"
#include "net/format/zstd.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER         "/data/backups"
#define SCRATCH        "/data/scratch"
#define IDENTITIES     "/data/keys.txt"
#define OUT            "/data/out.db"
#define TAKEN_S        1796083200 /* 2026-12-01 00:00:00 */
#define ROOM           KIB(96)
#define SEEDS          3
#define KEY_FAULTS_MAX 12000
#define KEY_STEP       41 /* X25519 alone allocates some thousand times */

/* Made by age-keygen for these tests. */
#define OURS   "AGE-SECRET-KEY-175NSU9356TSZL6ZLCYFN3JFSZWYLJS6L7TGVHNE6VF73PHPC66WSXK4VJ9\n"
#define THEIRS "AGE-SECRET-KEY-13382246W0E9C323F47UXX6FL8CQ6T9AYU6RKXYGKPN6AP36TWMVQYAY6A0\n"
#define TO     "age1nz8c8hettukegtlxaxupkgvj6647vdedq66z8uzftkk5vlpdgflqe8z6j8"

enum form { PLAIN, SEALED };

struct story {
    const char *name;
    enum form form;
    const char *identities; /* NULL: no identity_file */
    bool scratch, no_record, unrecorded;
    int64_t scratch_max; /* 0: any */
    uint64_t disk_bytes; /* 0: enough */
    size_t damage_at;    /* from 1; of what is stored */
    ms cancel_at;        /* 0: never */
    err wanted;
    enum backup_verdict verdict;
    unsigned level;
    const char *reason;
};

static uint8_t snapshot[ROOM], sealed[ROOM], back[ROOM];
static size_t snapshot_len, sealed_len;
static struct config config;
static struct backup_record record;

/* --- what is stored --- */

static void boot(void)
{
    static uint8_t small[ROOM];
    struct zstd_encoder *z = NULL;
    struct age_encoder *a = NULL;
    struct age_recipient to;
    struct bytes in = {snapshot, snapshot_len};
    size_t made = 0;
    bool done = false;
    sim_metrics_boot();
    SIM_CHECK_ERR(zstd_encoder_open(1, ZSTD_WINDOW_LOG_MIN, &z), OK);
    SIM_CHECK(zstd_encode(z, &in, small, sizeof small, &made, true, &done) == OK && done);
    zstd_encoder_close(z);
    in = (struct bytes){small, made};
    SIM_CHECK_ERR(age_recipient_parse(bytes_of(TO), &to), OK);
    SIM_CHECK_ERR(age_encoder_open(&to, 1, &a), OK);
    SIM_CHECK(age_encode(a, &in, sealed, sizeof sealed, &sealed_len, true, &done) == OK && done);
    age_encoder_close(a);
}

static const char *name_of(const struct story *s)
{
    return s->form == SEALED ? "etcd-snapshot-20261201-000000.db.zst.age" : "etcd-snapshot-20261201-000000.db";
}

static void path_of(const struct story *s, const char *suffix, char out[OS_PATH_MAX])
{
    (void)snprintf(out, OS_PATH_MAX, FOLDER "/%s%s", name_of(s), suffix);
}

/* After boot(): what is sealed is another one each life. */
static void store(const struct story *s)
{
    char path[OS_PATH_MAX], json[600], hex[2 * SHA256_BYTES + 1];
    uint8_t sha[SHA256_BYTES];
    struct bytes stored = s->form == SEALED ? (struct bytes){sealed, sealed_len} : (struct bytes){snapshot, snapshot_len};
    sha256_of(stored, sha);
    hex_encode((struct bytes){sha, sizeof sha}, hex, sizeof hex);
    (void)snprintf(
        json, sizeof json,
        "{\"name\":\"%s\",\"verdict\":\"good\",\"level\":4,\"bytes\":%zu,\"endpoint\":\"http://x\",\"stored_bytes\":%zu,"
        "\"stored_sha256\":\"%s\",\"compressed\":%s,\"encrypted\":%s}",
        name_of(s), snapshot_len, stored.len, hex, s->form == SEALED ? "true" : "false", s->form == SEALED ? "true" : "false");
    uint8_t *bytes = (uint8_t *)(uintptr_t)stored.at;
    if (s->damage_at)
        bytes[s->damage_at - 1] ^= 1;
    path_of(s, "", path);
    sim_disk_put(path, stored);
    if (s->damage_at)
        bytes[s->damage_at - 1] ^= 1;
    path_of(s, ".json", path);
    if (!s->no_record)
        sim_disk_put(path, bytes_of(json));
}

static void setup(void *arg)
{
    const struct story *s = arg;
    snapshot_len = sim_snapshot_make(snapshot, sizeof snapshot);
    sim_boot(boot);
    sim_backup_config(&config, FOLDER);
    config.backup.endpoint_count = 0;
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
    sim_disk_folder(SCRATCH);
    if (s->identities)
        sim_disk_put(IDENTITIES, bytes_of(s->identities));
    (void)snprintf(config.backup.identity_file, OS_PATH_MAX, "%s", s->identities ? IDENTITIES : "");
    (void)snprintf(config.backup.scratch, OS_PATH_MAX, "%s", s->scratch ? SCRATCH : "");
    config.backup.scratch_max = s->scratch_max;
}

/* --- the fiber --- */

struct doing {
    const struct story *story;
    err (*run)(struct backup *b, const struct story *s);
    err result;
};

static err in_agent(void *arg)
{
    struct doing *d = arg;
    struct backup *b = NULL;
    d->result = backup_open(&(struct backup_options){.config = &config}, &b);
    if (d->result == OK)
        d->result = d->run(b, d->story);
    backup_close(b);
    return OK;
}

static err run_in_group(const struct story *s, err (*run)(struct backup *b, const struct story *s))
{
    struct group g;
    struct doing d = {.story = s, .run = run, .result = E_CANCELED};
    store(s);
    if (s->disk_bytes)
        sim.disk_bytes = s->disk_bytes;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "read back", in_agent, &d);
    if (e == OK)
        e = group_join(&g, s->cancel_at ? loop_now() + s->cancel_at : FOREVER);
    group_close(&g);
    return e == E_TIMEOUT && s->cancel_at ? OK : e != OK ? e : d.result;
}

static bool lies(const char *path, size_t *len)
{
    return sim_disk_get(path, back, sizeof back, len);
}

static bool is_stored(const struct story *s, const char *suffix)
{
    char path[OS_PATH_MAX];
    size_t len = 0;
    path_of(s, suffix, path);
    return lies(path, &len);
}

/* --- rehearsals --- */

static err rehearse(struct backup *b, const struct story *s)
{
    (void)s;
    return backup_rehearse(b, 0, NULL, &record);
}

static err run_rehearse(void *arg)
{
    memset(&record, 0, sizeof record);
    return run_in_group(arg, rehearse);
}

static void see_record(const struct story *s)
{
    static struct backup_record there;
    char path[OS_PATH_MAX];
    size_t len = 0;
    path_of(s, ".json", path);
    SIM_CHECK(lies(path, &len));
    SIM_CHECK_ERR(backup_record_parse((struct bytes){back, len}, &there), OK);
    SIM_CHECK((there.rehearsal.at_s == 0) == s->unrecorded);
    if (s->unrecorded)
        return;
    SIM_CHECK(there.rehearsal.verdict == s->verdict && there.rehearsal.level == s->level && there.rehearsal.at_s > 0);
    SIM_CHECK(there.verification.verdict == (s->verdict == VERDICT_BAD ? VERDICT_BAD : VERDICT_GOOD));
}

static void check_rehearse(void *arg, err result)
{
    const struct story *s = arg;
    SIM_CHECK(sim_disk_names(SCRATCH) == 0 || sim_fault_name());
    SIM_CHECK(is_stored(s, "") || is_stored(s, ".bad"));
    if (s->verdict != VERDICT_BAD && (!is_stored(s, "") || record.rehearsal.verdict == VERDICT_BAD))
        sim_fail("a good one is called bad, %s, for what failed on the way", record.rehearsal.reason);
    if (s->cancel_at || sim_fault_name())
        return;
    SIM_CHECK_ERR(result, s->wanted);
    const struct backup_rehearsal *r = &record.rehearsal;
    if (r->verdict != s->verdict || r->level != s->level || strcmp(r->reason, s->reason) != 0)
        sim_fail("verdict %s, level %u, reason \"%s\"", backup_verdict_name(r->verdict), r->level, r->reason);
    SIM_CHECK(is_stored(s, ".bad") == (s->verdict == VERDICT_BAD && s->form == PLAIN)); /* the others' records tell */
    if (!s->no_record)
        see_record(s);
}

static struct story stories[] = {
    {.name = "plain", .verdict = VERDICT_GOOD, .level = 4, .reason = ""},
    {.name = "no_room_for_its_record",
     .disk_bytes = KIB(20),
     .unrecorded = true,
     .verdict = VERDICT_GOOD,
     .level = 4,
     .reason = ""},
    {.name = "plain_damaged", .damage_at = 5001, .wanted = E_CORRUPT, .verdict = VERDICT_BAD, .level = 1, .reason = "sha256"},
    {.name = "sealed", .form = SEALED, .identities = OURS, .scratch = true, .verdict = VERDICT_GOOD, .level = 4, .reason = ""},
    {.name = "several_keys",
     .form = SEALED,
     .identities = THEIRS OURS,
     .scratch = true,
     .verdict = VERDICT_GOOD,
     .level = 4,
     .reason = ""},
    {.name = "no_scratch", .form = SEALED, .identities = OURS, .verdict = VERDICT_GOOD, .level = 2, .reason = "no-scratch"},
    {.name = "scratch_bound",
     .form = SEALED,
     .identities = OURS,
     .scratch = true,
     .scratch_max = 8192,
     .verdict = VERDICT_GOOD,
     .level = 2,
     .reason = "no-scratch"},
    {.name = "scratch_full",
     .form = SEALED,
     .identities = OURS,
     .scratch = true,
     .disk_bytes = KIB(24),
     .verdict = VERDICT_GOOD,
     .level = 2,
     .reason = "no-scratch"},
    {.name = "no_key", .form = SEALED, .scratch = true, .verdict = VERDICT_GOOD, .level = 0, .reason = "stored"},
    {.name = "wrong_key",
     .form = SEALED,
     .identities = THEIRS,
     .scratch = true,
     .wanted = E_IO,
     .verdict = VERDICT_UNKNOWN,
     .level = 0,
     .reason = "wrong-identity"},
    {.name = "no_key_damaged",
     .form = SEALED,
     .damage_at = 700,
     .wanted = E_CORRUPT,
     .verdict = VERDICT_BAD,
     .level = 0,
     .reason = "stored-sha256"},
    {.name = "sealed_damaged",
     .form = SEALED,
     .identities = OURS,
     .scratch = true,
     .damage_at = 700,
     .wanted = E_CORRUPT,
     .verdict = VERDICT_BAD,
     .level = 0,
     .reason = "stored-sha256"},
    {.name = "no_key_no_record",
     .form = SEALED,
     .no_record = true,
     .wanted = E_IO,
     .verdict = VERDICT_UNKNOWN,
     .level = 0,
     .reason = "no-record"},
};

#define REHEARSE(s)                                                                                                              \
    (struct sim_case)                                                                                                            \
    {                                                                                                                            \
        .name = (s)->name, .setup = setup, .run = run_rehearse, .check = check_rehearse, .arg = (s), .fibers = true              \
    }

static void rehearsals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(stories); i++) {
        struct sim_case c = REHEARSE(&stories[i]);
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void each_fault_of(const char *name, size_t story, unsigned step)
{
    struct story s = stories[story];
    s.name = name;
    struct sim_case c = REHEARSE(&s);
    c.step = step;
    c.faults_max = step ? KEY_FAULTS_MAX : 0;
    assert_true(sim_each_fault(&c));
}

static void each_fault(void **state)
{
    (void)state;
    each_fault_of("plain_fault", 0, 0);
    each_fault_of("sealed_fault", 3, KEY_STEP);
    each_fault_of("closed_fault", 8, 0);
}

static void canceled_anywhere(void **state)
{
    (void)state;
    for (ms at = 1; at < 60; at += at < 20 ? 1 : 7) {
        char name[24];
        struct story s = stories[3];
        (void)snprintf(name, sizeof name, "cancel_%d", (int)at);
        s.name = name;
        s.cancel_at = at;
        struct sim_case c = REHEARSE(&s);
        assert_true(sim_seeds(&c, 1));
    }
}

/* --- restores --- */

static err restore(struct backup *b, const struct story *s)
{
    static struct backup_result result;
    static struct backup_keys keys;
    unsigned destination = 9;
    if (s->identities)
        TRY(backup_keys_read(IDENTITIES, loop_now() + SECONDS(50), &keys));
    TRY(backup_find(b, "latest", &destination, &record));
    SIM_CHECK(destination == 0);
    struct backup_reading r = {.backup = b, .record = &record, .keys = &keys, .level = 4, .to = OUT};
    err e = backup_read_back(&r, &result);
    backup_keys_wipe(&keys);
    TRY(e);
    return result.verification.verdict == VERDICT_GOOD && result.verification.level == 4 ? OK : E_INVALID;
}

static err run_restore(void *arg)
{
    return run_in_group(arg, restore);
}

/* The whole file, and only when that was said. A name whose folder could not be synced is no success, and may be there. */
static void check_restore(void *arg, err result)
{
    const struct story *s = arg;
    size_t len = 0;
    bool there = lies(OUT, &len);
    SIM_CHECK(!there || (len == snapshot_len && memcmp(back, snapshot, len) == 0));
    SIM_CHECK(there || result != OK || s->cancel_at);
    if (!sim_fault_name() && !s->cancel_at)
        SIM_CHECK_ERR(result, s->wanted);
    if (!sim_fault_name() && result != OK)
        SIM_CHECK(!there && sim_disk_names("/data") == 2u + (s->identities ? 1 : 0));
}

#define RESTORE(s)                                                                                                               \
    (struct sim_case)                                                                                                            \
    {                                                                                                                            \
        .name = (s)->name, .setup = setup, .run = run_restore, .check = check_restore, .arg = (s), .fibers = true                \
    }

static struct story restores[] = {
    {.name = "restore_plain"},
    {.name = "restore_sealed", .form = SEALED, .identities = OURS},
    {.name = "restore_damaged", .damage_at = 5001, .wanted = E_INVALID},
    {.name = "restore_sealed_damaged", .form = SEALED, .identities = OURS, .damage_at = 700, .wanted = E_INVALID},
    {.name = "restore_no_key", .form = SEALED, .wanted = E_INVALID},
    {.name = "restore_wrong_key", .form = SEALED, .identities = THEIRS, .wanted = E_INVALID},
    {.name = "restore_disk_full", .form = SEALED, .identities = OURS, .disk_bytes = KIB(24), .wanted = E_NOSPACE},
};

static void all_restores(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(restores); i++) {
        struct sim_case c = RESTORE(&restores[i]);
        assert_true(sim_seeds(&c, SEEDS));
    }
}

static void each_fault_of_a_restore(void **state)
{
    (void)state;
    static const char *const names[] = {"restore_plain_fault", "restore_sealed_fault"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct story s = restores[i];
        s.name = names[i];
        struct sim_case c = RESTORE(&s);
        c.step = i ? KEY_STEP : 0;
        c.faults_max = i ? KEY_FAULTS_MAX : 0;
        assert_true(sim_each_fault(&c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rehearsals), cmocka_unit_test(each_fault),
                                       cmocka_unit_test(canceled_anywhere), cmocka_unit_test(all_restores),
                                       cmocka_unit_test(each_fault_of_a_restore)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
