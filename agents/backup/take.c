/* take: one snapshot into one destination: the story. */
#include "agents/backup/take.h"
#include "agents/backup/place.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

ms run_disk_deadline(const struct run *r)
{
    return ms_min(r->deadline, loop_now() + BACKUP_DISK_MS_MAX);
}

bool run_is_bad(const struct run *r)
{
    return r->record->verification.verdict == VERDICT_BAD;
}

/* The other one of that second may have been told a day ahead, or the clock stand still. */
err run_next_second(struct run *r)
{
    r->record->taken_at_s++;
    ms wait = r->record->taken_at_s * 1000 - loop_wall_ms();
    return wait > 0 ? fiber_sleep(loop_now() + ms_min(wait, SECONDS(1))) : OK;
}

void run_level_reached(struct run *r)
{
    struct backup_verification *v = &r->record->verification;
    if (v->verdict == VERDICT_UNKNOWN && !v->reason[0])
        (void)snprintf(v->reason, sizeof v->reason, "level"); /* less was asked */
}

/* A clock that is not set stands at its floor: seconds since boot then tell one snapshot from the next. */
static int64_t begin_s(ms now)
{
    return (loop_wall_ms() + (os_wall_is_trusted() ? 0 : now)) / 1000;
}

static bool may_copy(const struct run *r)
{
    return r->level > 2 && r->backup->fresh.at > 0 && r->backup->fresh.at >= r->since;
}

/* Nothing is left of what was begun. The copy before the object: its packing fills it. */
static void release(struct run *r)
{
    intake_close(&r->intake);
    place_put_close(r->put);
    r->put = NULL;
    run_hang_up(r);
}

void run_begin(struct run *r)
{
    struct backup_record *record = r->record;
    char destination[CONFIG_NAME_MAX];
    memcpy(destination, record->destination, sizeof destination);
    int64_t now_s = begin_s(loop_now());
    *record = (struct backup_record){.taken_at_s = now_s > r->not_before_s ? now_s : r->not_before_s, .took_ms = -1};
    memcpy(record->destination, destination, sizeof destination);
    r->deadline = loop_now() + r->backup->config->backup.total_timeout_ms;
}

/* Not from etcd to the place in one go: from the plain folder's file, or by way of the stage. *gone: neither can be. */
static err take_from_file(struct run *r, bool *gone)
{
    err e = E_ABSENT;
    uint64_t mark = trail_mark();
    *gone = true;
    if (may_copy(r))
        e = take_copy(r, gone);
    else if (r->to->slow)
        e = take_staged(r, gone);
    else
        return OK;
    if (!*gone)
        return e;
    log_warn("what is here cannot be sent: etcd is asked", F("destination", r->to->config->name), F_ERR(e));
    trail_rewind(mark);
    release(r);
    run_begin(r);
    return OK;
}

static err take(struct run *r)
{
    bool gone = true;
    run_begin(r);
    TRY(run_wait_while_held(r));
    TRY(backup_reach(r->to));
    run_begin(r);
    if (backup_is_plain(r->to->config))
        return take_plain(r);
    TRY(take_from_file(r, &gone));
    return gone ? take_packed(r) : OK;
}

/* The name was another hub's, or is to have ours in it: once more, under a new second. */
static err take_again(struct run *r)
{
    bool hub = place_wants_hub_id(r->to->place);
    uint64_t mark = trail_mark();
    err e = take(r);
    bool again = e == E_EXISTS || (e == E_UNSUPPORTED && !hub && place_wants_hub_id(r->to->place));
    if (!again || backup_is_plain(r->to->config))
        return e;
    release(r);
    trail_rewind(mark);
    TRY(run_next_second(r));
    r->not_before_s = r->record->taken_at_s; /* the two clocks may differ by a millisecond */
    return take(r);
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
    if (r->recorded || (e == E_CORRUPT && run_is_bad(r)))
        (void)snprintf(reason, sizeof reason, "%s", record->verification.reason);
    if (r->recorded && !run_is_bad(r))
        to->unread = backup_entry_of(record);
    (void)snprintf(to->failed_words, sizeof to->failed_words, "%s%s%s", err_text(e), r->recorded ? ": " : "",
                   r->recorded ? reason : "");
    backup_failed(r->backup, to, reason, trail_text(e, words, sizeof words));
    return trail(e, "backup into %s", record->destination);
}

static void remember(struct run *r)
{
    if (!backup_is_plain(r->to->config) || r->record->verification.level < 4)
        return;
    r->backup->fresh.destination = (unsigned)(r->to - r->backup->destinations);
    r->backup->fresh.entry = backup_entry_of(r->record);
    r->backup->fresh.entry.kinds = NAME_SNAPSHOT | NAME_RECORD;
    r->backup->fresh.at = r->began;
}

err backup_take_since(struct backup *b, unsigned destination, unsigned level, ms since, const struct backup_watcher *w,
                      struct backup_record *out)
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
                    .since = since,
                    .level = level};
    err e = take_again(&r);
    release(&r);
    if (!r.recorded)
        out->path[0] = 0;
    if (e == OK)
        remember(&r);
    e = finish(&r, e);
    place_rest(r.to->place);
    backup_end(b, destination);
    if (r.recorded && e != E_CANCELED)
        cache_renew(b, r.to);
    return e;
}

err backup_take(struct backup *b, unsigned destination, unsigned level, const struct backup_watcher *w, struct backup_record *out)
{
    return backup_take_since(b, destination, level, FOREVER, w, out);
}
