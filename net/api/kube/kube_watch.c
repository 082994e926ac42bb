/* kube_watch: the set, and waiting for all of its watches at once. */
#include "net/api/kube/kube_watch_inside.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

const char *kube_event_name(enum kube_event_type t)
{
    static const char *const names[] = {
#define X(id, text) text,
        KUBE_EVENTS(X)
#undef X
    };
    return names[t];
}

/* --- the set --- */

err kube_watches_open(struct kube *k, void *arena, size_t arena_bytes, struct kube_watches **out)
{
    *out = NULL;
    if (k->bell)
        return trail(E_BUSY, "a client has one set of watches");
    struct kube_watches *s = calloc(1, sizeof *s);
    if (!s)
        return E_BUDGET;
    s->kube = k;
    s->fields[0] = (struct pick_field){"type", PICK_SCALAR, NULL};
    s->fields[1] = (struct pick_field){"object", PICK_OBJECT, kube_name_only_fields};
    json_pick_open(&s->pick, &(struct json_pick_options){.fields = s->fields, .arena = arena, .arena_bytes = arena_bytes});
    k->bell = &s->bell;
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++)
        if (k->links[i].web)
            web_hang(k->links[i].web, &s->bell);
    *out = s;
    return OK;
}

void kube_watches_close(struct kube_watches *s)
{
    if (!s)
        return;
    watch_forget(s);
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++) {
        kube_visit_end(&s->watches[i].visit);
        free(s->watches[i].path);
    }
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++)
        if (s->kube->links[i].web)
            web_hang(s->kube->links[i].web, NULL);
    s->kube->bell = NULL;
    buf_release(s->piece);
    json_pick_wipe(&s->pick);
    wipe(s, sizeof *s);
    free(s);
}

static struct watch *find(const struct kube_watches *s, unsigned tag)
{
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++)
        if (s->watches[i].is != WATCH_FREE && s->watches[i].tag == tag)
            return (struct watch *)(uintptr_t)&s->watches[i];
    return NULL;
}

static bool has_version(const struct pick_field *fields)
{
    const struct pick_field *f = fields;
    while (f->key && strcmp(f->key, "metadata") != 0)
        f++;
    for (f = f->key ? f->fields : f; f && f->key; f++)
        if (strcmp(f->key, "resourceVersion") == 0)
            return true;
    return false;
}

static err version_set(struct watch *w, const char *resource_version)
{
    struct text t = text_over(w->state.resource_version, sizeof w->state.resource_version);
    text_add(&t, resource_version);
    return t.cut ? trail(E_RANGE, "a resourceVersion over %d bytes", KUBE_OPAQUE_MAX - 1) : OK;
}

err kube_watch_add(struct kube_watches *s, const char *path, const char *resource_version, const struct pick_field *fields,
                   unsigned tag)
{
    ASSERT(has_version(fields) && !find(s, tag));
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++) {
        struct watch *w = &s->watches[i];
        if (w->is != WATCH_FREE)
            continue;
        *w = (struct watch){.tag = tag, .fields = fields, .due = loop_now()};
        TRY(version_set(w, resource_version));
        if (strlen(path) >= KUBE_PATH_MAX)
            return trail(E_RANGE, "a path over %d bytes", KUBE_PATH_MAX - 1);
        w->path = strdup(path);
        w->is = w->path ? WATCH_DUE : WATCH_FREE;
        return w->path ? OK : E_BUDGET;
    }
    return trail(E_FULL, "%d watches are there", KUBE_WATCHES_MAX);
}

void watch_end(struct kube_watches *s, struct watch *w)
{
    if (s->current == w)
        watch_forget(s);
    kube_visit_end(&w->visit);
    w->state.open = false;
}

err kube_watch_restart(struct kube_watches *s, unsigned tag, const char *resource_version)
{
    struct watch *w = find(s, tag);
    ASSERT(w);
    watch_end(s, w);
    if (s->told == w)
        s->told = NULL;
    w->is = WATCH_DUE;
    w->due = loop_now();
    w->state.waits_until = 0;
    w->name_only = false;
    return version_set(w, resource_version);
}

void kube_watch_remove(struct kube_watches *s, unsigned tag)
{
    struct watch *w = find(s, tag);
    if (!w)
        return;
    watch_end(s, w);
    if (s->told == w)
        s->told = NULL;
    free(w->path);
    *w = (struct watch){.is = WATCH_FREE};
}

struct kube_watch_state kube_watch_look(const struct kube_watches *s, unsigned tag)
{
    struct watch *w = find(s, tag);
    if (!w)
        return (struct kube_watch_state){.there = false};
    struct kube_watch_state state = w->state;
    state.there = true;
    return state;
}

/* --- turns --- */

static void event_was_taken(struct kube_watches *s)
{
    if (s->told)
        memcpy(s->told->state.resource_version, s->version, sizeof s->version);
    s->told = NULL;
}

