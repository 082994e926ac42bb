/* rehearse: one rehearsal. */
#include "agents/backup/rehearse.h"
#include "agents/backup/plan.h"
#include "agents/backup/restore.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_MS_MAX SECONDS(20)

struct rehearsing {
    struct backup *backup;
    unsigned destination;
    struct backup_destination *to;
    const struct backup_watcher *watcher;
    struct backup_record *record;
    struct backup_result result;
    struct backup_keys keys;
    err keys_error;
    struct etcd_status live;
    bool has_live, judged;
};

/* --- which --- */

struct newest {
    struct backup_record *record;
    bool found;
};

static err look_newest(void *arg, const struct backup_record *r)
{
    struct newest *n = arg;
    if (r->verification.verdict == VERDICT_BAD)
        return OK;
    *n->record = *r;
    n->found = true;
    return OK;
}

static err find_newest(struct rehearsing *h)
{
    struct newest n = {.record = h->record};
    TRY(backup_moved(h->to, backup_list(h->backup, h->destination, look_newest, &n)));
    return n.found ? OK : trail(E_ABSENT, "%s holds no backup that could be read back", h->to->config->name);
}

/* --- whose cluster --- */

/* It is compared, not needed: a cluster that is down is no reason to rehearse less. */
static err ask_live(struct rehearsing *h)
{
    struct etcd *etcd = NULL;
    uint64_t mark = trail_mark();
    if (h->backup->config->backup.endpoint_count == 0)
        return OK;
    err e = backup_source_open(h->backup, loop_now() + STATUS_MS_MAX, &etcd);
    if (e == OK)
        e = etcd_connect_any(etcd, loop_now() + STATUS_MS_MAX, &h->live);
    etcd_close(etcd);
    h->has_live = e == OK;
    if (e != E_CANCELED)
        trail_rewind(mark);
    return backup_moved(h->to, e == E_CANCELED ? e : OK);
}

static int64_t revision_of(const struct rehearsing *h)
{
    const struct backup_verification *v = &h->result.verification;
    return v->level >= 4 ? v->revision : h->record->verification.level >= 4 ? h->record->verification.revision : 0;
}

static const char *warning_of(const struct rehearsing *h)
{
    if (!h->has_live)
        return "";
    if (h->record->cluster_id && h->record->cluster_id != h->live.cluster_id)
        return "another-cluster";
    return revision_of(h) > h->live.revision ? "cluster-went-back" : "";
}

/* --- what was found --- */

static void conclude(struct rehearsing *h, ms began)
{
    const struct backup_verification *v = &h->result.verification;
    bool no_record = strcmp(v->reason, "no-identity") == 0; /* sealed, and nothing to compare it with */
    struct backup_rehearsal *out = &h->record->rehearsal;
    *out = (struct backup_rehearsal){
        .at_s = loop_wall_ms() / 1000, .took_ms = loop_now() - began, .verdict = v->verdict, .level = v->level};
    (void)snprintf(out->reason, sizeof out->reason, "%s",
                   no_record && h->keys_error != OK ? "identity-file"
                   : no_record                      ? "no-record"
                                                    : v->reason);
    (void)snprintf(out->warning, sizeof out->warning, "%s", warning_of(h));
    if (out->warning[0])
        log_warn("a backup was read back, and the cluster is not as it was", F("destination", h->to->config->name),
                 F("file", h->record->name), F("warning", out->warning));
}

/* Reading it back may have reached more than was known. */
static void learn(struct rehearsing *h)
{
    const struct backup_verification *v = &h->result.verification;
    struct backup_record *r = h->record;
    if (v->verdict != VERDICT_GOOD || v->level < 2 || (backup_has_record(r) && v->level <= r->verification.level))
        return;
    r->verification = *v;
    r->stored_bytes = h->result.stored_bytes;
    memcpy(r->stored_sha256, h->result.stored_sha256, sizeof r->stored_sha256);
}

static err write_record(struct rehearsing *h)
{
    if (!backup_has_record(h->record)) /* nobody speaks for it: tidying does */
        return OK;
    uint64_t mark = trail_mark();
    err e = backup_moved(h->to, backup_record_write(h->to, h->record));
    if (e != E_NOSPACE) /* the record in force stays */
        return e;
    log_warn("no room to record a rehearsal: only the metrics tell of it", F("destination", h->to->config->name),
             F("file", h->record->name));
    trail_rewind(mark);
    return OK;
}

/* What is left without it. */
struct left {
    struct backup_destination *to;
    int64_t good_s;
};

static err look_left(void *arg, const struct backup_record *r)
{
    struct left *l = arg;
    if (r->verification.verdict != VERDICT_GOOD)
        return OK;
    l->good_s = r->taken_at_s;
    backup_metrics_done(l->to, r);
    backup_metrics_kept(l->to, r);
    return OK;
}

