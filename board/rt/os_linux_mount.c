/* The device's mounts. */
#include "board/rt/os_linux.h"

#include <errno.h>
#include <sys/mount.h>
#include <time.h>

#define FORCED_MAX      20
#define FORCED_EVERY_NS 50000000 /* 50 ms */

err os_mount(const char *source, const char *path, const char *type, const char *options)
{
    if (mount(source, path, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0)
        return OK;
    if (errno == EACCES) /* EPERM is ours, EACCES what a server said */
        return E_REMOTE;
    return errno == ENODEV || errno == EPROTONOSUPPORT ? E_UNSUPPORTED : os_err(errno);
}

/* By force ends the requests that wait for the server; the calls they belong to may make others (a lookup is tried anew), which
 * wait again. What is in use is busy until they have all returned. Once it is detached nothing can end them any more. */
err os_unmount(const char *path)
{
    for (int i = 0; i < FORCED_MAX; i++) {
        if (umount2(path, MNT_FORCE) == 0)
            return OK;
        if (errno != EBUSY)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = FORCED_EVERY_NS}, NULL);
    }
    return os_err_or(umount2(path, MNT_DETACH));
}
