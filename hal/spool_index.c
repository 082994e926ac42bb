/* The index: entries in a pool, linked in the order of their places, hashed by key. What is done but on the disk stays taken
 * until a commit has written so: by the head when nothing before it lives, else one by one. */
#include "hal/spool_inside.h"

#include <string.h>

#define SAMPLE_GAP_MS 1000

uint32_t spool_at(unsigned slot, size_t offset)
{
    ASSERT(offset < (size_t)1 << SPOOL_SLOT_SHIFT);
    return (uint32_t)slot << SPOOL_SLOT_SHIFT | (uint32_t)offset;
}

/* --- sizes in a byte: below 8 as they are, else 3 bits of fraction under a power of two --- */

uint8_t spool_size_code(size_t bytes)
{
    unsigned power = 0;
    while (bytes >> power > 15)
        power++;
    size_t rounded = (bytes + ((size_t)1 << power) - 1) >> power;
    if (rounded > 15) {
        rounded = (rounded + 1) / 2;
        power++;
    }
    return (uint8_t)(rounded < 8 ? rounded : (size_t)(power + 1) << 3 | (rounded & 7));
}

size_t spool_size_of(uint8_t code)
{
    return code < 8 ? code : (size_t)(8 | (code & 7)) << ((code >> 3) - 1);
}

/* --- the hash --- */

static uint16_t *bucket_of(const struct spool *s, uint64_t key)
{
    uint64_t mixed = key * 0x9E3779B97F4A7C15u; /* 2^64 / the golden ratio: keys of tests are small numbers */
    return &s->buckets[(mixed >> 32) & s->bucket_mask];
}

static void hash_put(struct spool *s, uint16_t id)
{
    uint16_t *bucket = bucket_of(s, s->entries[id].key);
    s->entries[id].chain = *bucket;
    *bucket = id;
}

static void hash_remove(struct spool *s, uint16_t id)
{
    uint16_t *at = bucket_of(s, s->entries[id].key);
    while (*at != id)
        at = &s->entries[*at].chain;
    *at = s->entries[id].chain;
}

static bool is_mark(const struct spool_entry *e)
{
    return (e->flags & SPOOL_IS_TYPE) == SPOOL_MARK;
}

static bool is_record(const struct spool_entry *e)
{
    return !is_mark(e) && !(e->flags & SPOOL_IS_DONE);
}

uint16_t spool_index_at(const struct spool *s, uint64_t key, uint32_t at)
{
    uint16_t id = *bucket_of(s, key);
    while (id != SPOOL_NONE && (s->entries[id].key != key || s->entries[id].at != at))
        id = s->entries[id].chain;
    return id;
}

uint16_t spool_index_place(const struct spool *s, uint64_t key, uint64_t place)
{
    uint16_t id = *bucket_of(s, key);
    while (id != SPOOL_NONE && (s->entries[id].key != key || s->entries[id].place != (uint32_t)place))
        id = s->entries[id].chain;
    return id;
}

/* Places are compared in 32 bits: what lives spans less than 2^31, see spool_append(). */
static bool is_before(const struct spool *s, uint16_t a, uint16_t b)
{
    return (int32_t)(s->entries[a].place - s->entries[b].place) < 0;
}

uint16_t spool_index_newest(const struct spool *s, uint64_t key)
{
    uint16_t newest = SPOOL_NONE;
    for (uint16_t id = *bucket_of(s, key); id != SPOOL_NONE; id = s->entries[id].chain)
        if (s->entries[id].key == key && is_record(&s->entries[id]) && (newest == SPOOL_NONE || is_before(s, newest, id)))
            newest = id;
    return newest;
}

bool spool_index_is_behind(const struct spool *s, uint16_t id)
{
    for (uint16_t other = *bucket_of(s, s->entries[id].key); other != SPOOL_NONE; other = s->entries[other].chain)
        if (s->entries[other].key == s->entries[id].key && !is_mark(&s->entries[other]) && is_before(s, other, id))
            return true;
    return false;
}

/* --- the order --- */

uint64_t spool_place(const struct spool *s, uint16_t id)
{
    return s->next_place - (uint32_t)((uint32_t)s->next_place - s->entries[id].place);
}

uint64_t spool_head(const struct spool *s)
{
    return s->first == SPOOL_NONE ? s->next_place : spool_place(s, s->first);
}

static void order_append(struct spool *s, uint16_t id)
{
    s->entries[id].previous = s->last;
    s->entries[id].next = SPOOL_NONE;
    if (s->last == SPOOL_NONE)
        s->first = id;
    else
        s->entries[s->last].next = id;
    s->last = id;
}

static void order_remove(struct spool *s, uint16_t id)
{
    const struct spool_entry *e = &s->entries[id];
    if (e->previous == SPOOL_NONE)
        s->first = e->next;
    else
        s->entries[e->previous].next = e->next;
    if (e->next == SPOOL_NONE)
        s->last = e->previous;
    else
        s->entries[e->next].previous = e->previous;
}

/* Of the order's list, by `next` alone. */
static uint16_t merged(struct spool *s, uint16_t a, uint16_t b)
{
    uint16_t head = SPOOL_NONE, *end = &head;
    while (a != SPOOL_NONE && b != SPOOL_NONE) {
        uint16_t *from = is_before(s, b, a) ? &b : &a;
        *end = *from;
        end = &s->entries[*from].next;
        *from = *end;
    }
    *end = a != SPOOL_NONE ? a : b;
    return head;
}

#define RUNS_MAX 17 /* run n has 2^n entries */

