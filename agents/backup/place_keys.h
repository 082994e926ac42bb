/* place_keys: what S3 requests are signed with: files, read again when they are others, or else the environment.
 *
 * Layer    agents/backup.                          Blocks   parks the fiber: the files are on a disk, LOOK_MS_MAX a call of it.
 * Owner    the caller; lane and configuration      Memory   one block, wiped; a buffer while a file is read.
 *          outlive it.                             Errors   those of file.h, and E_INVALID, E_ABSENT: no key, by its file. */
#ifndef HOLDFAST_BACKUP_PLACE_KEYS_H
#define HOLDFAST_BACKUP_PLACE_KEYS_H

#include "board/rt/pool.h"
#include "config/config.h"
#include "net/api/s3/s3.h"

struct place_keys;
MUST_USE err place_keys_open(struct lane *files, const struct config_destination *c, struct place_keys **out);
void place_keys_close(struct place_keys *k); /* NULL is fine */
/* As s3.h's options have it; arg is a struct place_keys. */
err place_keys_give(void *keys, struct s3_credentials *out);

#endif
