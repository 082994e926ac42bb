/* place_s3: what place_s3*.c share.   Layer   agents/backup, private.   The rest: as place.h and s3.h say. */
#ifndef HOLDFAST_BACKUP_PLACE_S3_H
#define HOLDFAST_BACKUP_PLACE_S3_H

#include "agents/backup/place_internal.h"
#include "net/api/s3/s3.h"

ms place_s3_soon(void); /* the deadline of a small request, retries and all */
MUST_USE err place_s3_client(struct place *p, struct s3 **out);
MUST_USE err place_s3_key(const struct place *p, const char *name, char out[S3_KEY_MAX]);
void place_s3_object(const struct s3_object *from, struct place_object *out);

#define PLACE_S3_NAMES "etcd-snapshot-"      /* all of ours begin so: nothing else is listed */
MUST_USE err place_s3_tidy(struct place *p); /* place_s3_tidy.c */

/* place_s3_put.c: the calls of a put. */
MUST_USE err place_s3_put_open(struct place *p, const char *name, struct place_put **out);
MUST_USE err place_s3_put_append(struct place_put *w, struct buf *b, ms deadline);
MUST_USE err place_s3_put_commit(struct place_put *w, struct place_object *out);
MUST_USE err place_s3_put_rename(struct place_put *w, const char *name);
void place_s3_put_recorded(struct place_put *w);
void place_s3_put_close(struct place_put *w);

#endif
