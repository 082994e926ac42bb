/* status: `holdfast ingest status -o json`. */
#include "agents/ingest/ingest_internal.h"

#include <string.h>

static void put_time(struct json_writer *w, const char *key, int64_t epoch_s)
{
    char text[32];
    json_key(w, key);
    if (epoch_s == 0) {
        json_null(w);
        return;
    }
    text_rfc3339(epoch_s, text, sizeof text);
    json_text(w, text);
}

/* --- kinds --- */

static const char *state_name(enum kind_state s)
{
    static const char *const names[] = {
        [KIND_OFF] = "off",       [KIND_STARTING] = "starting", [KIND_WATCHED] = "watched", [KIND_FORBIDDEN] = "forbidden",
        [KIND_ABSENT] = "absent", [KIND_FAILING] = "failing"};
    return names[s];
}

/* A moment of the loop's clock, as a time of day. 0: none. */
static int64_t wall_s(ms at)
{
    return at ? (loop_wall_ms() + (at - loop_now())) / 1000 : 0;
}

/* lag: how long nothing was heard of it: an event, a bookmark. waits_until: the API server asked for patience. */
static void put_kind(const struct ingest *in, enum ingest_kind kind, struct json_writer *w)
{
    const struct kind *k = &in->kinds[kind];
    struct kube_watch_state watch = {0};
    ms now = loop_now();
    if (in->watches && k->state == KIND_WATCHED)
        watch = kube_watch_look(in->watches, kind);
    json_object(w);
    json_put_text(w, "kind", ingest_kinds[kind].name);
    json_put_text(w, "state", state_name(k->state));
    json_put_u64(w, "objects", in->index ? index_count(in->index, kind) : 0);
    json_put_text(w, "resource_version", watch.there && *watch.resource_version ? watch.resource_version : k->version);
    put_time(w, "last_event", wall_s(k->changed_at));
    put_time(w, "waits_until", wall_s(watch.waits_until));
    json_put_i64(w, "lag_ms", watch.heard_at ? now - watch.heard_at : -1);
    json_put_u64(w, "oversized", k->oversized);
    json_object_end(w);
}

/* --- outlets --- */

static void put_spool(const struct outlet *o, struct json_writer *w)
{
    struct spool_stats s;
    spool_look(o->spool, &s);
    json_key(w, "spool");
    json_object(w);
    json_put_u64(w, "events", s.depth);
    json_put_u64(w, "bytes", s.bytes);
    json_put_i64(w, "oldest_ms", s.oldest_ms);
    json_put_u64(w, "coalesced", s.coalesced);
    json_put_u64(w, "overflows", s.overflows);
    json_put_u64(w, "written_bytes", s.written_bytes);
    json_object_end(w);
}

static void put_aside(const struct outlet *o, struct json_writer *w)
{
    unsigned kept = o->aside_count < INGEST_ASIDE_MAX ? o->aside_count : INGEST_ASIDE_MAX;
    json_key(w, "set_aside");
    json_array(w);
    for (unsigned i = o->aside_count - kept; i < o->aside_count; i++) {
        const struct aside *a = &o->aside[i % INGEST_ASIDE_MAX];
        json_object(w);
        put_time(w, "at", a->at_s);
        json_put_u64(w, "status", a->status);
        json_put_text(w, "type", ingest_change_text(a->change, EVENT_TYPES_LOWER));
        json_put_text(w, "kind", a->kind);
        json_put_text(w, "namespace", a->name_space);
        json_put_text(w, "name", a->name);
        json_put_text(w, "uid", a->uid);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_outlet(const struct outlet *o, struct json_writer *w)
{
    const struct deliver_health *h = deliver_health(o->deliver);
    json_object(w);
    json_put_text(w, "name", o->name);
    json_put_text(w, "platform_url", o->set.platform_url);
    json_put_text(w, "cluster_name", o->set.cluster_name);
    json_put_text(w, "cluster_uid", o->in->cluster_uid);
    json_put_bool(w, "healthy", h->healthy && !*o->why);
    json_put_text(w, "why", o->why);
    put_time(w, "last_snapshot", o->last_snapshot_s);
    put_time(w, "last_sync", o->last_sync_s);
    json_put_bool(w, "snapshot_waits", o->snapshot_waits || o->wanted_at != 0 || o->state != OUTLET_LIVE);
    put_time(w, "token_expires", oauth2_state(o->oauth2).expires_s);
    json_put_u64(w, "delivered", (uint64_t)series_get(o->series.delivered));
    put_spool(o, w);
    json_put_u64(w, "set_aside_total", o->aside_count);
    put_aside(o, w);
    json_object_end(w);
}

void ingest_status_json(const struct ingest *in, struct json_writer *w)
{
    json_object(w);
    json_put_text(w, "server", in->kube ? kube_server(in->kube) : "");
    json_put_bool(w, "streaming", in->live);
    json_put_text(w, "why", in->why);
    json_key(w, "kinds");
    json_array(w);
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++)
        put_kind(in, k, w);
    json_array_end(w);
    json_key(w, "agents");
    json_array(w);
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (in->outlets[i])
            put_outlet(in->outlets[i], w);
    json_array_end(w);
    json_object_end(w);
}
