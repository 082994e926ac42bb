/* bech32: the text form of age's keys (BIP 173 without its bound of 90): a prefix, 1, digits of five bits, a checksum.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's; < 256 bytes of stack, wiped.
 * Errors   E_INVALID no separator, a character outside the alphabet, upper and lower case mixed, bits left over; E_CORRUPT the
 *          checksum is of something else: mistyped or cut; E_RANGE longer than BECH32_TEXT_MAX or cap. */
#ifndef HOLDFAST_BECH32_H
#define HOLDFAST_BECH32_H

#include "board/rt/err.h"

#define BECH32_TEXT_MAX 128

/* Writes text and a zero, lower case as the prefix is; cap bounds both, asserted to be enough. */
void bech32_encode(const char *prefix, struct bytes from, char *out, size_t cap);
/* The prefix as it is written (a view into text) and the bytes. */
MUST_USE err bech32_decode(struct bytes text, struct bytes *prefix, uint8_t *out, size_t cap, size_t *len);

#endif
