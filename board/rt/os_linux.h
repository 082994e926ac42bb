/* os_linux: what the files of the device's world share. Not for callers of os.h.
 *
 * Layer    rt, inside os_linux*.c.   Blocks   never.   Memory   none.   Errors   none. */
#ifndef HOLDFAST_OS_LINUX_H
#define HOLDFAST_OS_LINUX_H

#include "board/rt/os.h"

err os_err(int errno_value); /* errno to err, the only such table */
err os_err_or(int result);   /* OK when result >= 0, else os_err(errno) */

#endif
