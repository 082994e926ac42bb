#include "board/rt/heap_block.h"
#include "board/rt/secret.h"

#include <string.h>

#define LOOKS_MAX 4 /* entries looked at in the class that may hold blocks too small */

static void list_push(struct heap *h, struct heap_block *b)
{
    struct class c = class_of(block_bytes(b));
    struct heap_block **list = &h->free_list[c.row][c.column];
    b->prev = NULL;
    b->next = *list;
    if (*list != NULL)
        (*list)->prev = b;
    *list = b;
    h->columns[c.row] |= 1u << c.column;
    h->rows |= 1u << c.row;
}

static void list_remove(struct heap *h, struct heap_block *b)
{
    struct class c = class_of(block_bytes(b));
    if (b->next != NULL)
        b->next->prev = b->prev;
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        h->free_list[c.row][c.column] = b->next;
    if (h->free_list[c.row][c.column] != NULL)
        return;
    h->columns[c.row] &= ~(1u << c.column);
    if (h->columns[c.row] == 0)
        h->rows &= ~(1u << c.row);
}

/* A free block of at least `bytes`, still in its list. A larger class always fits; the first of its own class may. */
static struct heap_block *list_find(const struct heap *h, size_t bytes)
{
    struct class c = class_of(bytes);
    struct heap_block *b = h->free_list[c.row][c.column];
    for (int looks = 0; b != NULL && looks < LOOKS_MAX; looks++, b = b->next)
        if (block_bytes(b) >= bytes)
            return b;
    uint32_t columns = h->columns[c.row] & (~1u << c.column);
    if (columns == 0) {
        uint32_t rows = h->rows & (~1u << c.row);
        if (rows == 0)
            return NULL;
        c.row = (unsigned)__builtin_ctz(rows);
        columns = h->columns[c.row];
    }
    return h->free_list[c.row][__builtin_ctz(columns)];
}

/* --- blocks --- */

/* Puts a block that is in no list among the free ones, joined with free neighbours. Its payload is poisoned already where the
 * heap is checked; what a join leaves inside the larger block is poisoned here. */
static void block_give(struct heap *h, struct heap_block *b)
{
    b->head |= FREE; /* stays behind when b is joined to the block before it: freeing b again is seen */
    if (b->head & AFTER_FREE) {
        struct heap_block *before = block_at(b, -(ptrdiff_t)*size_before(b));
        list_remove(h, before);
        before->head += block_bytes(b);
        if (h->checked)
            guard_poison(size_before(b), sizeof(size_t) + HEAD_BYTES);
        b = before;
    }
    struct heap_block *after = block_after(b);
    if (after->head & FREE) {
        list_remove(h, after);
        b->head += block_bytes(after);
        if (h->checked)
            guard_poison(after, sizeof *after);
    }
    after = block_after(b);
    *size_before(after) = block_bytes(b);
    after->head |= AFTER_FREE;
    list_push(h, b);
}

/* Poisons what of the free block's first bytes was never given, and where the head of a block behind them would lie. */
static void block_freshen(struct heap *h, struct heap_block *b, size_t bytes)
{
    size_t left_bytes = (size_t)(h->end - sizeof(size_t) - h->fresh);
    size_t wanted_bytes = (size_t)((uint8_t *)b - h->first) + bytes + sizeof *b, given_bytes = (size_t)(h->fresh - h->first);
    if (!h->checked || wanted_bytes <= given_bytes)
        return;
    size_t more_bytes = size_min(wanted_bytes - given_bytes, left_bytes);
    guard_check_fresh(h, h->fresh, more_bytes);
    guard_poison(h->fresh, more_bytes);
    h->fresh += more_bytes;
}

/* Takes a free block out of its list; it is used from now on, the first `bytes` of it for sure. */
static void block_take(struct heap *h, struct heap_block *b, size_t bytes)
{
    list_remove(h, b);
    b->head &= ~(size_t)FREE;
    block_after(b)->head &= ~(size_t)AFTER_FREE;
    if (h->checked)
        guard_check_poison(h, b + 1, size_min(size_max(bytes, sizeof *b), block_bytes(b) - sizeof(size_t)) - sizeof *b);
}

