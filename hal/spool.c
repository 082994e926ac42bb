/* Opening and closing, what comes in, and what one can ask. */
#include "hal/spool.h"

#include "board/rt/fiber.h"
#include "board/rt/file.h"
#include "board/rt/log.h"
#include "hal/spool_inside.h"

#include <stdlib.h>
#include <string.h>

#define SPAN_MAX INT32_MAX /* of the places that live */

/* --- memory --- */

static size_t bucket_count(unsigned records)
{
    size_t count = 64;
    while (count * 2 <= records)
        count *= 2;
    return count;
}

static size_t buffer_room(const struct spool_options *o)
{
    return SPOOL_BATCH_BYTES + o->buffer_bytes + SPOOL_RESERVE;
}

size_t spool_memory(const struct spool_options *o)
{
    return sizeof(struct spool) + o->records_max * sizeof(struct spool_entry) + bucket_count(o->records_max) * sizeof(uint16_t) +
           3 * buffer_room(o);
}

static void spool_free(struct hold *h)
{
    struct spool *s = CONTAINER_OF(h, struct spool, hold);
    free(s->entries);
    free(s->buckets);
    free(s->buffers[0].at);
    free(s->buffers[1].at);
    free(s->chunk);
    free(s);
}

static bool memory_take(struct spool *s)
{
    size_t room = buffer_room(&s->options), buckets = bucket_count(s->options.records_max);
    s->entries = calloc(s->options.records_max, sizeof *s->entries);
    s->buckets = calloc(buckets, sizeof *s->buckets);
    s->buffers[0].at = calloc(1, room);
    s->buffers[1].at = calloc(1, room);
    s->chunk = malloc(room);
    s->chunk_cap = room;
    s->bucket_mask = (uint32_t)buckets - 1;
    return s->entries && s->buckets && s->buffers[0].at && s->buffers[1].at && s->chunk;
}

/* --- opening --- */

static bool options_are_good(const struct spool_options *o)
{
    return strlen(o->identity) <= SPOOL_IDENTITY_MAX && o->records_max >= 64 && o->records_max <= SPOOL_RECORDS_MAX &&
           o->gather_ms >= SPOOL_GATHER_MS_MIN && o->buffer_bytes >= SPOOL_BUFFER_MIN && o->segment_bytes <= SPOOL_SEGMENT_MAX &&
           o->segment_bytes >= 2 * o->buffer_bytes && o->bytes_max >= 4 * (uint64_t)o->segment_bytes &&
           o->bytes_max <= SPOOL_SEGMENTS_MAX / 2 * (uint64_t)o->segment_bytes && *o->folder &&
           strlen(o->folder) < OS_PATH_MAX - sizeof "/00000000.spool";
}

static void texts_take(struct spool *s, const struct spool_options *o)
{
    s->options = *o;
    memcpy(s->folder, o->folder, strlen(o->folder) + 1);
    s->identity_bytes = strlen(o->identity);
    memcpy(s->identity, o->identity, s->identity_bytes);
    s->options.folder = s->options.identity = NULL;
}

static struct spool *spool_new(const struct spool_options *o)
{
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    hold_init(&s->hold, spool_free);
    texts_take(s, o);
    if (!memory_take(s)) {
        hold_release(&s->hold);
        return NULL;
    }
    s->buffers[0].len = s->buffers[0].marked = s->buffers[1].len = s->buffers[1].marked = SPOOL_BATCH_BYTES;
    s->next_place = s->next_number = s->file_first = 1;
    s->due = FOREVER;
    spool_index_reset(s);
    group_open(&s->group, o->task);
    return s;
}

static err opened(struct spool *s, ms deadline)
{
    TRY(file_make_folder(s->options.lane, s->folder, deadline));
    TRY(lane_call(s->options.lane, spool_run_open, &s, sizeof s, &s->hold, deadline));
    if (s->lost)
        log_warn("some of the spool cannot be read", F("folder", s->folder));
    if (s->clearing || s->note_set != s->note_written)
        s->due = loop_now();
    return group_spawn(&s->group, "spool", spool_writer, s);
}

err spool_open(const struct spool_options *o, ms deadline, struct spool **out)
{
    *out = NULL;
    if (!options_are_good(o))
        return trail(E_INVALID, "the options of the spool %s", o->folder);
    struct spool *s = spool_new(o);
    if (!s)
        return trail(E_BUDGET, "the spool %s takes %zu bytes", o->folder, spool_memory(o));
    err e = opened(s, deadline);
    if (e != OK) {
        group_close(&s->group);
        hold_release(&s->hold);
        return trail(e, "opening the spool %s", o->folder);
    }
    *out = s;
    return OK;
}

