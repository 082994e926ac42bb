#include "tests/support/bolt_file.h"

#include <string.h>

#define HEADER   16
#define ELEMENT  16
#define TREE_MAX 4096 /* pages of one level */

void bolt_put(uint8_t *at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

uint64_t bolt_get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void header_put(uint8_t *page, uint64_t id, unsigned flags, size_t count, uint64_t overflow)
{
    bolt_put(page, 8, id);
    bolt_put(page + 8, 2, flags);
    bolt_put(page + 10, 2, count);
    bolt_put(page + 12, 4, overflow);
}

void bolt_start(struct bolt_file *f, void *storage, size_t cap, uint32_t page_bytes)
{
    *f = (struct bolt_file){.at = storage, .cap = cap, .page_bytes = page_bytes, .branch_max = 8, .pages = 2};
    memset(storage, 0, cap);
}

uint8_t *bolt_page(struct bolt_file *f, uint64_t page)
{
    ASSERT((page + 1) * f->page_bytes <= f->cap);
    return f->at + page * f->page_bytes;
}

uint64_t bolt_take(struct bolt_file *f, uint64_t count)
{
    uint64_t first = f->pages;
    f->pages += count;
    (void)bolt_page(f, f->pages - 1);
    header_put(bolt_page(f, first), first, 0, 0, count - 1);
    return first;
}

/* --- leaves --- */

static size_t entry_bytes(const struct bolt_entry *e)
{
    return ELEMENT + e->key.len + e->value.len;
}

static void leaf_put(uint8_t *page, const struct bolt_entry *entries, size_t count)
{
    uint8_t *data = page + HEADER + ELEMENT * count;
    for (size_t i = 0; i < count; i++) {
        uint8_t *element = page + HEADER + ELEMENT * i;
        bolt_put(element, 4, entries[i].bucket ? 1 : 0);
        bolt_put(element + 4, 4, (uint64_t)(data - element));
        bolt_put(element + 8, 4, entries[i].key.len);
        bolt_put(element + 12, 4, entries[i].value.len);
        memcpy(data, entries[i].key.at, entries[i].key.len);
        if (entries[i].value.len > 0)
            memcpy(data + entries[i].key.len, entries[i].value.at, entries[i].value.len);
        data += entries[i].key.len + entries[i].value.len;
    }
}

/* As many entries as a page holds, at least one. */
static size_t leaf_take(struct bolt_file *f, const struct bolt_entry *entries, size_t count, uint64_t *page)
{
    size_t n = 0, bytes = HEADER;
    while (n < count && (n == 0 || bytes + entry_bytes(&entries[n]) <= f->page_bytes))
        bytes += entry_bytes(&entries[n++]);
    uint64_t run = (bytes + f->page_bytes - 1) / f->page_bytes;
    *page = bolt_take(f, run);
    header_put(bolt_page(f, *page), *page, 2, n, run - 1);
    leaf_put(bolt_page(f, *page), entries, n);
    return n;
}

/* --- branches --- */

struct child {
    struct bytes key;
    uint64_t page;
};

static uint64_t branch_take(struct bolt_file *f, const struct child *children, size_t count)
{
    size_t bytes = HEADER;
    for (size_t i = 0; i < count; i++)
        bytes += ELEMENT + children[i].key.len;
    uint64_t run = (bytes + f->page_bytes - 1) / f->page_bytes, id = bolt_take(f, run);
    uint8_t *page = bolt_page(f, id), *data = page + HEADER + ELEMENT * count;
    header_put(page, id, 1, count, run - 1);
    for (size_t i = 0; i < count; i++) {
        uint8_t *element = page + HEADER + ELEMENT * i;
        bolt_put(element, 4, (uint64_t)(data - element));
        bolt_put(element + 4, 4, children[i].key.len);
        bolt_put(element + 8, 8, children[i].page);
        memcpy(data, children[i].key.at, children[i].key.len);
        data += children[i].key.len;
    }
    return id;
}

uint64_t bolt_tree(struct bolt_file *f, const struct bolt_entry *entries, size_t count)
{
    static struct child level[TREE_MAX];
    size_t n = 0;
    for (size_t at = 0; at < count || n == 0; n++) {
        ASSERT(n < TREE_MAX);
        level[n].key = count > 0 ? entries[at].key : (struct bytes){0};
        at += leaf_take(f, entries + at, count - at, &level[n].page);
    }
    while (n > 1) {
        size_t above = 0;
        for (size_t at = 0, some; at < n; at += some, above++) {
            some = size_min(f->branch_max, n - at);
            level[above] = (struct child){level[at].key, branch_take(f, level + at, some)};
        }
        n = above;
    }
    return level[0].page;
}

/* --- buckets, freelist, metas --- */

size_t bolt_bucket(uint8_t out[16], uint64_t root)
{
    bolt_put(out, 8, root);
    bolt_put(out + 8, 8, 0);
    return 16;
}

size_t bolt_inline(uint8_t *out, size_t cap, const struct bolt_entry *entries, size_t count)
{
    size_t bytes = 16 + HEADER;
    for (size_t i = 0; i < count; i++)
        bytes += entry_bytes(&entries[i]);
    ASSERT(bytes <= cap);
    memset(out, 0, bytes);
    header_put(out + 16, 0, 2, count, 0);
    leaf_put(out + 16, entries, count);
    return bytes;
}

uint64_t bolt_freelist(struct bolt_file *f, const uint64_t *pages, size_t count, bool count_first)
{
    size_t ids = count + (count_first ? 1 : 0);
    uint64_t run = (HEADER + 8 * ids + f->page_bytes - 1) / f->page_bytes, id = bolt_take(f, run);
    uint8_t *at = bolt_page(f, id);
    header_put(at, id, 0x10, count_first ? 0xFFFF : count, run - 1);
    at += HEADER;
    if (count_first) {
        bolt_put(at, 8, count);
        at += 8;
    }
    for (size_t i = 0; i < count; i++)
        bolt_put(at + 8 * i, 8, pages[i]);
    return id;
}

size_t bolt_finish(struct bolt_file *f, uint64_t root, uint64_t freelist)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *meta = bolt_page(f, i) + HEADER;
        header_put(bolt_page(f, i), i, 4, 0, 0);
        bolt_put(meta, 4, 0xED0CDAED);
        bolt_put(meta + 4, 4, 2);
        bolt_put(meta + 8, 4, f->page_bytes);
        bolt_put(meta + 16, 8, root);
        bolt_put(meta + 32, 8, freelist);
        bolt_put(meta + 40, 8, f->pages);
        bolt_put(meta + 48, 8, 100 - i);
    }
    size_t bytes = (size_t)f->pages * f->page_bytes;
    bolt_seal(f->at, bytes, f->page_bytes);
    return bytes;
}

static uint64_t sum(const uint8_t *at, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        h = (h ^ at[i]) * UINT64_C(1099511628211);
    return h;
}

void bolt_seal(uint8_t *file, size_t bytes, uint32_t page_bytes)
{
    for (size_t at = 0; at <= page_bytes && at + HEADER + 64 <= bytes; at += page_bytes)
        bolt_put(file + at + HEADER + 56, 8, sum(file + at + HEADER, 56));
}
