/* What is given out, in order: never behind a mark that is not done, nor behind another of its key; and never before the disk
 * knows that its older versions are none any more, so that a crash does not bring an older state back after a newer. */
#include "hal/spool_inside.h"

#include "board/rt/fiber.h"
#include "board/rt/log.h"

#include <string.h>

static bool is_mark(const struct spool *s, uint16_t id)
{
    return (s->entries[id].flags & SPOOL_IS_TYPE) == SPOOL_MARK;
}

static uint16_t candidate(const struct spool *s)
{
    bool settled = s->acked == SPOOL_NONE && s->acking == SPOOL_NONE; /* the disk knows of all that is done */
    if (s->out_count == SPOOL_OUT_MAX || (s->barrier && !settled))
        return SPOOL_NONE;
    for (uint16_t id = s->first; id != SPOOL_NONE; id = s->entries[id].next) {
        if (is_mark(s, id))
            return id == s->first && settled && !(s->entries[id].flags & SPOOL_IS_OUT) ? id : SPOOL_NONE;
        if (!(s->entries[id].flags & (SPOOL_IS_OUT | SPOOL_IS_STALE)) && !spool_index_is_behind(s, id))
            return id;
    }
    return SPOOL_NONE;
}

static bool mark_is_first(const struct spool *s)
{
    return s->first != SPOOL_NONE && is_mark(s, s->first);
}

/* --- what is out --- */

static void out_put(struct spool *s, uint16_t id)
{
    s->entries[id].flags |= SPOOL_IS_OUT;
    s->out[s->out_count].place = spool_place(s, id);
    s->out[s->out_count++].entry = id;
}

static uint16_t out_take(struct spool *s, uint64_t place)
{
    for (unsigned i = 0; i < s->out_count; i++)
        if (s->out[i].place == place) {
            uint16_t id = s->out[i].entry;
            s->out[i] = s->out[--s->out_count];
            s->entries[id].flags &= (uint8_t)~SPOOL_IS_OUT;
            return id;
        }
    return SPOOL_NONE;
}

void spool_done(struct spool *s, uint64_t place)
{
    uint16_t id = out_take(s, place);
    if (id == SPOOL_NONE)
        return;
    s->barrier = is_mark(s, id);
    s->stats.acknowledged += !s->barrier;
    spool_index_drop(s, id);
    if (s->acked_count > 0)
        spool_kick(s, loop_now() + s->options.gather_ms);
    if (s->acked_count > 0 && (s->barrier || mark_is_first(s)))
        spool_urge(s); /* all else waits for it */
    waitq_wake_all(&s->readers);
}

void spool_back(struct spool *s, uint64_t place)
{
    if (out_take(s, place) != SPOOL_NONE)
        waitq_wake_all(&s->readers);
}

/* --- giving one --- */

static err record_find(struct spool *s, uint16_t id, struct spool_item *out)
{
    uint32_t at = s->entries[id].at;
    unsigned slot = at >> SPOOL_SLOT_SHIFT;
    if (slot < SPOOL_SLOT_BUF)
        return spool_chunk(s, at, out);
    const struct spool_buffer *b = &s->buffers[slot - SPOOL_SLOT_BUF];
    size_t offset = at & ((1u << SPOOL_SLOT_SHIFT) - 1);
    return spool_item_unpack((struct bytes){b->at + offset, b->len - offset}, out) ? OK : E_CORRUPT;
}

static void given(struct spool *s, uint16_t id, const struct spool_item *item, void *into, struct spool_record *out)
{
    uint8_t *flags = &s->entries[id].flags;
    out->repeated = *flags & SPOOL_IS_TRIED;
    memcpy(out->key, item->key, sizeof out->key);
    if (item->body.len > 0)
        memcpy(into, item->body.at, item->body.len);
    s->stats.repeated += out->repeated && out->type != SPOOL_MARK;
    *flags |= SPOOL_IS_TRIED;
}

/* It counts as out while it is looked for, so that nothing takes its place. */
static err give(struct spool *s, uint16_t id, void *into, size_t cap, struct spool_record *out)
{
    struct spool_item item;
    uint64_t generation = s->generation;
    *out = (struct spool_record){.place = spool_place(s, id), .type = s->entries[id].flags & SPOOL_IS_TYPE};
    out_put(s, id);
    err e = record_find(s, id, &item);
    if (generation != s->generation)
        return E_AGAIN; /* cleared meanwhile: look again */
    if (e == OK) {
        out->bytes = item.body.len;
        e = item.body.len <= cap ? OK : E_RANGE;
    }
    if (e == OK) {
        given(s, id, &item, into, out);
        return OK;
    }
    out_take(s, out->place);
    if (e == E_CORRUPT)
        spool_unreadable(s, id);
    waitq_wake_all(&s->readers);
    return e;
}

err spool_next(struct spool *s, void *into, size_t cap, ms deadline, struct spool_record *out)
{
    for (;;) {
        uint16_t id = candidate(s);
        if (id != SPOOL_NONE) {
            err e = give(s, id, into, cap, out);
            if (e != E_AGAIN)
                return e;
        } else if (deadline <= loop_now()) {
            return E_TIMEOUT;
        } else {
            TRY(waitq_wait(&s->readers, deadline));
        }
    }
}
