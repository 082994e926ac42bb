/* metric_inside: what metric.c and metric_text.c share. Private to them.
 *
 * Layer    rt.   Owner   the registry, in metric.c.   Blocks   never.   Memory, Errors   as metric.h says. */
#ifndef HOLDFAST_METRIC_INSIDE_H
#define HOLDFAST_METRIC_INSIDE_H

#include "board/rt/metric.h"

#include <stdatomic.h>

struct label_values {
    char of[METRIC_LABELS_MAX][METRIC_LABEL_BYTES_MAX + 1];
};

struct series {
    struct family *family;
    struct series *next;        /* of its family, in order of making */
    bool gone;                  /* not exposed; its place is free for another of its family */
    atomic_uint_least64_t bits; /* of a double: there is no portable atomic one */
    double *samples;            /* a ring; NULL when the family is not sampled */
    unsigned samples_held;      /* <= registry.samples_max */
    struct label_values labels;
};

unsigned metric_label_count(const struct family *f);
struct family *metric_first(void); /* of those that have, or had, a series; the next one: next_registered. NULL: none */

#endif
