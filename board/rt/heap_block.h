/* heap_block: how a heap's slice is cut into blocks; between heap.c and heap_verify.c.
 *
 * Layer    rt, private.   Blocks   never.   Memory   none.   Errors   none.
 *
 * A block starts 8 bytes below a multiple of 16 with its head: its size and two flags. A used block's payload follows; a free
 * one holds its list links there and repeats its size in its last 8 bytes, where the next block finds it. */
#ifndef HOLDFAST_HEAP_BLOCK_H
#define HOLDFAST_HEAP_BLOCK_H

#include "board/rt/heap.h"

struct heap_block {
    size_t head; /* bytes, a multiple of 16, and the flags below */
    struct heap_block *next, *prev;
};

enum { FREE = 1, AFTER_FREE = 2, FLAGS = 3 };

#define HEAD_BYTES      sizeof(size_t)
#define BLOCK_BYTES_MIN 32u  /* head, two links, the size repeated */
#define SMALL_BYTES     512u /* row 0 is below this */

static inline size_t block_bytes(const struct heap_block *b)
{
    return b->head & ~(size_t)FLAGS;
}

static inline struct heap_block *block_at(const void *base, ptrdiff_t offset)
{
    return (struct heap_block *)(uintptr_t)((const uint8_t *)base + offset);
}

static inline struct heap_block *block_after(const struct heap_block *b)
{
    return block_at(b, (ptrdiff_t)block_bytes(b));
}

static inline size_t *size_before(struct heap_block *b)
{
    return (size_t *)(void *)((uint8_t *)b - sizeof(size_t));
}

static inline void *payload_of(struct heap_block *b)
{
    return &b->next;
}

static inline size_t payload_bytes(const struct heap_block *b)
{
    return block_bytes(b) - HEAD_BYTES;
}

/* --- size classes --- */

struct class
{
    unsigned row, column;
};

static inline struct class class_of(size_t bytes)
{
    if (bytes < SMALL_BYTES)
        return (struct class){0, (unsigned)bytes / HEAP_ALIGN};
    unsigned top = 63u - (unsigned)__builtin_clzl(bytes);
    return (struct class){top - 8u, (unsigned)(bytes >> (top - 5u)) & (HEAP_COLUMNS - 1u)};
}

#endif
