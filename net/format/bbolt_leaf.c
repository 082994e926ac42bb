/* A leaf's entries: what the visitor is shown, and the buckets that begin in one. */
#include "net/format/bbolt_inside.h"

/* --- a bucket that lies whole within its entry's value --- */

static bool inline_header_good(struct bbolt *b, uint64_t page, struct bytes v, struct bbolt_header *h)
{
    if (v.len < BBOLT_HEADER_BYTES) {
        bbolt_found(b, ETCD_DB_BUCKET, page, "an inline bucket of %zu bytes", v.len);
        return false;
    }
    *h = bbolt_header_read(v.at);
    if (h->flags != BBOLT_LEAF || h->overflow != 0)
        bbolt_found(b, ETCD_DB_BUCKET, page, "an inline bucket with flags 0x%02x and %u overflow pages", h->flags, h->overflow);
    else if (BBOLT_HEADER_BYTES + (size_t)BBOLT_ELEMENT_BYTES * h->count > v.len)
        bbolt_found(b, ETCD_DB_BUCKET, page, "an inline bucket with %u elements in %zu bytes", h->count, v.len);
    else
        return true;
    return false;
}

static bool inline_entry_good(struct bbolt *b, uint64_t page, struct bytes v, uint16_t count, const struct bbolt_element *e,
                              uint64_t taken, struct bytes before)
{
    if (!bbolt_element_fits(e, count, taken, v.len))
        bbolt_found(b, ETCD_DB_ELEMENT_RANGE, page, "an inline bucket's entry has %u + %u bytes at %llu of %zu", e->key_bytes,
                    e->value_bytes, (unsigned long long)e->at, v.len);
    else if (e->flags != 0)
        bbolt_found(b, ETCD_DB_BUCKET, page, "an inline bucket's entry has flags 0x%x", e->flags);
    else if (taken > 0 && bbolt_compare((struct bytes){v.at + e->at, e->key_bytes}, before) <= 0)
        bbolt_found(b, ETCD_DB_KEY_ORDER, page, "an inline bucket's keys do not ascend");
    else
        return true;
    return false;
}

void bbolt_inline(struct bbolt *b, uint64_t page, struct bytes v, enum bbolt_level level)
{
    struct bbolt_header h;
    struct bytes before = {0};
    uint64_t taken = 0;
    if (!inline_header_good(b, page, v, &h))
        return;
    for (uint16_t i = 0; i < h.count; i++) {
        struct bbolt_element e = bbolt_element_read(v.at + BBOLT_HEADER_BYTES + (size_t)BBOLT_ELEMENT_BYTES * i, i, true);
        if (!inline_entry_good(b, page, v, h.count, &e, taken, before))
            return;
        before = (struct bytes){v.at + e.at, e.key_bytes};
        taken = e.at + e.key_bytes + e.value_bytes;
        struct bbolt_record r = {.key = before, .value_bytes = e.value_bytes, .value = {before.at + before.len, e.value_bytes}};
        if (level == BBOLT_LEVEL_TOP)
            b->visit->record(b->visit_arg, &r);
    }
    b->visit->leave(b->visit_arg);
}

/* --- an entry that is a bucket --- */

static err bucket_begin(struct bbolt *b, struct bbolt_frame *f, const struct bbolt_element *e, enum bbolt_level level)
{
    const uint8_t *at = NULL;
    uint64_t value_at = e->at + e->key_bytes, page = f->page;
    if (e->value_bytes < BBOLT_BUCKET_HEADER_BYTES) {
        bbolt_found(b, ETCD_DB_BUCKET, page, "a bucket of %u bytes", e->value_bytes);
        return OK;
    }
    TRY(bbolt_page_bytes(b, f, value_at, BBOLT_BUCKET_HEADER_BYTES, BBOLT_BUCKET_HEADER_BYTES, &at));
    uint64_t root = bbolt_u64(at);
    if (root != 0)
        return bbolt_enter(b, root, page, 1, level, true);
    if (e->value_bytes > BBOLT_INLINE_MAX) {
        bbolt_found(b, ETCD_DB_BUCKET, page, "an inline bucket of %u bytes", e->value_bytes);
        return OK;
    }
    TRY(bbolt_page_bytes(b, f, value_at, e->value_bytes, e->value_bytes, &at));
    struct bytes v = {at + BBOLT_BUCKET_HEADER_BYTES, e->value_bytes - BBOLT_BUCKET_HEADER_BYTES};
    bbolt_inline(b, page, v, level);
    return OK;
}

