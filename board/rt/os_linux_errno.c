/* The one table from errno to err. */
#include "board/rt/os_linux.h"

#include <errno.h>

static const struct {
    int number;
    err error;
} errno_table[] = {
    {EAGAIN, E_AGAIN},
    {EINPROGRESS, E_AGAIN},
    {ETIMEDOUT, E_TIMEOUT},
    {ECONNRESET, E_RESET},
    {ECONNABORTED, E_RESET},
    {EPIPE, E_CLOSED},
    {ENOTCONN, E_CLOSED},
    {ECONNREFUSED, E_REFUSED},
    {ENETUNREACH, E_UNREACHABLE},
    {EHOSTUNREACH, E_UNREACHABLE},
    {ENETDOWN, E_UNREACHABLE},
    {EHOSTDOWN, E_UNREACHABLE},
    {EADDRNOTAVAIL, E_UNREACHABLE},
    {EACCES, E_DENIED},
    {EPERM, E_DENIED},
    {ENOENT, E_ABSENT},
    {ENOTDIR, E_ABSENT},
    {ENODEV, E_ABSENT},
    {ENXIO, E_ABSENT},
    {ECHILD, E_ABSENT},
    {ESRCH, E_ABSENT},
    {EEXIST, E_EXISTS},
    {ENOTEMPTY, E_EXISTS},
    {ENOSPC, E_NOSPACE},
    {EDQUOT, E_NOSPACE},
    {EROFS, E_READONLY},
    {ENOMEM, E_BUDGET},
    {EMFILE, E_BUDGET},
    {ENFILE, E_BUDGET},
    {ENOBUFS, E_BUDGET},
    {EBUSY, E_BUSY},
    {ETXTBSY, E_BUSY},
    {EADDRINUSE, E_BUSY},
    {EINVAL, E_INVALID},
    {EISDIR, E_INVALID},
    {ELOOP, E_INVALID},
    {ENOEXEC, E_INVALID},
    {ENAMETOOLONG, E_RANGE},
    {EFBIG, E_RANGE},
    {EMSGSIZE, E_RANGE},
    {E2BIG, E_RANGE},
    {EOVERFLOW, E_RANGE},
    {ENOLCK, E_UNSUPPORTED}, /* flock(2) of a file system without locks */
    {ENOSYS, E_UNSUPPORTED},
    {EOPNOTSUPP, E_UNSUPPORTED},
    {EAFNOSUPPORT, E_UNSUPPORTED},
    {EPROTONOSUPPORT, E_UNSUPPORTED},
};

err os_err(int errno_value)
{
    for (size_t i = 0; i < COUNT_OF(errno_table); i++)
        if (errno_table[i].number == errno_value)
            return errno_table[i].error;
    return errno_value == 0 ? OK : E_IO;
}

err os_err_or(int result)
{
    return result >= 0 ? OK : os_err(errno);
}
