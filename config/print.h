/* print: a struct as YAML, and the rows as a Markdown table, for any schema.
 *
 * Layer    config, and nobody outside it.   Blocks   never.   Memory   the caller's.   Errors   none. */
#ifndef HOLDFAST_CONFIG_PRINT_H
#define HOLDFAST_CONFIG_PRINT_H

#include "config/schema.h"

void print_yaml(const struct schema *s, const void *config, struct text *out);
void print_reference(const struct schema *s, struct text *out);

#endif
