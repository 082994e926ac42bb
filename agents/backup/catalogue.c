/* catalogue: what lies in a destination. The files are the truth: a snapshot is listed because it is there, and what is told of
 * it is its record, as long as that speaks of a file of this size. */
#include "agents/backup/place.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST  64
#define ENTRIES_MAX (3 * BACKUP_RECORDS_MAX) /* names: a snapshot has one or two, and perhaps a damaged twin */

/* --- one look --- */

static err room(struct catalogue *c)
{
    if (c->count < c->room)
        return OK;
    size_t more = c->room ? c->room * 2 : ROOM_FIRST;
    struct backup_entry *entries = realloc(c->entries, more * sizeof *entries);
    if (!entries)
        return trail(E_BUDGET, "no memory for a list of %zu names", more);
    c->entries = entries;
    c->room = more;
    return OK;
}

static int by_name(const void *left, const void *right)
{
    return backup_name_compare(left, right);
}

static void join(struct backup_entry *entry, const struct backup_entry *other)
{
    entry->kinds = (uint16_t)(entry->kinds | other->kinds);
    entry->bytes = entry->bytes ? entry->bytes : other->bytes;
    entry->tag = entry->tag ? entry->tag : other->tag;
}

/* One entry a name; of more than there may be, the newest. No name of theirs is let go. */
static void merge(struct catalogue *c)
{
    size_t kept = 0;
    if (c->count)
        qsort(c->entries, c->count, sizeof *c->entries, by_name);
    for (size_t i = 0; i < c->count; i++)
        if (kept && by_name(&c->entries[kept - 1], &c->entries[i]) == 0)
            join(&c->entries[kept - 1], &c->entries[i]);
        else
            c->entries[kept++] = c->entries[i];
    c->count = size_min(kept, BACKUP_RECORDS_MAX);
    if (kept == c->count)
        return;
    memmove(c->entries, c->entries + (kept - c->count), c->count * sizeof *c->entries);
    c->cut = true;
    c->floor = c->entries[0];
}

