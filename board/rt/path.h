/* path: cutting file names, for file.c and writer.c.
 *
 * Layer    rt.   Owner, Memory   the caller's.   Blocks   never.   Errors   E_RANGE longer than OS_PATH_MAX with its zero. */
#ifndef HOLDFAST_PATH_H
#define HOLDFAST_PATH_H

#include "board/rt/os.h"

MUST_USE err path_copy(char out[OS_PATH_MAX], const char *path);
void path_folder(const char *path, char out[OS_PATH_MAX]); /* "a/b" gives "a", "b" gives ".", "/b" gives "/" */

#endif
