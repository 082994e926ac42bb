/* store_inside: what hal/store*.c tell each other. Not for callers of store.h, and without a type of the library.
 *
 * Layer    hal, inside the store.                      Blocks   all but store_page.c may, on the disk: pool threads only.
 * Owner    struct store owns its two connections,      Memory   TASK_STORE's heap.
 *          these hold the disk; the last one closes it.
 * Errors   those of store.h, each with what was being done in the trail. */
#ifndef HOLDFAST_STORE_INSIDE_H
#define HOLDFAST_STORE_INSIDE_H

#include "hal/store.h"

#include "board/rt/pool.h"
#include "board/rt/sync.h"

#include <stdalign.h>
#include <stdatomic.h>

#define STORE_PAGE_BYTES         4096 /* https://sqlite.org/fileformat2.html#pages */
#define STORE_SUM_BYTES          8    /* reserved at the end of each page */
#define STORE_WAL_HEADER_BYTES   32   /* https://sqlite.org/fileformat2.html#the_write_ahead_log */
#define STORE_FRAME_HEADER_BYTES 24
#define STORE_FRAME_BYTES        (STORE_FRAME_HEADER_BYTES + STORE_PAGE_BYTES)
#define STORE_FRAME_SUM_BYTES    8    /* at the end of both headers */
#define STORE_WAL_PAGES          256  /* from so many on a commit is followed by a checkpoint */
#define STORE_WAL_PAGES_LONG     1024 /* readers kept it from beginning anew: the checkpoint insists */
#define STORE_SHARED_LOCKS       8    /* SQLITE_SHM_NLOCK */
#define STORE_SHARED_REGIONS_MAX 4    /* of the WAL's index, 32 KiB each: 16,000 pages; beyond it E_BUDGET */
#define STORE_STATEMENTS_MAX     32   /* kept prepared, each connection */

/* --- store_page.c: sums over pages --- */
void store_page_seal(uint8_t page[STORE_PAGE_BYTES], uint64_t number);
bool store_page_is_sound(const uint8_t page[STORE_PAGE_BYTES], uint64_t number);
/* The WAL's own sum of a frame, which goes on from the one before it (the WAL's header before the first). */
bool store_frame_is_sound(const uint8_t before[STORE_FRAME_SUM_BYTES], const uint8_t header[STORE_FRAME_HEADER_BYTES],
                          const uint8_t page[STORE_PAGE_BYTES]);

/* --- store_share.c: what the connections of one store share, in memory --- */
struct store_file;
struct store_share;
MUST_USE err store_share_open(struct store_share **out);
void store_share_close(struct store_share *s);
/* Levels of https://sqlite.org/lockingv3.html, 0 to 4; false: busy. *level is the caller's, changed here. */
bool store_share_lock(struct store_share *s, const void *who, int *level, int wanted);
void store_share_unlock(struct store_share *s, const void *who, int *level, int wanted);
bool store_share_is_reserved(struct store_share *s);
struct store_share_mine { /* a connection's locks in the WAL's index, a bit each */
    bool joined;
    unsigned shared, exclusive;
};
/* NULL in *out: there is no such region and it was not to be made. */
MUST_USE err store_share_region(struct store_share *s, struct store_share_mine *m, unsigned index, size_t bytes, bool make,
                                void volatile **out);
bool store_share_take(struct store_share *s, struct store_share_mine *m, unsigned first, unsigned count, bool exclusive);
void store_share_give(struct store_share *s, struct store_share_mine *m, unsigned first, unsigned count);
void store_share_leave(struct store_share *s, struct store_share_mine *m);

/* --- store_disk.c --- */
struct store_disk { /* the database's file and who shares it */
    atomic_uint holders;
    os_fd fd;
    struct store_share *share;
    atomic_uint_least64_t written_bytes;
    char path[OS_PATH_MAX];
};
MUST_USE err store_disk_open(const char *path, struct store_disk **out); /* makes it when it is not there; E_BUSY locked */
void store_disk_release(struct store_disk *d);

/* --- store_vfs.c: the files under the library --- */
struct store_link; /* one connection's way to the disk: a VFS of its own */
MUST_USE err store_link_open(struct store_disk *d, struct store_link **out); /* holds the disk */
void store_link_close(struct store_link *l);                                 /* NULL is fine */
const char *store_link_name(const struct store_link *l);
err store_link_error(struct store_link *l); /* the first since the last asking; OK: none */