void spool_close(struct spool *s, ms deadline)
{
    if (!s)
        return;
    fiber_shield();
    if (spool_flush(s, deadline) != OK)
        log_warn("the spool could not be written before its end", F("folder", s->folder));
    trail_clear();
    group_close(&s->group);
    fiber_unshield();
    hold_release(&s->hold);
}

/* --- in --- */

enum outcome { BOTH, TO_ADDED, TO_MODIFIED, TO_DELETED, TO_NOTHING };

/* What waits, what comes. See spool.h. */
static const uint8_t outcomes[SPOOL_MARK][SPOOL_MARK] = {
    [SPOOL_ADDED] = {[SPOOL_ADDED] = TO_ADDED, [SPOOL_MODIFIED] = TO_ADDED, [SPOOL_DELETED] = TO_NOTHING},
    [SPOOL_MODIFIED] = {[SPOOL_ADDED] = TO_MODIFIED, [SPOOL_MODIFIED] = TO_MODIFIED, [SPOOL_DELETED] = TO_DELETED},
    [SPOOL_DELETED] = {[SPOOL_ADDED] = BOTH, [SPOOL_MODIFIED] = BOTH, [SPOOL_DELETED] = TO_DELETED},
};

static enum spool_type type_of(enum outcome o)
{
    return o == TO_ADDED ? SPOOL_ADDED : o == TO_MODIFIED ? SPOOL_MODIFIED : SPOOL_DELETED;
}

/* The one that waits and that `item` can stand in for; SPOOL_NONE: none. */
static uint16_t waiting_find(const struct spool *s, const struct spool_item *item, enum outcome *out)
{
    uint16_t id = item->what == SPOOL_LOG_MARK ? SPOOL_NONE : spool_index_newest(s, spool_key(item->key));
    *out = BOTH;
    if (id == SPOOL_NONE || s->entries[id].flags & SPOOL_IS_OUT || spool_place(s, id) < s->last_mark)
        return SPOOL_NONE;
    *out = outcomes[s->entries[id].flags & SPOOL_IS_TYPE][item->what];
    if (*out == TO_NOTHING && s->entries[id].flags & SPOOL_IS_TRIED)
        *out = TO_DELETED;
    return *out == BOTH ? SPOOL_NONE : id;
}

static size_t buffered(const struct spool *s)
{
    const struct spool_buffer *fill = &s->buffers[s->filling], *other = &s->buffers[s->filling ^ 1];
    return fill->len - SPOOL_BATCH_BYTES + (s->pending ? other->len : 0);
}

static err room_in_buffer(struct spool *s, size_t bytes)
{
    if (spool_fits(s, bytes))
        return OK;
    spool_squeeze(s);
    if (spool_fits(s, bytes))
        return OK;
    spool_urge(s);
    return E_AGAIN;
}

static err room_on_disk(struct spool *s, size_t bytes)
{
    uint64_t taken = s->file_bytes + buffered(s) + bytes;
    s->pressed = taken + s->options.segment_bytes > s->options.bytes_max;
    if (!s->pressed)
        return OK;
    if (spool_garbage(s) < 2 * s->options.segment_bytes)
        return E_FULL;
    spool_urge(s);
    return E_AGAIN;
}

static err room_in_index(struct spool *s)
{
    if (s->free != SPOOL_NONE)
        return s->next_place - spool_head(s) < SPAN_MAX ? OK : E_FULL;
    if (s->acked_count == 0 && s->acking == SPOOL_NONE)
        return E_FULL;
    spool_urge(s);
    return E_AGAIN;
}

static void replace(struct spool *s, uint16_t id, struct spool_item *item, enum outcome outcome)
{
    item->what = type_of(outcome);
    item->place = spool_place(s, id);
    uint8_t *flags = &s->entries[id].flags;
    *flags = (uint8_t)((*flags & ~(unsigned)SPOOL_IS_TYPE) | item->what | (*flags & SPOOL_IS_DISK ? SPOOL_IS_STALE : 0u));
    spool_put(s, id, item);
    s->stats.coalesced++;
}

static void cancel_out(struct spool *s, uint16_t id)
{
    spool_index_drop(s, id);
    s->stats.coalesced += 2;
    waitq_wake_all(&s->readers); /* a mark may be the first now */
}

static void add(struct spool *s, struct spool_item *item)
{
    if (s->first == SPOOL_NONE)
        s->sample_count = 0;
    item->place = s->next_place++;
    spool_sample_add(s, item->place, loop_now());
    uint16_t id = spool_index_new(s, spool_key(item->key), item->place, (uint8_t)item->what);
    spool_put(s, id, item);
    if (item->what == SPOOL_LOG_MARK)
        s->last_mark = item->place;
    waitq_wake_all(&s->readers);
}

