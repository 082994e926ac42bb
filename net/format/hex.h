/* hex: bytes as lower-case hexadecimal text, and back (either case).
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.
 * Errors   E_INVALID odd length or not a digit; E_RANGE the output does not fit. */
#ifndef HOLDFAST_HEX_H
#define HOLDFAST_HEX_H

#include "board/rt/err.h"

#define HEX_TEXT_MAX(bytes) ((bytes)*2 + 1) /* with the zero */

/* Writes text and a zero, returns out. cap >= HEX_TEXT_MAX(from.len), asserted. */
const char *hex_encode(struct bytes from, char *out, size_t cap);
MUST_USE err hex_decode(struct bytes text, uint8_t *out, size_t cap, size_t *len);
int hex_digit(uint8_t c); /* 0..15, or -1 */

#endif
