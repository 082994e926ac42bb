#include "config/print.h"

#include "config/value.h"

struct printer {
    const struct schema *schema;
    const void *config;
    struct text *out;
    bool dash; /* the next line starts a list item */
};

static void print_map(struct printer *p, const char *prefix, const void *base, int indent);

static void print_key(struct printer *p, const struct config_row *r, int indent)
{
    text_addf(p->out, "%*s%s%s:", p->dash ? indent - 2 : indent, "", p->dash ? "- " : "", row_key(r));
    p->dash = false;
}

static unsigned list_count(const struct config_row *r, const void *base)
{
    return *(const unsigned *)(const void *)((const char *)base + r->count_offset);
}

static void print_strings(struct printer *p, const struct config_row *r, const void *base, int indent)
{
    for (unsigned i = 0; i < list_count(r, base); i++) {
        text_addf(p->out, "%*s- ", indent + 2, "");
        value_print_quoted((const char *)base + r->offset + i * r->bytes, p->out);
        text_add(p->out, "\n");
    }
}

static void print_objects(struct printer *p, const struct config_row *r, int indent)
{
    char prefix[CONFIG_PATH_MAX];
    struct text t = text_over(prefix, sizeof prefix);
    text_addf(&t, "%s[]", r->path);
    for (unsigned i = 0; i < list_count(r, p->config); i++) {
        p->dash = true;
        print_map(p, prefix, (const char *)p->config + r->offset + i * r->bytes, indent + 4);
    }
}

/* Without a default, and nothing given. A number of 0 is as good as absent where there is none: every, retention. */
static bool is_unset_scalar(const struct config_row *r, const void *base)
{
    const char *field = (const char *)base + r->offset;
    if (config_type_is_text(r->type))
        return *field == 0;
    bool number = r->type == CONFIG_INTEGER || r->type == CONFIG_DURATION || r->type == CONFIG_SIZE;
    return number && !r->fallback && !r->required && *(const int64_t *)(const void *)field == 0;
}

static bool is_unset(const struct printer *p, const struct config_row *r, const void *base)
{
    if (config_type_is_scalar(r->type))
        return is_unset_scalar(r, base);
    if (r->type != CONFIG_SECTION) /* lists are printed as [], but those of an item */
        return row_is_in_item(r) && list_count(r, base) == 0;
    bool all = true;
    for (size_t i = 0; all && i < p->schema->count; i++)
        if (row_is_child(&p->schema->rows[i], r->path))
            all = is_unset(p, &p->schema->rows[i], base);
    return all;
}

static void print_row(struct printer *p, const struct config_row *r, const void *base, int indent)
{
    if (!row_applies(p->schema, r, base) || is_unset(p, r, base))
        return;
    print_key(p, r, indent);
    if (config_type_is_scalar(r->type)) {
        text_add(p->out, " ");
        value_print(r, base, true, p->out);
    } else if (r->type != CONFIG_SECTION && list_count(r, base) == 0) {
        text_add(p->out, " []");
    }
    text_add(p->out, "\n");
    if (r->type == CONFIG_SECTION)
        print_map(p, r->path, base, indent + 2);
    else if (r->type == CONFIG_STRINGS)
        print_strings(p, r, base, indent);
    else if (r->type == CONFIG_OBJECTS)
        print_objects(p, r, indent);
}

static void print_map(struct printer *p, const char *prefix, const void *base, int indent)
{
    for (size_t i = 0; i < p->schema->count; i++)
        if (row_is_child(&p->schema->rows[i], prefix))
            print_row(p, &p->schema->rows[i], base, indent);
}

void print_yaml(const struct schema *s, const void *config, struct text *out)
{
    struct printer p = {.schema = s, .config = config, .out = out};
    print_map(&p, "", config, 0);
}

/* --- reference --- */
static void print_type(const struct config_row *r, struct text *out)
{
    if (r->type != CONFIG_CHOICE)
        text_add(out, config_type_name(r->type));
    for (size_t i = 0; r->type == CONFIG_CHOICE && r->choices[i]; i++)
        text_addf(out, "%s`%s`", i ? ", " : "", r->choices[i]);
}

static void print_bounds(const struct config_row *r, struct text *out)
{
    if (config_type_is_text(r->type)) {
        text_addf(out, "at most %zu bytes%s", r->bytes - 1, r->unique ? ", unique" : "");
    } else if (!config_type_is_scalar(r->type)) {
        text_addf(out, "at most %lld", (long long)r->most);
    } else if (r->least != 0 || r->most != 0) {
        value_print_number(r->type, r->least, out);
        if (r->most != r->least) {
            text_add(out, " to ");
            value_print_number(r->type, r->most, out);
        }
    }
}

static void print_reference_row(const struct config_row *r, struct text *out)
{
    char name[CONFIG_PATH_MAX + 16];
    bool code = !r->required && r->fallback;
    text_addf(out, "| `%s` | ", r->path);
    print_type(r, out);
    text_addf(out, " | %s%s%s | ", code ? "`" : "",
              r->required   ? "required"
              : r->fallback ? r->fallback
                            : "none",
              code ? "`" : "");
    print_bounds(r, out);
    if (row_environment(r, name))
        text_addf(out, " | `%s` | %s |\n", name, r->help);
    else
        text_addf(out, " | | %s |\n", r->help);
}

void print_reference(const struct schema *s, struct text *out)
{
    text_add(out, "| Key | Type | Default | Bounds | Environment | What it is |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i].type != CONFIG_SECTION)
            print_reference_row(&s->rows[i], out);
}

void config_print(const struct config *c, struct text *out)
{
    print_yaml(&config_schema, c, out);
}

void config_reference(struct text *out)
{
    print_reference(&config_schema, out);
}
