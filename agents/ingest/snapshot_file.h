/* snapshot_file: one snapshot of the cluster as a file, bounded, so that it is sent with its length, and again, without memory.
 *
 * Layer    agents/ingest.                          Blocks   parks the fiber; the disk is the lane's.
 * Owner    the caller; the lane outlives it.       Memory   one buffer of SNAPSHOT_BUFFER from begin to finish.
 * Errors   E_RANGE it would be larger than bytes_max: it is not finished, nothing of it may be sent; those of the disk
 * (E_NOSPACE…). After an error only snapshot_file_begin() and snapshot_file_close() do anything.
 *
 * Not durable: at each start a new one is made. */
#ifndef HOLDFAST_INGEST_SNAPSHOT_FILE_H
#define HOLDFAST_INGEST_SNAPSHOT_FILE_H

#include "agents/ingest/envelope.h"
#include "board/rt/pool.h"

#define SNAPSHOT_BUFFER KIB(32)

struct snapshot_file;
/* A file that is there is removed. The path is copied. */
MUST_USE err snapshot_file_open(const char *path, struct lane *lane, uint64_t bytes_max, struct snapshot_file **out);
void snapshot_file_close(struct snapshot_file *f, ms deadline); /* removes it; NULL is fine */

/* Truncates, writes the head. */
MUST_USE err snapshot_file_begin(struct snapshot_file *f, const struct envelope *e, ms deadline);
/* Each kind of the table in its order, also those without objects. The same kind again: what was written of it is taken back. */
MUST_USE err snapshot_file_kind(struct snapshot_file *f, enum ingest_kind kind, ms deadline);
MUST_USE err snapshot_file_add(struct snapshot_file *f, struct bytes info, ms deadline);
MUST_USE err snapshot_file_finish(struct snapshot_file *f, ms deadline); /* the tail; all that was buffered is in the file */

const char *snapshot_file_path(const struct snapshot_file *f);
uint64_t snapshot_file_bytes(const struct snapshot_file *f); /* of a finished one: its length; else 0 */

#endif
