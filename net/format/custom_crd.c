/* custom_crd: the CustomResourceDefinition as YAML. Texts are written in double quotes, as JSON has them, which YAML reads. */
#include "net/format/custom_inside.h"

#include "net/format/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *schema, *format;
} types[] = {
#define X(type, schema, format) [CUSTOM_##type] = {schema, format},
    CUSTOM_TYPE_TABLE(X)
#undef X
};

/* --- lines --- */
struct page {
    const struct custom *custom;
    struct text *out;
    unsigned depth; /* two blanks each */
};

static void line(struct page *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void line(struct page *p, const char *format, ...)
{
    va_list arguments;
    text_addf(p->out, "%*s", (int)(2 * p->depth), "");
    va_start(arguments, format);
    text_addv(p->out, format, arguments);
    va_end(arguments);
    text_add(p->out, "\n");
}

static void begin(struct page *p, const char *key)
{
    line(p, "%s:", key);
    p->depth++;
}

static void end(struct page *p)
{
    p->depth--;
}

static void quoted(struct page *p, const char *key, const char *value)
{
    char storage[KIB(1)];
    struct text t = text_over(storage, sizeof storage);
    struct json_writer w = json_write_to(&t);
    json_text(&w, value);
    ASSERT(json_done(&w)); /* a table's text */
    line(p, "%s: %s", key, storage);
}

/* --- what a field is --- */
static bool has_bounds(const struct custom_row *r)
{
    return r->least != 0 || r->most != 0;
}

static void bounds(struct page *p, const struct custom_row *r)
{
    bool is_text = r->type == CUSTOM_TEXT;
    if (r->pattern)
        quoted(p, "pattern", r->pattern);
    if (!has_bounds(r))
        return;
    line(p, "%s: %" PRId64, is_text ? "minLength" : "minimum", r->least);
    line(p, "%s: %" PRId64, is_text ? "maxLength" : "maximum", r->most);
}

static void counts(struct page *p, const struct custom_row *r)
{
    begin(p, "properties");
    for (const char *const *key = r->keys; *key; key++)
        line(p, "%s: {type: integer, format: int32}", *key);
    end(p);
}

/* The schema of metav1.Condition in k8s.io/apimachinery, and the list's merging by type. */
static void conditions(struct page *p)
{
    static const char *const lines[] = {
        "x-kubernetes-list-type: map",
        "x-kubernetes-list-map-keys: [type]",
        "items:",
        "  type: object",
        "  required: [lastTransitionTime, message, reason, status, type]",
        "  properties:",
        "    lastTransitionTime: {type: string, format: date-time}",
        "    message: {type: string, maxLength: 32768}",
        "    observedGeneration: {type: integer, format: int64, minimum: 0}",
        "    reason: {type: string, minLength: 1, maxLength: 1024, pattern: \"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$\"}",
        "    status: {type: string, enum: [\"True\", \"False\", \"Unknown\"]}",
        ("    type: {type: string, maxLength: 316, pattern: "
         "\"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
         ")?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$\"}"),
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        line(p, "%s", lines[i]);
}

static void required(struct page *p, const char *parent)
{
    char storage[512];
    struct text t = text_over(storage, sizeof storage);
    for (const struct custom_row *r = NULL; (r = custom_row_next(p->custom, parent, r));)
        if (r->required)
            text_addf(&t, "%s%s", t.len ? ", " : "", custom_row_key(r));
    ASSERT(!t.cut);
    if (t.len)
        line(p, "required: [%s]", storage);
}

static void field(struct page *p, const struct custom_row *r);

static void fields(struct page *p, const char *parent)
{
    for (const struct custom_row *r = NULL; (r = custom_row_next(p->custom, parent, r));)
        field(p, r);
}

static void field(struct page *p, const struct custom_row *r)
{
    begin(p, custom_row_key(r));
    quoted(p, "description", r->help);
    line(p, "type: %s", types[r->type].schema);
    if (types[r->type].format)
        line(p, "format: %s", types[r->type].format);
    if (r->fallback && strcmp(types[r->type].schema, "string") == 0)
        quoted(p, "default", r->fallback);
    else if (r->fallback)
        line(p, "default: %s", r->fallback);
    bounds(p, r);
    if (r->type == CUSTOM_CONDITIONS)
        conditions(p);
    else if (r->type == CUSTOM_COUNTS)
        counts(p, r);
    else if (r->type == CUSTOM_OBJECT) {
        required(p, r->path);
        begin(p, "properties");
        fields(p, r->path);
        end(p);
    }
    end(p);
}

/* --- the document --- */
static void names(struct page *p)
{
    const struct custom *c = p->custom;
    begin(p, "names");
    line(p, "kind: %s", c->kind);
    line(p, "listKind: %s", c->list_kind);
    line(p, "plural: %s", c->plural);
    line(p, "singular: %s", c->singular);
    if (c->short_names) {
        line(p, "shortNames:");
        for (const char *const *name = c->short_names; *name; name++)
            line(p, "- %s", *name);
    }
    end(p);
}

static void columns(struct page *p)
{
    const struct custom *c = p->custom;
    if (c->column_count == 0)
        return;
    begin(p, "additionalPrinterColumns");
    for (size_t i = 0; i < c->column_count; i++)
        line(p, "- {name: %s, type: %s, jsonPath: %s}", c->columns[i].name, c->columns[i].type, c->columns[i].path);
    end(p);
}

static void schema(struct page *p)
{
    begin(p, "schema");
    begin(p, "openAPIV3Schema");
    quoted(p, "description", p->custom->help);
    line(p, "type: object");
    required(p, "");
    begin(p, "properties");
    line(p, "apiVersion: {type: string}");
    line(p, "kind: {type: string}");
    line(p, "metadata: {type: object}");
    fields(p, "");
    end(p);
    end(p);
    end(p);
}

void custom_crd(const struct custom *c, struct text *out)
{
    struct page p = {.custom = c, .out = out};
    line(&p, "apiVersion: apiextensions.k8s.io/v1");
    line(&p, "kind: CustomResourceDefinition");
    line(&p, "metadata: {name: %s.%s}", c->plural, c->group);
    begin(&p, "spec");
    line(&p, "group: %s", c->group);
    names(&p);
    line(&p, "scope: %s", c->is_namespaced ? "Namespaced" : "Cluster");
    begin(&p, "versions");
    line(&p, "- name: %s", c->version);
    p.depth++;
    line(&p, "served: true");
    line(&p, "storage: true");
    columns(&p);
    schema(&p);
    if (custom_row_next(c, "status", NULL))
        line(&p, "subresources: {status: {}}");
}
