/* text: building bounded strings, and comparing spans.
 *
 * Layer    rt.   Blocks   never.   Memory   the caller's.   Errors   none: what does not fit is cut and `cut` says so. */
#ifndef HOLDFAST_TEXT_H
#define HOLDFAST_TEXT_H

#include "board/rt/base.h"

#include <stdarg.h>

struct text {
    char *at;   /* always ended by a zero */
    size_t cap; /* with the zero; >= 1 */
    size_t len;
    bool cut; /* something did not fit */
};

struct text text_over(char *storage, size_t cap);
void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, struct bytes b);
void text_add_u64(struct text *t, uint64_t value, unsigned digits_min); /* decimal, with zeros before it */
static inline void text_add_char(struct text *t, char c)
{
    if (t->cap - t->len < 2) {
        t->cut = true;
        return;
    }
    t->at[t->len++] = c;
    t->at[t->len] = 0;
}
void text_addf(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_addv(struct text *t, const char *format, va_list arguments);

struct bytes bytes_of(const char *s); /* without the zero */
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_text(struct bytes a, const char *s);
bool bytes_equal_nocase(struct bytes a, const char *s); /* ASCII only */

/* Decimal digits only, no sign or space; false on anything else or overflow. */
bool text_to_u64(struct bytes s, uint64_t *out);
/* RFC 3339 in UTC: "2026-11-21T09:51:32Z"; cap >= TIME_TEXT_MAX. */
#define TIME_TEXT_MAX 32
void text_rfc3339(int64_t epoch_s, char *out, size_t cap);

#endif
