/* agents: ObsykAgents: each one's settings become an outlet, its Secret the credentials; what comes of it is told in its status.
 */
#include "agents/ingest/agents_internal.h"

#include "board/rt/log.h"
#include "board/rt/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_MS    SECONDS(30) /* after what failed */
#define OPEN_MS_MAX SECONDS(60)
#define SYNC_LEAST  SECONDS(1) /* between two heartbeats, whatever is asked for */

const struct kube_resource agents_resource = {"obsyk.io", "v1", "obsykagents", true};

err agents_open(struct ingest *in, struct agents **out)
{
    *out = NULL;
    struct agents *a = calloc(1, sizeof *a + in->limits->agents * sizeof a->slots[0]);
    if (!a)
        return E_BUDGET;
    a->in = in;
    a->arena = malloc(AGENTS_ARENA);
    a->slot_count = in->limits->agents;
    if (!a->arena) {
        agents_close(a);
        return E_BUDGET;
    }
    *out = a;
    return OK;
}

void agents_close(struct agents *a)
{
    if (!a)
        return;
    if (a->arena)
        wipe(a->arena, AGENTS_ARENA);
    free(a->arena);
    free(a);
}

/* --- from the cluster: in the fiber that reads it; never waits for the one that acts --- */

struct agent *agents_find(struct agents *a, const struct custom_meta *meta)
{
    for (unsigned i = 0; i < a->slot_count; i++) {
        struct agent *s = &a->slots[i];
        if (s->used && strcmp(s->incoming.meta.name, meta->name) == 0 && strcmp(s->incoming.meta.namespace, meta->namespace) == 0)
            return s;
    }
    return NULL;
}

static struct agent *find_room(struct agents *a)
{
    for (unsigned i = 0; i < a->slot_count; i++)
        if (!a->slots[i].used) {
            a->slots[i] = (struct agent){.used = true};
            return &a->slots[i];
        }
    return NULL;
}

static bool is_same_spec(const struct obsyk_agent *is, const struct custom_meta *meta)
{
    return is->meta.generation == meta->generation && strcmp(is->meta.uid, meta->uid) == 0;
}

static err upsert(struct agents *a, const struct pick_node *object)
{
    char storage[CUSTOM_ERRORS_BYTES];
    struct text errors = text_over(storage, sizeof storage);
    struct obsyk_agent *read = calloc(1, sizeof *read);
    if (!read)
        return E_BUDGET;
    err e = custom_read(&obsyk_agent_resource, object, read, &errors);
    struct agent *s = e == OK || e == E_INVALID ? agents_find(a, &read->meta) : NULL;
    if (!s && (e == OK || e == E_INVALID)) {
        s = find_room(a);
        a->refused = a->refused || !s; /* one more than this board has room for: it is told so */
    }
    bool told_only = s && s->followed && is_same_spec(&s->incoming, &read->meta);
    if (s) {
        s->incoming = *read;
        s->changed = true;
        s->listed = true;
        (void)snprintf(s->wrong, sizeof s->wrong, "%s", e == E_INVALID ? storage : "");
    }
    free(read);
    if (e == E_INVALID)
        trail_clear();
    if (!told_only) /* our own status is no reason to write it again */
        bell_ring(&a->in->agents_bell);
    return e == E_INVALID ? OK : e;
}

/* It is there, so it is not taken for deleted; what it said before stays in force. */
static err pass_over(struct agents *a, const struct pick_node *object)
{
    for (unsigned i = 0; i < a->slot_count; i++)
        if (a->slots[i].used && bytes_equal_text(pick_text_at(object, "metadata.uid"), a->slots[i].incoming.meta.uid))
            a->slots[i].listed = true;
    log_error("an ObsykAgent is too large to be read: what it says is not followed",
              F_BYTES("namespace", pick_text_at(object, "metadata.namespace")),
              F_BYTES("name", pick_text_at(object, "metadata.name")), F_U64("bytes_max", AGENTS_ARENA));
    return OK;
}

static err take_item(void *arg, const struct kube_item *item)
{
    struct agents *a = arg;
    err e = item->oversized ? pass_over(a, item->object) : upsert(a, item->object);
    if (e != E_CORRUPT)
        return e;
    log_error("an ObsykAgent cannot be read", F_ERR(e));
    trail_clear();
    return OK;
}

