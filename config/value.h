/* value: one scalar of the configuration, from text into its field and back.
 *
 * Layer    config, and nobody outside it.   Blocks   never.   Memory   the caller's.
 * Errors   false, and in `what` the words: "is what it is; what to do". */
#ifndef HOLDFAST_CONFIG_VALUE_H
#define HOLDFAST_CONFIG_VALUE_H

#include "config/schema.h"

/* Sets the row's field in `base` (the struct, or the list item). plain: it had no quotes; numbers and booleans must not. */
bool value_set(const struct config_row *r, void *base, struct bytes text, bool plain, struct text *what);
/* A text or one item of a list of texts, into to[r->bytes]. */
bool value_set_text(const struct config_row *r, char *to, struct bytes text, struct text *what);
/* As value_set() reads it; quotes: as YAML, texts in double quotes. */
void value_print(const struct config_row *r, const void *base, bool quotes, struct text *out);
void value_print_number(enum config_type t, int64_t value, struct text *out); /* 5400000 as a duration: 1h30m */
void value_print_quoted(const char *s, struct text *out);

#endif
