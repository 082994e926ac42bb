/* One backup's life in a place, in the simulated world: put, recorded, listed, read back, removed; into a folder and into a
 * pretended S3. Then each fallible call fails once, and for the folder the power goes at every change of the disk: what is listed
 * as good is whole, and what is there under its name too. */
#include "agents/backup/place.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/s3_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER  "/data/backups"
#define PREFIX  "a/"
#define NAME    "etcd-snapshot-20260304-050607.db.zst"
#define HUBS    "etcd-snapshot-20260304-050607-0a1b2c3d.db.zst"
#define FOREIGN "notes.txt"
#define PIECES  3
#define PIECE   KIB(10)
#define BYTES   ((size_t)PIECES * PIECE)

static struct s3_peer peer;
static struct config config;
static uint8_t content[BYTES], back[BYTES + 1];

struct story {
    const char *name;
    enum destination_type type;
    bool refuses_conditions, write_only;
};
static const struct story folder = {"folder", DESTINATION_DIRECTORY, false, false};
static const struct story s3 = {"s3", DESTINATION_S3, false, false};
static const struct story no_conditions = {"s3_no_conditions", DESTINATION_S3, true, false};
static const struct story write_only = {"s3_write_only", DESTINATION_S3, false, true};

static void config_of_s3(struct config_destination *d)
{
    d->type = DESTINATION_S3;
    d->path[0] = 0;
    (void)snprintf(d->endpoint, sizeof d->endpoint, "http://10.0.0.1:80");
    (void)snprintf(d->bucket, sizeof d->bucket, "backups");
    (void)snprintf(d->prefix, sizeof d->prefix, PREFIX);
    (void)snprintf(d->access_key_file, sizeof d->access_key_file, "/keys/access");
    (void)snprintf(d->secret_key_file, sizeof d->secret_key_file, "/keys/secret");
}

static void content_fill(void)
{
    for (size_t i = 0; i < BYTES; i++)
        content[i] = sim_pattern(i);
}

static void setup(void *arg)
{
    const struct story *s = arg;
    content_fill();
    sim_boot(sim_metrics_boot);
    sim_backup_config(&config, FOLDER);
    sim_disk_folder("/data");
    sim_disk_folder(FOLDER);
    sim_disk_put(FOLDER "/" FOREIGN, bytes_of("mine"));
    sim_disk_folder("/keys");
    sim_disk_put("/keys/access", bytes_of("AK\n"));
    sim_disk_put("/keys/secret", bytes_of("secret\r\n"));
    if (s->type != DESTINATION_S3)
        return;
    config_of_s3(&config.backup.destinations[0]);
    peer = (struct s3_peer){.at = sim_ip("10.0.0.1:80"),
                            .access_key = "AK",
                            .refuses_conditions = s->refuses_conditions,
                            .write_only = s->write_only};
    SIM_CHECK(s3_peer_put(&peer, PREFIX FOREIGN, bytes_of("mine")) && s3_peer_put(&peer, "b/" NAME, bytes_of("another's")));
}

/* --- its life --- */

static err append_all(struct place_put *w)
{
    for (size_t i = 0; i < PIECES; i++) {
        struct buf *b = NULL;
        TRY(buf_wait(PIECE, loop_now() + SECONDS(10), &b));
        memcpy(b->at, content + i * PIECE, PIECE);
        b->len = PIECE;
        TRY(place_put_append(w, b, loop_now() + SECONDS(60)));
    }
    return OK;
}

/* As a run does where the server cannot refuse to overwrite. */
static err commit(struct place *p, struct place_put *w, const char **name, struct place_object *object)
{
    err e = place_put_commit(w, object);
    if (e != E_UNSUPPORTED || !place_wants_hub_id(p))
        return e;
    *name = HUBS;
    TRY(place_put_rename(w, HUBS));
    return place_put_commit(w, object);
}

static err put(struct place *p, const char **name)
{
    struct place_put *w = NULL;
    struct place_object object;
    TRY(place_put_open(p, *name, &w));
    err e = append_all(w);
    if (e == OK)
        e = commit(p, w, name, &object);
    SIM_CHECK(e != OK || object.bytes == BYTES);
    place_put_close(w);
    return e;
}

#define TOOK_FIRST  5
#define TOOK_SECOND 6

