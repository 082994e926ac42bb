#include "config/load.h"

#include "config/suggest.h"
#include "config/value.h"

#include <string.h>

#define WORDS_MAX 320 /* of one message: what is wrong and what to do */

static size_t row_index(const struct loader *l, const struct config_row *r)
{
    return (size_t)(r - l->schema->rows);
}

/* --- telling --- */
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

static void tell_at(struct loader *l, struct yaml_mark mark, const char *path, const char *words)
{
    if (!tell_start(l))
        return;
    text_addf(l->errors, "%s:%u:%u: ", l->file_name, mark.line, mark.column);
    tell_words(l, path, words);
}

static void tell_environment(struct loader *l, const struct config_row *r, const char *words)
{
    char name[CONFIG_PATH_MAX + 16];
    if (!tell_start(l))
        return;
    (void)row_environment(r, name);
    text_addf(l->errors, "%s: ", name);
    tell_words(l, r->path, words);
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
    size_t index = row_index(l, r);
    bool placed = l->row[index].mark.line > 0;
    if (l->row[index].origin == FROM_ENVIRONMENT)
        tell_environment(l, r, storage);
    else
        tell_at(l, placed ? l->row[index].mark : (struct yaml_mark){1, 1}, path, storage);
}

/* --- reading on --- */
static err next(struct loader *l, struct yaml_event *event)
{
    err e = yaml_next(l->yaml, event);
    if (e != OK)
        tell_at(l, yaml_problem(l->yaml).mark, "", yaml_problem(l->yaml).what);
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
        TRY(next(l, &inner));
    }
}

static err skip_wrong(struct loader *l, const struct yaml_event *event, const char *path, const char *words)
{
    tell_at(l, event->mark, path, words);
    return skip(l, event);
}

static bool is_null(const struct yaml_event *event)
{
    return event->kind == YAML_SCALAR && event->plain &&
           (event->text.len == 0 || bytes_equal_text(event->text, "~") || bytes_equal_text(event->text, "null"));
}

/* The value is of another kind than the row wants. */
static err wrong_kind(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    const char *got = event->kind == YAML_MAP ? "a map of keys" : event->kind == YAML_LIST ? "a list" : "one value";
    if (is_null(event))
        text_add(&words, "has no value; write one or remove the key");
    else
        text_addf(&words, "is %s, not %s; %s", got, config_type_name(r->type), config_type_how(r->type));
    return skip_wrong(l, event, r->path, storage);
}

/* --- values --- */
static err load_map(struct loader *l, const char *prefix, void *base, struct yaml_mark start);

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
        tell_at(l, event->mark, r->path, storage);
    else if (r->unique && is_taken(l, r, base))
        tell_at(l, event->mark, r->path, "is that of an earlier item too; give each its own");
    return OK;
}

static err too_many(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    char storage[WORDS_MAX];
    struct text words = text_over(storage, sizeof storage);
    text_addf(&words, "has more than %lld items; remove some", (long long)r->most);
    return skip_wrong(l, event, r->path, storage);
}

static err load_string_item(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    unsigned *count = (unsigned *)(void *)((char *)l->config + r->count_offset);
    char storage[WORDS_MAX], path[CONFIG_PATH_MAX];
    struct text words = text_over(storage, sizeof storage), name = text_over(path, sizeof path);
    text_addf(&name, "%s[%u]", r->path, l->item);
    if (event->kind != YAML_SCALAR || is_null(event))
        return skip_wrong(l, event, path,
                          is_null(event) ? "is empty; write it or remove the item" : "is not a text; write a text");
    if (value_set_text(r, (char *)l->config + r->offset + *count * r->bytes, event->text, &words))
        (*count)++;
    else
        tell_at(l, event->mark, path, storage);
    return OK;
}

static void set_fallbacks(const struct loader *l, const char *list_path, void *base)
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

static err load_object_item(struct loader *l, const struct config_row *r, const struct yaml_event *event)
{
    unsigned *count = (unsigned *)(void *)((char *)l->config + r->count_offset);
    char prefix[CONFIG_PATH_MAX];
    struct text t = text_over(prefix, sizeof prefix);
    text_addf(&t, "%s[]", r->path);
    void *item = (char *)l->config + r->offset + *count * r->bytes;
    if (event->kind != YAML_MAP)
        return skip_wrong(l, event, prefix, "is not a map of keys; write its keys after the -");
    (*count)++;
    set_fallbacks(l, prefix, item);
    for (size_t i = 0; i < l->schema->count; i++)
        if (strncmp(l->schema->rows[i].path, prefix, t.len) == 0)
            l->row[i].seen = false;
    return load_map(l, prefix, item, event->mark);
}

static err load_list(struct loader *l, const struct config_row *r, const struct yaml_event *start)
{
    struct yaml_event event;
    if (start->kind != YAML_LIST)
        return wrong_kind(l, r, start);
    for (unsigned index = 0;; index++) {
        TRY(next(l, &event));
        if (event.kind == YAML_LIST_END)
            return OK;
        l->item = index;
        if (index >= r->most)
            TRY(index == r->most ? too_many(l, r, &event) : skip(l, &event));
        else
            TRY(r->type == CONFIG_STRINGS ? load_string_item(l, r, &event) : load_object_item(l, r, &event));
    }
}

