/* spool: a durable, bounded FIFO of records about objects: an append-only log in a folder, coalesced per object.
 *
 * Layer    hal.                                        Blocks   calls with a deadline park the fiber; files on the pool, on the
 * Owner    the owner opens and closes it; its lane              owner's lane. A fiber of the spool's own (of `task`) writes.
 *          outlives it. Any number of its fibers       Memory   fixed at open, spool_memory() tells how much: 24 bytes a record
 *          may call; one spool a folder.                        in the index and 2 for its hash, three buffers.
 * Errors   E_FULL bytes_max or records_max is reached: clear it and begin with a fresh snapshot; E_NOSPACE, E_READONLY, E_IO of
 *          the disk: what an append was refused is not in it, what it took before stays and is tried again; E_TIMEOUT; E_BUSY a
 *          call of the disk sticks; E_RANGE a record larger than the buffer.
 *
 * An append is in memory first. Every gather_ms the spool looks: what has then been in memory for gather_ms and is not yet
 * delivered is written with all that came since, one write and one fdatasync; so a record that is delivered sooner is never
 * written, and one that is not is durable within twice gather_ms (or when the buffer is full, or at spool_flush()). What is
 * acknowledged, the marks and the note are written with the same writes, acknowledgements at most gather_ms late.
 *
 * The law. After a kill or a power cut at any moment: every record that was committed and neither acknowledged nor superseded is
 * given again, in order; nothing else is but what was appended; repeated are at most the acknowledgements that were not yet
 * committed. Per key never an older state after a newer, also over a crash: a record is not given before the disk knows that the
 * older ones of its key that it has are done or superseded; nor is a mark before it knows of all in front of it, nor what follows
 * a mark before it knows of the mark. That is at most twice gather_ms, and only where something of the key was written.
 *
 * Coalescing. A record whose key has one that waits (not given out, no mark between) takes its place in the order, with its own
 * body, whatever the type becomes:
 *   waits \ comes   added      modified   deleted
 *   added           added      added      nothing; deleted when the one that waits may have been sent already
 *   modified        modified   modified   deleted
 *   deleted         both       both       deleted
 * A record given back, and every one read at open, may have been sent.
 *
 * Damage. A batch that was never finished is cut off. Whatever else cannot be read is lost: the rest is given, the note is empty,
 * spool_lost() is true. Damage to the very last batch looks as if it had never been finished.
 *
 * Larger buffers. A folder in which something lies that does not fit this spool's buffers, as a larger profile's, is emptied at
 * open: it could neither be given nor moved, and what follows may be about the same objects. stats.oversized says so. */
#ifndef HOLDFAST_SPOOL_H
#define HOLDFAST_SPOOL_H

#include "board/rt/pool.h"

#define SPOOL_KEY_BYTES      16
#define SPOOL_IDENTITY_MAX   512 /* bytes, without a zero */
#define SPOOL_NOTE_BYTES_MAX KIB(4)
#define SPOOL_OUT_MAX        64 /* records given out and not yet acknowledged */
#define SPOOL_RECORDS_MAX    60000
#define SPOOL_SEGMENTS_MAX   240
#define SPOOL_SEGMENT_MAX    MIB(16)
#define SPOOL_GATHER_MS_MIN  100
#define SPOOL_BUFFER_MIN     KIB(16)
#define SPOOL_OVERHEAD_BYTES 256 /* of a buffer, that the largest body does not have */

struct spool;
struct spool_options {
    const char *folder;   /* made when it is not there; only its files NNNNNNNN.spool are the spool's */
    const char *identity; /* whose records these are; a spool of another identity is emptied and counted at open. <= 512 bytes */
    struct lane *lane;    /* the disk; may be shared. Jobs are charged to its task */
    enum task task;       /* of the writing fiber: one */
    uint64_t bytes_max;   /* of all files; >= 4 segments, <= SPOOL_SEGMENTS_MAX / 2 segments */
    size_t segment_bytes; /* a file; 2 buffers.. SPOOL_SEGMENT_MAX */
    size_t buffer_bytes;  /* of two write buffers and one for reading; a body has at most SPOOL_OVERHEAD_BYTES less */
    unsigned records_max; /* 64..SPOOL_RECORDS_MAX: waiting, given out, and acknowledged but not yet written so */
    ms gather_ms;         /* >= SPOOL_GATHER_MS_MIN */
};
/* Copies the options' texts. E_INVALID: an option is out of its range. */
MUST_USE err spool_open(const struct spool_options *o, ms deadline, struct spool **out);
/* Writes what waits until the deadline; a write that sticks is waited for up to 30 s beyond it. NULL is fine. */
void spool_close(struct spool *s, ms deadline);
size_t spool_memory(const struct spool_options *o); /* what spool_open() takes from the heap of the calling task */

