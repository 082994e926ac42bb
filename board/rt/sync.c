/* sync: wait queues, a semaphore, a channel. What is handed to a waiter is handed over at the moment of waking, so that a
 * deadline or a cancel that comes later cannot lose it, and nobody who comes later can take it. */
#include "board/rt/sync.h"

#include "board/rt/fiber_internal.h"

#include <string.h>

struct waiter { /* on the waiting fiber's stack */
    struct waiter *next;
    struct fiber *fiber;
    void *item; /* a channel's: where to copy from or to */
    err result;
};

/* --- wait queues --- */
static void waitq_remove(struct waitq *q, struct waiter *w)
{
    struct waiter *before = NULL, *at = q->first;
    while (at != NULL && at != w) { /* bounded by the number of fibers */
        before = at;
        at = at->next;
    }
    if (at == NULL)
        return;
    if (before == NULL)
        q->first = w->next;
    else
        before->next = w->next;
    if (q->last == w)
        q->last = before;
}

static err waitq_wait_with(struct waitq *q, void *item, ms deadline)
{
    struct waiter w = {.fiber = fiber_self(), .item = item, .result = OK};
    fiber_block_begin();
    if (q->first == NULL)
        q->first = &w;
    else
        q->last->next = &w;
    q->last = &w;
    err e = fiber_block(deadline);
    if (e == OK)
        return w.result;
    waitq_remove(q, &w);
    return e;
}

/* Takes the first waiter and ends its wait with `result`; the caller has given it what it waited for, or does before it returns.
 */
static void *waitq_hand(struct waitq *q, err result)
{
    struct waiter *w = q->first;
    q->first = w->next;
    w->result = result;
    fiber_resume(w->fiber);
    return w->item;
}

err waitq_wait(struct waitq *q, ms deadline)
{
    return waitq_wait_with(q, NULL, deadline);
}

bool waitq_wake_one(struct waitq *q)
{
    if (q->first == NULL)
        return false;
    (void)waitq_hand(q, OK);
    return true;
}

void waitq_wake_all(struct waitq *q)
{
    while (q->first != NULL)
        (void)waitq_hand(q, OK);
}

/* --- bell --- */
void bell_ring(struct bell *b)
{
    if (b == NULL)
        return;
    b->rung = true;
    waitq_wake_all(&b->waiting);
}

err bell_wait(struct bell *b, ms deadline)
{
    if (fiber_canceled())
        return E_CANCELED;
    if (!b->rung)
        TRY(waitq_wait(&b->waiting, deadline));
    b->rung = false;
    return OK;
}

/* --- semaphore --- */
void sem_init_count(struct sem *s, unsigned count)
{
    *s = (struct sem){.count = count};
}

err sem_take(struct sem *s, ms deadline)
{
    if (fiber_canceled())
        return E_CANCELED;
    if (s->count == 0) /* then others may wait already, and go first: a given permit goes to them, not into the count */
        return waitq_wait(&s->waiting, deadline);
    s->count--;
    return OK;
}

void sem_give(struct sem *s)
{
    if (waitq_wake_one(&s->waiting))
        return;
    ASSERT(s->count < UINT_MAX);
    s->count++;
}

/* --- channel: receivers wait only while it is empty, senders only while it is full --- */
void channel_open(struct channel *c, void *storage, size_t item_bytes, size_t items)
{
    ASSERT(items > 0 && item_bytes > 0);
    *c = (struct channel){.storage = storage, .item_bytes = item_bytes, .cap = items};
}

static void channel_push(struct channel *c, const void *item)
{
    memcpy(c->storage + (c->head + c->count) % c->cap * c->item_bytes, item, c->item_bytes);
    c->count++;
}

static void channel_pop(struct channel *c, void *item)
{
    memcpy(item, c->storage + c->head * c->item_bytes, c->item_bytes);
    c->head = (c->head + 1) % c->cap;
    c->count--;
}

err channel_try_send(struct channel *c, const void *item)
{
    if (c->closed)
        return E_CLOSED;
    if (c->receivers.first != NULL)
        memcpy(waitq_hand(&c->receivers, OK), item, c->item_bytes);
    else if (c->count < c->cap)
        channel_push(c, item);
    else
        return E_FULL;
    return OK;
}

err channel_send(struct channel *c, const void *item, ms deadline)
{
    if (fiber_canceled())
        return E_CANCELED;
    err e = channel_try_send(c, item);
    if (e != E_FULL)
        return e;
    return waitq_wait_with(&c->senders, (void *)(uintptr_t)item, deadline); /* only read: channel_receive() copies from it */
}

err channel_receive(struct channel *c, void *item, ms deadline)
{
    if (fiber_canceled())
        return E_CANCELED;
    if (c->count == 0)
        return c->closed ? E_CLOSED : waitq_wait_with(&c->receivers, item, deadline);
    channel_pop(c, item);
    if (c->senders.first != NULL)
        channel_push(c, waitq_hand(&c->senders, OK));
    return OK;
}

void channel_close(struct channel *c)
{
    c->closed = true;
    while (c->receivers.first != NULL)
        (void)waitq_hand(&c->receivers, E_CLOSED);
    while (c->senders.first != NULL)
        (void)waitq_hand(&c->senders, E_CLOSED);
}
