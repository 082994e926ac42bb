/* sim_file: the file calls of os.h over the simulated disk. Each costs virtual time; from a fiber it ends the life. */
#include "board/rt/fiber.h"
#include "tests/sim/disk.h"

#include <string.h>

#define CALL_NS 20000

/* Files may block: a fiber that asks for one without the pool would stop the loop on the device. */
static err call(const char *name, err fault)
{
    if (fiber_self() && !offload_is_job())
        sim_fail("%s on the loop's thread", name);
    world_charge(CALL_NS);
    return fault_here(name, fault);
}

/* For calls that change the disk. */
static err change(const char *name, err fault)
{
    TRY(call(name, fault));
    fault_cut_here();
    return sim.disk_readonly ? E_READONLY : OK;
}

static void charge_bytes(size_t len)
{
    if (sim.disk_bytes_per_s > 0)
        world_charge((int64_t)((uint64_t)len * 1000000000 / sim.disk_bytes_per_s));
}

static void charge_sync(void)
{
    world_charge((int64_t)sim_draw((uint64_t)sim.disk_sync_ms_max * NS_PER_MS + 1));
}

static err path_check(const char *path)
{
    return strlen(path) < OS_PATH_MAX ? OK : E_RANGE;
}

static struct inode *inode_at(os_fd fd)
{
    return &disk->inodes[handle_at(fd, HANDLE_FILE)->index];
}

static int64_t modified_now(void)
{
    return os_wall_ms();
}

/* --- files --- */
err os_file_open(const char *path, enum os_open how, os_fd *out)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    *out = -1;
    TRY(path_check(path));
    bool makes = how == OS_CREATE_NEW || (how == OS_CREATE && path_find(path, &folder, leaf) == NO_INODE);
    TRY(makes ? change("os_file_open", sim_chance(500) ? E_NOSPACE : E_BUDGET)
              : call("os_file_open", sim_chance(500) ? E_IO : E_BUDGET));
    unsigned inode = path_find(path, &folder, leaf);
    if (how == OS_CREATE_NEW && inode != NO_INODE)
        return E_EXISTS;
    if (folder == NO_INODE || (!makes && inode == NO_INODE))
        return E_ABSENT;
    if (inode == NO_INODE)
        TRY(disk_create(folder, leaf, false, &inode));
    if (disk->inodes[inode].folder)
        return E_INVALID;
    if (how != OS_READ && sim.disk_readonly)
        return E_READONLY;
    TRY(handle_open(HANDLE_FILE, inode, out));
    handle_at(*out, HANDLE_FILE)->writable = how != OS_READ;
    return OK;
}

err os_file_read(os_fd fd, uint64_t at, void *into, size_t cap, size_t *got)
{
    const struct inode *f = inode_at(fd);
    *got = 0;
    TRY(call("os_file_read", E_IO));
    if (at < f->bytes)
        *got = f->bytes - at < cap ? (size_t)(f->bytes - at) : cap;
    charge_bytes(*got);
    inode_read(f, at, into, *got);
    return OK;
}

/* A write that fails may have written some of it. */
static err torn_write(struct inode *f, uint64_t at, const void *from, size_t len, err why)
{
    size_t some = sim_draw(len / SECTOR_BYTES + 1) * SECTOR_BYTES;
    err part = inode_write(f, at, from, some);
    return part != OK ? part : why;
}

err os_file_write(os_fd fd, uint64_t at, const void *from, size_t len)
{
    struct inode *f = inode_at(fd);
    if (!handle_at(fd, HANDLE_FILE)->writable)
        sim_fail("write to descriptor %d, which was opened for reading", fd);
    err fault = change("os_file_write", sim_chance(500) ? E_IO : E_NOSPACE);
    if (fault == E_IO || fault == E_NOSPACE)
        return torn_write(f, at, from, len, fault);
    TRY(fault);
    charge_bytes(len);
    f->modified_ms = modified_now();
    err result = inode_write(f, at, from, len);
    if (sim_chance(sim.disk_flush_permille))
        inode_settle(f, 500);
    return result;
}

err os_file_truncate(os_fd fd, uint64_t bytes)
{
    struct inode *f = inode_at(fd);
    if (!handle_at(fd, HANDLE_FILE)->writable)
        sim_fail("truncation of descriptor %d, which was opened for reading", fd);
    TRY(change("os_file_truncate", E_IO));
    if (bytes > (uint64_t)FILE_BLOCKS_MAX * BLOCK_BYTES)
        return E_NOSPACE;
    f->modified_ms = modified_now();
    inode_truncate(f, bytes);
    if (sim_chance(sim.disk_flush_permille))
        inode_settle(f, 500);
    return OK;
}

void os_file_push(os_fd fd, uint64_t at, uint64_t len)
{
    struct inode *f = inode_at(fd);
    (void)at;
    (void)len;
    world_charge(CALL_NS);
    inode_settle(f, 500);
}

static unsigned sync_fails_in;

void sim_disk_fail_sync(unsigned nth)
{
    sync_fails_in = nth;
}

err os_file_sync(os_fd fd)
{
    struct inode *f = inode_at(fd);
    err fault = change("os_file_sync", E_IO);
    charge_sync();
    if (sync_fails_in > 0 && --sync_fails_in == 0)
        fault = E_IO;
    if (fault == E_IO)
        inode_sync_fails(f);
    TRY(fault);
    inode_sync(f);
    return OK;
}

static void stat_of(const struct inode *f, struct os_stat *out)
{
    *out = (struct os_stat){
        f->folder ? OS_FOLDER : OS_FILE, f->folder ? 0 : f->bytes, f->modified_ms, f->folder ? 0700 : 0600, 0, 0};
}