/* E_AGAIN: there may be room after the next commit. */
static err try_append(struct spool *s, struct spool_item *item)
{
    enum outcome outcome;
    uint16_t id = waiting_find(s, item, &outcome);
    size_t bytes = spool_item_bytes(item);
    if (outcome == TO_NOTHING) {
        cancel_out(s, id);
    } else {
        TRY(room_in_buffer(s, bytes));
        TRY(room_on_disk(s, bytes));
        if (id != SPOOL_NONE) {
            replace(s, id, item, outcome);
        } else {
            TRY(room_in_index(s));
            add(s, item);
        }
    }
    s->stats.appended += item->what != SPOOL_LOG_MARK;
    spool_kick(s, loop_now() + s->options.gather_ms);
    return OK;
}

static err append(struct spool *s, struct spool_item item, ms deadline, uint64_t *seq)
{
    uint64_t failures = s->failures;
    struct spool_item copy = item;
    if (spool_item_bytes(&item) > spool_item_bytes_max(s))
        return trail(E_RANGE, "a record of %zu bytes, the spool's buffer has %zu", item.body.len, s->options.buffer_bytes);
    err e = try_append(s, &copy);
    while (e == E_AGAIN && s->failures == failures) {
        TRY(waitq_wait(&s->progress, deadline));
        copy = item;
        e = try_append(s, &copy);
    }
    s->stats.overflows += e == E_FULL;
    if (e == E_AGAIN)
        e = s->stats.error == OK ? E_TIMEOUT : s->stats.error;
    if (e == OK)
        *seq = ++s->seq;
    return e == OK ? OK : trail(e, "the spool %s", s->folder);
}

err spool_append(struct spool *s, const uint8_t key[SPOOL_KEY_BYTES], enum spool_type type, struct bytes body, ms deadline,
                 uint64_t *seq)
{
    struct spool_item item = {.what = type, .body = body};
    ASSERT(type == SPOOL_ADDED || type == SPOOL_MODIFIED || type == SPOOL_DELETED);
    memcpy(item.key, key, sizeof item.key);
    return append(s, item, deadline, seq);
}

err spool_mark(struct spool *s, ms deadline, uint64_t *seq)
{
    return append(s, (struct spool_item){.what = SPOOL_LOG_MARK}, deadline, seq);
}

uint64_t spool_marked(const struct spool *s)
{
    return s->last_mark;
}

err spool_note_set(struct spool *s, struct bytes note)
{
    if (note.len > sizeof s->note)
        return trail(E_RANGE, "a note of %zu bytes, the spool %s takes %zu", note.len, s->folder, sizeof s->note);
    if (note.len > 0)
        memmove(s->note, note.at, note.len);
    if (s->note_set == s->note_written)
        s->note_due = loop_now() + SPOOL_NOTE_MS;
    s->note_bytes = note.len;
    s->note_set++;
    spool_kick(s, s->note_due);
    return OK;
}

struct bytes spool_note_get(const struct spool *s)
{
    return (struct bytes){s->note, s->note_bytes};
}

/* --- all of it --- */

uint64_t spool_committed(const struct spool *s)
{
    return s->committed;
}

err spool_flush(struct spool *s, ms deadline)
{
    uint64_t ticket = ++s->ticket, failures = s->failures;
    while (s->ticket_done < ticket || s->clearing) {
        if (s->failures != failures)
            return trail(s->stats.error == OK ? E_AGAIN : s->stats.error, "writing the spool %s", s->folder);
        spool_urge(s);
        TRY(waitq_wait(&s->progress, deadline));
    }
    return OK;
}

err spool_clear(struct spool *s, ms deadline)
{
    spool_forget(s);
    s->lost = false;
    s->clearing = true;
    waitq_wake_all(&s->readers);
    return spool_flush(s, deadline);
}

unsigned spool_depth(const struct spool *s)
{
    return s->records;
}

bool spool_lost(const struct spool *s)
{
    return s->lost;
}

static ms oldest_ms(const struct spool *s)
{
    unsigned i = s->sample_count;
    if (s->first == SPOOL_NONE || i == 0)
        return 0;
    while (i > 1 && s->samples[i - 1].place > spool_head(s))
        i--;
    return loop_now() > s->samples[i - 1].at ? loop_now() - s->samples[i - 1].at : 0;
}

void spool_look(const struct spool *s, struct spool_stats *out)
{
    *out = s->stats;
    out->depth = s->records;
    out->bytes = s->file_bytes;
    out->memory_bytes = buffered(s);
    out->oldest_ms = oldest_ms(s);
}
