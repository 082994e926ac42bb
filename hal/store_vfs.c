/* The files under the library: the database with a sum in each page, its WAL, and the journal of its very first change. */
#include "hal/store_inside.h"

#include "board/rt/path.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE (-1) /* the whole file */

struct store_link {
    sqlite3_vfs vfs;
    struct store_disk *disk;
    err error;
    char name[32];
};

struct store_file {
    sqlite3_file base;
    struct store_link *link;
    const char *path; /* the library's, for as long as the file is open */
    os_fd fd;
    bool database, wal, folder_synced;
    int level;
    struct store_share_mine mine;
    uint64_t open_from; /* WAL: the first frame that no commit has ended yet; their sums are made by the commit. 0: none */
};

static struct store_file *file_of(sqlite3_file *f)
{
    return CONTAINER_OF(f, struct store_file, base);
}

static int failed(struct store_link *l, err e, int code, const char *doing, const char *path, int64_t at)
{
    if (at == NOWHERE)
        e = trail(e, "%s %s", doing, path);
    else
        e = trail(e, "%s %s at byte %" PRId64, doing, path, at);
    if (l->error == OK)
        l->error = e;
    return e == E_NOSPACE ? SQLITE_FULL : code;
}

/* --- reading --- */

static int damaged(struct store_file *f, const char *what, uint64_t number, int64_t at)
{
    char doing[64];
    snprintf(doing, sizeof doing, "%s %" PRIu64 " is damaged in", what, number);
    return failed(f->link, E_CORRUPT, SQLITE_IOERR_DATA, doing, f->path, at);
}

/* Of the first page the library reads some bytes before the whole; they tell nothing that the whole does not. */
static int check_page(struct store_file *f, const void *page, size_t amount, int64_t at)
{
    uint64_t number = (uint64_t)at / STORE_PAGE_BYTES + 1;
    if (number == 1 && amount <= 100)
        return SQLITE_OK;
    if (amount != STORE_PAGE_BYTES || at % STORE_PAGE_BYTES != 0 || !store_page_is_sound(page, number))
        return damaged(f, "page", number, at);
    return SQLITE_OK;
}

/* The number of the frame whose page, or header, lies here; 0: something else does. */
static uint64_t frame_at(int64_t at, int64_t inside)
{
    int64_t from = at - inside - STORE_WAL_HEADER_BYTES;
    return from >= 0 && from % STORE_FRAME_BYTES == 0 ? (uint64_t)(from / STORE_FRAME_BYTES) + 1 : 0;
}

/* A page that comes out of the WAL: by the WAL's own sums. Whole frames are read, and checked, by the library. */
static int check_frame(struct store_file *f, const void *page, size_t amount, int64_t at)
{
    uint8_t before[STORE_FRAME_SUM_BYTES], header[STORE_FRAME_HEADER_BYTES];
    uint64_t number = amount == STORE_PAGE_BYTES ? frame_at(at, STORE_FRAME_HEADER_BYTES) : 0;
    size_t got, all = 0;
    if (number == 0 || (f->open_from > 0 && number >= f->open_from))
        return SQLITE_OK;
    uint64_t header_at = (uint64_t)at - sizeof header;
    uint64_t before_at = number == 1 ? STORE_WAL_HEADER_BYTES - sizeof before : header_at - STORE_PAGE_BYTES - sizeof before;
    err e = os_file_read(f->fd, header_at, header, sizeof header, &got);
    all += got;
    if (e == OK)
        e = os_file_read(f->fd, before_at, before, sizeof before, &got);
    all += got;
    if (e != OK)
        return failed(f->link, e, SQLITE_IOERR_READ, "reading", f->path, at);
    if (all != sizeof header + sizeof before || !store_frame_is_sound(before, header, page))
        return damaged(f, "frame", number, at);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *into, int amount, sqlite3_int64 at)
{
    struct store_file *f = file_of(base);
    size_t got, len = (size_t)amount;
    err e = os_file_read(f->fd, (uint64_t)at, into, len, &got);
    if (e != OK)
        return failed(f->link, e, SQLITE_IOERR_READ, "reading", f->path, at);
    if (got < len) {
        memset((uint8_t *)into + got, 0, len - got);
        return SQLITE_IOERR_SHORT_READ;
    }
    return f->database ? check_page(f, into, len, at) : f->wal ? check_frame(f, into, len, at) : SQLITE_OK;
}

/* --- writing --- */

static err write_counted(struct store_file *f, int64_t at, const void *from, size_t len)
{
    atomic_fetch_add_explicit(&f->link->disk->written_bytes, len, memory_order_relaxed);
    return os_file_write(f->fd, (uint64_t)at, from, len);
}

