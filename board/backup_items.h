/* backup_items: the items of a JSON array, gathered in memory up to a bound.
 *
 * Layer    board.                             Blocks   never.
 * Owner    the caller; zeroed but for         Memory   the running task's heap, at most bytes_max; it grows by doubling.
 *          bytes_max is valid and empty.
 * Errors   none: an item without room is counted, and the rest goes on. */
#ifndef HOLDFAST_BACKUP_ITEMS_H
#define HOLDFAST_BACKUP_ITEMS_H

#include "board/rt/base.h"

struct backup_items {
    size_t bytes_max; /* of the whole array, with its brackets and a zero */
    char *at;
    size_t len, cap;
    unsigned left_out; /* items that had no room */
};
void backup_items_add(struct backup_items *i, struct bytes json);
const char *backup_items_array(struct backup_items *i); /* whole, ended by a zero; nothing may be added after it */
void backup_items_close(struct backup_items *i);        /* idempotent */

#endif
