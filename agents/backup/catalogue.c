/* catalogue: what lies in a destination. The files are the truth: a snapshot is listed because it is there, and what is told of
 * it is its record, as long as that speaks of a file of this size. */
#include "agents/backup/backup_internal.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST   64
#define ENTRIES_MAX  (3 * BACKUP_RECORDS_MAX) /* names: a snapshot has one or two, and perhaps a damaged twin */
#define RECORD_BYTES (BACKUP_RECORD_JSON_MAX + 1)

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

static err leftover(struct catalogue *c, const char *name)
{
    if (!c->leftovers)
        c->leftovers = calloc(BACKUP_LEFTOVERS_MAX, sizeof *c->leftovers);
    if (!c->leftovers)
        return E_BUDGET;
    if (c->leftover_count < BACKUP_LEFTOVERS_MAX)
        (void)snprintf(c->leftovers[c->leftover_count++], sizeof *c->leftovers, "%s", name);
    return OK;
}

static int by_name(const void *left, const void *right)
{
    return backup_name_compare(left, right);
}

/* One entry a name; of more than there may be, the newest. No name of theirs is let go. */
static void merge(struct catalogue *c)
{
    size_t kept = 0;
    if (c->count)
        qsort(c->entries, c->count, sizeof *c->entries, by_name);
    for (size_t i = 0; i < c->count; i++)
        if (kept && by_name(&c->entries[kept - 1], &c->entries[i]) == 0)
            c->entries[kept - 1].kinds = (uint16_t)(c->entries[kept - 1].kinds | c->entries[i].kinds);
        else
            c->entries[kept++] = c->entries[i];
    c->count = size_min(kept, BACKUP_RECORDS_MAX);
    if (kept == c->count)
        return;
    memmove(c->entries, c->entries + (kept - c->count), c->count * sizeof *c->entries);
    c->cut = true;
    c->floor = c->entries[0];
}

static err see(void *arg, const char *name)
{
    struct catalogue *c = arg;
    struct backup_entry entry;
    enum backup_name_kind kind = backup_name_kind(name, &entry);
    if (kind == NAME_LEFTOVER)
        return leftover(c, name);
    if (kind == NAME_OTHER)
        return OK;
    if (c->count == ENTRIES_MAX)
        merge(c);
    if (c->cut && by_name(&entry, &c->floor) < 0)
        return OK;
    TRY(room(c));
    c->entries[c->count++] = entry;
    return OK;
}

/* --- only files: not a link, a folder, a pipe of such a name --- */

#define LOOK_ENTRIES_MAX 32

struct look_job {
    const char *folder; /* the configuration's: it outlives the lane */
    struct backup_entry entries[LOOK_ENTRIES_MAX];
    size_t count;
};

static bool is_no_file(const char *folder, const struct backup_entry *of, enum backup_name_kind kind)
{
    char name[BACKUP_NAME_MAX], path[OS_PATH_MAX + BACKUP_NAME_MAX];
    struct os_stat stat;
    if (!(of->kinds & kind))
        return false;
    backup_name(of, kind, name);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return os_stat_name(path, &stat) == OK && stat.kind != OS_FILE;
}

/* kinds 0: not ours. What cannot be looked at is met again, and told, by who reads it. */
static err run_look(void *job)
{
    struct look_job *j = job;
    for (size_t i = 0; i < j->count; i++) {
        struct backup_entry *entry = &j->entries[i];
        if (is_no_file(j->folder, entry, NAME_SNAPSHOT) || is_no_file(j->folder, entry, NAME_BAD) ||
            is_no_file(j->folder, entry, NAME_RECORD))
            entry->kinds = NAME_OTHER;
    }
    return OK;
}

static void take_looked(struct backup_destination *to, struct catalogue *c, const struct look_job *j, size_t *kept)
{
    for (size_t i = 0; i < j->count; i++) {
        char name[BACKUP_NAME_MAX];
        if (j->entries[i].kinds != NAME_OTHER) {
            c->entries[(*kept)++] = j->entries[i];
            continue;
        }
        backup_name(&j->entries[i], NAME_SNAPSHOT, name);
        log_warn("what is named like a snapshot is no file: it is left alone", F("path", to->config->path), F("name", name));
    }
}

static err only_files(struct backup_destination *to, struct catalogue *c)
{
    size_t kept = 0;
    for (size_t at = 0; at < c->count; at += LOOK_ENTRIES_MAX) {
        struct look_job j = {.folder = to->config->path, .count = size_min(c->count - at, LOOK_ENTRIES_MAX)};
        memcpy(j.entries, c->entries + at, j.count * sizeof *j.entries);
        TRY(lane_call(&to->lane, run_look, &j, sizeof j, NULL, loop_now() + BACKUP_DISK_MS_MAX));
        take_looked(to, c, &j, &kept);
    }
    c->count = kept;
    return OK;
}

/* A plain file where the folder should be: the kernel says that nothing is there. */
static err why_absent(struct backup_destination *to)
{
    struct os_stat stat;
    uint64_t mark = trail_mark();
    err e = file_stat(&to->lane, to->config->path, loop_now() + BACKUP_DISK_MS_MAX, &stat);
    if (e == OK && stat.kind != OS_FOLDER)
        return trail(E_INVALID, "%s is not a folder", to->config->path);
    trail_rewind(mark);
    return E_ABSENT;
}