static void forget_the_others(struct agents *a)
{
    for (unsigned i = 0; i < a->slot_count; i++)
        if (a->slots[i].used && !a->slots[i].listed)
            a->slots[i].deleted = true;
    bell_ring(&a->in->agents_bell);
}

err agents_list(struct agents *a)
{
    struct ingest *in = a->in;
    char path[KUBE_PATH_MAX];
    struct kube_page *page = calloc(1, sizeof *page);
    struct kube_list list = {.path = path,
                             .fields = custom_fields,
                             .arena = malloc(AGENTS_ARENA),
                             .arena_bytes = AGENTS_ARENA,
                             .item = take_item,
                             .arg = a};
    err e = page && list.arena ? OK : E_BUDGET;
    ASSERT(kube_path(&agents_resource, NULL, NULL, NULL, path));
    for (unsigned i = 0; i < a->slot_count; i++)
        a->slots[i].listed = false;
    if (e == OK)
        e = kube_list_all(in->kube, &list, page, loop_now() + INGEST_ASK_MS_MAX);
    if (e == OK) {
        forget_the_others(a);
        a->again = false;
        e = kube_watch_look(in->watches, INGEST_AGENT_TAG).there
                ? kube_watch_restart(in->watches, INGEST_AGENT_TAG, page->resource_version)
                : kube_watch_add(in->watches, path, page->resource_version, custom_fields, INGEST_AGENT_TAG);
    }
    free(list.arena);
    free(page);
    a->again_at = loop_now() + AGAIN_MS;
    return e == OK ? OK : trail(e, "listing ObsykAgents");
}

static void list_again(struct agents *a)
{
    a->again = true;
    a->again_at = 0;
}

err agents_take(struct agents *a, const struct kube_event *event)
{
    bool is_state = event->of == KUBE_EVENT_ADDED || event->of == KUBE_EVENT_MODIFIED;
    if (is_state)
        return take_item(a, &(struct kube_item){.object = event->object, .oversized = event->type == KUBE_EVENT_OVERSIZED});
    if (event->of == KUBE_EVENT_DELETED || event->of == KUBE_EVENT_GONE)
        list_again(a); /* a place may be free for one that was refused */
    return OK;
}

bool agents_want_list(const struct agents *a)
{
    return a && a->again && loop_now() >= a->again_at;
}

/* --- what follows from it: in their own fiber --- */

static void settings_of(const struct obsyk_agent *r, struct outlet_settings *out)
{
    *out = (struct outlet_settings){.sync_interval_ms = r->sync_interval_ms < SYNC_LEAST ? SYNC_LEAST : r->sync_interval_ms,
                                    .events_per_second = r->events_per_second,
                                    .burst_size = r->burst_size};
    (void)snprintf(out->platform_url, sizeof out->platform_url, "%s", r->platform_url);
    (void)snprintf(out->cluster_name, sizeof out->cluster_name, "%s", r->cluster_name);
}

static void close_outlet(struct agents *a, struct agent *s)
{
    struct ingest *in = a->in;
    struct outlet *o = s->outlet;
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (o && in->outlets[i] == o)
            in->outlets[i] = NULL;
    s->outlet = NULL;
    s->credentials_at = 0;
    outlet_close(o, loop_now() + INGEST_STOP_MS);
}

static err open_outlet(struct agents *a, struct agent *s, const struct outlet_settings *set)
{
    struct ingest *in = a->in;
    char name[INGEST_NAME_MAX];
    unsigned free_place = 0;
    while (in->outlets[free_place])
        free_place++;
    ASSERT(free_place < INGEST_AGENTS_MAX);
    (void)snprintf(name, sizeof name, "%s/%s", s->is.meta.namespace, s->is.meta.name);
    TRY(outlet_open(in, name, set, loop_now() + OPEN_MS_MAX, &s->outlet));
    in->outlets[free_place] = s->outlet;
    return OK;
}

/* Another Secret is read at once. */
static void use_secret(struct agent *s)
{
    if (strcmp(s->secret_name, s->is.secret_name) != 0)
        s->credentials_at = 0;
    (void)snprintf(s->secret_name, sizeof s->secret_name, "%s", s->is.secret_name);
}