static err write_page(struct store_file *f, const void *page, size_t len, int64_t at)
{
    uint8_t sealed[STORE_PAGE_BYTES];
    if (len != sizeof sealed || at % STORE_PAGE_BYTES != 0)
        return E_INVALID; /* the library writes whole pages only */
    memcpy(sealed, page, sizeof sealed);
    store_page_seal(sealed, (uint64_t)at / STORE_PAGE_BYTES + 1);
    return write_counted(f, at, sealed, sizeof sealed);
}

/* The library may rewrite a page of the transaction that is going on in its place, and makes the sums good at its end. */
static void wal_note(struct store_file *f, const uint8_t *bytes, size_t len, int64_t at)
{
    uint64_t number = len == STORE_FRAME_HEADER_BYTES ? frame_at(at, 0) : 0;
    if (at == 0) /* begun anew */
        f->open_from = 0;
    if (number == 0)
        return;
    bool commits = memcmp(bytes + 4, "\0\0\0\0", 4) != 0; /* the database's size in pages, else 0 */
    f->open_from = commits ? 0 : f->open_from > 0 && f->open_from < number ? f->open_from : number;
}

static int file_write(sqlite3_file *base, const void *from, int amount, sqlite3_int64 at)
{
    struct store_file *f = file_of(base);
    size_t len = (size_t)amount;
    if (f->wal)
        wal_note(f, from, len, at);
    err e = f->database ? write_page(f, from, len, at) : write_counted(f, at, from, len);
    return e == OK ? SQLITE_OK : failed(f->link, e, SQLITE_IOERR_WRITE, "writing", f->path, at);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 bytes)
{
    struct store_file *f = file_of(base);
    err e = os_file_truncate(f->fd, (uint64_t)bytes);
    return e == OK ? SQLITE_OK : failed(f->link, e, SQLITE_IOERR_TRUNCATE, "truncating", f->path, bytes);
}

static err folder_sync(const char *path)
{
    char folder[OS_PATH_MAX];
    path_folder(path, folder);
    return os_sync_folder(folder);
}

/* The first time with its name: whoever opened it may have made it. */
static int file_sync(sqlite3_file *base, int flags)
{
    struct store_file *f = file_of(base);
    (void)flags; /* fdatasync is enough for all of them */
    err e = os_file_sync(f->fd);
    if (e == OK && !f->folder_synced)
        e = folder_sync(f->path);
    f->folder_synced = e == OK;
    return e == OK ? SQLITE_OK : failed(f->link, e, SQLITE_IOERR_FSYNC, "syncing", f->path, NOWHERE);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *bytes)
{
    struct store_file *f = file_of(base);
    struct os_stat s = {0};
    err e = os_file_stat(f->fd, &s);
    *bytes = (sqlite3_int64)s.bytes;
    return e == OK ? SQLITE_OK : failed(f->link, e, SQLITE_IOERR_FSTAT, "asking for the size of", f->path, NOWHERE);
}

/* --- sharing --- */

static int file_lock(sqlite3_file *base, int level)
{
    struct store_file *f = file_of(base);
    return store_share_lock(f->link->disk->share, f, &f->level, level) ? SQLITE_OK : SQLITE_BUSY;
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct store_file *f = file_of(base);
    store_share_unlock(f->link->disk->share, f, &f->level, level);
    return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *reserved)
{
    *reserved = store_share_is_reserved(file_of(base)->link->disk->share);
    return SQLITE_OK;
}

static int file_shm_map(sqlite3_file *base, int index, int bytes, int make, void volatile **out)
{
    struct store_file *f = file_of(base);
    err e = store_share_region(f->link->disk->share, &f->mine, (unsigned)index, (size_t)bytes, make != 0, out);
    return e == OK ? SQLITE_OK : failed(f->link, e, SQLITE_IOERR_NOMEM, "indexing the WAL of", f->path, NOWHERE);
}

static int file_shm_lock(sqlite3_file *base, int first, int count, int flags)
{
    struct store_file *f = file_of(base);
    struct store_share *s = f->link->disk->share;
    if (flags & SQLITE_SHM_UNLOCK) {
        store_share_give(s, &f->mine, (unsigned)first, (unsigned)count);
        return SQLITE_OK;
    }
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    return store_share_take(s, &f->mine, (unsigned)first, (unsigned)count, exclusive) ? SQLITE_OK : SQLITE_BUSY;
}

static void file_shm_barrier(sqlite3_file *base)
{
    (void)base;
    atomic_thread_fence(memory_order_seq_cst);
}

static int file_shm_unmap(sqlite3_file *base, int remove)
{
    struct store_file *f = file_of(base);
    (void)remove;
    store_share_leave(f->link->disk->share, &f->mine);
    return SQLITE_OK;
}

/* --- the rest of a file --- */

static int file_control(sqlite3_file *base, int what, void *arg)
{
    (void)base;
    (void)what;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return STORE_PAGE_BYTES;
}

