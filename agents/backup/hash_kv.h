/* hash_kv: the comparison with the live member.   Layer   agents/backup, private.   Blocks   parks the fiber.
 * Memory   one connection, then the walk's.       Errors  E_CANCELED only: all else is told in hash_kv_why. */
#ifndef HOLDFAST_BACKUP_HASH_KV_H
#define HOLDFAST_BACKUP_HASH_KV_H

#include "agents/backup/verify.h"

/* After VERDICT_GOOD: sets hash_kv, or hash_kv_why, or VERDICT_BAD with reason "hash-kv". */
MUST_USE err backup_hash_kv(struct backup *b, struct verifier *v, struct backup_record *r);

#endif
