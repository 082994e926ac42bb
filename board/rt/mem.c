/* One anonymous region, reserved without access. Only what a task, a stack or a table really gets is made writable, so that guard
 * pages and the gaps between heaps cost neither memory nor RLIMIT_DATA (which counts private writable pages, getrlimit(2)).
 *
 *   | heap of task 0 | gap | heap of task 1 | gap | ... | guard | mem_map() | guard | mem_map() | ...
 *
 * Heaps start at multiples of HEAP_GRAIN in the region, so that one table look-up finds the heap of an address. */
#include "board/rt/heap.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HOLDFAST_HOST_LIBC
enum { OWN_HEAPS = 0 }; /* malloc is the host's or the sanitizer's */
#else
enum { OWN_HEAPS = 1 };
#endif

#define HEAP_GRAIN      KIB(64)
#define HEAP_GRAINS_MAX 2048u    /* 128 MiB of heaps and gaps */
#define BOOT_HEAP_BYTES KIB(64)  /* serves malloc before mem_boot() */
#define TABLE_BYTES     KIB(192) /* what mem_map() gives beyond stacks and buffers: descriptors, job slots, sockets */
#define TABLES_MAX      32u      /* pieces mem_map() may give beyond stacks; each has a guard page of its own */

static struct {
    const struct profile *profile;
    enum mem_touch touch;
    size_t page_bytes;
    uint8_t *heaps; /* the region */
    size_t heap_grains;
    uint8_t *map_next, *map_end; /* what mem_map() has not given yet */
    size_t map_left_bytes;       /* of its budget; the guards are extra */
    bool sealed;
} mem;

static struct heap task_heaps[TASK_COUNT];
static uint8_t grain_task[HEAP_GRAINS_MAX];
static _Thread_local enum task running_task = TASK_BOARD;
static _Thread_local bool wipes_freed;

/* --- who pays --- */

void mem_wipe_freed(bool on)
{
    wipes_freed = on;
}

bool mem_wipes_freed(void)
{
    return wipes_freed;
}

enum task mem_task(void)
{
    return running_task;
}

void mem_set_task(enum task t)
{
    ASSERT(t < TASK_COUNT);
    running_task = t;
}

const struct profile *mem_profile(void)
{
    return mem.profile;
}

/* --- host builds: counting without owning --- */

static struct {
    atomic_size_t used_bytes, peak_bytes;
    atomic_uint_least64_t refusals;
} ledger[TASK_COUNT];

bool mem_charge(enum task t, size_t bytes)
{
    size_t limit = mem.profile != NULL ? mem.profile->task[t].heap_bytes : SIZE_MAX / 2;
    size_t used = atomic_load(&ledger[t].used_bytes);
    bool refused = heap_is_refused_by_test(bytes);
    do {
        if (refused || used > limit || bytes > limit - used) {
            atomic_fetch_add(&ledger[t].refusals, 1);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&ledger[t].used_bytes, &used, used + bytes));
    size_t peak = atomic_load(&ledger[t].peak_bytes);
    while (peak < used + bytes && !atomic_compare_exchange_weak(&ledger[t].peak_bytes, &peak, used + bytes))
        ;
    return true;
}

void mem_credit(enum task t, size_t bytes)
{
    atomic_fetch_sub(&ledger[t].used_bytes, bytes);
}

static struct mem_use ledger_use(enum task t)
{
    return (struct mem_use){.limit_bytes = mem.profile != NULL ? mem.profile->task[t].heap_bytes : 0,
                            .used_bytes = atomic_load(&ledger[t].used_bytes),
                            .peak_bytes = atomic_load(&ledger[t].peak_bytes),
                            .refusals = atomic_load(&ledger[t].refusals)};
}

struct mem_use mem_use(enum task t)
{
    ASSERT(t < TASK_COUNT);
    return OWN_HEAPS ? heap_use(&task_heaps[t]) : ledger_use(t);
}

void mem_peak_reset(enum task t)
{
    ASSERT(t < TASK_COUNT);
    if (OWN_HEAPS)
        heap_peak_reset(&task_heaps[t]);
    else
        atomic_store(&ledger[t].peak_bytes, atomic_load(&ledger[t].used_bytes));
}

/* --- our own heaps --- */

#ifndef HOLDFAST_HOST_LIBC
static struct heap boot_heap;
static uint8_t boot_slice[BOOT_HEAP_BYTES] __attribute__((aligned(HEAP_ALIGN)));

struct heap *mem_heap_current(void)
{
    if (mem.profile != NULL)
        return &task_heaps[running_task];
    if (boot_heap.first == NULL) /* one thread only, this early */
        heap_open(&boot_heap, "board (before boot)", boot_slice, sizeof boot_slice, HEAP_MODE);
    return &boot_heap;
}

bool mem_heap_is_early(const struct heap *h)
{
    return h == &boot_heap;
}

struct heap *mem_heap_of(const void *at)
{
    uintptr_t offset = (uintptr_t)at - (uintptr_t)mem.heaps;
    if (mem.profile != NULL && offset < mem.heap_grains * HEAP_GRAIN)
        return &task_heaps[grain_task[offset / HEAP_GRAIN]];
    offset = (uintptr_t)at - (uintptr_t)boot_slice;
    return offset < sizeof boot_slice ? &boot_heap : NULL;
}
#endif

static size_t grains_of(size_t heap_bytes)
{
    return size_round_up(heap_bytes + mem.page_bytes, HEAP_GRAIN) / HEAP_GRAIN; /* at least a page of gap */
}

/* --- the region --- */

