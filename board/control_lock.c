/* control_lock: one process works on a `data` at a time. */
#include "board/control_inside.h"

#include "hal/lock_file.h"

#include <stdio.h>

err control_lock_take(struct control_lock *l, const char *data, ms deadline)
{
    char path[OS_PATH_MAX];
    uint64_t holder = 0;
    l->fd = -1;
    int n = snprintf(path, sizeof path, "%s/" CONTROL_LOCK_NAME, data);
    if (n <= 0 || (size_t)n >= sizeof path)
        return trail(E_RANGE, "%s/" CONTROL_LOCK_NAME, data);
    lane_open(&l->lane, "lock", mem_task(), 1);
    err e = file_make_folder(&l->lane, data, deadline);
    if (e == OK)
        e = lock_file_open(&l->lane, path, true, deadline, &l->fd, &holder);
    lane_close(&l->lane);
    if (e == E_BUSY && holder > 0)
        return trail(e, "process %llu holds %s", (unsigned long long)holder, path);
    return e == OK ? OK : trail(e, "locking %s", path);
}

void control_lock_give(struct control_lock *l)
{
    os_file_close(l->fd); /* the lock goes with the descriptor; the file stays, so that nobody locks one that is gone */
    l->fd = -1;
}