/* A connection without a byte for long is asked; what was on a dead one is opened again. */
static void links_ask(struct kube_watches *s)
{
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++) {
        struct watch *w = &s->watches[i];
        struct kube_link *l = w->visit.link;
        if (!l)
            continue;
        ms quiet = web_is_h2(l->web) ? KUBE_QUIET_MS : KUBE_H1_QUIET_MS;
        if (!l->dead && loop_now() - l->heard_at >= quiet)
            kube_link_doubt(s->kube, l, loop_now() + KUBE_PING_MS);
        if (l->dead && loop_now() - l->heard_at >= quiet)
            watch_failed(s, w, trail(E_TIMEOUT, "the connection is silent"));
    }
}

/* Opens what is due, looks for answers. *fresh: one has come, and what follows it may lie here already. */
static bool tend(struct kube_watches *s, ms deadline, struct kube_event *out, bool *fresh)
{
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++) {
        struct watch *w = &s->watches[i];
        if (w->is == WATCH_DUE && loop_now() >= w->due && !fiber_canceled())
            watch_open(s, w, deadline);
        if (w->is != WATCH_ASKED)
            continue;
        if (watch_answered(s, w, out))
            return true;
        *fresh = *fresh || w->is == WATCH_OPEN;
    }
    return false;
}

/* The next open watch in turn. */
static bool current_choose(struct kube_watches *s, unsigned *tried)
{
    while (*tried < KUBE_WATCHES_MAX) {
        struct watch *w = &s->watches[(s->turn + (*tried)++) % KUBE_WATCHES_MAX];
        if (w->is == WATCH_OPEN) {
            s->current = w;
            return true;
        }
    }
    return false;
}

/* Reads what is there, watch after watch, until an event is there or nothing more is: what is left unread rings no bell. */
static bool read_all(struct kube_watches *s, struct kube_event *out)
{
    bool have = false, more = true;
    for (unsigned tried = 0; more; tried = 0) {
        more = false;
        while (s->current || current_choose(s, &tried)) {
            const struct watch *w = s->current;
            err e = watch_read(s, out, &have);
            if (have) {
                s->turn = (unsigned)(w - s->watches) + 1;
                return true;
            }
            if (e == E_AGAIN && (s->head_len > 0 || json_pick_inside(&s->pick)))
                return false; /* an object has begun: only its rest matters now */
            if (e == E_AGAIN)
                watch_forget(s);
            more = more || e == OK;
        }
    }
    return false;
}

static bool object_is_late(struct kube_watches *s, ms from)
{
    if (!s->current)
        return false;
    s->object_ms += loop_now() - from;
    if (s->object_ms < KUBE_OBJECT_MS)
        return false;
    watch_failed(s, s->current, trail(E_TIMEOUT, "an object began and did not end in %d s", (int)(KUBE_OBJECT_MS / 1000)));
    return true;
}

void kube_watch_relax(struct kube_watches *s, bool relaxed)
{
    s->relaxed = relaxed;
}

/* A wake-up for each of many events costs more than they do. */
static void links_rest(struct kube_watches *s)
{
    struct kube *k = s->kube;
    size_t window = size_max(k->watch_window_bytes, KUBE_WINDOW_BYTES);
    ms now = loop_now(), rest = ms_min((ms)(window / KUBE_REST_WINDOW), KUBE_REST_MS_MAX);
    rest *= s->relaxed ? KUBE_REST_RELAXED : 1;
    bool quick = now - s->woken_at <= rest + 1;
    s->woken_at = now;
    for (unsigned i = 0; i < KUBE_CONNECTIONS && quick; i++)
        if (k->links[i].web)
            web_rest(k->links[i].web, now + rest);
}

static ms wake_at(const struct kube_watches *s, ms deadline)
{
    ms at = deadline;
    if (s->current)
        return ms_min(at, loop_now() + KUBE_OBJECT_MS - s->object_ms);
    for (unsigned i = 0; i < KUBE_WATCHES_MAX; i++) {
        const struct watch *w = &s->watches[i];
        if (w->is == WATCH_DUE)
            at = ms_min(at, w->due);
        if (w->is == WATCH_ASKED)
            at = ms_min(at, w->since + WATCH_ASKED_MS);
        if (w->visit.link)
            at = ms_min(at, w->visit.link->heard_at + (web_is_h2(w->visit.link->web) ? KUBE_QUIET_MS : KUBE_H1_QUIET_MS));
    }
    return at;
}

err kube_watch_next(struct kube_watches *s, ms deadline, struct kube_event *out)
{
    event_was_taken(s);
    fiber_breathe();
    if (!s->piece)
        TRY(buf_wait(KUBE_PIECE, deadline, &s->piece));
    for (;;) {
        if (read_all(s, out))
            return OK;
        bool fresh = false;
        if (!s->current) {
            links_ask(s);
            if (tend(s, deadline, out, &fresh))
                return OK;
        }
        if (fresh)
            continue;
        ms from = loop_now();
        err e = bell_wait(&s->bell, wake_at(s, deadline));
        if (e != OK && e != E_TIMEOUT)
            return e;
        if (e == OK)
            links_rest(s);
        (void)object_is_late(s, from);
        if (e == E_TIMEOUT && loop_now() >= deadline && !s->bell.rung)
            return E_TIMEOUT;
    }
}
