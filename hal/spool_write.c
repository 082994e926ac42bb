/* The writing fiber: it looks when it is due, makes a batch of what the filling buffer has, and has it written. What fails stays
 * a batch and is tried again, while the other buffer fills. */
#include "hal/spool_inside.h"

#include "board/rt/fiber.h"
#include "board/rt/log.h"

#include <string.h>

#define RETRY_MS_MIN SECONDS(1)
#define RETRY_MS_MAX SECONDS(30)

/* --- when --- */

void spool_kick(struct spool *s, ms at)
{
    if (at >= s->due)
        return;
    s->due = at;
    (void)waitq_wake_one(&s->writer); /* nobody waits: it looks at `due` before it does */
}

void spool_urge(struct spool *s)
{
    s->urgent = true;
    spool_kick(s, loop_now());
}

/* --- the filling buffer --- */

struct spool_buffer *spool_fill(struct spool *s)
{
    return &s->buffers[s->filling];
}

bool spool_fits(const struct spool *s, size_t bytes)
{
    return bytes <= SPOOL_BATCH_BYTES + s->options.buffer_bytes - s->buffers[s->filling].len;
}

void spool_put(struct spool *s, uint16_t id, const struct spool_item *i)
{
    struct spool_buffer *b = spool_fill(s);
    ASSERT(spool_fits(s, spool_item_bytes(i)));
    spool_item_pack(i, b->at + b->len);
    spool_index_move(s, id, spool_at(SPOOL_SLOT_BUF + s->filling, b->len), spool_item_bytes(i));
    b->len += spool_item_bytes(i);
}

/* The entry of the record that lies there; SPOOL_NONE: nobody's any more. */
static uint16_t entry_in(const struct spool *s, unsigned which, size_t at, size_t *bytes)
{
    const uint8_t *record = s->buffers[which].at + at;
    uint64_t key;
    memcpy(&key, record + SPOOL_RECORD_BYTES - SPOOL_KEY_BYTES, sizeof key);
    *bytes = spool_item_length(record);
    return spool_index_at(s, key, spool_at(SPOOL_SLOT_BUF + which, at));
}

void spool_squeeze(struct spool *s)
{
    struct spool_buffer *b = spool_fill(s);
    size_t to = SPOOL_BATCH_BYTES, marked = b->marked, bytes;
    for (size_t at = to; at < b->len; at += bytes) {
        uint16_t id = entry_in(s, s->filling, at, &bytes);
        if (at == b->marked)
            marked = to;
        if (id == SPOOL_NONE)
            continue;
        memmove(b->at + to, b->at + at, bytes);
        s->entries[id].at = spool_at(SPOOL_SLOT_BUF + s->filling, to);
        to += bytes;
    }
    b->marked = b->marked == b->len ? to : marked;
    b->len = to;
}

static void buffer_reset(struct spool_buffer *b)
{
    b->len = b->marked = SPOOL_BATCH_BYTES;
}

/* --- a batch --- */

static void ack_put(struct spool_buffer *b, size_t *bytes, const struct spool *s, uint16_t id)
{
    struct spool_ack ack = {s->entries[id].key, spool_place(s, id)};
    memcpy(b->at + b->len + SPOOL_RECORD_BYTES + *bytes, &ack, sizeof ack);
    *bytes += sizeof ack;
}

static void record_end(struct spool_buffer *b, unsigned what, size_t bytes)
{
    struct spool_item item = {.what = what, .body = {b->at + b->len + SPOOL_RECORD_BYTES, bytes}};
    spool_item_pack(&item, b->at + b->len);
    b->len += spool_item_bytes(&item);
}

