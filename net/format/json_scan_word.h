/* json_scan_word: numbers, true, false and null (RFC 8259 sections 3 and 6), in as many pieces as they come.
 *
 * Layer    format. For net/format/json_pick*.c.   Blocks   never.   Memory   none.   Errors   JSON_WORD_WRONG. */
#ifndef HOLDFAST_JSON_SCAN_WORD_H
#define HOLDFAST_JSON_SCAN_WORD_H

#include "board/rt/base.h"

struct json_word {
    const char *rest; /* of true, false or null: what is to come; NULL: a number */
    uint8_t state;    /* of the number */
};
enum json_word_result { JSON_WORD_MORE, JSON_WORD_ENDED, JSON_WORD_WRONG };

extern const uint8_t json_word_ends[256]; /* 1: white space, a quote or one of {}[],: */

/* By its first byte: false when no value begins so. */
bool json_word_begin(struct json_word *w, uint8_t first);
/* The bytes after the first. *used: those that belong to it, when WRONG those before the wrong one. ENDED: white space, a quote
 * or one of {}[],: follows. */
enum json_word_result json_word_feed(struct json_word *w, struct bytes in, size_t *used);

#endif
