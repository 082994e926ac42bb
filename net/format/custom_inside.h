/* custom_inside: what custom*.c share. Layer format, nobody else includes it. */
#ifndef HOLDFAST_CUSTOM_INSIDE_H
#define HOLDFAST_CUSTOM_INSIDE_H

#include "net/format/custom.h"

#define CUSTOM_PATH_MAX 128

const char *custom_row_key(const struct custom_row *r); /* the last word of its path */
/* The next row directly in `parent` ("" the top), after `before`, NULL for the first; NULL: no more. */
const struct custom_row *custom_row_next(const struct custom *c, const char *parent, const struct custom_row *before);
bool custom_row_within(const struct custom_row *r, const char *parent); /* at any depth */

static inline void *custom_field(const struct custom_row *r, void *base)
{
    return (char *)base + r->offset;
}

static inline const void *custom_field_of(const struct custom_row *r, const void *base)
{
    return (const char *)base + r->offset;
}

#endif
