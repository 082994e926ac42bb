/* take: one snapshot into one directory. */
#include "agents/backup/hash_kv.h"
#include "agents/backup/plan.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CLASHES_MAX 5

/* The configuration was checked when it was read; one made by hand may be wrong. */
static err read_schedule(struct backup *b)
{
    char words[160];
    struct text why = text_over(words, sizeof words);
    if (b->config->backup.every_ms > 0)
        return OK;
    err e = cron_parse(bytes_of(b->config->backup.schedule), &b->cron, &why);
    return trail(e, "backup.schedule \"%s\": %s", b->config->backup.schedule, words);
}

err backup_open(const struct backup_options *o, struct backup **out)
{
    *out = NULL;
    struct backup *b = calloc(1, sizeof *b);
    if (!b)
        return E_BUDGET;
    b->options = *o;
    b->config = o->config;
    err e = read_schedule(b);
    if (e != OK) {
        free(b);
        return e;
    }
    sem_init_count(&b->one, 1);
    lane_open(&b->files, "backup certificates", TASK_BACKUP, 1);
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        struct backup_destination *to = &b->destinations[i];
        to->config = &b->config->backup.destinations[i];
        lane_open(&to->lane, to->config->name, TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
        lane_open(&to->second, to->config->name, TASK_BACKUP, 1);
        e = backup_metrics_open(to);
        if (e != OK)
            log_warn("backup metrics are incomplete", F("destination", to->config->name), F_ERR(e));
    }
    *out = b;
    return OK;
}

void backup_close(struct backup *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        backup_metrics_close(&b->destinations[i]);
        lane_close(&b->destinations[i].second);
        lane_close(&b->destinations[i].lane);
    }
    lane_close(&b->files);
    free(b);
}

err backup_begin(struct backup *b, unsigned destination)
{
    ASSERT(destination < b->config->backup.destination_count);
    struct backup_destination *to = &b->destinations[destination];
    if (to->busy)
        return trail(E_BUSY, "another run writes into %s", to->config->name);
    to->busy = true;
    err e = sem_take(&b->one, FOREVER); /* each run before it has a deadline */
    if (e != OK)
        to->busy = false;
    else
        pulse_beat(TASK_BACKUP, loop_now());
    to->at_work = e == OK;
    return e;
}

void backup_end(struct backup *b, unsigned destination)
{
    b->destinations[destination].busy = b->destinations[destination].at_work = false;
    backup_rest(b);
    sem_give(&b->one);
    backup_round(b);
}

err backup_moved(const struct backup_destination *to, err e)
{
    if (to->at_work)
        pulse_beat(TASK_BACKUP, loop_now());
    return e;
}

void backup_rest(const struct backup *b)
{
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        if (b->destinations[i].at_work)
            return;
    pulse_rest(TASK_BACKUP);
}

struct run { /* one snapshot in the making */
    struct backup *backup;
    struct backup_destination *to;
    const struct backup_watcher *watcher;
    struct backup_record *record;
    struct etcd *etcd;
    struct etcd_snapshot *stream;
    struct backup_intake intake;
    ms began, deadline; /* deadline: of all until the stream has ended; FOREVER then */
    unsigned level;
    bool recorded;
};

static ms disk_deadline(const struct run *r)
{
    return ms_min(r->deadline, loop_now() + BACKUP_DISK_MS_MAX);
}

static err check_space(struct run *r, const struct etcd_status *status)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    TRY(backup_moved(r->to, file_space(&r->to->lane, r->to->config->path, disk_deadline(r), &free_bytes, &total_bytes)));
    if (status->db_bytes > 0 && free_bytes < (uint64_t)status->db_bytes + SHA256_BYTES)
        return trail(E_NOSPACE, "%s has %llu bytes free, the database has %llu", r->to->config->path,
                     (unsigned long long)free_bytes, (unsigned long long)status->db_bytes);
    return OK;
}

static void record_begin(struct run *r, const struct etcd_status *status)
{
    struct backup_record *record = r->record;
    record->cluster_id = status->cluster_id;
    record->member_id = status->member_id;
    (void)snprintf(record->etcd_version, sizeof record->etcd_version, "%s", status->version);
    (void)snprintf(record->endpoint, sizeof record->endpoint, "%s", etcd_endpoint(r->etcd));
}

static bool is_bad(const struct run *r)
{
    return r->record->verification.verdict == VERDICT_BAD;
}

static err record_name(struct run *r)
{
    struct backup_entry entry = backup_entry_of(r->record);
    backup_name(&entry, NAME_SNAPSHOT, r->record->name);
    return backup_path(r->to, &entry, is_bad(r) ? NAME_BAD : NAME_SNAPSHOT, r->record->path);
}

