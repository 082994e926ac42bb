/* take_copy: from a plain file that lies here already: another destination's of this round, or the stage's. */
#include "agents/backup/place.h"
#include "agents/backup/scratch.h"
#include "agents/backup/take.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The plain file at `path`, of which the record says what it is. */
static err send(struct run *r, struct lane *l, const char *path)
{
    struct backup_verification *v = &r->record->verification, known = *v;
    TRY(backup_moved(r->to, source_open_file(l, path, &r->source)));
    TRY(source_connect(r->source, run_disk_deadline(r), r->record, &r->db_bytes));
    TRY(run_put_begin(r));
    err e = run_receive(r, "copy");
    run_judge_rate(r);
    TRY(e);
    TRY(backup_moved(r->to, intake_check(&r->intake, r->deadline, v)));
    if (!run_is_bad(r) && strcmp(v->sha256, known.sha256) != 0)
        backup_finding_add(v, "sha256", 0, "the SHA-256 is not that of its record");
    if (run_is_bad(r))
        return E_CORRUPT;
    *v = known;
    run_hang_up(r);
    return run_put_end(r);
}

/* --- another destination's --- */

/* As a prune does that finds it damaged. */
static err set_aside(struct run *r, struct backup_destination *from, struct backup_record *theirs)
{
    const struct backup_verification *found = &r->record->verification;
    log_error("a backup has been damaged since it was taken", F("path", theirs->path), F("reason", found->reason),
              F("why", found->finding_count ? found->findings[0].text : ""));
    theirs->verification = *found;
    backup_finding_add(&theirs->verification, BACKUP_DAMAGED_LATER, 0, "it was good when it was taken");
    err e = backup_moved(r->to, backup_set_aside(from, theirs));
    if (e == OK)
        e = backup_moved(r->to, backup_record_write(from, theirs));
    if (e != OK && e != E_CANCELED)
        log_warn("it could not be set aside", F("path", theirs->path), F_ERR(e));
    return trail(E_CORRUPT, "%s, which was to be copied, has been damaged since it was taken", theirs->path);
}

static void inherit(struct run *r, const struct backup_record *theirs)
{
    struct backup_record *ours = r->record;
    char destination[CONFIG_NAME_MAX];
    memcpy(destination, ours->destination, sizeof destination);
    *ours = *theirs;
    memcpy(ours->destination, destination, sizeof destination);
    memcpy(ours->copied_from, theirs->destination, sizeof ours->copied_from);
    ours->rehearsal = (struct backup_rehearsal){.at_s = 0};
}

/* E_ABSENT: it is not there any more, or not good. */
static err look(struct backup *b, struct backup_destination *from, struct backup_record *theirs)
{
    TRY(catalogue_record(from, &b->fresh.entry, theirs));
    return theirs->verification.verdict == VERDICT_GOOD && theirs->verification.sha256[0] ? OK : E_ABSENT;
}

static err copy(struct run *r, struct backup_destination *from, struct backup_record *theirs, bool *gone)
{
    err e = look(r->backup, from, theirs);
    *gone = e != OK && e != E_CANCELED;
    TRY(e);
    inherit(r, theirs);
    e = send(r, &from->lane, theirs->path);
    if (e == E_CORRUPT && run_is_bad(r))
        return set_aside(r, from, theirs);
    TRY(e);
    return run_put_keep(r, false);
}

err take_copy(struct run *r, bool *gone)
{
    struct backup *b = r->backup;
    struct backup_record *theirs = malloc(sizeof *theirs);
    int64_t at_s = r->record->taken_at_s;
    *gone = false;
    if (!theirs)
        return E_BUDGET;
    err e = copy(r, &b->destinations[b->fresh.destination], theirs, gone);
    if (e == E_EXISTS) /* it lies there, and nobody speaks for it: another one is taken */
        *gone = true;
    if (e == E_CORRUPT || *gone)
        b->fresh.at = 0;
    if (*gone)
        r->record->taken_at_s = at_s;
    free(theirs);
    return e;
}

/* --- the stage's --- */

static err stage_open(struct run *r)
{
    char path[OS_PATH_MAX];
    struct backup *b = r->backup;
    TRY(backup_moved(
        r->to, scratch_room(&b->stage, b->config->backup.stage, r->record->taken_at_s, r->db_bytes, run_disk_deadline(r), path)));
    return backup_moved(r->to, intake_open(&r->intake, &b->stage, path, run_disk_deadline(r)));
}

/* *gone: there is no room for it, or no such folder. */
static err stage(struct run *r, bool *gone)
{
    struct backup *b = r->backup;
    TRY(run_connect(r));
    err e = stage_open(r);
    *gone = e != OK && e != E_CANCELED;
    TRY(e);
    e = run_receive(r, "snapshot");
    *gone = e == E_NOSPACE;
    TRY(e);
    r->deadline = loop_now() + b->config->backup.total_timeout_ms; /* of the sending */
    TRY(run_check_stream(r));
    run_hang_up(r);
    return run_verify_copy(r, &b->stage, &b->stage_second, r->intake.writer);
}

err take_staged(struct run *r, bool *gone)
{
    TRY(stage(r, gone));
    struct backup_intake staged = r->intake;
    r->intake = (struct backup_intake){.writer = NULL};
    err e = send(r, &r->backup->stage, writer_temporary_path(staged.writer));
    if (e == E_CORRUPT && run_is_bad(r))
        e = trail(e, "the stage gives back other bytes than were written");
    if (e == OK)
        e = run_put_keep(r, true);
    run_hang_up(r); /* before the file it reads */
    intake_close(&staged);
    return e;
}
