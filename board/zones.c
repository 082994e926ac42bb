/* zones: what stands for "Europe/Berlin" on this host. */
#include "board/zones.h"

#include "board/rt/file.h"
#include "board/rt/mem.h"

#include <stdio.h>

void zones_open(struct zones *z)
{
    lane_open(&z->lane, "zoneinfo", mem_task(), 1);
}

void zones_close(struct zones *z)
{
    lane_close(&z->lane);
}

static err find(void *arg, const char *name, struct zone *out)
{
    struct zones *z = arg;
    struct buf *file = NULL;
    char path[sizeof ZONES_FOLDER + 1 + ZONE_NAME_MAX];
    if (!zone_name_is_plausible(bytes_of(name))) /* no way out of the folder */
        return E_INVALID;
    int n = snprintf(path, sizeof path, ZONES_FOLDER "/%s", name);
    if (n <= 0 || (size_t)n >= sizeof path)
        return E_INVALID;
    err e = file_read_small(&z->lane, path, ZONE_FILE_BYTES_MAX, loop_now() + ZONES_READ_MS_MAX, &file);
    if (e != OK)
        return e;
    e = zone_from_file((struct bytes){file->at, file->len}, out);
    buf_release(file);
    return e == OK ? OK : trail(e, "%s", path);
}

struct config_zones zones_finder(struct zones *z)
{
    return (struct config_zones){find, z};
}
