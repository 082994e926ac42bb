#include "tests/support/etcd_file.h"

#include "net/format/pb.h"

#include <stdio.h>
#include <string.h>

/* Layout: bbolt internal/common/{page,meta,inode,bucket}.go. */
#define HEADER      16u /* also of each element */
#define BRANCH      1u
#define LEAF        2u
#define META        4u
#define BUCKET      1u
#define NO_FREELIST UINT64_MAX
#define REVISION    17u  /* bytes; a tombstone's has one more */
#define LEAVES_MAX  150u /* what one branch page takes */
#define RECORD_HEAD 64u  /* bytes of a record beside its value, at most */

struct filling {
    struct etcd_file *file;
    uint8_t *out;
    size_t cap;
    uint64_t pages;                                 /* used so far */
    uint64_t leaves[LEAVES_MAX], first[LEAVES_MAX]; /* their pages, and their first records */
    unsigned leaf_count;
};

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put_header(uint8_t *page, uint64_t id, unsigned flags, unsigned count, uint64_t overflow)
{
    put(page, id, 8);
    put(page + 8, flags, 2);
    put(page + 10, count, 2);
    put(page + 12, overflow, 4);
}

static uint8_t *page_at(const struct filling *f, uint64_t id)
{
    return f->out + id * ETCD_FILE_PAGE;
}

static uint64_t take(struct filling *f, uint64_t pages)
{
    ASSERT((f->pages + pages) * ETCD_FILE_PAGE <= f->cap);
    memset(page_at(f, f->pages), 0, pages * ETCD_FILE_PAGE);
    f->pages += pages;
    return f->pages - pages;
}

/* --- records: number 0, 1, … has revision number + 2 --- */

static bool is_tombstone(const struct etcd_file *f, unsigned number)
{
    return number >= f->keys;
}

static size_t key_bytes(const struct etcd_file *f, unsigned number)
{
    return REVISION + (is_tombstone(f, number) ? 1 : 0);
}

static void put_key(const struct etcd_file *f, unsigned number, uint8_t *at)
{
    uint64_t revision = number + 2;
    memset(at, 0, REVISION);
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(revision >> (8 * (7 - i)));
    at[8] = '_';
    if (is_tombstone(f, number))
        at[REVISION] = 't';
}

static size_t value_bytes(const struct etcd_file *f, unsigned number)
{
    if (is_tombstone(f, number))
        return 0;
    return number + 1 == f->keys && f->last_value_bytes ? f->last_value_bytes : f->value_bytes;
}

/* mvccpb.KeyValue: key 1, create_revision 2, mod_revision 3, version 4, value 5; a tombstone has its key only. */
static size_t put_record(const struct etcd_file *f, unsigned number, uint8_t *at, size_t cap)
{
    static uint8_t value[MIB(2)];
    char key[24];
    bool gone = is_tombstone(f, number);
    (void)snprintf(key, sizeof key, "/key/%06u", gone ? number - f->keys : number);
    struct pb_writer w = pb_write_over(at, cap);
    pb_put_text(&w, 1, key);
    if (gone)
        return w.len;
    pb_put_i64(&w, 2, number + 2);
    pb_put_i64(&w, 3, number + 2);
    pb_put_i64(&w, 4, 1);
    size_t len = value_bytes(f, number);
    ASSERT(len <= sizeof value);
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(i * 131 + (i >> 9) * 7 + number);
    pb_put_bytes(&w, 5, (struct bytes){value, len});
    return w.len;
}

/* --- pages --- */

static void put_element(uint8_t *page, unsigned index, unsigned flags, size_t data_at, size_t key, size_t value)
{
    uint8_t *element = page + HEADER + index * HEADER;
    put(element, flags, 4);
    put(element + 4, (uint64_t)(page + data_at - element), 4);
    put(element + 8, key, 4);
    put(element + 12, value, 4);
}

/* As many records as fit a page, or one of any size. Their number. */
static unsigned leaf_takes(const struct etcd_file *f, unsigned from, unsigned end, size_t *bytes)
{
    unsigned count = 0;
    *bytes = HEADER;
    while (from + count < end) {
        size_t more = HEADER + REVISION + 1 + RECORD_HEAD + value_bytes(f, from + count);
        if (count > 0 && *bytes + more > ETCD_FILE_PAGE)
            break;
        *bytes += more;
        count++;
    }
    return count;
}

