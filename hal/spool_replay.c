/* What lies in one file, into the index, batch by batch. A torn end is where nothing follows: only one batch is under way at a
 * time. Nothing is looked for inside of records: their bytes are other people's. */
#include "hal/spool_inside.h"

#include <string.h>

#define PLACES_MAX INT32_MAX /* what lives spans fewer */

/* --- records --- */

static void sweep(struct spool *s)
{
    for (uint16_t id = s->first, next; id != SPOOL_NONE; id = next) {
        next = s->entries[id].next;
        if (spool_place(s, id) < s->replay_head)
            spool_index_drop(s, id);
    }
}

static uint16_t entry_for(struct spool *s, uint64_t key, const struct spool_item *i)
{
    uint16_t id = spool_index_place(s, key, i->place);
    bool marks = i->what == SPOOL_LOG_MARK;
    if (id != SPOOL_NONE)
        return marks == ((s->entries[id].flags & SPOOL_IS_TYPE) == SPOOL_MARK) ? id : SPOOL_NONE;
    if (s->free == SPOOL_NONE)
        sweep(s);
    return spool_index_new(s, key, i->place, (uint8_t)i->what);
}

static bool apply_record(struct spool *s, const struct spool_item *i, uint32_t at)
{
    if (i->place < s->replay_head)
        return true;
    if (spool_item_bytes(i) > spool_item_bytes_max(s)) {
        s->stats.oversized++;
        return true;
    }
    if (i->place >= s->next_place || s->next_place - i->place > PLACES_MAX)
        return false;
    uint16_t id = entry_for(s, spool_key(i->key), i);
    if (id == SPOOL_NONE)
        return false; /* the index was larger once */
    s->entries[id].flags = (uint8_t)i->what;
    spool_index_move(s, id, at, spool_item_bytes(i));
    if (i->what == SPOOL_LOG_MARK && i->place > s->last_mark)
        s->last_mark = i->place;
    return true;
}

static bool apply_acks(struct spool *s, struct bytes body)
{
    struct spool_ack ack;
    for (; body.len >= sizeof ack; body = bytes_after(body, sizeof ack)) {
        memcpy(&ack, body.at, sizeof ack);
        uint16_t id = spool_index_place(s, ack.key, ack.place);
        if (id != SPOOL_NONE)
            spool_index_drop(s, id);
    }
    return body.len == 0;
}

static bool apply_note(struct spool *s, struct bytes body, uint32_t file)
{
    if (body.len > sizeof s->note)
        return false;
    if (body.len > 0)
        memcpy(s->note, body.at, body.len);
    s->note_bytes = body.len;
    s->note_file = file;
    return true;
}

static bool apply_item(struct spool *s, const struct spool_item *i, const struct spool_replay *r, size_t at)
{
    if (i->what == SPOOL_LOG_ACKS)
        return apply_acks(s, i->body);
    if (i->what == SPOOL_LOG_NOTE)
        return apply_note(s, i->body, r->number);
    return apply_record(s, i, spool_at(r->slot, at));
}

/* --- batches --- */

static void batch_begins(struct spool *s, const struct spool_batch *b)
{
    ms age = os_wall_is_trusted() && os_wall_ms() > b->wall_ms ? os_wall_ms() - b->wall_ms : 0;
    spool_sample_add(s, s->next_place, os_mono() - age);
    if (b->next_place > s->next_place)
        s->next_place = b->next_place;
    if (b->head > s->replay_head && b->head <= s->next_place)
        s->replay_head = b->head;
    s->batch_number = b->number;
}

/* The records of the batch in s->chunk, which lies at `at`. */
static void batch_apply(struct spool *s, const struct spool_batch *b, const struct spool_replay *r, size_t at)
{
    struct bytes rest = {s->chunk + SPOOL_BATCH_BYTES, b->bytes};
    struct spool_item item;
    batch_begins(s, b);
    at += SPOOL_BATCH_BYTES;
    while (rest.len > 0) {
        if (!spool_item_unpack(rest, &item) || !apply_item(s, &item, r, at)) {
            spool_is_lost(s, 1);
            return;
        }
        at += spool_item_bytes(&item);
        rest = bytes_after(rest, spool_item_bytes(&item));
    }
}

enum found { NO_BATCH, BROKEN_BATCH, WHOLE_BATCH, LARGE_BATCH };

/* Its last byte is there: it is none that was never finished. */
static err large_batch(const struct spool_source *from, uint64_t at, const struct spool_batch *b, enum found *found)
{
    uint8_t last;
    size_t got = 0;
    TRY(from->read(from->arg, at + SPOOL_BATCH_BYTES + b->bytes - 1, &last, 1, &got));
    *found = got == 1 ? LARGE_BATCH : NO_BATCH;
    return OK;
}

