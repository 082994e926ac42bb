/* yaml_walk: through a YAML document key by key, for files of which only some keys are ours: the rest is passed over.
 *
 * Layer    format.   Blocks   never.   Owner   the caller; the input outlives yaml_walk_file().
 * Memory   yaml_read's. What is freed meanwhile is wiped: there are keys in such files.
 * Errors   yaml_read's; E_CONFIG where it is no map, or ends too early: in the words of `wrong`, which adds to the trail.
 * Bounds   yaml_read's; a key of YAML_WALK_KEY_MAX bytes or more is told as "". */
#ifndef HOLDFAST_YAML_WALK_H
#define HOLDFAST_YAML_WALK_H

#include "net/format/yaml_read.h"

#define YAML_WALK_KEY_MAX 256

struct yaml_walk {
    /* the caller's. `where`: the key, or "" for the file as such; returns `code` */
    err (*wrong)(const struct yaml_walk *w, err code, const char *where, const char *what);
    /* its own */
    struct yaml *yaml;
    struct yaml_event event; /* the one at hand; after what yaml_read refuses, its mark is there */
};
/* Takes the whole value, which begins at the event at hand. arg: with the walk in it. */
typedef err yaml_walk_key(void *arg, const char *key);

/* The document's keys, each to each(). */
MUST_USE err yaml_walk_file(struct yaml_walk *w, struct bytes yaml, const char *where, yaml_walk_key *each, void *arg);
/* The keys of the map that begins at the event at hand. */
MUST_USE err yaml_walk_map(struct yaml_walk *w, const char *where, yaml_walk_key *each, void *arg);
MUST_USE err yaml_walk_skip(struct yaml_walk *w); /* the value that begins at the event at hand */
MUST_USE err yaml_walk_next(struct yaml_walk *w);

#endif
