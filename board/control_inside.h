/* control_inside: what the files of the control socket share: where it is.
 *
 * Layer    board, and only control*.c.   Blocks   parks the fiber.   Memory   one small heap block while a job runs.
 * Errors   those of file.h. */
#ifndef HOLDFAST_CONTROL_INSIDE_H
#define HOLDFAST_CONTROL_INSIDE_H

#include "board/control.h"
#include "board/rt/file.h"

/* An address for <data>/holdfast.sock. sockaddr_un holds 107 bytes, unix(7): a longer path goes by the open folder, as
 * /proc/self/fd/N/holdfast.sock, which needs /proc. */
struct control_place {
    struct addr at;
    os_fd folder; /* -1: the path fits */
};
MUST_USE err control_place_open(const char *data, ms deadline, struct control_place *out);
void control_place_close(struct control_place *p); /* idempotent */

#endif
