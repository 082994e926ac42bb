/* sim_loop: a case on the real runtime: budgets booted, its main fiber run by the loop, and everything given back at the end. */
#include "board/rt/buf.h"
#include "board/rt/fiber_internal.h"
#include "board/rt/mem.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <unistd.h>

static struct {
    err (*main)(void *arg);
    size_t heap_bytes[TASK_COUNT]; /* in use before the case ran */
    void (*boot)(void);
    const struct profile *profile; /* NULL: edge16 */
    uintptr_t stack;               /* somewhere on the main fiber's */
} life;

static err main_fiber(void *arg)
{
    char here = 0;
    life.stack = (uintptr_t)&here;
    if (life.boot)
        life.boot();
    for (enum task t = 0; t < TASK_COUNT; t++)
        life.heap_bytes[t] = mem_use(t).used_bytes;
    fault_enable(true);
    err result = life.main(arg);
    fault_enable(false);
    return result;
}

static void check_all_is_back(void)
{
    for (enum task t = 0; t < TASK_COUNT; t++) {
        size_t now = mem_use(t).used_bytes;
        if (now > life.heap_bytes[t])
            sim_fail("%s leaks %zu heap bytes", task_name(t), now - life.heap_bytes[t]);
        if (fiber_use(t).used > 0)
            sim_fail("%s still has %u fibers", task_name(t), fiber_use(t).used);
    }
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        if (buf_use(i).used > 0)
            sim_fail("%u buffers of %zu bytes are not released", buf_use(i).used, buf_use(i).bytes_each);
}

void sim_boot(void (*boot)(void))
{
    life.boot = boot;
}

void sim_profile(const struct profile *p)
{
    life.profile = p;
}

err sim_loop(err (*main)(void *arg), void *arg)
{
    life.main = main;
    if (mem_boot(life.profile ? life.profile : &profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        sim_fail("the runtime does not boot");
    err result = loop_run(main_fiber, arg);
    check_all_is_back();
    return result;
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t all_stacks_bytes(void)
{
    size_t bytes = 0;
    for (enum task t = 0; t < TASK_COUNT; t++)
        bytes += fiber_use(t).count * (fiber_use(t).stack_bytes + page_bytes());
    return bytes;
}

/* The stacks are one mapping, so every guard page, and by it every fiber, is within its size of the main fiber's. */
void world_fibers_dump(void)
{
    const struct fiber *last = NULL;
    size_t around = life.stack ? all_stacks_bytes() : 0, page = life.stack ? page_bytes() : 1;
    for (uintptr_t at = life.stack - around; at < life.stack + around; at += page) {
        const struct fiber *f = fiber_of_guard(at);
        if (f && f != last && f->state != FIBER_FREE)
            fprintf(stderr, "sim: fiber %s of %s%s%s\n", f->name, task_name(f->task), f->state == FIBER_PARKED ? ", parked" : "",
                    f->canceled ? ", canceled" : "");
        last = f ? f : last;
    }
}
