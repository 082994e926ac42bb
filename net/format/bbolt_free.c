/* The freelist, and the pages nobody knows of. */
#include "net/format/bbolt_walk.h"

static err header_of(struct bbolt *b, uint64_t page, struct bbolt_header *out)
{
    const uint8_t *at = NULL;
    TRY(bbolt_bytes(b, page * b->page_bytes, BBOLT_HEADER_BYTES + 8, b->page_bytes, &at));
    *out = bbolt_header_read(at);
    if (out->count == BBOLT_COUNT_IS_FIRST)
        b->free_left = bbolt_u64(at + BBOLT_HEADER_BYTES);
    else
        b->free_left = out->count;
    return OK;
}

static bool header_good(struct bbolt *b, uint64_t page, const struct bbolt_header *h)
{
    uint64_t room = ((uint64_t)h->overflow + 1) * b->page_bytes - BBOLT_HEADER_BYTES;
    if (h->id != page)
        bbolt_found(b, ETCD_DB_PAGE_ID, page, "the freelist says it is page %llu", (unsigned long long)h->id);
    else if (h->flags != BBOLT_FREELIST)
        bbolt_found(b, ETCD_DB_FREELIST, page, "flags 0x%02x where a freelist has 0x10", h->flags);
    else if (h->overflow >= b->pages - page)
        bbolt_found(b, ETCD_DB_OVERFLOW, page, "the freelist reaches %u pages on, beyond the last", h->overflow);
    else if (b->free_left > room / 8 - (h->count == BBOLT_COUNT_IS_FIRST))
        bbolt_found(b, ETCD_DB_FREELIST, page, "%llu ids do not fit", (unsigned long long)b->free_left);
    else
        return bbolt_mark(b, page, (uint64_t)h->overflow + 1);
    return false;
}

err bbolt_free_start(struct bbolt *b)
{
    uint64_t page = b->meta.freelist;
    struct bbolt_header h;
    b->free_left = 0;
    b->free_last = 1;
    if (page == BBOLT_NO_FREELIST)
        return OK;
    if (page < 2 || page >= b->pages) {
        bbolt_found(b, ETCD_DB_FREELIST, page, "the freelist lies beyond the last page, %llu", (unsigned long long)b->pages - 1);
        return OK;
    }
    TRY(header_of(b, page, &h));
    if (!header_good(b, page, &h))
        b->free_left = 0;
    b->free_at = page * b->page_bytes + BBOLT_HEADER_BYTES + (h.count == BBOLT_COUNT_IS_FIRST ? 8 : 0);
    return OK;
}

/* False: a bad one, and the rest is not to be trusted. */
static bool take_id(struct bbolt *b, uint64_t id)
{
    if (id < 2 || id >= b->pages)
        bbolt_found(b, ETCD_DB_FREELIST, b->meta.freelist, "page %llu is free but does not exist", (unsigned long long)id);
    else if (id <= b->free_last)
        bbolt_found(b, ETCD_DB_FREELIST, b->meta.freelist, "page %llu after page %llu", (unsigned long long)id,
                    (unsigned long long)b->free_last);
    else if (bbolt_bit(b->reached, id))
        bbolt_found(b, ETCD_DB_FREE_IN_USE, id, "free, and part of the freelist itself");
    else {
        bbolt_bit_set(b->freed, id);
        b->free_last = id;
        return true;
    }
    return false;
}

err bbolt_free_step(struct bbolt *b, unsigned pages_max, bool *done)
{
    while (b->free_left > 0 && b->cost < pages_max) {
        const uint8_t *at = NULL;
        size_t n = b->free_left < b->window_bytes / 8 ? (size_t)b->free_left : b->window_bytes / 8;
        TRY(bbolt_bytes(b, b->free_at, 8 * n, 8 * b->free_left, &at));
        for (size_t i = 0; i < n; i++)
            if (!take_id(b, bbolt_u64(at + 8 * i))) {
                b->free_left = n; /* what else it has would only repeat the same */
                break;
            }
        b->free_at += 8 * n;
        b->free_left -= n;
    }
    *done = b->free_left == 0;
    return OK;
}

/* Without a stored freelist every page that is not reached is free. After other damage most lost pages only follow from it. */
void bbolt_lost_find(struct bbolt *b)
{
    if (b->meta.freelist == BBOLT_NO_FREELIST || !b->status->structure_good)
        return;
    for (uint64_t i = 2, first; i < b->pages; i++) {
        for (first = i; i < b->pages && !bbolt_bit(b->reached, i) && !bbolt_bit(b->freed, i); i++)
            ;
        if (i > first)
            bbolt_found(b, ETCD_DB_PAGE_LOST, first, "%llu pages from here on are neither in use nor free",
                        (unsigned long long)(i - first));
    }
}
