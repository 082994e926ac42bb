/* What a hub leaves in S3 when it dies, and what the next one makes of it, in the simulated world: a row of the store, what the
 * server has, whether there is a record; then a death after the object and before its record with each fallible call failing
 * once. */
#include "agents/backup/place_s3.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_backup.h"
#include "tests/support/s3_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME    "etcd-snapshot-20260304-050607.db.zst"
#define KEY     "a/" NAME
#define RECORD  KEY ".json"
#define FOREIGN "a/etcd-snapshot-20260304-050608.db.zst"
#define SOON    (loop_now() + SECONDS(20))

enum row { ONE_PUT, UNHEARD, NAMED, BEFORE_IDS };
enum server { NOTHING, PENDING, OURS, ANOTHERS };
enum kept { FORGOTTEN, WAITS, STAYS }; /* the row: WAITS for the object only, STAYS as it was */

static const struct left {
    const char *name;
    enum row row;
    enum server server, after;
    enum kept kept;
    bool recorded, old, denied, wrote;
    struct s3_peer_fault faults[2];
} lefts[] = {
    {"one put, not begun", ONE_PUT, NOTHING, NOTHING, WAITS, .old = false},
    {"one put, never begun", ONE_PUT, NOTHING, NOTHING, FORGOTTEN, .old = true},
    {"one put, done", ONE_PUT, OURS, NOTHING, FORGOTTEN, .old = false},
    {"one put, recorded", ONE_PUT, OURS, OURS, FORGOTTEN, .recorded = true},
    {"one put, another's is there", ONE_PUT, ANOTHERS, ANOTHERS, WAITS, .old = false},
    {"one put, another's is there and stays", ONE_PUT, ANOTHERS, ANOTHERS, FORGOTTEN, .old = true},
    {"one put, another's is there with its record", ONE_PUT, ANOTHERS, ANOTHERS, FORGOTTEN, .recorded = true},
    {"one put, an upload of another's", ONE_PUT, PENDING, PENDING, FORGOTTEN, .old = true},
    {"an upload, not heard of, not begun", UNHEARD, NOTHING, NOTHING, WAITS, .old = false},
    {"an upload, not heard of, begun", UNHEARD, PENDING, NOTHING, WAITS, .old = false},
    {"an upload, begun", NAMED, PENDING, NOTHING, WAITS, .old = false},
    {"an upload, begun long ago", NAMED, PENDING, NOTHING, FORGOTTEN, .old = true},
    {"an upload, completed", NAMED, OURS, NOTHING, FORGOTTEN, .old = false},
    {"an upload, completed long ago", NAMED, OURS, NOTHING, FORGOTTEN, .old = true},
    {"an upload, recorded", NAMED, OURS, OURS, FORGOTTEN, .recorded = true},
    {"an upload, another's is there", NAMED, ANOTHERS, ANOTHERS, FORGOTTEN, .old = true},
    {"of a hub that knew no ids", BEFORE_IDS, PENDING, NOTHING, FORGOTTEN, .old = false},
    {"of a hub that knew no ids, completed", BEFORE_IDS, OURS, OURS, FORGOTTEN, .old = false},
    {"it cannot be aborted now", NAMED, PENDING, PENDING, STAYS,
     .faults = {{"AbortMultipartUpload", 0, S3_PEER_ANSWER, 500, "InternalError", NULL}}},
    {"it cannot be looked at now", NAMED, OURS, OURS, WAITS, .old = true,
     .faults = {{"HeadObject", 0, S3_PEER_ANSWER, 500, "InternalError", NULL}}},
    {"it cannot be removed now", ONE_PUT, OURS, OURS, WAITS, .old = true,
     .faults = {{"DeleteObject", 0, S3_PEER_ANSWER, 503, "SlowDown", NULL}}},
    {"the server is silent", ONE_PUT, OURS, OURS, WAITS, .faults = {{"HeadObject", 0, S3_PEER_SILENT, 0, NULL, NULL}}},
    {"credentials that cannot ask, so far", ONE_PUT, OURS, OURS, WAITS, .old = true, .denied = true},
    {"credentials that may only write", ONE_PUT, OURS, OURS, FORGOTTEN, .denied = true, .wrote = true},
    {"credentials that may only write, an upload", NAMED, OURS, OURS, FORGOTTEN, .denied = true, .wrote = true,
     .faults = {{"AbortMultipartUpload", 0, S3_PEER_ANSWER, 404, "NoSuchUpload", NULL}}},
};

static struct s3_peer peer;
static struct config config;
static const struct bytes content = {(const uint8_t *)"packed", 6};

