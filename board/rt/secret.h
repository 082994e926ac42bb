/* secret: bytes that must never be printed and are wiped after use.
 *
 * Layer    rt.   Blocks   never.   Memory   the caller's.   The log formatter prints a struct secret as ***. */
#ifndef HOLDFAST_SECRET_H
#define HOLDFAST_SECRET_H

#include "board/rt/base.h"

struct secret {
    uint8_t *at;
    size_t len;
};

/* The one place that wipes: zeroes, and is not optimised away. A build with -DHOLDFAST_NO_WIPE (`make VARIANT=x86_64-unwiped
 * binary`) does nothing here: a test that searches memory for what was wiped must find it then. */
void wipe(void *at, size_t len);
#if defined(HOLDFAST_CHECKED) || defined(HOLDFAST_HOST_LIBC)
extern bool wipe_is_off; /* a unit test's way to the same */
#endif
void secret_wipe(struct secret *s);                      /* wipes and sets len to 0 */
bool bytes_equal_secret(struct bytes a, struct bytes b); /* constant time for equal lengths */

#endif
