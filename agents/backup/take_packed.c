/* take_packed: as one object of a place, packed on the way: it appears whole and verified as far as can be, or not at all. */
#include "agents/backup/pack.h"
#include "agents/backup/place.h"
#include "agents/backup/scratch.h"
#include "agents/backup/take.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MS_MAX SECONDS(4) /* of a run that is canceled */

/* --- the object on its way --- */

/* A slow network is no stall: the place ends what takes too long. */
static err put_stored(void *arg, struct buf *stored, ms deadline)
{
    struct run *r = arg;
    if (place_folder(r->to->place))
        deadline = ms_min(deadline, run_disk_deadline(r));
    else
        pulse_rest(TASK_BACKUP);
    return backup_moved(r->to, place_put_append(r->put, stored, deadline));
}

static err name_it(struct run *r)
{
    struct place *place = r->to->place;
    uint32_t hub = place_wants_hub_id(place) ? (uint32_t)strtoul(r->backup->options.hub_id, NULL, 16) : 0;
    unsigned form = (r->record->compressed ? FORM_ZSTD : 0u) | (r->record->encrypted ? FORM_AGE : 0u);
    struct backup_entry entry = {.at_s = r->record->taken_at_s, .hub = hub, .form = (uint16_t)form};
    backup_name(&entry, NAME_SNAPSHOT, r->record->name);
    return place_path(place, r->record->name, r->record->path);
}

err run_put_begin(struct run *r)
{
    struct age_recipient recipients[CONFIG_RECIPIENTS_MAX];
    struct pack_form form;
    struct pack *pack = NULL;
    TRY(pack_form_of(r->to->config, recipients, &form));
    r->record->compressed = form.zstd;
    r->record->encrypted = form.recipient_count > 0;
    TRY(name_it(r));
    if (r->to->config->type == DESTINATION_DIRECTORY)
        TRY(backup_moved(r->to, file_make_folder(&r->to->lane, r->to->config->path, run_disk_deadline(r))));
    TRY(backup_moved(r->to, place_put_open(r->to->place, r->record->name, &r->put)));
    TRY(pack_open(&r->to->second, &form, put_stored, r, &pack));
    intake_open_packed(&r->intake, pack);
    return OK;
}

err run_put_end(struct run *r)
{
    struct pack_sums sums;
    TRY(backup_moved(r->to, pack_end(r->intake.pack, r->deadline, &sums)));
    r->record->stored_bytes = sums.stored_bytes;
    hex_encode((struct bytes){sums.stored_sha256, SHA256_BYTES}, r->record->stored_sha256, sizeof r->record->stored_sha256);
    pack_close(r->intake.pack); /* its memory is the verification's */
    r->intake.pack = NULL;
    return OK;
}

/* In a folder the name can still be another; where it cannot, the whole is done again. */
static err commit(struct run *r, bool renames)
{
    struct place_object object = {.bytes = 0};
    for (unsigned i = 0;; i++) {
        pulse_rest(TASK_BACKUP);
        err e = backup_moved(r->to, place_put_commit(r->put, &object));
        if (e == OK)
            (void)snprintf(r->record->etag, sizeof r->record->etag, "%s", object.etag);
        if (e != E_EXISTS || !renames || i == RUN_NAME_CLASHES_MAX)
            return e;
        TRY(run_next_second(r));
        TRY(name_it(r));
        e = place_put_rename(r->put, r->record->name);
        if (e != OK)
            return e == E_UNSUPPORTED ? trail(E_EXISTS, "%s", r->record->path) : e;
    }
}

/* Who cancels waits for it, a little: what is there and has no record is nobody's. */
static err write_record(struct run *r)
{
    err e = backup_moved(r->to, backup_record_write(r->to, r->record));
    if (e != E_CANCELED)
        return e;
    uint64_t mark = trail_mark();
    fiber_shield();
    if (backup_record_write_by(r->to, r->record, loop_now() + RECORD_MS_MAX) == OK)
        place_put_recorded(r->put);
    fiber_unshield();
    trail_rewind(mark);
    return E_CANCELED;
}

