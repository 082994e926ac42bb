/* load_tell: what is wrong, where, and what to do, as lines. */
#include "config/load_inside.h"

#include "config/suggest.h"

#include <string.h>

size_t load_row_index(const struct loader *l, const struct config_row *r)
{
    return (size_t)(r - l->schema->rows);
}

/* "backup.destinations[].name" with the index of the item that is being read. */
static void path_tell(const struct loader *l, const char *path, struct text *out)
{
    const char *brackets = strstr(path, "[]");
    size_t head = brackets ? (size_t)(brackets - path) : strlen(path);
    text_add_bytes(out, (struct bytes){(const uint8_t *)path, head});
    if (brackets)
        text_addf(out, "[%u]%s", l->item, brackets + 2);
}

/* True: there is room for one more; the caller adds the rest of the line and the newline. */
static bool tell_start(struct loader *l)
{
    return l->error_count++ < CONFIG_ERRORS_MAX;
}

static void tell_words(struct loader *l, const char *path, const char *words)
{
    if (*path) {
        path_tell(l, path, l->errors);
        text_add(l->errors, ": ");
    }
    text_add(l->errors, words);
    text_add(l->errors, "\n");
}

void load_tell_at(struct loader *l, struct yaml_mark mark, const char *path, const char *words)
{
    if (!tell_start(l))
        return;
    text_addf(l->errors, "%s:%u:%u: ", l->file_name, mark.line, mark.column);
    tell_words(l, path, words);
}

void load_tell_environment(struct loader *l, const struct config_row *r, const char *words)
{
    char name[CONFIG_PATH_MAX + 16];
    if (!tell_start(l))
        return;
    (void)row_environment(r, name);
    text_addf(l->errors, "%s: ", name);
    tell_words(l, r->path, words);
}

static size_t given_index(const struct loader *l, const char *path)
{
    const struct config_row *r = row_find(l->schema, path);
    ASSERT(r);
    return load_row_index(l, r);
}

bool load_is_given(const struct loader *l, const char *path)
{
    size_t i = given_index(l, path);
    return l->row[i].seen || l->row[i].origin == FROM_ENVIRONMENT;
}

bool load_is_later(const struct loader *l, const char *path, const char *than)
{
    size_t a = given_index(l, path), b = given_index(l, than);
    if (l->row[a].origin != l->row[b].origin)
        return l->row[a].origin > l->row[b].origin;
    struct yaml_mark at = l->row[a].mark, other = l->row[b].mark;
    return at.line != other.line ? at.line > other.line : at.column > other.column;
}

void load_wrong(struct loader *l, const char *path, const char *format, ...)
{
    const struct config_row *r = row_find(l->schema, path);
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    va_list arguments;
    va_start(arguments, format);
    text_addv(&words, format, arguments);
    va_end(arguments);
    ASSERT(r);
    size_t index = load_row_index(l, r);
    bool placed = l->row[index].mark.line > 0;
    if (l->row[index].origin == FROM_ENVIRONMENT)
        load_tell_environment(l, r, storage);
    else
        load_tell_at(l, placed ? l->row[index].mark : (struct yaml_mark){1, 1}, path, storage);
}

/* A near word of this map, or the same word elsewhere, or what there is. */
void load_unknown_words(const struct loader *l, const char *prefix, struct bytes key, struct text *out)
{
    struct suggestion near = suggest_start(key);
    const char *elsewhere = NULL;
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        if (row_is_child(r, prefix))
            suggest_offer(&near, row_key(r));
        if (!elsewhere && bytes_equal_text(key, row_key(r)))
            elsewhere = r->path;
    }
    text_add(out, "unknown key; ");
    if (near.best || elsewhere) {
        text_addf(out, "did you mean \"%s\"?", near.best ? near.best : elsewhere);
        return;
    }
    text_add(out, "known here:");
    const char *between = " ";
    for (size_t i = 0; i < l->schema->count; i++)
        if (row_is_child(&l->schema->rows[i], prefix)) {
            text_addf(out, "%s%s", between, row_key(&l->schema->rows[i]));
            between = ", ";
        }
}

/* Nothing is told of an item whose type is not known: that is told already. */
static bool kind_is_known(const struct loader *l, const struct config_row *r, const void *base)
{
    struct config_row any = *r;
    any.kinds = ~0U;
    return row_applies(l->schema, &any, base);
}

void load_tell_foreign(struct loader *l, const char *prefix, const void *base)
{
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        if (r->kinds && l->row[i].seen && row_is_child(r, prefix) && kind_is_known(l, r, base) &&
            !row_applies(l->schema, r, base))
            load_tell_at(l, l->row[i].mark, r->path, "this type does not have it; remove it, or change the type");
    }
}

void load_tell_missing(struct loader *l, const char *prefix, const void *base, struct yaml_mark start)
{
    char storage[WORDS_MAX];
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        struct text words = text_over(storage, sizeof storage);
        if (!r->required || l->row[i].seen || !row_is_child(r, prefix) || !row_applies(l->schema, r, base))
            continue;
        text_addf(&words, "required and missing; add \"%s:", row_key(r));
        if (r->least == r->most && r->most != 0)
            text_addf(&words, " %lld", (long long)r->most);
        text_add(&words, "\"");
        load_tell_at(l, start, r->path, storage);
    }
}
