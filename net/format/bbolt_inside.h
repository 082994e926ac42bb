/* bbolt_inside: what bbolt_walk.c (pages and branches) and bbolt_leaf.c (entries, values, inline buckets) need of each other.
 *
 * Layer    format.   Blocks   as the source does.   Memory   struct bbolt's.   Errors   those of source.read(). */
#ifndef HOLDFAST_BBOLT_INSIDE_H
#define HOLDFAST_BBOLT_INSIDE_H

#include "net/format/bbolt_walk.h"

const uint8_t *bbolt_head(struct bbolt *b); /* of the innermost page: its first page_bytes */
/* Bytes of the innermost page, overflow included; valid until the next call. len <= window_bytes; of `wanted` as bbolt_bytes().
 */
MUST_USE err bbolt_page_bytes(struct bbolt *b, const struct bbolt_frame *f, uint64_t at, size_t len, uint64_t wanted,
                              const uint8_t **out);
MUST_USE err bbolt_element_at(struct bbolt *b, const struct bbolt_frame *f, uint32_t index, struct bbolt_element *out);
/* Pushes the page, or tells why not; `ahead` pages from it on are likely to be asked for next. */
MUST_USE err bbolt_enter(struct bbolt *b, uint64_t page, uint64_t parent, uint64_t ahead, enum bbolt_level level,
                         bool bucket_root);
/* Takes the element's room in the page; false with a finding when it has none. */
bool bbolt_fits(struct bbolt *b, struct bbolt_frame *f, uint32_t index, const struct bbolt_element *e);
/* Compares the key with the bound, and makes it the next bound. */
void bbolt_in_order(struct bbolt *b, struct bbolt_frame *f, uint32_t index, struct bytes key, bool leaf);

/* After a bucket within this leaf: its name is what the next key is compared with. */
MUST_USE err bbolt_bound_restore(struct bbolt *b, struct bbolt_frame *f);
MUST_USE err bbolt_leaf_step(struct bbolt *b, struct bbolt_frame *f); /* entries up to one that needs more than the page's head */
MUST_USE err bbolt_value_step(struct bbolt *b);                       /* the next piece */

#endif
