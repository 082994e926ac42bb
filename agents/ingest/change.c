/* change: one object → its Info → what the index knew of it → an event for each outlet, or a row of its snapshot. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "net/format/sha256.h"

#include <string.h>

#define FILE_MS_MAX SECONDS(30)

struct change { /* what is known of one object */
    enum ingest_kind kind;
    struct info_names names;
    uint8_t key[INDEX_KEY_BYTES];
    struct bytes info; /* in in->info */
    uint64_t digest;
};

static uint64_t digest_of(struct bytes info)
{
    uint8_t digest[SHA256_BYTES];
    uint64_t first;
    sha256_of(info, digest);
    memcpy(&first, digest, sizeof first);
    return first;
}

/* Told once a list: the object's name, and that this board cannot hold it. */
static void tell_oversized(struct ingest *in, enum ingest_kind kind, const struct info_names *names)
{
    in->kinds[kind].oversized++;
    series_add(in->oversized, 1);
    if (in->kinds[kind].oversized == 1)
        log_warn("an object is too large for this board, and is not sent", F("kind", ingest_kinds[kind].name),
                 F_BYTES("namespace", names->name_space), F_BYTES("name", names->name));
}

/* E_RANGE: it is too large for us, which is told. */
static err look_at(struct ingest *in, enum ingest_kind kind, const struct pick_node *object, bool oversized, struct change *c)
{
    *c = (struct change){.kind = kind, .names = info_names(kind, object)};
    index_key(kind, c->names.uid, c->key);
    struct text info = text_over(in->info, in->limits->body_bytes);
    err e = oversized ? E_BUDGET : info_write(kind, object, &info);
    if (e == E_BUDGET) {
        trail_clear();
        tell_oversized(in, kind, &c->names);
        return E_RANGE;
    }
    TRY(e);
    c->info = (struct bytes){(const uint8_t *)info.at, info.len};
    c->digest = digest_of(c->info);
    return OK;
}

/* What cannot be read as an object of its kind is the server's fault, or ours: told, and passed over. */
static err pass_over(const struct change *c, err e)
{
    if (e == E_RANGE)
        return OK;
    if (e != E_INVALID)
        return e;
    log_error("an object cannot be read, and is not sent", F("kind", ingest_kinds[c->kind].name),
              F_BYTES("namespace", c->names.name_space), F_BYTES("name", c->names.name), F_ERR(e));
    trail_clear();
    return OK;
}

/* The body is the same for all of them. */
static err tell_outlets(struct ingest *in, enum ingest_change change, const struct change *c)
{
    struct text body = text_over(in->body, in->limits->body_bytes);
    bool written = false;
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        struct outlet *o = in->outlets[i];
        struct envelope envelope;
        if (!outlet_is_told(o))
            continue;
        outlet_envelope(o, &envelope);
        err e = written ? OK : envelope_event(&envelope, change, c->kind, &c->names, c->info, &body);
        if (e == E_BUDGET) {
            trail_clear();
            tell_oversized(in, c->kind, &c->names);
            return OK;
        }
        TRY(e);
        written = true;
        TRY(outlet_append(o, change, c->key, (struct bytes){(const uint8_t *)body.at, body.len}));
    }
    return OK;
}

/* What the index cannot hold is taken for what the server says it is. */
static err remember(struct ingest *in, const struct change *c, enum index_was if_unknown, enum index_was *was)
{
    err e = index_put(in->index, c->kind, c->key, c->digest, &c->names, loop_now() + FILE_MS_MAX, was);
    if (e == OK || e == E_CANCELED)
        return e;
    trail_clear();
    *was = if_unknown;
    return OK;
}

/* --- in a list --- */

static err add_to_files(struct ingest *in, const struct change *c)
{
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++) {
        struct outlet *o = in->outlets[i];
        if (!o || o->state != OUTLET_LISTING)
            continue;
        err e = snapshot_file_add(o->file, c->info, loop_now() + FILE_MS_MAX);
        if (e == E_CANCELED)
            return e;
        if (e != OK)
            outlet_give_up_snapshot(o, e);
    }
    return OK;
}

err change_seen(struct ingest *in, enum ingest_kind kind, const struct kube_item *item)
{
    struct change c;
    enum index_was was = INDEX_NEW;
    err e = look_at(in, kind, item->object, item->oversized, &c);
    if (e != OK) {
        index_touch(in->index, c.key); /* it is not gone */
        return pass_over(&c, e);
    }
    TRY(remember(in, &c, INDEX_NEW, &was));
    TRY(add_to_files(in, &c));
    return was == INDEX_SAME ? OK : tell_outlets(in, was == INDEX_NEW ? INGEST_ADDED : INGEST_MODIFIED, &c);
}

static err tell_gone(void *arg, enum ingest_kind kind, const uint8_t key[INDEX_KEY_BYTES], const struct info_names *names)
{
    struct ingest *in = arg;
    struct change c = {.kind = kind, .names = *names};
    memcpy(c.key, key, sizeof c.key);
    series_add(in->missed, 1);
    return tell_outlets(in, INGEST_DELETED, &c);
}

err change_gone(struct ingest *in, enum ingest_kind kind)
{
    return index_list_end(in->index, kind, tell_gone, in, loop_now() + FILE_MS_MAX);
}

/* --- of a watch --- */

static err take_state(struct ingest *in, enum ingest_kind kind, const struct kube_event *event)
{
    struct change c;
    bool added = event->of == KUBE_EVENT_ADDED;
    enum index_was was = INDEX_NEW;
    err e = look_at(in, kind, event->object, event->type == KUBE_EVENT_OVERSIZED, &c);
    if (e != OK)
        return pass_over(&c, e);
    TRY(remember(in, &c, added ? INDEX_NEW : INDEX_CHANGED, &was));
    if (was == INDEX_SAME && in->config->ingest.suppress_unchanged) {
        series_add(in->suppressed, 1);
        return OK;
    }
    return tell_outlets(in, was == INDEX_NEW ? INGEST_ADDED : INGEST_MODIFIED, &c);
}

static err take_end(struct ingest *in, enum ingest_kind kind, const struct kube_event *event)
{
    struct change c = {.kind = kind, .names = info_names(kind, event->object)};
    index_key(kind, c.names.uid, c.key);
    (void)index_remove(in->index, kind, c.key);
    return tell_outlets(in, INGEST_DELETED, &c);
}

err change_event(struct ingest *in, enum ingest_kind kind, const struct kube_event *event)
{
    in->kinds[kind].changed_at = loop_now();
    series_add(in->changes, 1);
    return event->of == KUBE_EVENT_DELETED ? take_end(in, kind, event) : take_state(in, kind, event);
}
