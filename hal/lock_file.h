/* lock_file: one process works in a folder at a time: flock(2) on a file in it. And opening anything without waiting for a disk.
 *
 * Layer    hal.                                     Blocks   parks the fiber.
 * Owner    the caller closes the descriptor         Memory   one small heap block while a job runs.
 *          (os_file_close()), and so gives the lock back; it also goes with the process. The file stays, so that nobody locks
 *          one that is gone.
 * Errors   E_BUSY another process holds it; those of file.h. */
#ifndef HOLDFAST_LOCK_FILE_H
#define HOLDFAST_LOCK_FILE_H

#include "board/rt/file.h"

/* Opens on the lane; a descriptor that comes after the deadline is closed by the thread that brings it. locked: as a lock file:
 * made when it is not there, locked, our process id written; E_BUSY with the holder's id in *holder (0: unknown). Else to read.
 */
MUST_USE err lock_file_open(struct lane *l, const char *path, bool locked, ms deadline, os_fd *out, uint64_t *holder);

#endif