err catalogue_open(struct backup_destination *to, struct catalogue *out)
{
    *out = (struct catalogue){0};
    TRY(backup_reach(to));
    err e = backup_moved(to, file_list(&to->lane, to->config->path, loop_now() + BACKUP_DISK_MS_MAX, see, out));
    if (e == E_ABSENT)
        e = why_absent(to);
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
    free(c->leftovers);
    *c = (struct catalogue){0};
}

/* --- the record of one --- */

struct record_job {
    char path[OS_PATH_MAX], file[OS_PATH_MAX];
    struct buf *into;
    size_t got;
    struct os_stat stat;
    err read;
};

static err read_record(struct record_job *j)
{
    os_fd fd;
    TRY(os_file_open(j->path, OS_READ, &fd));
    err e = os_file_read(fd, 0, j->into->at, RECORD_BYTES, &j->got);
    os_file_close(fd);
    return e;
}

static err run_record(void *job)
{
    struct record_job *j = job;
    TRY(os_stat_path(j->file, &j->stat));
    j->read = read_record(j);
    return OK;
}

/* What is told of a snapshot nobody has a good word for. */
static void without_record(struct backup_record *r, bool is_bad, const char *reason)
{
    struct backup_verification *v = &r->verification;
    *v = (struct backup_verification){.verdict = is_bad ? VERDICT_BAD : VERDICT_UNKNOWN};
    (void)snprintf(v->reason, sizeof v->reason, "%s", reason);
}

static void judge(const struct record_job *j, bool is_bad, struct backup_record *r)
{
    uint64_t mark = trail_mark();
    if (j->read == E_ABSENT)
        without_record(r, is_bad, "no-record");
    else if (j->read != OK || j->got >= RECORD_BYTES || backup_record_parse((struct bytes){j->into->at, j->got}, r) != OK)
        without_record(r, is_bad, "record");
    else if (r->verification.bytes != j->stat.bytes || (is_bad && r->verification.verdict != VERDICT_BAD) ||
             (!is_bad && r->verification.verdict == VERDICT_BAD))
        without_record(r, is_bad, "changed");
    trail_rewind(mark);
    r->verification.bytes = j->stat.bytes;
}

err catalogue_record(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *out)
{
    bool is_bad = !(entry->kinds & NAME_SNAPSHOT);
    struct record_job job = {.got = 0};
    *out = (struct backup_record){.took_ms = -1};
    TRY(backup_path(to, entry, NAME_RECORD, job.path));
    TRY(backup_path(to, entry, is_bad ? NAME_BAD : NAME_SNAPSHOT, job.file));
    TRY(backup_moved(to, buf_wait(RECORD_BYTES, loop_now() + BACKUP_DISK_MS_MAX, &job.into)));
    err e = lane_call(&to->lane, run_record, &job, sizeof job, &job.into->hold, loop_now() + BACKUP_DISK_MS_MAX);
    e = backup_moved(to, e);
    if (e == OK)
        judge(&job, is_bad, out);
    buf_release(job.into);
    backup_name(entry, NAME_SNAPSHOT, out->name);
    out->compressed = (entry->form & FORM_ZSTD) != 0;
    out->encrypted = (entry->form & FORM_AGE) != 0;
    out->taken_at_s = entry->at_s;
    (void)snprintf(out->path, sizeof out->path, "%s", job.file);
    (void)snprintf(out->destination, sizeof out->destination, "%s", to->config->name);
    return e == OK ? OK : trail(e, "looking at %s", job.file);
}

/* --- one goes --- */

static err remove_if(struct backup_destination *to, const struct backup_entry *entry, enum backup_name_kind kind)
{
    char path[OS_PATH_MAX];
    uint64_t mark = trail_mark();
    TRY(backup_path(to, entry, kind, path));
    err e = backup_moved(to, file_remove(&to->lane, path, loop_now() + BACKUP_DISK_MS_MAX));
    if (e != E_ABSENT)
        return e;
    trail_rewind(mark);
    return OK;
}

err backup_remove(struct backup_destination *to, const struct backup_entry *entry)
{
    if (entry->kinds & NAME_RECORD)
        TRY(remove_if(to, entry, NAME_RECORD));
    if (entry->kinds & NAME_SNAPSHOT)
        TRY(remove_if(to, entry, NAME_SNAPSHOT));
    return entry->kinds & NAME_BAD ? remove_if(to, entry, NAME_BAD) : OK;
}

/* --- all of them --- */

static err list_one(struct backup_destination *to, const struct backup_entry *entry, struct backup_record *r,
                    err (*each)(void *arg, const struct backup_record *r), void *arg)
{
    if (!(entry->kinds & (NAME_SNAPSHOT | NAME_BAD)))
        return OK;
    err e = catalogue_record(to, entry, r);
    if (e == E_ABSENT) { /* it was removed just now */
        trail_clear();
        return OK;
    }
    return e == OK ? each(arg, r) : e;
}

err catalogue_each(struct backup_destination *to, const struct catalogue *c,
                   err (*each)(void *arg, const struct backup_record *r), void *arg)
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

/* What is said of a file that cannot be looked at: nothing of it is proven now. */
static err list_unreachable(void *arg, struct backup_record *r)
{
    struct backup_verification *v = &r->verification;
    v->verdict = VERDICT_UNKNOWN;
    v->level = 0;
    (void)snprintf(v->reason, sizeof v->reason, "unreachable");
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
        e = catalogue_each(to, &c, list_record, &l);
    catalogue_close(&c);
    if (e != OK && e != E_CANCELED && !l.refused)
        cache_recall(b, to, l.after, list_unreachable, &l);
    return e == E_ABSENT && !l.after[0] ? not_made_yet(to) : e;
}
