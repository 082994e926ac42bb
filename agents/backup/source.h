/* source: a plain snapshot on its way in: the database and its SHA-256, from etcd, from Talos, or from a file.
 *
 * Layer    agents/backup, private.                Blocks   parks the fiber; a file is read on its lane.
 * Owner    the caller, until source_close().      Memory   TASK_BACKUP: one connection with its window, or one buffer of
 *                                                          BACKUP_PIECE_BYTES.
 * Errors   those of etcd.h, talos.h, file.h; each names the peer or the file. */
#ifndef HOLDFAST_BACKUP_SOURCE_H
#define HOLDFAST_BACKUP_SOURCE_H

#include "agents/backup/backup_internal.h"

struct source;
/* What backup.source says. Certificates and talosconfig are read anew, so that rotated ones are used; connects to nobody yet. */
MUST_USE err source_open(struct backup *b, ms deadline, struct source **out);
MUST_USE err source_open_file(struct lane *l, const char *path, struct source **out);
/* Finds a member; *r says which (a file leaves it as it is), *db_bytes how large the database is about, 0: not known. */
MUST_USE err source_connect(struct source *s, ms deadline, struct backup_record *r, uint64_t *db_bytes);
/* The deadline is of the whole stream. */
MUST_USE err source_start(struct source *s, ms deadline);
/* The next piece, a view until the next call; *more false: it ended well. *remaining: as far as can be told. E_TIMEOUT: no byte
 * came for idle_ms, or the deadline passed. */
MUST_USE err source_next(struct source *s, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more);
void source_close(struct source *s); /* NULL is fine */

/* --- between the source*.c: each kind begins with struct source --- */
struct source {
    err (*connect)(struct source *s, ms deadline, struct backup_record *r, uint64_t *db_bytes);
    err (*start)(struct source *s, ms deadline);
    err (*next)(struct source *s, ms idle_ms, struct bytes *piece, uint64_t *remaining, bool *more);
    void (*close)(struct source *s);
};
size_t source_window_bytes(void); /* of the stream from etcd or Talos: what the board has beside a part of S3; 0: theirs */
MUST_USE err source_open_talos(struct backup *b, ms deadline, struct source **out);

#endif
