/* fetch: a stored backup read back as the plain snapshot: its bytes → their SHA-256 → age → zstd → levels 1 and 2 in the stream →
 * a plain file, where one is wanted, to be read at random before it gets its name.
 *
 * Layer    agents/backup, private.                  Blocks   parks the fiber; reading, opening, hashing and writing run on lanes
 * Owner    the caller closes; options outlive it,            of its own.
 *          identities are copied by unpack.         Memory   as unpack's and the place's; given back before fetch_verify().
 * Errors   of fetch_run(): what kept the stored bytes from being read to their end (those of the place, of file.h), E_BUDGET,
 *          E_CANCELED. What the bytes turned out to be is in struct fetched. */
#ifndef HOLDFAST_BACKUP_FETCH_H
#define HOLDFAST_BACKUP_FETCH_H

#include "agents/backup/place.h"
#include "net/format/age.h"

struct fetch_options {
    const char *path;    /* a local file; NULL: */
    struct place *place; /* `name` in it */
    const char *name;
    const struct age_identity *identities;
    unsigned identity_count; /* 0: a sealed one stays sealed */
    const char *into;        /* where the plain file is to be; NULL: nowhere */
    uint64_t into_bytes_max; /* 0: any; beyond it there is none, and the rest is still read */
    bool into_needed;        /* without the file the rest is not read: its error is fetch_run()'s */
    ms deadline;             /* of fetch_run(); 0: none */
    const struct backup_watcher *watcher;
};

struct fetched {
    uint64_t stored_bytes;
    char stored_sha256[2 * SHA256_BYTES + 1];
    bool sealed, compressed;
    err opened;                       /* OK; E_DENIED no identity, or none opens it; E_CORRUPT; E_UNSUPPORTED; E_RANGE */
    char opened_why[96];              /* then */
    struct backup_verification plain; /* levels 0 to 2; when it was opened */
    err file; /* OK: the plain file is there (fetch_verify(), fetch_commit()); E_ABSENT none was wanted; else why not */
};

struct fetch;
MUST_USE err fetch_open(const struct fetch_options *o, struct fetch **out); /* E_EXISTS: there is such a file as `into` */
MUST_USE err fetch_run(struct fetch *f, struct fetched *out);               /* once */
/* The plain file, from the disk; the verdict is in *out, an error only for E_CANCELED. */
MUST_USE err fetch_verify(struct fetch *f, unsigned level_max, struct backup_verification *out);
MUST_USE err fetch_commit(struct fetch *f); /* E_EXISTS: somebody made one meanwhile */
void fetch_close(struct fetch *f);          /* not committed: no file is left. NULL is fine */

/* fetch_file.c: a local file, from its beginning, in pieces. As place_get_*(). */
struct fetch_file;
MUST_USE err fetch_file_open(struct lane *l, const char *path, struct fetch_file **out, uint64_t *bytes); /* E_INVALID: no file */
MUST_USE err fetch_file_next(struct fetch_file *f, struct buf **out);
void fetch_file_close(struct fetch_file *f);

#endif