/* The desk is held. */
static err apply(struct agents *a, struct agent *s)
{
    struct outlet_settings *set = malloc(sizeof *set);
    if (!set)
        return E_BUDGET;
    settings_of(&s->is, set);
    err e = OK;
    if (s->outlet && strcmp(s->outlet->set.platform_url, set->platform_url) != 0)
        close_outlet(a, s);
    if (s->outlet)
        outlet_change(s->outlet, set);
    else
        e = open_outlet(a, s, set);
    if (e == OK)
        use_secret(s);
    free(set);
    return e;
}

static void set_problem(struct agent *s, enum obsyk_condition c, const char *words)
{
    s->has_problem = true;
    s->problem = c;
    (void)snprintf(s->why, sizeof s->why, "%s", words);
    log_warn("an ObsykAgent cannot be followed", F("namespace", s->is.meta.namespace), F("name", s->is.meta.name),
             F("why", s->why));
}

static err follow(struct agents *a, struct agent *s)
{
    char trailed[sizeof s->why];
    struct ingest *in = a->in;
    s->changed = false;
    s->is = s->incoming;
    s->has_problem = false;
    s->status_at = loop_now();
    TRY(sem_take(&in->desk, FOREVER));
    err e = OK;
    if (*s->wrong) /* what was good before stays in force, as a hub's configuration does */
        set_problem(s, OBSYK_INVALID_SPEC, s->wrong);
    else
        e = apply(a, s);
    sem_give(&in->desk);
    if (e == OK || e == E_CANCELED)
        return e;
    set_problem(s, e == E_BUDGET ? OBSYK_TOO_MANY_AGENTS : OBSYK_INVALID_SPEC, trail_text(e, trailed, sizeof trailed));
    trail_clear();
    s->again_at = loop_now() + AGAIN_MS;
    return OK;
}

static err forget(struct agents *a, struct agent *s)
{
    TRY(sem_take(&a->in->desk, FOREVER));
    if (s->outlet)
        s->outlet->gone = true;
    close_outlet(a, s);
    sem_give(&a->in->desk);
    *s = (struct agent){0};
    list_again(a);
    return OK;
}

static err start_anew(struct agents *a, struct agent *s)
{
    TRY(sem_take(&a->in->desk, FOREVER));
    close_outlet(a, s);
    sem_give(&a->in->desk);
    s->followed = false;
    return OK;
}

static err look_after(struct agents *a, struct agent *s)
{
    if (s->deleted)
        return forget(a, s);
    bool another = s->changed && s->followed && strcmp(s->incoming.meta.uid, s->is.meta.uid) != 0;
    if (another) /* deleted and made again, and we saw only the new one */
        TRY(start_anew(a, s));
    bool told_only = s->changed && s->followed && is_same_spec(&s->incoming, &s->is.meta);
    if (told_only) { /* our own status, most likely */
        s->is = s->incoming;
        s->changed = false;
    }
    if (s->changed || (s->again_at && loop_now() >= s->again_at)) {
        s->again_at = 0;
        TRY(follow(a, s));
        s->followed = true;
    }
    if (s->outlet && loop_now() >= s->credentials_at)
        TRY(agents_read_credentials(a, s));
    return agents_tell_status(a, s);
}

static ms next_moment(const struct agents *a)
{
    ms at = loop_now() + AGAIN_MS;
    for (unsigned i = 0; i < a->slot_count; i++) {
        const struct agent *s = &a->slots[i];
        if (s->used && s->outlet && s->credentials_at < at)
            at = s->credentials_at;
        if (s->used && s->status_at && s->status_at < at)
            at = s->status_at;
        if (s->used && s->again_at && s->again_at < at)
            at = s->again_at;
    }
    return at > loop_now() ? at : loop_now() + SECONDS(1);
}

err agents_run(void *arg)
{
    struct agents *a = arg;
    TRY(agents_remove_leftovers(a));
    for (;;) {
        for (unsigned i = 0; i < a->slot_count; i++)
            if (a->slots[i].used)
                TRY(look_after(a, &a->slots[i]));
        TRY(agents_tell_refused(a));
        err e = bell_wait(&a->in->agents_bell, next_moment(a));
        if (e != OK && e != E_TIMEOUT)
            return e;
        trail_clear();
        for (unsigned i = 0; e == OK && i < a->slot_count; i++)
            a->slots[i].status_at = loop_now();
    }
}
