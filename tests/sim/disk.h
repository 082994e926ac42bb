/* disk: the simulated disk. What a file is (page cache) and what of it is durable, apart; folders the same, with the changes
 * between them in a journal. It lies in a mapping shared with the parent, so that it outlives the life that wrote it.
 *
 * Layer    tests.   Owner   the case.   Blocks   never.   Memory   one mapping, touched as used.
 * Errors   E_NOSPACE beyond sim.disk_bytes or a table's end; those of os.h. */
#ifndef HOLDFAST_SIM_DISK_H
#define HOLDFAST_SIM_DISK_H

#include "tests/sim/world.h"

#define SECTOR_BYTES    512  /* written whole or not at all */
#define BLOCK_BYTES     4096 /* a page of the cache */
#define FILE_BLOCKS_MAX 4096
#define BLOCKS_MAX      24576
#define INODES_MAX      256
#define NAMES_MAX       512
#define CHANGES_MAX     256 /* in the journal; the oldest becomes durable when it is full */
#define NO_INODE        UINT_MAX
#define ROOT            0

struct inode {
    bool used, folder;
    uint64_t bytes, durable_bytes;
    int64_t modified_ms;
    unsigned blocks_end; /* none behind it was ever written: all zeros, also in the inode's lives before */
    uint32_t cached[FILE_BLOCKS_MAX], durable[FILE_BLOCKS_MAX]; /* block numbers; 0: zeros; equal: clean */
    bool lost[FILE_BLOCKS_MAX]; /* a sync failed on it: the cache calls it clean, the disk does not have it */
};
struct name {
    bool used;
    unsigned folder, inode;
    char text[OS_NAME_MAX];
};
struct change { /* one atomic step: takes `from` away (when it has text) and puts `to` there (when it has text) */
    struct name from, to;
};
struct disk {
    struct inode inodes[INODES_MAX];
    struct name cached[NAMES_MAX], durable[NAMES_MAX];
    unsigned inodes_end, names_end; /* none behind them was ever used, so that nobody looks there */
    struct change journal[CHANGES_MAX];
    size_t changes;
    bool block_used[BLOCKS_MAX];
    uint32_t block_hint;
    uint8_t blocks[BLOCKS_MAX][BLOCK_BYTES];
};
extern struct disk *disk;

/* --- names --- */
struct name *name_find(struct name *table, unsigned folder, const char *text, size_t len);
/* The inode at path, or NO_INODE; its folder and last name in *folder and leaf (folder NO_INODE: no such folder). */
unsigned path_find(const char *path, unsigned *folder, char leaf[OS_NAME_MAX]);
err name_change(const struct change *c); /* in the cache and the journal */
err disk_create(unsigned folder, const char *leaf, bool is_folder, unsigned *inode);
void folder_settle(unsigned folder);    /* its changes so far are durable */
void names_power_cut(unsigned variant); /* see disk_power_cut() */

/* --- inodes --- */
unsigned inode_new(bool folder); /* NO_INODE: none left */
void inodes_collect(void);       /* frees those that nothing names or holds open */
uint64_t disk_used_bytes(void);
void inode_read(const struct inode *f, uint64_t at, uint8_t *into, size_t len);
err inode_write(struct inode *f, uint64_t at, const uint8_t *from, size_t len); /* E_NOSPACE after what fitted */
void inode_truncate(struct inode *f, uint64_t bytes);                           /* shorter or longer; in the cache */
void inode_settle(struct inode *f, unsigned keep_permille); /* each dirty sector reaches the disk with that chance */
void inode_sync(struct inode *f);                           /* all that the cache calls dirty */
void inode_sync_fails(struct inode *f);                     /* some reach it; the rest is called clean all the same */

#endif
