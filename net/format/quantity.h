/* quantity: Kubernetes' quantities ("1536Mi", "250m", "12e6") in the form the API server writes them.
 *
 * Layer    format.   Blocks   never.   Memory   none.   Errors   false: no quantity, or more than QUANTITY_BYTES_MAX bytes.
 * Canonical is the largest suffix that leaves a whole number, in the same family: decimal (n to E), binary (Ki to Ei) or decimal
 * exponent. As apimachinery's resource.Quantity has it, with what it leaves as it was written ("1.250"), what it rounds up
 * (beyond nano) and what it caps (binary ones, at 2^63-1). */
#ifndef HOLDFAST_QUANTITY_H
#define HOLDFAST_QUANTITY_H

#include "board/rt/text.h"

#define QUANTITY_BYTES_MAX 64
#define QUANTITY_TEXT_MAX  80 /* of the canonical form, with the zero */

bool quantity_canonical(struct bytes in, char out[QUANTITY_TEXT_MAX]);

#endif
