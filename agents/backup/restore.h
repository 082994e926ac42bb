/* restore: a stored backup, wherever it lies, is found, read back, judged, and, when that is wanted, written as a plain file.
 *
 * Layer    agents/backup.                          Blocks   parks the fiber; the work runs on the pool.
 * Owner    the caller; everything a struct         Memory   TASK_BACKUP: while it is read PACK_BYTES_MAX and what the place
 *          names outlives the call.                         needs, then one verification.
 * Errors   of a place that cannot be read or a file that cannot be written; what the backup is, is a verdict.
 *
 * It only reads what is stored; no lock is needed, and a hub may run. */
#ifndef HOLDFAST_BACKUP_RESTORE_H
#define HOLDFAST_BACKUP_RESTORE_H

#include "agents/backup/backup.h"
#include "net/format/age.h"

#define BACKUP_LATEST "latest" /* instead of a name: the newest good one */

struct backup_keys { /* wiped by backup_keys_wipe() */
    struct age_identity keys[AGE_IDENTITIES_MAX];
    unsigned count;
};
/* An identity file, as age-keygen writes it. E_INVALID names file and line. */
MUST_USE err backup_keys_read(const char *path, ms deadline, struct backup_keys *out);
void backup_keys_wipe(struct backup_keys *k);

/* What `wanted` names: DESTINATION/NAME, or NAME in the first destination that has it; NAME with or without .zst, .age; "latest":
 * of all, the newest that is good. E_ABSENT: told what was looked for, and where. */
MUST_USE err backup_find(struct backup *b, const char *wanted, unsigned *destination, struct backup_record *out);

struct backup_reading {
    const char *path;      /* a local file, and its record beside it; NULL: */
    struct backup *backup; /* of `destination`, the one of `record` */
    unsigned destination;
    const struct backup_record *record; /* with a path: NULL, it is looked for */
    const struct backup_keys *keys;     /* NULL: none */
    unsigned level;                     /* 1 to 4 */
    const char *scratch;                /* a folder for what cannot be read at random where it lies; NULL: none */
    uint64_t scratch_max;               /* bytes of it */
    const char *to; /* the plain file of a restore, which is then only left when the verdict is good; NULL: none */
    ms deadline;    /* of the reading; 0: none */
    const struct backup_watcher *watcher;
};
struct backup_result {
    struct backup_verification verification;
    uint64_t stored_bytes;
    char stored_sha256[2 * SHA256_BYTES + 1]; /* "": not computed */
    bool encrypted, compressed;
    bool recorded; /* its record was there, and what it says is in verification where that could not be read: revision, keys */
};
/* The verdict of what is stored: level 4 good; 2 good, "no-scratch": what reads at random had no place to; 0 good, "stored": as
 * its record says, but not opened, for there was no identity; unknown "no-identity": nor a record; "wrong-identity": none of the
 * keys opens it. With `to`: E_EXISTS, E_NOSPACE and the like are errors, and nothing is left there. */
MUST_USE err backup_read_back(const struct backup_reading *r, struct backup_result *out);
void backup_result_json(struct json_writer *w, const char *path, const struct backup_result *r);

#endif
