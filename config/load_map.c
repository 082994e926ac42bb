/* load_map: from events to fields: maps, lists, scalars. */
#include "config/load_inside.h"

#include "config/suggest.h"
#include "config/value.h"

#include <string.h>

/* --- reading on --- */
err load_next(struct loader *l, struct yaml_event *event)
{
    err e = yaml_next(l->yaml, event);
    if (e != OK)
        load_tell_at(l, yaml_problem(l->yaml).mark, "", yaml_problem(l->yaml).what);
    return e;
}

/* Passes over what `event` began. */
static err skip(struct loader *l, const struct yaml_event *event)
{
    struct yaml_event inner = *event;
    for (int depth = 0;;) { /* ends with the document, which is bounded */
        if (inner.kind == YAML_MAP || inner.kind == YAML_LIST)
            depth++;
        if (inner.kind == YAML_MAP_END || inner.kind == YAML_LIST_END)
            depth--;
        if (depth == 0)
            return OK;
        TRY(load_next(l, &inner));
    }
}

err load_skip_wrong(struct loader *l, const struct yaml_event *event, const char *path, const char *words)
{
    load_tell_at(l, event->mark, path, words);
    return skip(l, event);
}

/* The value is of another kind than the row wants. */
static err wrong_kind(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    const char *got = event->kind == YAML_MAP ? "a map of keys" : event->kind == YAML_LIST ? "a list" : "one value";
    if (yaml_is_null(event))
        text_add(&words, "has no value; write one or remove the key");
    else
        text_addf(&words, "is %s, not %s; %s", got, config_type_name(r->type), config_type_how(r->type));
    return load_skip_wrong(l, event, r->path, storage);
}

/* --- values --- */
/* A value that must differ from that of the items before. */
static bool is_taken(const struct loader *l, const struct config_row *r, const void *base)
{
    const struct config_row *list = NULL;
    for (size_t i = 0; i < l->schema->count && !list; i++)
        if (l->schema->rows[i].type == CONFIG_OBJECTS &&
            strncmp(l->schema->rows[i].path, r->path, strlen(l->schema->rows[i].path)) == 0)
            list = &l->schema->rows[i];
    const unsigned *count = list ? (const unsigned *)(const void *)((const char *)l->config + list->count_offset) : NULL;
    for (unsigned i = 0; count && i + 1 < *count; i++) /* the last is this one */
        if (strcmp((const char *)l->config + list->offset + i * list->bytes + r->offset, (const char *)base + r->offset) == 0)
            return true;
    return false;
}

static err load_scalar(struct loader *l, const struct config_row *r, void *base, const struct yaml_event *event)
{
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    if (event->kind != YAML_SCALAR)
        return wrong_kind(l, r, event);
    if (!value_set(r, base, event->text, event->plain, &words))
        load_tell_at(l, event->mark, r->path, storage);
    else if (r->unique && is_taken(l, r, base))
        load_tell_at(l, event->mark, r->path, "is that of an earlier item too; give each its own");
    return OK;
}

static err too_many(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    text_addf(&words, "has more than %lld items; remove some", (long long)r->most);
    return load_skip_wrong(l, event, r->path, storage);
}

static err load_string_item(struct loader *l, const struct config_row *r, void *base, unsigned index,
                            const struct yaml_event *event)
{
    unsigned *count = (unsigned *)(void *)((char *)base + r->count_offset);
    char storage[WORDS_MAX], path[CONFIG_PATH_MAX];
    struct text words = text_over(storage, sizeof storage), name = text_over(path, sizeof path);
    text_addf(&name, "%s[%u]", r->path, index);
    if (event->kind != YAML_SCALAR || yaml_is_null(event))
        return load_skip_wrong(l, event, path,
                               yaml_is_null(event) ? "is empty; write it or remove the item" : "is not a text; write a text");
    if (value_set_text(r, (char *)base + r->offset + *count * r->bytes, event->text, &words))
        (*count)++;
    else
        load_tell_at(l, event->mark, path, storage);
    return OK;
}

/* A choice nobody made is none of them. */
static void choices_unset(const struct loader *l, const char *prefix, void *item)
{
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        if (r->type == CONFIG_CHOICE && !r->fallback && strncmp(r->path, prefix, strlen(prefix)) == 0)
            *(int *)(void *)((char *)item + r->offset) = -1;
    }
}

