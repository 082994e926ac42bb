/* take_plain: as a plain file of a folder, verified from the disk before it gets its name; a damaged one is kept aside. */
#include "agents/backup/hash_kv.h"
#include "agents/backup/take.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

static err check_space(struct run *r)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    const char *path = r->to->config->path;
    TRY(backup_moved(r->to, file_space(&r->to->lane, path, run_disk_deadline(r), &free_bytes, &total_bytes)));
    if (r->db_bytes > 0 && free_bytes < r->db_bytes + SHA256_BYTES)
        return trail(E_NOSPACE, "%s has %llu bytes free, the database has %llu", path, (unsigned long long)free_bytes,
                     (unsigned long long)r->db_bytes);
    return OK;
}

static err record_name(struct run *r)
{
    struct backup_entry entry = backup_entry_of(r->record);
    backup_name(&entry, NAME_SNAPSHOT, r->record->name);
    return backup_path(r->to, &entry, run_is_bad(r) ? NAME_BAD : NAME_SNAPSHOT, r->record->path);
}

/* --- its name --- */

static err is_there(struct run *r, enum backup_name_kind kind, bool *there)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    struct backup_entry entry = backup_entry_of(r->record);
    uint64_t mark = trail_mark();
    TRY(backup_path(r->to, &entry, kind, path));
    err e = backup_moved(r->to, file_stat(&r->to->lane, path, run_disk_deadline(r), &stat));
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
    TRY(is_there(r, run_is_bad(r) ? NAME_SNAPSHOT : NAME_BAD, taken));
    if (*taken)
        return OK;
    TRY(is_there(r, NAME_RECORD, &record));
    if (record) {
        TRY(is_there(r, run_is_bad(r) ? NAME_BAD : NAME_SNAPSHOT, taken));
        if (*taken)
            return OK;
        struct backup_entry entry = backup_entry_of(r->record);
        TRY(backup_path(r->to, &entry, NAME_RECORD, path));
        TRY(backup_moved(r->to, file_remove(&r->to->lane, path, run_disk_deadline(r))));
    }
    err e = backup_moved(r->to, writer_commit(r->intake.writer, run_disk_deadline(r)));
    *taken = e == E_EXISTS;
    return e == E_EXISTS ? OK : e;
}

/* Two snapshots begun in one second. */
static err commit(struct run *r)
{
    for (unsigned i = 0;; i++) {
        bool taken = false;
        TRY(record_name(r));
        TRY(writer_rename(r->intake.writer, r->record->path));
        TRY(take_name(r, &taken));
        if (!taken)
            return OK;
        if (i == RUN_NAME_CLASHES_MAX)
            return trail(E_EXISTS, "%s", r->record->path);
        TRY(run_next_second(r));
    }
}

/* --- the whole --- */

static err keep(struct run *r)
{
    TRY(commit(r));
    TRY(backup_moved(r->to, backup_record_write(r->to, r->record)));
    r->recorded = true;
    backup_metrics_kept(r->to, r->record);
    const struct backup_verification *v = &r->record->verification;
    if (v->verdict == VERDICT_UNKNOWN && r->level > v->level)
        return trail(strcmp(v->reason, "memory") == 0 ? E_BUDGET : E_IO,
                     "the snapshot is kept as %s, but could not be verified: %s", r->record->path,
                     v->finding_count ? v->findings[0].text : v->reason);
    if (!run_is_bad(r))
        return OK;
    err e = backup_keep_newest_bad(r->to);
    if (e != OK && e != E_CANCELED)
        log_warn("an older damaged snapshot could not be removed", F("destination", r->to->config->name), F_ERR(e));
    return trail(E_CORRUPT, "the snapshot is damaged, kept as %s: %s", r->record->path,
                 v->finding_count ? v->findings[0].text : v->reason);
}

/* From the disk, before it gets its name. */
err run_verify(struct run *r, struct lane *first, struct lane *second, const char *path)
{
    struct backup_verification *v = &r->record->verification;
    struct verifier *verifier = NULL;
    err e = verifier_run(first, second, path, r->level, r->watcher, v, &verifier);
    if (e == OK && v->verdict == VERDICT_GOOD)
        e = backup_hash_kv(r->backup, verifier, r->record);
    verifier_close(verifier);
    return e;
}

err take_plain(struct run *r)
{
    TRY(run_connect(r));
    TRY(backup_moved(r->to, file_make_folder(&r->to->lane, r->to->config->path, run_disk_deadline(r))));
    TRY(check_space(r));
    TRY(record_name(r));
    TRY(backup_moved(r->to, intake_open(&r->intake, &r->to->lane, r->record->path, run_disk_deadline(r))));
    TRY(run_receive(r, "snapshot"));
    r->deadline = FOREVER;
    TRY(backup_moved(r->to, intake_check(&r->intake, run_disk_deadline(r), &r->record->verification)));
    run_hang_up(r); /* its memory is the verification's */
    if (r->level > 2)
        TRY(run_verify(r, &r->to->lane, &r->to->second, writer_temporary_path(r->intake.writer)));
    run_level_reached(r);
    r->record->stored_bytes = r->record->verification.bytes;
    r->record->took_ms = loop_now() - r->began;
    return keep(r);
}
