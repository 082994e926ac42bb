/* retention_print: what `backup retention` says, as JSON or as lines, one list of backups after another.
 *
 * Layer    board.   Owner   the caller.   Blocks   stdout.   Memory   struct retention_print; nothing grows with the list.
 * Errors   none: main() looks whether stdout took everything. */
#ifndef HOLDFAST_RETENTION_PRINT_H
#define HOLDFAST_RETENTION_PRINT_H

#include "agents/backup/backup.h"
#include "agents/backup/retention_input.h"

struct retention_list { /* decided */
    const struct retention_item *items;
    size_t count;
    const struct retention_ignored *ignored;
    size_t ignored_count;
    const char (*names)[BACKUP_NAME_MAX]; /* by an item's id; NULL: the id is a line */
    const char *destination;              /* told too, unless NULL */
};

#define RETENTION_PRINT_BYTES KIB(1)
struct retention_print {
    bool json;
    struct json_writer w;
    struct text out;
    char bytes[RETENTION_PRINT_BYTES]; /* one item; then it goes to stdout */
};
/* `p` may not move afterwards. */
void retention_print_open(struct retention_print *p, bool json);
/* {"keep": [{"line" or "name", "at", "reasons", "guard"}], "remove": [{…, "at", "why"}], "ignored": [{"line", "why"}]} */
void retention_print_list(struct retention_print *p, const struct retention_list *l);
/* Around several lists; each is then told with its destination. */
void retention_print_all(struct retention_print *p);
void retention_print_failure(struct retention_print *p, const char *destination, const char *why); /* in place of a list */
void retention_print_all_end(struct retention_print *p);
void retention_print_close(struct retention_print *p); /* ends the line of JSON */

#endif
