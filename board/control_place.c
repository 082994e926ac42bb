/* control_place: a path as an address. */
#include "board/control_inside.h"

#include "hal/lock_file.h"

#include <stdio.h>
#include <string.h>

err control_place_open(const char *data, ms deadline, struct control_place *out)
{
    struct lane lane;
    *out = (struct control_place){.at = {.kind = ADDR_UNIX}, .folder = -1};
    int n = snprintf(out->at.path, sizeof out->at.path, "%s/" CONTROL_SOCKET_NAME, data);
    if (n > 0 && (size_t)n < sizeof out->at.path)
        return OK;
    lane_open(&lane, "control", mem_task(), 1);
    err e = lock_file_open(&lane, data, false, deadline, &out->folder, NULL);
    lane_close(&lane);
    if (e == OK)
        (void)snprintf(out->at.path, sizeof out->at.path, "/proc/self/fd/%d/" CONTROL_SOCKET_NAME, out->folder);
    return e;
}

void control_place_close(struct control_place *p)
{
    os_file_close(p->folder);
    p->folder = -1;
}
