/* prune: what the destination's rules do not keep goes. It acts on a whole list only: when a name or a record could not be read,
 * or there are too many, nothing is removed. */
#include "agents/backup/backup_internal.h"
#include "agents/backup/retention.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdlib.h>

struct pruning {
    struct backup_destination *to;
    struct catalogue catalogue;
    struct retention_item *items;
    size_t count;
    struct backup_record *record; /* the one in work */
};

static uint8_t state_of(const struct backup_record *r)
{
    switch (r->verification.verdict) {
    case VERDICT_GOOD:
        return BACKUP_VERIFIED;
    case VERDICT_BAD:
        return BACKUP_BAD;
    case VERDICT_UNKNOWN:
    default:
        return BACKUP_UNVERIFIED;
    }
}

static err gather(struct pruning *p)
{
    const struct catalogue *c = &p->catalogue;
    for (size_t i = 0; i < c->count; i++) {
        if (!(c->entries[i].kinds & (NAME_SNAPSHOT | NAME_BAD)))
            continue;
        TRY(catalogue_record(p->to, &c->entries[i], p->record));
        p->items[p->count++] =
            (struct retention_item){.at_s = c->entries[i].at_s, .id = (uint32_t)i, .state = state_of(p->record)};
        pulse_beat(TASK_BACKUP, loop_now());
        fiber_breathe();
    }
    return OK;
}

static void decide(struct pruning *p)
{
    unsigned keep[RETENTION_RULE_COUNT];
    for (unsigned r = 0; r < RETENTION_RULE_COUNT; r++)
        keep[r] = (unsigned)p->to->config->retention[r];
    retention_decide(p->items, p->count, keep, os_wall_is_trusted() ? loop_wall_ms() / 1000 : RETENTION_NO_NOW);
}

static err remove_rest(struct pruning *p, bool dry_run, err (*each)(void *arg, const struct backup_record *r, const char *why),
                       void *arg)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct retention_item *item = &p->items[i];
        const struct backup_entry *entry = &p->catalogue.entries[item->id];
        if (item->keep)
            continue;
        TRY(catalogue_record(p->to, entry, p->record));
        TRY(each(arg, p->record, item->replaced ? "damaged, and a newer good one is there" : "no rule keeps it"));
        if (!dry_run)
            TRY(backup_remove(p->to, entry));
        pulse_beat(TASK_BACKUP, loop_now());
        fiber_breathe();
    }
    return OK;
}

err backup_prune_now(struct backup_destination *to, bool dry_run,
                     err (*each)(void *arg, const struct backup_record *r, const char *why), void *arg)
{
    struct pruning p = {.to = to};
    err e = catalogue_open(to, &p.catalogue);
    if (e == OK && p.catalogue.cut)
        e = trail(E_RANGE, "more than %u snapshots: nothing is removed before some are moved away", BACKUP_RECORDS_MAX);
    p.items = e == OK ? calloc(p.catalogue.count + 1, sizeof *p.items) : NULL;
    p.record = e == OK ? malloc(sizeof *p.record) : NULL;
    if (e == OK && (!p.items || !p.record))
        e = E_BUDGET;
    if (e == OK)
        e = gather(&p);
    if (e == OK) {
        decide(&p);
        e = remove_rest(&p, dry_run, each, arg);
    }
    free(p.record);
    free(p.items);
    catalogue_close(&p.catalogue);
    return e == OK || e == E_CANCELED ? e : trail(e, "pruning %s", to->config->name);
}

err backup_prune(struct backup *b, unsigned destination, bool dry_run,
                 err (*each)(void *arg, const struct backup_record *r, const char *why), void *arg)
{
    TRY(backup_begin(b, destination));
    err e = backup_prune_now(&b->destinations[destination], dry_run, each, arg);
    backup_end(b, destination);
    if (!dry_run && e != E_CANCELED)
        cache_renew(b, &b->destinations[destination]);
    return e;
}
