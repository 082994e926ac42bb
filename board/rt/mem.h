/* mem: every byte is assigned at boot. Per-task heaps behind malloc, I/O buffers, stacks.
 *
 * Layer    rt.                                        Blocks   never.
 * Owner    the process; whoever allocates frees.      Memory   exactly profile->total_bytes or less; mapped by mem_boot().
 * Threads  any; each heap has a lock held O(1).       Time     O(1) for every call but calloc and a moving realloc.
 * Errors   a task that spent its slice gets NULL from malloc and E_BUDGET from the calls below, and a counted refusal;
 *          no other task feels it.
 *
 * malloc, calloc, realloc, reallocarray, free, aligned_alloc, posix_memalign, memalign and malloc_usable_size are supplied by
 * board/rt/malloc.c and charge mem_task(). free() and realloc() credit the task that allocated, whoever calls.
 * In the test build a freed or overrun block ends the process with its task's name. Under ASan the allocator is ASan's,
 * the limits and the accounting stay (link-time wrapping). */
#ifndef HOLDFAST_MEM_H
#define HOLDFAST_MEM_H

#include "board/rt/err.h"
#include "board/rt/profile.h"

enum mem_touch { MEM_LAZY, MEM_TOUCH }; /* TOUCH: fault every page in now (a running hub); LAZY: as used (one-shot commands) */

/* Maps everything the profile names. Call once, first thing in main(); before it, malloc serves from a small static slice of
 * TASK_BOARD. E_BUDGET when the kernel refuses (RLIMIT_DATA, cgroup). */
MUST_USE err mem_boot(const struct profile *p, enum mem_touch touch);
/* After it, nothing maps memory any more: mem_map() asserts. Idempotent. */
void mem_seal(void);
const struct profile *mem_profile(void); /* the one booted; never NULL after mem_boot() */

/* The task that pays for allocations of this thread. The scheduler and the pool set it at each switch. */
enum task mem_task(void);
void mem_set_task(enum task t);

/* While it is on, what this thread frees, or moves by realloc(), is zeroed first: for a library that reads secrets and keeps
 * copies. No wait in between. Not under ASan, whose allocator it is then. */
void mem_wipe_freed(bool on);
bool mem_wipes_freed(void);

struct mem_use {
    size_t limit_bytes, used_bytes, peak_bytes;
    uint64_t refusals;
};
struct mem_use mem_use(enum task t);
void mem_peak_reset(enum task t); /* peak := used; for tests and benchmarks */

/* Page-aligned memory for stacks and pools, given at boot and never returned. Only before mem_seal(). NULL: none left. */
void *mem_map(size_t bytes);

/* I/O buffers: fixed size, counted, shared by all tasks. See buf.h. */

#endif
