/* The device's mounts. */
#include "board/rt/os_linux.h"

#include <errno.h>
#include <sys/mount.h>

err os_mount(const char *source, const char *path, const char *type, const char *options)
{
    if (mount(source, path, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0)
        return OK;
    if (errno == EACCES) /* EPERM is ours, EACCES what a server said */
        return E_REMOTE;
    return errno == ENODEV || errno == EPROTONOSUPPORT ? E_UNSUPPORTED : os_err(errno);
}

err os_unmount(const char *path)
{
    if (umount2(path, MNT_FORCE) == 0)
        return OK;
    /* what is in use is busy for a forced one, which has ended the requests that wait */
    return os_err_or(umount2(path, MNT_DETACH));
}