static uint16_t sorted(struct spool *s, uint16_t rest)
{
    uint16_t runs[RUNS_MAX], all = SPOOL_NONE;
    memset(runs, 0xff, sizeof runs);
    while (rest != SPOOL_NONE) {
        uint16_t run = rest;
        unsigned n = 0;
        rest = s->entries[run].next;
        s->entries[run].next = SPOOL_NONE;
        for (; runs[n] != SPOOL_NONE; runs[n++] = SPOOL_NONE)
            run = merged(s, runs[n], run);
        runs[n] = run;
    }
    for (unsigned n = 0; n < RUNS_MAX; n++)
        all = merged(s, runs[n], all);
    return all;
}

void spool_index_sort(struct spool *s)
{
    uint16_t at = sorted(s, s->first);
    s->first = s->last = SPOOL_NONE;
    while (at != SPOOL_NONE) {
        uint16_t next = s->entries[at].next;
        order_append(s, at);
        at = next;
    }
}

/* --- entries --- */

void spool_index_reset(struct spool *s)
{
    memset(s->buckets, 0xff, (s->bucket_mask + 1) * sizeof *s->buckets);
    s->first = s->last = s->free = s->acked = s->acking = SPOOL_NONE;
    s->used = s->acked_count = s->records = s->marks = s->out_count = s->sample_count = 0;
    for (unsigned id = s->options.records_max; id-- > 0;) {
        s->entries[id].next = s->free;
        s->free = (uint16_t)id;
    }
}

uint16_t spool_index_new(struct spool *s, uint64_t key, uint64_t place, uint8_t flags)
{
    uint16_t id = s->free;
    if (id == SPOOL_NONE)
        return SPOOL_NONE;
    s->free = s->entries[id].next;
    s->used++;
    s->entries[id] = (struct spool_entry){.key = key, .place = (uint32_t)place, .flags = flags};
    s->entries[id].at = SPOOL_NOWHERE;
    hash_put(s, id);
    order_append(s, id);
    *((flags & SPOOL_IS_TYPE) == SPOOL_MARK ? &s->marks : &s->records) += 1;
    return id;
}

static void entry_free(struct spool *s, uint16_t id)
{
    hash_remove(s, id);
    s->entries[id].next = s->free;
    s->free = id;
    s->used--;
}

static void location_leave(struct spool *s, uint16_t id)
{
    struct spool_entry *e = &s->entries[id];
    unsigned slot = e->at >> SPOOL_SLOT_SHIFT;
    if (slot >= SPOOL_SEGMENTS_MAX) /* SPOOL_SLOT_BUF and the one after it */
        return;
    s->segments[slot].live--;
    s->segments[slot].live_bytes -= spool_size_of(e->size);
    s->live_bytes -= spool_size_of(e->size);
}

void spool_index_move(struct spool *s, uint16_t id, uint32_t at, size_t bytes)
{
    struct spool_entry *e = &s->entries[id];
    unsigned slot = at >> SPOOL_SLOT_SHIFT;
    location_leave(s, id);
    e->at = at;
    e->size = spool_size_code(bytes);
    if (slot >= SPOOL_SEGMENTS_MAX) /* SPOOL_SLOT_BUF and the one after it */
        return;
    s->segments[slot].live++;
    s->segments[slot].live_bytes += spool_size_of(e->size);
    s->live_bytes += spool_size_of(e->size);
}

void spool_index_drop(struct spool *s, uint16_t id)
{
    struct spool_entry *e = &s->entries[id];
    location_leave(s, id);
    order_remove(s, id);
    e->at = SPOOL_NOWHERE;
    *(is_mark(e) ? &s->marks : &s->records) -= 1;
    if (!(e->flags & SPOOL_IS_DISK)) {
        entry_free(s, id);
        return;
    }
    e->flags |= SPOOL_IS_DONE;
    e->next = s->acked;
    s->acked = id;
    s->acked_count++;
}

void spool_index_acked(struct spool *s)
{
    while (s->acking != SPOOL_NONE) {
        uint16_t id = s->acking;
        s->acking = s->entries[id].next;
        entry_free(s, id);
    }
}

/* --- slots --- */

unsigned spool_slot_of(const struct spool *s, uint32_t number)
{
    unsigned slot = 0;
    while (slot < SPOOL_SEGMENTS_MAX && s->segments[slot].number != number)
        slot++;
    return slot;
}

unsigned spool_slot_oldest(const struct spool *s)
{
    unsigned oldest = SPOOL_SEGMENTS_MAX;
    for (unsigned i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        if (s->segments[i].number != 0 && (oldest == SPOOL_SEGMENTS_MAX || s->segments[i].number < s->segments[oldest].number))
            oldest = i;
    return oldest;
}

unsigned spool_slots_used(const struct spool *s)
{
    unsigned used = 0;
    for (unsigned i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        used += s->segments[i].number != 0;
    return used;
}

/* --- ages: a few moments, thinned when there are too many --- */

void spool_sample_add(struct spool *s, uint64_t place, ms at)
{
    struct spool_sample *last = s->sample_count > 0 ? &s->samples[s->sample_count - 1] : NULL;
    if (!last)
        s->sample_gap_ms = SAMPLE_GAP_MS;
    else if (at - last->at < s->sample_gap_ms || place <= last->place)
        return;
    if (s->sample_count == SPOOL_SAMPLES) {
        for (unsigned i = 0; i < SPOOL_SAMPLES / 2; i++)
            s->samples[i] = s->samples[2 * i];
        s->sample_count = SPOOL_SAMPLES / 2;
        s->sample_gap_ms *= 2;
    }
    s->samples[s->sample_count++] = (struct spool_sample){place, at};
}
