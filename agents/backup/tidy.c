/* tidy: what killed runs left behind goes; snapshots nobody speaks for are verified and given their record. Nothing good is ever
 * removed here: a snapshot that is found damaged is set aside as NAME.bad. */
#include "agents/backup/verify.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- unfinished files --- */

/* Where files cannot be locked, one older than any run can last is a leftover. */
static err remove_by_age(struct backup *b, struct backup_destination *to, const char *path)
{
    struct os_stat stat;
    TRY(file_stat(&to->lane, path, loop_now() + BACKUP_DISK_MS_MAX, &stat));
    if (loop_wall_ms() - stat.modified_ms < b->config->backup.total_timeout_ms)
        return E_BUSY;
    return file_remove(&to->lane, path, loop_now() + BACKUP_DISK_MS_MAX);
}

static err remove_leftover(struct backup *b, struct backup_destination *to, const char *name)
{
    char path[OS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", to->config->path, name);
    if (n <= 0 || (size_t)n >= sizeof path)
        return OK;
    err e = file_remove_leftover(&to->lane, path, loop_now() + BACKUP_DISK_MS_MAX);
    if (e == E_UNSUPPORTED)
        e = remove_by_age(b, to, path);
    if (e == OK)
        log_info("removed what an interrupted backup left", F("path", path));
    else if (e != E_BUSY && e != E_ABSENT && e != E_CANCELED)
        log_warn("cannot remove what an interrupted backup left", F("path", path), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

/* --- snapshots without a word --- */

static bool lacks_record(const struct backup_record *r)
{
    static const char *const reasons[] = {"no-record", "record", "changed"};
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (strcmp(r->verification.reason, reasons[i]) == 0)
            return true;
    return false;
}

static bool may_reach_more(const struct backup_record *r)
{
    return r->verification.verdict == VERDICT_UNKNOWN && r->verification.level < 4;
}

static err set_aside(struct backup_destination *to, struct backup_record *r)
{
    char bad[OS_PATH_MAX];
    TRY(backup_path(to, r->taken_at_s, NAME_BAD, bad));
    TRY(file_rename_new(&to->lane, r->path, bad, loop_now() + BACKUP_DISK_MS_MAX));
    memcpy(r->path, bad, sizeof bad);
    return OK;
}

static err conclude(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *r)
{
    struct backup_verification *v = &r->verification;
    bool is_bad = !(entry->kinds & NAME_SNAPSHOT);
    if (is_bad && v->verdict == VERDICT_GOOD)
        backup_finding_add(v, "set-aside", 0, "it failed a verification before; this one found nothing");
    if (v->verdict == VERDICT_UNKNOWN) {
        log_warn("a snapshot could not be verified", F("path", r->path), F("reason", v->reason),
                 F("why", v->finding_count ? v->findings[0].text : ""));
        return OK;
    }
    if (v->verdict == VERDICT_BAD && !is_bad)
        TRY(set_aside(to, r));
    TRY(backup_record_write(&to->lane, r, loop_now() + BACKUP_DISK_MS_MAX));
    if (v->verdict == VERDICT_BAD)
        log_error("a snapshot is damaged", F("path", r->path), F("reason", v->reason),
                  F("why", v->finding_count ? v->findings[0].text : ""));
    else
        log_info("a snapshot was verified", F("path", r->path), F_U64("keys", v->keys));
    return OK;
}

static err verify_entry(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *r)
{
    struct verifier *v = NULL;
    err e = verifier_run(&to->lane, &to->second, r->path, 4, NULL, &r->verification, &v);
    verifier_close(v);
    return e == OK ? conclude(to, entry, r) : e;
}

static err look_at(struct backup_destination *to, const struct backup_entry *entry, bool unknown_too, struct backup_record *r)
{
    err e = catalogue_record(to, entry, r);
    if (e == OK && (lacks_record(r) || (unknown_too && may_reach_more(r))))
        e = verify_entry(to, entry, r);
    if (e != OK && e != E_CANCELED && e != E_ABSENT)
        log_warn("cannot look after a snapshot", F("path", r->path), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

static err look_at_all(struct backup_destination *to, const struct catalogue *c, bool unknown_too)
{
    struct backup_record *r = malloc(sizeof *r);
    if (!r)
        return E_BUDGET;
    err e = OK;
    for (size_t i = 0; e == OK && i < c->count; i++) {
        const struct backup_entry *entry = &c->entries[i];
        if (entry->kinds & (NAME_SNAPSHOT | NAME_BAD))
            e = look_at(to, entry, unknown_too, r);
        else if (!c->cut) /* a record whose snapshot has gone */
            e = backup_remove(to, entry);
        pulse_beat(TASK_BACKUP, loop_now());
        fiber_breathe();
    }
    free(r);
    return e;
}

/* --- only the newest damaged one stays --- */

static err remove_older(struct backup_destination *to, const struct catalogue *c)
{
    const struct backup_entry *newer = NULL;
    for (size_t i = c->count; i-- > 0;) {
        const struct backup_entry *entry = &c->entries[i];
        if (!(entry->kinds & NAME_BAD) || (entry->kinds & NAME_SNAPSHOT))
            continue;
        if (newer)
            TRY(backup_remove(to, entry));
        newer = entry;
    }
    return OK;
}

err backup_keep_newest_bad(struct backup_destination *to)
{
    struct catalogue c;
    err e = catalogue_open(to, &c);
    if (e == OK && !c.cut)
        e = remove_older(to, &c);
    catalogue_close(&c);
    return e;
}

/* --- the whole --- */

err backup_tidy_now(struct backup *b, struct backup_destination *to, bool unknown_too)
{
    struct catalogue c;
    uint64_t mark = trail_mark();
    err e = catalogue_open(to, &c);
    if (e == E_ABSENT) { /* the first run makes it */
        trail_rewind(mark);
        return OK;
    }
    for (size_t i = 0; e == OK && i < c.leftover_count; i++)
        e = remove_leftover(b, to, c.leftovers[i]);
    if (e == OK)
        e = look_at_all(to, &c, unknown_too);
    catalogue_close(&c);
    return e == OK ? backup_keep_newest_bad(to) : e;
}

err backup_tidy(struct backup *b, unsigned destination)
{
    TRY(backup_begin(b, destination));
    err e = backup_tidy_now(b, &b->destinations[destination], false);
    backup_end(b, destination);
    return e;
}
