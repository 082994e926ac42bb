/* file: files for fibers; every call runs on the pool. And the durable writer: the whole file appears, or nothing.
 *
 * Layer    rt.                                        Blocks   parks the fiber until the job ended or the deadline passed.
 * Owner    the caller owns lanes and buffers.         Memory   I/O buffers (buf.h) and job slots; a writer is one heap block.
 * Errors   those of os.h and pool.h; E_RANGE a path or file larger than its bound.
 * `lane` is the target (a disk, a mount): one call in flight on it, written off when it sticks. */
#ifndef HOLDFAST_FILE_H
#define HOLDFAST_FILE_H

#include "board/rt/buf.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"

/* The whole of a small file, in one buffer, len = its bytes; a zero follows them. E_RANGE when larger than bytes_max. */
MUST_USE err file_read_small(struct lane *l, const char *path, size_t bytes_max, ms deadline, struct buf **out);
MUST_USE err file_stat(struct lane *l, const char *path, ms deadline, struct os_stat *out);
MUST_USE err file_remove(struct lane *l, const char *path, ms deadline); /* and fsync of the folder; E_ABSENT */
/* Never over an existing file: E_EXISTS; same folder, which is synced. */
MUST_USE err file_rename_new(struct lane *l, const char *from, const char *to, ms deadline);
MUST_USE err file_space(struct lane *l, const char *path, ms deadline, uint64_t *free_bytes, uint64_t *total_bytes);
/* mkdir -p, 0700, each new level's parent synced. OK when it is there. */
MUST_USE err file_make_folder(struct lane *l, const char *path, ms deadline);
/* Calls each(arg, name) for the names in the folder, in the calling fiber, a few at a time. An error of each() ends it.
 * each() must not remove what it sees: some file systems then skip names. */
MUST_USE err file_list(struct lane *l, const char *folder, ms deadline, err (*each)(void *arg, const char *name), void *arg);

/* For jobs of one's own, on the pool: a plain file to be read from; E_INVALID what is none: opening a pipe would wait for who
 * writes into it. After an error *out is -1. */
MUST_USE err file_open_plain(const char *path, os_fd *out, uint64_t *bytes);

/* --- durable writer: PATH.part-XXXXXXXX, then fsync, rename (never over an existing file), fsync of the folder. The temporary
 * file is locked (flock) as long as its writer lives. --- */
struct writer;
#define WRITER_TAP_BYTES_MAX 256
/* The lane stays open until writer_close(); were it closed before, the writer fails with E_CLOSED, and what it left is a
 * leftover. tap: sees every appended byte in order on the pool thread, before it is written (a digest); state of tap_bytes bytes,
 * zeroed, lives in the writer. NULL: none. depth: appends in flight, 1..8. */
MUST_USE err writer_open(struct lane *l, const char *path, unsigned depth, void (*tap)(void *state, struct bytes data),
                         size_t tap_bytes, ms deadline, struct writer **out);
void *writer_tap_state(struct writer *w); /* valid for the caller only after writer_flush() and before the next append */
/* Queues b->at[0, b->len) and takes over the buffer, also on error. tapped: let the tap see it. Waits while depth are in flight.
 */
MUST_USE err writer_append(struct writer *w, struct buf *b, bool tapped, ms deadline);
MUST_USE err writer_flush(struct writer *w, ms deadline); /* all appended is handed to the kernel; first error */
/* Makes it durable under its name. E_EXISTS: there is such a file; rename it with writer_rename() and commit again, or abort. */
MUST_USE err writer_commit(struct writer *w, ms deadline);
/* The same in place of what is there, in one step. Failed: the old one is there or the new one, whole. */
MUST_USE err writer_commit_over(struct writer *w, ms deadline);
MUST_USE err writer_rename(struct writer *w, const char *path); /* another final name, same folder; before a commit */
const char *writer_temporary_path(const struct writer *w);      /* what is flushed can be read there, until the commit */
uint64_t writer_bytes(const struct writer *w);                  /* appended so far */
/* After a commit: frees. Before it: removes the temporary file (shielded, bounded) and frees. NULL is fine. */
void writer_close(struct writer *w);
bool writer_is_leftover(const char *name); /* a temporary name of ours, for cleaning at start */
/* Removes such a file, and fsync of the folder, when no writer holds it: E_BUSY when one does; E_UNSUPPORTED where files cannot
 * be locked. */
MUST_USE err file_remove_leftover(struct lane *l, const char *path, ms deadline);

#endif
