/* plan: when a destination's next run is due.
 *
 * `every`: by the clock that does not jump, from the start of the last run. `schedule`: by the wall clock of the place, looked at
 * anew each time: `considered_s` is the moment up to which the schedule is done with, and the run is due when a named moment lies
 * between it and now. So a clock set forward, and a hub that was off, give one run; a clock set back by more than STEP_BACK_S
 * gives the next moment by the new clock, and one set back by less gives no moment twice. A clock that is not set names no
 * moment: the run waits for it. A failed run is tried again by the clock that does not jump, or at the schedule's own next,
 * whichever is first. */
#include "agents/backup/plan.h"

#include "board/rt/log.h"

#include <math.h>

#define RETRY_FIRST_MS SECONDS(30)
#define RETRY_MS_MAX   MINUTES(10)
#define JITTER_DIVISOR 8   /* up to an eighth more, so that hubs do not meet */
#define STEP_BACK_S    120 /* what a clock is corrected by without having been wrong */

static int64_t wall_s(void)
{
    return loop_wall_ms() / 1000;
}

static bool by_cron(const struct backup *b)
{
    return b->config->backup.every_ms == 0;
}

static const struct zone *zone_of(const struct backup *b)
{
    return b->options.zone ? b->options.zone : &zone_utc;
}

/* The wall-clock moment that is next, or past and not yet considered; INT64_MAX: none. */
static int64_t cron_due_s(struct backup *b, struct backup_destination *to)
{
    int64_t now_s = wall_s();
    if (to->considered_s > now_s + STEP_BACK_S)
        to->considered_s = now_s;
    return cron_next(&b->cron, zone_of(b), to->considered_s);
}

/* How long from now, by the plan; 0: it is due. */
static ms cron_wait(struct backup *b, struct backup_destination *to)
{
    if (!os_wall_is_trusted()) {
        if (!to->waits_for_clock)
            log_warn("the clock is not set: the schedule waits for it", F("destination", to->config->name),
                     F("schedule", b->config->backup.schedule));
        to->waits_for_clock = true;
        return FOREVER;
    }
    to->waits_for_clock = false;
    if (to->never_ran)
        return 0;
    int64_t due_s = cron_due_s(b, to), now_ms = loop_wall_ms();
    if (due_s == INT64_MAX)
        return FOREVER;
    return due_s * 1000 > now_ms ? due_s * 1000 - now_ms : 0;
}

static ms every_wait(const struct backup_destination *to)
{
    return to->next_at > loop_now() ? to->next_at - loop_now() : 0;
}

ms plan_wait(struct backup *b, struct backup_destination *to)
{
    ms wait = by_cron(b) ? cron_wait(b, to) : every_wait(to);
    if (to->retry_at == 0)
        return wait;
    return ms_min(wait, to->retry_at > loop_now() ? to->retry_at - loop_now() : 0);
}

void plan_tell(struct backup *b, struct backup_destination *to)
{
    ms wait = plan_wait(b, to);
    series_set(to->next_run, wait == FOREVER ? NAN : (double)(loop_wall_ms() + wait) / 1000.0);
}

/* A name that is ahead of the clock says nothing of when its run was. */
void plan_first(struct backup *b, struct backup_destination *to, int64_t newest_s)
{
    int64_t now_s = wall_s(), age_s = now_s - newest_s;
    bool known = newest_s > 0 && age_s >= 0;
    ms every = b->config->backup.every_ms;
    to->retry_at = 0;
    to->never_ran = newest_s == 0;
    to->considered_s = known ? newest_s : now_s;
    to->next_at = known && age_s * 1000 < every ? loop_now() + every - age_s * 1000 : loop_now();
}

void plan_began(struct backup *b, struct backup_destination *to)
{
    to->never_ran = false;
    to->retry_at = 0;
    to->began_at = loop_now();
    to->considered_s = wall_s();
    to->next_at = loop_now() + b->config->backup.every_ms;
}

void plan_good(struct backup_destination *to)
{
    to->failures_in_a_row = 0;
    to->retry_at = 0;
}

bool plan_is_due(struct backup *b, struct backup_destination *to)
{
    return (by_cron(b) ? cron_wait(b, to) : every_wait(to)) == 0;
}

static void back_off(struct backup *b, struct backup_destination *to)
{
    to->failures_in_a_row++;
    ms wait = RETRY_FIRST_MS << size_min(to->failures_in_a_row - 1, 8);
    wait = ms_min(wait, RETRY_MS_MAX);
    if (!by_cron(b)) /* from now: the run itself may have taken longer than `every` */
        wait = ms_min(wait, b->config->backup.every_ms);
    uint32_t random = 0;
    os_random(&random, sizeof random);
    wait += (ms)(random % (uint32_t)(wait / JITTER_DIVISOR + 1));
    to->retry_at = loop_now() + wait;
}

ms plan_failed(struct backup *b, struct backup_destination *to)
{
    back_off(b, to);
    if (!by_cron(b))
        to->next_at = to->retry_at;
    return plan_wait(b, to);
}

ms plan_kept(struct backup *b, struct backup_destination *to)
{
    back_off(b, to);
    if (to->next_at < to->retry_at)
        to->next_at = to->retry_at;
    return plan_wait(b, to);
}
