/* lock_file: opening and locking on the pool; the descriptor is the caller's only once it has it. */
#include "hal/lock_file.h"

#include "board/rt/path.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOLDER_BYTES 24 /* a process id, spaces and a newline */

struct opening {
    struct hold hold; /* the caller's and the job's */
    os_fd fd;         /* -1: none, or the caller's by now */
    bool locked;
    uint64_t holder;
    char path[OS_PATH_MAX];
};

static void opening_drop(struct hold *h)
{
    struct opening *o = (struct opening *)(void *)((char *)h - offsetof(struct opening, hold));
    os_file_close(o->fd);
    free(o);
}

/* There are two ways to be first, and one of them may be lost to another process in between. */
static err open_or_make(const char *path, os_fd *out)
{
    err e = os_file_open(path, OS_WRITE, out);
    if (e == E_ABSENT)
        e = os_file_open(path, OS_CREATE_NEW, out);
    return e == E_EXISTS ? os_file_open(path, OS_WRITE, out) : e;
}

static uint64_t read_holder(os_fd fd)
{
    uint8_t text[HOLDER_BYTES];
    size_t got = 0, digits = 0;
    uint64_t id = 0;
    if (os_file_read(fd, 0, text, sizeof text, &got) != OK)
        return 0;
    while (digits < got && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return text_to_u64((struct bytes){text, digits}, &id) ? id : 0;
}

/* The id is for people and messages; the lock is the kernel's. Always as many bytes, so that the last one's are gone. */
static err write_holder(os_fd fd)
{
    char text[HOLDER_BYTES + 1];
    int len = snprintf(text, sizeof text, "%-*lld\n", HOLDER_BYTES - 1, (long long)getpid());
    return os_file_write(fd, 0, text, (size_t)len);
}

static err open_job(void *job)
{
    struct opening *o = *(struct opening **)job;
    if (!o->locked)
        return os_file_open(o->path, OS_READ, &o->fd);
    TRY(open_or_make(o->path, &o->fd));
    err e = os_file_lock(o->fd);
    if (e == E_BUSY)
        o->holder = read_holder(o->fd);
    return e == OK ? write_holder(o->fd) : e;
}

err lock_file_open(struct lane *l, const char *path, bool locked, ms deadline, os_fd *out, uint64_t *holder)
{
    *out = -1;
    struct opening *o = calloc(1, sizeof *o);
    if (!o)
        return E_BUDGET;
    hold_init(&o->hold, opening_drop);
    o->fd = -1;
    o->locked = locked;
    err e = path_copy(o->path, path);
    if (e == OK)
        e = lane_call(l, open_job, &o, sizeof o, &o->hold, deadline);
    if (e == OK) {
        *out = o->fd;
        o->fd = -1;
    } else if (e == E_BUSY && holder) {
        *holder = o->holder;
    }
    hold_release(&o->hold);
    return e;
}
