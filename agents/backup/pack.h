/* pack: plain bytes → SHA-256 → zstd → age → SHA-256 → a place, as jobs of one lane, so that the network on both sides goes on.
 * unpack: the other way round; what it is, is seen in the bytes, not in the name.
 *
 * Layer    agents/backup, private.                  Blocks   parks the fiber; the work runs on the lane.
 * Owner    the caller owns lane and callbacks and   Memory   TASK_BACKUP: PACK_BYTES_MAX of heap (zstd's block, age's), and of
 *          closes; a stuck thread keeps what it              I/O buffers two of BACKUP_PIECE_BYTES.
 *          looks at.                                Errors   those of zstd.h, age.h, pool.h and of the callback, which end it. */
#ifndef HOLDFAST_BACKUP_PACK_H
#define HOLDFAST_BACKUP_PACK_H

#include "agents/backup/backup_internal.h"
#include "net/format/age.h"

#define PACK_BYTES_MAX MIB(4) /* hub64's level 3; hub32 takes less than 3 MiB, edge16 less than 2 */

struct pack_form {
    bool zstd;
    const struct age_recipient *recipients; /* copied */
    unsigned recipient_count;               /* 0: not encrypted */
};
/* What a destination's configuration says. E_CONFIG: a recipient that is none. */
MUST_USE err pack_form_of(const struct config_destination *c, struct age_recipient recipients[CONFIG_RECIPIENTS_MAX],
                          struct pack_form *out);

struct pack_sums {
    uint64_t plain_bytes, stored_bytes;
    uint8_t plain_sha256[SHA256_BYTES]; /* of what was appended with hashed = true: the database without its trailer; of an
                                           unpack: of all but the last 32 bytes */
    uint8_t stored_sha256[SHA256_BYTES];
};

struct pack;
/* put: takes over each filled buffer of stored bytes, in the calling fiber, in order. zstd level and window are the profile's:
 * edge16 level 1, 512 KiB; larger ones level 3 at most, 1 MiB. */
MUST_USE err pack_open(struct lane *l, const struct pack_form *form, err (*put)(void *arg, struct buf *stored, ms deadline),
                       void *arg, struct pack **out);
/* Takes over the buffer, also on error; returns while it is at work, waits for the one before it. */
MUST_USE err pack_append(struct pack *p, struct buf *plain, bool hashed, ms deadline);
/* All appended is through; *out tells what it was. The stored form is not finished yet: that is pack_end(). */
MUST_USE err pack_flush(struct pack *p, ms deadline, struct pack_sums *out);
/* Finishes the stored form. *out: of all. */
MUST_USE err pack_end(struct pack *p, ms deadline, struct pack_sums *out);
void pack_close(struct pack *p); /* NULL is fine */

struct unpack;
/* identities: copied, wiped by close; 0 of them: an age file is E_DENIED, "needs an identity". each: takes over each filled
 * buffer of plain bytes. */
MUST_USE err unpack_open(struct lane *l, const struct age_identity *identities, unsigned count,
                         err (*each)(void *arg, struct buf *plain, ms deadline), void *arg, struct unpack **out);
/* Takes over the buffer, also on error. An error of the forms is not told here, but by the end: what comes after it is only
 * summed up. Who would rather stop asks unpack_broken(). */
MUST_USE err unpack_append(struct unpack *u, struct buf *stored, ms deadline);
MUST_USE err unpack_broken(const struct unpack *u); /* so far; OK while a piece is at work */
/* The end of the stored bytes: E_CORRUPT where they end too early. stored_sha256 in *out is valid after an error of the forms
 * (E_CORRUPT, E_DENIED, E_RANGE, E_UNSUPPORTED) too: what is stored can be compared without being opened. */
MUST_USE err unpack_end(struct unpack *u, ms deadline, struct pack_sums *out);
/* After the end: how long the plain form is, and its last 32 bytes. */
const struct trailer *unpack_trailer(const struct unpack *u);
bool unpack_was_sealed(const struct unpack *u);
bool unpack_was_compressed(const struct unpack *u);
void unpack_close(struct unpack *u); /* NULL is fine */

#endif
