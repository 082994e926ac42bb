/* tidy: what killed runs left behind goes; snapshots nobody speaks for are verified and given their record. Nothing good is ever
 * removed here: a snapshot that is found damaged is set aside as NAME.bad. */
#include "agents/backup/place.h"
#include "agents/backup/scratch.h"
#include "agents/backup/verify.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- snapshots without a word --- */

static bool may_reach_more(const struct backup_record *r)
{
    return r->verification.verdict == VERDICT_UNKNOWN && r->verification.level < 4;
}

err backup_set_aside(struct backup_destination *to, struct backup_record *r)
{
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX];
    struct backup_entry entry = backup_entry_of(r);
    if (place_keeps_names(to->place, &entry))
        return OK;
    backup_name(&entry, NAME_BAD, name);
    TRY(place_path(to->place, name, path));
    TRY(place_rename_new(to->place, r->name, name));
    memcpy(r->path, path, sizeof path);
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
        TRY(backup_set_aside(to, r));
    TRY(backup_record_write(to, r));
    if (v->verdict == VERDICT_BAD)
        log_error("a snapshot is damaged", F("path", r->path), F("reason", v->reason),
                  F("why", v->finding_count ? v->findings[0].text : ""));
    else
        log_info("a snapshot was verified", F("path", r->path), F_U64("keys", v->keys));
    return OK;
}

/* A file that cannot be verified is read once a day, not after every run. False: it was tried, or too many others were. */
static bool try_today(struct backup_destination *to, const struct backup_entry *of)
{
    unsigned kept = 0;
    if (backup_name_compare(of, &to->unread) == 0) /* the schedule asks for it, with a back-off of its own */
        return true;
    for (unsigned i = 0; i < to->tried_count; i++)
        if (loop_now() - to->tried[i].when < HOURS(24))
            to->tried[kept++] = to->tried[i];
    to->tried_count = kept;
    for (unsigned i = 0; i < kept; i++)
        if (backup_name_compare(&to->tried[i].of, of) == 0)
            return false;
    if (kept == BACKUP_TRIED_MAX)
        return false;
    to->tried[kept].of = *of;
    to->tried[to->tried_count++].when = loop_now();
    return true;
}

static void tried_well(struct backup_destination *to, const struct backup_entry *of)
{
    for (unsigned i = to->tried_count; i-- > 0;)
        if (backup_name_compare(&to->tried[i].of, of) == 0)
            to->tried[i] = to->tried[--to->tried_count];
}

static err verify_entry(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *r)
{
    struct verifier *v = NULL;
    err e = verifier_run(&to->lane, &to->second, r->path, 4, NULL, &r->verification, &v);
    verifier_close(v);
    if (e != OK)
        return e;
    if (r->verification.verdict != VERDICT_UNKNOWN)
        tried_well(to, entry);
    return conclude(to, entry, r);
}