/* --- store_lib.c: the library itself --- */
struct sqlite3_vfs;
MUST_USE err store_lib_start(void); /* idempotent, any thread */
/* The calls of a VFS that are about no file. */
int store_lib_sleep(struct sqlite3_vfs *v, int microseconds);
int store_lib_random(struct sqlite3_vfs *v, int bytes, char *out);
int store_lib_now(struct sqlite3_vfs *v, long long *out);

/* --- store_sql.c: statements --- */
struct sqlite3;
struct sqlite3_stmt;
struct store_tx { /* a connection, and so the transaction that it is in */
    struct sqlite3 *db;
    struct store_link *link;
    unsigned wal_pages; /* after the last commit, with those that a checkpoint has copied already */
    unsigned next_kept;
    struct {
        const char *sql;
        struct sqlite3_stmt *statement;
    } kept[STORE_STATEMENTS_MAX];
};
MUST_USE err store_sql_failed(struct store_tx *tx, int code, const char *doing); /* the library's code as ours; OK is OK */
void store_sql_forget(struct store_tx *tx);                                      /* kept statements */

/* --- store_connect.c --- */
MUST_USE err store_connect(struct store_disk *d, bool writes, size_t cache_bytes, struct store_tx *tx);
void store_disconnect(struct store_tx *tx); /* idempotent; the last one writes the WAL back */
MUST_USE err store_schema_apply(struct store_tx *tx, const char *path, const struct store_schema *schema);
bool store_is_in_transaction(const struct store_tx *tx);
MUST_USE err store_checkpoint(struct store_tx *tx);

/* --- store.c: what loop and pool share. A request's bytes live until its caller and the job have both let go of it, so a caller
 * may give up at any moment. What is decided on the pool (result, why) is read by the loop only when the job has come back; what
 * the loop decides meanwhile (a deadline) is kept apart. */
struct series;
struct request {
    struct hold hold; /* the caller's, and that of the queue, the batch or the job */
    struct store *store;
    struct hold *held; /* the caller's; NULL: none */
    store_work *work;
    size_t arg_bytes;

    /* the loop's */
    struct request *next;
    struct fiber *waiter; /* NULL: gave up */
    bool taken, answered;
    err answer;

    /* the job's */
    err result;
    char why[TRAIL_TEXT_MAX];
    alignas(max_align_t) unsigned char bytes[]; /* the argument as given, then the copy that the work has */
};

struct batch {
    struct hold hold;
    struct store *store;
    size_t count;
    unsigned commits;
    bool checkpoint; /* is due */
    struct request *request[STORE_REQUESTS_MAX];
};

/* Whose the connection of a lane is. The last one to let go of it closes it, so that a thread that comes back late leaves nothing
 * open. */
enum owner { LOOP, JOB, ABANDONED };
struct end {
    struct lane lane;
    atomic_int owner; /* enum owner */
    struct store_tx tx;
};

struct store {
    struct hold hold;
    struct end writer, reader;
    struct store_disk *disk;
    char path[OS_PATH_MAX];
    const struct store_schema *schema;
    size_t cache_bytes;

    /* the loop's */
    struct group group;
    struct waitq wanted;
    struct request *first, *last;
    struct store_stats stats;
    bool closing;
    struct series *written_series, *commits_series, *writes_series, *reads_series;
};

struct store_job {
    struct store *store;
};

static inline void *store_argument(struct request *r) /* the work's copy */
{
    return r->bytes + size_round_up(r->arg_bytes, alignof(max_align_t));
}
void *store_calloc(size_t bytes); /* of the store's slice, whoever asks */

/* --- store_batch.c: jobs --- */
err store_run_batch(void *job);      /* struct batch * */
err store_run_read(void *job);       /* struct request * */
err store_run_checkpoint(void *job); /* struct store_job */
void store_job_begins(struct end *end);
MUST_USE bool store_job_ends(struct end *end); /* false: the loop has abandoned the connection, which is the job's to close */

/* --- store_request.c: the writer --- */
err store_writer_main(void *arg); /* struct store *; a fiber's */

#endif