static err connect_source(struct run *r)
{
    struct etcd_status status;
    TRY(backup_moved(r->to, backup_source_open(r->backup, disk_deadline(r), &r->etcd)));
    TRY(backup_moved(r->to, etcd_connect_best(r->etcd, r->deadline, &status)));
    record_begin(r, &status);
    TRY(backup_moved(r->to, file_make_folder(&r->to->lane, r->to->config->path, disk_deadline(r))));
    return check_space(r, &status);
}

static err next_piece(struct run *r, struct bytes *blob, uint64_t *remaining, bool *more)
{
    ms idle_ms = r->backup->config->backup.idle_timeout_ms;
    if (idle_ms > mem_profile()->task[TASK_BACKUP].stall_ms_max / 2) /* the owner allows a longer silence than a stall is */
        pulse_rest(TASK_BACKUP);
    err e = etcd_snapshot_next(r->stream, idle_ms, blob, remaining, more);
    if (e == E_TIMEOUT)
        return loop_now() >= r->deadline
                   ? trail(e, "not done within backup.total_timeout")
                   : trail(e, "no byte from etcd for %lld s (backup.idle_timeout)", (long long)(idle_ms / 1000));
    return e;
}

static err receive(struct run *r)
{
    uint64_t remaining = 0;
    TRY(etcd_snapshot_start(r->etcd, r->deadline, &r->stream));
    for (;;) {
        struct bytes blob;
        bool more = false;
        TRY(backup_moved(r->to, next_piece(r, &blob, &remaining, &more)));
        if (!more)
            return OK;
        TRY(backup_moved(r->to, intake_add(&r->intake, blob, disk_deadline(r))));
        if (r->watcher)
            r->watcher->progress(r->watcher->arg, "snapshot", r->intake.trailer.total_bytes,
                                 r->intake.trailer.total_bytes + remaining);
        fiber_breathe();
    }
}

/* --- its name --- */

static err is_there(struct run *r, enum backup_name_kind kind, bool *there)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    struct backup_entry entry = backup_entry_of(r->record);
    uint64_t mark = trail_mark();
    TRY(backup_path(r->to, &entry, kind, path));
    err e = backup_moved(r->to, file_stat(&r->to->lane, path, disk_deadline(r), &stat));
    *there = e == OK;
    if (e != E_ABSENT)
        return e;
    trail_rewind(mark);
    return OK;
}

/* A snapshot and a damaged one of the same second would share a record; a record that is there without either is of a file that
 * has gone, and must not speak for this one. */
static err take_name(struct run *r, bool *taken)
{
    bool record = false;
    char path[OS_PATH_MAX];
    TRY(is_there(r, is_bad(r) ? NAME_SNAPSHOT : NAME_BAD, taken));
    if (*taken)
        return OK;
    TRY(is_there(r, NAME_RECORD, &record));
    if (record) {
        TRY(is_there(r, is_bad(r) ? NAME_BAD : NAME_SNAPSHOT, taken));
        if (*taken)
            return OK;
        struct backup_entry entry = backup_entry_of(r->record);
        TRY(backup_path(r->to, &entry, NAME_RECORD, path));
        TRY(backup_moved(r->to, file_remove(&r->to->lane, path, disk_deadline(r))));
    }
    err e = backup_moved(r->to, writer_commit(r->intake.writer, disk_deadline(r)));
    *taken = e == E_EXISTS;
    return e == E_EXISTS ? OK : e;
}

/* Two snapshots begun in one second: the later one takes the next second's name, once that has come. By the clock that does not
 * jump: the other one may have been told a day ahead, or stand still. */
static err commit(struct run *r)
{
    for (unsigned i = 0;; i++) {
        bool taken = false;
        TRY(record_name(r));
        TRY(writer_rename(r->intake.writer, r->record->path));
        TRY(take_name(r, &taken));
        if (!taken)
            return OK;
        if (i == NAME_CLASHES_MAX)
            return trail(E_EXISTS, "%s", r->record->path);
        r->record->taken_at_s++;
        ms wait = r->record->taken_at_s * 1000 - loop_wall_ms();
        if (wait > 0)
            TRY(fiber_sleep(loop_now() + ms_min(wait, SECONDS(1))));
    }
}

/* --- the whole --- */

static err keep(struct run *r)
{
    TRY(commit(r));
    TRY(backup_moved(r->to, backup_record_write(&r->to->lane, r->record, disk_deadline(r))));
    r->recorded = true;
    backup_metrics_kept(r->to, r->record);
    const struct backup_verification *v = &r->record->verification;
    if (v->verdict == VERDICT_UNKNOWN && r->level > v->level)
        return trail(strcmp(v->reason, "memory") == 0 ? E_BUDGET : E_IO,
                     "the snapshot is kept as %s, but could not be verified: %s", r->record->path,
                     v->finding_count ? v->findings[0].text : v->reason);
    if (!is_bad(r))
        return OK;
    err e = backup_keep_newest_bad(r->to);
    if (e != OK && e != E_CANCELED)
        log_warn("an older damaged snapshot could not be removed", F("destination", r->to->config->name), F_ERR(e));
    return trail(E_CORRUPT, "the snapshot is damaged, kept as %s: %s", r->record->path,
                 v->finding_count ? v->findings[0].text : v->reason);
}

