/* load: fills a struct from YAML and the environment as a schema has it, and tells all that is wrong.
 *
 * Layer    config, and nobody outside it.       Blocks   never.
 * Owner    the caller owns everything given.    Memory   the caller's, and yaml_read.h's.
 * Errors   those of config.h. */
#ifndef HOLDFAST_CONFIG_LOAD_H
#define HOLDFAST_CONFIG_LOAD_H

#include "config/schema.h"
#include "net/format/yaml_read.h"

enum origin { FROM_FALLBACK, FROM_FILE, FROM_ENVIRONMENT };

struct loader {
    const struct schema *schema;
    void *config; /* schema->bytes, zeroed */
    const char *file_name;
    const char *const *environment;
    const struct config_zones *zones; /* for rules; NULL: none */
    struct zone zone;                 /* where rules put what they found: too much for a fiber's stack */
    struct text *errors;
    unsigned error_count;
    struct yaml *yaml;
    unsigned item; /* index, as written, of the list item being read */
    struct {
        enum origin origin;
        struct yaml_mark mark; /* of its value */
        bool seen;             /* in the map being read */
    } row[CONFIG_ROWS_MAX];
};

/* OK: every field is good and the rules hold. */
MUST_USE err load(struct loader *l, struct bytes yaml);
/* For rules: was it given, and, of two that were, is `path` the one given later? The environment is later than the file. In an
 * item's rules: in this item. */
bool load_is_given(const struct loader *l, const char *path);
bool load_is_later(const struct loader *l, const char *path, const char *than);
/* For rules: tells what is wrong with a key, where its value was given. */
void load_wrong(struct loader *l, const char *path, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
