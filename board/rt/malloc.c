/* The malloc family of the musl builds, over the running task's heap. free() and realloc() find the heap by the address. */
#include "board/rt/heap.h"

#ifndef HOLDFAST_HOST_LIBC

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *or_no_memory(void *at)
{
    if (at == NULL)
        errno = ENOMEM;
    return at;
}

static struct heap *owner_of(void *at)
{
    struct heap *h = mem_heap_of(at);
    if (h == NULL)
        heap_die(mem_heap_current(), "not a block of any heap", at);
    return h;
}

static void *take(size_t bytes)
{
    if (heap_is_refused_by_test(bytes))
        bytes = SIZE_MAX; /* counted as the refusal it is */
    return or_no_memory(heap_alloc(mem_heap_current(), bytes));
}

void *malloc(size_t bytes)
{
    return take(bytes);
}

void *calloc(size_t count, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes))
        bytes = SIZE_MAX; /* counted as the refusal it is */
    void *at = take(bytes);
    return at == NULL ? NULL : memset(at, 0, bytes);
}

void free(void *at)
{
    if (at != NULL)
        heap_free(owner_of(at), at);
}

/* What was allocated before mem_boot() cannot grow where it is; it moves to the running task. */
static void *move_early(struct heap *early, void *at, size_t bytes)
{
    void *moved = malloc(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, at, size_min(heap_block_bytes(early, at), bytes));
    heap_free(early, at);
    return moved;
}

void *realloc(void *at, size_t bytes)
{
    if (at == NULL)
        return malloc(bytes);
    struct heap *h = owner_of(at);
    if (mem_heap_is_early(h) && mem_profile() != NULL)
        return move_early(h, at, bytes);
    return or_no_memory(heap_realloc(h, at, bytes));
}

void *reallocarray(void *at, size_t count, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes))
        bytes = SIZE_MAX;
    return realloc(at, bytes);
}

static bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(heap_alloc_aligned(mem_heap_current(), alignment, bytes));
}

void *memalign(size_t alignment, size_t bytes)
{
    return aligned_alloc(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (!is_power_of_two(alignment) || alignment < sizeof(void *))
        return EINVAL;
    void *at = heap_alloc_aligned(mem_heap_current(), alignment, bytes);
    if (at == NULL)
        return ENOMEM;
    *out = at;
    return 0;
}

size_t malloc_usable_size(void *at)
{
    return at == NULL ? 0 : heap_block_bytes(owner_of(at), at);
}

#endif