static void level_reached(struct backup_verification *v)
{
    if (v->verdict == VERDICT_UNKNOWN && !v->reason[0])
        (void)snprintf(v->reason, sizeof v->reason, "level"); /* less was asked */
}

static void hang_up(struct run *r)
{
    etcd_snapshot_end(r->stream);
    etcd_close(r->etcd);
    r->stream = NULL;
    r->etcd = NULL;
}

/* From the disk, before it gets its name. */
static err verify(struct run *r)
{
    struct backup_verification *v = &r->record->verification;
    struct verifier *verifier = NULL;
    err e =
        verifier_run(&r->to->lane, &r->to->second, writer_temporary_path(r->intake.writer), r->level, r->watcher, v, &verifier);
    if (e == OK && v->verdict == VERDICT_GOOD)
        e = backup_hash_kv(r->backup, verifier, r->record);
    verifier_close(verifier);
    return e;
}

static err take(struct run *r)
{
    TRY(connect_source(r));
    TRY(record_name(r));
    TRY(backup_moved(r->to, intake_open(&r->intake, &r->to->lane, r->record->path, disk_deadline(r))));
    TRY(receive(r));
    r->deadline = FOREVER;
    TRY(backup_moved(r->to, intake_check(&r->intake, disk_deadline(r), &r->record->verification)));
    hang_up(r); /* its memory is the verification's */
    if (r->level > 2)
        TRY(verify(r));
    else
        level_reached(&r->record->verification);
    r->record->took_ms = loop_now() - r->began;
    return keep(r);
}

/* A clock that is not set stands at its floor: seconds since boot then tell one snapshot from the next. */
static int64_t begin_s(ms now)
{
    return (loop_wall_ms() + (os_wall_is_trusted() ? 0 : now)) / 1000;
}

void backup_good(struct backup *b, struct backup_destination *to, const struct backup_record *r)
{
    to->failed[0] = to->failed_words[0] = 0;
    to->unread.at_s = 0;
    to->has_run = true;
    stale_renewed(to, r->taken_at_s);
    backup_metrics_done(to, r);
    if (b->options.events.done)
        b->options.events.done(b->options.events.arg, r);
}

void backup_failed(struct backup *b, struct backup_destination *to, const char *reason, const char *words)
{
    if (reason != to->failed)
        (void)snprintf(to->failed, sizeof to->failed, "%s", reason);
    to->has_run = true;
    backup_metrics_failed(to, to->failed);
    if (b->options.events.failed)
        b->options.events.failed(b->options.events.arg, to->config->name, to->failed, words);
}

void backup_round(struct backup *b)
{
    if (!b->options.events.round)
        return;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        if (b->destinations[i].busy || plan_wait(b, &b->destinations[i]) == 0)
            return;
    b->options.events.round(b->options.events.arg);
}

static err finish(struct run *r, err e)
{
    struct backup_destination *to = r->to;
    const struct backup_record *record = r->record;
    char words[256], reason[BACKUP_REASON_MAX];
    if (e == E_CANCELED)
        return e;
    if (e == OK) { /* less may have been asked than what says that all is well */
        if (record->verification.verdict == VERDICT_GOOD)
            backup_good(r->backup, to, record);
        return OK;
    }
    backup_reason_of(e, reason);
    if (r->recorded)
        (void)snprintf(reason, sizeof reason, "%s", record->verification.reason);
    if (r->recorded && !is_bad(r))
        to->unread = backup_entry_of(record);
    (void)snprintf(to->failed_words, sizeof to->failed_words, "%s%s%s", err_text(e), r->recorded ? ": " : "",
                   r->recorded ? reason : "");
    backup_failed(r->backup, to, reason, trail_text(e, words, sizeof words));
    return trail(e, "backup into %s", record->destination);
}

err backup_take(struct backup *b, unsigned destination, unsigned level, const struct backup_watcher *w, struct backup_record *out)
{
    ms began = loop_now();
    *out = (struct backup_record){.taken_at_s = begin_s(began), .took_ms = -1};
    (void)snprintf(out->destination, sizeof out->destination, "%s", b->config->backup.destinations[destination].name);
    TRY(backup_begin(b, destination));
    struct run r = {.backup = b,
                    .to = &b->destinations[destination],
                    .watcher = w,
                    .record = out,
                    .began = began,
                    .level = level,
                    .deadline = loop_now() + b->config->backup.total_timeout_ms};
    out->taken_at_s = begin_s(loop_now());
    err e = take(&r);
    intake_close(&r.intake);
    hang_up(&r);
    if (!r.recorded)
        out->path[0] = 0;
    e = finish(&r, e);
    backup_end(b, destination);
    if (r.recorded && e != E_CANCELED)
        cache_renew(b, r.to);
    return e;
}
