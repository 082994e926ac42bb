/* sim_disk: blocks, inodes, names, and what of them outlives a power cut. */
#include "tests/sim/disk.h"

#include <stddef.h>
#include <string.h>

struct disk *disk;

void disk_map(void)
{
    disk = sim_shared(sizeof *disk);
}

void disk_format(void)
{
    memset(disk->cached, 0, disk->names_end * sizeof disk->cached[0]);
    memset(disk->durable, 0, disk->names_end * sizeof disk->durable[0]);
    disk->inodes_end = disk->names_end = 0;
    memset(disk->block_used, 0, sizeof disk->block_used);
    disk->block_used[0] = true; /* block 0 stands for zeros */
    disk->block_hint = 1;
    disk->changes = 0;
    (void)inode_new(true); /* ROOT */
}

/* --- blocks --- */
static uint32_t block_new(const uint8_t *like)
{
    for (uint32_t n = 0; n < BLOCKS_MAX; n++) {
        uint32_t b = (disk->block_hint + n) % BLOCKS_MAX;
        if (disk->block_used[b])
            continue;
        disk->block_used[b] = true;
        disk->block_hint = b + 1;
        if (like)
            memcpy(disk->blocks[b], like, BLOCK_BYTES);
        else
            memset(disk->blocks[b], 0, BLOCK_BYTES);
        return b;
    }
    sim_fail("the simulated disk's mapping is full: lower sim.disk_bytes");
}

static void block_free(uint32_t b)
{
    if (b != 0)
        disk->block_used[b] = false;
}

/* --- inodes --- */
static void inode_clear(struct inode *f)
{
    memset(f->cached, 0, f->blocks_end * sizeof f->cached[0]);
    memset(f->durable, 0, f->blocks_end * sizeof f->durable[0]);
    memset(f->lost, 0, f->blocks_end * sizeof f->lost[0]);
    memset(f, 0, offsetof(struct inode, cached));
}

unsigned inode_new(bool folder)
{
    unsigned i = 0;
    while (i < disk->inodes_end && disk->inodes[i].used)
        i++;
    if (i == INODES_MAX)
        return NO_INODE;
    disk->inodes_end += i == disk->inodes_end;
    inode_clear(&disk->inodes[i]);
    disk->inodes[i].used = true;
    disk->inodes[i].folder = folder;
    return i;
}

static void inode_free(struct inode *f)
{
    for (size_t b = 0; b < f->blocks_end; b++) {
        if (f->cached[b] != f->durable[b])
            block_free(f->durable[b]);
        block_free(f->cached[b]);
    }
    f->used = false;
}

static bool in_table(const struct name *table, unsigned inode)
{
    for (size_t i = 0; i < disk->names_end; i++)
        if (table[i].used && table[i].inode == inode)
            return true;
    return false;
}

static bool in_journal(unsigned inode)
{
    for (size_t i = 0; i < disk->changes; i++)
        if (disk->journal[i].to.inode == inode || disk->journal[i].from.inode == inode)
            return true;
    return false;
}

static bool is_named(unsigned inode)
{
    return inode == ROOT || in_table(disk->cached, inode) || in_table(disk->durable, inode) || in_journal(inode);
}

void inodes_collect(void)
{
    for (unsigned i = 0; i < disk->inodes_end; i++)
        if (disk->inodes[i].used && !is_named(i) && !handle_uses(HANDLE_FILE, i))
            inode_free(&disk->inodes[i]);
}

uint64_t disk_used_bytes(void)
{
    uint64_t blocks = 0;
    for (unsigned i = 0; i < disk->inodes_end; i++) {
        const struct inode *f = &disk->inodes[i];
        if (f->used && (in_table(disk->cached, i) || handle_uses(HANDLE_FILE, i)))
            for (size_t b = 0; b * BLOCK_BYTES < f->bytes; b++)
                blocks += f->cached[b] != 0;
    }
    return blocks * BLOCK_BYTES;
}

void inode_read(const struct inode *f, uint64_t at, uint8_t *into, size_t len)
{
    for (size_t done = 0, piece; done < len; done += piece, at += piece) {
        size_t inside = at % BLOCK_BYTES;
        piece = size_min(len - done, BLOCK_BYTES - inside);
        uint32_t b = f->cached[at / BLOCK_BYTES];
        if (b != 0)
            memcpy(into + done, disk->blocks[b] + inside, piece);
        else
            memset(into + done, 0, piece);
    }
}

/* A block that only the cache has, so that the durable one stays what it is. */
static uint8_t *block_to_write(struct inode *f, uint64_t index)
{
    uint32_t old = f->cached[index];
    if (old == 0 || old == f->durable[index])
        f->cached[index] = block_new(old ? disk->blocks[old] : NULL);
    f->blocks_end = f->blocks_end > index ? f->blocks_end : (unsigned)index + 1;
    f->lost[index] = false; /* dirty again, as a whole page */
    return disk->blocks[f->cached[index]];
}

err inode_write(struct inode *f, uint64_t at, const uint8_t *from, size_t len)
{
    uint64_t used = disk_used_bytes();
    for (size_t done = 0, piece; done < len; done += piece, at += piece) {
        size_t inside = at % BLOCK_BYTES;
        piece = size_min(len - done, BLOCK_BYTES - inside);
        if (at / BLOCK_BYTES >= FILE_BLOCKS_MAX)
            return E_NOSPACE;
        if (f->cached[at / BLOCK_BYTES] == 0 && (used += BLOCK_BYTES) > sim.disk_bytes)
            return E_NOSPACE;
        memcpy(block_to_write(f, at / BLOCK_BYTES) + inside, from + done, piece);
        f->bytes = f->bytes > at + piece ? f->bytes : at + piece;
    }
    return OK;
}

