/* custom_patch: what differs between two statuses, as a JSON merge patch (RFC 7396). */
#include "net/format/custom_inside.h"

#include "net/format/json_write.h"

#include <stdio.h>
#include <string.h>

/* --- what differs --- */
static enum custom_change worse(enum custom_change a, enum custom_change b)
{
    return a > b ? a : b;
}

static enum custom_change times_differ(int64_t old, int64_t new)
{
    return old == new ? CUSTOM_SAME : old != 0 && new != 0 ? CUSTOM_TIMES : CUSTOM_CHANGED;
}

static enum custom_change condition_differs(const struct custom_condition *a, const struct custom_condition *b)
{
    if (strcmp(a->type, b->type) != 0 || strcmp(a->reason, b->reason) != 0 || strcmp(a->message, b->message) != 0 ||
        a->status != b->status || a->observed_generation != b->observed_generation)
        return CUSTOM_CHANGED;
    return times_differ(a->last_transition_s, b->last_transition_s);
}

static enum custom_change conditions_differ(const struct custom_conditions *a, const struct custom_conditions *b)
{
    enum custom_change change = CUSTOM_SAME;
    if (a->count != b->count)
        return CUSTOM_CHANGED;
    for (unsigned i = 0; i < a->count; i++)
        change = worse(change, condition_differs(&a->list[i], &b->list[i]));
    return change;
}

static enum custom_change differs(const struct custom_row *r, const void *old, const void *new)
{
    const void *a = custom_field_of(r, old), *b = custom_field_of(r, new);
    switch (r->type) {
    case CUSTOM_OBJECT:
        return CUSTOM_SAME; /* what is in it has rows of its own */
    case CUSTOM_TEXT:
        return strcmp(a, b) != 0 ? CUSTOM_CHANGED : CUSTOM_SAME;
    case CUSTOM_TIME:
        return times_differ(*(const int64_t *)a, *(const int64_t *)b);
    case CUSTOM_CONDITIONS:
        return conditions_differ(a, b);
    case CUSTOM_INT32:
    case CUSTOM_INT64:
    case CUSTOM_BOOL:
    case CUSTOM_DURATION:
    case CUSTOM_COUNTS:
        break;
    }
    return memcmp(a, b, r->bytes) != 0 ? CUSTOM_CHANGED : CUSTOM_SAME;
}

static enum custom_change differs_within(const struct custom *c, const char *parent, const void *old, const void *new)
{
    enum custom_change change = CUSTOM_SAME;
    for (const struct custom_row *r = c->rows; r < c->rows + c->row_count; r++)
        if (custom_row_within(r, parent))
            change = worse(change, differs(r, old, new));
    return change;
}

/* --- the patch --- */
struct patch {
    const struct custom *custom;
    const void *old, *new;
    struct json_writer json;
};

static void put_integer(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    if (value == 0)
        json_null(w);
    else
        json_i64(w, value);
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
    json_put_text(w, key, *value ? value : NULL); /* NULL is null */
}

static void put_time(struct json_writer *w, const char *key, int64_t epoch_s)
{
    char text[TIME_TEXT_MAX] = "";
    if (epoch_s != 0)
        text_rfc3339(epoch_s, text, sizeof text);
    put_text(w, key, text);
}

static void put_counts(struct json_writer *w, const struct custom_row *r, const int64_t *old, const int64_t *new)
{
    json_key(w, custom_row_key(r));
    json_object(w);
    for (size_t i = 0; r->keys[i]; i++)
        if (old[i] != new[i])
            put_integer(w, r->keys[i], new[i]);
    json_object_end(w);
}

static void put_condition(struct json_writer *w, const struct custom_condition *c)
{
    json_object(w);
    json_put_text(w, "type", c->type);
    json_put_text(w, "status", custom_status_name(c->status));
    if (c->observed_generation != 0)
        json_put_i64(w, "observedGeneration", c->observed_generation);
    put_time(w, "lastTransitionTime", c->last_transition_s);
    json_put_text(w, "reason", c->reason);
    json_put_text(w, "message", c->message);
    json_object_end(w);
}

static void put_conditions(struct json_writer *w, const char *key, const struct custom_conditions *all)
{
    json_key(w, key);
    json_array(w);
    for (unsigned i = 0; i < all->count; i++)
        put_condition(w, &all->list[i]);
    json_array_end(w);
}

static void put_fields(struct patch *p, const char *parent);

static void put_field(struct patch *p, const struct custom_row *r)
{
    const void *field = custom_field_of(r, p->new);
    const char *key = custom_row_key(r);
    switch (r->type) {
    case CUSTOM_OBJECT:
        json_key(&p->json, key);
        json_object(&p->json);
        put_fields(p, r->path);
        json_object_end(&p->json);
        break;
    case CUSTOM_TEXT:
        put_text(&p->json, key, field);
        break;
    case CUSTOM_BOOL:
        json_put_bool(&p->json, key, *(const bool *)field);
        break;
    case CUSTOM_TIME:
        put_time(&p->json, key, *(const int64_t *)field);
        break;
    case CUSTOM_COUNTS:
        put_counts(&p->json, r, custom_field_of(r, p->old), field);
        break;
    case CUSTOM_CONDITIONS:
        put_conditions(&p->json, key, field);
        break;
    case CUSTOM_INT32:
    case CUSTOM_INT64:
        put_integer(&p->json, key, *(const int64_t *)field);
        break;
    case CUSTOM_DURATION:
        ASSERT(r->type != CUSTOM_DURATION); /* a status has moments */
        break;
    }
}

static bool is_concerned(const struct patch *p, const struct custom_row *r)
{
    return (r->type == CUSTOM_OBJECT ? differs_within(p->custom, r->path, p->old, p->new) : differs(r, p->old, p->new)) !=
           CUSTOM_SAME;
}

static void put_fields(struct patch *p, const char *parent)
{
    for (const struct custom_row *r = NULL; (r = custom_row_next(p->custom, parent, r));)
        if (is_concerned(p, r))
            put_field(p, r);
}

/* A list is replaced as a whole: what of it is not in here would be gone. */
static err conditions_are_whole(const struct patch *p)
{
    for (const struct custom_row *r = p->custom->rows; r < p->custom->rows + p->custom->row_count; r++)
        if (r->type == CUSTOM_CONDITIONS && is_concerned(p, r) &&
            ((const struct custom_conditions *)custom_field_of(r, p->old))->more)
            return trail(E_RANGE, "%s has conditions of others that are too many or too long to be kept; remove them", r->path);
    return OK;
}

static void put_all(struct patch *p)
{
    const struct custom_meta *m = p->old;
    struct json_writer *w = &p->json;
    json_object(w);
    json_key(w, "metadata");
    json_object(w);
    json_put_text(w, "resourceVersion", m->resource_version);
    json_object_end(w);
    json_key(w, "status");
    json_object(w);
    put_fields(p, "status");
    json_object_end(w);
    json_object_end(w);
}

err custom_patch(const struct custom *c, const void *old, const void *new, struct text *out, enum custom_change *change)
{
    struct patch p = {.custom = c, .old = old, .new = new, .json = json_write_to(out)};
    const struct custom_meta *m = old;
    *change = differs_within(c, "status", old, new);
    if (*change == CUSTOM_SAME)
        return OK;
    TRY(conditions_are_whole(&p));
    put_all(&p);
    if (json_done(&p.json))
        return OK;
    return trail(E_RANGE, "the status of %s %s/%s has more than %zu bytes", c->kind, m->namespace, m->name, out->cap);
}
