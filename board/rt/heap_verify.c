#include "board/rt/heap_block.h"

static void verify_free(const struct heap *h, struct heap_block *b)
{
    struct class c = class_of(block_bytes(b));
    ASSERT(*size_before(block_after(b)) == block_bytes(b));
    ASSERT(block_after(b)->head & AFTER_FREE);
    ASSERT(!(block_after(b)->head & FREE));
    ASSERT((h->rows & (1u << c.row)) && (h->columns[c.row] & (1u << c.column)));
    ASSERT(b->prev == NULL ? h->free_list[c.row][c.column] == b : b->prev->next == b);
    ASSERT(b->next == NULL || b->next->prev == b);
    const uint8_t *at = (const uint8_t *)(b + 1), *end = (const uint8_t *)size_before(block_after(b));
    const uint8_t *given_end = h->fresh < end ? h->fresh : end;
    if (h->checked) {
        guard_check_poison(h, at, (size_t)(given_end - at));
        guard_check_fresh(h, given_end, (size_t)(end - given_end));
    }
}

static void verify_used(const struct heap *h, struct heap_block *b)
{
    ASSERT(!(block_after(b)->head & AFTER_FREE));
    if (h->checked)
        guard_check(h, payload_of(b), payload_bytes(b));
}

static size_t verify_lists(const struct heap *h)
{
    size_t count = 0;
    for (unsigned r = 0; r < HEAP_ROWS; r++)
        for (unsigned c = 0; c < HEAP_COLUMNS; c++) {
            ASSERT((h->free_list[r][c] != NULL) == ((h->columns[r] >> c) & 1u));
            for (struct heap_block *b = h->free_list[r][c]; b != NULL; b = b->next, count++)
                ASSERT((b->head & FREE) && class_of(block_bytes(b)).row == r && class_of(block_bytes(b)).column == c);
        }
    return count;
}

size_t heap_verify(struct heap *h)
{
    size_t used = 0, free_count = 0;
    pthread_mutex_lock(&h->lock);
    struct heap_block *b = block_at(h->first, 0);
    for (; (uint8_t *)b < h->end; b = block_after(b)) {
        ASSERT(block_bytes(b) >= BLOCK_BYTES_MIN && ((uintptr_t)b + HEAD_BYTES) % HEAP_ALIGN == 0);
        if (b->head & FREE)
            verify_free(h, b);
        else
            verify_used(h, b);
        used += b->head & FREE ? 0 : block_bytes(b);
        free_count += b->head & FREE ? 1 : 0;
    }
    ASSERT((uint8_t *)b == h->end && block_bytes(b) == 0);
    ASSERT(used == h->use.used_bytes);
    ASSERT(verify_lists(h) == free_count);
    pthread_mutex_unlock(&h->lock);
    return free_count;
}