/* What is cut off reads as zeros when the file grows again. */
void inode_truncate(struct inode *f, uint64_t bytes)
{
    size_t inside = (size_t)(bytes % BLOCK_BYTES), b = (size_t)(bytes / BLOCK_BYTES);
    if (bytes < f->bytes && inside > 0 && f->cached[b] != 0)
        memset(block_to_write(f, b++) + inside, 0, BLOCK_BYTES - inside);
    else
        b += inside > 0;
    for (; b * BLOCK_BYTES < f->bytes; b++) {
        if (f->cached[b] != f->durable[b])
            block_free(f->cached[b]);
        f->cached[b] = 0;
        f->lost[b] = false;
    }
    f->bytes = bytes;
}

/* --- what reaches the disk --- */
/* Blocks to look at: also those that a truncation took away and the disk still has. */
static size_t blocks_of(const struct inode *f)
{
    uint64_t bytes = f->bytes > f->durable_bytes ? f->bytes : f->durable_bytes;
    return (size_t)((bytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

static void block_settle(struct inode *f, size_t b)
{
    block_free(f->durable[b]);
    f->durable[b] = f->cached[b];
}

static void sectors_settle(struct inode *f, size_t b, unsigned keep_permille)
{
    if (f->durable[b] == 0)
        f->durable[b] = block_new(NULL);
    uint8_t *to = disk->blocks[f->durable[b]];
    for (size_t s = 0; s < BLOCK_BYTES; s += SECTOR_BYTES)
        if (sim_chance(keep_permille))
            memcpy(to + s, disk->blocks[f->cached[b]] + s, SECTOR_BYTES);
}

static bool is_dirty(const struct inode *f, size_t b)
{
    return f->cached[b] != f->durable[b] && !f->lost[b];
}

/* The truncation is durable: what lay behind the end never comes back. */
static void length_cut(struct inode *f)
{
    size_t end = blocks_of(f);
    for (size_t b = (size_t)((f->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES); b < end; b++)
        block_settle(f, b);
    f->durable_bytes = f->bytes;
}

void inode_settle(struct inode *f, unsigned keep_permille)
{
    for (size_t b = 0; b < blocks_of(f); b++)
        if (is_dirty(f, b))
            sectors_settle(f, b, keep_permille);
    /* The length is metadata of its own: old, new, or, when it grows, on the way between them. */
    if (!sim_chance(keep_permille))
        return;
    if (f->bytes > f->durable_bytes)
        f->durable_bytes = sim_chance(500) ? f->bytes : f->durable_bytes + sim_draw(f->bytes - f->durable_bytes);
    else if (f->bytes < f->durable_bytes)
        length_cut(f);
}

void inode_sync(struct inode *f)
{
    for (size_t b = 0; b < blocks_of(f); b++)
        if (is_dirty(f, b))
            block_settle(f, b);
    f->durable_bytes = f->bytes;
}

void inode_sync_fails(struct inode *f)
{
    inode_settle(f, 500);
    for (size_t b = 0; b < blocks_of(f); b++)
        f->lost[b] = f->cached[b] != f->durable[b];
}

void disk_settle_all(void)
{
    for (unsigned i = 0; i < disk->inodes_end; i++)
        if (disk->inodes[i].used)
            inode_sync(&disk->inodes[i]);
    memcpy(disk->durable, disk->cached, disk->names_end * sizeof disk->durable[0]);
    disk->changes = 0;
}

/* The cache forgets: the file is what is durable, zeros behind its end. */
static void inode_forget(struct inode *f)
{
    f->bytes = f->durable_bytes;
    for (size_t b = 0; b < f->blocks_end; b++) {
        if (f->cached[b] != f->durable[b])
            block_free(f->cached[b]);
        if (b * BLOCK_BYTES >= f->bytes) {
            block_free(f->durable[b]);
            f->durable[b] = 0;
        } else if (f->durable[b] != 0 && f->bytes - b * BLOCK_BYTES < BLOCK_BYTES) {
            size_t inside = (size_t)(f->bytes - b * BLOCK_BYTES);
            memset(disk->blocks[f->durable[b]] + inside, 0, BLOCK_BYTES - inside);
        }
        f->cached[b] = f->durable[b];
        f->lost[b] = false;
    }
}

void disk_power_cut(uint64_t seed, unsigned variant)
{
    world_reset(seed ^ ((uint64_t)variant << 56));
    for (unsigned i = 0; i < disk->inodes_end; i++)
        if (disk->inodes[i].used && !disk->inodes[i].folder)
            inode_settle(&disk->inodes[i], variant == 0 ? 0 : variant == 1 ? 1000 : (unsigned)sim_draw(1001));
    if (variant == 1) /* only the process died */
        for (unsigned i = 0; i < disk->inodes_end; i++)
            if (disk->inodes[i].used)
                inode_sync(&disk->inodes[i]);
    names_power_cut(variant);
    for (unsigned i = 0; i < disk->inodes_end; i++)
        if (disk->inodes[i].used && !disk->inodes[i].folder)
            inode_forget(&disk->inodes[i]);
    inodes_collect();
}
