/* json_scan: where in a window of JSON text something begins or ends: quotes, {}[],: and the first bytes of numbers and words.
 *
 * Layer    format. For net/format/json_pick*.c.    Blocks   never.
 * Owner    the caller; a scan is some words.       Memory   none; no byte of the text is kept or copied, only what it was.
 * Errors   none of its own: what is wrong inside texts (RFC 8259 section 7: control characters, escapes; RFC 3629: UTF-8) ends
 *          the window there, with its name. Everything between texts is for the reader to judge.
 * Threads  any; json_scan_force() before there are threads.
 *
 * Blocks of 64 bytes become masks, a bit a byte, by the CPU's vector instructions; the rest is arithmetic on the masks. */
#ifndef HOLDFAST_JSON_SCAN_H
#define HOLDFAST_JSON_SCAN_H

#include "board/rt/base.h"

#define JSON_SCAN_WINDOW 1024
#define JSON_SCAN_BLOCK  64
#define JSON_SCAN_MARKS  (JSON_SCAN_WINDOW + 8) /* they are written in eights */

struct json_scan {     /* what goes from one window to the next; all zero at the start */
    uint64_t in_text;  /* all ones inside a text */
    bool escaped;      /* the next byte comes after a backslash */
    bool in_word;      /* the last byte belonged to a number or a word */
    uint8_t hex_left;  /* digits of \u to come */
    uint8_t utf8_left; /* bytes of a character to come, the next from low to high */
    uint8_t utf8_low, utf8_high;
};

struct json_marks {
    size_t len;      /* of the window that is good: all of it, or up to what is wrong */
    size_t count;    /* of marks */
    const char *why; /* NULL, or what is wrong at len; static */
    bool escapes;    /* there is a backslash in the window */
    uint16_t at[JSON_SCAN_MARKS];
};

/* A mark for each quote (of texts, first and last), each of {}[],: outside of texts, and the first byte of anything else there
 * but white space. window.len <= JSON_SCAN_WINDOW. */
void json_scan(struct json_scan *s, struct bytes window, struct json_marks *marks);

enum json_scan_kind { JSON_SCAN_PORTABLE, JSON_SCAN_X86_SSE2, JSON_SCAN_X86_AVX2, JSON_SCAN_ARM_NEON, JSON_SCAN_KIND_COUNT };
bool json_scan_force(enum json_scan_kind kind); /* for tests and benches: false (and no change) when this CPU cannot */

#endif
