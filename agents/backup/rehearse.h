/* rehearse: the newest backup of a destination is read back as for a restore, and what that found is written into its record.
 *
 * Layer    agents/backup, private.        Blocks   backup_rehearse() parks the fiber; the rest never waits, but
 * Owner    the destination's state.                rehearse_first(), which looks.
 * Errors   of rehearse_turn() E_CANCELED only; of the others see backup.h.   Memory   one record. */
#ifndef HOLDFAST_BACKUP_REHEARSE_H
#define HOLDFAST_BACKUP_REHEARSE_H

#include "agents/backup/backup_internal.h"

/* rehearse_plan.c: backup.rehearse.schedule, as plan.c has it for backups. One that was never rehearsed is due at once. */
MUST_USE err rehearse_schedule_read(struct backup *b);
MUST_USE err rehearse_first(struct backup *b, unsigned destination); /* what the records say of earlier ones; E_CANCELED */
/* Runs one that is due, when no backup is: then *wait is 0; else *wait becomes no longer than until the next. */
MUST_USE err rehearse_turn(struct backup *b, struct backup_record *r, ms *wait);
void rehearse_done(struct backup_destination *to, err e); /* plans the next */

/* rehearse_metrics.c */
MUST_USE err rehearse_metrics_open(struct backup_destination *d);
void rehearse_metrics_close(struct backup_destination *d);
void rehearse_metrics_set(struct backup_destination *d, const struct backup_record *r); /* of its last rehearsal */
void rehearse_metrics_failed(struct backup_destination *d, const char *reason);

#endif
