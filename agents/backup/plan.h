/* plan: when a destination's next run is due; and when its newest good snapshot is stale.
 *
 * Layer    agents/backup, private.   Blocks   never.   Memory   the destination's fields.   Errors   none. */
#ifndef HOLDFAST_BACKUP_PLAN_H
#define HOLDFAST_BACKUP_PLAN_H

#include "agents/backup/backup_internal.h"

/* newest_s: the newest snapshot there that counts; 0: none. */
void plan_first(struct backup *b, struct backup_destination *to, int64_t newest_s);
ms plan_wait(struct backup *b, struct backup_destination *to);   /* 0: now; FOREVER: not as far as can be told */
void plan_tell(struct backup *b, struct backup_destination *to); /* the metric */
void plan_began(struct backup *b, struct backup_destination *to);
void plan_good(struct backup_destination *to);
bool plan_is_due(struct backup *b, struct backup_destination *to); /* by the schedule itself, not only to be tried again */
ms plan_kept(struct backup *b, struct backup_destination *to);     /* as plan_failed(); the schedule's own next stays */
ms plan_failed(struct backup *b, struct backup_destination *to);   /* how long until the next try */

/* stale.c. What is stale at the start is told when a run has ended, or GRACE_MS later. */
void stale_found(struct backup_destination *to, int64_t newest_good_s); /* at start; 0: none */
void stale_renewed(struct backup_destination *to, int64_t taken_at_s);  /* a good one was taken just now */
void stale_look(struct backup *b, struct backup_destination *to);       /* tells a change: metric, log, listener */

#endif