/* What is below the head needs no word of its own. */
static void acks_put(struct spool *s, struct spool_buffer *b)
{
    size_t bytes = 0, room = SPOOL_BATCH_BYTES + s->options.buffer_bytes + SPOOL_RESERVE - b->len - 2 * SPOOL_RECORD_BYTES -
                             SPOOL_NOTE_BYTES_MAX;
    uint64_t head = spool_head(s);
    while (s->acked != SPOOL_NONE && bytes + SPOOL_ACK_BYTES <= room) {
        uint16_t id = s->acked;
        if (spool_place(s, id) >= head)
            ack_put(b, &bytes, s, id);
        s->acked = s->entries[id].next;
        s->acked_count--;
        s->entries[id].next = s->acking;
        s->acking = id;
    }
    if (bytes > 0)
        record_end(b, SPOOL_LOG_ACKS, bytes);
}

/* The last note lies in the newest file, so that files go without looking for it. */
static void note_put(struct spool *s, struct spool_buffer *b)
{
    s->pending_note = s->note_set != s->note_written || (s->note_file != 0 && s->note_file != s->newest);
    s->pending_note_set = s->note_set;
    if (!s->pending_note)
        return;
    if (s->note_bytes > 0)
        memcpy(b->at + b->len + SPOOL_RECORD_BYTES, s->note, s->note_bytes);
    record_end(b, SPOOL_LOG_NOTE, s->note_bytes);
}

