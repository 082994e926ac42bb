/* schema: what a configuration may hold, as rows; loader, defaults, environment, print and reference all come from them.
 *
 * Layer    config, and nobody outside it.   Blocks   never.   Memory   static tables.   Errors   none. */
#ifndef HOLDFAST_CONFIG_SCHEMA_H
#define HOLDFAST_CONFIG_SCHEMA_H

#include "config/config.h"

#define CONFIG_ROWS_MAX 200
#define CONFIG_PATH_MAX 96 /* of a key: "backup.destinations[0].name" */

/*        type      what it is called         how it is written; the field in the struct */
#define CONFIG_TYPE_TABLE(X)                                                                                                     \
    X(SECTION, "a map of keys", "put its keys below it, indented")                            /* none */                         \
    X(STRING, "a text", "write a text")                                                       /* char[] */                       \
    X(PATH, "a path", "write a path")                                                         /* char[], begins with a slash */  \
    X(BOOL, "true or false", "write true or false")                                           /* bool */                         \
    X(INTEGER, "a whole number", "write digits")                                              /* int64_t */                      \
    X(DURATION, "a duration", "write it like 500ms, 30s, 5m, 1h30m or 2d")                    /* ms */                           \
    X(SIZE, "a size", "write it like 65536, 64KiB, 16MiB or 4MB")                             /* int64_t, bytes */               \
    X(ADDRESS, "an address", "write it like 127.0.0.1:9464, [::1]:9464, :9464 or unix:/path") /* struct addr */                  \
    X(CHOICE, "a choice", "choose one")                                                       /* int, its index */               \
    X(STRINGS, "a list", "write it like [a, b]")                                              /* char[][] and unsigned */        \
    X(OBJECTS, "a list of maps", "start each with -")                                         /* struct[] and unsigned */

enum config_type {
#define X(type, name, how) CONFIG_##type,
    CONFIG_TYPE_TABLE(X)
#undef X
};

struct config_row {
    const char *path; /* "backup.destinations[].name": [] stands for each item; one [] at most; an item may have lists of texts */
    const char *help;
    const char *fallback;                     /* as one would write it; NULL: none */
    const char *const *choices;               /* of a CHOICE; NULL ends */
    const char *(*check)(struct bytes value); /* of a text or each in a list; NULL fine, else "is what it is; what to do" */
    size_t offset, bytes;                     /* of the field in the struct, or in the item; of a list: bytes of one item */
    size_t count_offset;                      /* of a list: its unsigned, in the struct, or in the item */
    int64_t least, most;                      /* INTEGER, DURATION (ms), SIZE (bytes), items of a list; both 0: no bounds */
    enum config_type type;
    unsigned kinds;        /* in an item with a `type`: bits 1 << type of those that have this key; 0: all */
    bool required, unique; /* unique: among the items of its list */
    bool file_only;        /* not from the environment */
    bool secret;           /* may hold one: never shown in what is told of it */
};

struct loader;
struct schema {
    const struct config_row *rows; /* a section before what is in it */
    size_t count, bytes;           /* rows; of the struct */
    /* Both may be NULL. Across the fields of an item of a list, once each is good; and of all, once each and every item is. They
     * tell with load_wrong(), and set what follows from other fields. */
    void (*item_rules)(void *item, const struct config_row *list, struct loader *l);
    void (*rules)(void *config, struct loader *l);
};

extern const struct schema config_schema;
void config_rules(void *config, struct loader *l);     /* config_schema's; in config.c */
void ingest_rules(struct config *c, struct loader *l); /* of kubernetes and ingest, in ingest_rules.c */
void config_item_rules(void *item, const struct config_row *list, struct loader *l);

const char *config_type_name(enum config_type t); /* "a duration" */
const char *config_type_how(enum config_type t);
bool config_type_is_scalar(enum config_type t);
bool config_type_is_text(enum config_type t);                      /* STRING, PATH */
const char *row_key(const struct config_row *r);                   /* the last word of its path */
bool row_is_child(const struct config_row *r, const char *prefix); /* directly in "" or "backup" or "backup.destinations[]" */
bool row_is_in_item(const struct config_row *r);
/* False: the item at `base` has a `type` that does not have this key, or none that is known. */
bool row_applies(const struct schema *s, const struct config_row *r, const void *base);
const struct config_row *row_find(const struct schema *s, const char *path);
/* HOLDFAST_BACKUP_EVERY; false: cannot be set from the environment. */
bool row_environment(const struct config_row *r, char out[CONFIG_PATH_MAX + 16]);

#endif