static err record(struct backup_destination *to, const char *name, int64_t took_ms)
{
    static struct backup_record r;
    r = (struct backup_record){.taken_at_s = 1772600767, .took_ms = took_ms, .stored_bytes = BYTES, .compressed = true};
    r.verification = (struct backup_verification){.verdict = VERDICT_GOOD, .level = 2, .bytes = 20512, .reason = "no-scratch"};
    (void)snprintf(r.name, sizeof r.name, "%s", name);
    TRY(place_path(to->place, name, r.path));
    return backup_record_write(to, &r);
}

static err read_back(struct place *p, const char *name)
{
    struct place_get *g = NULL;
    struct place_object object;
    struct buf *b = NULL;
    size_t len = 0;
    TRY(place_get_open(p, name, &g, &object));
    err e = OK;
    do {
        e = place_get_next(g, SECONDS(30), &b);
        if (e == OK && b) {
            SIM_CHECK(len + b->len <= BYTES);
            memcpy(back + len, b->at, b->len);
            len += b->len;
        }
        buf_release(b);
    } while (e == OK && b);
    place_get_close(g);
    SIM_CHECK(e != OK || (len == BYTES && object.bytes == BYTES && memcmp(back, content, BYTES) == 0));
    return e;
}

static err is_good(void *arg, const struct backup_record *r)
{
    unsigned *count = arg;
    SIM_CHECK(r->stored_bytes == BYTES && r->verification.bytes <= 20512);
    *count += r->verification.verdict == VERDICT_GOOD;
    return OK;
}

static err list(struct backup *b, unsigned wanted)
{
    unsigned count = 0;
    TRY(backup_list(b, 0, is_good, &count));
    SIM_CHECK(count == wanted || (count == 0 && sim_fault_name())); /* a record that cannot be read is unknown */
    return OK;
}

/* Under a name that is taken nothing comes into being. */
static err put_again(struct place *p, const char *name)
{
    const char *again = name;
    uint64_t mark = trail_mark();
    err e = put(p, &again);
    if (e != E_EXISTS)
        return e == OK ? E_INVALID : e;
    trail_rewind(mark);
    return OK;
}

static err remove_all(struct backup_destination *to)
{
    struct catalogue c;
    TRY(catalogue_open(to, &c));
    err e = OK;
    for (size_t i = 0; e == OK && i < c.count; i++)
        e = backup_remove(to, &c.entries[i]);
    catalogue_close(&c);
    return e;
}

static err live(struct backup *b)
{
    struct backup_destination *to = &b->destinations[0];
    const char *name = NAME;
    TRY(list(b, 0));
    TRY(put(to->place, &name));
    sim_note(0, 1);
    TRY(record(to, name, TOOK_FIRST));
    sim_note(1, 1);
    TRY(record(to, name, TOOK_SECOND)); /* as a rehearsal writes it */
    sim_note(4, 1);
    TRY(list(b, 1));
    TRY(read_back(to->place, name));
    TRY(put_again(to->place, name));
    TRY(backup_tidy(b, 0));
    TRY(list(b, 1));
    sim_note(2, 1);
    TRY(remove_all(to));
    sim_note(3, 1);
    return list(b, 0);
}

/* Credentials that may write, and nothing else. */
static err live_write_only(struct backup *b)
{
    struct backup_destination *to = &b->destinations[0];
    const char *name = NAME;
    unsigned none = 0;
    err e = backup_list(b, 0, is_good, &none);
    if (e != E_DENIED)
        return e == OK ? E_INVALID : e;
    trail_clear();
    TRY(put(to->place, &name));
    SIM_CHECK(place_is_write_only(to->place));
    TRY(record(to, name, TOOK_FIRST));
    return backup_list(b, 0, is_good, &none); /* what the store remembers: here there is none */
}

static err with_backup(struct dns *dns, const struct story *s)
{
    struct backup *b = NULL;
    TRY(backup_open(&(struct backup_options){.config = &config, .dns = dns, .hub_id = "0a1b2c3d"}, &b));
    err e = s->write_only ? live_write_only(b) : live(b);
    backup_close(b);
    return e;
}

