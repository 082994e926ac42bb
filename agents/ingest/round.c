/* round: reads the cluster: lists for those who want a snapshot, then watches; a kind is listed again when its watch says so. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS          SECONDS(1) /* at what others want */
#define AGAIN_MOST_MS    SECONDS(30)
#define LISTS_MAX        5          /* of one kind, when continue tokens expire */
#define REFUSED_LEAST_MS SECONDS(1) /* an API server that starts refuses everything for a moment; doubled each time */
#define REFUSED_MOST_MS  MINUTES(5)
#define FILE_MS_MAX      SECONDS(30)

static err hold_desk(struct ingest *in)
{
    return sem_take(&in->desk, FOREVER);
}

/* --- one kind --- */

struct listing {
    struct ingest *in;
    enum ingest_kind kind;
};

static err take_item(void *arg, const struct kube_item *item)
{
    struct listing *l = arg;
    TRY(hold_desk(l->in));
    err e = change_seen(l->in, l->kind, item);
    sem_give(&l->in->desk);
    pulse_beat(TASK_INGEST, loop_now());
    fiber_breathe();
    return e;
}

/* Their files' array of this kind begins, or begins again. */
static err begin_kind(struct ingest *in, enum ingest_kind kind)
{
    TRY(hold_desk(in));
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        struct outlet *o = in->outlets[i];
        err e = o && o->state == OUTLET_LISTING ? snapshot_file_kind(o->file, kind, loop_now() + FILE_MS_MAX) : OK;
        if (e != OK && e != E_CANCELED)
            outlet_give_up_snapshot(o, e);
    }
    sem_give(&in->desk);
    return fiber_canceled() ? E_CANCELED : OK;
}

static err end_kind(struct ingest *in, enum ingest_kind kind)
{
    TRY(hold_desk(in));
    err e = change_gone(in, kind);
    sem_give(&in->desk);
    if (e == OK || e == E_CANCELED)
        return e;
    /* without its names the index cannot tell who is gone: a snapshot does */
    log_warn("the index cannot tell what is gone: a fresh snapshot is made", F("kind", ingest_kinds[kind].name), F_ERR(e));
    trail_clear();
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i] && in->outlets[i]->state == OUTLET_LIVE)
            outlet_want_snapshot(in->outlets[i]);
    index_clear(in->index);
    return OK;
}

static err list_pages(struct ingest *in, enum ingest_kind kind, struct kube_page *page)
{
    char path[128];
    struct listing l = {in, kind};
    (void)snprintf(path, sizeof path, "%s/%s", ingest_kinds[kind].prefix, ingest_kinds[kind].plural);
    struct kube_list list = {.path = path,
                             .fields = ingest_kinds[kind].fields,
                             .arena = in->list_arena,
                             .arena_bytes = in->limits->arena_bytes,
                             .item = take_item,
                             .arg = &l};
    err e = E_AGAIN;
    for (unsigned i = 0; i < LISTS_MAX && e == E_AGAIN; i++) {
        trail_clear();
        *page = (struct kube_page){0};
        index_list_begin(in->index, kind);
        in->kinds[kind].oversized = 0;
        e = begin_kind(in, kind);
        e = e == OK ? kube_list_all(in->kube, &list, page, loop_now() + INGEST_LIST_MS_MAX) : e;
    }
    return e;
}

/* Another kind's trouble is not ours: it is told, and looked at again later. */
static err cannot_list(struct ingest *in, enum ingest_kind kind, err e)
{
    struct kind *k = &in->kinds[kind];
    enum kind_state state = e == E_DENIED ? KIND_FORBIDDEN : KIND_ABSENT;
    if (e != E_DENIED && e != E_ABSENT)
        return e;
    if (k->state != state)
        log_warn("a kind cannot be listed; the others are streamed", F("kind", ingest_kinds[kind].name), F_ERR(e));
    trail_clear();
    k->state = state;
    ms pause = REFUSED_LEAST_MS << (k->refusals < 9 ? k->refusals : 9);
    k->refusals++;
    k->retry_at = loop_now() + (pause < REFUSED_MOST_MS ? pause : REFUSED_MOST_MS);
    k->version[0] = 0;
    if (in->watches)
        kube_watch_remove(in->watches, kind);
    return OK;
}

static err watch_from(struct ingest *in, enum ingest_kind kind)
{
    char path[128];
    struct kind *k = &in->kinds[kind];
    if (kube_watch_look(in->watches, kind).there)
        return kube_watch_restart(in->watches, kind, k->version);
    (void)snprintf(path, sizeof path, "%s/%s", ingest_kinds[kind].prefix, ingest_kinds[kind].plural);
    return kube_watch_add(in->watches, path, k->version, ingest_kinds[kind].fields, kind);
}

err round_list(struct ingest *in, enum ingest_kind kind)
{
    struct kind *k = &in->kinds[kind];
    struct kube_page *page = calloc(1, sizeof *page);
    if (!page)
        return E_BUDGET;
    err e = list_pages(in, kind, page);
    series_add(in->relists, 1);
    if (e == OK) {
        (void)snprintf(k->version, sizeof k->version, "%s", page->resource_version);
        k->state = KIND_WATCHED;
        k->refusals = 0;
        k->stale = false;
        e = end_kind(in, kind);
    } else
        e = cannot_list(in, kind, e);
    free(page);
    if (e == OK && k->state == KIND_WATCHED)
        e = watch_from(in, kind);
    return e;
}

