/* preview: what would leave the cluster, of objects that are handed in: the work of `holdfast ingest preview`. By the reader, the
 * Infos and the bodies that the agent itself uses.
 *
 * Layer    agents, ingest.                         Blocks   never.
 * Owner    the caller owns struct preview and      Memory   the buffers of the options, nothing else but what info.h says.
 *          its buffers.
 * Errors   what is wrong is told by tell(), and the function answers false; the next line is taken as if nothing had been. */
#ifndef HOLDFAST_INGEST_PREVIEW_H
#define HOLDFAST_INGEST_PREVIEW_H

#include "agents/ingest/envelope.h"

struct preview_options {
    struct envelope envelope; /* its texts outlive the preview */
    void *arena;              /* of one object's wanted fields; aligned for uint64_t */
    size_t arena_bytes;
    char *info; /* for one Info */
    size_t info_bytes;
    char *body; /* for one event; of a snapshot a byte an object */
    size_t body_bytes;
    void (*sink)(void *arg, struct bytes out);    /* what is to be printed, in pieces */
    void (*tell)(void *arg, const char *message); /* one line, without its end */
    void *arg;
};

struct preview { /* caller-owned; all fields are preview.c's */
    struct preview_options options;
    struct json_pick pick;
    struct pick_field fields[PICK_FIELDS_MAX + 1], item_fields[PICK_FIELDS_MAX + 1];
    enum ingest_kind kind; /* of preview_objects() */
    uint64_t items;        /* objects so far, over all documents */
    uint64_t list_items;   /* of this document */
    bool good, dead;
    int64_t at; /* item of the snapshot that is looked at; -1: none */
};

void preview_open(struct preview *p, const struct preview_options *options);

/* One line of input, whole: {"kind":K,"object":{…}}, {"type":T,"kind":K,"object":{…}}, {"heartbeat":{}} or {"snapshot":[…]}.
 * Prints one line; or, on false, nothing. */
bool preview_line(struct preview *p, struct bytes line);

/* What `kubectl get -o json` prints, of any size in pieces: objects of that kind, or lists of them. Prints an Info a line. */
void preview_objects(struct preview *p, enum ingest_kind kind);
bool preview_feed(struct preview *p, struct bytes piece); /* false: it is no JSON; feed no more */
bool preview_end(struct preview *p);                      /* the input has ended: false when anything was wrong */

#endif
