/* place: where a destination's backups lie, a folder or the objects under a prefix, behind one door: names in, bytes in and out.
 *
 * Layer    agents/backup, private.                 Blocks   parks the fiber. Each call has limits of its own: BACKUP_DISK_MS_MAX
 * Owner    the destination owns its place; whoever          for one call of a disk; for one request of S3 as place_s3.c says;
 *          opened a put or a get ends it, before            so a dead server or mount is an error, and never a hang.
 *          the place.                              Memory   TASK_BACKUP: a folder next to none; S3 its client while it is in
 *                                                           use, and for a put one or two parts (BACKUP_PART_BYTES each).
 * Errors   those of file.h and s3.h; E_UNSUPPORTED where this kind of place cannot. A name is a plain file name, never a path. */
#ifndef HOLDFAST_BACKUP_PLACE_H
#define HOLDFAST_BACKUP_PLACE_H

#include "agents/backup/backup_internal.h"

#define BACKUP_PART_BYTES MIB(5) /* the least S3 takes: Amazon S3, multipart limits */

/* Of the destination's type; connects to nobody, mounts nothing yet. */
MUST_USE err place_open(struct backup *b, struct backup_destination *to, struct place **out);
void place_close(struct place *p); /* NULL is fine */
/* After a run: connections are ended, credentials forgotten; the next call opens anew. */
void place_rest(struct place *p); /* nothing while another fiber is in a call, or has a put or a get open: it rests later */
/* The folder whose files can be read at random; NULL: there is none. */
const char *place_folder(const struct place *p);
/* FOLDER/name or ENDPOINT/BUCKET/PREFIXname: for records, logs and people. E_RANGE. */
MUST_USE err place_path(const struct place *p, const char *name, char out[OS_PATH_MAX]);

/* What is found bad there keeps its name, and only its record says so: else it becomes NAME.bad. */
bool place_keeps_names(const struct place *p, const struct backup_entry *of);
/* A list was refused (E_DENIED), and a put was not: nothing can be listed, read back or pruned, which the log was told once. */
bool place_is_write_only(const struct place *p);

struct place_object {
    const char *name; /* of place_list(): valid during the call; else as asked */
    uint64_t bytes;   /* place_list() of a folder does not tell: 0 */
    int64_t modified_s;
    char etag[BACKUP_ETAG_MAX]; /* "": none; S3's own word for the content */
};
/* Every name, page by page, in no order; of S3 only those that begin as ours do. An error of each() ends it. each() removes
 * nothing. E_ABSENT: no such folder or bucket. */
MUST_USE err place_list(struct place *p, err (*each)(void *arg, const struct place_object *o), void *arg);
/* Of these entries, those of which something there is no plain file get kinds NAME_OTHER. */
MUST_USE err place_look(struct place *p, struct backup_entry *entries, size_t count);
MUST_USE err place_stat(struct place *p, const char *name, struct place_object *out); /* E_ABSENT; E_INVALID: no plain file */
MUST_USE err place_read_small(struct place *p, const char *name, size_t bytes_max, struct buf **out); /* E_ABSENT, E_RANGE */
/* Durable; in one step in place of what is there. */
MUST_USE err place_write_small(struct place *p, const char *name, struct bytes content, ms deadline);
MUST_USE err place_remove(struct place *p, const char *name);                     /* durable; E_ABSENT where it can be told */
MUST_USE err place_rename_new(struct place *p, const char *from, const char *to); /* E_EXISTS; S3: E_UNSUPPORTED */
/* What killed runs left: files NAME.part-XXXXXXXX nobody holds, uploads in parts of ours and objects of ours that got no record
 * (the store remembers ours; without it uploads older than backup.total_timeout). What cannot go is logged. */
MUST_USE err place_tidy(struct place *p);

/* --- one object comes into being: whole, under a name that was free, or not at all --- */
struct place_put;
MUST_USE err place_put_open(struct place *p, const char *name, struct place_put **out);
/* Takes over the buffer, also on error; waits while those before it are on their way. */
MUST_USE err place_put_append(struct place_put *w, struct buf *b, ms deadline);
/* E_EXISTS: that name is taken: place_put_rename(), and again. S3: the name is looked at when the put is opened (E_EXISTS there)
 * and, where the server can, once more by the server at the end; where it cannot (E_UNSUPPORTED, learned at the first put), the
 * hub's id is to be in the name: place_wants_hub_id() is true from then on, and the put is made again under such a name: by
 * place_put_rename() and a commit, or where that is E_UNSUPPORTED by a new put. */
MUST_USE err place_put_commit(struct place_put *w, struct place_object *out);
MUST_USE err place_put_rename(struct place_put *w, const char *name); /* S3: E_UNSUPPORTED once a part was sent */
/* After the commit, once its record is written. What never gets so far is removed by a later place_tidy(). */
void place_put_recorded(struct place_put *w);
void place_put_close(struct place_put *w); /* not committed: nothing is left (shielded, bounded). NULL is fine */
bool place_wants_hub_id(const struct place *p);

/* --- one object is read --- */
struct place_get;
MUST_USE err place_get_open(struct place *p, const char *name, struct place_get **out, struct place_object *object);
/* A filled buffer, the caller's; *out NULL: the end. idle: how long no byte may come. */
MUST_USE err place_get_next(struct place_get *g, ms idle_ms, struct buf **out);
void place_get_close(struct place_get *g); /* NULL is fine */

#endif