static size_t guards_bytes(const struct profile *p)
{
    size_t count = p->pool_threads + TABLES_MAX;
    for (unsigned t = 0; t < TASK_COUNT; t++)
        count += p->task[t].fibers;
    return count * mem.page_bytes;
}

static size_t stacks_bytes(const struct profile *p)
{
    size_t sum = p->pool_threads * (p->pool_stack_bytes + mem.page_bytes);
    for (unsigned t = 0; t < TASK_COUNT; t++)
        sum += p->task[t].fibers * (p->task[t].stack_bytes + mem.page_bytes);
    return sum;
}

static size_t buffers_bytes(const struct profile *p)
{
    size_t sum = 0;
    for (unsigned c = 0; c < BUFFER_CLASSES; c++)
        sum += size_round_up(p->buffers[c].bytes * p->buffers[c].count, mem.page_bytes);
    return sum;
}

static size_t heaps_bytes(const struct profile *p)
{
    size_t sum = 0;
    for (unsigned t = 0; t < TASK_COUNT; t++)
        sum += p->task[t].heap_bytes;
    return sum;
}

static bool make_writable(void *at, size_t bytes)
{
    return mprotect(at, bytes, PROT_READ | PROT_WRITE) == 0;
}

/* Every page is written once, so that the kernel gives it now or ends us now, not at the worst moment. */
static void touch_pages(void *at, size_t bytes)
{
    volatile uint8_t *byte = at;
    for (size_t i = 0; i < bytes; i += mem.page_bytes)
        byte[i] = 0;
}

#ifdef HOLDFAST_HOST_LIBC
static void statics_touch(void) /* a sanitizer's, with gaps that must not be looked at */
{
}
#else
#define LOOP_STACK_BYTES KIB(64) /* the loop, signals and what runs before it stay within */
extern uint8_t __bss_start[], _end[]; /* the linker's: data that starts as zeroes; the rest was written when it was relocated */

__attribute__((noinline)) static void stack_touch(void)
{
    uint8_t room[LOOP_STACK_BYTES];
    touch_pages(room, sizeof room);
}

/* Before there are threads. */
static void statics_touch(void)
{
    for (volatile uint8_t *at = __bss_start; at < _end; at += size_min(mem.page_bytes, (size_t)(_end - at)))
        *at = *at;
    stack_touch();
}
#endif

static bool heaps_open(const struct profile *p)
{
    size_t grain = 0;
    for (unsigned t = 0; t < TASK_COUNT; t++) {
        void *slice = mem.heaps + grain * HEAP_GRAIN;
        size_t bytes = size_round_up(p->task[t].heap_bytes, mem.page_bytes);
        if (!make_writable(slice, bytes))
            return false;
        if (mem.touch == MEM_TOUCH)
            touch_pages(slice, bytes);
        heap_open(&task_heaps[t], task_name((enum task)t), slice, p->task[t].heap_bytes, HEAP_MODE);
        for (size_t i = 0; i < grains_of(p->task[t].heap_bytes); i++)
            grain_task[grain++] = (uint8_t)t;
    }
    return true;
}

/* The kernel is asked once for all that mem_map() will give, so that a limit too small shows here. */
static bool maps_fit(void)
{
    if (!make_writable(mem.map_next, mem.map_left_bytes))
        return false;
    return mprotect(mem.map_next, mem.map_left_bytes, PROT_NONE) == 0;
}

err mem_boot(const struct profile *p, enum mem_touch touch)
{
    ASSERT(mem.profile == NULL && p != NULL);
    mem.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    mem.touch = touch;
    if (touch == MEM_TOUCH)
        statics_touch();
    mem.map_left_bytes = stacks_bytes(p) + buffers_bytes(p) + TABLE_BYTES;
    ASSERT(!OWN_HEAPS ||
           heaps_bytes(p) + mem.map_left_bytes + BOOT_HEAP_BYTES <= p->total_bytes); /* sanitizers need larger stacks */
    mem.heap_grains = 0;
    for (unsigned t = 0; OWN_HEAPS && t < TASK_COUNT; t++)
        mem.heap_grains += grains_of(p->task[t].heap_bytes);
    ASSERT(mem.heap_grains <= HEAP_GRAINS_MAX);
    size_t heaps = mem.heap_grains * HEAP_GRAIN, maps = mem.map_left_bytes + guards_bytes(p);
    void *region = mmap(NULL, heaps + maps, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return trail(E_BUDGET, "reserving %zu KiB of addresses", (heaps + maps) / 1024);
    mem.heaps = region;
    mem.map_next = mem.heaps + heaps;
    mem.map_end = mem.map_next + maps;
    if ((OWN_HEAPS && !heaps_open(p)) || !maps_fit()) {
        munmap(region, heaps + maps);
        return trail(E_BUDGET, "the kernel refuses the %zu KiB of profile %s", p->total_bytes / 1024, p->name);
    }
    mem.profile = p;
    return OK;
}

void *mem_map(size_t bytes)
{
    ASSERT(mem.profile != NULL && !mem.sealed);
    bytes = size_round_up(bytes, mem.page_bytes);
    uint8_t *at = mem.map_next + mem.page_bytes;
    if (bytes == 0 || bytes > mem.map_left_bytes || bytes > (size_t)(mem.map_end - at) || !make_writable(at, bytes))
        return NULL;
    if (mem.touch == MEM_TOUCH)
        touch_pages(at, bytes);
    mem.map_next = at + bytes;
    mem.map_left_bytes -= bytes;
    return at;
}

void mem_seal(void)
{
    mem.sealed = true;
}