/* Until it works: there is nothing else to be done for the cluster. */
static err list_patiently(struct ingest *in, enum ingest_kind kind)
{
    ms pause = SECONDS(1);
    for (;;) {
        err e = round_list(in, kind);
        if (e == OK) {
            in->why[0] = 0;
            return OK;
        }
        if (e == E_CANCELED || (in->lease && !lease_held(in->lease)))
            return e;
        char trailed[128];
        (void)snprintf(in->why, sizeof in->why, "%s cannot be listed: %s", ingest_kinds[kind].plural,
                       trail_text(e, trailed, sizeof trailed));
        log_warn("a list failed; it is tried again", F("kind", ingest_kinds[kind].name), F_ERR(e), F_MS("after", pause));
        trail_clear();
        ingest_metrics_tell(in);
        pulse_rest(TASK_INGEST);
        TRY(fiber_sleep(loop_now() + pause));
        pause = pause * 2 > AGAIN_MOST_MS ? AGAIN_MOST_MS : pause * 2;
    }
}

/* --- all kinds, for snapshots --- */

static bool is_due(const struct outlet *o)
{
    return o && o->wanted_at != 0 && loop_now() >= o->wanted_at && !o->lost;
}

static bool anybody_wants(const struct ingest *in)
{
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (is_due(in->outlets[i]))
            return true;
    return false;
}

static err for_each_outlet(struct ingest *in, err (*act)(struct outlet *o))
{
    TRY(hold_desk(in));
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        err e = in->outlets[i] ? act(in->outlets[i]) : OK;
        if (e != OK && e != E_CANCELED)
            outlet_give_up_snapshot(in->outlets[i], e);
    }
    sem_give(&in->desk);
    return fiber_canceled() ? E_CANCELED : OK;
}

static err begin_if_due(struct outlet *o)
{
    return is_due(o) ? outlet_begin_snapshot(o) : OK;
}

static err finish_if_listing(struct outlet *o)
{
    return o->state == OUTLET_LISTING ? outlet_finish_snapshot(o) : OK;
}

static err list_all(struct ingest *in)
{
    ms began = loop_now();
    series_add(in->rounds, 1);
    TRY(for_each_outlet(in, begin_if_due));
    for (enum ingest_kind k = 0; k < INGEST_KIND_COUNT; k++)
        TRY(in->kinds[k].state == KIND_OFF ? begin_kind(in, k) : list_patiently(in, k));
    TRY(for_each_outlet(in, finish_if_listing));
    unsigned objects = 0;
    for (enum ingest_kind k = 0; k < INGEST_KIND_COUNT; k++)
        objects += index_count(in->index, k);
    log_info("the cluster was listed", F_U64("objects", objects), F_MS("took", loop_now() - began));
    in->live = true;
    return OK;
}

/* --- events --- */

static err take_event(struct ingest *in, const struct kube_event *event)
{
    struct kind *k = &in->kinds[event->tag];
    if (event->type == KUBE_EVENT_BOOKMARK)
        return OK;
    if (event->type == KUBE_EVENT_GONE) {
        k->stale = true;
        return OK;
    }
    if (event->type == KUBE_EVENT_FORBIDDEN || event->type == KUBE_EVENT_ABSENT)
        return cannot_list(in, event->tag, event->type == KUBE_EVENT_FORBIDDEN ? E_DENIED : E_ABSENT);
    return change_event(in, event->tag, event);
}

static err next_event(struct ingest *in)
{
    struct kube_event event;
    err e = kube_watch_next(in->watches, loop_now() + LOOK_MS, &event);
    if (e == E_TIMEOUT) {
        trail_clear();
        return OK;
    }
    TRY(e);
    if (event.tag == INGEST_AGENT_TAG)
        return agents_take(in->agents, &event);
    TRY(hold_desk(in));
    e = take_event(in, &event);
    sem_give(&in->desk);
    return e;
}

static err list_what_is_stale(struct ingest *in)
{
    for (enum ingest_kind k = 0; k < INGEST_KIND_COUNT; k++) {
        struct kind *kind = &in->kinds[k];
        bool again = (kind->state == KIND_FORBIDDEN || kind->state == KIND_ABSENT) && loop_now() >= kind->retry_at;
        if (in->live && (kind->stale || again))
            TRY(list_patiently(in, k));
    }
    return OK;
}

err round_run(struct ingest *in)
{
    for (;;) {
        pulse_beat(TASK_INGEST, loop_now());
        if (in->lease && !lease_held(in->lease))
            return trail(E_BUSY, "the Lease %s is lost", OBSYK_LEASE);
        if (agents_want_list(in->agents))
            TRY(agents_list(in->agents));
        if (anybody_wants(in))
            TRY(list_all(in));
        TRY(list_what_is_stale(in));
        pulse_rest(TASK_INGEST);
        TRY(next_event(in));
        ingest_metrics_tell(in);
        fiber_breathe();
    }
}
