/* retention_input: the lines of `backup retention --stdin`, as they come in pieces.
 *
 * Layer    agents/backup.                          Blocks   never.
 * Owner    the caller; close() is idempotent and   Memory   the running task's heap: 24 bytes a backup, 16 a line that cannot be
 *          legal on a zeroed one.                           read; while one of the two grows, the old copy beside the new one.
 * Errors   E_RANGE more than RETENTION_LINES_MAX lines; E_BUDGET. After one of them: close. */
#ifndef HOLDFAST_RETENTION_INPUT_H
#define HOLDFAST_RETENTION_INPUT_H

#include "agents/backup/retention.h"

#define RETENTION_LINES_MAX  100000
#define RETENTION_LINE_BYTES 128 /* without its end; a longer one is ignored */

struct retention_ignored {
    const char *why; /* static */
    uint32_t line;
};
struct retention_input {          /* zeroed at first */
    struct retention_item *items; /* id: the line, from 1 */
    struct retention_ignored *ignored;
    size_t count, room, ignored_count, ignored_room;
    uint32_t line; /* the one in work is the next */
    size_t len;    /* of it, so far; what is beyond the bytes kept is not kept */
    uint8_t bytes[RETENTION_LINE_BYTES + 1];
};
/* A line ends with LF or CR LF; empty ones are passed over, and counted. */
MUST_USE err retention_input_add(struct retention_input *in, struct bytes piece);
MUST_USE err retention_input_end(struct retention_input *in); /* the last line needs no end */
void retention_input_close(struct retention_input *in);

#endif
