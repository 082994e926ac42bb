/* yaml_walk: see yaml_walk.h */
#include "net/format/yaml_walk.h"

#include "board/rt/mem.h"
#include "board/rt/text.h"

err yaml_walk_next(struct yaml_walk *w)
{
    err e = yaml_next(w->yaml, &w->event);
    if (e == OK || e == E_BUDGET)
        return e;
    struct yaml_problem p = yaml_problem(w->yaml);
    w->event.mark = p.mark;
    return w->wrong(w, e, "", p.what ? p.what : "not YAML");
}

err yaml_walk_skip(struct yaml_walk *w)
{
    unsigned depth = 0;
    for (;;) {
        if (w->event.kind == YAML_END)
            return w->wrong(w, E_CONFIG, "", "the file ends too early");
        if (w->event.kind == YAML_MAP || w->event.kind == YAML_LIST)
            depth++;
        else if (w->event.kind != YAML_SCALAR)
            depth--;
        if (depth == 0)
            return OK;
        TRY(yaml_walk_next(w));
    }
}

err yaml_walk_map(struct yaml_walk *w, const char *where, yaml_walk_key *each, void *arg)
{
    char key[YAML_WALK_KEY_MAX];
    if (w->event.kind != YAML_MAP)
        return w->wrong(w, E_CONFIG, where, "not a map of keys");
    for (;;) {
        TRY(yaml_walk_next(w));
        if (w->event.kind == YAML_MAP_END)
            return OK;
        struct text t = text_over(key, sizeof key);
        if (w->event.kind != YAML_SCALAR)
            return w->wrong(w, E_CONFIG, where, "a key is a word");
        text_add_bytes(&t, w->event.text);
        TRY(yaml_walk_next(w));
        TRY(each(arg, t.cut ? "" : key));
    }
}

err yaml_walk_file(struct yaml_walk *w, struct bytes yaml, const char *where, yaml_walk_key *each, void *arg)
{
    mem_wipe_freed(true); /* the parser's copies of keys */
    err e = yaml_open(yaml, &w->yaml);
    if (e == OK)
        e = yaml_walk_next(w);
    if (e == OK)
        e = yaml_walk_map(w, where, each, arg);
    yaml_close(w->yaml);
    w->yaml = NULL;
    mem_wipe_freed(false);
    return e;
}