enum spool_type { SPOOL_ADDED = 1, SPOOL_MODIFIED, SPOOL_DELETED, SPOOL_MARK };

/* --- in --- */
/* key: a digest of what the object is (kind, uid), 16 bytes, its first 8 alone tell objects apart. *seq: counts the appends and
 * marks up since open; see spool_committed(). Waits while the buffer is full. An error: it is not in the spool. */
MUST_USE err spool_append(struct spool *s, const uint8_t key[SPOOL_KEY_BYTES], enum spool_type type, struct bytes body,
                          ms deadline, uint64_t *seq);
/* A place in the order: given out when all before it is acknowledged; nothing behind it is given out before its own spool_done().
 * Durable as records are. */
MUST_USE err spool_mark(struct spool *s, ms deadline, uint64_t *seq);
uint64_t spool_marked(const struct spool *s); /* the place of the last mark; 0: none since the spool was cleared */
/* The owner's bytes: what it may believe of all that it appended so far (resume points). Written, whole, with the next commit, or
 * 5 s later when there is none; recovered with all that was appended before it, or an older one, or none (len 0). */
MUST_USE err spool_note_set(struct spool *s, struct bytes note); /* E_RANGE: longer than SPOOL_NOTE_BYTES_MAX */
struct bytes spool_note_get(const struct spool *s);              /* the last one set, or recovered; valid until the next set */

/* --- out --- */
struct spool_record {
    uint64_t place; /* in the order; for spool_done() and spool_back() */
    enum spool_type type;
    uint8_t key[SPOOL_KEY_BYTES]; /* zeros of a mark */
    size_t bytes;                 /* of the body in `into` */
    bool repeated;                /* it may have been sent before */
};
/* The first record that can be given, waiting for one. E_TIMEOUT: there is none (deadline 0: a look that does not wait for one;
 * reading the disk takes what it takes, 30 s at most); E_RANGE: cap is too small, out->bytes says what it takes, nothing is
 * given; E_CORRUPT: it cannot be read any more; it is dropped and spool_lost() is true. At most SPOOL_OUT_MAX are out, never two
 * of one key. */
MUST_USE err spool_next(struct spool *s, void *into, size_t cap, ms deadline, struct spool_record *out);
void spool_done(struct spool *s, uint64_t place); /* delivered or set aside. After a spool_clear() nothing is out: ignored */
void spool_back(struct spool *s, uint64_t place); /* to be given again, at its place */

/* --- all of it --- */
uint64_t spool_committed(const struct spool *s); /* all appends up to this seq are durable, or done with */
/* Commits all there is now. The error of a write that failed meanwhile; it is tried again by itself. */
MUST_USE err spool_flush(struct spool *s, ms deadline);
/* Drops all records, marks and the note, also what is out; spool_lost() turns false. OK: durable. An error: it is empty, and
 * nothing more is written before the disk is too. */
MUST_USE err spool_clear(struct spool *s, ms deadline);
unsigned spool_depth(const struct spool *s); /* as in its stats */
bool spool_lost(const struct spool *s);      /* records could not be read: only a fresh snapshot tells the truth */

struct spool_stats {
    unsigned depth;          /* records that wait or are out, without marks */
    uint64_t bytes;          /* of the files */
    uint64_t memory_bytes;   /* in the write buffers */
    ms oldest_ms;            /* age of the first record, about; 0 none */
    uint64_t appended;       /* records taken since open, those found at open too */
    uint64_t coalesced;      /* of these, not to be given out, for others stand in for them */
    uint64_t acknowledged;   /* of these, done */
    uint64_t dropped;        /* of these, by spool_clear(), for another identity or for what is oversized */
    uint64_t oversized;      /* records and batches found at open that do not fit the buffers; not among `appended` */
    uint64_t lost;           /* of these, and whole batches, that could not be read */
    uint64_t repeated;       /* given out that may have been sent before */
    uint64_t overflows;      /* appends refused with E_FULL */
    uint64_t written_bytes;  /* handed to the disk */
    uint64_t commits, moved; /* moved: records written again to free older segments */
    err error;               /* of the last commit */
};                           /* appended == depth + coalesced + acknowledged + dropped + lost records */
void spool_look(const struct spool *s, struct spool_stats *out);

#endif
