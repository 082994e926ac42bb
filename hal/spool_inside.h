/* spool_inside: what hal/spool*.c share. Private to them.
 *
 * Layer    hal.   Owner   the spool, held by every job of it that may still run.   Memory, Errors   as spool.h.
 * Threads  the loop's; run_*() and spool_replay() on the pool: they see what does not change while they run. */
#ifndef HOLDFAST_SPOOL_INSIDE_H
#define HOLDFAST_SPOOL_INSIDE_H

#include "board/rt/os.h"
#include "board/rt/sync.h"
#include "hal/spool_log.h"

#define SPOOL_NONE       UINT16_MAX
#define SPOOL_SLOT_SHIFT 24
#define SPOOL_SLOT_BUF   254u /* and the one after it: the write buffers */
#define SPOOL_NOWHERE    UINT32_MAX
#define SPOOL_ACKS_ROOM  64 /* of a batch, at least */
#define SPOOL_RESERVE    (2 * SPOOL_RECORD_BYTES + SPOOL_NOTE_BYTES_MAX + SPOOL_ACKS_ROOM * SPOOL_ACK_BYTES)
#define SPOOL_DISK_MS    SECONDS(30)
#define SPOOL_NOTE_MS    SECONDS(5)
#define SPOOL_SAMPLES    32

/* --- the index: a pool of entries, linked in the order, hashed by key --- */
enum spool_flag {
    SPOOL_IS_TYPE = 7,   /* enum spool_type */
    SPOOL_IS_OUT = 8,    /* given, not acknowledged */
    SPOOL_IS_TRIED = 16, /* a version of it may have been sent */
    SPOOL_IS_DISK = 32,  /* a version of it may be on the disk: it is to be acknowledged there */
    SPOOL_IS_STALE = 64, /* and that one is older: it is not given before the disk has this one */
    SPOOL_IS_DONE = 128  /* acknowledged, and the disk does not know yet: newer ones of its key wait for that */
};
struct spool_entry {
    uint64_t key;
    uint32_t place;                 /* low half */
    uint32_t at;                    /* slot << 24 | offset */
    uint16_t previous, next, chain; /* the order; same bucket */
    uint8_t flags, size;            /* size: of the record, about, see spool_size_code() */
};
_Static_assert(sizeof(struct spool_entry) == 24, "as spool.h says");

struct spool_segment {
    uint32_t number, bytes; /* number 0: free; bytes: committed */
    uint32_t live, previous;
    uint64_t live_bytes;
};
struct spool_buffer {
    uint8_t *at;   /* room for a batch header, buffer_bytes, and SPOOL_RESERVE */
    size_t len;    /* with the header */
    size_t marked; /* up to here it was there at the last look */
};
struct spool_sample { /* what has this place or a later one came then or later */
    uint64_t place;
    ms at;
};

struct spool {
    struct hold hold;
    struct spool_options options;
    char folder[OS_PATH_MAX], identity[SPOOL_IDENTITY_MAX];
    size_t identity_bytes;
    struct group group;

    struct spool_entry *entries;
    uint16_t *buckets;
    uint32_t bucket_mask;
    uint16_t first, last, free; /* the order; unused */
    uint16_t acked, acking;     /* done, to be written so; the same in the pending batch (linked by next) */
    unsigned used, acked_count, records, marks;
    uint64_t next_place, last_mark;
    uint64_t replay_head; /* what has a lower place was done; at open only */
    struct {
        uint64_t place;
        uint16_t entry;
    } out[SPOOL_OUT_MAX];
    unsigned out_count;
    struct spool_sample samples[SPOOL_SAMPLES];
    unsigned sample_count;
    ms sample_gap_ms;

    struct spool_buffer buffers[2];
    unsigned filling;  /* which one takes appends */
    bool pending;      /* the other one is a batch to be written */
    bool pending_note; /* and has a note */
    uint64_t pending_seq, pending_note_set, pending_ticket, batch_number;
    uint32_t pending_first;
    uint64_t ticket, ticket_done; /* who flushes waits for a batch that began after it asked */

    struct spool_segment segments[SPOOL_SEGMENTS_MAX];
    unsigned current;                         /* the slot of the newest */
    uint32_t next_number, newest, newest_end; /* newest: 0 none */
    uint32_t file_first;                      /* the first number that counts, as the last commit wrote it */
    bool suspect;                             /* nothing is appended to the newest any more */
    uint64_t file_bytes, live_bytes;

    uint8_t *chunk; /* read from the disk */
    size_t chunk_cap, chunk_len;
    uint32_t chunk_number, chunk_from; /* number 0: nothing */
    bool loading;

    uint8_t note[SPOOL_NOTE_BYTES_MAX];
    size_t note_bytes;
    uint64_t note_set, note_written; /* how often */
    uint32_t note_file;              /* where the last one lies; 0 nowhere */
    ms note_due;

