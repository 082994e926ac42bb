/* suggest: which of the right words was meant by a wrong one. Edit distance with swaps of neighbours.
 *
 * Layer    config; its words and those of the command line.   Blocks   never.   Memory   the caller's.   Errors   none.
 * Bounds   words of up to SUGGEST_BYTES_MAX; longer ones are never near. */
#ifndef HOLDFAST_CONFIG_SUGGEST_H
#define HOLDFAST_CONFIG_SUGGEST_H

#include "board/rt/text.h"

#define SUGGEST_BYTES_MAX 32

struct suggestion {
    struct bytes wrong;
    const char *best; /* the nearest offered so far that is near enough; NULL: none */
    size_t distance;
};
struct suggestion suggest_start(struct bytes wrong);
void suggest_offer(struct suggestion *s, const char *word); /* `word` is kept */

#endif
