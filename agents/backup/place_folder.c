/* place_folder: a destination that is a folder: a directory, or an NFS export that is mounted. All on the destination's lane. */
#include "agents/backup/place_internal.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEFTOVERS_MAX 64 /* the rest next time */

static struct lane *lane_of(const struct place *p)
{
    return &p->to->lane;
}

static ms soon(void)
{
    return loop_now() + BACKUP_DISK_MS_MAX;
}

static err folder_open(struct backup *b, struct backup_destination *to, struct place **out)
{
    (void)b;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return E_BUDGET;
    (*out)->folder = to->config->path;
    return OK;
}

static void folder_close(struct place *p)
{
    free(p);
}

static void folder_rest(struct place *p)
{
    (void)p;
}

static void folder_base(const struct place *p, struct text *out)
{
    text_addf(out, "%s/", p->folder);
}

/* --- what is there --- */

/* A plain file where the folder should be: the kernel says that nothing is there. */
static err why_absent(struct place *p)
{
    struct os_stat stat;
    uint64_t mark = trail_mark();
    err e = file_stat(lane_of(p), p->folder, soon(), &stat);
    if (e == OK && stat.kind != OS_FOLDER)
        return trail(E_INVALID, "%s is not a folder", p->folder);
    trail_rewind(mark);
    return E_ABSENT;
}

struct listing {
    err (*each)(void *arg, const struct place_object *o);
    void *arg;
};

static err list_name(void *arg, const char *name)
{
    const struct listing *l = arg;
    return l->each(l->arg, &(struct place_object){.name = name});
}

static err folder_list(struct place *p, err (*each)(void *arg, const struct place_object *o), void *arg)
{
    struct listing l = {each, arg};
    TRY(backup_reach(p->to)); /* NFS: it is mounted */
    err e = file_list(lane_of(p), p->folder, soon(), list_name, &l);
    return e == E_ABSENT ? why_absent(p) : e;
}

/* --- only files: not a link, a folder, a pipe of such a name --- */

#define LOOK_ENTRIES_MAX 32

struct look_job {
    const char *folder; /* the configuration's: it outlives the lane */
    struct backup_entry entries[LOOK_ENTRIES_MAX];
    size_t count;
};
_Static_assert(sizeof(struct look_job) <= JOB_BYTES_MAX, "a job carries its entries");

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

/* What cannot be looked at is met again, and told, by who reads it. */
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

static err folder_look(struct place *p, struct backup_entry *entries, size_t count)
{
    for (size_t at = 0; at < count; at += LOOK_ENTRIES_MAX) {
        struct look_job j = {.folder = p->folder, .count = size_min(count - at, LOOK_ENTRIES_MAX)};
        memcpy(j.entries, entries + at, j.count * sizeof *j.entries);
        TRY(lane_call(lane_of(p), run_look, &j, sizeof j, NULL, soon()));
        memcpy(entries + at, j.entries, j.count * sizeof *j.entries);
    }
    return OK;
}

/* --- one file --- */

static err folder_stat(struct place *p, const char *name, struct place_object *out)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    TRY(place_path(p, name, path));
    TRY(file_stat(lane_of(p), path, soon(), &stat));
    if (stat.kind != OS_FILE)
        return trail(E_INVALID, "%s is no plain file", path);
    out->bytes = stat.bytes;
    out->modified_s = stat.modified_ms / 1000;
    return OK;
}

static err folder_read_small(struct place *p, const char *name, size_t bytes_max, struct buf **out)
{
    char path[OS_PATH_MAX];
    TRY(place_path(p, name, path));
    return file_read_small(lane_of(p), path, bytes_max, soon(), out);
}

static err folder_remove(struct place *p, const char *name)
{
    char path[OS_PATH_MAX];
    TRY(place_path(p, name, path));
    return file_remove(lane_of(p), path, soon());
}

static err write_whole(struct lane *l, const char *path, struct buf *page, ms deadline)
{
    struct writer *w = NULL;
    err e = writer_open(l, path, 1, NULL, 0, deadline, &w);
    if (e == OK)
        e = writer_append(w, page, false, deadline);
    else
        buf_release(page);
    if (e == OK)
        e = writer_commit_over(w, deadline);
    writer_close(w);
    return e;
}

static err folder_write_small(struct place *p, const char *name, struct bytes content, ms deadline)
{
    char path[OS_PATH_MAX];
    struct buf *page = NULL;
    TRY(place_path(p, name, path));
    TRY(buf_wait(content.len, deadline, &page));
    memcpy(page->at, content.at, content.len);
    page->len = content.len;
    return write_whole(lane_of(p), path, page, deadline);
}

static err folder_rename_new(struct place *p, const char *from, const char *to)
{
    char path[OS_PATH_MAX], other[OS_PATH_MAX];
    TRY(place_path(p, from, path));
    TRY(place_path(p, to, other));
    return file_rename_new(lane_of(p), path, other, soon());
}

/* --- what killed runs left --- */

struct leftovers {
    char names[LEFTOVERS_MAX][BACKUP_NAME_MAX];
    size_t count;
};

static err see_leftover(void *arg, const struct place_object *o)
{
    struct leftovers *l = arg;
    struct backup_entry entry;
    if (l->count < LEFTOVERS_MAX && strlen(o->name) < BACKUP_NAME_MAX && backup_name_kind(o->name, &entry) == NAME_LEFTOVER)
        memcpy(l->names[l->count++], o->name, strlen(o->name) + 1);
    return OK;
}

/* Where files cannot be locked, one older than any run can last is a leftover. */
static err remove_by_age(struct place *p, const char *path)
{
    struct os_stat stat;
    TRY(file_stat(lane_of(p), path, soon(), &stat));
    if (loop_wall_ms() - stat.modified_ms < p->backup->config->backup.total_timeout_ms)
        return E_BUSY;
    return file_remove(lane_of(p), path, soon());
}

static err remove_leftover(struct place *p, const char *name)
{
    char path[OS_PATH_MAX];
    if (place_path(p, name, path) != OK)
        return OK;
    err e = backup_moved(p->to, file_remove_leftover(lane_of(p), path, soon()));
    if (e == E_UNSUPPORTED)
        e = backup_moved(p->to, remove_by_age(p, path));
    if (e == OK)
        log_info("removed what an interrupted backup left", F("path", path));
    else if (e != E_BUSY && e != E_ABSENT && e != E_CANCELED)
        log_warn("cannot remove what an interrupted backup left", F("path", path), F_ERR(e));
    trail_clear();
    return e == E_CANCELED ? e : OK;
}

static err folder_tidy(struct place *p)
{
    struct leftovers *l = calloc(1, sizeof *l);
    if (!l)
        return E_BUDGET;
    err e = folder_list(p, see_leftover, l);
    for (size_t i = 0; e == OK && i < l->count; i++)
        e = remove_leftover(p, l->names[i]);
    free(l);
    return e;
}

const struct place_kind place_folder_kind = {
    .open = folder_open,
    .close = folder_close,
    .rest = folder_rest,
    .base = folder_base,
    .list = folder_list,
    .look = folder_look,
    .stat = folder_stat,
    .read_small = folder_read_small,
    .write_small = folder_write_small,
    .remove = folder_remove,
    .rename_new = folder_rename_new,
    .tidy = folder_tidy,
    .put_open = place_folder_put_open,
    .put_append = place_folder_put_append,
    .put_commit = place_folder_put_commit,
    .put_rename = place_folder_put_rename,
    .put_close = place_folder_put_close,
    .get_open = place_folder_get_open,
    .get_next = place_folder_get_next,
    .get_close = place_folder_get_close,
};
