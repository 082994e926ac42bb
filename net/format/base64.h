/* base64: RFC 4648, standard (section 4, padded, or bare as age has it) and URL-safe (section 5, not padded). Decoding is strict.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.
 * Errors   E_INVALID a byte outside the alphabet (white space too), wrong or missing padding, bits left over that are not zero;
 *          E_RANGE the output does not fit, nothing useful was written. Encoding cannot fail: size it by the macro. */
#ifndef HOLDFAST_BASE64_H
#define HOLDFAST_BASE64_H

#include "board/rt/err.h"

#define BASE64_TEXT_MAX(bytes)  (((bytes) + 2) / 3 * 4 + 1) /* with the zero */
#define BASE64_BYTES_MAX(chars) ((chars) / 4 * 3 + 2)

enum base64_kind { BASE64_STANDARD, BASE64_URL, BASE64_BARE /* standard without padding */ };

/* Writes text and a zero; returns the length without it. cap >= BASE64_TEXT_MAX(from.len), asserted. */
size_t base64_encode(enum base64_kind kind, struct bytes from, char *out, size_t cap);
MUST_USE err base64_decode(enum base64_kind kind, struct bytes text, uint8_t *out, size_t cap, size_t *len);

#endif
