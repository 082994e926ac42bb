/* load: the file as a whole, then the environment, then the rules. */
#include "config/load_inside.h"

#include "config/value.h"

#include <string.h>

static err load_document(struct loader *l)
{
    struct yaml_event event;
    TRY(load_next(l, &event));
    if (event.kind == YAML_END || yaml_is_null(&event)) {
        load_tell_at(l, (struct yaml_mark){1, 1}, "", "the file is empty; start it with \"version: 1\"");
        return OK;
    }
    if (event.kind == YAML_MAP)
        TRY(load_map(l, "", l->config, event.mark));
    else
        TRY(load_skip_wrong(l, &event, "", "the file is not a map of keys; start it with \"version: 1\""));
    return load_next(l, &event); /* a second document or what is left over */
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
            load_tell_environment(l, r, storage);
    }
}

_Static_assert(CONFIG_BYTES_MAX <= YAML_BYTES_MAX, "else the limit told is not the one that holds");

/* Too large, or no memory to begin with. */
static err refuse_file(struct loader *l, err e, const char *words)
{
    load_tell_at(l, (struct yaml_mark){1, 1}, "", words);
    return e;
}

static err load_file(struct loader *l, struct bytes yaml)
{
    if (yaml.len > CONFIG_BYTES_MAX)
        return refuse_file(l, E_CONFIG, "the file is larger than 255 KiB; nothing here needs that");
    if (yaml_open(yaml, &l->yaml) != OK)
        return refuse_file(l, E_BUDGET, "no memory left to read it; shorten the file");
    load_fallbacks(l, NULL, l->config);
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
