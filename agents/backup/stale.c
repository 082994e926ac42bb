/* stale: is the newest good snapshot older than max_age? Two witnesses, and the older age counts: the wall clock and the
 * snapshot's name, when the clock is set; and the clock that does not jump, from the moment the snapshot was taken, or from the
 * start of the hub less what the wall clock gave it then. So a clock set back makes nothing young again, and one that is not set
 * still lets a hub notice. Where there is no good snapshot, the time since the start counts. */
#include "agents/backup/plan.h"

#include "board/rt/log.h"

#define GRACE_MS MINUTES(10)

void stale_found(struct backup_destination *to, int64_t newest_good_s)
{
    int64_t age_ms = loop_wall_ms() - newest_good_s * 1000;
    to->newest_good_s = newest_good_s;
    to->grace_until = to->grace_until ? to->grace_until : loop_now() + GRACE_MS;
    to->good_at = loop_now() - (newest_good_s > 0 && age_ms > 0 && os_wall_is_trusted() ? age_ms : 0);
}

void stale_renewed(struct backup_destination *to, int64_t taken_at_s)
{
    to->newest_good_s = taken_at_s;
    to->good_at = loop_now();
}

static ms age(const struct backup_destination *to)
{
    ms by_wall = loop_wall_ms() - to->newest_good_s * 1000, since = loop_now() - to->good_at;
    bool wall_tells = to->newest_good_s > 0 && os_wall_is_trusted();
    return wall_tells && by_wall > since ? by_wall : since;
}

void stale_look(struct backup *b, struct backup_destination *to)
{
    bool stale = age(to) > b->config->backup.max_age_ms;
    series_set(to->stale_series, stale);
    if (stale == to->stale || (stale && !to->has_run && loop_now() < to->grace_until))
        return;
    to->stale = stale;
    if (stale)
        log_error("the newest good backup is too old", F("destination", to->config->name), F_MS("age", age(to)),
                  F_MS("max_age", b->config->backup.max_age_ms));
    else
        log_info("there is a new good backup again", F("destination", to->config->name));
    if (b->options.events.stale)
        b->options.events.stale(b->options.events.arg, to->config->name, stale, to->newest_good_s);
}

bool backup_has_fresh(const struct backup *b, struct text *why)
{
    for (unsigned i = 0; i < b->config->backup.destination_count; i++) {
        const struct backup_destination *to = &b->destinations[i];
        if (to->newest_good_s > 0 && age(to) <= b->config->backup.max_age_ms)
            return true;
    }
    text_add(why, "no good backup within backup.max_age, in any destination");
    return false;
}