static err look_at(struct backup_destination *to, const struct backup_entry *entry, bool unknown_too, struct backup_record *r)
{
    err e = catalogue_record(to, entry, r);
    bool plain = !place_keeps_names(to->place, entry); /* a packed or remote one is verified when it is read back */
    if (e == OK && plain && (!backup_has_record(r) || (unknown_too && may_reach_more(r))) && try_today(to, entry))
        e = verify_entry(to, entry, r);
    if (e != OK && e != E_CANCELED && e != E_ABSENT)
        log_warn("cannot look after a snapshot", F("path", r->path), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

/* A record whose snapshot has gone. A list is older at its beginning than at its end: what came in between is looked for. */
static err remove_alone(struct backup_destination *to, const struct backup_entry *entry)
{
    char name[BACKUP_NAME_MAX];
    struct place_object object;
    uint64_t mark = trail_mark();
    backup_name(entry, NAME_SNAPSHOT, name);
    err e = place_stat(to->place, name, &object);
    trail_rewind(mark);
    return e == E_ABSENT ? backup_remove(to, entry) : e == E_CANCELED ? e : OK;
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
        else
            e = remove_alone(to, entry);
        pulse_beat(TASK_BACKUP, loop_now());
        fiber_breathe();
    }
    free(r);
    return e;
}

/* --- of damaged ones the newest stays, and what no newer good one stands in for --- */

#define AHEAD_S_MAX 60 /* a name may be some seconds ahead: see commit() of take.c */

/* One that a wrong clock named for years to come replaces nothing. A clock that is not set stands at its floor: there the
 * seconds since boot count on, as in the names. */
static bool is_ahead(int64_t at_s)
{
    ms now = loop_wall_ms() + (os_wall_is_trusted() ? 0 : loop_now());
    return at_s > now / 1000 + AHEAD_S_MAX;
}

static bool is_bad(const struct backup_entry *entry)
{
    return (entry->kinds & NAME_BAD) && !(entry->kinds & NAME_SNAPSHOT);
}

/* A run of ours that went wrong, as its record tells: nothing was lost with it. What was found, or was good once, may be all
 * there is of that day. */
static bool is_failed_run(const struct backup_record *r)
{
    for (unsigned i = 0; i < r->verification.finding_count; i++)
        if (strcmp(r->verification.findings[i].code, BACKUP_DAMAGED_LATER) == 0)
            return false;
    return r->endpoint[0] && r->verification.verdict == VERDICT_BAD && backup_has_record(r);
}

static err has_newer_good(struct backup_destination *to, const struct catalogue *c, size_t at, struct backup_record *r, bool *has)
{
    for (size_t i = c->count; !*has && i-- > at + 1;) {
        if (!(c->entries[i].kinds & NAME_SNAPSHOT) || is_ahead(c->entries[i].at_s))
            continue;
        TRY(catalogue_record(to, &c->entries[i], r));
        *has = r->verification.verdict == VERDICT_GOOD;
        fiber_breathe();
    }
    return OK;
}

static err remove_older(struct backup_destination *to, const struct catalogue *c, struct backup_record *r)
{
    bool newer_bad = false, newer_good = false; /* once true, for all that are older too */
    for (size_t i = c->count; i-- > 0;) {
        const struct backup_entry *entry = &c->entries[i];
        if (!is_bad(entry) || is_ahead(entry->at_s))
            continue;
        if (newer_bad) {
            TRY(has_newer_good(to, c, i, r, &newer_good));
            TRY(catalogue_record(to, entry, r));
            if (newer_good || is_failed_run(r))
                TRY(backup_remove(to, entry));
        }
        newer_bad = true;
    }
    return OK;
}

err backup_keep_newest_bad(struct backup_destination *to)
{
    struct catalogue c = {0};
    struct backup_record *r = malloc(sizeof *r);
    err e = r ? catalogue_open(to, &c) : E_BUDGET;
    if (e == OK)
        e = remove_older(to, &c, r);
    catalogue_close(&c);
    free(r);
    return e;
}

/* --- the whole --- */

static err look_after(struct backup_destination *to, bool unknown_too)
{
    struct catalogue c;
    TRY(place_tidy(to->place));
    TRY(catalogue_open(to, &c));
    err e = look_at_all(to, &c, unknown_too);
    catalogue_close(&c);
    return e == OK ? backup_keep_newest_bad(to) : e;
}

err backup_tidy_now(struct backup *b, struct backup_destination *to, bool unknown_too)
{
    (void)b;
    uint64_t mark = trail_mark();
    err e = look_after(to, unknown_too);
    if (e != E_ABSENT || !place_folder(to->place))
        return e;
    trail_rewind(mark); /* the first run makes it */
    return OK;
}

err backup_tidy(struct backup *b, unsigned destination)
{
    TRY(backup_begin(b, destination));
    err e = scratch_tidy(b);
    if (e == OK)
        e = backup_tidy_now(b, &b->destinations[destination], false);
    backup_end(b, destination);
    return e;
}