/* The root's own entries are the top-level buckets; what is below a bucket's bucket is only proven, not shown. */
static err bucket_entry(struct bbolt *b, struct bbolt_frame *f, const struct bbolt_element *e, struct bytes key)
{
    if (f->level == BBOLT_LEVEL_ROOT)
        return b->visit->bucket(b->visit_arg, key) ? bucket_begin(b, f, e, BBOLT_LEVEL_TOP) : OK;
    if (f->level == BBOLT_LEVEL_TOP)
        b->visit->record(b->visit_arg, &(struct bbolt_record){.key = key, .value = {key.at, 0}, .is_bucket = true});
    b->visit->leave(b->visit_arg); /* the bucket may need the slot */
    return b->proving ? bucket_begin(b, f, e, BBOLT_LEVEL_NESTED) : OK;
}

/* --- an entry that is a key and a value --- */

/* In one piece when the page's head has it; else in pieces, of which each is a step. */
static void plain_entry(struct bbolt *b, struct bbolt_frame *f, const struct bbolt_element *e, struct bytes key)
{
    uint64_t value_at = e->at + e->key_bytes;
    struct bbolt_record r = {.key = key, .value_bytes = e->value_bytes};
    if (f->level != BBOLT_LEVEL_TOP)
        return;
    if (e->value_bytes == 0)
        r.value.at = key.at; /* nothing, but not NULL */
    else if (value_at + e->value_bytes <= b->page_bytes)
        r.value = (struct bytes){bbolt_head(b) + value_at, e->value_bytes};
    b->visit->record(b->visit_arg, &r);
    if (r.value.at == NULL) {
        b->value_at = f->page * b->page_bytes + value_at;
        b->value_left = e->value_bytes;
    }
}

err bbolt_value_step(struct bbolt *b)
{
    const uint8_t *at = NULL;
    size_t n = b->value_left < b->window_bytes ? (size_t)b->value_left : b->window_bytes;
    TRY(bbolt_bytes(b, b->value_at, n, b->value_left, &at));
    b->value_at += n;
    b->value_left -= n;
    if (!b->visit->value(b->visit_arg, (struct bytes){at, n}, b->value_left == 0))
        b->value_left = 0;
    b->visit->leave(b->visit_arg);
    return OK;
}

/* --- the leaf --- */

err bbolt_bound_restore(struct bbolt *b, struct bbolt_frame *f)
{
    struct bbolt_element e;
    const uint8_t *key = NULL;
    b->bound_stale = false;
    b->bound = BBOLT_BOUND_NONE;
    TRY(bbolt_element_at(b, f, f->next - 1, &e));
    if (e.at + e.key_bytes > f->run_bytes || e.key_bytes > BBOLT_KEY_MAX) {
        b->changed = true; /* it was checked before */
        return OK;
    }
    TRY(bbolt_page_bytes(b, f, e.at, e.key_bytes, e.key_bytes, &key));
    bbolt_in_order(b, f, f->next - 1, (struct bytes){key, e.key_bytes}, true);
    return OK;
}

static bool flags_good(struct bbolt *b, const struct bbolt_frame *f, uint32_t index, const struct bbolt_element *e)
{
    if (e->flags > 1)
        bbolt_found(b, ETCD_DB_BUCKET, f->page, "element %u has flags 0x%x", index, e->flags);
    else if (e->flags == 0 && f->level == BBOLT_LEVEL_ROOT)
        bbolt_found(b, ETCD_DB_BUCKET, f->page, "element %u of the root is no bucket", index);
    else
        return true;
    return false;
}

static err entry_step(struct bbolt *b, struct bbolt_frame *f)
{
    struct bbolt_element e;
    const uint8_t *at = NULL;
    uint32_t index = f->next++;
    TRY(bbolt_element_at(b, f, index, &e));
    if (!bbolt_fits(b, f, index, &e)) {
        f->next = f->count;
        return OK;
    }
    TRY(bbolt_page_bytes(b, f, e.at, e.key_bytes, (uint64_t)e.key_bytes + e.value_bytes, &at));
    bbolt_in_order(b, f, index, (struct bytes){at, e.key_bytes}, true);
    if (!flags_good(b, f, index, &e))
        return OK;
    /* A key behind the head lies in the window, which the value may need: the copy stays. */
    bool in_head = e.at + e.key_bytes <= b->page_bytes;
    struct bytes key = {in_head ? at : b->last_key, e.key_bytes};
    if (e.flags == 1)
        return bucket_entry(b, f, &e, key);
    plain_entry(b, f, &e, key);
    if (!in_head)
        b->visit->leave(b->visit_arg); /* the copy goes with the next key */
    return OK;
}

err bbolt_leaf_step(struct bbolt *b, struct bbolt_frame *f)
{
    unsigned depth = b->depth, cost = b->cost;
    err e = OK;
    while (e == OK && f->next < f->count && b->depth == depth && b->value_left == 0 && b->cost == cost)
        e = entry_step(b, f);
    b->visit->leave(b->visit_arg);
    return e;
}