/* Of its content, as the place tells it: FNV-1a, 64 bits. 0: it does not. */
static uint64_t tag_of(const struct place_object *o)
{
    uint64_t tag = UINT64_C(0xcbf29ce484222325) ^ o->bytes;
    for (const char *c = o->etag; *c; c++)
        tag = (tag ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    return o->etag[0] ? tag | 1 : 0;
}

static err see(void *arg, const struct place_object *o)
{
    struct catalogue *c = arg;
    struct backup_entry entry;
    enum backup_name_kind kind = backup_name_kind(o->name, &entry);
    if (kind == NAME_OTHER || kind == NAME_LEFTOVER)
        return OK;
    if (kind == NAME_RECORD)
        entry.tag = tag_of(o);
    else if (kind == NAME_SNAPSHOT)
        entry.bytes = o->bytes;
    if (c->count == ENTRIES_MAX)
        merge(c);
    if (c->cut && by_name(&entry, &c->floor) < 0)
        return OK;
    TRY(room(c));
    c->entries[c->count++] = entry;
    return OK;
}

static void tell_strange(struct backup_destination *to, const struct backup_entry *entry)
{
    char name[BACKUP_NAME_MAX];
    backup_name(entry, NAME_SNAPSHOT, name);
    log_warn("what is named like a snapshot is no file: it is left alone", F("path", to->config->path), F("name", name));
}

static err only_files(struct backup_destination *to, struct catalogue *c)
{
    size_t kept = 0;
    TRY(place_look(to->place, c->entries, c->count));
    for (size_t i = 0; i < c->count; i++)
        if (c->entries[i].kinds != NAME_OTHER)
            c->entries[kept++] = c->entries[i];
        else
            tell_strange(to, &c->entries[i]);
    c->count = kept;
    return OK;
}

err catalogue_open(struct backup_destination *to, struct catalogue *out)
{
    *out = (struct catalogue){0};
    err e = place_list(to->place, see, out);
    if (e == OK) {
        merge(out);
        e = only_files(to, out);
    }
    if (e != OK) {
        catalogue_close(out);
        return e;
    }
    if (out->cut)
        log_warn("the destination holds more snapshots than are looked at: the older ones are not listed and stay",
                 F("destination", to->config->name), F("path", to->config->path), F_U64("looked_at", BACKUP_RECORDS_MAX));
    return OK;
}

void catalogue_close(struct catalogue *c)
{
    free(c->entries);
    *c = (struct catalogue){0};
}

/* --- the record of one --- */

/* What is told of a snapshot nobody has a good word for. */
static void without_record(struct backup_record *r, bool is_bad, const char *reason)
{
    struct backup_verification *v = &r->verification;
    *v = (struct backup_verification){.verdict = is_bad ? VERDICT_BAD : VERDICT_UNKNOWN};
    (void)snprintf(v->reason, sizeof v->reason, "%s", reason);
}

/* A file that cannot be read is damaged; of what is far away nothing is known then. */
static bool is_unreadable(const struct place *p, err e)
{
    return e == E_RANGE ||
           (place_folder(p) && e != E_ABSENT && e != E_CANCELED && e != E_TIMEOUT && e != E_BUSY && e != E_BUDGET);
}

/* The size of what lies there, as the record has it. */
static uint64_t *size_of(struct backup_record *r, bool plain)
{
    return r->stored_bytes || !plain ? &r->stored_bytes : &r->verification.bytes;
}

static void judge(const struct place *p, const struct backup_entry *entry, uint64_t bytes, err read, const struct buf *json,
                  struct backup_record *r)
{
    bool is_bad = !(entry->kinds & NAME_SNAPSHOT), keeps_name = place_keeps_names(p, entry), plain = entry->form == 0;
    uint64_t mark = trail_mark();
    if (read == E_ABSENT)
        without_record(r, is_bad, "no-record");
    else if (read != OK || backup_record_parse((struct bytes){json->at, json->len}, r) != OK)
        without_record(r, is_bad, "record");
    else if (*size_of(r, plain) != bytes || (is_bad && r->verification.verdict != VERDICT_BAD) ||
             (!is_bad && !keeps_name && r->verification.verdict == VERDICT_BAD))
        without_record(r, is_bad, "changed");
    trail_rewind(mark);
    *size_of(r, plain) = bytes;
}

static err stored_bytes(struct backup_destination *to, const struct backup_entry *entry, const char *name, uint64_t *bytes)
{
    struct place_object object;
    *bytes = entry->bytes;
    if (entry->bytes)
        return OK;
    TRY(place_stat(to->place, name, &object));
    *bytes = object.bytes;
    return OK;
}

/* What was verified once is not asked for again as long as the place tells the same of it. */
static bool is_remembered(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out)
{
    if (!entry->tag || !entry->bytes || !cache_find(to, entry, out))
        return false;
    if (out->verification.verdict != VERDICT_UNKNOWN && *size_of(out, entry->form == 0) == entry->bytes)
        return true;
    *out = (struct backup_record){.took_ms = -1};
    return false;
}

static err read_record(struct backup_destination *to, const struct backup_entry *entry, const char *file,
                       struct backup_record *out)
{
    char name[BACKUP_NAME_MAX];
    uint64_t bytes = 0;
    struct buf *json = NULL;
    if (is_remembered(to, entry, out))
        return OK;
    TRY(stored_bytes(to, entry, file, &bytes));
    backup_name(entry, NAME_RECORD, name);
    uint64_t mark = trail_mark();
    err e = place_read_small(to->place, name, BACKUP_RECORD_JSON_MAX, &json);
    if (e != OK && e != E_ABSENT && !is_unreadable(to->place, e))
        return e;
    trail_rewind(mark);
    judge(to->place, entry, bytes, e, json, out);
    buf_release(json);
    return OK;
}

err catalogue_record(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out)
{
    char file[BACKUP_NAME_MAX], path[OS_PATH_MAX];
    backup_name(entry, entry->kinds & NAME_SNAPSHOT ? NAME_SNAPSHOT : NAME_BAD, file);
    *out = (struct backup_record){.took_ms = -1};
    TRY(place_path(to->place, file, path));
    err e = read_record(to, entry, file, out);
    backup_name(entry, NAME_SNAPSHOT, out->name);
    out->compressed = (entry->form & FORM_ZSTD) != 0;
    out->encrypted = (entry->form & FORM_AGE) != 0;
    out->taken_at_s = entry->at_s;
    memcpy(out->path, path, sizeof out->path);
    (void)snprintf(out->destination, sizeof out->destination, "%s", to->config->name);
    return e == OK ? OK : trail(e, "looking at %s", path);
}

/* --- one goes --- */

static err remove_if(struct backup_destination *to, const struct backup_entry *entry, enum backup_name_kind kind)
{
    char name[BACKUP_NAME_MAX];
    uint64_t mark = trail_mark();
    if (!(entry->kinds & kind))
        return OK;
    backup_name(entry, kind, name);
    err e = place_remove(to->place, name);
    if (e != E_ABSENT)
        return e;
    trail_rewind(mark);
    return OK;
}

err backup_remove(struct backup_destination *to, const struct backup_entry *entry)
{
    TRY(remove_if(to, entry, NAME_RECORD));
    TRY(remove_if(to, entry, NAME_SNAPSHOT));
    return remove_if(to, entry, NAME_BAD);
}

/* --- all of them --- */

static err list_one(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *r,
                    catalogue_visit *each, void *arg)
{
    if (!(entry->kinds & (NAME_SNAPSHOT | NAME_BAD)))
        return OK;
    err e = catalogue_record(to, entry, r);
    if (e == E_ABSENT) { /* it was removed just now */
        trail_clear();
        return OK;
    }
    return e == OK ? each(arg, entry, r) : e;
}

err catalogue_each(struct backup_destination *to, const struct catalogue *c, catalogue_visit *each, void *arg)
{
    struct backup_record *r = malloc(sizeof *r);
    err e = r ? OK : E_BUDGET;
    for (size_t i = 0; e == OK && i < c->count; i++) {
        e = list_one(to, &c->entries[i], r, each, arg);
        fiber_breathe();
    }
    free(r);
    return e;
}

struct listing {
    err (*each)(void *arg, const struct backup_record *r);
    void *arg;
    char after[BACKUP_NAME_MAX]; /* told so far */
    bool refused;                /* by each() */
};

static err list_record(void *arg, const struct backup_record *r)
{
    struct listing *l = arg;
    memcpy(l->after, r->name, sizeof l->after);
    err e = l->each(l->arg, r);
    l->refused = e != OK;
    return e;
}

static err list_entry(void *arg, const struct backup_entry *entry, const struct backup_record *r)
{
    (void)entry;
    return list_record(arg, r);
}

/* What is said of a file that cannot be looked at: nothing of it is proven now. */
static err list_unreachable(void *arg, struct backup_record *r)
{
    struct backup_verification *v = &r->verification;
    v->verdict = VERDICT_UNKNOWN;
    v->level = 0;
    (void)snprintf(v->reason, sizeof v->reason, "unreachable");
    return list_record(arg, r);
}

/* What was put there and cannot be listed is what we remember of it. */
static err list_as_was(void *arg, struct backup_record *r)
{
    return list_record(arg, r);
}

/* The first run makes the last folder of the path; one that nothing is known of and that can be made is empty. */
static err not_made_yet(struct backup_destination *to)
{
    char parent[OS_PATH_MAX];
    struct os_stat stat;
    uint64_t mark = trail_mark();
    (void)snprintf(parent, sizeof parent, "%s", to->config->path);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        len--;
    while (len > 1 && parent[len - 1] != '/')
        len--;
    parent[len] = 0;
    err e = file_stat(&to->lane, parent, loop_now() + BACKUP_DISK_MS_MAX, &stat);
    if (e != OK || stat.kind != OS_FOLDER)
        return trail(E_ABSENT, "%s", to->config->path);
    trail_rewind(mark);
    trail_clear();
    return OK;
}

err backup_list(struct backup *b, unsigned destination, err (*each)(void *arg, const struct backup_record *r), void *arg)
{
    ASSERT(destination < b->config->backup.destination_count);
    struct backup_destination *to = &b->destinations[destination];
    struct listing l = {.each = each, .arg = arg};
    struct catalogue c;
    err e = catalogue_open(to, &c);
    if (e == OK)
        e = catalogue_each(to, &c, list_entry, &l);
    catalogue_close(&c);
    bool as_was = e == E_DENIED && place_is_write_only(to->place) && !l.refused;
    if (e != OK && e != E_CANCELED && !l.refused)
        cache_recall(b, to, l.after, as_was ? list_as_was : list_unreachable, &l);
    place_rest(to->place);
    if (as_was && !l.refused) {
        trail_clear();
        return OK;
    }
    return e == E_ABSENT && !l.after[0] && place_folder(to->place) ? not_made_yet(to) : e;
}