static void setup(void *arg)
{
    struct config_destination *d = &config.backup.destinations[0];
    (void)arg;
    sim_boot(sim_metrics_boot);
    sim_backup_config(&config, "");
    sim_disk_folder("/data");
    sim_disk_folder("/keys");
    sim_disk_put("/keys/access", bytes_of("AK\n"));
    sim_disk_put("/keys/secret", bytes_of("secret\n"));
    d->type = DESTINATION_S3;
    (void)snprintf(d->endpoint, sizeof d->endpoint, "http://10.0.0.1:80");
    (void)snprintf(d->bucket, sizeof d->bucket, "backups");
    (void)snprintf(d->prefix, sizeof d->prefix, "a/");
    (void)snprintf(d->access_key_file, sizeof d->access_key_file, "/keys/access");
    (void)snprintf(d->secret_key_file, sizeof d->secret_key_file, "/keys/secret");
    peer = (struct s3_peer){.at = sim_ip("10.0.0.1:80"), .access_key = "AK"};
    SIM_CHECK(s3_peer_put(&peer, FOREIGN, bytes_of("another hub's")));
}

/* --- a hub with a store, and what it does --- */

typedef err hub_act(struct backup *b, const struct left *l);
struct hub {
    hub_act *act;
    const struct left *left;
    err result;
};

static err with_store(struct hub *h, struct dns *dns)
{
    static const struct store_schema schema = {backup_schema};
    struct store *store = NULL;
    struct backup *b = NULL;
    TRY(store_open("/data", &schema, SOON, &store));
    err e = backup_open(&(struct backup_options){.config = &config, .dns = dns, .store = store, .hub_id = "0a1b2c3d"}, &b);
    if (e == OK)
        e = h->act(b, h->left);
    backup_close(b);
    store_close(store, SOON);
    return e;
}

static err with_peer(struct hub *h, struct dns *dns)
{
    TRY(s3_peer_open(&peer));
    err e = with_store(h, dns);
    s3_peer_close(&peer);
    return e;
}

static err hub_fiber(void *arg)
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct hub *h = arg;
    struct dns *dns = NULL;
    h->result = dns_open_with(&numeric, &dns);
    if (h->result == OK)
        h->result = with_peer(h, dns);
    dns_close(dns);
    return OK;
}

/* In the task that has the memory for it. */
static err live(hub_act *act, const struct left *l)
{
    struct hub h = {.act = act, .left = l};
    struct group g;
    group_open(&g, TASK_BACKUP);
    err e = group_spawn(&g, "hub", hub_fiber, &h);
    if (e == OK)
        e = group_join(&g, FOREVER);
    group_close(&g);
    return e == OK ? h.result : e;
}

/* --- what a hub left --- */

static err server_fill(struct place *p, const struct left *l, const char *id, char upload[S3_UPLOAD_ID_MAX])
{
    struct s3 *c = NULL;
    struct s3_upload *u = NULL;
    struct s3_object o;
    TRY(place_s3_client(p, &c));
    (void)snprintf(upload, S3_UPLOAD_ID_MAX, "upload-7"); /* which has gone */
    if (l->server == PENDING) {
        TRY(s3_upload_open(c, KEY, id, SOON, &u));
        (void)snprintf(upload, S3_UPLOAD_ID_MAX, "%s", s3_upload_id(u));
        s3_upload_close(u);
    }
    if (l->server == OURS)
        TRY(s3_put(c, KEY, id, content, true, SOON, &o));
    SIM_CHECK(l->server != ANOTHERS || s3_peer_put(&peer, KEY, content));
    SIM_CHECK(!l->recorded || s3_peer_put(&peer, RECORD, bytes_of("{}")));
    return OK;
}

static err leave(struct backup *b, const struct left *l)
{
    struct place *p = b->destinations[0].place;
    char id[S3_OBJECT_ID_MAX], upload[S3_UPLOAD_ID_MAX];
    s3_object_id(id);
    TRY(server_fill(p, l, id, upload));
    place_upload_began(p, KEY, l->row == ONE_PUT ? PLACE_NO_UPLOAD : "", l->row == BEFORE_IDS ? "" : id);
    if (l->row == NAMED || l->row == BEFORE_IDS)
        place_upload_asks(p, KEY, upload);
    return l->old ? fiber_sleep(loop_now() + MINUTES(16)) : OK;
}

/* --- what the next one makes of it --- */

struct rows {
    unsigned count;
    char id[S3_UPLOAD_ID_MAX];
};

static err see_row(void *arg, const struct place_upload *u)
{
    struct rows *r = arg;
    SIM_CHECK(strcmp(u->key, KEY) == 0);
    r->count++;
    (void)snprintf(r->id, sizeof r->id, "%s", u->id);
    return E_IO; /* it stays */
}

