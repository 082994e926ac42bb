/* custom_read: one object into its struct, field by field; a fault is told by the field's path. */
#include "net/format/custom_inside.h"

#include "net/format/go_time.h"
#include "net/format/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MS_NS       INT64_C(1000000)
#define SHOWN_BYTES 48 /* of a wrong value */

struct reader {
    const struct custom *custom;
    void *out;
    struct text *errors;
    bool is_wrong;
};

/* What a status has that is no good is as absent: it is ours to write. */
static void wrong(struct reader *r, const char *path, const char *format, ...) PRINTF_LIKE(3, 4);
static void wrong(struct reader *r, const char *path, const char *format, ...)
{
    va_list arguments;
    if (strncmp(path, "status", strlen("status")) == 0)
        return;
    text_addf(r->errors, "%s%s: ", r->is_wrong ? "\n" : "", path);
    va_start(arguments, format);
    text_addv(r->errors, format, arguments);
    va_end(arguments);
    r->is_wrong = true;
}

/* A value for a message: its beginning, between quotes. */
static const char *shown(const char *text, char out[SHOWN_BYTES + 8])
{
    (void)snprintf(out, SHOWN_BYTES + 8, "\"%.*s%s\"", SHOWN_BYTES, text, strlen(text) > SHOWN_BYTES ? "..." : "");
    return out;
}

