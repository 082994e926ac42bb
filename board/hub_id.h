/* hub_id: 8 hex digits that are this hub's for good: in the names of its backups where a server cannot refuse to overwrite.
 *
 * Layer    board.                                  Blocks   parks the fiber.
 * Owner    the caller holds the lock on `data`.    Memory   a small buffer.
 * Errors   E_CORRUPT DATA/hub.id is no hub's id; those of file.h. */
#ifndef HOLDFAST_HUB_ID_H
#define HOLDFAST_HUB_ID_H

#include "config/config.h"

#define HUB_ID_FILE "hub.id" /* in `data`; made once, never replaced */

/* Of a configuration that has an S3 destination, else "": nobody needs it. */
MUST_USE err hub_id_read(const struct config *c, ms deadline, char out[9]);

#endif
