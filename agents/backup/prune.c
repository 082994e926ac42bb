/* prune: what the destination's rules do not keep goes. It acts on a whole list only: when a name or a record could not be read,
 * nothing is removed; and nothing before the newest one that stays was read again and is what its record says. */
#include "agents/backup/place.h"
#include "agents/backup/retention.h"
#include "agents/backup/verify.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pruning {
    struct backup_destination *to;
    struct catalogue catalogue;
    struct retention_item *items;
    size_t count;
    struct backup_record *record; /* the one in work */
    struct backup_verification *found;
    backup_pruned *each;
    void *arg;
    bool dry_run, damaged;
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

/* Its name says so: it neither goes by our rules, nor stands in for one of ours. */
static bool is_another_hubs(const struct pruning *p, const struct backup_entry *entry)
{
    return entry->hub != 0 && entry->hub != (uint32_t)strtoul(p->to->owner->options.hub_id, NULL, 16);
}

static err gather(struct pruning *p)
{
    const struct catalogue *c = &p->catalogue;
    for (size_t i = 0; i < c->count; i++) {
        if (!(c->entries[i].kinds & (NAME_SNAPSHOT | NAME_BAD)) || is_another_hubs(p, &c->entries[i]))
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

/* --- what all removal rests on: the newest verified one that stays is read again --- */

static struct retention_item *newest_kept(const struct pruning *p)
{
    for (size_t i = p->count; i-- > 0;)
        if (p->items[i].keep && p->items[i].state == BACKUP_VERIFIED && p->items[i].guard != GUARD_FUTURE)
            return &p->items[i];
    return NULL;
}

static bool anything_goes(const struct pruning *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (!p->items[i].keep)
            return true;
    return false;
}

static err set_aside(struct pruning *p, struct retention_item *item)
{
    struct backup_record *r = p->record;
    struct backup_verification *v = p->found;
    backup_finding_add(v, BACKUP_DAMAGED_LATER, 0, "it was good when it was taken");
    log_error("a backup has been damaged since it was taken", F("path", r->path), F("reason", v->reason),
              F("why", v->findings[0].text));
    item->state = BACKUP_BAD;
    p->damaged = true;
    if (p->dry_run)
        return OK;
    r->verification = *v;
    struct backup_entry *entry = &p->catalogue.entries[item->id];
    TRY(backup_set_aside(p->to, r));
    entry->kinds = place_keeps_names(p->to->place, entry) ? NAME_SNAPSHOT | NAME_RECORD : NAME_BAD | NAME_RECORD;
    entry->tag = 0;
    return backup_record_write(p->to, r);
}

/* --- what is packed, or far away --- */

static err read_stored(struct place_get *get, char sha256[2 * SHA256_BYTES + 1])
{
    struct sha256 sha;
    uint8_t sum[SHA256_BYTES];
    struct buf *piece = NULL;
    sha256_start(&sha);
    do {
        buf_release(piece);
        TRY(place_get_next(get, BACKUP_DISK_MS_MAX, &piece));
        if (piece)
            sha256_update(&sha, (struct bytes){piece->at, piece->len});
        fiber_breathe();
    } while (piece);
    sha256_finish(&sha, sum);
    hex_encode((struct bytes){sum, sizeof sum}, sha256, 2 * SHA256_BYTES + 1);
    return OK;
}

/* A packed file in a folder: all its bytes are what its record says. */
static err prove_packed(struct pruning *p, struct backup_verification *v)
{
    const struct backup_record *r = p->record;
    struct place_get *get = NULL;
    struct place_object object;
    char sha256[2 * SHA256_BYTES + 1];
    TRY(place_get_open(p->to->place, r->name, &get, &object));
    err e = read_stored(get, sha256);
    place_get_close(get);
    TRY(e);
    if (!r->stored_sha256[0])
        v->level = 0;
    else if (strcmp(sha256, r->stored_sha256) != 0)
        backup_finding_add(v, "sha256", 0, "the SHA-256 of the stored bytes is not that of its record");
    return OK;
}

/* An object: the server says the same of it as when it was put there. Another word for it is no damage yet, but no proof. */
static err prove_object(struct pruning *p, struct backup_verification *v)
{
    const struct backup_record *r = p->record;
    struct place_object object;
    TRY(place_stat(p->to->place, r->name, &object));
    bool same_etag = !r->etag[0] || !object.etag[0] || strcmp(r->etag, object.etag) == 0;
    if (object.bytes != (r->stored_bytes ? r->stored_bytes : r->verification.bytes) || !same_etag)
        v->level = 0;
    return OK;
}

static err prove_stored(struct pruning *p, struct backup_verification *v)
{
    *v = p->record->verification;
    err e = place_folder(p->to->place) ? prove_packed(p, v) : prove_object(p, v);
    if (e != OK && e != E_CANCELED) {
        v->level = 0;
        (void)snprintf(v->reason, sizeof v->reason, "unreadable");
        trail_clear();
        return OK;
    }
    if (v->level == 0)
        (void)snprintf(v->reason, sizeof v->reason, "changed");
    return e;
}

static err prove_plain(struct pruning *p, struct backup_verification *v)
{
    struct verifier *verifier = NULL;
    const struct backup_record *r = p->record;
    err e = verifier_run(&p->to->lane, &p->to->second, r->path, 2, NULL, v, &verifier);
    verifier_close(verifier);
    TRY(e);
    if (v->verdict != VERDICT_BAD && v->level >= 2 && r->verification.sha256[0] && strcmp(r->verification.sha256, v->sha256) != 0)
        backup_finding_add(v, "sha256", 0, "the SHA-256 is not that of its record");
    return OK;
}

/* False in *proven: the item is another one now: damaged, or not known. */
static err prove(struct pruning *p, struct retention_item *item, bool *proven)
{
    struct backup_verification *v = p->found;
    const struct backup_entry *entry = &p->catalogue.entries[item->id];
    TRY(catalogue_record(p->to, entry, p->record));
    const struct backup_record *r = p->record;
    TRY(place_keeps_names(p->to->place, entry) ? prove_stored(p, v) : prove_plain(p, v));
    *proven = v->verdict != VERDICT_BAD && v->level >= 2;
    if (*proven)
        return OK;
    if (v->verdict == VERDICT_BAD)
        return set_aside(p, item);
    log_warn("a backup could not be read again: others stay in its place", F("path", r->path), F("reason", v->reason));
    item->state = BACKUP_UNVERIFIED;
    return OK;
}

static err decide_on_proof(struct pruning *p)
{
    for (bool proven = false;;) {
        decide(p);
        struct retention_item *item = newest_kept(p);
        if (proven || !item || !anything_goes(p))
            return OK;
        TRY(prove(p, item, &proven));
    }
}

/* --- the rest goes --- */

static err remove_one(struct pruning *p, const struct retention_item *item, err *told)
{
    const struct backup_entry *entry = &p->catalogue.entries[item->id];
    err e = catalogue_record(p->to, entry, p->record);
    if (e == OK && !p->dry_run)
        e = backup_remove(p->to, entry);
    if (e != E_CANCELED)
        *told = p->each(p->arg, p->record, item->replaced ? "damaged, and a newer good one is there" : "no rule keeps it", e);
    pulse_beat(TASK_BACKUP, loop_now());
    fiber_breathe();
    return e;
}

/* One that cannot be removed does not keep the others; only a disk that answers no more ends it. */
static err remove_rest(struct pruning *p)
{
    err first = OK;
    for (size_t i = 0; i < p->count; i++) {
        err told = OK;
        uint64_t mark = trail_mark();
        err e = p->items[i].keep ? OK : remove_one(p, &p->items[i], &told);
        if (e == E_CANCELED || e == E_TIMEOUT)
            return e;
        TRY(told);
        if (first != OK)
            trail_rewind(mark);
        first = first != OK ? first : e;
    }
    return first;
}

static err prune(struct pruning *p)
{
    TRY(catalogue_open(p->to, &p->catalogue));
    p->items = calloc(p->catalogue.count + 1, sizeof *p->items);
    p->record = malloc(sizeof *p->record);
    p->found = malloc(sizeof *p->found);
    if (!p->items || !p->record || !p->found)
        return E_BUDGET;
    TRY(gather(p));
    TRY(decide_on_proof(p));
    TRY(remove_rest(p));
    return p->damaged ? trail(E_CORRUPT, "a backup has been damaged since it was taken; `backup list` shows it") : OK;
}

err backup_prune_now(struct backup_destination *to, bool dry_run, backup_pruned *each, void *arg)
{
    struct pruning p = {.to = to, .dry_run = dry_run, .each = each, .arg = arg};
    err e = prune(&p);
    free(p.found);
    free(p.record);
    free(p.items);
    catalogue_close(&p.catalogue);
    return e == OK || e == E_CANCELED ? e : trail(e, "pruning %s", to->config->name);
}

err backup_prune(struct backup *b, unsigned destination, bool dry_run, backup_pruned *each, void *arg)
{
    TRY(backup_begin(b, destination));
    err e = backup_prune_now(&b->destinations[destination], dry_run, each, arg);
    backup_end(b, destination);
    if (!dry_run && e != E_CANCELED)
        cache_renew(b, &b->destinations[destination]);
    return e;
}
