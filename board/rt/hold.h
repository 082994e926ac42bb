/* hold: a reference count for memory that a stuck pool thread may still look at after its caller gave up.
 *
 * Layer    rt.   Blocks   never.   Memory   embedded in its owner.
 * Threads  take and release from any thread; drop() runs where the last release happens. */
#ifndef HOLDFAST_HOLD_H
#define HOLDFAST_HOLD_H

#include "board/rt/base.h"

#include <stdatomic.h>

struct hold {
    atomic_uint count;
    void (*drop)(struct hold *h); /* frees the whole object */
};

static inline void hold_init(struct hold *h, void (*drop)(struct hold *h))
{
    atomic_init(&h->count, 1);
    h->drop = drop;
}

static inline void hold_take(struct hold *h)
{
    atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
}

static inline void hold_release(struct hold *h)
{
    if (atomic_fetch_sub_explicit(&h->count, 1, memory_order_acq_rel) == 1)
        h->drop(h);
}

#endif
