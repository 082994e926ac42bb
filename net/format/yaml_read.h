/* yaml_read: YAML as a bounded run of events. The one place that knows libyaml.
 *
 * Layer    format.                                  Blocks   never.
 * Owner    the caller owns the input, which must    Memory   libyaml's on the heap, freed by yaml_close().
 *          outlive the reader, and closes.
 * Errors   E_CONFIG not YAML, or more than we take: yaml_problem() tells; E_RANGE larger than YAML_BYTES_MAX; E_BUDGET no memory.
 * Bounds   YAML_BYTES_MAX of input, YAML_DEPTH_MAX maps and lists in each other, one document, UTF-8, no aliases, no tags. */
#ifndef HOLDFAST_YAML_READ_H
#define HOLDFAST_YAML_READ_H

#include "board/rt/err.h"

#define YAML_BYTES_MAX MIB(1)
#define YAML_DEPTH_MAX 32

struct yaml;
struct yaml_mark {
    unsigned line, column; /* from 1; column in characters */
};
enum yaml_kind { YAML_END, YAML_SCALAR, YAML_MAP, YAML_MAP_END, YAML_LIST, YAML_LIST_END };
struct yaml_event {
    enum yaml_kind kind;
    struct yaml_mark mark;
    struct bytes text; /* of a scalar; until the next yaml_next() */
    bool plain;        /* a scalar without quotes: may be a number, true, null */
};
struct yaml_problem {
    struct yaml_mark mark;
    const char *what; /* static: "what is wrong; what to do" */
};

MUST_USE err yaml_open(struct bytes input, struct yaml **out);
/* YAML_END after the document, and when there is none (an empty file, only comments). After an error: the same error. */
MUST_USE err yaml_next(struct yaml *y, struct yaml_event *event);
bool yaml_is_null(const struct yaml_event *e); /* nothing, ~ or null, without quotes */
struct yaml_problem yaml_problem(const struct yaml *y);
void yaml_close(struct yaml *y); /* NULL is fine */

#endif
