/* The way through the tree: an explicit stack of pages, each entered once, its elements in order. */
#include "net/format/bbolt_walk.h"

#include "net/format/bbolt_inside.h"

#include <string.h>

#define AHEAD_CHILDREN_MAX   32  /* of a branch, looked at for neighbours on the disk */
#define ELEMENTS_AHEAD_BYTES 512 /* no more, so that hostile pages of tiny entries stay cheap */
#define AHEAD_GAP_MAX        4   /* pages read for nothing, or for a sibling's overflow */

/* --- the head of each page on the way is in a slot; deep trees and large pages share slots and read again --- */

static err read_pages(struct bbolt *b, uint64_t page, uint64_t ahead, uint8_t *into)
{
    uint64_t at = page * b->page_bytes;
    b->cost++;
    bool in_window = at >= b->window_at && at + b->page_bytes <= b->window_at + b->window_len;
    if (in_window || (ahead > 1 && b->window_bytes >= b->page_bytes)) {
        const uint8_t *found = NULL;
        TRY(bbolt_bytes(b, at, b->page_bytes, ahead * b->page_bytes, &found));
        memcpy(into, found, b->page_bytes);
        return OK;
    }
    err e = b->source->read(b->source->arg, at, into, b->page_bytes);
    return e == OK ? OK : trail(e, "reading page %llu of the database", (unsigned long long)page);
}

static err slot_fill(struct bbolt *b, unsigned depth, uint64_t page, uint64_t ahead)
{
    unsigned i = depth % b->slot_count;
    if (b->slots[i].page == page)
        return OK;
    b->slots[i].page = 0;
    TRY(read_pages(b, page, ahead, b->slots[i].at));
    b->slots[i].page = page;
    return OK;
}

const uint8_t *bbolt_head(struct bbolt *b)
{
    return b->slots[(b->depth - 1) % b->slot_count].at;
}

err bbolt_page_bytes(struct bbolt *b, const struct bbolt_frame *f, uint64_t at, size_t len, uint64_t wanted, const uint8_t **out)
{
    ASSERT(at + len <= f->run_bytes);
    if (at + len <= b->page_bytes) {
        *out = bbolt_head(b) + at;
        return OK;
    }
    return bbolt_bytes(b, f->page * b->page_bytes + at, len, wanted, out);
}

/* Elements may reach beyond the head too: many of them, or one page's worth of a large overflowing one. */
err bbolt_element_at(struct bbolt *b, const struct bbolt_frame *f, uint32_t index, struct bbolt_element *out)
{
    const uint8_t *at = NULL;
    TRY(bbolt_page_bytes(b, f, BBOLT_HEADER_BYTES + (uint64_t)BBOLT_ELEMENT_BYTES * index, BBOLT_ELEMENT_BYTES,
                         ELEMENTS_AHEAD_BYTES, &at));
    *out = bbolt_element_read(at, (uint16_t)index, f->leaf);
    return OK;
}

/* --- entering a page --- */

static bool header_good(struct bbolt *b, uint64_t page, const struct bbolt_header *h, bool bucket_root)
{
    uint64_t run_bytes = ((uint64_t)h->overflow + 1) * b->page_bytes;
    if (h->id != page)
        bbolt_found(b, ETCD_DB_PAGE_ID, page, "the page says it is page %llu", (unsigned long long)h->id);
    else if (h->flags != BBOLT_BRANCH && h->flags != BBOLT_LEAF)
        bbolt_found(b, ETCD_DB_PAGE_FLAGS, page, "flags 0x%02x where a branch has 0x01 and a leaf 0x02", h->flags);
    else if (h->overflow >= b->pages - page)
        bbolt_found(b, ETCD_DB_OVERFLOW, page, "reaches %u pages on, beyond the last, %llu", h->overflow,
                    (unsigned long long)b->pages - 1);
    else if (h->count == 0 && (h->flags == BBOLT_BRANCH || !bucket_root))
        bbolt_found(b, ETCD_DB_PAGE_COUNT, page, "no element");
    else if (BBOLT_HEADER_BYTES + (uint64_t)BBOLT_ELEMENT_BYTES * h->count > run_bytes)
        bbolt_found(b, ETCD_DB_PAGE_COUNT, page, "%u elements do not fit", h->count);
    else
        return true;
    return false;
}

static bool child_good(struct bbolt *b, uint64_t page, uint64_t parent)
{
    if (page < 2 || page >= b->pages)
        bbolt_found(b, ETCD_DB_CHILD_RANGE, parent, "refers to page %llu of %llu", (unsigned long long)page,
                    (unsigned long long)b->pages);
    else if (b->depth == BBOLT_DEPTH_MAX)
        bbolt_found(b, ETCD_DB_DEPTH, page, "deeper than %d pages", BBOLT_DEPTH_MAX);
    else
        return true;
    return false;
}

/* On a later walk marks are not made again; the number of pages keeps a file that changes from leading us in circles. */
static bool enter_allowed(struct bbolt *b, uint64_t page, uint64_t count)
{
    b->pages_walked += count;
    if (b->proving)
        return bbolt_mark(b, page, count);
    if (b->pages_walked > b->pages)
        b->changed = true;
    return !b->changed;
}

