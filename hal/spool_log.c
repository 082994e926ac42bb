/* The files' structures are copied as they lie in memory: no gaps, little-endian. */
#include "hal/spool_log.h"

#include "net/format/crc32c.h"

#include <string.h>

#define FILE_MAGIC  "HFSPOOL1"
#define BATCH_MAGIC 0x48425053u /* "SPBH" */
#define LENGTH_BITS 28

struct file_header {
    char magic[8];
    uint32_t number, previous, previous_end, first, identity_bytes, crc;
};
struct batch_header {
    uint32_t magic, bytes;
    uint64_t number, head, next_place;
    int64_t wall_ms;
    uint32_t first, records_crc, zero, crc;
};
struct record_header {
    uint32_t crc, what_and_bytes;
    uint64_t place;
    uint8_t key[SPOOL_KEY_BYTES];
};
_Static_assert(sizeof(struct file_header) == SPOOL_FILE_HEADER_BYTES, "no gaps");
_Static_assert(sizeof(struct batch_header) == SPOOL_BATCH_BYTES, "no gaps");
_Static_assert(sizeof(struct record_header) == SPOOL_RECORD_BYTES, "no gaps");

/* --- files --- */

size_t spool_file_header_bytes(size_t identity_bytes)
{
    return SPOOL_FILE_HEADER_BYTES + identity_bytes;
}

static uint32_t file_sum(const struct file_header *h, struct bytes identity)
{
    uint32_t crc = crc32c(0, (struct bytes){(const uint8_t *)h, offsetof(struct file_header, crc)});
    return crc32c(crc, identity);
}

size_t spool_file_pack(const struct spool_file *f, uint8_t out[SPOOL_FILE_HEADER_BYTES + SPOOL_IDENTITY_MAX])
{
    struct file_header h = {.number = f->number, .previous = f->previous, .previous_end = f->previous_end, .first = f->first};
    ASSERT(f->identity.len <= SPOOL_IDENTITY_MAX);
    memcpy(h.magic, FILE_MAGIC, sizeof h.magic);
    h.identity_bytes = (uint32_t)f->identity.len;
    h.crc = file_sum(&h, f->identity);
    memcpy(out, &h, sizeof h);
    if (f->identity.len > 0)
        memcpy(out + sizeof h, f->identity.at, f->identity.len);
    return spool_file_header_bytes(f->identity.len);
}

bool spool_file_unpack(struct bytes in, uint32_t number, struct spool_file *out)
{
    struct file_header h;
    if (in.len < sizeof h)
        return false;
    memcpy(&h, in.at, sizeof h);
    if (memcmp(h.magic, FILE_MAGIC, sizeof h.magic) != 0 || h.number != number || h.previous >= number ||
        h.identity_bytes > SPOOL_IDENTITY_MAX || in.len < spool_file_header_bytes(h.identity_bytes))
        return false;
    *out = (struct spool_file){h.number, h.previous, h.previous_end, h.first, {in.at + sizeof h, h.identity_bytes}};
    return h.crc == file_sum(&h, out->identity);
}

/* --- batches --- */

static uint32_t batch_sum(const struct batch_header *h)
{
    return crc32c(0, (struct bytes){(const uint8_t *)h, offsetof(struct batch_header, crc)});
}

void spool_batch_pack(const struct spool_batch *b, uint8_t *out)
{
    struct batch_header h = {.magic = BATCH_MAGIC, .bytes = b->bytes, .number = b->number, .head = b->head};
    h.next_place = b->next_place;
    h.wall_ms = b->wall_ms;
    h.first = b->first;
    h.records_crc = crc32c(0, (struct bytes){out + sizeof h, b->bytes});
    h.crc = batch_sum(&h);
    memcpy(out, &h, sizeof h);
}

bool spool_batch_unpack(const uint8_t in[SPOOL_BATCH_BYTES], struct spool_batch *out)
{
    struct batch_header h;
    memcpy(&h, in, sizeof h);
    *out = (struct spool_batch){h.bytes, h.first, h.number, h.head, h.next_place, h.wall_ms};
    return h.magic == BATCH_MAGIC && h.crc == batch_sum(&h);
}

bool spool_batch_is_whole(const uint8_t *in, const struct spool_batch *b)
{
    struct batch_header h;
    memcpy(&h, in, sizeof h);
    return h.records_crc == crc32c(0, (struct bytes){in + sizeof h, b->bytes});
}

/* --- records --- */

size_t spool_item_bytes(const struct spool_item *i)
{
    return SPOOL_RECORD_BYTES + i->body.len;
}

static uint32_t record_sum(const uint8_t *record, size_t len)
{
    return crc32c(0, (struct bytes){record + sizeof(uint32_t), len - sizeof(uint32_t)});
}

void spool_item_pack(const struct spool_item *i, uint8_t *out)
{
    struct record_header h = {.what_and_bytes = (uint32_t)(i->what << LENGTH_BITS | i->body.len), .place = i->place};
    memcpy(h.key, i->key, sizeof h.key);
    memcpy(out, &h, sizeof h);
    if (i->body.len > 0)
        memmove(out + sizeof h, i->body.at, i->body.len);
    h.crc = record_sum(out, spool_item_bytes(i));
    memcpy(out, &h.crc, sizeof h.crc);
}

size_t spool_item_length(const uint8_t in[SPOOL_RECORD_BYTES])
{
    struct record_header h;
    memcpy(&h, in, sizeof h);
    return SPOOL_RECORD_BYTES + (h.what_and_bytes & SPOOL_BODY_MAX);
}

bool spool_item_unpack(struct bytes in, struct spool_item *out)
{
    struct record_header h;
    if (in.len < sizeof h)
        return false;
    memcpy(&h, in.at, sizeof h);
    size_t bytes = h.what_and_bytes & SPOOL_BODY_MAX;
    if (bytes > in.len - sizeof h)
        return false;
    *out = (struct spool_item){.what = h.what_and_bytes >> LENGTH_BITS, .place = h.place, .body = {in.at + sizeof h, bytes}};
    memcpy(out->key, h.key, sizeof out->key);
    return out->what > 0 && out->what < SPOOL_LOG_COUNT && h.crc == record_sum(in.at, sizeof h + bytes);
}

uint64_t spool_key(const uint8_t key[SPOOL_KEY_BYTES])
{
    uint64_t out;
    memcpy(&out, key, sizeof out);
    return out;
}
