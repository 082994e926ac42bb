#include "board/rt/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_EXACT_MAX 9007199254740992.0 /* 2^53: every integer up to here is a double of its own */
#define DECIMALS_MAX      9

/* digits / 10^decimals, no exponent; decimals 0: an integer. */
static void fixed_text(uint64_t digits, unsigned decimals, bool negative, char *out)
{
    char reversed[NUMBER_TEXT_MAX];
    size_t n = 0;
    for (unsigned at = 0; digits > 0 || at <= decimals; at++, digits /= 10) {
        if (at == decimals && decimals > 0)
            reversed[n++] = '.';
        reversed[n++] = (char)('0' + digits % 10);
    }
    if (negative)
        *out++ = '-';
    while (n > 0)
        *out++ = reversed[--n];
    *out = 0;
}

/* Most values are a few decimals. An integer below 2^53 over a power of ten up to 10^22 is divided with one correct rounding, as
 * a reader of the text does it: so when the quotient is the value, the text is exact. It spares printf()'s stack, 7 KiB in musl.
 */
static bool fixed_try(double magnitude, bool negative, char *out)
{
    double scale = 1;
    for (unsigned decimals = 0; decimals <= DECIMALS_MAX && magnitude * scale < INTEGER_EXACT_MAX; decimals++, scale *= 10) {
        double digits = (double)(uint64_t)(magnitude * scale + (decimals > 0 ? 0.5 : 0));
        if (digits / scale == magnitude) {
            fixed_text((uint64_t)digits, decimals, negative, out);
            return true;
        }
    }
    return false;
}

const char *number_text(double value, char out[NUMBER_TEXT_MAX])
{
    if (isnan(value) || isinf(value)) {
        memcpy(out, isnan(value) ? "NaN\0" : value > 0 ? "+Inf" : "-Inf", sizeof "+Inf");
        return out;
    }
    if (fixed_try(fabs(value), value < 0, out))
        return out;
    for (int digits = 15; digits <= 17; digits++) { /* 15 always survive, 17 always suffice: IEEE 754 binary64 */
        snprintf(out, NUMBER_TEXT_MAX, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}