/* --- texts --- */
static int64_t characters(const char *text)
{
    int64_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static bool text_fault(const struct custom_row *row, const char *value, struct text *why)
{
    int64_t n = characters(value);
    const char *what = row->check ? row->check(bytes_of(value)) : NULL;
    bool has_bounds = row->least != 0 || row->most != 0;
    if (has_bounds && n < row->least)
        text_addf(why, "%" PRId64 " characters: at least %" PRId64, n, row->least);
    else if (has_bounds && n > row->most)
        text_addf(why, "%" PRId64 " characters: at most %" PRId64, n, row->most);
    else if (what)
        text_add(why, what);
    return why->len > 0;
}

/* False: of another kind, or with a zero in it, or longer than fits: a field is a C text. */
static bool node_text(const struct pick_node *v, char *out, size_t cap)
{
    struct bytes text = pick_text(v);
    if (!v || pick_kind_of(v) != PICK_IS_TEXT || text.len >= cap || memchr(text.at ? (const void *)text.at : "", 0, text.len))
        return false;
    if (text.len > 0)
        memcpy(out, text.at, text.len);
    out[text.len] = 0;
    return true;
}

static void read_text(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    char *field = custom_field(row, r->out), storage[160], show[SHOWN_BYTES + 8];
    struct text why = text_over(storage, sizeof storage);
    if (pick_kind_of(v) != PICK_IS_TEXT)
        wrong(r, row->path, "no text");
    else if (!node_text(v, field, row->bytes))
        wrong(r, row->path, "longer than %zu bytes, or with a zero in it", row->bytes - 1);
    else if (text_fault(row, field, &why)) {
        wrong(r, row->path, "%s: %s", shown(field, show), storage);
        memset(field, 0, row->bytes);
    }
}

/* --- numbers, times --- */
static void fall_back(struct reader *r, const struct custom_row *row)
{
    uint64_t number = 0;
    int64_t ns = 0;
    if (!row->fallback)
        return;
    if (row->type == CUSTOM_TEXT)
        (void)snprintf(custom_field(row, r->out), row->bytes, "%s", row->fallback);
    else if (row->type == CUSTOM_BOOL)
        *(bool *)custom_field(row, r->out) = strcmp(row->fallback, "true") == 0;
    else if (row->type == CUSTOM_DURATION && go_duration_read(bytes_of(row->fallback), &ns))
        *(ms *)custom_field(row, r->out) = ns / MS_NS;
    else if (text_to_u64(bytes_of(row->fallback), &number))
        *(int64_t *)custom_field(row, r->out) = (int64_t)number;
    else
        ASSERT(row->fallback == NULL); /* it is none */
}

static void read_integer(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    int64_t value;
    bool has_bounds = row->least != 0 || row->most != 0;
    if (pick_kind_of(v) != PICK_IS_NUMBER || !pick_to_i64(v, &value))
        wrong(r, row->path, "no whole number");
    else if (row->is_positive && value <= 0)
        fall_back(r, row);
    else if (has_bounds && value < row->least)
        wrong(r, row->path, "%" PRId64 ": at least %" PRId64, value, row->least);
    else if (has_bounds && value > row->most)
        wrong(r, row->path, "%" PRId64 ": at most %" PRId64, value, row->most);
    else if (row->type == CUSTOM_INT32 && (value < INT32_MIN || value > INT32_MAX))
        wrong(r, row->path, "%" PRId64 ": beyond 32 bits", value);
    else
        *(int64_t *)custom_field(row, r->out) = value;
}

static void read_bool(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    if (pick_kind_of(v) != PICK_IS_TRUE && pick_kind_of(v) != PICK_IS_FALSE)
        wrong(r, row->path, "neither true nor false");
    else
        *(bool *)custom_field(row, r->out) = pick_is_true(v);
}

static void read_duration(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    char text[CUSTOM_NAME_MAX], show[SHOWN_BYTES + 8];
    int64_t ns;
    if (pick_kind_of(v) != PICK_IS_TEXT)
        wrong(r, row->path, "no text; write it like \"5m\"");
    else if (!node_text(v, text, sizeof text))
        wrong(r, row->path, "longer than %zu bytes", sizeof text - 1);
    else if (!go_duration_read(bytes_of(text), &ns))
        wrong(r, row->path, "%s: no duration; write it like 30s, 5m or 1h30m", shown(text, show));
    else if (row->is_positive && ns <= 0)
        fall_back(r, row);
    else
        *(ms *)custom_field(row, r->out) = ns / MS_NS + (ns % MS_NS > 0);
}

static bool time_of(const struct pick_node *v, int64_t *out)
{
    char text[64];
    return node_text(v, text, sizeof text) && rfc3339_read(bytes_of(text), out);
}

static void read_time(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    if (!time_of(v, custom_field(row, r->out)))
        wrong(r, row->path, "no time; write it like 2026-11-21T09:51:32Z");
}

/* --- lists --- */
static void read_counts(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    int64_t *field = custom_field(row, r->out);
    for (size_t i = 0; row->keys[i]; i++)
        if (!pick_to_i64(pick_at(v, row->keys[i]), &field[i]))
            field[i] = 0;
}

static bool condition_read(const struct pick_node *v, struct custom_condition *out)
{
    char status[16];
    *out = (struct custom_condition){0};
    if (!node_text(pick_at(v, "type"), out->type, sizeof out->type) ||
        !node_text(pick_at(v, "reason"), out->reason, sizeof out->reason) ||
        !node_text(pick_at(v, "message"), out->message, sizeof out->message) ||
        !node_text(pick_at(v, "status"), status, sizeof status) ||
        !time_of(pick_at(v, "lastTransitionTime"), &out->last_transition_s))
        return false;
    if (!pick_to_i64(pick_at(v, "observedGeneration"), &out->observed_generation))
        out->observed_generation = 0;
    out->status = strcmp(status, "True") == 0 ? CUSTOM_TRUE : strcmp(status, "False") == 0 ? CUSTOM_FALSE : CUSTOM_UNKNOWN;
    return true;
}

static const struct pick_node *list_first(const struct pick_node *v)
{
    return pick_kind_of(v) == PICK_IS_LIST ? pick_first(v) : NULL;
}

static void read_conditions(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    struct custom_conditions *all = custom_field(row, r->out);
    for (const struct pick_node *at = list_first(v); at; at = pick_next(at)) {
        if (all->count == CUSTOM_CONDITIONS_MAX || !condition_read(at, &all->list[all->count]))
            all->more = true;
        else
            all->count++;
    }
}

/* --- the tree --- */
static void read_field(struct reader *r, const struct custom_row *row, const struct pick_node *v)
{
    static void (*const readers[])(struct reader *, const struct custom_row *, const struct pick_node *) = {
        [CUSTOM_TEXT] = read_text,     [CUSTOM_INT32] = read_integer,
        [CUSTOM_INT64] = read_integer, [CUSTOM_BOOL] = read_bool,
        [CUSTOM_TIME] = read_time,     [CUSTOM_DURATION] = read_duration,
        [CUSTOM_COUNTS] = read_counts, [CUSTOM_CONDITIONS] = read_conditions,
    };
    readers[row->type](r, row, v);
}

static void read_fields(struct reader *r, const char *parent, const struct pick_node *object, bool is_there)
{
    for (const struct custom_row *row = NULL; (row = custom_row_next(r->custom, parent, row));) {
        const struct pick_node *v = pick_at(object, custom_row_key(row)); /* null is absent */
        if (!v && row->required && is_there)
            wrong(r, row->path, "missing");
        else if (row->type == CUSTOM_OBJECT && v && pick_kind_of(v) != PICK_IS_OBJECT)
            wrong(r, row->path, "no object");
        else if (row->type == CUSTOM_OBJECT) /* a spec that is absent misses what it must have */
            read_fields(r, row->path, v, v || strcmp(row->path, "spec") == 0);
        else if (!v)
            fall_back(r, row);
        else
            read_field(r, row, v);
    }
}

/* --- metadata --- */
static void read_name(struct reader *r, const struct pick_node *metadata, const char *key, char *out, size_t cap)
{
    char path[32];
    (void)snprintf(path, sizeof path, "metadata.%s", key);
    if (!node_text(pick_at(metadata, key), out, cap) || !*out)
        wrong(r, path, "missing, or longer than %zu bytes", cap - 1);
}

static void read_meta(struct reader *r, const struct pick_node *metadata)
{
    struct custom_meta *m = r->out;
    read_name(r, metadata, "name", m->name, sizeof m->name);
    if (r->custom->is_namespaced)
        read_name(r, metadata, "namespace", m->namespace, sizeof m->namespace);
    read_name(r, metadata, "uid", m->uid, sizeof m->uid);
    read_name(r, metadata, "resourceVersion", m->resource_version, sizeof m->resource_version);
    if (!pick_to_i64(pick_at(metadata, "generation"), &m->generation))
        m->generation = 0;
    m->is_ending = pick_at(metadata, "deletionTimestamp") != NULL;
}

static const struct pick_field meta_fields[] = {
    {"name", PICK_SCALAR, NULL},
    {"namespace", PICK_SCALAR, NULL},
    {"uid", PICK_SCALAR, NULL},
    {"resourceVersion", PICK_SCALAR, NULL},
    {"generation", PICK_SCALAR, NULL},
    {"deletionTimestamp", PICK_PRESENT, NULL},
    {0},
};

const struct pick_field custom_fields[] = {
    {"metadata", PICK_OBJECT, meta_fields},
    {"spec", PICK_ANY, NULL},
    {"status", PICK_ANY, NULL},
    {0},
};

err custom_read(const struct custom *c, const struct pick_node *object, void *out, struct text *errors)
{
    struct reader r = {.custom = c, .out = out, .errors = errors};
    const struct custom_meta *m = out;
    memset(out, 0, c->bytes);
    read_meta(&r, pick_at(object, "metadata"));
    read_fields(&r, "", object, true);
    return r.is_wrong ? trail(E_INVALID, "%s %s/%s", c->kind, m->namespace, m->name) : OK;
}
