/* schedule: every N, for ever. */
#include "agents/backup/backup_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MS_MAX    SECONDS(30)
#define RETRY_FIRST_MS SECONDS(30)
#define RETRY_MS_MAX   MINUTES(10)
#define JITTER_DIVISOR 8 /* up to an eighth more, so that hubs do not meet */
#define LEFTOVERS_MAX  64

struct found { /* what lies in a destination at start */
    struct backup_destination *to;
    int64_t newest_s;
    unsigned leftover_count;
    char leftovers[LEFTOVERS_MAX][OS_NAME_MAX];
};

static err see_name(void *arg, const char *name)
{
    struct found *f = arg;
    int64_t at_s = 0;
    if (backup_name_time(name, &at_s) && at_s > f->newest_s)
        f->newest_s = at_s;
    else if (writer_is_leftover(name) && f->leftover_count < LEFTOVERS_MAX)
        (void)snprintf(f->leftovers[f->leftover_count++], OS_NAME_MAX, "%s", name);
    return OK;
}

/* A temporary file older than any run can last belongs to a process that was killed. A younger one may be a `backup now` at work.
 */
static void clean(struct backup *b, struct found *f)
{
    for (unsigned i = 0; i < f->leftover_count; i++) {
        char path[OS_PATH_MAX];
        struct os_stat stat;
        int n = snprintf(path, sizeof path, "%s/%s", f->to->config->path, f->leftovers[i]);
        ms deadline = loop_now() + LIST_MS_MAX;
        if (n <= 0 || (size_t)n >= sizeof path || file_stat(&f->to->lane, path, deadline, &stat) != OK)
            continue;
        if (loop_wall_ms() - stat.modified_ms < b->config->backup.total_timeout_ms)
            continue;
        err e = file_remove(&f->to->lane, path, deadline);
        if (e == OK)
            log_info("removed what an interrupted backup left", F("path", path));
        else
            log_warn("cannot remove what an interrupted backup left", F("path", path), F_ERR(e));
    }
}

/* What a hub before this one achieved is not forgotten: an alert on its age must not fire at every restart. */
static void remember(const struct found *f)
{
    struct backup_destination *to = f->to;
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX];
    struct os_stat stat;
    if (f->newest_s == 0)
        return;
    series_set(to->last_success, (double)f->newest_s);
    series_set(to->duration, NAN); /* its file does not tell */
    backup_name(f->newest_s, name);
    int n = snprintf(path, sizeof path, "%s/%s", to->config->path, name);
    if (n > 0 && (size_t)n < sizeof path && file_stat(&to->lane, path, loop_now() + LIST_MS_MAX, &stat) == OK)
        series_set(to->size, (double)stat.bytes);
}

/* From one run to the next. */
static ms period(const struct backup *b)
{
    return b->config->backup.every_ms > 0 ? b->config->backup.every_ms : HOURS(24);
}

/* When the first run is due: `every` after the newest file there, or now. */
static ms first_run(struct backup *b, const struct found *f)
{
    int64_t age_ms = loop_wall_ms() - f->newest_s * 1000;
    if (f->newest_s == 0 || age_ms < 0 || age_ms >= period(b))
        return loop_now();
    return loop_now() + period(b) - age_ms;
}

static void plan(struct backup_destination *to, ms at)
{
    to->next_at = at;
    series_set(to->next_run, (double)(loop_wall_ms() + at - loop_now()) / 1000.0);
}

static err look(struct backup *b, struct backup_destination *to)
{
    struct found *f = calloc(1, sizeof *f);
    if (!f)
        return E_BUDGET;
    f->to = to;
    err e = file_list(&to->lane, to->config->path, loop_now() + LIST_MS_MAX, see_name, f);
    if (e == OK) {
        remember(f);
        clean(b, f);
    } else if (e != E_ABSENT && e != E_CANCELED) { /* absent: the first run makes it */
        log_warn("cannot list the destination", F("destination", to->config->name), F("path", to->config->path), F_ERR(e));
    }
    plan(to, first_run(b, f));
    free(f);
    return e == E_CANCELED ? e : OK;
}

static ms retry_after(const struct backup *b, const struct backup_destination *to)
{
    ms wait = RETRY_FIRST_MS << size_min(to->failures_in_a_row - 1, 8);
    wait = ms_min(ms_min(wait, RETRY_MS_MAX), period(b));
    uint32_t random = 0;
    os_random(&random, sizeof random);
    return wait + (ms)(random % (uint32_t)(wait / JITTER_DIVISOR + 1));
}

static err run_one(struct backup *b, unsigned i)
{
    struct backup_destination *to = &b->destinations[i];
    struct backup_record record;
    log_info("backup begins", F("destination", to->config->name));
    err e = backup_take(b, i, 2, NULL, &record);
    if (e == E_CANCELED)
        return e;
    if (e == OK) {
        to->failures_in_a_row = 0;
        plan(to, loop_now() + period(b));
        log_info("backup done", F("destination", to->config->name), F("file", record.name),
                 F_U64("bytes", record.verification.bytes), F_MS("took", record.took_ms), F("endpoint", record.endpoint),
                 F("sha256", record.verification.sha256));
        return OK;
    }
    to->failures_in_a_row++;
    ms wait = retry_after(b, to);
    plan(to, loop_now() + wait);
    log_error("backup failed", F("destination", to->config->name), F_ERR(e), F_MS("next_try", wait));
    return OK;
}

static unsigned earliest(const struct backup *b)
{
    unsigned first = 0;
    for (unsigned i = 1; i < b->config->backup.destination_count; i++)
        if (b->destinations[i].next_at < b->destinations[first].next_at)
            first = i;
    return first;
}

err backup_schedule(void *arg)
{
    struct backup *b = arg;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++)
        TRY(look(b, &b->destinations[i]));
    if (b->config->backup.destination_count == 0) {
        pulse_rest(TASK_BACKUP);
        return fiber_sleep(FOREVER);
    }
    for (;;) {
        unsigned i = earliest(b);
        pulse_rest(TASK_BACKUP);
        if (b->destinations[i].next_at > loop_now())
            TRY(fiber_sleep(b->destinations[i].next_at));
        pulse_beat(TASK_BACKUP, loop_now());
        TRY(run_one(b, i));
    }
}

bool backup_is_well(void *arg, struct text *why)
{
    const struct backup *b = arg;
    bool well = true;
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        const struct backup_destination *to = &b->destinations[i];
        if (!to->failed[0])
            continue;
        text_addf(why, "%s%s: %s", well ? "" : "; ", to->config->name, to->failed_words);
        well = false;
    }
    return well;
}
