/* sync: fibers waiting for each other.
 *
 * Layer    rt.   Owner   the caller; nothing is allocated.   Blocks   the calls with a deadline park the fiber.
 * Threads  the loop thread only.   Errors   E_TIMEOUT, E_CANCELED; E_CLOSED a channel that ended; E_FULL. */
#ifndef HOLDFAST_SYNC_H
#define HOLDFAST_SYNC_H

#include "board/rt/fiber.h"

/* First in, first out. Zeroed is valid and empty. */
struct waitq {
    struct waiter *first, *last;
};
MUST_USE err waitq_wait(struct waitq *q, ms deadline);
bool waitq_wake_one(struct waitq *q); /* false: nobody waited */
void waitq_wake_all(struct waitq *q);

/* "Something came": rung from anywhere in the loop, callbacks too, heard by one fiber. What rang since it was last heard is heard
 * at once; any number of rings are one. Zeroed is valid and silent. */
struct bell {
    bool rung;
    struct waitq waiting;
};
void bell_ring(struct bell *b); /* NULL is fine */
MUST_USE err bell_wait(struct bell *b, ms deadline);

struct sem {
    unsigned count;
    struct waitq waiting;
};
void sem_init_count(struct sem *s, unsigned count);
MUST_USE err sem_take(struct sem *s, ms deadline);
void sem_give(struct sem *s);

/* A bounded queue of fixed-size items in the caller's storage. */
struct channel {
    uint8_t *storage;
    size_t item_bytes, cap, count, head;
    bool closed;
    struct waitq senders, receivers;
};
void channel_open(struct channel *c, void *storage, size_t item_bytes, size_t items);
MUST_USE err channel_send(struct channel *c, const void *item, ms deadline); /* E_CLOSED after channel_close() */
MUST_USE err channel_try_send(struct channel *c, const void *item);          /* E_FULL */
MUST_USE err channel_receive(struct channel *c, void *item, ms deadline);    /* E_CLOSED when closed and empty */
void channel_close(struct channel *c);                                       /* wakes all; idempotent */

#endif
