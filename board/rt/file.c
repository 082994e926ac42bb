/* Files for fibers: each call is one job that carries its paths with it, so that a thread stuck in it needs nothing of ours. */
#include "board/rt/file.h"

#include "board/rt/path.h"

#include <string.h>

/* --- paths --- */

err path_copy(char out[OS_PATH_MAX], const char *path)
{
    size_t len = strlen(path);
    if (len == 0)
        return E_INVALID;
    if (len >= OS_PATH_MAX)
        return E_RANGE;
    memcpy(out, path, len + 1);
    return OK;
}

void path_folder(const char *path, char out[OS_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    ASSERT(len < OS_PATH_MAX);
    if (slash == NULL)
        out[len++] = '.';
    else if (len == 0)
        out[len++] = '/';
    else
        memcpy(out, path, len);
    out[len] = 0;
}

err file_open_plain(const char *path, os_fd *out, uint64_t *bytes)
{
    struct os_stat stat;
    *out = -1;
    TRY(os_stat_path(path, &stat));
    if (stat.kind != OS_FILE)
        return E_INVALID;
    TRY(os_file_open(path, OS_READ, out));
    err e = os_file_stat(*out, &stat);
    *bytes = stat.bytes;
    if (e == OK)
        return OK;
    os_file_close(*out);
    *out = -1;
    return e;
}

/* --- reading a small one --- */

struct read_job {
    char path[OS_PATH_MAX];
    struct buf *into;
    size_t bytes_max, got;
};

static err run_read(void *job)
{
    struct read_job *j = job;
    os_fd fd;
    TRY(os_file_open(j->path, OS_READ, &fd));
    err e = os_file_read(fd, 0, j->into->at, j->bytes_max + 1, &j->got);
    os_file_close(fd);
    return e == OK && j->got > j->bytes_max ? E_RANGE : e;
}

err file_read_small(struct lane *l, const char *path, size_t bytes_max, ms deadline, struct buf **out)
{
    struct read_job job = {.bytes_max = bytes_max};
    struct buf *b = NULL;
    *out = NULL;
    err e = path_copy(job.path, path);
    if (e == OK)
        e = buf_wait(bytes_max + 1, deadline, &b);
    if (e == OK) {
        job.into = b;
        e = lane_call(l, run_read, &job, sizeof job, &b->hold, deadline);
    }
    if (e == OK) {
        b->len = job.got;
        b->at[b->len] = 0;
        *out = b;
        return OK;
    }
    buf_release(b);
    return trail(e, "reading %s%s", path, e == E_INVALID ? " (is it a folder?)" : "");
}

/* --- one path, one answer --- */

struct path_job {
    char path[OS_PATH_MAX];
    struct os_stat stat;
    uint64_t free_bytes, total_bytes;
};

static err path_call(struct lane *l, err (*run)(void *job), const char *path, ms deadline, struct path_job *job)
{
    TRY(path_copy(job->path, path));
    return lane_call(l, run, job, sizeof *job, NULL, deadline);
}

static err run_stat(void *job)
{
    struct path_job *j = job;
    return os_stat_path(j->path, &j->stat);
}

err file_stat(struct lane *l, const char *path, ms deadline, struct os_stat *out)
{
    struct path_job job = {.free_bytes = 0};
    err e = path_call(l, run_stat, path, deadline, &job);
    *out = job.stat;
    return trail(e, "looking at %s", path);
}

static err run_remove(void *job)
{
    struct path_job *j = job;
    char folder[OS_PATH_MAX];
    TRY(os_unlink(j->path));
    path_folder(j->path, folder);
    return os_sync_folder(folder);
}

err file_remove(struct lane *l, const char *path, ms deadline)
{
    struct path_job job = {.free_bytes = 0};
    return trail(path_call(l, run_remove, path, deadline, &job), "removing %s", path);
}

struct rename_job {
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
};

static err run_rename(void *job)
{
    struct rename_job *j = job;
    char folder[OS_PATH_MAX];
    TRY(os_rename_new(j->from, j->to));
    path_folder(j->to, folder);
    return os_sync_folder(folder);
}

err file_rename_new(struct lane *l, const char *from, const char *to, ms deadline)
{
    struct rename_job job;
    err e = path_copy(job.from, from);
    if (e == OK)
        e = path_copy(job.to, to);
    if (e == OK)
        e = lane_call(l, run_rename, &job, sizeof job, NULL, deadline);
    return trail(e, "renaming %s to %s", from, to);
}

/* A writer that commits in between has renamed it: then there is nothing left to remove. */
static err run_remove_leftover(void *job)
{
    struct path_job *j = job;
    os_fd fd;
    TRY(os_file_open(j->path, OS_WRITE, &fd));
    err e = os_file_lock(fd);
    if (e == OK)
        e = run_remove(j);
    else if (e != E_BUSY)
        e = E_UNSUPPORTED;
    os_file_close(fd);
    return e;
}

err file_remove_leftover(struct lane *l, const char *path, ms deadline)
{
    struct path_job job = {.free_bytes = 0};
    return trail(path_call(l, run_remove_leftover, path, deadline, &job), "removing %s", path);
}

static err run_space(void *job)
{
    struct path_job *j = job;
    return os_space(j->path, &j->free_bytes, &j->total_bytes);
}

err file_space(struct lane *l, const char *path, ms deadline, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct path_job job = {.free_bytes = 0};
    err e = path_call(l, run_space, path, deadline, &job);
    *free_bytes = job.free_bytes;
    *total_bytes = job.total_bytes;
    return trail(e, "asking the free space of %s", path);
}

/* --- folders --- */

/* One level. What is there already may be any kind of folder, also a link to one. */
static err folder_make(const char *path)
{
    char parent[OS_PATH_MAX];
    struct os_stat stat;
    err e = os_mkdir(path);
    if (e == OK) {
        path_folder(path, parent);
        return os_sync_folder(parent);
    }
    if (os_stat_path(path, &stat) != OK) /* mkdir's own refusal says more: read-only, denied */
        return e;
    return stat.kind == OS_FOLDER ? OK : E_EXISTS;
}

static err run_make_folder(void *job)
{
    struct path_job *j = job;
    size_t len = strlen(j->path);
    while (len > 1 && j->path[len - 1] == '/')
        j->path[--len] = 0;
    for (char *at = j->path + 1; at < j->path + len; at++)
        if (*at == '/' && at[-1] != '/') {
            *at = 0;
            err e = folder_make(j->path);
            *at = '/';
            TRY(e);
        }
    return folder_make(j->path);
}

err file_make_folder(struct lane *l, const char *path, ms deadline)
{
    struct path_job job = {.free_bytes = 0};
    return trail(path_call(l, run_make_folder, path, deadline, &job), "making the folder %s", path);
}

#define LIST_NAMES_BYTES 640 /* two names of the largest kind, or some dozens of the usual */

struct list_job {
    char path[OS_PATH_MAX];
    uint64_t cursor;
    bool end;
    size_t used;
    char names[LIST_NAMES_BYTES]; /* one after the other, each with its zero */
};
_Static_assert(sizeof(struct list_job) <= JOB_BYTES_MAX && LIST_NAMES_BYTES >= OS_NAME_MAX, "a batch of names is one job");

static err run_list(void *job)
{
    struct list_job *j = job;
    j->used = 0;
    for (;;) {
        char name[OS_NAME_MAX];
        uint64_t next = j->cursor;
        TRY(os_list(j->path, &next, name));
        size_t bytes = strlen(name) + 1;
        j->end = name[0] == 0;
        if (j->end || bytes > sizeof j->names - j->used)
            return OK;
        memcpy(j->names + j->used, name, bytes);
        j->used += bytes;
        j->cursor = next;
    }
}

static err list_walk(struct lane *l, const char *folder, ms deadline, err (*each)(void *arg, const char *name), void *arg)
{
    struct list_job job = {.cursor = 0};
    TRY(path_copy(job.path, folder));
    while (!job.end) {
        TRY(lane_call(l, run_list, &job, sizeof job, NULL, deadline));
        for (size_t at = 0; at < job.used; at += strlen(job.names + at) + 1)
            TRY(each(arg, job.names + at));
    }
    return OK;
}

err file_list(struct lane *l, const char *folder, ms deadline, err (*each)(void *arg, const char *name), void *arg)
{
    return trail(list_walk(l, folder, deadline, each, arg), "listing %s", folder);
}
