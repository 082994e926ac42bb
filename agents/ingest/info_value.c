/* info_value: one field of an Info, by its kind of value. put_… writes it always, add_… leaves it out when it is empty. */
#include "agents/ingest/info_inside.h"
#include "net/format/quantity.h"
#include "net/format/rfc3339.h"

#include <stdlib.h>
#include <string.h>

void info_fail(struct info *i, err e)
{
    i->error = i->error ? i->error : e;
}

static void wrong(struct info *i, const struct info_row *row, const char *what)
{
    info_fail(i, trail(E_INVALID, "%s is no %s", row->path, what));
}

void info_rows(struct info *i, const struct info_row *rows, const struct pick_node *object)
{
    for (; rows->name; rows++)
        rows->write(i, rows, *rows->path ? pick_at(object, rows->path) : object);
}

/* --- texts --- */
void put_text(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_key(&i->w, row->name);
    json_bytes(&i->w, pick_text(node));
}

void add_text(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (pick_text(node).len > 0)
        put_text(i, row, node);
}

/* IntOrString, as text; absent it is the number 0. */
void add_port(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (node)
        add_text(i, row, node);
    else
        json_put_text(&i->w, row->name, "0");
}

/* --- numbers and truth --- */
static int64_t number_of(struct info *i, const struct info_row *row, const struct pick_node *node, int64_t absent)
{
    int64_t value = absent;
    if (node && (pick_kind_of(node) != PICK_IS_NUMBER || !pick_to_i64(node, &value)))
        wrong(i, row, "whole number");
    return value;
}

void put_number(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_put_i64(&i->w, row->name, number_of(i, row, node, 0));
}

void put_number_or_one(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_put_i64(&i->w, row->name, number_of(i, row, node, 1));
}

void add_number(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    int64_t value = number_of(i, row, node, 0);
    if (value != 0)
        json_put_i64(&i->w, row->name, value);
}

void put_count(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_put_u64(&i->w, row->name, pick_count(node));
}

void put_bool(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_put_bool(&i->w, row->name, pick_is_true(node));
}

/* An explicit false is written. */
void add_bool(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (node)
        put_bool(i, row, node);
}

void put_true(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    (void)node;
    json_put_bool(&i->w, row->name, true);
}

void put_false(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    (void)node;
    json_put_bool(&i->w, row->name, false);
}

/* --- quantities and times --- */
void put_quantity(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    char canonical[QUANTITY_TEXT_MAX] = "0";
    if (node && !quantity_canonical(pick_text(node), canonical))
        wrong(i, row, "quantity");
    json_put_text(&i->w, row->name, canonical);
}

void add_quantity(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (node)
        put_quantity(i, row, node);
}

static int64_t time_of(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    int64_t at_s = RFC3339_ZERO_S;
    if (node && !rfc3339_read(pick_text(node), &at_s))
        wrong(i, row, "RFC 3339 time");
    return at_s;
}

static void time_write(struct info *i, const char *name, int64_t at_s)
{
    char text[TIME_TEXT_MAX];
    text_rfc3339(at_s, text, sizeof text);
    json_put_text(&i->w, name, text);
}

void put_time(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    time_write(i, row->name, time_of(i, row, node));
}

void add_time(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    int64_t at_s = time_of(i, row, node);
    if (at_s != RFC3339_ZERO_S)
        time_write(i, row->name, at_s);
}

/* --- in byte order --- */
bool sorted_open(struct info *i, struct sorted *s, size_t cap)
{
    s->count = s->steps = 0;
    s->cap = cap;
    s->at = cap <= SORTED_FEW ? s->few : malloc(cap * sizeof *s->at);
    if (!s->at)
        info_fail(i, trail(E_BUDGET, "sorting %zu names", cap));
    return s->at != NULL;
}

void sorted_close(struct sorted *s)
{
    if (s->at != s->few)
        free(s->at);
}

void sorted_add(struct sorted *s, struct bytes key, const struct pick_node *node)
{
    ASSERT(s->count < s->cap);
    s->at[s->count++] = (struct sorted_entry){key, node};
}

