/* spool_log: the bytes of a spool's files. Pure. For hal/spool*.c and their tests.
 *
 * Layer    hal.   Blocks   never.   Memory   the caller's.   Errors   none: `false` is "this is not one".
 *
 * A file, NNNNNNNN.spool (its number in hex), is a header and batches; both machines are little-endian, and so is it:
 *   header   32 bytes and the identity: magic, own number, the number of the file before it and how many of that one's bytes
 *            count, the first number that counts, length of the identity, CRC-32C of all of it
 *   batch    56 bytes and records: what one commit wrote. It counts whole or not at all.
 *   record   32 bytes and a body. A record at a place that has one already stands in for it.
 * The chain of files is followed from the newest by "the one before": what is not in it, and what lies behind a file's end as the
 * next one tells it, are attempts that failed. */
#ifndef HOLDFAST_SPOOL_LOG_H
#define HOLDFAST_SPOOL_LOG_H

#include "hal/spool.h"

#define SPOOL_FILE_HEADER_BYTES 32
#define SPOOL_BATCH_BYTES       56
#define SPOOL_RECORD_BYTES      32
#define SPOOL_ACK_BYTES         16 /* key and place, in the body of a SPOOL_LOG_ACKS */
#define SPOOL_BODY_MAX          ((1u << 28) - 1)

struct spool_file {
    uint32_t number, previous, previous_end, first;
    struct bytes identity; /* in the bytes it was read from */
};
size_t spool_file_pack(const struct spool_file *f, uint8_t out[SPOOL_FILE_HEADER_BYTES + SPOOL_IDENTITY_MAX]);
bool spool_file_unpack(struct bytes in, uint32_t number, struct spool_file *out);
size_t spool_file_header_bytes(size_t identity_bytes);

struct spool_batch {
    uint32_t bytes;                    /* of its records */
    uint32_t first;                    /* files with lower numbers hold nothing that lives */
    uint64_t number, head, next_place; /* head: what has a lower place is done */
    int64_t wall_ms;
};
/* Over the records, which follow `out`. */
void spool_batch_pack(const struct spool_batch *b, uint8_t *out);
bool spool_batch_unpack(const uint8_t in[SPOOL_BATCH_BYTES], struct spool_batch *out);
bool spool_batch_is_whole(const uint8_t *in, const struct spool_batch *b); /* its records follow `in` */

enum spool_what {
    SPOOL_LOG_ADDED = SPOOL_ADDED,
    SPOOL_LOG_MODIFIED,
    SPOOL_LOG_DELETED,
    SPOOL_LOG_MARK,
    SPOOL_LOG_ACKS,
    SPOOL_LOG_NOTE,
    SPOOL_LOG_COUNT
};
struct spool_item {
    unsigned what; /* enum spool_what */
    uint64_t place;
    uint8_t key[SPOOL_KEY_BYTES];
    struct bytes body;
};
void spool_item_pack(const struct spool_item *i, uint8_t *out); /* header and body */
size_t spool_item_bytes(const struct spool_item *i);
/* The record at the start of `in`; false: it does not end there, or its sum is wrong. */
bool spool_item_unpack(struct bytes in, struct spool_item *out);
size_t spool_item_length(const uint8_t in[SPOOL_RECORD_BYTES]); /* what its header claims, body too; not checked */
uint64_t spool_key(const uint8_t key[SPOOL_KEY_BYTES]);

struct spool_ack {
    uint64_t key, place;
};
_Static_assert(sizeof(struct spool_ack) == SPOOL_ACK_BYTES, "copied as it is");

#endif
