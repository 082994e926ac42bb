/* backup_target: the one backup a command is to read: what its word means, and with which keys, scratch and configuration.
 *
 * Layer    board.                                   Blocks   parks the fiber.
 * Owner    the caller; close() in any case, the     Memory   TASK_BACKUP: the configuration, an agent.
 *          struct is zeroed or opened before.       Errors   told on stderr, with the exit code. */
#ifndef HOLDFAST_BACKUP_TARGET_H
#define HOLDFAST_BACKUP_TARGET_H

#include "agents/backup/restore.h"
#include "board/command.h"

struct backup_target {
    struct config *config; /* NULL: a local file, and there is none */
    struct dns *dns;
    struct backup *backup;
    struct backup_record *record; /* of a stored one, and of `reading` */
    struct backup_keys keys;
    struct backup_reading reading; /* path or backup, keys, scratch; the rest is the caller's */
    const char *shown;             /* what it is called: the file, or where the stored one lies */
};
/* A path (with a leading / or ., or of what exists) is a local file, which needs no configuration; else backup_find() says. */
enum exit_code target_open(const struct command_line *line, struct backup_target *t);
void target_close(struct backup_target *t); /* wipes the keys */

#endif
