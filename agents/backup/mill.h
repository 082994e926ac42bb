/* mill: buffers in, buffers out, through two stages, as jobs of one lane. What pack and unpack share.
 *
 * Layer    agents/backup, private, and only pack.c    Blocks   parks the fiber; the work runs on the lane.
 *          and unpack.c.                              Memory   embedded in its owner's one heap block; of I/O buffers two of
 * Owner    whoever embeds it; a stuck thread keeps             BACKUP_PIECE_BYTES.
 *          it by its hold.                            Errors   those of the stages, of pool.h and of put(): sticky. */
#ifndef HOLDFAST_BACKUP_MILL_H
#define HOLDFAST_BACKUP_MILL_H

#include "agents/backup/backup_internal.h"

#define MILL_MIDDLE_BYTES KIB(64)

/* As the stream calls of zstd.h and age.h. */
typedef err mill_run(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);
mill_run mill_copy; /* a stage that is none; state is not used */

struct mill {
    struct hold hold;
    struct lane *lane;
    err (*put)(void *arg, struct buf *out, ms deadline);
    void *arg;
    err failed; /* what the caller was told; sticky */
    bool at_work;
    /* the job's while it is at work, else the loop's */
    err (*open)(struct mill *m);                                    /* before the first piece */
    void (*see)(struct mill *m, struct bytes in, struct bytes out); /* what is new, on the pool: for digests */
    struct buf *from, *out;
    struct bytes in, between;
    bool opened, fresh, ending;
    bool forgives; /* an error of a stage is kept in broken and why, and what comes after it is only seen */
    err broken;
    char why[TRAIL_TEXT_MAX];
    struct {
        mill_run *run;
        void *state;
        bool done;
    } stage[2];
    uint8_t middle[MILL_MIDDLE_BYTES];
};

/* The rest is zeroed. drop: frees the block, on any thread. */
void mill_open(struct mill *m, struct lane *l, void (*drop)(struct hold *h));
/* Takes over the buffer, also on error; returns while it is at work. */
MUST_USE err mill_append(struct mill *m, struct buf *from, ms deadline);
MUST_USE err mill_settle(struct mill *m, ms deadline); /* all appended is through */
MUST_USE err mill_end(struct mill *m, ms deadline);    /* and both stages have ended, and all is put */
void mill_release(struct mill *m);                     /* for drop(): its buffers */

#endif