static void check_row(const struct left *l, const struct rows *r)
{
    bool waits = strcmp(r->id, PLACE_NO_UPLOAD) == 0;
    if (r->count != (l->kept != FORGOTTEN) || (r->count && waits != (l->kept == WAITS)))
        sim_fail("%s: %u rows, \"%s\"; the server saw %s", l->name, r->count, r->id, peer.told);
}

static void check_server(const struct left *l)
{
    const struct s3_peer_object *o = s3_peer_find(&peer, KEY);
    if ((o != NULL) != (l->after == OURS || l->after == ANOTHERS) || s3_peer_pending(&peer) != (l->after == PENDING))
        sim_fail("%s: %s, %u uploads; the server saw %s", l->name, o ? "an object" : "none", s3_peer_pending(&peer), peer.told);
    SIM_CHECK(s3_peer_find(&peer, FOREIGN) && (s3_peer_find(&peer, RECORD) != NULL) == l->recorded);
}

static err find(struct backup *b, const struct left *l)
{
    struct place *p = b->destinations[0].place;
    struct rows rows = {.count = 0};
    p->wrote = l->wrote;
    TRY(place_tidy(p));
    TRY(place_uploads_left(p, see_row, &rows));
    check_row(l, &rows);
    check_server(l);
    return OK;
}

/* Whatever it was: once all answers again, and some time has gone by, nothing of it is left but what has its record, what is
 * another's, or what cannot be asked about. */
static err find_later(struct backup *b, const struct left *l)
{
    struct place *p = b->destinations[0].place;
    struct rows rows = {.count = 0};
    TRY(fiber_sleep(loop_now() + MINUTES(16)));
    TRY(place_tidy(p));
    TRY(place_uploads_left(p, see_row, &rows));
    SIM_CHECK(rows.count == 0 && s3_peer_find(&peer, FOREIGN));
    if (l->kept != FORGOTTEN)
        SIM_CHECK((s3_peer_find(&peer, KEY) != NULL) == (l->server == ANOTHERS) && s3_peer_pending(&peer) == 0);
    return OK;
}

static err run_left(void *arg)
{
    const struct left *l = arg;
    TRY(live(leave, l));
    peer.write_only = l->denied;
    peer.faults = l->faults;
    peer.told[0] = 0;
    TRY(live(find, l));
    peer.write_only = false;
    peer.faults = NULL;
    return live(find_later, l);
}

static void each_is_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lefts); i++) {
        struct sim_case c = {
            .name = lefts[i].name, .setup = setup, .run = run_left, .arg = (void *)(uintptr_t)&lefts[i], .fibers = true};
        assert_true(sim_seeds(&c, 2));
    }
}

/* --- a put that ends before its record --- */

static err put_and_end(struct backup *b, const struct left *l)
{
    struct place *p = b->destinations[0].place;
    struct place_put *w = NULL;
    struct place_object object;
    struct buf *piece = NULL;
    (void)l;
    TRY(place_put_open(p, NAME, &w));
    err e = buf_wait(content.len, SOON, &piece);
    if (e == OK) {
        memcpy(piece->at, content.at, content.len);
        piece->len = content.len;
        e = place_put_append(w, piece, SOON);
    }
    if (e == OK)
        e = place_put_commit(w, &object);
    if (e == OK)
        sim_note(0, 1);
    place_put_close(w);
    return e;
}

static err tidy(struct backup *b, const struct left *l)
{
    (void)l;
    return place_tidy(b->destinations[0].place);
}

/* One call fails in all of it. What fails ends that hub; the two after it find all. */
static err run_ended(void *arg)
{
    (void)arg;
    err e = live(put_and_end, NULL);
    for (unsigned i = 0; i < 2; i++) {
        err again = live(tidy, NULL);
        e = e == OK ? again : e;
        TRY(fiber_sleep(loop_now() + MINUTES(16)));
    }
    return e;
}

/* The one thing that may keep it is a store that could not be told of it: the log said so. */
static void check_ended(void *arg, err result)
{
    (void)arg;
    SIM_CHECK(result == OK || sim_fault_name());
    SIM_CHECK(sim_noted(0) || sim_fault_name());
    bool gone = !s3_peer_find(&peer, KEY);
    SIM_CHECK(gone || (sim_fault_name() && result == OK));
    SIM_CHECK(s3_peer_find(&peer, FOREIGN) && s3_peer_pending(&peer) == 0);
}

static void each_call_fails_once(void **state)
{
    struct sim_case c = {
        .name = "ended before its record", .setup = setup, .run = run_ended, .check = check_ended, .step = 5, .fibers = true};
    (void)state;
    assert_true(sim_each_fault(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_judged), cmocka_unit_test(each_call_fails_once)};
    return cmocka_run_group_tests_name("what is left in S3, in the sim", tests, NULL, NULL);
}
