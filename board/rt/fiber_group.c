/* fiber_group: fibers that start, are canceled and are waited for together. */
#include "board/rt/fiber_internal.h"

void group_open(struct group *g, enum task task)
{
    *g = (struct group){.task = task};
}

static void group_enter(struct group *g, struct fiber *f)
{
    f->group = g;
    if (g->first == NULL) {
        g->first = f->group_next = f->group_previous = f;
    } else {
        f->group_next = g->first;
        f->group_previous = g->first->group_previous;
        f->group_previous->group_next = f;
        g->first->group_previous = f;
    }
    g->count++;
}

void group_leave(struct fiber *f, err result)
{
    struct group *g = f->group;
    f->group_previous->group_next = f->group_next;
    f->group_next->group_previous = f->group_previous;
    g->count--;
    if (g->first == f)
        g->first = g->count > 0 ? f->group_next : NULL;
    if (g->error == OK && result != E_CANCELED)
        g->error = result;
    if (g->count == 0 && g->joiner != NULL)
        fiber_resume(g->joiner);
}

err group_spawn(struct group *g, const char *name, err (*run)(void *arg), void *arg)
{
    if (g->canceled)
        return E_CANCELED;
    struct fiber *f = fiber_take(g->task);
    if (f == NULL)
        return trail(E_BUDGET, "starting %s: no fiber left in %s", name, task_name(g->task));
    f->name = name;
    f->run = run;
    f->arg = arg;
    group_enter(g, f);
    fiber_begin(f);
    return OK;
}

err group_join(struct group *g, ms deadline)
{
    if (g->count == 0)
        return g->error;
    ASSERT(fiber_self() != NULL && fiber_self()->group != g && g->joiner == NULL);
    fiber_block_begin();
    g->joiner = fiber_self();
    err e = fiber_block(deadline);
    g->joiner = NULL;
    return e == OK ? g->error : e;
}

void group_cancel(struct group *g)
{
    g->canceled = true;
    struct fiber *f = g->first;
    for (unsigned i = 0; i < g->count; i++, f = f->group_next)
        fiber_cancel(f);
}

void group_close(struct group *g)
{
    group_cancel(g);
    if (g->count == 0)
        return;
    fiber_shield();
    err e = group_join(g, FOREVER);
    (void)e; /* whoever wants the fibers' error joins before closing */
    fiber_unshield();
    ASSERT(g->count == 0);
}