/* Gives back what a used block has beyond `bytes`, if that can be a block. */
static void block_trim(struct heap *h, struct heap_block *b, size_t bytes)
{
    size_t rest_bytes = block_bytes(b) - bytes;
    if (rest_bytes < BLOCK_BYTES_MIN)
        return;
    b->head -= rest_bytes;
    struct heap_block *rest = block_after(b);
    rest->head = rest_bytes;
    block_give(h, rest);
}

/* Gives back the first `gap` bytes of a used block; returns what stays. */
static struct heap_block *block_cut_front(struct heap *h, struct heap_block *b, size_t gap)
{
    if (gap == 0)
        return b;
    struct heap_block *rest = block_at(b, (ptrdiff_t)gap);
    rest->head = block_bytes(b) - gap;
    b->head -= block_bytes(rest);
    block_give(h, b);
    return rest;
}

/* --- accounting, under the lock --- */

static void use_add(struct heap *h, size_t bytes)
{
    h->use.used_bytes += bytes;
    h->use.peak_bytes = size_max(h->use.peak_bytes, h->use.used_bytes);
}

/* --- the calls --- */

/* The bytes of the block that holds `bytes` for its user; 0 when no heap is that large. */
static size_t block_bytes_for(const struct heap *h, size_t bytes)
{
    if (bytes >= HEAP_BYTES_MAX)
        return 0;
    size_t around = HEAD_BYTES + (h->checked ? GUARD_HEAD + GUARD_TAIL : 0);
    return size_max(size_round_up(bytes + around, HEAP_ALIGN), BLOCK_BYTES_MIN);
}

static size_t lead_of(const struct heap *h)
{
    return h->checked ? GUARD_HEAD : 0;
}

/* Distance from the block's start to where one must start for its user's pointer to be aligned: 0, or enough for a block. */
static size_t front_gap(struct heap_block *b, size_t lead, size_t alignment)
{
    uintptr_t user = (uintptr_t)payload_of(b) + lead;
    size_t gap = (size_t)(-user & (alignment - 1));
    while (gap != 0 && gap < BLOCK_BYTES_MIN)
        gap += alignment;
    return gap;
}

static struct heap_block *heap_take(struct heap *h, size_t alignment, size_t bytes)
{
    size_t spare = alignment > HEAP_ALIGN ? alignment + BLOCK_BYTES_MIN : 0;
    struct heap_block *b = bytes == 0 || bytes + spare >= HEAP_BYTES_MAX ? NULL : list_find(h, bytes + spare);
    if (b == NULL) {
        h->use.refusals++;
        return NULL;
    }
    block_freshen(h, b, bytes + spare);
    block_take(h, b, bytes);
    b = block_cut_front(h, b, front_gap(b, lead_of(h), alignment));
    block_trim(h, b, bytes);
    use_add(h, block_bytes(b));
    return b;
}

void *heap_alloc_aligned(struct heap *h, size_t alignment, size_t bytes)
{
    ASSERT(alignment != 0 && (alignment & (alignment - 1)) == 0);
    alignment = size_min(size_max(alignment, HEAP_ALIGN), HEAP_BYTES_MAX);
    pthread_mutex_lock(&h->lock);
    struct heap_block *b = heap_take(h, alignment, block_bytes_for(h, bytes));
    if (b != NULL && h->checked)
        guard_seal(payload_of(b), payload_bytes(b), bytes);
    pthread_mutex_unlock(&h->lock);
    return b != NULL ? (uint8_t *)payload_of(b) + lead_of(h) : NULL;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    return heap_alloc_aligned(h, HEAP_ALIGN, bytes);
}

/* The used block behind its user's pointer. What cannot be one ends the process. */
static struct heap_block *block_of(const struct heap *h, const void *at)
{
    const uint8_t *start = (const uint8_t *)at - lead_of(h) - HEAD_BYTES;
    if ((uintptr_t)at % HEAP_ALIGN != 0 || start < h->first || start >= h->end)
        heap_die(h, "not a block of this heap", at);
    struct heap_block *b = block_at(start, 0);
    if (b->head & FREE)
        heap_die(h, "freed twice", at);
    if (block_bytes(b) < BLOCK_BYTES_MIN || block_bytes(b) > (size_t)(h->end - start))
        heap_die(h, "freed twice, or the bytes before it were overwritten", at);
    if (h->checked)
        guard_check(h, payload_of(b), payload_bytes(b));
    return b;
}

