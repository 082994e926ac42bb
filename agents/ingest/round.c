/* round: reads the cluster: lists for those who want a snapshot, then watches; a kind is listed again when its watch says so. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS          SECONDS(1) /* at what others want */
#define AGAIN_MOST_MS    SECONDS(30)
#define FAILURES_MAX     4          /* lists answered 500, each tried KUBE_TRIES_MAX times */
#define LISTS_MAX        5          /* of one kind, when continue tokens expire */
#define REFUSED_LEAST_MS SECONDS(1) /* an API server that starts refuses everything for a moment; doubled each time */
#define REFUSED_MOST_MS  MINUTES(5)
#define FILE_MS_MAX      SECONDS(30)

static err hold_desk(struct ingest *in)
{
    return sem_take(&in->desk, FOREVER);
}

static err still_ours(const struct ingest *in)
{
    return ingest_leads(in) ? OK : trail(E_BUSY, "the Lease %s is lost", OBSYK_LEASE);
}

/* --- one kind --- */

struct listing {
    struct ingest *in;
    enum ingest_kind kind;
};

static err take_item(void *arg, const struct kube_item *item)
{
    struct listing *l = arg;
    pulse_beat(TASK_INGEST, loop_now());
    TRY(still_ours(l->in));
    TRY(hold_desk(l->in));
    err e = change_seen(l->in, l->kind, item);
    sem_give(&l->in->desk);
    fiber_breathe();
    pulse_rest(TASK_INGEST); /* the next one is the server's to send */
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

static void want_snapshots(struct ingest *in)
{
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i] && in->outlets[i]->state == OUTLET_LIVE)
            outlet_want_snapshot(in->outlets[i]);
}

static bool anybody_is(const struct ingest *in, enum outlet_state state)
{
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i] && in->outlets[i]->state == state)
            return true;
    return false;
}

static err end_kind(struct ingest *in, enum ingest_kind kind)
{
    TRY(hold_desk(in));
    err e = change_gone(in, kind);
    sem_give(&in->desk);
    if (e == OK && !index_is_whole(in->index))
        want_snapshots(in); /* what it had no room for may be gone, too */
    if (e == OK || e == E_CANCELED)
        return e;
    /* without its names the index cannot tell who is gone: a snapshot does */
    log_warn("the index cannot tell what is gone: a fresh snapshot is made", F("kind", ingest_kinds[kind].name), F_ERR(e));
    trail_clear();
    want_snapshots(in);
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i] && in->outlets[i]->state == OUTLET_LIVE)
            in->outlets[i]->state = OUTLET_EMPTY; /* else all that is listed would be told to it as new */
    index_clear(in->index);
    return OK;
}

/* status: of the server's refusal; 0: it was none. */
static err list_pages(struct ingest *in, enum ingest_kind kind, struct kube_page *page, int *status)
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
        TRY(begin_kind(in, kind));
        list.status.code = 0;
        pulse_rest(TASK_INGEST);
        e = kube_list_all(in->kube, &list, page, loop_now() + INGEST_LIST_MS_MAX);
    }
    *status = e == OK ? 0 : list.status.code;
    return e;
}