static err set_aside(struct rehearsing *h)
{
    struct backup_record *r = h->record;
    struct backup_verification *v = &h->result.verification;
    struct left left = {.to = h->to};
    bool plain = !h->result.encrypted && !h->result.compressed;
    backup_finding_add(v, BACKUP_DAMAGED_LATER, 0, "it was good when it was taken");
    if (!plain && v->bytes == 0) {
        v->bytes = r->verification.bytes;
        v->db_bytes = r->verification.db_bytes;
    }
    r->verification = *v;
    r->stored_bytes = h->result.stored_bytes;
    memcpy(r->stored_sha256, h->result.stored_sha256, sizeof r->stored_sha256);
    TRY(backup_set_aside(h->to, r));
    TRY(backup_moved(h->to, backup_record_write(h->to, r)));
    TRY(backup_list(h->backup, h->destination, look_left, &left));
    stale_found(h->to, left.good_s);
    return OK;
}

/* --- the whole --- */

static err read_keys(struct rehearsing *h)
{
    const char *path = h->backup->config->backup.identity_file;
    uint64_t mark = trail_mark();
    h->keys_error = *path ? backup_keys_read(path, loop_now() + BACKUP_DISK_MS_MAX, &h->keys) : OK;
    if (h->keys_error == OK || h->keys_error == E_CANCELED)
        return h->keys_error;
    log_warn("backup.rehearse.identity_file cannot be read: only the stored bytes are compared", F("path", path),
             F_ERR(h->keys_error));
    trail_rewind(mark);
    return OK;
}

static err read_back(struct rehearsing *h)
{
    const struct config *c = h->backup->config;
    TRY(find_newest(h));
    TRY(ask_live(h));
    TRY(read_keys(h));
    return backup_moved(h->to, backup_read_back(&(struct backup_reading){.backup = h->backup,
                                                                         .destination = h->destination,
                                                                         .record = h->record,
                                                                         .keys = &h->keys,
                                                                         .level = 4,
                                                                         .scratch = c->backup.scratch,
                                                                         .scratch_max = (uint64_t)c->backup.scratch_max,
                                                                         .deadline = loop_now() + c->backup.total_timeout_ms,
                                                                         .watcher = h->watcher},
                                                &h->result));
}

static err verdict_of(struct rehearsing *h)
{
    const struct backup_verification *v = &h->result.verification;
    const char *why = v->finding_count ? v->findings[0].text : h->record->rehearsal.reason;
    switch (v->verdict) {
    case VERDICT_GOOD:
        learn(h);
        return write_record(h);
    case VERDICT_BAD:
        TRY(set_aside(h));
        return trail(E_CORRUPT, "%s is damaged: %s", h->record->path, why);
    case VERDICT_UNKNOWN:
    default:
        TRY(write_record(h));
        return trail(strcmp(v->reason, "memory") == 0 ? E_BUDGET : E_IO, "%s could not be judged: %s", h->record->path, why);
    }
}

static err rehearse(struct rehearsing *h)
{
    ms began = loop_now();
    TRY(read_back(h));
    conclude(h, began);
    h->judged = true;
    err e = verdict_of(h);
    if (e != E_CANCELED)
        rehearse_metrics_set(h->to, h->record);
    return e;
}

/* A damaged one is told as a failed backup is, and another is taken soon. */
static void tell_bad(struct rehearsing *h, err e)
{
    char words[256], reason[BACKUP_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s", h->result.verification.reason);
    (void)snprintf(h->to->failed_words, sizeof h->to->failed_words, "a backup was damaged since it was taken: %.20s", reason);
    backup_failed(h->backup, h->to, reason, trail_text(e, words, sizeof words));
    (void)plan_failed(h->backup, h->to);
}

static err finish(struct rehearsing *h, err e)
{
    char reason[BACKUP_REASON_MAX];
    if (e == E_CANCELED)
        return e;
    rehearse_done(h->to, e);
    if (e == OK || e == E_ABSENT)
        return e;
    backup_reason_of(e, reason);
    rehearse_metrics_failed(h->to, h->judged ? h->record->rehearsal.reason : reason);
    if (h->result.verification.verdict == VERDICT_BAD)
        tell_bad(h, e);
    return trail(e, "rehearsing %s", h->to->config->name);
}

err backup_rehearse(struct backup *b, unsigned destination, const struct backup_watcher *w, struct backup_record *out)
{
    *out = (struct backup_record){.took_ms = -1};
    TRY(backup_begin(b, destination));
    struct rehearsing *h = calloc(1, sizeof *h);
    err e = h ? OK : E_BUDGET;
    if (h) {
        h->backup = b;
        h->destination = destination;
        h->to = &b->destinations[destination];
        h->watcher = w;
        h->record = out;
        e = finish(h, rehearse(h));
        backup_keys_wipe(&h->keys);
        free(h);
    }
    backup_end(b, destination);
    if (e != E_CANCELED)
        cache_renew(b, &b->destinations[destination]);
    return e;
}