static err load_object_item(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    unsigned *count = (unsigned *)(void *)((char *)l->config + r->count_offset);
    char prefix[CONFIG_PATH_MAX];
    struct text t = text_over(prefix, sizeof prefix);
    text_addf(&t, "%s[]", r->path);
    void *item = (char *)l->config + r->offset + *count * r->bytes;
    if (event->kind != YAML_MAP)
        return load_skip_wrong(l, event, prefix, "is not a map of keys; write its keys after the -");
    (*count)++;
    load_fallbacks(l, prefix, item);
    choices_unset(l, prefix, item);
    for (size_t i = 0; i < l->schema->count; i++)
        if (strncmp(l->schema->rows[i].path, prefix, t.len) == 0)
            l->row[i].seen = false;
    unsigned wrong_before = l->error_count;
    TRY(load_map(l, prefix, item, event->mark));
    if (l->schema->item_rules && l->error_count == wrong_before)
        l->schema->item_rules(item, r, l);
    return OK;
}

static err load_list(struct loader *l, const struct config_row *r, void *base, const struct yaml_event *start)
{
    struct yaml_event event;
    if (start->kind != YAML_LIST)
        return wrong_kind(l, r, start);
    for (unsigned index = 0;; index++) {
        TRY(load_next(l, &event));
        if (event.kind == YAML_LIST_END)
            return OK;
        if (r->type == CONFIG_OBJECTS)
            l->item = index;
        if (index >= r->most)
            TRY(index == r->most ? too_many(l, r, &event) : skip(l, &event));
        else
            TRY(r->type == CONFIG_STRINGS ? load_string_item(l, r, base, index, &event) : load_object_item(l, r, &event));
    }
}

static err load_value(struct loader *l, const struct config_row *r, void *base)
{
    struct yaml_event event;
    TRY(load_next(l, &event));
    l->row[load_row_index(l, r)].origin = FROM_FILE;
    l->row[load_row_index(l, r)].mark = event.mark;
    if (config_type_is_scalar(r->type))
        return load_scalar(l, r, base, &event);
    if (r->type != CONFIG_SECTION)
        return load_list(l, r, base, &event);
    if (event.kind == YAML_MAP)
        return load_map(l, r->path, base, event.mark);
    return yaml_is_null(&event) ? OK : wrong_kind(l, r, &event); /* a section whose keys are all commented out */
}

void load_fallbacks(const struct loader *l, const char *list_path, void *base)
{
    char storage[WORDS_MAX];
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        bool wanted = list_path ? row_is_in_item(r) && strncmp(r->path, list_path, strlen(list_path)) == 0 : !row_is_in_item(r);
        struct text words = text_over(storage, sizeof storage);
        if (wanted && r->fallback)
            ASSERT(value_set(r, base, bytes_of(r->fallback), true, &words));
    }
}

/* --- maps --- */
/* prefix.key, with what cannot be printed replaced: false when it is no key of ours anyway. */
static bool path_join(const char *prefix, struct bytes key, struct text *out)
{
    bool plain = key.len > 0;
    text_addf(out, "%s%s", prefix, *prefix ? "." : "");
    for (size_t i = 0; i < key.len && i < SUGGEST_BYTES_MAX; i++) {
        bool printable = key.at[i] > ' ' && key.at[i] < 0x7F && key.at[i] != '[' && key.at[i] != ']';
        text_addf(out, "%c", printable ? key.at[i] : '?');
        plain = plain && printable && key.at[i] != '.';
    }
    text_add(out, key.len > SUGGEST_BYTES_MAX ? "..." : "");
    return plain && key.len <= SUGGEST_BYTES_MAX && !out->cut;
}

static err load_key(struct loader *l, const char *prefix, void *base, const struct yaml_event *key)
{
    char path[CONFIG_PATH_MAX], storage[WORDS_MAX];
    struct text name = text_over(path, sizeof path), words = text_over(storage, sizeof storage);
    struct yaml_event value;
    bool plain = path_join(prefix, key->text, &name);
    const struct config_row *r = plain ? row_find(l->schema, path) : NULL;
    if (r && !l->row[load_row_index(l, r)].seen) {
        l->row[load_row_index(l, r)].seen = true;
        return load_value(l, r, base);
    }
    if (r)
        text_addf(&words, "given twice, first on line %u; keep one", l->row[load_row_index(l, r)].mark.line);
    else if (l->error_count < CONFIG_ERRORS_MAX) /* a file of nothing else would take long */
        load_unknown_words(l, prefix, key->text, &words);
    load_tell_at(l, key->mark, path, storage);
    TRY(load_next(l, &value));
    return skip(l, &value);
}

err load_map(struct loader *l, const char *prefix, void *base, struct yaml_mark start)
{
    struct yaml_event key;
    for (;;) {
        TRY(load_next(l, &key));
        if (key.kind == YAML_MAP_END)
            break;
        if (key.kind == YAML_SCALAR) {
            TRY(load_key(l, prefix, base, &key));
            continue;
        }
        TRY(load_skip_wrong(l, &key, prefix, "a key must be a text; put it in quotes"));
        TRY(load_next(l, &key));
        TRY(skip(l, &key));
    }
    load_tell_missing(l, prefix, base, start);
    load_tell_foreign(l, prefix, base);
    return OK;
}
