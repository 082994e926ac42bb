/* plan: when a destination's next run is due; and when its newest good snapshot is stale.
 *
 * Layer    agents/backup, private.   Blocks   never.   Memory   the destination's fields.   Errors   none. */
#ifndef HOLDFAST_BACKUP_PLAN_H
#define HOLDFAST_BACKUP_PLAN_H

#include "agents/backup/backup_internal.h"

/* newest_attempt_s: the newest snapshot there, good or bad; 0: none. */
void plan_first(struct backup *b, struct backup_destination *to, int64_t newest_attempt_s);
ms plan_wait(struct backup *b, struct backup_destination *to);   /* 0: now; FOREVER: not as far as can be told */
void plan_tell(struct backup *b, struct backup_destination *to); /* the metric */
void plan_began(struct backup *b, struct backup_destination *to);
void plan_good(struct backup_destination *to);
ms plan_failed(struct backup *b, struct backup_destination *to); /* how long until the next try */

/* stale.c */
void stale_found(struct backup_destination *to, int64_t newest_good_s); /* at start; 0: none */
void stale_renewed(struct backup_destination *to, int64_t taken_at_s);  /* a good one was taken just now */
void stale_look(struct backup *b, struct backup_destination *to);       /* tells a change: metric, log, listener */

#endif
