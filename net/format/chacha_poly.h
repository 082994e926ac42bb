/* chacha_poly: Poly1305 (RFC 8439, 2.5), a one-time authenticator. For net/format/chacha.c.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's; it wipes.   Errors   none.   Constant time. */
#ifndef HOLDFAST_CHACHA_POLY_H
#define HOLDFAST_CHACHA_POLY_H

#include "board/rt/base.h"

#define POLY_KEY_BYTES 32
#define POLY_TAG_BYTES 16

struct poly {
    uint64_t r[2], r1_fifths; /* the clamped key; 5/4 of its upper word */
    uint64_t h[3];            /* below 2^131 */
    uint64_t s[2];
};

void poly_start(struct poly *p, const uint8_t key[POLY_KEY_BYTES]);
void poly_update_padded(struct poly *p, struct bytes data); /* zeroes follow up to a multiple of 16: RFC 8439, 2.8 */
void poly_finish(struct poly *p, uint8_t tag[POLY_TAG_BYTES]);

#endif
