/* Any bytes as a spool's file: it is read to its end, what is in the index then is a record of it, and nothing else is. The first
 * byte: odd, and the sums are put right first, so that what they guard is read too. */
#include "hal/spool_inside.h"

#include <stdlib.h>
#include <string.h>

#define RECORDS   64u
#define FILE_MAX  KIB(16)
#define CHUNK_CAP KIB(4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t file[FILE_MAX];
static size_t file_bytes;

static err file_read(void *arg, uint64_t at, void *into, size_t cap, size_t *got)
{
    (void)arg;
    *got = at < file_bytes ? size_min(cap, file_bytes - (size_t)at) : 0;
    memcpy(into, file + (at < file_bytes ? at : 0), *got);
    return OK;
}

/* --- putting sums right --- */

static void records_repair(uint8_t *at, size_t len)
{
    static uint8_t body[FILE_MAX];
    while (len >= SPOOL_RECORD_BYTES) {
        size_t bytes = (at[4] | (size_t)at[5] << 8) % (len - SPOOL_RECORD_BYTES + 1);
        struct spool_item i = {.what = 1u + at[7] % (SPOOL_LOG_COUNT - 1), .place = at[8], .body = {body, bytes}};
        memcpy(i.key, at + 16, sizeof i.key);
        memcpy(body, at + SPOOL_RECORD_BYTES, bytes);
        spool_item_pack(&i, at);
        at += spool_item_bytes(&i);
        len -= spool_item_bytes(&i);
    }
}

static void repair(void)
{
    size_t at = 0;
    for (uint64_t number = 1; file_bytes - at >= SPOOL_BATCH_BYTES; number++) {
        uint8_t *in = file + at;
        size_t room = file_bytes - at - SPOOL_BATCH_BYTES;
        struct spool_batch b = {.bytes = (uint32_t)((in[4] | (size_t)in[5] << 8) % (room + 1)), .first = in[40]};
        b.number = number;
        b.head = in[16];
        b.next_place = in[24];
        records_repair(in + SPOOL_BATCH_BYTES, b.bytes);
        spool_batch_pack(&b, in);
        at += SPOOL_BATCH_BYTES + b.bytes;
    }
}

/* --- a spool with nothing but an index --- */

static struct spool *spool_of_nothing(void)
{
    static struct spool s;
    static struct spool_entry entries[RECORDS];
    static uint16_t buckets[RECORDS];
    static uint8_t chunk[CHUNK_CAP];
    memset(&s, 0, sizeof s);
    s.options.records_max = RECORDS;
    s.entries = entries;
    s.buckets = buckets;
    s.bucket_mask = RECORDS - 1;
    s.chunk = chunk;
    s.chunk_cap = sizeof chunk;
    s.next_place = 1;
    s.segments[0].number = 1;
    spool_index_reset(&s);
    return &s;
}

static void entry_is_a_record(const struct spool *s, uint16_t id)
{
    struct spool_item item;
    size_t at = s->entries[id].at & ((1u << SPOOL_SLOT_SHIFT) - 1);
    ASSERT(s->entries[id].at >> SPOOL_SLOT_SHIFT == 0 && at < file_bytes);
    ASSERT(spool_item_unpack((struct bytes){file + at, file_bytes - at}, &item));
    ASSERT(item.place == spool_place(s, id) && spool_key(item.key) == s->entries[id].key);
    ASSERT(item.what == (s->entries[id].flags & SPOOL_IS_TYPE) && item.place >= s->replay_head);
}

static void index_is_whole(const struct spool *s)
{
    unsigned count = 0;
    uint64_t before = 0, bytes = 0;
    for (uint16_t id = s->first; id != SPOOL_NONE; id = s->entries[id].next, count++) {
        entry_is_a_record(s, id);
        ASSERT(spool_place(s, id) >= before);
        before = spool_place(s, id);
        bytes += spool_size_of(s->entries[id].size);
    }
    ASSERT(count == s->records + s->marks && count == s->used && count == s->segments[0].live);
    ASSERT(bytes == s->live_bytes && bytes == s->segments[0].live_bytes);
    ASSERT(s->note_bytes <= SPOOL_NOTE_BYTES_MAX && (!s->lost || s->note_bytes == 0));
}

static void replay(uint32_t end)
{
    struct spool *s = spool_of_nothing();
    struct spool_source from = {file_read, NULL};
    struct spool_replay r = {.number = 1, .end = end};
    ASSERT(spool_replay_file(s, &from, &r) == OK && r.good <= file_bytes);
    spool_replay_end(s);
    index_is_whole(s);
}

static void header_is_read(void)
{
    struct spool_file f;
    struct bytes in = {file, file_bytes};
    if (spool_file_unpack(in, 1, &f))
        ASSERT(f.identity.at + f.identity.len <= file + file_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    file_bytes = size_min(size - 1, sizeof file);
    memcpy(file, data + 1, file_bytes);
    header_is_read();
    if (data[0] & 1)
        repair();
    replay(UINT32_MAX);
    replay((uint32_t)file_bytes);
    return 0;
}
