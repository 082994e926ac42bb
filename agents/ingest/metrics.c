/* metrics: what the agent, its kinds and its outlets tell. */
#include "agents/ingest/ingest_internal.h"

#include <math.h>

#define X(field, kind, full, words)                                                                                              \
    static struct family outlet_##field = {.name = full, .help = words, .type = METRIC_##kind, .labels = {"agent"}};
OUTLET_FAMILIES(X)
#undef X
#define X(field, kind, full, words) static struct family in_##field = {.name = full, .help = words, .type = METRIC_##kind};
INGEST_FAMILIES(X)
#undef X
static struct family objects = {
    .name = "holdfast_ingest_objects", .help = "Objects known of each kind.", .type = METRIC_GAUGE, .labels = {"kind"}};
static struct family kind_up = {.name = "holdfast_ingest_kind_up",
                                .help = "1: the kind is listed and watched; 0: it may not be, is not there, or nobody answers.",
                                .type = METRIC_GAUGE,
                                .labels = {"kind"}};
static struct family leading = {.name = "holdfast_ingest_leading",
                                .help = "1: this replica streams; 0: another does, or the cluster cannot be reached.",
                                .type = METRIC_GAUGE};
static struct series *leads;

err ingest_metrics_open(struct ingest *in)
{
    TRY(metric_series(&leading, NULL, &leads));
#define X(field, kind, full, words) TRY(metric_series(&in_##field, NULL, &in->field));
    INGEST_FAMILIES(X)
#undef X
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        const char *const labels[] = {ingest_kinds[k].name};
        if (in->kinds[k].state == KIND_OFF)
            continue;
        TRY(metric_series(&objects, labels, &in->kinds[k].objects));
        TRY(metric_series(&kind_up, labels, &in->kinds[k].up));
    }
    return OK;
}

void ingest_metrics_rest(struct ingest *in)
{
    series_set(leads, 0);
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        series_set(in->kinds[k].up, 0);
}

void ingest_metrics_close(struct ingest *in)
{
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        series_drop(in->kinds[k].objects);
        series_drop(in->kinds[k].up);
        in->kinds[k].objects = in->kinds[k].up = NULL;
    }
    series_drop(leads);
    leads = NULL;
}

err outlet_metrics_open(struct outlet *o)
{
    const char *const labels[] = {o->name};
#define X(field, kind, full, words) TRY(metric_series(&outlet_##field, labels, &o->series.field));
    OUTLET_FAMILIES(X)
#undef X
    return OK;
}

/* Counters stay: what they counted has happened. Not those of a deleted ObsykAgent: names that come and go would use them up. */
void outlet_metrics_close(struct outlet *o)
{
#define X(field, kind, full, words)                                                                                              \
    if (METRIC_##kind == METRIC_GAUGE || o->gone)                                                                                \
        series_drop(o->series.field);
    OUTLET_FAMILIES(X)
#undef X
    o->series = (struct outlet_series){0};
}

/* The spool counts since it was opened: what is new of it is added. */
static void count(struct series *s, uint64_t now, uint64_t before)
{
    if (now > before)
        series_add(s, (double)(now - before));
}

static void tell_outlet(struct outlet *o)
{
    struct spool_stats s;
    spool_look(o->spool, &s);
    series_set(o->series.depth, s.depth);
    series_set(o->series.bytes, (double)s.bytes);
    series_set(o->series.oldest, (double)s.oldest_ms / 1000);
    count(o->series.coalesced, s.coalesced, o->seen.coalesced);
    count(o->series.repeated, s.repeated, o->seen.repeated);
    count(o->series.overflows, s.overflows, o->seen.overflows);
    count(o->series.written, s.written_bytes, o->seen.written_bytes);
    series_set(o->series.healthy, deliver_health(o->deliver)->healthy);
    series_set(o->series.token, (double)oauth2_state(o->oauth2).expires_s);
    if (spool_lost(o->spool) && !o->wanted_at && s.lost > o->seen.lost)
        outlet_want_snapshot(o);
    o->seen = s;
}

/* A watch that is between two openings is up; one that could not be opened again is not. */
static bool tell_kind(struct ingest *in, unsigned kind)
{
    const struct kind *k = &in->kinds[kind];
    struct kube_watch_state watch = kube_watch_look(in->watches, kind);
    bool up = k->state == KIND_WATCHED && watch.there && watch.error == OK;
    series_set(k->objects, index_count(in->index, kind));
    series_set(k->up, up);
    return up;
}

void ingest_metrics_tell(struct ingest *in)
{
    bool up = false;
    if (loop_now() < in->told_at + SECONDS(1))
        return;
    in->told_at = loop_now();
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        up = tell_kind(in, k) || up;
    series_set(leads, in->live && up && !*in->why);
    if (sem_take(&in->desk, FOREVER) != OK)
        return;
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i])
            tell_outlet(in->outlets[i]);
    sem_give(&in->desk);
}
