/* A damaged database is kept beside the new one, for whoever wants to look into it. */
#include "hal/store_inside.h"

#include "board/rt/path.h"
#include "board/rt/pool.h"

#include <stdio.h>

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
