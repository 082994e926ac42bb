/* agents_refused: ObsykAgents that are more than this board can follow: each is told so in its status, however many there are.
 * The cluster remembers them: they are listed, the first few of those that were not told yet are, in the order of their names,
 * and again, until none is left. */
#include "agents/ingest/agents_internal.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 4

struct walk {
    struct agents *a;
    char words[CUSTOM_ERRORS_BYTES]; /* what they are told */
    struct obsyk_agent is, next;
    struct agent_name last; /* all up to it were told, or could not be */
    struct agent_name names[AT_ONCE];
    unsigned count;
};

/* --- who --- */

static int order(const struct agent_name *a, const struct agent_name *b)
{
    int by_space = strcmp(a->name_space, b->name_space);
    return by_space ? by_space : strcmp(a->name, b->name);
}

/* The first ones behind the last. */
static void keep(struct walk *w, const struct agent_name *n)
{
    if (order(n, &w->last) <= 0 || (w->count == AT_ONCE && order(n, &w->names[AT_ONCE - 1]) >= 0))
        return;
    unsigned i = w->count < AT_ONCE ? w->count++ : AT_ONCE - 1;
    for (; i > 0 && order(n, &w->names[i - 1]) < 0; i--)
        w->names[i] = w->names[i - 1];
    w->names[i] = *n;
}

static bool is_told(const struct obsyk_agent *is, const char *words)
{
    const struct custom_condition *c = custom_condition_find(&is->conditions, "Degraded");
    return c && strcmp(c->reason, "TooManyAgents") == 0 && strcmp(c->message, words) == 0 &&
           c->observed_generation == is->meta.generation;
}

static err read_one(struct walk *w, const struct pick_node *object)
{
    char storage[CUSTOM_ERRORS_BYTES];
    struct text errors = text_over(storage, sizeof storage);
    err e = custom_read(&obsyk_agent_resource, object, &w->is, &errors);
    if (e != OK)
        trail_clear();
    return e == E_INVALID ? OK : e;
}

static err take_item(void *arg, const struct kube_item *item)
{
    struct walk *w = arg;
    struct agent_name n;
    if (item->oversized || read_one(w, item->object) != OK) /* told in the log, by who follows them */
        return OK;
    (void)snprintf(n.name_space, sizeof n.name_space, "%s", w->is.meta.namespace);
    (void)snprintf(n.name, sizeof n.name, "%s", w->is.meta.name);
    if (!agents_find(w->a, &w->is.meta) && !is_told(&w->is, w->words))
        keep(w, &n);
    return OK;
}

static err find_some(struct walk *w)
{
    char path[KUBE_PATH_MAX];
    struct kube_page *page = calloc(1, sizeof *page);
    struct kube_list list = {
        .path = path, .fields = custom_fields, .arena = w->a->arena, .arena_bytes = AGENTS_ARENA, .item = take_item, .arg = w};
    w->count = 0;
    ASSERT(kube_path(&agents_resource, NULL, NULL, NULL, path));
    err e = page ? kube_list_all(w->a->in->kube, &list, page, loop_now() + INGEST_ASK_MS_MAX) : E_BUDGET;
    free(page);
    return e;
}

/* --- and what --- */

static err tell_one(struct walk *w, const struct agent_name *n)
{
    char path[KUBE_PATH_MAX];
    struct kube_into into = {.fields = custom_fields, .arena = w->a->arena, .arena_bytes = AGENTS_ARENA};
    if (!kube_path(&agents_resource, n->name_space, n->name, NULL, path))
        return OK;
    TRY(kube_ask(w->a->in->kube, KUBE_GET, path, (struct bytes){0}, &into, loop_now() + INGEST_ASK_MS_MAX));
    TRY(read_one(w, into.object));
    if (agents_find(w->a, &w->is.meta)) /* a place became free meanwhile */
        return OK;
    w->next = w->is;
    TRY(obsyk_agent_set(&w->next, OBSYK_TOO_MANY_AGENTS, w->words, loop_wall_ms() / 1000));
    return agents_write_status(w->a, &w->is, &w->next);
}

static err tell_some(struct walk *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        err e = tell_one(w, &w->names[i]);
        if (e == E_CANCELED)
            return e;
        if (e != OK && e != E_ABSENT)
            log_warn("the status of an ObsykAgent cannot be written", F("namespace", w->names[i].name_space),
                     F("name", w->names[i].name), F_ERR(e));
        trail_clear();
        w->last = w->names[i];
    }
    return OK;
}

static err tell_all(struct agents *a, struct walk *w)
{
    w->a = a;
    (void)snprintf(w->words, sizeof w->words, "This hub's board follows %u ObsykAgent%s; remove another, or use a larger profile",
                   a->slot_count, a->slot_count == 1 ? "" : "s");
    do {
        TRY(find_some(w));
        TRY(tell_some(w));
    } while (w->count > 0); /* the last one grows each time */
    return OK;
}

err agents_tell_refused(struct agents *a)
{
    if (!a->refused)
        return OK;
    a->refused = false; /* a list or a change may say so again while we wait */
    struct walk *w = calloc(1, sizeof *w);
    err e = w ? tell_all(a, w) : E_BUDGET;
    free(w);
    if (e == OK || e == E_CANCELED)
        return e;
    log_warn("ObsykAgents that are too many cannot be told so; it is tried again", F_ERR(e));
    trail_clear();
    a->refused = true;
    return OK;
}
