/* backup: snapshots of etcd into directories, on a schedule and on demand. Streamed, their SHA-256 checked on the way, durable or
 * absent.
 *
 * Layer    agents.                                  Blocks   parks the fiber; disk work runs on the pool, one lane a destination.
 * Owner    the caller owns struct backup until      Memory   TASK_BACKUP: one connection, one 1 MiB window at most, and
 *          backup_close(); config and dns                    BACKUP_APPENDS_MAX + 1 buffers of BACKUP_PIECE_BYTES.
 *          outlive it.
 * Errors   E_CORRUPT the digest is wrong or the stream was short; E_TIMEOUT no byte for idle_timeout, or total_timeout in all;
 *          those of etcd.h and file.h. After any of them the destination is as before: no file, no temporary file. */
#ifndef HOLDFAST_BACKUP_H
#define HOLDFAST_BACKUP_H

#include "config/config.h"
#include "net/format/sha256.h"
#include "net/proto/dns.h"

#define BACKUP_PIECE_BYTES KIB(256)
#define BACKUP_APPENDS_MAX 4
#define BACKUP_NAME_MAX    64

/* What is known of one snapshot; `backup now -o json` prints these. */
struct backup_record {
    char name[BACKUP_NAME_MAX]; /* etcd-snapshot-YYYYMMDD-HHMMSS.db, UTC */
    char path[OS_PATH_MAX];
    char destination[CONFIG_NAME_MAX];
    char endpoint[CONFIG_URL_MAX];
    char sha256[2 * SHA256_BYTES + 1]; /* of the database, as its trailer says */
    char etcd_version[64];
    uint64_t bytes, db_bytes; /* the file; without its 32-byte trailer */
    uint64_t cluster_id, member_id;
    int64_t taken_at_s; /* when it began */
    ms took_ms;
};

struct backup;
MUST_USE err backup_open(const struct config *c, struct dns *d, struct backup **out);
void backup_close(struct backup *b); /* NULL is fine */

struct backup_watcher { /* told how far it is; NULL: nobody */
    void (*progress)(void *arg, uint64_t received_bytes, uint64_t total_bytes);
    void *arg;
};
/* One snapshot into one destination, now. Errors are in the trail, not yet logged; metrics are up to date. */
MUST_USE err backup_take(struct backup *b, unsigned destination, const struct backup_watcher *w, struct backup_record *out);
/* The schedule: a fiber of TASK_BACKUP that ends with E_CANCELED only. A missed run (newest file older than `every`) happens at
 * once; a failed one is tried again after 30 s, 1 min, … up to 10 min or `every`, whichever is less. */
err backup_schedule(void *backup);

/* For /readyz?verbose: false and why when the last run into any destination failed. */
bool backup_is_well(void *backup, struct text *why);

#endif
