/* fetch_file: a local file, from its beginning, in pieces. What a stuck thread still reads into is kept by the hold. */
#include "agents/backup/fetch.h"

#include <stdlib.h>
#include <string.h>

#define CLOSE_MS_MAX SECONDS(5)

struct fetch_file {
    struct hold hold;
    struct lane *lane;
    char path[OS_PATH_MAX];
    os_fd fd;
    uint64_t at, bytes;
    struct buf *piece; /* being read into */
    size_t got;
};

struct file_job {
    struct fetch_file *file;
};

static void file_drop(struct hold *h)
{
    struct fetch_file *f = CONTAINER_OF(h, struct fetch_file, hold);
    buf_release(f->piece);
    os_file_close(f->fd);
    free(f);
}

static err run_open(void *job)
{
    struct fetch_file *f = ((struct file_job *)job)->file;
    return file_open_plain(f->path, &f->fd, &f->bytes);
}

static err run_read(void *job)
{
    struct fetch_file *f = ((struct file_job *)job)->file;
    return os_file_read(f->fd, f->at, f->piece->at, BACKUP_PIECE_BYTES, &f->got);
}

static err run_close(void *job)
{
    struct fetch_file *f = ((struct file_job *)job)->file;
    os_file_close(f->fd);
    f->fd = -1;
    return OK;
}

static err call(struct fetch_file *f, err (*run)(void *job))
{
    struct file_job job = {f};
    err e = lane_call(f->lane, run, &job, sizeof job, &f->hold, loop_now() + BACKUP_DISK_MS_MAX);
    return e == OK || e == E_CANCELED ? e : trail(e, "reading %s", f->path);
}

err fetch_file_open(struct lane *l, const char *path, struct fetch_file **out, uint64_t *bytes)
{
    *out = NULL;
    if (strlen(path) >= OS_PATH_MAX)
        return trail(E_RANGE, "%s: path too long", path);
    struct fetch_file *f = calloc(1, sizeof *f);
    if (!f)
        return E_BUDGET;
    hold_init(&f->hold, file_drop);
    f->lane = l;
    f->fd = -1;
    memcpy(f->path, path, strlen(path) + 1);
    err e = call(f, run_open);
    *bytes = f->bytes;
    if (e == OK)
        *out = f;
    else
        fetch_file_close(f);
    return e;
}

err fetch_file_next(struct fetch_file *f, struct buf **out)
{
    *out = NULL;
    TRY(buf_wait(BACKUP_PIECE_BYTES, loop_now() + BACKUP_DISK_MS_MAX, &f->piece));
    TRY(call(f, run_read)); /* after an error a thread may still read into it */
    struct buf *full = f->piece;
    f->piece = NULL;
    f->at += f->got;
    full->len = f->got;
    if (f->got == 0) {
        buf_release(full);
        return OK;
    }
    *out = full;
    return OK;
}

void fetch_file_close(struct fetch_file *f)
{
    struct file_job job = {f};
    if (!f)
        return;
    uint64_t mark = trail_mark();
    fiber_shield();
    err_ignore(
        lane_call(f->lane, run_close, &job, sizeof job, &f->hold, loop_now() + CLOSE_MS_MAX)); /* else the last hold does */
    fiber_unshield();
    trail_rewind(mark);
    hold_release(&f->hold);
}
