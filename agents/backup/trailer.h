/* trailer: a snapshot's stream is the database followed by its SHA-256. The last 32 bytes are held back: whatever they are when
 * the stream ends is the trailer, and all before it is what was to be hashed.
 *
 * Layer    agents/backup, private.   Owner   the caller; zeroed is a stream of nothing.
 * Blocks   as put() does.            Memory  none.            Errors   those of put(). */
#ifndef HOLDFAST_BACKUP_TRAILER_H
#define HOLDFAST_BACKUP_TRAILER_H

#include "agents/backup/backup.h"

struct trailer {
    uint8_t tail[SHA256_BYTES]; /* the last tail_len bytes so far */
    size_t tail_len;
    uint64_t total_bytes;
};
/* Hands on, in order, what is certainly not the trailer. After an error of put() nothing is of use. */
MUST_USE err trailer_add(struct trailer *t, struct bytes data, err (*put)(void *arg, struct bytes data), void *arg);
/* Levels 1 and 2 of the whole; computed: the SHA-256 of what was handed on. VERDICT_BAD or VERDICT_UNKNOWN. */
void trailer_judge(const struct trailer *t, const uint8_t computed[SHA256_BYTES], struct backup_verification *out);

#endif
