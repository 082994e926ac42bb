/* What every part of the walk uses: findings, the window on the file, memory, the two metas, the marks. */
#include "net/format/bbolt_walk.h"

#include <string.h>

void bbolt_found(struct bbolt *b, enum etcd_db_code code, uint64_t page, const char *format, ...)
{
    struct etcd_db_status *s = b->status;
    if (!b->proving) {
        b->changed = true;
        return;
    }
    if (code >= ETCD_DB_BUCKET_MISSING)
        s->logic_good = false;
    else
        s->structure_good = false;
    s->findings_total++;
    if (s->finding_count == ETCD_DB_FINDINGS_MAX)
        return;
    struct etcd_db_finding *f = &s->findings[s->finding_count++];
    struct text t = text_over(f->text, sizeof f->text);
    va_list arguments;
    f->code = code;
    f->page = page;
    va_start(arguments, format);
    text_addv(&t, format, arguments);
    va_end(arguments);
}

static err read_some(struct bbolt *b, uint64_t at, void *into, size_t len)
{
    err e = b->source->read(b->source->arg, at, into, len);
    return e == OK ? OK : trail(e, "reading %zu bytes of the database at %llu", len, (unsigned long long)at);
}

err bbolt_bytes(struct bbolt *b, uint64_t at, size_t len, uint64_t wanted, const uint8_t **out)
{
    ASSERT(len <= b->window_bytes && at <= b->source->bytes && len <= b->source->bytes - at);
    if (at < b->window_at || at + len > b->window_at + b->window_len) {
        uint64_t n = wanted < b->window_bytes ? wanted : b->window_bytes;
        if (n < len)
            n = len;
        if (n > b->source->bytes - at)
            n = b->source->bytes - at;
        b->window_len = 0; /* should the read fail */
        TRY(read_some(b, at, b->window, (size_t)n));
        b->window_at = at;
        b->window_len = (size_t)n;
        b->cost += (unsigned)(n / b->page_bytes) + 1;
    }
    *out = b->window + (at - b->window_at);
    return OK;
}

/* --- memory --- */

static size_t window_bytes(bool rich)
{
    return rich ? BBOLT_WINDOW_MAX : BBOLT_WINDOW_MIN;
}

static unsigned slot_count(uint32_t page_bytes, bool rich)
{
    size_t fit = (rich ? KIB(128) : KIB(64)) / page_bytes;
    return (unsigned)size_min(fit, BBOLT_SLOTS_MAX);
}

size_t bbolt_memory_bytes(uint32_t page_bytes, bool rich)
{
    return BBOLT_KEY_MAX + window_bytes(rich) + (size_t)slot_count(page_bytes, rich) * page_bytes;
}

void bbolt_memory_give(struct bbolt *b, uint8_t *at, bool rich)
{
    b->last_key = at;
    b->window = at + BBOLT_KEY_MAX;
    b->window_bytes = window_bytes(rich);
    b->window_len = 0;
    b->slot_count = slot_count(b->page_bytes, rich);
    at = b->window + b->window_bytes;
    for (unsigned i = 0; i < b->slot_count; i++, at += b->page_bytes) {
        b->slots[i].page = 0;
        b->slots[i].at = at;
    }
}

/* --- the metas --- */

struct meta_try {
    struct bbolt_meta meta;
    const char *why; /* NULL: good */
};

static err meta_try(struct bbolt *b, uint64_t at, struct meta_try *out)
{
    uint8_t bytes[BBOLT_META_BYTES];
    *out = (struct meta_try){.why = "beyond the end of the file"};
    if (b->source->bytes < at + BBOLT_HEADER_BYTES + BBOLT_META_BYTES)
        return OK;
    TRY(read_some(b, at + BBOLT_HEADER_BYTES, bytes, sizeof bytes));
    if (bbolt_meta_read(bytes, &out->meta, &out->why) && at != 0 && at != out->meta.page_bytes)
        out->why = "not where its page size puts it";
    return OK;
}

/* The second one's place depends on the page size, which is the first one's to tell, if it is good. */
static err meta_second(struct bbolt *b, const struct meta_try *first, struct meta_try *out)
{
    if (first->why == NULL)
        return meta_try(b, first->meta.page_bytes, out);
    for (uint32_t bytes = BBOLT_PAGE_MIN; bytes <= BBOLT_PAGE_MAX; bytes *= 2) {
        TRY(meta_try(b, bytes, out));
        if (out->why == NULL)
            break;
    }
    return OK;
}

/* As bbolt, we look at the header of both pages even if one meta is bad. */
static err meta_header_check(struct bbolt *b, uint64_t page)
{
    uint8_t bytes[BBOLT_HEADER_BYTES];
    TRY(read_some(b, page * b->page_bytes, bytes, sizeof bytes));
    struct bbolt_header h = bbolt_header_read(bytes);
    if (h.id != page)
        bbolt_found(b, ETCD_DB_PAGE_ID, page, "the page says it is page %llu", (unsigned long long)h.id);
    if (h.flags != BBOLT_META)
        bbolt_found(b, ETCD_DB_PAGE_FLAGS, page, "flags 0x%02x where a meta page has 0x04", h.flags);
    return OK;
}

static void meta_told(struct bbolt *b)
{
    b->page_bytes = b->meta.page_bytes;
    b->pages = b->meta.pages;
    b->status->page_bytes = b->page_bytes;
    b->status->pages = b->pages;
    b->status->txid = b->meta.txid;
}

err bbolt_metas(struct bbolt *b, bool *good)
{
    struct meta_try a, z;
    *good = false;
    TRY(meta_try(b, 0, &a));
    TRY(meta_second(b, &a, &z));
    if (a.why != NULL && z.why != NULL) {
        bbolt_found(b, ETCD_DB_META, 0, "neither meta page is good: the first has %s", a.why);
        return OK;
    }
    b->meta = a.why != NULL || (z.why == NULL && z.meta.txid > a.meta.txid) ? z.meta : a.meta;
    meta_told(b);
    if (b->pages < 3 || b->pages > b->source->bytes / b->page_bytes) {
        bbolt_found(b, ETCD_DB_META, 0, "%llu pages of %u bytes in a file of %llu bytes", (unsigned long long)b->pages,
                    b->page_bytes, (unsigned long long)b->source->bytes);
        return OK;
    }
    b->status->db_bytes = b->pages * b->page_bytes;
    TRY(meta_header_check(b, 0));
    TRY(meta_header_check(b, 1));
    *good = true;
    return OK;
}

/* --- the marks --- */

bool bbolt_mark(struct bbolt *b, uint64_t page, uint64_t count)
{
    for (uint64_t i = page; i < page + count; i++) {
        if (bbolt_bit(b->reached, i)) {
            bbolt_found(b, ETCD_DB_CHILD_TWICE, i, "a second reference, through page %llu", (unsigned long long)page);
            return false;
        }
        if (bbolt_bit(b->freed, i)) {
            bbolt_found(b, ETCD_DB_FREE_IN_USE, i, "in the freelist, and in use by page %llu", (unsigned long long)page);
            return false;
        }
        bbolt_bit_set(b->reached, i);
    }
    return true;
}
