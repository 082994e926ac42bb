/* Sums over pages and frames. Pure; both machines are little-endian, and so is the file. */
#include "hal/store_inside.h"

#include <string.h>

/* Each step maps the sum one to one, for a given word and for a given sum: a change within one word is always seen, any other
 * but once in 2^64. Multiplier: 2^64 over the golden ratio, odd. */
static uint64_t sum_step(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
    return sum ^ (sum >> 29);
}

static uint64_t page_sum(const uint8_t *page, uint64_t number)
{
    uint64_t sum = sum_step(0x686F6C6466617374u /* "holdfast" */, number), word;
    for (size_t i = 0; i < STORE_PAGE_BYTES - STORE_SUM_BYTES; i += sizeof word) {
        memcpy(&word, page + i, sizeof word);
        sum = sum_step(sum, word);
    }
    return sum;
}

void store_page_seal(uint8_t page[STORE_PAGE_BYTES], uint64_t number)
{
    uint64_t sum = page_sum(page, number);
    memcpy(page + STORE_PAGE_BYTES - STORE_SUM_BYTES, &sum, sizeof sum);
}

bool store_page_is_sound(const uint8_t page[STORE_PAGE_BYTES], uint64_t number)
{
    uint64_t sum = page_sum(page, number);
    return memcmp(page + STORE_PAGE_BYTES - STORE_SUM_BYTES, &sum, sizeof sum) == 0;
}

/* --- the WAL's: https://sqlite.org/fileformat2.html#checksum_algorithm, words little-endian, sums stored big-endian --- */

struct frame_sum {
    uint32_t first, second;
};

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void frame_sum_add(struct frame_sum *s, const uint8_t *at, size_t len)
{
    uint32_t pair[2];
    for (size_t i = 0; i < len; i += sizeof pair) {
        memcpy(pair, at + i, sizeof pair);
        s->first += pair[0] + s->second;
        s->second += pair[1] + s->first;
    }
}

bool store_frame_is_sound(const uint8_t before[STORE_FRAME_SUM_BYTES], const uint8_t header[STORE_FRAME_HEADER_BYTES],
                          const uint8_t page[STORE_PAGE_BYTES])
{
    const uint8_t *stored = &header[STORE_FRAME_HEADER_BYTES - STORE_FRAME_SUM_BYTES];
    struct frame_sum s = {big_endian(before), big_endian(before + 4)};
    frame_sum_add(&s, header, 8); /* page number, and the database's size after a commit */
    frame_sum_add(&s, page, STORE_PAGE_BYTES);
    return s.first == big_endian(stored) && s.second == big_endian(stored + 4);
}
