/* timer: a pairing heap, linked through the timers themselves. Fredman, Sedgewick, Sleator, Tarjan 1986. Arming is O(1), the rest
 * O(log n) amortised; the loops below go over siblings and never recurse. */
#include "board/rt/fiber_internal.h"

/* A timer's `child` is its first child, `next` its right sibling, `prev` its left sibling or, for a first child, its parent. */
static struct timer *root;
static ms firing_now = INT64_MIN; /* while timer_fire_due() runs */

static struct timer *meld(struct timer *a, struct timer *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->at < a->at) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Melds siblings in pairs from the left, then the pairs from the right: what keeps the heap flat. */
static struct timer *meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* linked by next, the rightmost first */
    while (first != NULL) {
        struct timer *a = first, *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct timer *whole = NULL;
    while (pairs != NULL) {
        struct timer *a = pairs;
        pairs = a->next;
        a->next = a->prev = NULL;
        whole = meld(whole, a);
    }
    return whole;
}

/* Takes t out of its parent's children; its own stay below it. */
static void cut(struct timer *t)
{
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

void timer_arm(struct timer *t, ms at)
{
    ASSERT(t->fire != NULL);
    timer_disarm(t);
    /* A timer that re-arms itself for the past must not hold the loop. */
    t->at = at > firing_now ? at : firing_now + 1;
    t->child = t->next = t->prev = NULL;
    t->armed = true;
    root = meld(root, t);
}

void timer_disarm(struct timer *t)
{
    if (!t->armed)
        return;
    struct timer *below = meld_siblings(t->child);
    if (t == root) {
        root = below;
    } else {
        cut(t);
        root = meld(root, below);
    }
    t->child = NULL;
    t->armed = false;
}

ms timer_next_at(void)
{
    return root != NULL ? root->at : FOREVER;
}

void timer_fire_due(ms now)
{
    firing_now = now;
    while (root != NULL && root->at <= now) {
        struct timer *t = root;
        timer_disarm(t);
        t->fire(t);
    }
    firing_now = INT64_MIN;
}
