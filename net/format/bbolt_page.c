#include "net/format/bbolt_page.h"

#include <string.h>

uint32_t bbolt_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t bbolt_u64(const uint8_t *at)
{
    return (uint64_t)bbolt_u32(at) | (uint64_t)bbolt_u32(at + 4) << 32;
}

static uint16_t read_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

struct bbolt_header bbolt_header_read(const uint8_t at[BBOLT_HEADER_BYTES])
{
    return (struct bbolt_header){
        .id = bbolt_u64(at), .flags = read_u16(at + 8), .count = read_u16(at + 10), .overflow = bbolt_u32(at + 12)};
}

/* Fowler, Noll, Vo: draft-eastlake-fnv, 64 bits, the FNV-1a order. */
uint64_t bbolt_fnv64a(struct bytes data)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < data.len; i++)
        h = (h ^ data.at[i]) * UINT64_C(0x100000001b3);
    return h;
}

static bool is_page_size(uint32_t bytes)
{
    return bytes >= BBOLT_PAGE_MIN && bytes <= BBOLT_PAGE_MAX && (bytes & (bytes - 1)) == 0;
}

/* magic u32, version u32, page size u32, flags u32, root {page u64, sequence u64}, freelist u64, high water u64, txid u64, sum */
bool bbolt_meta_read(const uint8_t at[BBOLT_META_BYTES], struct bbolt_meta *out, const char **why)
{
    *out = (struct bbolt_meta){.page_bytes = bbolt_u32(at + 8),
                               .root = bbolt_u64(at + 16),
                               .freelist = bbolt_u64(at + 32),
                               .pages = bbolt_u64(at + 40),
                               .txid = bbolt_u64(at + 48)};
    *why = bbolt_u32(at) != BBOLT_MAGIC                                                      ? "no magic number"
           : bbolt_u32(at + 4) != BBOLT_VERSION                                              ? "not version 2"
           : bbolt_u64(at + 56) != bbolt_fnv64a((struct bytes){at, BBOLT_META_SUMMED_BYTES}) ? "wrong checksum"
           : !is_page_size(out->page_bytes)                                                  ? "impossible page size"
                                                                                             : NULL;
    return *why == NULL;
}

struct bbolt_element bbolt_element_read(const uint8_t at[BBOLT_ELEMENT_BYTES], uint16_t index, bool leaf)
{
    uint64_t self = BBOLT_HEADER_BYTES + (uint64_t)BBOLT_ELEMENT_BYTES * index;
    if (leaf)
        return (struct bbolt_element){.flags = bbolt_u32(at),
                                      .at = self + bbolt_u32(at + 4),
                                      .key_bytes = bbolt_u32(at + 8),
                                      .value_bytes = bbolt_u32(at + 12)};
    return (struct bbolt_element){.at = self + bbolt_u32(at), .key_bytes = bbolt_u32(at + 4), .child = bbolt_u64(at + 8)};
}

bool bbolt_element_fits(const struct bbolt_element *e, uint16_t count, uint64_t taken, uint64_t page_bytes)
{
    uint64_t elements_end = BBOLT_HEADER_BYTES + (uint64_t)BBOLT_ELEMENT_BYTES * count;
    return e->at >= elements_end && e->at >= taken && e->at + e->key_bytes + e->value_bytes <= page_bytes;
}

int bbolt_compare(struct bytes a, struct bytes b)
{
    size_t n = size_min(a.len, b.len);
    int by_bytes = n > 0 ? memcmp(a.at, b.at, n) : 0;
    return by_bytes != 0 ? by_bytes : (a.len > b.len) - (a.len < b.len);
}
