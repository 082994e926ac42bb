/* The database as a file: opened by one process, and set aside when it is damaged. */
#include "hal/store_inside.h"

#include "board/rt/path.h"

#include <stdio.h>
#include <stdlib.h>

/* What the stock library locks, at 1 GiB: https://sqlite.org/src/file/src/os.h, PENDING_BYTE to the end of SHARED_SIZE. While
 * we have it, whoever opens the file with that library is told "database is locked". */
#define LOCK_AT    0x40000000u
#define LOCK_BYTES 512u

err store_disk_open(const char *path, struct store_disk **out)
{
    struct store_disk *d = *out = calloc(1, sizeof *d);
    if (d == NULL)
        return trail(E_BUDGET, "opening %s", path);
    atomic_init(&d->holders, 1);
    d->fd = -1;
    err e = path_copy(d->path, path);
    if (e == OK)
        e = store_share_open(&d->share);
    if (e == OK)
        e = os_file_open(path, OS_CREATE, &d->fd);
    if (e == OK)
        e = os_file_lock_range(d->fd, LOCK_AT, LOCK_BYTES);
    if (e == OK)
        return OK;
    store_disk_release(d);
    *out = NULL;
    return trail(e, e == E_BUSY ? "%s is open in another process" : "opening %s", path);
}

void store_disk_release(struct store_disk *d)
{
    if (d == NULL || atomic_fetch_sub(&d->holders, 1) > 1)
        return;
    os_file_close(d->fd);
    store_share_close(d->share);
    free(d);
}

/* --- set aside: kept beside the new one, for whoever wants to look into it --- */

#define DAMAGED ".damaged"
#define WAL     "-wal" /* the library's name for it */

struct aside_job {
    char path[OS_PATH_MAX];
};

static err absent_is_fine(err e)
{
    return e == E_ABSENT ? OK : e;
}

/* The database first: without it the library takes a WAL that was left for none of its own. */
static err rename_both(const char *path)
{
    char folder[OS_PATH_MAX], from[OS_PATH_MAX + 16], to[OS_PATH_MAX + 16];
    path_folder(path, folder);
    snprintf(to, sizeof to, "%s" DAMAGED WAL, path);
    TRY(absent_is_fine(os_unlink(to)));
    snprintf(to, sizeof to, "%s" DAMAGED, path);
    TRY(os_rename_over(path, to));
    snprintf(from, sizeof from, "%s" WAL, path);
    snprintf(to, sizeof to, "%s" DAMAGED WAL, path);
    TRY(absent_is_fine(os_rename_over(from, to)));
    return os_sync_folder(folder);
}

static err run_aside(void *job)
{
    struct aside_job *j = job;
    struct store_disk *d = NULL;
    struct os_stat s;
    TRY(os_stat_path(j->path, &s));
    TRY(store_disk_open(j->path, &d)); /* nobody else has it */
    err e = rename_both(j->path);
    store_disk_release(d);
    return e;
}

err store_set_aside(const char *folder, ms deadline)
{
    struct aside_job job;
    struct lane lane;
    int len = snprintf(job.path, sizeof job.path, "%s/" STORE_FILE_NAME, folder);
    if (len >= (int)(sizeof job.path - sizeof DAMAGED WAL))
        return trail(E_RANGE, "setting the database in %s aside", folder);
    lane_open(&lane, "store", TASK_STORE, 1);
    err e = lane_call(&lane, run_aside, &job, sizeof job, NULL, deadline);
    lane_close(&lane);
    return trail(e, "setting %s aside", job.path);
}