static err run_story(void *arg)
{
    const struct story *s = arg;
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct dns *dns = NULL;
    TRY(dns_open_with(&numeric, &dns));
    err e = s->type == DESTINATION_S3 ? s3_peer_open(&peer) : OK;
    if (e == OK)
        e = with_backup(dns, s);
    if (s->type == DESTINATION_S3)
        s3_peer_close(&peer);
    dns_close(dns);
    return e;
}

/* In the task that has the memory for it. */
static err run(void *arg)
{
    struct group g;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "place", run_story, arg);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e;
}

/* --- what must hold, whatever happened --- */

/* Once there is one, there is always one: the old, or the new. */
static void check_record(void)
{
    static struct backup_record r;
    size_t len = 0;
    if (!sim_noted(1) || sim_noted(2))
        return;
    SIM_CHECK(sim_disk_get(FOLDER "/" NAME ".json", back, sizeof back, &len));
    SIM_CHECK_ERR(backup_record_parse((struct bytes){back, len}, &r), OK);
    SIM_CHECK(r.took_ms == TOOK_SECOND || (r.took_ms == TOOK_FIRST && !sim_noted(4)));
}

static void check_folder(bool rebooted)
{
    size_t len = 0, ignored = 0;
    bool there = sim_disk_get(FOLDER "/" NAME, back, sizeof back, &len);
    SIM_CHECK(!there || (len == BYTES && memcmp(back, content, BYTES) == 0));
    SIM_CHECK(there || !sim_noted(0) || sim_noted(2));
    SIM_CHECK(there || sim_noted(2) || !sim_disk_get(FOLDER "/" NAME ".json", back, sizeof back, &ignored));
    for (unsigned i = 0; i < sim_disk_names(FOLDER); i++) {
        const char *name = sim_disk_name(FOLDER, i);
        struct backup_entry entry;
        SIM_CHECK(strcmp(name, FOREIGN) == 0 || backup_name_kind(name, &entry) != NAME_OTHER);
        SIM_CHECK(backup_name_kind(name, &entry) != NAME_LEFTOVER || rebooted || sim_fault_name());
    }
    check_record();
    SIM_CHECK(sim_disk_get(FOLDER "/" FOREIGN, back, sizeof back, &len) && len == 4);
}

static void check_s3(void)
{
    static const char *const names[] = {PREFIX NAME, PREFIX HUBS};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct s3_peer_object *o = s3_peer_find(&peer, names[i]);
        SIM_CHECK(!o || (o->bytes == BYTES && memcmp(peer.content + o->at, content, BYTES) == 0));
    }
    SIM_CHECK(s3_peer_find(&peer, PREFIX FOREIGN) && s3_peer_find(&peer, "b/" NAME));
}

static void check(void *arg, err e)
{
    const struct story *s = arg;
    char text[512];
    if (e != OK && !sim_fault_name())
        sim_fail("%s: %s: %s; the server saw %s", s->name, err_name(e), trail_text(e, text, sizeof text), peer.told);
    s->type == DESTINATION_S3 ? check_s3() : check_folder(false);
}

static void reboot(void *arg, bool ended, err result)
{
    (void)arg;
    (void)ended;
    (void)result;
    content_fill(); /* another process */
    check_folder(true);
}

static struct sim_case case_of(const struct story *s)
{
    return (struct sim_case){.name = s->name,
                             .setup = setup,
                             .run = run,
                             .check = check,
                             .reboot = reboot,
                             .arg = (void *)(uintptr_t)s,
                             .step = 3,
                             .fibers = true};
}

static void a_life(void **state)
{
    struct sim_case c = case_of(*state);
    assert_true(sim_seeds(&c, 6));
}

static void each_call_fails_once(void **state)
{
    struct sim_case c = case_of(*state);
    assert_true(sim_each_fault(&c));
}

static void the_power_goes(void **state)
{
    struct sim_case c = case_of(*state);
    assert_true(sim_each_power_cut(&c));
}

#define OF(test, story) cmocka_unit_test_prestate(test, (void *)(uintptr_t) & (story))
int main(void)
{
    const struct CMUnitTest tests[] = {OF(a_life, folder),
                                       OF(a_life, s3),
                                       OF(a_life, no_conditions),
                                       OF(a_life, write_only),
                                       OF(each_call_fails_once, folder),
                                       OF(each_call_fails_once, s3),
                                       OF(the_power_goes, folder)};
    return cmocka_run_group_tests_name("places in the sim", tests, NULL, NULL);
}
