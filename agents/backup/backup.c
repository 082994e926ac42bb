/* backup: the agent: what it owns, who may write when, and who is told. */
#include "agents/backup/place.h"
#include "agents/backup/plan.h"
#include "agents/backup/rehearse.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static err destination_open(struct backup *b, unsigned i)
{
    struct backup_destination *to = &b->destinations[i];
    to->config = &b->config->backup.destinations[i];
    to->owner = b;
    TRY(place_open(b, to, &to->place));
    lane_open(&to->lane, to->config->name, TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
    lane_open(&to->second, to->config->name, TASK_BACKUP, 1);
    err e = backup_metrics_open(to);
    if (e == OK)
        e = rehearse_metrics_open(to);
    if (e != OK)
        log_warn("backup metrics are incomplete", F("destination", to->config->name), F_ERR(e));
    return OK;
}

err backup_open(const struct backup_options *o, struct backup **out)
{
    *out = NULL;
    struct backup *b = calloc(1, sizeof *b);
    if (!b)
        return E_BUDGET;
    b->options = *o;
    b->config = o->config;
    sem_init_count(&b->one, 1);
    lane_open(&b->files, "backup certificates", TASK_BACKUP, 1);
    lane_open(&b->scratch, "backup scratch", TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
    lane_open(&b->scratch_second, "backup scratch", TASK_BACKUP, 1);
    lane_open(&b->stage, "backup stage", TASK_BACKUP, BACKUP_APPENDS_MAX + 1);
    lane_open(&b->stage_second, "backup stage", TASK_BACKUP, 1);
    err e = read_schedule(b);
    if (e == OK)
        e = rehearse_schedule_read(b);
    for (unsigned i = 0; e == OK && i < b->config->backup.destination_count; i++)
        e = destination_open(b, i);
    if (e == OK)
        *out = b;
    else
        backup_close(b);
    return e;
}

void backup_close(struct backup *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        backup_metrics_close(&b->destinations[i]);
        backup_leave(&b->destinations[i]);
        place_close(b->destinations[i].place);
        rehearse_metrics_close(&b->destinations[i]);
        lane_close(&b->destinations[i].second);
        lane_close(&b->destinations[i].lane);
    }
    struct lane *const others[] = {&b->stage_second, &b->stage, &b->scratch_second, &b->scratch, &b->files};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        lane_close(others[i]);
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
    place_rest(b->destinations[destination].place);
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

/* --- telling --- */

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

bool backup_is_plain(const struct config_destination *c)
{
    return c->type == DESTINATION_DIRECTORY && c->compress == COMPRESS_NONE && c->recipient_count == 0;
}

unsigned backup_order(const struct config *c, unsigned out[CONFIG_DESTINATIONS_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        if (backup_is_plain(&c->backup.destinations[i]))
            out[count++] = i;
    for (unsigned i = 0; i < c->backup.destination_count; i++)
        if (!backup_is_plain(&c->backup.destinations[i]))
            out[count++] = i;
    return count;
}

bool backup_is_streaming(const struct backup *b)
{
    return b->streaming;
}
