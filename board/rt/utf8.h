/* utf8: is this a whole character? RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Layer    rt.   Blocks   never.   Memory   none.   Errors   none. */
#ifndef HOLDFAST_UTF8_H
#define HOLDFAST_UTF8_H

#include "board/rt/base.h"

/* Bytes of the character at the start of b, 1..4; 0 when it is not a whole, valid one or b is empty. */
size_t utf8_char(struct bytes b);
/* The longest len <= at_most that does not cut a valid character of b in two. */
size_t utf8_cut(struct bytes b, size_t at_most);

#endif
