/* store: the hub's own durable state: one SQLite database, FOLDER/holdfast.db, on files of board/rt.
 *
 * Layer    hal. The one place that knows SQLite.       Blocks   parks the fiber; SQLite runs on the pool, one lane for the writer
 * Owner    the caller owns the store and closes it;             and one for readers.
 *          one process has it open (E_BUSY).           Memory   TASK_STORE's slice, all of it: SQLite's heap, page cache and
 * Errors   E_BUSY another process has it open;                  statements; STORE_REQUESTS_MAX requests wait in it.
 *          E_CORRUPT a page's checksum is wrong or it is no database: see store_set_aside(); E_NOSPACE, E_READONLY, E_IO of the
 *          disk; E_BUDGET the slice is spent; E_FULL too many requests wait; E_TIMEOUT the deadline passed: a write may yet be
 *          committed. Nothing of a failed write stays.
 *
 * WAL, synchronous=FULL. Writes gather while one commit runs and are committed by the next one together (group commit); each is
 * in a savepoint of its own, so that one failing undoes none of the others; each is told OK only when the commit is on the disk.
 * Every page of the database carries a checksum in its last 8 bytes (SQLite's reserved bytes); reading verifies it. The stock
 * `sqlite3` reads the file when no hub has it open ("database is locked" else); what it writes there lacks the checksum and is
 * refused here. The WAL index lies in our memory, so there is no -shm file.
 * Bytes written are counted in holdfast_store_written_bytes_total. */
#ifndef HOLDFAST_STORE_H
#define HOLDFAST_STORE_H

#include "board/rt/hold.h"
#include "board/rt/os.h"

#define STORE_FILE_NAME       "holdfast.db"
#define STORE_REQUESTS_MAX    64
#define STORE_ARG_BYTES_MAX   KIB(2)
#define STORE_VALUES_MAX      16
#define STORE_VALUE_BYTES_MAX KIB(64) /* larger things are files beside it */

struct store;
/* Static. Each step once and for all, in order; PRAGMA user_version counts them. A file that knows more steps than we:
 * E_UNSUPPORTED. */
struct store_schema {
    const char *const *steps; /* SQL, may be several statements; NULL ends */
};
MUST_USE err store_open(const char *folder, const struct store_schema *schema, ms deadline, struct store **out);
/* After E_CORRUPT of store_open(): renames it and its WAL to holdfast.db.damaged (the newest only), so that a new one is begun.
 */
MUST_USE err store_set_aside(const char *folder, ms deadline);
/* Commits what waits, writes the WAL back. A commit that sticks is waited for up to 30 s beyond the deadline. NULL is fine. */
void store_close(struct store *s, ms deadline);

struct store_tx; /* one transaction; valid in the work function only */
/* Runs on a pool thread, perhaps twice, perhaps after its caller gave up: no waiting, nothing of the loop. An error undoes all it
 * did. arg: the copy, see below. */
typedef err store_work(struct store_tx *tx, void *arg);
/* arg[arg_bytes] is copied in, and back when OK. Returns when it is on the disk. */
MUST_USE err store_write(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline);
/* A snapshot of the last commit; sees no half of anything; store_exec() in it is E_READONLY. */
MUST_USE err store_read(struct store *s, store_work *work, void *arg, size_t arg_bytes, ms deadline);
/* The same, for work that also uses memory arg points to: `held` is held until the work can run no more, also when the caller
 * gave up. */
MUST_USE err store_write_held(struct store *s, store_work *work, void *arg, size_t arg_bytes, struct hold *held, ms deadline);
MUST_USE err store_read_held(struct store *s, store_work *work, void *arg, size_t arg_bytes, struct hold *held, ms deadline);

/* --- in a work function --- */
struct store_value {
    enum { STORE_NULL, STORE_INTEGER, STORE_REAL, STORE_TEXT, STORE_BLOB } kind;
    int64_t integer;
    double real;
    struct bytes bytes; /* of TEXT and BLOB; what a query gives is valid until the row function returns */
};
struct store_value store_integer(int64_t value);
struct store_value store_text(const char *value); /* NULL: null */
struct store_value store_blob(struct bytes value);
/* One statement; `sql` is static (statements are kept by its address). values: of ?1, ?2… */
MUST_USE err store_exec(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count);
/* row(): an error ends it and is returned. */
MUST_USE err store_query(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count,
                         err (*row)(void *arg, const struct store_value *columns, size_t count), void *arg);

struct store_stats {
    uint64_t commits, writes, reads, bytes_written, waiting, waiting_peak;
};
struct store_stats store_stats(const struct store *s);

#endif