static uint32_t first_number(const struct spool *s)
{
    uint32_t first = s->newest != 0 ? s->newest : s->next_number;
    for (unsigned i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        if (s->segments[i].live > 0 && s->segments[i].number < first)
            first = s->segments[i].number;
    if (!s->pending_note && s->note_file != 0 && s->note_file < first)
        first = s->note_file;
    return first;
}

/* From now on its records may be on the disk, whatever becomes of the write. */
static void records_mark(struct spool *s)
{
    const struct spool_buffer *b = spool_fill(s);
    size_t bytes;
    for (size_t at = SPOOL_BATCH_BYTES; at < b->len; at += bytes) {
        uint16_t id = entry_in(s, s->filling, at, &bytes);
        if (id != SPOOL_NONE)
            s->entries[id].flags |= SPOOL_IS_DISK;
    }
}

static void batch_make(struct spool *s)
{
    struct spool_buffer *b = spool_fill(s);
    records_mark(s);
    acks_put(s, b);
    note_put(s, b);
    s->pending_first = first_number(s);
    struct spool_batch header = {.bytes = (uint32_t)(b->len - SPOOL_BATCH_BYTES), .first = s->pending_first};
    header.number = ++s->batch_number;
    header.head = spool_head(s);
    header.next_place = s->next_place;
    header.wall_ms = os_wall_ms();
    spool_batch_pack(&header, b->at);
    s->pending = true;
    s->pending_seq = s->seq;
    s->pending_ticket = s->acked_count == 0 ? s->ticket : s->ticket_done;
    s->filling ^= 1;
    buffer_reset(spool_fill(s));
}

static void batch_is_durable(struct spool *s)
{
    unsigned which = s->filling ^ 1;
    const struct spool_buffer *b = &s->buffers[which];
    size_t bytes, base = s->newest_end - b->len;
    for (size_t at = SPOOL_BATCH_BYTES; at < b->len; at += bytes) {
        uint16_t id = entry_in(s, which, at, &bytes);
        if (id == SPOOL_NONE)
            continue;
        spool_index_move(s, id, spool_at(s->current, base + at), bytes);
        s->entries[id].flags &= (uint8_t)~SPOOL_IS_STALE;
    }
    if (s->pending_note) {
        s->note_file = s->newest;
        s->note_written = s->pending_note_set;
    }
    spool_index_acked(s);
    waitq_wake_all(&s->readers); /* for those that waited for the disk to know */
    s->file_first = s->pending_first;
    s->committed = s->pending_seq;
    s->ticket_done = s->pending_ticket;
    s->pending = false;
    s->stats.commits++;
}

static err pending_write(struct spool *s)
{
    uint64_t generation = s->generation;
    err e = spool_disk_commit(s, &s->buffers[s->filling ^ 1]);
    if (generation != s->generation)
        return e; /* spool_clear() came; the batch goes with all else */
    if (e != OK)
        return e;
    batch_is_durable(s);
    return spool_disk_tidy(s, s->file_first);
}

/* --- is there anything to write --- */

static bool note_is_new(const struct spool *s)
{
    return s->note_set != s->note_written;
}

static bool is_wanted(struct spool *s, bool urgent)
{
    struct spool_buffer *b = spool_fill(s);
    spool_squeeze(s);
    bool any = b->len > SPOOL_BATCH_BYTES || s->acked_count > 0, aged = b->marked > SPOOL_BATCH_BYTES || s->acked_count > 0;
    b->marked = b->len;
    if (b->len == SPOOL_BATCH_BYTES)
        s->committed = s->seq;
    if (urgent ? any || note_is_new(s) : aged || (note_is_new(s) && loop_now() >= s->note_due))
        return true;
    if (!any && !note_is_new(s))
        s->ticket_done = s->ticket;
    return false;
}

static err write_all(struct spool *s, bool urgent)
{
    if (s->clearing) {
        TRY(spool_disk_clear(s));
        s->clearing = s->pending = false;
    }
    if (s->pending)
        TRY(pending_write(s));
    if (!s->pending && !s->clearing && is_wanted(s, urgent)) {
        batch_make(s);
        TRY(pending_write(s));
    }
    return OK;
}

/* --- the fiber --- */

static void schedule(struct spool *s)
{
    const struct spool_buffer *b = spool_fill(s);
    if (b->len > SPOOL_BATCH_BYTES || s->acked_count > 0)
        spool_kick(s, loop_now() + s->options.gather_ms);
    if (note_is_new(s))
        spool_kick(s, s->note_due);
    if (s->urgent || s->clearing)
        spool_kick(s, loop_now());
}

static void ended(struct spool *s, err e)
{
    if (e != OK && s->stats.error != e)
        log_warn("the spool cannot be written; what comes waits in memory", F("folder", s->folder), F_ERR(e));
    if (e == OK && s->stats.error != OK)
        log_info("the spool is written again", F("folder", s->folder));
    trail_clear();
    s->stats.error = e;
    if (e == OK) {
        s->retry_ms = 0;
        schedule(s);
    } else {
        s->failures++;
        s->retry_ms = s->retry_ms == 0 ? RETRY_MS_MIN : ms_min(2 * s->retry_ms, RETRY_MS_MAX);
        spool_kick(s, loop_now() + s->retry_ms);
    }
    waitq_wake_all(&s->progress);
}

err spool_writer(void *spool)
{
    struct spool *s = spool;
    while (!fiber_canceled()) {
        if (loop_now() < s->due) {
            err_ignore(waitq_wait(&s->writer, s->due)); /* woken, due or canceled: it looks again */
            continue;
        }
        bool urgent = s->urgent;
        s->due = FOREVER;
        s->urgent = false;
        err e = write_all(s, urgent);
        if (e == OK)
            e = spool_clean(s);
        if (e != E_CANCELED)
            ended(s, e);
    }
    return OK;
}

/* --- all at once --- */

void spool_forget(struct spool *s)
{
    s->stats.dropped += s->records;
    for (unsigned i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        s->segments[i].live = 0, s->segments[i].live_bytes = 0;
    s->live_bytes = 0;
    spool_index_reset(s);
    buffer_reset(spool_fill(s));
    s->note_bytes = 0;
    s->note_file = 0;
    s->note_written = s->note_set;
    s->last_mark = 0;
    s->chunk_number = 0;
    s->barrier = false;
    s->generation++;
}

/* The note may claim what is not there. */
void spool_is_lost(struct spool *s, uint64_t count)
{
    s->lost = true;
    s->stats.lost += count;
    s->note_bytes = 0;
    s->note_set++;
}