err run_put_keep(struct run *r, bool renames)
{
    r->record->took_ms = loop_now() - r->began;
    TRY(commit(r, renames));
    TRY(write_record(r));
    r->recorded = true;
    place_put_recorded(r->put);
    backup_metrics_kept(r->to, r->record);
    return OK;
}

/* --- how good it is --- */

/* What the stream itself told is good: it has its digest. */
static void without_scratch(struct backup_verification *v)
{
    v->verdict = VERDICT_GOOD;
    (void)snprintf(v->reason, sizeof v->reason, "%s", BACKUP_NO_SCRATCH);
}

static err damaged(const struct backup_verification *v)
{
    return trail(E_CORRUPT, "the snapshot is damaged, nothing was stored: %s",
                 v->finding_count ? v->findings[0].text : v->reason);
}

/* A temporary file that cannot be read, or is not what was written, says nothing of the snapshot. */
err run_verify_copy(struct run *r, struct lane *first, struct lane *second, const struct writer *copy)
{
    struct backup_verification *v = &r->record->verification, streamed = *v;
    if (r->level <= 2) {
        run_level_reached(r);
        return OK;
    }
    if (!copy) {
        without_scratch(v);
        return OK;
    }
    TRY(run_verify(r, first, second, writer_temporary_path(copy)));
    if (v->verdict == VERDICT_GOOD)
        return OK;
    if (v->verdict == VERDICT_BAD && v->level >= 2)
        return damaged(v);
    log_warn("the copy of a snapshot could not be verified", F("path", writer_temporary_path(copy)), F("reason", v->reason),
             F("why", v->finding_count ? v->findings[0].text : ""));
    *v = streamed;
    without_scratch(v);
    return OK;
}

err run_check_stream(struct run *r)
{
    TRY(backup_moved(r->to, intake_check(&r->intake, r->deadline, &r->record->verification)));
    return run_is_bad(r) ? damaged(&r->record->verification) : OK;
}

/* --- how fast it was --- */

void run_judge_rate(struct run *r)
{
    const struct config *c = r->backup->config;
    bool slow = run_was_slow(r);
    if (slow && !*c->backup.stage)
        log_warn("the destination is slow, and etcd keeps old pages meanwhile: set backup.stage",
                 F("destination", r->to->config->name), F_U64("bytes_per_second", r->rate.least),
                 F_U64("min_rate", (uint64_t)c->backup.min_rate));
    r->to->slow = slow && *c->backup.stage;
    series_set(r->to->through_stage, r->to->slow);
}

/* --- from the source --- */

static err scratch_begin(struct run *r)
{
    uint64_t mark = trail_mark();
    if (r->level <= 2)
        return OK;
    err e = scratch_open(r->backup, r->record->taken_at_s, r->db_bytes, run_disk_deadline(r), &r->intake.writer);
    if (e == E_CANCELED)
        return e;
    if (e != OK && e != E_ABSENT)
        log_warn("backup.verify.scratch cannot be used: the snapshot is verified as far as its SHA-256",
                 F("path", r->backup->config->backup.scratch), F_ERR(e));
    trail_rewind(mark);
    return OK;
}

err take_packed(struct run *r)
{
    TRY(run_connect(r));
    TRY(run_put_begin(r));
    TRY(scratch_begin(r));
    err e = run_receive(r, "snapshot");
    run_judge_rate(r);
    TRY(e);
    TRY(run_check_stream(r));
    run_hang_up(r); /* etcd may free its pages while the last part is sent */
    TRY(run_put_end(r));
    r->deadline = FOREVER;
    TRY(run_verify_copy(r, &r->backup->scratch, &r->backup->scratch_second, r->intake.writer));
    return run_put_keep(r, true);
}
