/* heap: an allocator over one fixed slice. Two-level size classes, immediate coalescing, every operation O(1).
 *
 * Layer    rt, private to mem.c, malloc.c and their tests.   Blocks   never (a mutex held O(1)).
 * Owner    the caller owns struct heap and the slice.        Memory   the slice; 8 bytes a block, rounded up to 16, 32 at least.
 * Threads  any.                                              Errors   NULL, and a counted refusal.
 *
 * A block that was freed twice, or a pointer that never was one, ends the process with the heap's name on stderr. A checked
 * heap also keeps red zones around each block (overruns are found when it is freed or resized) and fills freed memory with a
 * pattern (writes after free are found when it is handed out again); there calls are O(n). */
#ifndef HOLDFAST_HEAP_H
#define HOLDFAST_HEAP_H

#include "board/rt/mem.h"

#include <pthread.h>

#define HEAP_ALIGN     16u
#define HEAP_COLUMNS   32u /* size classes between two powers of two: a block is at most 1/32 larger than its class */
#define HEAP_ROWS      20u /* row 0: below 512 bytes; each further row doubles */
#define HEAP_BYTES_MAX ((size_t)1 << (8u + HEAP_ROWS))

struct heap_block;

struct heap {
    pthread_mutex_t lock;
    const char *name; /* static; printed when the heap is found damaged */
    uint8_t *first;   /* first block; NULL: not open, every request is refused */
    uint8_t *end;     /* the sentinel after the last block */
    uint8_t *fresh;   /* checked: from here on, up to the last free block's end, nothing was given yet and all is zero */
    bool checked;
    struct mem_use use;
    uint32_t rows;               /* bit r: columns[r] is not 0 */
    uint32_t columns[HEAP_ROWS]; /* bit c: free_list[r][c] is not empty */
    struct heap_block *free_list[HEAP_ROWS][HEAP_COLUMNS];
};

enum heap_mode { HEAP_PLAIN, HEAP_CHECKED };
#ifdef HOLDFAST_CHECKED
#define HEAP_MODE HEAP_CHECKED /* how this build opens the tasks' heaps */
#else
#define HEAP_MODE HEAP_PLAIN
#endif

/* A checked heap's slice is zeros, as the kernel gives it: it is poisoned as far as blocks were given, and no page is touched
 * before. */
void heap_open(struct heap *h, const char *name, void *slice, size_t bytes, enum heap_mode mode);
void *heap_alloc(struct heap *h, size_t bytes);                           /* 0 bytes: a block of its own */
void *heap_alloc_aligned(struct heap *h, size_t alignment, size_t bytes); /* a power of two */
void *heap_realloc(struct heap *h, void *at, size_t bytes);               /* `at` is not NULL, bytes may be 0 */
void heap_free(struct heap *h, void *at);                                 /* not NULL */
size_t heap_block_bytes(struct heap *h, void *at);                        /* what its user may write */
struct mem_use heap_use(struct heap *h);
void heap_peak_reset(struct heap *h);
/* Walks the whole heap and asserts every invariant; O(n), for tests. Returns the number of free blocks. */
size_t heap_verify(struct heap *h);

/* The simulated world refuses an allocation here and there (tests/sim); what ships has no such call. */
#if defined(HOLDFAST_CHECKED) || defined(HOLDFAST_HOST_LIBC)
__attribute__((weak)) bool sim_fault_alloc(size_t bytes);
static inline bool heap_is_refused_by_test(size_t bytes)
{
    return sim_fault_alloc && sim_fault_alloc(bytes);
}
#else
static inline bool heap_is_refused_by_test(size_t bytes)
{
    (void)bytes;
    return false;
}
#endif

/* --- heap_guard.c: what a checked heap does --- */
_Noreturn void heap_die(const struct heap *h, const char *what, const void *at);
#define GUARD_HEAD 16u /* bytes before the user's: size and seal */
#define GUARD_TAIL 16u /* at least these many after them */
void guard_seal(void *payload, size_t payload_bytes, size_t bytes);
void guard_check(const struct heap *h, const void *payload, size_t payload_bytes);
size_t guard_bytes(const void *payload); /* what the user asked for */
void guard_poison(void *at, size_t bytes);
void guard_check_poison(const struct heap *h, const void *at, size_t bytes);
void guard_check_fresh(const struct heap *h, const void *at, size_t bytes);

/* --- mem.c, for malloc.c --- */
struct heap *mem_heap_current(void);          /* the running task's; before mem_boot() the static slice */
bool mem_heap_is_early(const struct heap *h); /* the static slice */
struct heap *mem_heap_of(const void *at);     /* NULL: not from any heap */
bool mem_charge(enum task t, size_t bytes);   /* host builds: counts, or refuses */
void mem_credit(enum task t, size_t bytes);

#endif
