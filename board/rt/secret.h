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

void wipe(void *at, size_t len);                         /* zeroes; not optimised away */
void secret_wipe(struct secret *s);                      /* wipes and sets len to 0 */
bool bytes_equal_secret(struct bytes a, struct bytes b); /* constant time for equal lengths */

#endif
