/* buf: I/O buffers out of fixed pools.
 *
 * Layer    rt.                                  Blocks   buf_wait() parks the fiber; buf_take() never.
 * Owner    the taker, until buf_release().      Memory   profile->buffers, all of it from mem_boot().
 * Threads  release from any thread; the rest:   Errors   E_BUDGET none free (counted); E_RANGE larger than any class.
 *          the loop's (who called buf_boot()).
 *
 * A buffer released on the loop goes straight to the first fiber that waits and that it is large enough for, so nobody overtakes.
 * A pool thread cannot wake a fiber: what it releases goes to the free list, and is handed to waiting fibers by the next turn of
 * the loop, which the end of a job brings about; a release in the middle of a long job is found within BUF_RECHECK_MS. */
#ifndef HOLDFAST_BUF_H
#define HOLDFAST_BUF_H

#include "board/rt/err.h"
#include "board/rt/hold.h"

#define BUF_RECHECK_MS 10

struct buf {
    struct hold hold; /* count 1 when taken */
    uint8_t *at;
    size_t cap; /* >= what was asked */
    size_t len; /* bytes filled, by its user */
    unsigned class_index;
    struct buf *next; /* free list, or its user's queue */
};

MUST_USE err buf_boot(void); /* after mem_boot() */
/* The smallest class with cap >= bytes that has one free. */
MUST_USE err buf_take(size_t bytes, struct buf **out);
/* The same, waiting in order of arrival until one is free. */
MUST_USE err buf_wait(size_t bytes, ms deadline, struct buf **out);
void buf_release(struct buf *b); /* NULL is fine */

/* The loop's, once a turn. */
void buf_turn(void);

struct buf_use {
    size_t bytes_each;
    unsigned count, used, peak;
    uint64_t refusals;
};
struct buf_use buf_use(unsigned class_index); /* < BUFFER_CLASSES */

#endif
