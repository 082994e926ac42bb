/* zones: the zoneinfo files of this host, for config_parse() and config_zone().
 *
 * Layer    board.                                  Blocks   parks the fiber for at most ZONES_READ_MS_MAX a name.
 * Owner    the caller owns struct zones, which     Memory   one I/O buffer while a file is read.
 *          outlives the finder it gives.
 * Errors   of the finder: E_ABSENT there is no such file, or no zoneinfo; E_INVALID it is none; E_RANGE it is too large;
 *          those of file.h. */
#ifndef HOLDFAST_ZONES_H
#define HOLDFAST_ZONES_H

#include "board/rt/pool.h"
#include "config/config.h"

#define ZONES_FOLDER      "/usr/share/zoneinfo"
#define ZONES_READ_MS_MAX SECONDS(5)

struct zones {
    struct lane lane;
};
void zones_open(struct zones *z);
void zones_close(struct zones *z);
struct config_zones zones_finder(struct zones *z);

#endif