/* Another kind's trouble is not ours: it is told, and looked at again later. */
static err cannot_list(struct ingest *in, enum ingest_kind kind, err e)
{
    struct kind *k = &in->kinds[kind];
    enum kind_state state = e == E_DENIED ? KIND_FORBIDDEN : e == E_ABSENT ? KIND_ABSENT : KIND_FAILING;
    if (k->state != state)
        log_warn("a kind cannot be listed; the others are streamed", F("kind", ingest_kinds[kind].name), F_ERR(e));
    trail_clear();
    k->state = state;
    k->stale = false; /* it is listed again all the same */
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

/* Of its objects none is in a snapshot that is made now; the index may know some all the same. Then the lists after this one
 * would not tell of them, so a fresh snapshot does. */
static err leave_out(struct ingest *in, enum ingest_kind kind, err why)
{
    TRY(cannot_list(in, kind, why));
    if (!anybody_is(in, OUTLET_LISTING))
        return OK;
    in->kinds[kind].left_out |= index_count(in->index, kind) > 0;
    return begin_kind(in, kind); /* takes back what of it came before */
}

static err take_nothing(void *arg, const struct kube_item *item)
{
    (void)arg, (void)item;
    return OK;
}

/* The server works, for another kind at least. */
static bool is_kinds_own(struct ingest *in, enum ingest_kind kind)
{
    char path[128];
    enum ingest_kind other = 0;
    while (other == kind || in->kinds[other].state == KIND_OFF)
        if (++other == INGEST_KIND_COUNT)
            return false;
    (void)snprintf(path, sizeof path, "%s/%s", ingest_kinds[other].prefix, ingest_kinds[other].plural);
    struct kube_list list = {.path = path,
                             .fields = ingest_kinds[other].fields,
                             .limit = 1,
                             .arena = in->list_arena,
                             .arena_bytes = in->limits->arena_bytes,
                             .item = take_nothing};
    struct kube_page *page = calloc(1, sizeof *page);
    err e = page ? kube_list_page(in->kube, &list, page, loop_now() + INGEST_ASK_MS_MAX) : E_BUDGET;
    free(page);
    trail_clear();
    return e == OK;
}

/* 403, 404 and 405 speak of this kind. So does 500, when it stays while another kind is answered: Secrets whose encryption key is
 * lost. 401 does not, nor what the network says. */
static bool is_left_out(struct ingest *in, enum ingest_kind kind, int status)
{
    struct kind *k = &in->kinds[kind];
    if (status == 403 || status == 404 || status == 405)
        return true;
    k->failures = status == 500 ? k->failures + 1 : 0;
    return k->failures >= FAILURES_MAX && is_kinds_own(in, kind);
}

err round_list(struct ingest *in, enum ingest_kind kind)
{
    struct kind *k = &in->kinds[kind];
    struct kube_page *page = calloc(1, sizeof *page);
    if (!page)
        return E_BUDGET;
    int status;
    err e = list_pages(in, kind, page, &status);
    series_add(in->relists, 1);
    if (e == OK && k->left_out)
        want_snapshots(in);
    if (e == OK) {
        k->left_out = false;
        (void)snprintf(k->version, sizeof k->version, "%s", page->resource_version);
        k->state = KIND_WATCHED;
        k->refusals = k->failures = 0;
        k->stale = false;
        e = end_kind(in, kind);
    } else if (is_left_out(in, kind, status))
        e = leave_out(in, kind, e);
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
        if (e == E_CANCELED || !ingest_leads(in))
            return e;
        char trailed[256];
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
    return o && o->wanted_at != 0 && loop_now() >= o->wanted_at && !o->lost && !o->snapshot_leaves;
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

/* Who has no snapshot to be sent is told of changes all the same. */
static err finish_if_listing(struct outlet *o)
{
    err e = o->state == OUTLET_LISTING ? outlet_finish_snapshot(o) : OK;
    if (e == E_CANCELED)
        return e;
    if (e != OK)
        outlet_give_up_snapshot(o, e);
    if (o->state == OUTLET_GIVEN_UP)
        o->state = OUTLET_LIVE;
    return OK;
}

static err list_all(struct ingest *in)
{
    ms began = loop_now();
    series_add(in->rounds, 1);
    TRY(for_each_outlet(in, begin_if_due));
    if (!index_is_whole(in->index) && !anybody_is(in, OUTLET_LIVE))
        index_clear(in->index); /* nobody needs what it knows, and there may be room for all now */
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
    kube_watch_relax(in->watches, outlets_are_behind(in));
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
        bool again = kind_is_left_out(kind->state) && loop_now() >= kind->retry_at;
        if (in->live && (kind->stale || again))
            TRY(list_patiently(in, k));
    }
    return OK;
}

/* Those that are known go on when the API server is not there. */
static err list_agents(struct ingest *in)
{
    err e = agents_list(in->agents);
    if (e == OK || e == E_CANCELED)
        return e;
    log_warn("ObsykAgents cannot be listed; it is tried again", F_ERR(e));
    trail_clear();
    return OK;
}

err round_run(struct ingest *in)
{
    for (;;) {
        pulse_beat(TASK_INGEST, loop_now());
        TRY(still_ours(in));
        if (agents_want_list(in->agents))
            TRY(list_agents(in));
        if (anybody_wants(in))
            TRY(list_all(in));
        TRY(list_what_is_stale(in));
        pulse_rest(TASK_INGEST);
        TRY(next_event(in));
        ingest_metrics_tell(in);
        fiber_breathe();
    }
}