void heap_free(struct heap *h, void *at)
{
    pthread_mutex_lock(&h->lock);
    struct heap_block *b = block_of(h, at);
    h->use.used_bytes -= block_bytes(b);
    if (mem_wipes_freed() && !h->checked)
        wipe(payload_of(b), payload_bytes(b));
    if (h->checked)
        guard_poison(payload_of(b), payload_bytes(b));
    block_give(h, b);
    pthread_mutex_unlock(&h->lock);
}

/* Grows into a free neighbour or shrinks. False: it has to move. */
static bool block_resize(struct heap *h, struct heap_block *b, size_t bytes)
{
    size_t before = block_bytes(b);
    struct heap_block *after = block_after(b);
    if (bytes > before) {
        if (!(after->head & FREE) || before + block_bytes(after) < bytes)
            return false;
        block_freshen(h, after, bytes - before);
        block_take(h, after, bytes - before);
        b->head += block_bytes(after);
    } else if (h->checked) {
        guard_poison(block_at(b, (ptrdiff_t)bytes), before - bytes);
    }
    block_trim(h, b, bytes);
    h->use.used_bytes -= before;
    use_add(h, block_bytes(b));
    return true;
}

static bool heap_resize(struct heap *h, void *at, size_t bytes)
{
    pthread_mutex_lock(&h->lock);
    struct heap_block *b = block_of(h, at);
    size_t wanted = block_bytes_for(h, bytes);
    bool done = wanted != 0 && block_resize(h, b, wanted);
    if (done && h->checked)
        guard_seal(payload_of(b), payload_bytes(b), bytes);
    pthread_mutex_unlock(&h->lock);
    return done;
}

void *heap_realloc(struct heap *h, void *at, size_t bytes)
{
    if (heap_resize(h, at, bytes))
        return at;
    void *moved = heap_alloc(h, bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, at, size_min(heap_block_bytes(h, at), bytes));
    heap_free(h, at);
    return moved;
}

size_t heap_block_bytes(struct heap *h, void *at)
{
    pthread_mutex_lock(&h->lock); /* the head's flags may be changing */
    struct heap_block *b = block_of(h, at);
    size_t bytes = h->checked ? guard_bytes(payload_of(b)) : payload_bytes(b);
    pthread_mutex_unlock(&h->lock);
    return bytes;
}

void heap_open(struct heap *h, const char *name, void *slice, size_t bytes, enum heap_mode mode)
{
    ASSERT(bytes >= 4 * BLOCK_BYTES_MIN && bytes < HEAP_BYTES_MAX);
    memset(h, 0, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    h->name = name;
    h->checked = mode == HEAP_CHECKED;
    h->use.limit_bytes = bytes;
    uintptr_t start = size_round_up((uintptr_t)slice + HEAD_BYTES, HEAP_ALIGN) - HEAD_BYTES;
    size_t usable = ((uintptr_t)slice + bytes - start - HEAD_BYTES) & ~(size_t)(HEAP_ALIGN - 1);
    h->first = (uint8_t *)slice + (start - (uintptr_t)slice);
    h->end = h->first + usable;
    struct heap_block *sentinel = block_at(h->end, 0), *all = block_at(h->first, 0);
    sentinel->head = 0;
    all->head = usable;
    h->fresh = (uint8_t *)(all + 1);
    block_give(h, all);
}

struct mem_use heap_use(struct heap *h)
{
    pthread_mutex_lock(&h->lock);
    struct mem_use use = h->use;
    pthread_mutex_unlock(&h->lock);
    return use;
}

void heap_peak_reset(struct heap *h)
{
    pthread_mutex_lock(&h->lock);
    h->use.peak_bytes = h->use.used_bytes;
    pthread_mutex_unlock(&h->lock);
}