static err batch_read(struct spool *s, const struct spool_source *from, const struct spool_replay *r, uint64_t at,
                      struct spool_batch *b, enum found *found)
{
    size_t got = 0;
    uint64_t end = r->end < 1u << SPOOL_SLOT_SHIFT ? r->end : 1u << SPOOL_SLOT_SHIFT;
    *found = NO_BATCH;
    if (end < at + SPOOL_BATCH_BYTES)
        return OK;
    TRY(from->read(from->arg, at, s->chunk, SPOOL_BATCH_BYTES, &got));
    if (got < SPOOL_BATCH_BYTES || !spool_batch_unpack(s->chunk, b) || b->bytes > end - at - SPOOL_BATCH_BYTES)
        return OK;
    if (b->bytes > s->chunk_cap - SPOOL_BATCH_BYTES)
        return large_batch(from, at, b, found);
    TRY(from->read(from->arg, at + SPOOL_BATCH_BYTES, s->chunk + SPOOL_BATCH_BYTES, b->bytes, &got));
    memset(s->chunk + SPOOL_BATCH_BYTES + got, 0, b->bytes - got);
    *found = got == b->bytes && spool_batch_is_whole(s->chunk, b) ? WHOLE_BATCH : BROKEN_BATCH;
    return OK;
}

/* Is there the header of a later batch anywhere in what one batch could take, behind `at`? Where it would only be somebody's
 * text, a snapshot is taken that was not needed. */
static err later_batch(struct spool *s, const struct spool_source *from, uint64_t at, bool *found)
{
    struct spool_batch b;
    size_t got = 0;
    TRY(from->read(from->arg, at, s->chunk, s->chunk_cap, &got));
    *found = got == s->chunk_cap; /* longer than any batch */
    for (size_t i = 1; !*found && i + SPOOL_BATCH_BYTES <= got; i++)
        *found = memcmp(s->chunk + i, "SPBH", 4) == 0 && spool_batch_unpack(s->chunk + i, &b) && b.number > s->batch_number;
    return OK;
}

static err follows(const struct spool_source *from, uint64_t at, const struct spool_batch *b, bool *out)
{
    uint8_t header[SPOOL_BATCH_BYTES];
    struct spool_batch next;
    size_t got = 0;
    TRY(from->read(from->arg, at + SPOOL_BATCH_BYTES + b->bytes, header, sizeof header, &got));
    *out = got == sizeof header && spool_batch_unpack(header, &next) && next.number == b->number + 1;
    return OK;
}

/* *goes_on: the batch's end is known and what comes there is the next one. */
static err broken(struct spool *s, const struct spool_source *from, const struct spool_replay *r, uint64_t at,
                  const struct spool_batch *b, enum found found, bool *goes_on)
{
    bool newest = r->end == UINT32_MAX, damaged = !newest;
    *goes_on = false;
    if (found == BROKEN_BATCH)
        TRY(follows(from, at, b, goes_on));
    if (found == NO_BATCH && newest)
        TRY(later_batch(s, from, at, &damaged));
    if (!damaged && !*goes_on)
        return OK; /* it was never finished */
    if (!r->looks && found == BROKEN_BATCH)
        batch_apply(s, b, r, at);
    if (!r->looks)
        spool_is_lost(s, 1);
    return OK;
}

err spool_replay_file(struct spool *s, const struct spool_source *from, struct spool_replay *r)
{
    struct spool_batch b = {.bytes = 0};
    enum found found;
    bool goes_on = true;
    for (uint64_t at = r->good; goes_on && at < r->end; at += SPOOL_BATCH_BYTES + b.bytes) {
        TRY(batch_read(s, from, r, at, &b, &found));
        if (found == NO_BATCH || found == BROKEN_BATCH) {
            TRY(broken(s, from, r, at, &b, found, &goes_on));
            continue;
        }
        if (!r->looks && found == LARGE_BATCH)
            s->stats.oversized++;
        else if (!r->looks)
            batch_apply(s, &b, r, (size_t)at);
        r->first = b.first;
        r->good = (uint32_t)(at + SPOOL_BATCH_BYTES + b.bytes);
    }
    return OK;
}

/* --- after the last file --- */

void spool_replay_end(struct spool *s)
{
    sweep(s);
    spool_index_sort(s);
    for (uint16_t id = s->first; id != SPOOL_NONE; id = s->entries[id].next)
        s->entries[id].flags = (uint8_t)(s->entries[id].flags | SPOOL_IS_TRIED | SPOOL_IS_DISK);
    s->stats.appended = s->records;
    if (s->lost)
        spool_is_lost(s, 0); /* whatever note was read since */
    s->chunk_number = 0;
}
