/* take: one snapshot into one directory. */
#include "agents/backup/backup_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_MS_MAX      SECONDS(60) /* for what is not the stream: open, fsync, rename */
#define NAME_CLASHES_MAX 5

err backup_open(const struct config *c, struct dns *d, struct backup **out)
{
    *out = NULL;
    struct backup *b = calloc(1, sizeof *b);
    if (!b)
        return E_BUDGET;
    b->config = c;
    b->dns = d;
    lane_open(&b->files, "backup certificates", TASK_BACKUP, 1);
    for (unsigned i = 0; i < c->backup.destination_count; i++) {
        struct backup_destination *to = &b->destinations[i];
        to->config = &c->backup.destinations[i];
        lane_open(&to->lane, to->config->name, TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
        err e = backup_metrics_open(to);
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
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        lane_close(&b->destinations[i].lane);
    lane_close(&b->files);
    free(b);
}

struct run { /* one snapshot in the making */
    struct backup *backup;
    struct backup_destination *to;
    const struct backup_watcher *watcher;
    struct backup_record *record;
    struct etcd *etcd;
    struct etcd_snapshot *stream;
    struct backup_intake intake;
    ms deadline; /* of the whole run */
};

static ms disk_deadline(const struct run *r)
{
    return ms_min(r->deadline, loop_now() + DISK_MS_MAX);
}

static err check_space(struct run *r, const struct etcd_status *status)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    TRY(file_space(&r->to->lane, r->to->config->path, disk_deadline(r), &free_bytes, &total_bytes));
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

static err record_name(struct run *r)
{
    struct backup_record *record = r->record;
    backup_name(record->taken_at_s, record->name);
    int n = snprintf(record->path, sizeof record->path, "%s/%s", r->to->config->path, record->name);
    return n > 0 && (size_t)n < sizeof record->path ? OK : trail(E_RANGE, "%s: path too long", r->to->config->path);
}

static err connect_source(struct run *r)
{
    struct etcd_status status;
    TRY(backup_source_open(r->backup, disk_deadline(r), &r->etcd));
    TRY(etcd_connect_any(r->etcd, r->deadline, &status));
    record_begin(r, &status);
    TRY(file_make_folder(&r->to->lane, r->to->config->path, disk_deadline(r)));
    return check_space(r, &status);
}

static err next_piece(struct run *r, struct bytes *blob, uint64_t *remaining, bool *more)
{
    ms idle_ms = r->backup->config->backup.idle_timeout_ms;
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
        TRY(next_piece(r, &blob, &remaining, &more));
        if (!more)
            return OK;
        TRY(intake_add(&r->intake, blob, disk_deadline(r)));
        pulse_beat(TASK_BACKUP, loop_now());
        if (r->watcher)
            r->watcher->progress(r->watcher->arg, r->intake.total_bytes, r->intake.total_bytes + remaining);
        fiber_breathe();
    }
}

/* Two snapshots begun in one second: the later one takes the next second's name, once that has come. By the clock that does not
 * jump: the other one may have been told a day ahead, or stand still. */
static err commit(struct run *r)
{
    for (unsigned i = 0;; i++) {
        err e = writer_commit(r->intake.writer, disk_deadline(r));
        if (e != E_EXISTS || i == NAME_CLASHES_MAX)
            return e;
        r->record->taken_at_s++;
        ms wait = r->record->taken_at_s * 1000 - loop_wall_ms();
        if (wait > 0)
            TRY(fiber_sleep(loop_now() + ms_min(wait, SECONDS(1))));
        TRY(record_name(r));
        TRY(writer_rename(r->intake.writer, r->record->path));
    }
}

static err take(struct run *r)
{
    TRY(connect_source(r));
    TRY(record_name(r));
    TRY(intake_open(&r->intake, &r->to->lane, r->record->path, disk_deadline(r)));
    TRY(receive(r));
    TRY(intake_check(&r->intake, disk_deadline(r), r->record->sha256));
    r->record->bytes = r->intake.total_bytes;
    r->record->db_bytes = r->intake.total_bytes - SHA256_BYTES;
    return commit(r);
}

/* A clock that is not set stands at its floor: seconds since boot then tell one snapshot from the next. */
static int64_t begin_s(ms now)
{
    return (loop_wall_ms() + (os_wall_is_trusted() ? 0 : now)) / 1000;
}

err backup_take(struct backup *b, unsigned destination, const struct backup_watcher *w, struct backup_record *out)
{
    ASSERT(destination < b->config->backup.destination_count);
    ms began = loop_now();
    struct run r = {.backup = b, .to = &b->destinations[destination], .watcher = w, .record = out};
    r.deadline = began + b->config->backup.total_timeout_ms;
    *out = (struct backup_record){.taken_at_s = begin_s(began)};
    (void)snprintf(out->destination, sizeof out->destination, "%s", r.to->config->name);
    err e = take(&r);
    intake_close(&r.intake);
    etcd_snapshot_end(r.stream);
    etcd_close(r.etcd);
    out->took_ms = loop_now() - began;
    if (e != E_CANCELED)
        r.to->last_error = e;
    if (e == OK)
        backup_metrics_done(r.to, out);
    else if (e != E_CANCELED)
        backup_metrics_failed(r.to, e);
    return e == OK || e == E_CANCELED ? e : trail(e, "backup into %s", out->destination);
}
