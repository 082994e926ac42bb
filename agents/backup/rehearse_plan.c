/* rehearse_plan: when a destination's backup is to be read back. By the wall clock of the place, as backups are: considered_s is
 * the moment up to which the schedule is done with. After one that found no good backup the newest is read
 * again some times, then by the schedule. */
#include "agents/backup/plan.h"
#include "agents/backup/rehearse.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#define RETRY_MS    MINUTES(30)
#define TRIES_MAX   3
#define STEP_BACK_S 120 /* as plan.c's */

static int64_t wall_s(void)
{
    return loop_wall_ms() / 1000;
}

err rehearse_schedule_read(struct backup *b)
{
    char words[160];
    struct text why = text_over(words, sizeof words);
    if (!*b->config->backup.rehearse_schedule)
        return OK;
    err e = cron_parse(bytes_of(b->config->backup.rehearse_schedule), &b->rehearse_cron, &why);
    return trail(e, "backup.rehearse.schedule \"%s\": %s", b->config->backup.rehearse_schedule, words);
}

struct remembering {
    struct backup_destination *to;
    int64_t at_s;
};

static err remember_one(void *arg, const struct backup_record *r)
{
    struct remembering *m = arg;
    if (r->rehearsal.at_s <= m->at_s)
        return OK;
    m->at_s = r->rehearsal.at_s;
    rehearse_metrics_set(m->to, r);
    return OK;
}

static err recall_one(void *arg, struct backup_record *r)
{
    return remember_one(arg, r);
}

/* A destination that cannot be listed waits for the schedule's own next. Those by hand are told of too: the store has them from
 * the listing before this. */
err rehearse_first(struct backup *b, unsigned destination)
{
    struct backup_destination *to = &b->destinations[destination];
    struct remembering m = {.to = to};
    if (!*b->config->backup.rehearse_schedule) {
        cache_recall(b, to, "", recall_one, &m);
        return OK;
    }
    err e = backup_list(b, destination, remember_one, &m);
    trail_clear();
    to->rehearse.considered_s = m.at_s || e == OK ? m.at_s : wall_s();
    return e == E_CANCELED ? e : OK;
}

static ms wait_of(struct backup *b, struct backup_destination *to)
{
    struct rehearse_state *s = &to->rehearse;
    if (!*b->config->backup.rehearse_schedule || !os_wall_is_trusted())
        return FOREVER;
    if (s->considered_s > wall_s() + STEP_BACK_S)
        s->considered_s = wall_s();
    if (s->retry_at)
        return s->retry_at > loop_now() ? s->retry_at - loop_now() : 0;
    int64_t due_s = cron_next(&b->rehearse_cron, b->options.zone ? b->options.zone : &zone_utc, s->considered_s);
    if (due_s == INT64_MAX)
        return FOREVER;
    return due_s * 1000 > loop_wall_ms() ? due_s * 1000 - loop_wall_ms() : 0;
}

/* Where there is nothing yet, nothing was rehearsed: it stays due. */
void rehearse_done(struct backup_destination *to, err e)
{
    struct rehearse_state *s = &to->rehearse;
    if (e == E_ABSENT) {
        s->retry_at = loop_now() + RETRY_MS;
        return;
    }
    s->considered_s = wall_s();
    s->tries = e != OK ? s->tries + 1 : 0;
    s->retry_at = s->tries > 0 && s->tries < TRIES_MAX ? loop_now() + RETRY_MS : 0;
    if (s->retry_at == 0)
        s->tries = 0;
}

static void tell(const struct backup_destination *to, const struct backup_record *r, err e)
{
    const struct backup_rehearsal *h = &r->rehearsal;
    if (e == E_ABSENT)
        log_info("there is no backup to read back yet", F("destination", to->config->name));
    else if (e != OK)
        log_error("rehearsal failed", F("destination", to->config->name), F("file", r->name), F_ERR(e),
                  F_MS("next_try", to->rehearse.retry_at ? to->rehearse.retry_at - loop_now() : -1));
    else
        log_info("a backup was read back", F("destination", to->config->name), F("file", r->name), F_U64("level", h->level),
                 F("reason", h->reason), F_MS("took", h->took_ms));
    trail_clear();
}

static err run(struct backup *b, unsigned i, struct backup_record *r)
{
    struct backup_destination *to = &b->destinations[i];
    err e = backup_rehearse(b, i, NULL, r);
    if (e == E_CANCELED)
        return e;
    tell(to, r, e);
    return OK;
}

err rehearse_turn(struct backup *b, struct backup_record *r, ms *wait)
{
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        ms one = wait_of(b, &b->destinations[i]);
        *wait = ms_min(*wait, one);
        if (one == 0)
            return run(b, i, r);
    }
    return OK;
}