err bbolt_enter(struct bbolt *b, uint64_t page, uint64_t parent, uint64_t ahead, enum bbolt_level level, bool bucket_root)
{
    if (!child_good(b, page, parent))
        return OK;
    TRY(slot_fill(b, b->depth, page, ahead));
    struct bbolt_header h = bbolt_header_read(b->slots[b->depth % b->slot_count].at);
    if (!header_good(b, page, &h, bucket_root) || !enter_allowed(b, page, (uint64_t)h.overflow + 1))
        return OK;
    b->frames[b->depth++] = (struct bbolt_frame){.page = page,
                                                 .run_bytes = ((uint64_t)h.overflow + 1) * b->page_bytes,
                                                 .count = h.count,
                                                 .leaf = h.flags == BBOLT_LEAF,
                                                 .level = level};
    if (bucket_root)
        b->bound = BBOLT_BOUND_NONE;
    return OK;
}

/* --- the next element --- */

bool bbolt_fits(struct bbolt *b, struct bbolt_frame *f, uint32_t index, const struct bbolt_element *e)
{
    if (!bbolt_element_fits(e, f->count, f->taken, f->run_bytes))
        bbolt_found(b, ETCD_DB_ELEMENT_RANGE, f->page, "element %u: %u + %u bytes at %llu of a page of %llu", index, e->key_bytes,
                    e->value_bytes, (unsigned long long)e->at, (unsigned long long)f->run_bytes);
    else if (e->key_bytes > BBOLT_KEY_MAX)
        bbolt_found(b, ETCD_DB_ELEMENT_RANGE, f->page, "element %u: a key of %u bytes, %d are allowed", index, e->key_bytes,
                    BBOLT_KEY_MAX);
    else {
        f->taken = e->at + e->key_bytes + e->value_bytes;
        return true;
    }
    return false;
}

void bbolt_in_order(struct bbolt *b, struct bbolt_frame *f, uint32_t index, struct bytes key, bool leaf)
{
    int least = b->bound == BBOLT_BOUND_ABOVE ? 1 : 0;
    if (b->bound != BBOLT_BOUND_NONE && !f->misordered && bbolt_compare(key, (struct bytes){b->last_key, b->last_len}) < least) {
        f->misordered = true; /* once a page: what follows is mostly the same fault */
        bbolt_found(b, ETCD_DB_KEY_ORDER, f->page, "element %u is not above the key before it or its parent's", index);
    }
    memcpy(b->last_key, key.at, key.len);
    b->last_len = key.len;
    b->bound = leaf ? BBOLT_BOUND_ABOVE : BBOLT_BOUND_LEAST;
}

/* How many pages from this child on are worth one read: its siblings that come right after it on the disk. */
static uint64_t pages_ahead(struct bbolt *b, const struct bbolt_frame *f, uint64_t child)
{
    const uint8_t *head = bbolt_head(b);
    uint64_t last = child, most = b->window_bytes / b->page_bytes;
    for (uint32_t i = f->next, n = 0; i < f->count && n < AHEAD_CHILDREN_MAX; i++, n++) {
        size_t at = BBOLT_HEADER_BYTES + (size_t)BBOLT_ELEMENT_BYTES * i;
        if (at + BBOLT_ELEMENT_BYTES > b->page_bytes)
            break;
        uint64_t sibling = bbolt_u64(head + at + 8);
        if (sibling <= last || sibling - last > AHEAD_GAP_MAX || sibling - child >= most || sibling >= b->pages)
            break;
        last = sibling;
    }
    return last - child + 1;
}

static err branch_step(struct bbolt *b, struct bbolt_frame *f)
{
    struct bbolt_element e;
    const uint8_t *key = NULL;
    uint32_t index = f->next++;
    TRY(bbolt_element_at(b, f, index, &e));
    if (!bbolt_fits(b, f, index, &e)) {
        f->next = f->count; /* the rest of the page is left out */
        return OK;
    }
    TRY(bbolt_page_bytes(b, f, e.at, e.key_bytes, e.key_bytes, &key));
    bbolt_in_order(b, f, index, (struct bytes){key, e.key_bytes}, false);
    return bbolt_enter(b, e.child, f->page, pages_ahead(b, f, e.child), f->level, false);
}

/* A leaf above an ended page means that a bucket ended; the next key is compared with the bucket's name. */
static void page_ended(struct bbolt *b)
{
    b->depth--;
    if (b->depth > 0 && b->frames[b->depth - 1].leaf)
        b->bound_stale = true;
}

static err walk_one(struct bbolt *b)
{
    struct bbolt_frame *f = &b->frames[b->depth - 1];
    if (b->value_left > 0)
        return bbolt_value_step(b);
    TRY(slot_fill(b, b->depth - 1, f->page, 1));
    if (b->bound_stale)
        TRY(bbolt_bound_restore(b, f));
    if (f->next >= f->count) {
        page_ended(b);
        return OK;
    }
    return f->leaf ? bbolt_leaf_step(b, f) : branch_step(b, f);
}

err bbolt_walk_step(struct bbolt *b, unsigned pages_max, bool *done)
{
    while (b->depth > 0 && b->cost < pages_max) {
        TRY(walk_one(b));
        if (b->changed)
            return trail(E_CORRUPT, "the database changed while it was read");
    }
    *done = b->depth == 0;
    return OK;
}

err bbolt_walk_start(struct bbolt *b, const struct bbolt_visitor *visit, void *arg, bool proving)
{
    b->visit = visit;
    b->visit_arg = arg;
    b->proving = proving;
    b->depth = 0;
    b->pages_walked = 0;
    b->value_left = 0;
    b->bound_stale = false;
    return bbolt_enter(b, b->meta.root, 0, 1, BBOLT_LEVEL_ROOT, true);
}
