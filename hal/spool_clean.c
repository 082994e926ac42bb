/* Older files are freed by writing again what lives in the oldest one, when more than half of all is garbage or room runs out. */
#include "hal/spool_inside.h"

#include "board/rt/fiber.h"
#include "board/rt/log.h"

#define MOVES_MAX 16 /* looked for in one walk over the order */

uint64_t spool_garbage(const struct spool *s)
{
    uint64_t current = 0, current_live = 0;
    if (s->newest != 0) {
        current = s->segments[s->current].bytes;
        current_live = s->segments[s->current].live_bytes;
    }
    uint64_t bytes = s->file_bytes - current, live = s->live_bytes - current_live;
    return bytes > live ? bytes - live : 0;
}

static bool needs_clean(const struct spool *s)
{
    uint64_t garbage = spool_garbage(s), one = s->options.segment_bytes;
    if (garbage >= one && garbage > s->file_bytes / 2)
        return true;
    return (s->pressed && garbage >= 2 * one) || spool_slots_used(s) > SPOOL_SEGMENTS_MAX * 3 / 4;
}

static unsigned oldest_entries(const struct spool *s, unsigned slot, uint16_t *out)
{
    unsigned count = 0;
    for (uint16_t id = s->first; id != SPOOL_NONE && count < MOVES_MAX; id = s->entries[id].next)
        if (s->entries[id].at >> SPOOL_SLOT_SHIFT == slot)
            out[count++] = id;
    return count;
}

void spool_unreadable(struct spool *s, uint16_t id)
{
    log_warn("a record of the spool cannot be read any more", F("folder", s->folder));
    spool_is_lost(s, 1);
    s->stats.dropped += (s->entries[id].flags & SPOOL_IS_TYPE) != SPOOL_MARK;
    spool_index_drop(s, id);
}

/* It may be out; then it is moved all the same. */
static err entry_move(struct spool *s, uint16_t id, uint32_t place, unsigned slot)
{
    struct spool_item item;
    uint32_t at = s->entries[id].at;
    if (at >> SPOOL_SLOT_SHIFT != slot || s->entries[id].place != place)
        return OK; /* it went while another was read */
    uint64_t generation = s->generation;
    err e = spool_chunk(s, at, &item);
    if (generation != s->generation || s->entries[id].at != at || s->entries[id].place != place)
        return e == E_CORRUPT ? OK : e;
    if (e == E_CORRUPT && !(s->entries[id].flags & SPOOL_IS_OUT)) {
        spool_unreadable(s, id);
        return OK;
    }
    TRY(e);
    if (!spool_fits(s, spool_item_bytes(&item)))
        return E_FULL;
    spool_put(s, id, &item);
    s->stats.moved++;
    return OK;
}

err spool_clean(struct spool *s)
{
    uint16_t ids[MOVES_MAX];
    uint32_t places[MOVES_MAX];
    unsigned slot = spool_slot_oldest(s);
    err e = OK;
    if (!needs_clean(s) || slot == SPOOL_SEGMENTS_MAX || slot == s->current)
        return OK;
    unsigned count = oldest_entries(s, slot, ids);
    for (unsigned i = 0; i < count; i++)
        places[i] = s->entries[ids[i]].place;
    for (unsigned i = 0; i < count && e == OK; i++)
        e = entry_move(s, ids[i], places[i], slot);
    spool_urge(s); /* what was moved is to be written; when nothing was left, the file is to go */
    fiber_breathe();
    return e == E_FULL ? OK : e;
}