static unsigned put_leaf(struct filling *f, unsigned from, unsigned end)
{
    size_t bytes = 0;
    unsigned count = leaf_takes(f->file, from, end, &bytes);
    uint64_t pages = (bytes + ETCD_FILE_PAGE - 1) / ETCD_FILE_PAGE, id = take(f, pages);
    uint8_t *page = page_at(f, id);
    put_header(page, id, LEAF, count, pages - 1);
    size_t at = HEADER + count * HEADER;
    for (unsigned i = 0; i < count; i++) {
        size_t key = key_bytes(f->file, from + i);
        put_key(f->file, from + i, page + at);
        size_t value = put_record(f->file, from + i, page + at + key, pages * ETCD_FILE_PAGE - at - key);
        put_element(page, i, 0, at, key, value);
        at += key + value;
    }
    ASSERT(f->leaf_count < LEAVES_MAX);
    f->first[f->leaf_count] = from;
    f->leaves[f->leaf_count++] = id;
    return count;
}

static uint64_t put_branch(struct filling *f)
{
    uint64_t id = take(f, 1);
    uint8_t *page = page_at(f, id);
    put_header(page, id, BRANCH, f->leaf_count, 0);
    size_t at = HEADER + f->leaf_count * HEADER;
    for (unsigned i = 0; i < f->leaf_count; i++) {
        uint8_t *element = page + HEADER + i * HEADER;
        size_t key = key_bytes(f->file, (unsigned)f->first[i]);
        ASSERT(at + key <= ETCD_FILE_PAGE);
        put_key(f->file, (unsigned)f->first[i], page + at);
        put(element, (uint64_t)(page + at - element), 4);
        put(element + 4, key, 4);
        put(element + 8, f->leaves[i], 8);
        at += key;
    }
    return id;
}

static uint64_t put_keys(struct filling *f)
{
    unsigned end = f->file->keys + f->file->deleted;
    if (end == 0)
        return 0;
    for (unsigned from = 0; from < end;)
        from += put_leaf(f, from, end);
    return f->leaf_count == 1 ? f->leaves[0] : put_branch(f);
}

/* An inline bucket: header of 16 bytes with root 0, then a leaf page of no more than what is in it. */
static size_t put_inline(uint8_t *at, const char *key, const uint8_t *value, size_t value_len)
{
    memset(at, 0, 2 * HEADER);
    put_header(at + HEADER, 0, LEAF, key ? 1 : 0, 0);
    if (!key)
        return 2 * HEADER;
    size_t key_len = strlen(key);
    put_element(at + HEADER, 0, 0, 2 * HEADER, key_len, value_len);
    memcpy(at + 3 * HEADER, key, key_len);
    memcpy(at + 3 * HEADER + key_len, value, value_len);
    return 3 * HEADER + key_len + value_len;
}

static uint64_t put_root(struct filling *f, uint64_t keys)
{
    static const char *const names[] = {"alarm", "key", "meta"};
    static const uint8_t compacted[REVISION] = {[7] = 1, [8] = '_'};
    uint64_t id = take(f, 1);
    uint8_t *page = page_at(f, id);
    put_header(page, id, LEAF, COUNT_OF(names), 0);
    size_t at = HEADER + COUNT_OF(names) * HEADER;
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        size_t name = strlen(names[i]), value = HEADER;
        memcpy(page + at, names[i], name);
        if (i == 1 && keys)
            put(page + at + name, keys, 8);
        else
            value = put_inline(page + at + name, i == 2 ? "finishedCompactRev" : NULL, compacted, sizeof compacted);
        put_element(page, i, BUCKET, at, name, value);
        at += name + value;
    }
    return id;
}

static uint64_t fnv64a(const uint8_t *at, size_t len)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

static void put_meta(const struct filling *f, unsigned which, uint64_t root)
{
    uint8_t *page = page_at(f, which), *meta = page + HEADER;
    put_header(page, which, META, 0, 0);
    put(meta, 0xED0CDAEDu, 4);
    put(meta + 4, 2, 4);
    put(meta + 8, ETCD_FILE_PAGE, 4);
    put(meta + 16, root, 8);
    put(meta + 32, NO_FREELIST, 8);
    put(meta + 40, f->pages, 8);
    put(meta + 48, 9 - which, 8);
    put(meta + 56, fnv64a(meta, 56), 8);
}

void etcd_file_make(struct etcd_file *file, uint8_t *out, size_t cap)
{
    struct filling f = {.file = file, .out = out, .cap = cap};
    ASSERT(file->deleted <= file->keys);
    (void)take(&f, 2);
    uint64_t root = put_root(&f, put_keys(&f));
    put_meta(&f, 0, root);
    put_meta(&f, 1, root);
    file->bytes = (size_t)f.pages * ETCD_FILE_PAGE;
    file->revision = (int64_t)file->keys + file->deleted + 1;
}