    struct waitq writer, progress, readers;
    ms due; /* the writer looks then */
    bool urgent, pressed, clearing, lost;
    bool barrier;        /* a mark is done: nothing is given before the disk knows */
    uint64_t generation; /* of spool_clear() */
    uint64_t seq, committed, failures;
    ms retry_ms;
    struct spool_stats stats;
};

/* Of a record with its body: a larger one was written by a spool with larger buffers. */
static inline size_t spool_item_bytes_max(const struct spool *s)
{
    return s->options.buffer_bytes - SPOOL_OVERHEAD_BYTES + SPOOL_RECORD_BYTES;
}

/* --- spool_index.c --- */
void spool_index_reset(struct spool *s);
uint16_t spool_index_new(struct spool *s, uint64_t key, uint64_t place, uint8_t flags); /* last in the order; SPOOL_NONE: full */
void spool_index_acked(struct spool *s);                                                /* the disk knows of those in s->acking */
void spool_index_drop(struct spool *s, uint16_t id); /* out of the order; freed, or to s->acked when it may be on the disk */
uint16_t spool_index_at(const struct spool *s, uint64_t key, uint32_t at);
uint16_t spool_index_place(const struct spool *s, uint64_t key, uint64_t place);
uint16_t spool_index_newest(const struct spool *s, uint64_t key); /* a record, no mark */
bool spool_index_is_behind(const struct spool *s, uint16_t id);   /* one of its key comes before it */
void spool_index_sort(struct spool *s);                           /* by place; after the replay */
uint64_t spool_place(const struct spool *s, uint16_t id);
uint64_t spool_head(const struct spool *s);                                     /* the first place that lives */
void spool_index_move(struct spool *s, uint16_t id, uint32_t at, size_t bytes); /* its record lies there now */
size_t spool_size_of(uint8_t code);
uint8_t spool_size_code(size_t bytes); /* rounded up by less than an eighth */
void spool_sample_add(struct spool *s, uint64_t place, ms at);
uint32_t spool_at(unsigned slot, size_t offset);
/* The file's slot, or SPOOL_SEGMENTS_MAX. */
unsigned spool_slot_of(const struct spool *s, uint32_t number);
unsigned spool_slot_oldest(const struct spool *s);
unsigned spool_slots_used(const struct spool *s);

/* --- spool_disk.c: jobs --- */
void spool_path(const struct spool *s, uint32_t number, char out[OS_PATH_MAX]);
MUST_USE err spool_disk_commit(struct spool *s, const struct spool_buffer *b);
MUST_USE err spool_disk_tidy(struct spool *s,
                             uint32_t first); /* removes files below; those that cannot be stay for the next time */
MUST_USE err spool_disk_clear(struct spool *s);
/* The record of an entry that lies in a file. Valid until the next wait. */
MUST_USE err spool_chunk(struct spool *s, uint32_t at, struct spool_item *out);

/* --- spool_open.c --- */
err spool_run_open(void *job); /* struct spool ** */

/* --- spool_replay.c: what lies in the files, on the pool --- */
struct spool_source {
    err (*read)(void *arg, uint64_t at, void *into, size_t cap, size_t *got);
    void *arg;
};
struct spool_replay { /* of one file */
    uint32_t number;
    uint32_t end;   /* so many of its bytes count; UINT32_MAX: it is the newest, and ends where no batch is any more */
    uint32_t good;  /* in: where its batches begin; out: where the last whole one ends */
    uint32_t first; /* out: of the last whole batch; 0 there is none */
    unsigned slot;
    bool looks; /* only for `first` */
};
/* Its records into the index. Never fails for what the bytes are: that is s->lost. */
MUST_USE err spool_replay_file(struct spool *s, const struct spool_source *from, struct spool_replay *r);
void spool_replay_end(struct spool *s);

/* --- spool_write.c --- */
err spool_writer(void *spool); /* a fiber */
void spool_kick(struct spool *s, ms at);
void spool_urge(struct spool *s);
struct spool_buffer *spool_fill(struct spool *s);
void spool_squeeze(struct spool *s);
bool spool_fits(const struct spool *s, size_t bytes); /* in the filling buffer */
void spool_put(struct spool *s, uint16_t id, const struct spool_item *i);
void spool_forget(struct spool *s); /* all that is in memory */
void spool_is_lost(struct spool *s, uint64_t count);

/* --- spool_clean.c --- */
/* Some of what lives in the oldest file into the filling buffer, where that is worth it. Reads, so others run meanwhile. */
MUST_USE err spool_clean(struct spool *s);
uint64_t spool_garbage(const struct spool *s);       /* bytes of files that nothing lives in, but for the newest */
void spool_unreadable(struct spool *s, uint16_t id); /* it is dropped, and lost */

#endif