static err load_value(struct loader *l, const struct config_row *r, void *base)
{
    struct yaml_event event;
    TRY(next(l, &event));
    l->row[row_index(l, r)].origin = FROM_FILE;
    l->row[row_index(l, r)].mark = event.mark;
    if (config_type_is_scalar(r->type))
        return load_scalar(l, r, base, &event);
    if (r->type != CONFIG_SECTION)
        return load_list(l, r, &event);
    if (event.kind == YAML_MAP)
        return load_map(l, r->path, base, event.mark);
    return is_null(&event) ? OK : wrong_kind(l, r, &event); /* a section whose keys are all commented out */
}

/* --- maps --- */
/* A near word of this map, or the same word elsewhere, or what there is. */
static void unknown_words(const struct loader *l, const char *prefix, struct bytes key, struct text *out)
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
    if (r && !l->row[row_index(l, r)].seen) {
        l->row[row_index(l, r)].seen = true;
        return load_value(l, r, base);
    }
    if (r)
        text_addf(&words, "given twice, first on line %u; keep one", l->row[row_index(l, r)].mark.line);
    else if (l->error_count < CONFIG_ERRORS_MAX) /* a file of nothing else would take long */
        unknown_words(l, prefix, key->text, &words);
    tell_at(l, key->mark, path, storage);
    TRY(next(l, &value));
    return skip(l, &value);
}

static void tell_missing(struct loader *l, const char *prefix, struct yaml_mark start)
{
    char storage[WORDS_MAX];
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        struct text words = text_over(storage, sizeof storage);
        if (!r->required || l->row[i].seen || !row_is_child(r, prefix))
            continue;
        text_addf(&words, "required and missing; add \"%s:", row_key(r));
        if (r->least == r->most && r->most != 0)
            text_addf(&words, " %lld", (long long)r->most);
        text_add(&words, "\"");
        tell_at(l, start, r->path, storage);
    }
}

static err load_map(struct loader *l, const char *prefix, void *base, struct yaml_mark start)
{
    struct yaml_event key;
    for (;;) {
        TRY(next(l, &key));
        if (key.kind == YAML_MAP_END)
            break;
        if (key.kind == YAML_SCALAR) {
            TRY(load_key(l, prefix, base, &key));
            continue;
        }
        TRY(skip_wrong(l, &key, prefix, "a key must be a text; put it in quotes"));
        TRY(next(l, &key));
        TRY(skip(l, &key));
    }
    tell_missing(l, prefix, start);
    return OK;
}

static err load_document(struct loader *l)
{
    struct yaml_event event;
    TRY(next(l, &event));
    if (event.kind == YAML_END || is_null(&event)) {
        tell_at(l, (struct yaml_mark){1, 1}, "", "the file is empty; start it with \"version: 1\"");
        return OK;
    }
    if (event.kind == YAML_MAP)
        TRY(load_map(l, "", l->config, event.mark));
    else
        TRY(skip_wrong(l, &event, "", "the file is not a map of keys; start it with \"version: 1\""));
    return next(l, &event); /* a second document or what is left over */
}

/* --- environment --- */
static const char *environment_find(const char *const environment[], const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; environment && environment[i]; i++)
        if (strncmp(environment[i], name, length) == 0 && environment[i][length] == '=')
            return environment[i] + length + 1;
    return NULL;
}

static void load_environment(struct loader *l)
{
    char name[CONFIG_PATH_MAX + 16], storage[WORDS_MAX];
    for (size_t i = 0; i < l->schema->count; i++) {
        const struct config_row *r = &l->schema->rows[i];
        struct text words = text_over(storage, sizeof storage);
        const char *value = row_environment(r, name) ? environment_find(l->environment, name) : NULL;
        if (!value || !*value)
            continue;
        l->row[i].origin = FROM_ENVIRONMENT;
        if (!value_set(r, l->config, bytes_of(value), true, &words))
            tell_environment(l, r, storage);
    }
}

_Static_assert(CONFIG_BYTES_MAX <= YAML_BYTES_MAX, "else the limit told is not the one that holds");

/* Too large, or no memory to begin with. */
static err refuse_file(struct loader *l, err e, const char *words)
{
    tell_at(l, (struct yaml_mark){1, 1}, "", words);
    return e;
}

static err load_file(struct loader *l, struct bytes yaml)
{
    if (yaml.len > CONFIG_BYTES_MAX)
        return refuse_file(l, E_CONFIG, "the file is larger than 255 KiB; nothing here needs that");
    if (yaml_open(yaml, &l->yaml) != OK)
        return refuse_file(l, E_BUDGET, "no memory left to read it; shorten the file");
    set_fallbacks(l, NULL, l->config);
    err e = load_document(l);
    yaml_close(l->yaml);
    return e;
}

err load(struct loader *l, struct bytes yaml)
{
    err e = load_file(l, yaml);
    if (e == OK)
        load_environment(l);
    if (e == OK && l->error_count == 0 && l->schema->rules)
        l->schema->rules(l->config, l);
    if (l->error_count > CONFIG_ERRORS_MAX)
        text_addf(l->errors, "%s: and %u more\n", l->file_name, l->error_count - CONFIG_ERRORS_MAX);
    return e == OK && l->error_count > 0 ? E_CONFIG : e;
}
