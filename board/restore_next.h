/* restore_next: what is to be done with a restored snapshot, as commands for Talos and for plain etcd.
 *
 * Layer    board.   Blocks   never.   Memory   none.   Errors   none. */
#ifndef HOLDFAST_RESTORE_NEXT_H
#define HOLDFAST_RESTORE_NEXT_H

#include "agents/backup/backup.h"

/* file: the plain snapshot; r: its record, NULL when it has none. On stdout. */
void restore_next_text(const char *file, const struct backup_record *r);
/* {"talos": […], "etcd": […], "also_needed": […]}: the same, a command or a sentence an item. */
void restore_next_json(struct json_writer *w, const char *file, const struct backup_record *r);

#endif
