/* The AddressSanitizer build: memory is the sanitizer's, to the byte, so that its red zones stay; we only count and limit.
 *
 * Linked with -Wl,--wrap=malloc and so on, which turns the calls of our objects and of the static libraries into __wrap_*. What
 * libc.so allocates inside (strdup, getline) is not seen, but may be freed by us; what we allocate may be freed in there. So
 * nothing is stored beside a block: a hash table remembers the blocks that were charged, and a pointer it does not know is passed
 * on. A block freed inside libc.so stays charged until its address is handed out again. */
#include "board/rt/heap.h"

#if defined(HOLDFAST_HOST_LIBC) && defined(__SANITIZE_ADDRESS__)

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES ((size_t)1 << 19) /* half of it is used at most: 260,000 live blocks */

struct entry {
    uintptr_t hidden; /* the pointer's complement: a plain copy would hide leaks from the leak checker; 0: empty */
    size_t bytes;
    enum task task;
};

static struct entry entries[ENTRIES];
static size_t entries_used;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t each);
void *__real_realloc(void *at, size_t bytes);
void __real_free(void *at);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t each);
void *__wrap_realloc(void *at, size_t bytes);
void *__wrap_reallocarray(void *at, size_t count, size_t each);
void __wrap_free(void *at);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);

/* --- the table: open addressing, linear probing, under the lock --- */

/* Blocks that lie side by side have entries side by side: a simulated life is a new process, where each page of the table that is
 * touched is a fault. Pages are spread by multiplicative hashing, by 2^64 over the golden ratio. */
static size_t home_of(uintptr_t hidden)
{
    size_t within = (hidden >> 5) % 128; /* of a page of 4 KiB: the sanitizer's blocks are 32 bytes apart at least */
    return ((size_t)((hidden >> 12) * 0x9E3779B97F4A7C15u >> 40) + within) % ENTRIES;
}

/* Its entry, or the empty one where it belongs. */
static struct entry *entry_find(uintptr_t hidden)
{
    size_t i = home_of(hidden);
    while (entries[i].hidden != 0 && entries[i].hidden != hidden)
        i = (i + 1) % ENTRIES;
    return &entries[i];
}

/* Empties an entry, and moves up those behind it that would no longer be found. */
static void entry_remove(struct entry *e)
{
    size_t hole = (size_t)(e - entries);
    for (size_t i = (hole + 1) % ENTRIES; entries[i].hidden != 0; i = (i + 1) % ENTRIES) {
        size_t distance = (i - home_of(entries[i].hidden)) % ENTRIES;
        if (distance >= (i - hole) % ENTRIES) {
            entries[hole] = entries[i];
            hole = i;
        }
    }
    entries[hole] = (struct entry){0};
    entries_used--;
}

/* Remembers a block that has been charged. */
static void block_add(void *at, enum task t, size_t bytes)
{
    pthread_mutex_lock(&lock);
    struct entry *e = entry_find(~(uintptr_t)at);
    if (e->hidden != 0)
        mem_credit(e->task, e->bytes); /* its last owner freed it where we do not look */
    else
        entries_used++;
    ASSERT(entries_used <= ENTRIES / 2);
    *e = (struct entry){.hidden = ~(uintptr_t)at, .bytes = bytes, .task = t};
    pthread_mutex_unlock(&lock);
}

/* Forgets it. False: not one of ours. */
static bool block_remove(void *at, struct entry *out)
{
    pthread_mutex_lock(&lock);
    struct entry *e = entry_find(~(uintptr_t)at);
    *out = *e;
    if (e->hidden != 0)
        entry_remove(e);
    pthread_mutex_unlock(&lock);
    return out->hidden != 0;
}

/* --- the family --- */

static void *refused(void)
{
    errno = ENOMEM;
    return NULL;
}

/* The block as it came from the sanitizer, which has been charged before. */
static void *charged(void *at, enum task t, size_t bytes)
{
    if (at == NULL) {
        mem_credit(t, bytes);
        return refused();
    }
    block_add(at, t, bytes);
    return at;
}

void *__wrap_malloc(size_t bytes)
{
    enum task t = mem_task();
    return mem_charge(t, bytes) ? charged(__real_malloc(bytes), t, bytes) : refused();
}

void *__wrap_calloc(size_t count, size_t each)
{
    enum task t = mem_task();
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes))
        bytes = SIZE_MAX;
    return mem_charge(t, bytes) ? charged(__real_calloc(count, each), t, bytes) : refused();
}

void __wrap_free(void *at)
{
    struct entry e;
    if (at != NULL && block_remove(at, &e))
        mem_credit(e.task, e.bytes);
    __real_free(at);
}

/* The new size is charged before the old one is credited, as if it always moved; only what it grows by may be refused. */
void *__wrap_realloc(void *at, size_t bytes)
{
    if (at == NULL)
        return __wrap_malloc(bytes);
    struct entry e;
    bool ours = block_remove(at, &e);
    enum task t = ours ? e.task : mem_task();
    size_t old_bytes = e.bytes;
    bool fits = bytes <= old_bytes || mem_charge(t, bytes - old_bytes);
    void *moved = fits ? __real_realloc(at, size_max(bytes, 1)) : refused();
    if (moved != NULL) {
        if (bytes < old_bytes)
            mem_credit(t, old_bytes - bytes);
        block_add(moved, t, bytes);
        return moved;
    }
    if (fits && bytes > old_bytes)
        mem_credit(t, bytes - old_bytes);
    if (ours)
        block_add(at, t, old_bytes);
    return NULL;
}

void *__wrap_reallocarray(void *at, size_t count, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes))
        bytes = SIZE_MAX;
    return __wrap_realloc(at, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    enum task t = mem_task();
    if (!mem_charge(t, bytes))
        return ENOMEM;
    int failed = __real_posix_memalign(out, alignment, bytes);
    if (failed != 0) {
        mem_credit(t, bytes);
        return failed;
    }
    block_add(*out, t, bytes);
    return 0;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    void *at = NULL;
    int failed = __wrap_posix_memalign(&at, size_max(alignment, sizeof(void *)), bytes);
    if (failed == 0)
        return at;
    errno = failed;
    return NULL;
}

#endif