err os_file_stat(os_fd fd, struct os_stat *out)
{
    TRY(call("os_file_stat", E_IO));
    stat_of(inode_at(fd), out);
    return OK;
}

err os_file_lock(os_fd fd)
{
    struct handle *h = handle_at(fd, HANDLE_FILE);
    TRY(call("os_file_lock", E_BUSY));
    for (os_fd other = 3; other < HANDLES_MAX + 3; other++)
        if (other != fd && handle_is_lock(other, h->index))
            return E_BUSY;
    h->locked = true;
    return OK;
}

err os_file_lock_range(os_fd fd, uint64_t at, uint64_t bytes)
{
    struct handle *h = handle_at(fd, HANDLE_FILE);
    TRY(call("os_file_lock_range", E_BUSY));
    for (os_fd other = 3; other < HANDLES_MAX + 3; other++)
        if (other != fd && handle_locks_range(other, h->index, at, at + bytes))
            return E_BUSY;
    h->range_at = at;
    h->range_end = at + bytes;
    return OK;
}

void os_file_close(os_fd fd)
{
    if (fd == -1)
        return;
    (void)handle_at(fd, HANDLE_FILE);
    handle_close(fd);
}

/* --- paths --- */
err os_stat_path(const char *path, struct os_stat *out)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    TRY(path_check(path));
    TRY(call("os_stat_path", E_IO));
    unsigned inode = path_find(path, &folder, leaf);
    if (inode == NO_INODE)
        return E_ABSENT;
    stat_of(&disk->inodes[inode], out);
    return OK;
}

err os_stat_name(const char *path, struct os_stat *out)
{
    return os_stat_path(path, out); /* no links here */
}

static err rename_to(const char *from, const char *to, bool over)
{
    struct change c = {.from.inode = NO_INODE};
    TRY(path_check(from));
    TRY(path_check(to));
    TRY(change("os_rename", E_IO));
    unsigned inode = path_find(from, &c.from.folder, c.from.text), there = path_find(to, &c.to.folder, c.to.text);
    if (inode == NO_INODE || c.to.folder == NO_INODE)
        return E_ABSENT;
    if (there != NO_INODE && !over)
        return E_EXISTS;
    if (there == inode)
        return OK;
    c.from.inode = c.to.inode = inode;
    return name_change(&c);
}

err os_rename_new(const char *from, const char *to)
{
    return rename_to(from, to, false);
}

err os_rename_over(const char *from, const char *to)
{
    return rename_to(from, to, true);
}

err os_unlink(const char *path)
{
    struct change c = {.to.inode = NO_INODE};
    TRY(path_check(path));
    TRY(change("os_unlink", E_IO));
    c.from.inode = path_find(path, &c.from.folder, c.from.text);
    if (c.from.inode == NO_INODE)
        return E_ABSENT;
    return disk->inodes[c.from.inode].folder ? E_INVALID : name_change(&c);
}

err os_rmdir(const char *path)
{
    struct change c = {.to.inode = NO_INODE};
    TRY(path_check(path));
    TRY(change("os_rmdir", E_IO));
    c.from.inode = path_find(path, &c.from.folder, c.from.text);
    if (c.from.inode == NO_INODE)
        return E_ABSENT;
    if (c.from.inode == ROOT || !disk->inodes[c.from.inode].folder)
        return E_INVALID;
    for (unsigned i = 0; i < disk->names_end; i++)
        if (disk->cached[i].used && disk->cached[i].folder == c.from.inode)
            return E_EXISTS;
    return name_change(&c);
}

err os_mkdir(const char *path)
{
    unsigned folder, inode;
    char leaf[OS_NAME_MAX] = "";
    TRY(path_check(path));
    TRY(change("os_mkdir", E_NOSPACE));
    if (path_find(path, &folder, leaf) != NO_INODE)
        return E_EXISTS;
    return folder == NO_INODE ? E_ABSENT : disk_create(folder, leaf, true, &inode);
}

err os_sync_folder(const char *path)
{
    unsigned folder;
    char leaf[OS_NAME_MAX] = "";
    TRY(path_check(path));
    TRY(change("os_sync_folder", E_IO));
    unsigned inode = path_find(path, &folder, leaf);
    if (inode == NO_INODE)
        return E_ABSENT;
    charge_sync();
    folder_settle(inode);
    return OK;
}

err os_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct os_stat ignored;
    TRY(os_stat_path(path, &ignored));
    uint64_t used = disk_used_bytes();
    *total_bytes = sim.disk_bytes;
    *free_bytes = used < sim.disk_bytes ? sim.disk_bytes - used : 0;
    return OK;
}

err os_list(const char *path, uint64_t *cursor, char name[OS_NAME_MAX])
{
    unsigned folder;
    name[0] = 0;
    TRY(path_check(path));
    TRY(call("os_list", E_IO));
    unsigned inode = path_find(path, &folder, name);
    name[0] = 0;
    if (inode == NO_INODE || !disk->inodes[inode].folder)
        return inode == NO_INODE ? E_ABSENT : E_INVALID;
    for (; *cursor < disk->names_end && !name[0]; ++*cursor)
        if (disk->cached[*cursor].used && disk->cached[*cursor].folder == inode)
            memcpy(name, disk->cached[*cursor].text, OS_NAME_MAX);
    return OK;
}

/* --- mounts: this world has one file system --- */

err os_mount(const char *source, const char *path, const char *type, const char *options)
{
    (void)source;
    (void)path;
    (void)type;
    (void)options;
    return E_UNSUPPORTED;
}

err os_unmount(const char *path)
{
    (void)path;
    return E_UNSUPPORTED;
}
