/* schedule: one fiber, all destinations, for ever. */
#include "agents/backup/place.h"
#include "agents/backup/plan.h"
#include "agents/backup/rehearse.h"
#include "agents/backup/scratch.h"

#include "board/rt/log.h"

#include <stdlib.h>
#include <string.h>

#define ROUND_MS_MAX HOURS(1)
#define LOOK_MS_MAX  MINUTES(1) /* the wall clock may be set at any moment: it is read again at least so often */

/* --- what is there --- */

/* What a hub before this one achieved is not forgotten: an alert on its age must not fire at every restart. Only what is good
 * counts as a run; what could not be verified just now is tried again first. An error when no good one was found because not all
 * could be looked at. */
static err remember(struct backup *b, struct backup_destination *to, const struct catalogue *c, struct backup_record *r)
{
    int64_t newest_s = 0, good_s = 0;
    err missed = OK;
    to->unread.at_s = 0;
    for (size_t i = c->count; i-- > 0 && good_s == 0;) {
        if (!(c->entries[i].kinds & NAME_SNAPSHOT))
            continue;
        err e = catalogue_record(to, &c->entries[i], r);
        if (e == E_CANCELED)
            return e;
        if (e != OK && e != E_ABSENT)
            missed = e;
        if (e == OK && r->verification.verdict == VERDICT_BAD) /* its name does not tell where names are kept */
            continue;
        if (e == OK && r->verification.verdict == VERDICT_GOOD) {
            good_s = r->taken_at_s;
            backup_metrics_done(to, r);
        } else if (e == OK && newest_s == 0 && !place_keeps_names(to->place, &c->entries[i])) {
            to->unread = c->entries[i]; /* what is packed or far away is not verified by trying again */
        }
        if (e == OK && newest_s == 0)
            backup_metrics_kept(to, r);
        newest_s = newest_s ? newest_s : c->entries[i].at_s;
        fiber_breathe();
    }
    trail_clear();
    plan_first(b, to, to->unread.at_s ? to->unread.at_s : good_s);
    if (to->unread.at_s)
        (void)plan_kept(b, to);
    stale_found(to, good_s);
    return good_s ? OK : missed;
}

struct recalling {
    struct backup_destination *to;
    int64_t good_s;
};

static err recall_one(void *arg, struct backup_record *r)
{
    struct recalling *c = arg;
    backup_metrics_kept(c->to, r);
    if (r->verification.verdict != VERDICT_GOOD)
        return OK;
    c->good_s = r->taken_at_s;
    backup_metrics_done(c->to, r);
    return OK;
}

/* As the last hub knew it. The next run is due as if nothing were there: it tells whether the destination can be written. */
static void recall(struct backup *b, struct backup_destination *to)
{
    struct recalling c = {.to = to};
    cache_recall(b, to, "", recall_one, &c);
    stale_found(to, c.good_s);
}

static err look(struct backup *b, struct backup_destination *to)
{
    struct catalogue c = {0};
    struct backup_record *r = malloc(sizeof *r);
    err e = r ? catalogue_open(to, &c) : E_BUDGET;
    if (e != OK && e != E_ABSENT && e != E_CANCELED) /* absent: the first run makes it */
        log_warn("cannot list the destination", F("destination", to->config->name), F("path", to->config->path), F_ERR(e));
    trail_clear();
    if (e == OK)
        e = remember(b, to, &c, r);
    if (e != OK && e != E_CANCELED)
        recall(b, to);
    catalogue_close(&c);
    free(r);
    return e == E_CANCELED ? e : OK;
}

static err start(struct backup *b, unsigned i)
{
    struct backup_destination *to = &b->destinations[i];
    plan_first(b, to, 0);
    stale_found(to, 0);
    err e = backup_begin(b, i);
    bool begun = e == OK; /* else a command is at work there */
    if (begun)
        e = backup_tidy_now(b, to, true);
    bool refused = e == E_DENIED && !place_folder(to->place); /* the list will be too, and tells it */
    if (begun && e != OK && e != E_CANCELED && !refused)
        log_warn("cannot tidy the destination", F("destination", to->config->name), F_ERR(e));
    trail_clear();
    e = e == E_CANCELED ? e : look(b, to);
    if (begun)
        backup_end(b, i);
    if (e == OK)
        cache_renew(b, to);
    return e == OK ? rehearse_first(b, i) : e;
}

