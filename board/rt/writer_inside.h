/* writer_inside: what writer.c, in the loop, and writer_jobs.c, on the pool, share. Private to them; file.h has the writer's
 * calls.
 *
 * Layer    rt.   Owner   the caller's hold and one of each job keep struct writer.   Memory   the caller's task's.
 * Threads  struct writer says which side a field belongs to; `gate` and `finished` are both sides'.
 * Errors   a job's are the call's that waits for it; of an append, the next call's. E_CANCELED: given up meanwhile. */
#ifndef HOLDFAST_WRITER_INSIDE_H
#define HOLDFAST_WRITER_INSIDE_H

#include "board/rt/file.h"
#include "board/rt/lane.h"

#include <stdalign.h>
#include <stdatomic.h>

#define WRITER_DEPTH_MAX       8
#define WRITER_PART_MARK       ".part-"
#define WRITER_PART_HEX_DIGITS 8
#define WRITER_PART_BYTES      (sizeof WRITER_PART_MARK - 1 + WRITER_PART_HEX_DIGITS) /* a part's name is so much longer */

enum gate { WRITING, GIVEN_UP, COMMITTED };

struct pending {
    struct buf *data;
    bool tapped;
};

struct writer {
    struct hold hold; /* the caller's, and one of each job */
    atomic_int gate;  /* enum gate */

    /* the loop's */
    struct lane *lane;
    uint64_t opening; /* the lane's; on another one our jobs would not come after each other */
    unsigned depth;
    uint64_t appended_bytes;
    unsigned submitted;
    err failed; /* what the caller was told; sticky */

    /* handed over with each job */
    struct pending pending[WRITER_DEPTH_MAX]; /* by append number */
    char path[OS_PATH_MAX], part[OS_PATH_MAX];
    bool over;
    void (*tap)(void *state, struct bytes data);

    /* the jobs' */
    atomic_uint finished;
    os_fd fd;
    uint64_t written_bytes, pushed_bytes;
    err error; /* first of a write or a sync; final: what the kernel lost once it reports once */
    bool made, synced, renamed;
    alignas(max_align_t) unsigned char tap_state[WRITER_TAP_BYTES_MAX];
};

struct writer_job {
    struct writer *writer;
};

/* Jobs of the writer's lane, each of a struct writer_job; they see the writer as those before them left it. */
err writer_job_open(void *job);
err writer_job_append(void *job); /* the next of writer.pending */
err writer_job_flush(void *job);
err writer_job_commit(void *job);
err writer_job_abort(void *job);

#endif
