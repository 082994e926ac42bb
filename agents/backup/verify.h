/* verify: how good is this file; see struct backup_verification.
 *
 * Layer    agents/backup, private.                    Blocks   parks the fiber; the disk work runs on the two lanes.
 * Owner    the caller owns the lanes; the verifier    Memory   what is left of TASK_BACKUP but for some, up to
 *          is open until verifier_close().                     BACKUP_VERIFY_BYTES_MAX, and one buffer; two fibers.
 * Errors   E_CANCELED only: all else is a verdict. */
#ifndef HOLDFAST_BACKUP_VERIFY_H
#define HOLDFAST_BACKUP_VERIFY_H

#include "agents/backup/backup_internal.h"

struct verifier;
/* *keep is to be closed in any case. */
MUST_USE err verifier_run(struct lane *first, struct lane *second, const char *path, unsigned level_max,
                          const struct backup_watcher *w, struct backup_verification *out, struct verifier **keep);
/* After VERDICT_GOOD: what HashKV of a member compacted there is for the file's own revision. E_INVALID: for another one; those
 * of reading. */
MUST_USE err verifier_hash_kv(struct verifier *v, int64_t revision, int64_t compact_revision, uint32_t *out);
/* Of the whole file, trailer and all, in hex; "" when it could not be read. */
void verifier_stored_sha256(const struct verifier *v, char out[2 * SHA256_BYTES + 1]);
void verifier_close(struct verifier *v); /* NULL is fine */

#endif
