/* The device's files. Called on pool threads; every call here may stick on a dead disk or mount. */
#include "board/rt/os_linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RENAME_KEEP_EXISTING 1u /* RENAME_NOREPLACE, linux/fs.h */

/* --- one file --- */

err os_file_open(const char *path, enum os_open how, os_fd *out)
{
    static const int flags[] = {
        [OS_READ] = O_RDONLY,
        [OS_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL,
        [OS_WRITE] = O_RDWR,
        [OS_CREATE] = O_RDWR | O_CREAT,
    };
    int fd;
    do
        fd = open(path, flags[how] | O_CLOEXEC | O_NOCTTY, S_IRUSR | S_IWUSR);
    while (fd < 0 && errno == EINTR);
    *out = fd;
    return os_err_or(fd);
}

err os_file_read(os_fd fd, uint64_t at, void *into, size_t cap, size_t *got)
{
    uint8_t *to = into;
    *got = 0;
    while (*got < cap) {
        ssize_t n = pread(fd, to + *got, cap - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return os_err(errno);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return OK;
}

err os_file_write(os_fd fd, uint64_t at, const void *from, size_t len)
{
    const uint8_t *bytes = from;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return os_err(errno);
        if (n == 0) /* POSIX allows it, Linux does not do it; without progress this must end */
            return E_IO;
        done += (size_t)n;
    }
    return OK;
}

#define SETTLE_BYTES ((off_t)MIB(8)) /* by then the disk has most likely taken them */

void os_file_push(os_fd fd, uint64_t at, uint64_t len)
{
    (void)sync_file_range(fd, (off_t)at, (off_t)len, SYNC_FILE_RANGE_WRITE);
    off_t settled = (off_t)at - SETTLE_BYTES;
    if (settled > 0) /* twice each byte, so that what was late goes too; what is not written yet stays */
        (void)posix_fadvise(fd, settled > SETTLE_BYTES ? settled - SETTLE_BYTES : 0, SETTLE_BYTES, POSIX_FADV_DONTNEED);
}

err os_file_sync(os_fd fd)
{
    return os_err_or(fdatasync(fd)); /* EINTR is not retried: what the first call lost, the second would not tell */
}

static void stat_tell(const struct stat *s, struct os_stat *out)
{
    out->kind = S_ISREG(s->st_mode) ? OS_FILE : S_ISDIR(s->st_mode) ? OS_FOLDER : OS_OTHER;
    out->bytes = (uint64_t)s->st_size;
    out->mode = s->st_mode & 07777;
    out->device = s->st_dev;
    out->inode = s->st_ino;
    out->modified_ms = (int64_t)s->st_mtim.tv_sec * 1000 + s->st_mtim.tv_nsec / 1000000;
}

err os_file_stat(os_fd fd, struct os_stat *out)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return os_err(errno);
    stat_tell(&s, out);
    return OK;
}

err os_file_truncate(os_fd fd, uint64_t bytes)
{
    int result;
    do
        result = ftruncate(fd, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return os_err_or(result);
}

err os_file_lock(os_fd fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return OK;
    return errno == EWOULDBLOCK ? E_BUSY : os_err(errno);
}

err os_file_lock_range(os_fd fd, uint64_t at, uint64_t bytes)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = (off_t)bytes};
    if (fcntl(fd, F_OFD_SETLK, &range) == 0)
        return OK;
    return errno == EACCES || errno == EAGAIN ? E_BUSY : os_err(errno);
}

void os_file_close(os_fd fd)
{
    if (fd >= 0)
        close(fd);
}

/* --- names --- */

err os_stat_path(const char *path, struct os_stat *out)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return os_err(errno);
    stat_tell(&s, out);
    return OK;
}

err os_stat_name(const char *path, struct os_stat *out)
{
    struct stat s;
    if (lstat(path, &s) != 0)
        return os_err(errno);
    stat_tell(&s, out);
    return OK;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

/* The last resort, for file systems without hard links either (exFAT, many FUSE): nobody but us may make that name meanwhile. */
static err rename_by_look(const char *from, const char *to)
{
    struct stat s;
    if (lstat(to, &s) == 0)
        return E_EXISTS;
    return errno == ENOENT ? os_err_or(rename(from, to)) : os_err(errno);
}

/* For file systems without RENAME_NOREPLACE (NFS). link(2) there may say EEXIST about its own, repeated success. */
static err rename_by_link(const char *from, const char *to)
{
    if (link(from, to) != 0) {
        if (errno == EPERM || errno == ENOSYS || errno == EOPNOTSUPP)
            return rename_by_look(from, to);
        if (errno != EEXIST || !is_same_file(from, to))
            return os_err(errno);
    }
    return os_err_or(unlink(from));
}

err os_rename_new(const char *from, const char *to)
{
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_KEEP_EXISTING) == 0)
        return OK;
    return errno == EINVAL || errno == ENOSYS ? rename_by_link(from, to) : os_err(errno);
}

err os_rename_over(const char *from, const char *to)
{
    return os_err_or(rename(from, to));
}

err os_unlink(const char *path)
{
    return os_err_or(unlink(path));
}

err os_rmdir(const char *path)
{
    return os_err_or(rmdir(path));
}

err os_mkdir(const char *path)
{
    return os_err_or(mkdir(path, S_IRWXU));
}

static err folder_open(const char *path, int *out)
{
    *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return os_err_or(*out);
}

err os_sync_folder(const char *path)
{
    int fd;
    TRY(folder_open(path, &fd));
    err e = os_err_or(fsync(fd));
    close(fd);
    return e == E_INVALID ? OK : e; /* fsync(2) EINVAL: this file system has nothing to sync for a folder */
}

err os_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs s;
    int result;
    do
        result = statvfs(path, &s);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return os_err(errno);
    *free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    *total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
    return OK;
}

/* --- listing --- */

struct entry { /* struct linux_dirent64, getdents64(2) */
    uint64_t inode;
    int64_t next_place;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

/* Copies the first name that is not a dot one and moves the cursor behind it; false: none in these bytes. */
static bool entry_pick(const char *at, size_t len, uint64_t *cursor, char name[OS_NAME_MAX])
{
    for (size_t i = 0; i < len;) {
        const struct entry *e = (const void *)(at + i);
        *cursor = (uint64_t)e->next_place;
        if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0) {
            snprintf(name, OS_NAME_MAX, "%.*s", OS_NAME_MAX - 1, e->name);
            return true;
        }
        i += e->bytes;
    }
    return false;
}

err os_list(const char *path, uint64_t *cursor, char name[OS_NAME_MAX])
{
    _Alignas(struct entry) char bytes[512]; /* one entry at the least: 19 + NAME_MAX + 1, rounded up */
    int fd;
    err e = OK;
    name[0] = 0;
    TRY(folder_open(path, &fd));
    if (*cursor != 0 && lseek(fd, (off_t)*cursor, SEEK_SET) < 0)
        e = os_err(errno);
    while (e == OK) {
        long got = syscall(SYS_getdents64, fd, bytes, sizeof bytes);
        if (got < 0)
            e = os_err(errno);
        if (got <= 0 || entry_pick(bytes, (size_t)got, cursor, name))
            break;
    }
    close(fd);
    return e;
}
