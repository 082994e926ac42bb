#include "agents/ingest/envelope.h"

#include "net/format/json_write.h"

#include <string.h>

static const char *const changes[INGEST_CHANGE_COUNT][2] = {
#define X(id, lower, upper) [INGEST_##id] = {[EVENT_TYPES_LOWER] = (lower), [EVENT_TYPES_UPPER] = (upper)},
    INGEST_CHANGE_TABLE(X)
#undef X
};

const char *ingest_change_text(enum ingest_change change, enum event_types types)
{
    return changes[change][types];
}

bool ingest_change_find(struct bytes text, enum ingest_change *out)
{
    for (unsigned c = 0; c < INGEST_CHANGE_COUNT; c++) {
        if (!bytes_equal_text(text, changes[c][EVENT_TYPES_LOWER]) && !bytes_equal_text(text, changes[c][EVENT_TYPES_UPPER]))
            continue;
        *out = (enum ingest_change)c;
        return true;
    }
    return false;
}

/* What was written since `before` stays, or nothing of it. */
static err settle(struct text *out, struct text before)
{
    if (!out->cut)
        return OK;
    *out = before;
    out->at[out->len] = 0;
    return trail(E_BUDGET, "a body does not fit %zu bytes", before.cap - before.len - 1);
}

static void put(struct json_writer *w, const char *key, struct bytes value)
{
    json_key(w, key);
    json_bytes(w, value);
}

static void put_unless_empty(struct json_writer *w, const char *key, const char *value)
{
    if (value && *value)
        json_put_text(w, key, value);
}

err envelope_event(const struct envelope *e, enum ingest_change change, enum ingest_kind kind, const struct info_names *names,
                   struct bytes info, struct text *out)
{
    struct text before = *out;
    struct json_writer w = json_write_as_go(out);
    json_object(&w);
    json_put_text(&w, "cluster_uid", e->cluster_uid);
    json_put_text(&w, "type", ingest_change_text(change, e->types));
    json_put_text(&w, "kind", ingest_kinds[kind].name);
    put(&w, "uid", names->uid);
    put(&w, "name", names->name);
    if (ingest_kinds[kind].namespaced && names->name_space.len > 0)
        put(&w, "namespace", names->name_space);
    if (change != INGEST_DELETED) {
        json_key(&w, "object");
        json_raw(&w, info);
    }
    json_object_end(&w);
    return settle(out, before);
}

/* No opaque uid has these bytes: its quotes are escaped. */
static const char before_type[] = "\",\"type\":\"";

size_t envelope_event_rename(enum ingest_change change, enum event_types types, char *body, size_t len)
{
    const char *word = ingest_change_text(change, types);
    size_t wanted = strlen(word), from = sizeof before_type - 1;
    char *at = memmem(body, len, before_type, from);
    const char *end = at ? memchr(at + from, '"', len - (size_t)(at - body) - from) : NULL;
    if (!end)
        return len;
    at += from;
    memmove(at + wanted, end, len - (size_t)(end - body));
    memcpy(at, word, wanted);
    return len + wanted - (size_t)(end - at);
}

err envelope_heartbeat(const struct envelope *e, struct text *out)
{
    struct text before = *out;
    struct json_writer w = json_write_as_go(out);
    json_object(&w);
    json_put_text(&w, "cluster_uid", e->cluster_uid);
    put_unless_empty(&w, "agent_version", e->agent_version);
    json_object_end(&w);
    return settle(out, before);
}

/* The object stays open: the arrays follow, then its end. */
err envelope_snapshot_head(const struct envelope *e, struct text *out)
{
    struct text before = *out;
    struct json_writer w = json_write_as_go(out);
    json_object(&w);
    json_put_text(&w, "cluster_uid", e->cluster_uid);
    json_put_text(&w, "cluster_name", e->cluster_name);
    put_unless_empty(&w, "kubernetes_version", e->kubernetes_version);
    put_unless_empty(&w, "platform", e->platform);
    put_unless_empty(&w, "region", e->region);
    put_unless_empty(&w, "agent_version", e->agent_version);
    return settle(out, before);
}

err envelope_kind_begin(enum ingest_kind kind, struct text *out)
{
    struct text before = *out;
    text_addf(out, ",\"%s\":[", ingest_kinds[kind].snapshot_key);
    return settle(out, before);
}

err envelope_kind_end(struct text *out)
{
    struct text before = *out;
    text_add(out, "]");
    return settle(out, before);
}

err envelope_snapshot_tail(struct text *out)
{
    struct text before = *out;
    text_add(out, "}");
    return settle(out, before);
}
