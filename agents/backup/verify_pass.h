/* verify_pass: one reader of a file, in jobs of some 50 ms on a lane.
 *
 * Layer    agents/backup, private: verify*.c, source_file.c.  Blocks   pass_call() parks the fiber; the jobs run on the lane.
 * Owner    the caller, until pass_close(); what a stuck    Memory   one block; what its step makes.
 *          thread still looks at is kept by its hold.      Errors   those of os.h and pool.h. */
#ifndef HOLDFAST_BACKUP_VERIFY_PASS_H
#define HOLDFAST_BACKUP_VERIFY_PASS_H

#include "agents/backup/backup_internal.h"

#include <stdatomic.h>

/* One reader of the file. Only its jobs touch it, but for what is read between them. */
struct pass {
    struct hold hold;
    atomic_bool given_up;
    char path[OS_PATH_MAX];
    os_fd fd;
    uint64_t bytes, db_bytes, at;
    err (*step)(struct pass *p, bool *done);
    /* the digest's */
    struct buf *piece;
    struct sha256 sha;
    uint8_t trailer[SHA256_BYTES];
    /* the walk's */
    struct etcd_db *db;
    size_t memory_bytes;
};

struct pass_job {
    struct pass *pass;
    uint64_t at; /* how far, out of db_bytes */
    bool done;
};

/* Opens the file. E_INVALID: no regular file. *out is to be closed in any case. */
MUST_USE err pass_open(struct lane *l, const char *path, err (*step)(struct pass *p, bool *done), struct pass **out);
MUST_USE err pass_steps(struct lane *l, struct pass *p, struct pass_job *job); /* one job; E_CANCELED */
void pass_close(struct lane *l, struct pass *p);                               /* NULL is fine */
MUST_USE err pass_digest_step(struct pass *p, bool *done);
MUST_USE err pass_walk_step(struct pass *p, bool *done);

#endif