/* --- a run --- */

static err tell_removal(void *arg, const struct backup_record *r, const char *why, err result)
{
    (void)arg;
    if (result == OK)
        log_info("removed an old backup", F("destination", r->destination), F("file", r->name), F("why", why));
    else
        log_warn("an old backup cannot be removed", F("destination", r->destination), F("file", r->name), F_ERR(result));
    return OK;
}

/* A clock that is not set gives snapshots old names: rules of age are for people then. */
static err prune(struct backup *b, unsigned i)
{
    if (!os_wall_is_trusted())
        return OK;
    err e = backup_begin(b, i);
    if (e == OK) {
        e = backup_tidy_now(b, &b->destinations[i], true);
        if (e == OK)
            e = backup_prune_now(&b->destinations[i], false, tell_removal, NULL);
        backup_end(b, i);
    }
    if (e != E_CANCELED)
        cache_renew(b, &b->destinations[i]);
    bool refused = e == E_DENIED && place_is_write_only(b->destinations[i].place); /* that was told */
    if (e != OK && e != E_CANCELED && !refused)
        log_warn("old backups were not removed", F("destination", b->destinations[i].config->name), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

static void tell_good(const struct backup_record *r)
{
    log_info("backup done", F("destination", r->destination), F("file", r->name), F_U64("bytes", r->verification.bytes),
             F_MS("took", r->took_ms), F("endpoint", r->endpoint), F("sha256", r->verification.sha256),
             F_U64("keys", r->verification.keys), F("hash_kv", r->hash_kv ? "agrees" : r->hash_kv_why));
}

static void tell_failure(struct backup_destination *to, err e, ms wait)
{
    log_error("backup failed", F("destination", to->config->name), F_ERR(e), F_MS("next_try", wait == FOREVER ? -1 : wait));
}

/* E_ABSENT: it is not there any more, or damaged. E_IO: it could still not be verified. */
static err find_good(struct backup_destination *to, struct backup_record *r)
{
    struct catalogue c;
    TRY(catalogue_open(to, &c));
    size_t i = 0;
    while (i < c.count && backup_name_compare(&c.entries[i], &to->unread) != 0)
        i++;
    err e = i < c.count && (c.entries[i].kinds & NAME_SNAPSHOT) ? catalogue_record(to, &c.entries[i], r) : E_ABSENT;
    catalogue_close(&c);
    TRY(e);
    if (r->verification.verdict == VERDICT_BAD)
        return E_ABSENT;
    return r->verification.verdict == VERDICT_GOOD ? OK : trail(E_IO, "%s still cannot be verified", r->path);
}

static err verify_kept(struct backup *b, unsigned i, struct backup_record *r)
{
    struct backup_destination *to = &b->destinations[i];
    TRY(backup_begin(b, i));
    err e = backup_tidy_now(b, to, true);
    if (e == OK)
        e = find_good(to, r);
    if (e == OK) {
        backup_good(b, to, r);
        stale_found(to, r->taken_at_s); /* it is not of now */
        backup_metrics_kept(to, r);
    }
    backup_end(b, i);
    return e;
}

/* What was kept but could not be verified is verified first: another file each time would fill the disk. *run: another one is to
 * be taken, for it is damaged or gone, or the next is due. */
static err again(struct backup *b, unsigned i, struct backup_record *r, bool *run)
{
    struct backup_destination *to = &b->destinations[i];
    bool due = plan_is_due(b, to);
    err e = verify_kept(b, i, r);
    *run = due || e == E_ABSENT;
    if (e == E_CANCELED)
        return e;
    if (e == OK) {
        plan_good(to);
        tell_good(r);
        return *run ? OK : prune(b, i);
    }
    if (e == E_ABSENT)
        to->unread.at_s = 0;
    if (!*run) {
        char words[256];
        backup_failed(b, to, to->failed[0] ? to->failed : "unreadable", trail_text(e, words, sizeof words));
        tell_failure(to, e, plan_kept(b, to));
    }
    trail_clear();
    return OK;
}

/* How old a file of a plain folder may be to be copied: it is of this round. */
static ms round_ms(const struct backup *b)
{
    ms every = b->config->backup.every_ms;
    return every > 0 ? ms_min(every / 2, ROUND_MS_MAX) : ROUND_MS_MAX;
}

/* What was copied is as old as what it was copied from: the next one comes with that one's. */
static void good(struct backup *b, struct backup_destination *to, const struct backup_record *r)
{
    plan_good(to);
    if (r->copied_from[0] && b->fresh.at > 0 && b->config->backup.every_ms > 0)
        to->next_at = b->fresh.at + b->config->backup.every_ms;
    tell_good(r);
}

static err take_one(struct backup *b, unsigned i, struct backup_record *r)
{
    struct backup_destination *to = &b->destinations[i];
    log_info("backup begins", F("destination", to->config->name));
    plan_began(b, to);
    plan_tell(b, to); /* from here on "next" is the one after this */
    err e = backup_take_since(b, i, 4, loop_now() - round_ms(b), NULL, r);
    if (e == E_CANCELED)
        return e;
    if (e == OK) {
        good(b, to, r);
        return prune(b, i);
    }
    if (e == E_BUSY && to->busy)
        log_info("another backup is at work there: this one is left out", F("destination", to->config->name));
    else
        tell_failure(to, e, r->path[0] && r->verification.verdict == VERDICT_UNKNOWN ? plan_kept(b, to) : plan_failed(b, to));
    return OK;
}

static err run_one(struct backup *b, unsigned i, struct backup_record *r)
{
    struct backup_destination *to = &b->destinations[i];
    bool run = true;
    if (to->unread.at_s)
        TRY(again(b, i, r, &run));
    if (run)
        TRY(take_one(b, i, r));
    plan_tell(b, to);
    return OK;
}

/* --- for ever --- */

/* Of two that are due now: plain folders first, the others copy from them; then the one that ran least recently: a run may last
 * as long as `every`. */
static bool goes_before(const struct backup_destination *a, const struct backup_destination *b)
{
    bool plain = backup_is_plain(a->config);
    return plain != backup_is_plain(b->config) ? plain : a->began_at < b->began_at;
}

/* The destination that is due first, and how long that is. */
static unsigned earliest(struct backup *b, ms *wait)
{
    unsigned first = 0;
    *wait = FOREVER;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        ms one = plan_wait(b, &b->destinations[i]);
        stale_look(b, &b->destinations[i]);
        plan_tell(b, &b->destinations[i]);
        if (one < *wait || (one == 0 && goes_before(&b->destinations[i], &b->destinations[first]))) {
            *wait = one;
            first = i;
        }
    }
    return first;
}

static err run_all(struct backup *b, struct backup_record *r)
{
    cache_forget_others(b);
    TRY(scratch_tidy(b));
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        TRY(start(b, i));
    for (;;) {
        ms wait = FOREVER;
        unsigned i = earliest(b, &wait);
        backup_rest(b);
        backup_round(b);
        if (wait > 0 || b->config->backup.destination_count == 0) {
            TRY(rehearse_turn(b, r, &wait)); /* never before a backup that is due */
            if (wait > 0)
                TRY(fiber_sleep(loop_now() + ms_min(wait, LOOK_MS_MAX)));
            continue;
        }
        TRY(run_one(b, i, r));
    }
}

err backup_schedule(void *arg)
{
    struct backup *b = arg;
    struct backup_record *r = malloc(sizeof *r);
    err e = r ? run_all(b, r) : trail(E_BUDGET, "no memory for the schedule");
    free(r);
    return e;
}

bool backup_is_well(void *arg, struct text *why)
{
    const struct backup *b = arg;
    bool well = true;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        const struct backup_destination *to = &b->destinations[i];
        if (!to->failed[0] && !to->stale)
            continue;
        text_addf(why, "%s%s: %s%s%s", well ? "" : "; ", to->config->name, to->failed_words,
                  to->failed[0] && to->stale ? ", " : "", to->stale ? "the newest good backup is too old" : "");
        well = false;
    }
    return well;
}
