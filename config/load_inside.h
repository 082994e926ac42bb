/* load_inside: what the three files of the loader share.
 *
 * Layer    config, and only load*.c.   Blocks   never.   Memory   the caller's.   Errors   those of load.h. */
#ifndef HOLDFAST_CONFIG_LOAD_INSIDE_H
#define HOLDFAST_CONFIG_LOAD_INSIDE_H

#include "config/load.h"

#define WORDS_MAX 320 /* of one message: what is wrong and what to do */

/* --- load_tell.c: words --- */
size_t load_row_index(const struct loader *l, const struct config_row *r);
void load_tell_at(struct loader *l, struct yaml_mark mark, const char *path, const char *words);
void load_tell_environment(struct loader *l, const struct config_row *r, const char *words);
/* Keys of this map that are required and were not there. */
void load_tell_missing(struct loader *l, const char *prefix, const void *base, struct yaml_mark start);
/* Keys of this map that its `type` does not have. */
void load_tell_foreign(struct loader *l, const char *prefix, const void *base);
/* A near word of this map, or the same word elsewhere, or what there is. */
void load_unknown_words(const struct loader *l, const char *prefix, struct bytes key, struct text *out);

/* --- load_map.c: what a map holds --- */
/* The next event; what is wrong with the YAML is told. */
MUST_USE err load_next(struct loader *l, struct yaml_event *event);
/* Passes over what `event` began, and tells why. */
MUST_USE err load_skip_wrong(struct loader *l, const struct yaml_event *event, const char *path, const char *words);
/* Defaults of the top (NULL), or of an item of the list "backup.destinations[]". */
void load_fallbacks(const struct loader *l, const char *list_path, void *base);
MUST_USE err load_map(struct loader *l, const char *prefix, void *base, struct yaml_mark start);

#endif