/* A power cut while a sector is written leaves its neighbours alone: as the library assumes by itself. Without it every commit
 * would be padded to a whole page, and flash would wear. */
static int file_traits(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int file_close(sqlite3_file *base)
{
    struct store_file *f = file_of(base);
    store_share_leave(f->link->disk->share, &f->mine);
    if (f->database)
        store_share_unlock(f->link->disk->share, f, &f->level, SQLITE_LOCK_NONE);
    else
        os_file_close(f->fd);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = file_close,
                                           .xRead = file_read,
                                           .xWrite = file_write,
                                           .xTruncate = file_truncate,
                                           .xSync = file_sync,
                                           .xFileSize = file_size,
                                           .xLock = file_lock,
                                           .xUnlock = file_unlock,
                                           .xCheckReservedLock = file_is_reserved,
                                           .xFileControl = file_control,
                                           .xSectorSize = file_sector,
                                           .xDeviceCharacteristics = file_traits,
                                           .xShmMap = file_shm_map,
                                           .xShmLock = file_shm_lock,
                                           .xShmBarrier = file_shm_barrier,
                                           .xShmUnmap = file_shm_unmap};

/* --- names --- */

static struct store_link *link_of(sqlite3_vfs *v)
{
    return CONTAINER_OF(v, struct store_link, vfs);
}

static int vfs_open(sqlite3_vfs *v, sqlite3_filename path, sqlite3_file *base, int flags, int *flags_out)
{
    struct store_link *l = link_of(v);
    struct store_file *f = file_of(base);
    *f = (struct store_file){.link = l, .path = path, .fd = l->disk->fd};
    f->database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    f->wal = (flags & SQLITE_OPEN_WAL) != 0;
    if (path == NULL || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)))
        return failed(l, E_UNSUPPORTED, SQLITE_CANTOPEN, "opening a temporary file beside", l->disk->path, NOWHERE);
    err e = f->database ? OK : os_file_open(path, flags & SQLITE_OPEN_CREATE ? OS_CREATE : OS_WRITE, &f->fd);
    if (e != OK)
        return failed(l, e, SQLITE_CANTOPEN, "opening", path, NOWHERE);
    if (flags_out != NULL)
        *flags_out = flags;
    base->pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *path, int sync)
{
    err e = os_unlink(path);
    if (e == E_ABSENT)
        return SQLITE_IOERR_DELETE_NOENT;
    if (e == OK && sync)
        e = folder_sync(path);
    return e == OK ? SQLITE_OK : failed(link_of(v), e, SQLITE_IOERR_DELETE, "removing", path, NOWHERE);
}

/* As the stock library: what is empty is not there. */
static int vfs_access(sqlite3_vfs *v, const char *path, int flags, int *there)
{
    struct os_stat s = {0};
    err e = os_stat_path(path, &s);
    (void)flags;
    *there = e == OK && s.bytes > 0;
    if (e == OK || e == E_ABSENT)
        return SQLITE_OK;
    return failed(link_of(v), e, SQLITE_IOERR_ACCESS, "looking for", path, NOWHERE);
}

static int vfs_full_path(sqlite3_vfs *v, const char *path, int cap, char *out)
{
    (void)v;
    return snprintf(out, (size_t)cap, "%s", path) < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_last_error(sqlite3_vfs *v, int cap, char *out)
{
    (void)v;
    (void)cap;
    (void)out;
    return 0;
}

err store_link_open(struct store_disk *d, struct store_link **out)
{
    static atomic_uint links;
    struct store_link *l = *out = calloc(1, sizeof *l);
    if (l == NULL)
        return E_BUDGET;
    l->disk = d;
    snprintf(l->name, sizeof l->name, "holdfast-%u", atomic_fetch_add(&links, 1) + 1);
    l->vfs = (sqlite3_vfs){.iVersion = 2,
                           .szOsFile = sizeof(struct store_file),
                           .mxPathname = OS_PATH_MAX,
                           .zName = l->name,
                           .xOpen = vfs_open,
                           .xDelete = vfs_delete,
                           .xAccess = vfs_access,
                           .xFullPathname = vfs_full_path,
                           .xRandomness = store_lib_random,
                           .xSleep = store_lib_sleep,
                           .xGetLastError = vfs_last_error,
                           .xCurrentTimeInt64 = store_lib_now};
    atomic_fetch_add(&d->holders, 1);
    sqlite3_vfs_register(&l->vfs, 0); /* fails only when the library does not start, which it has */
    return OK;
}

void store_link_close(struct store_link *l)
{
    if (l == NULL)
        return;
    sqlite3_vfs_unregister(&l->vfs);
    store_disk_release(l->disk);
    free(l);
}

const char *store_link_name(const struct store_link *l)
{
    return l->name;
}

err store_link_error(struct store_link *l)
{
    err e = l->error;
    l->error = OK;
    return e;
}
