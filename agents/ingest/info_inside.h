/* info_inside: what the tables of info.c are made of: rows and the functions that write one.
 *
 * Layer    agents, ingest; of info*.c only.   Blocks   never.   Owner   info_write() owns struct info while it runs. */
#ifndef HOLDFAST_INGEST_INFO_INSIDE_H
#define HOLDFAST_INGEST_INFO_INSIDE_H

#include "agents/ingest/info.h"
#include "net/format/json_write.h"

struct info {
    struct json_writer w;
    const struct pick_node *object; /* the whole of it */
    err error;                      /* the first */
};

/* One field: its name in the Info, where it is in the object ("" the object itself), how it is written or left out. */
struct info_row;
typedef void info_value(struct info *i, const struct info_row *row, const struct pick_node *node);
struct info_row {
    const char *name; /* NULL ends the table */
    const char *path;
    info_value *write;
    const struct info_row *rows; /* of what is nested */
};

void info_rows(struct info *i, const struct info_row *rows, const struct pick_node *object);
void info_fail(struct info *i, err e); /* keeps the first */

/* --- in info_value.c: always written --- */
info_value put_text, put_number, put_number_or_one, put_bool, put_quantity, put_time, put_count, put_object, put_true, put_false;
/* --- left out when empty --- */
info_value add_text, add_port, add_number, add_bool, add_quantity, add_time, add_map, add_annotations, add_keys, add_texts,
    add_names, add_objects, add_object;

/* --- rows that more than one file has --- */
extern const struct info_row info_pod_rows[], info_node_rows[]; /* info_pod.c, info_node.c */
#define INFO_UID_NAME                                                                                                            \
    {"uid", "metadata.uid", put_text, NULL},                                                                                     \
    {                                                                                                                            \
        "name", "metadata.name", put_text, NULL                                                                                  \
    }
#define INFO_NAMESPACE                                                                                                           \
    {                                                                                                                            \
        "namespace", "metadata.namespace", put_text, NULL                                                                        \
    }
#define INFO_LABELS                                                                                                              \
    {"labels", "metadata.labels", add_map, NULL},                                                                                \
    {                                                                                                                            \
        "annotations", "metadata.annotations", add_annotations, NULL                                                             \
    }
#define INFO_CREATED                                                                                                             \
    {                                                                                                                            \
        "k8s_created_at", "metadata.creationTimestamp", put_time, NULL                                                           \
    }

/* --- names in byte order --- */
struct sorted_entry {
    struct bytes key;
    const struct pick_node *node;
};
#define SORTED_FEW 32
struct sorted {
    struct sorted_entry few[SORTED_FEW];
    struct sorted_entry *at; /* few, or from the heap */
    size_t count, cap;
    size_t steps; /* names that sorted_find() compared */
};
/* Room for cap entries. false: told by info_fail(); there is nothing to close. */
bool sorted_open(struct info *i, struct sorted *s, size_t cap);
void sorted_add(struct sorted *s, struct bytes key, const struct pick_node *node);
void sorted_sort(struct sorted *s);
const struct pick_node *sorted_find(struct sorted *s, struct bytes key); /* sorted: the first of that key; NULL: none */
void sorted_close(struct sorted *s);

#endif