static int compare(struct bytes left, struct bytes right)
{
    size_t len = size_min(left.len, right.len);
    int order = len ? memcmp(left.at, right.at, len) : 0;
    return order ? order : (left.len > right.len) - (left.len < right.len);
}

/* Equal ones stay in the order of the text: nodes come one behind the other. */
static int by_bytes(const void *a, const void *b)
{
    const struct sorted_entry *left = a, *right = b;
    int order = compare(left->key, right->key);
    return order ? order : ((uintptr_t)left->node > (uintptr_t)right->node) - ((uintptr_t)left->node < (uintptr_t)right->node);
}

void sorted_sort(struct sorted *s)
{
    if (s->count > 1)
        qsort(s->at, s->count, sizeof *s->at, by_bytes);
}

const struct pick_node *sorted_find(struct sorted *s, struct bytes key)
{
    size_t from = 0, to = s->count; /* none below `from` is it, none from `to` on comes before it */
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        s->steps++;
        if (compare(s->at[middle].key, key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < s->count && bytes_equal(s->at[from].key, key) ? s->at[from].node : NULL;
}

/* The children of a map or of keys; those that keep() lets in. */
static bool sorted_children(struct info *i, struct sorted *s, const struct pick_node *node, bool (*keep)(struct bytes key))
{
    if (!sorted_open(i, s, pick_count(node)))
        return false;
    for (const struct pick_node *n = pick_first(node); n; n = pick_next(n))
        if (!keep || keep(pick_key(n)))
            sorted_add(s, pick_key(n), n);
    sorted_sort(s);
    return true;
}

static void map_write(struct info *i, const char *name, const struct sorted *s)
{
    if (s->count == 0)
        return;
    json_key(&i->w, name);
    json_object(&i->w);
    for (size_t n = 0; n < s->count; n++) {
        json_key_bytes(&i->w, s->at[n].key);
        json_bytes(&i->w, pick_text(s->at[n].node));
    }
    json_object_end(&i->w);
}

void add_map(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct sorted s;
    if (!sorted_children(i, &s, node, NULL))
        return;
    map_write(i, row->name, &s);
    sorted_close(&s);
}

static bool starts_with(struct bytes b, const char *prefix)
{
    size_t len = strlen(prefix);
    return b.len >= len && memcmp(b.at, prefix, len) == 0;
}

/* Section 3.0.1: these two, at the start; app.kubernetes.io/… is another. */
static bool annotation_stays(struct bytes key)
{
    return !starts_with(key, "kubectl.kubernetes.io/") && !starts_with(key, "kubernetes.io/");
}

void add_annotations(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct sorted s;
    if (!sorted_children(i, &s, node, annotation_stays))
        return;
    map_write(i, row->name, &s);
    sorted_close(&s);
}

void add_keys(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct sorted s;
    if (pick_count(node) == 0 || !sorted_children(i, &s, node, NULL))
        return;
    json_key(&i->w, row->name);
    json_array(&i->w);
    for (size_t n = 0; n < s.count; n++)
        json_bytes(&i->w, s.at[n].key);
    json_array_end(&i->w);
    sorted_close(&s);
}

/* --- lists and what is nested --- */
static void list_write(struct info *i, const struct info_row *row, const struct pick_node *node, const char *path)
{
    if (!pick_first(node))
        return;
    json_key(&i->w, row->name);
    json_array(&i->w);
    for (const struct pick_node *n = pick_first(node); n; n = pick_next(n))
        json_bytes(&i->w, pick_text(path ? pick_at(n, path) : n));
    json_array_end(&i->w);
}

void add_texts(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    list_write(i, row, node, NULL);
}

void add_names(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    list_write(i, row, node, "name");
}

void put_object(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    json_key(&i->w, row->name);
    json_object(&i->w);
    info_rows(i, row->rows, node);
    json_object_end(&i->w);
}

void add_object(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (node)
        put_object(i, row, node);
}

void add_objects(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    if (!pick_first(node))
        return;
    json_key(&i->w, row->name);
    json_array(&i->w);
    for (const struct pick_node *n = pick_first(node); n; n = pick_next(n)) {
        json_object(&i->w);
        info_rows(i, row->rows, n);
        json_object_end(&i->w);
    }
    json_array_end(&i->w);
}
