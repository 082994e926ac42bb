/* kube_watch_read: from the bytes of a watch to events: a run of JSON documents {"type":…,"object":…} (k8s.io/apimachinery,
 * pkg/apis/meta/v1, WatchEvent). The type comes first, and decides by which fields the object is read. */
#include "net/api/kube/kube_watch_inside.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <string.h>

#define TYPE_QUOTES 4 /* {"type":"ADDED" */

void watch_forget(struct kube_watches *s)
{
    if (s->piece)
        wipe(s->piece->at, s->piece->len);
    if (s->piece)
        s->piece->len = 0;
    s->at = 0;
    s->head_len = s->quotes = 0;
    s->object_ms = 0;
    s->current = NULL;
    json_pick_begin(&s->pick); /* zeroes what was picked */
}

/* --- where a document begins --- */

static bool head_says_error(const struct kube_watches *s)
{
    static const char wanted[] = "{\"type\":\"ERROR\"";
    size_t at = 0;
    for (size_t i = 0; i < s->head_len; i++) {
        if (memchr(" \t\r\n", s->head[i], 4))
            continue;
        if (at + 1 >= sizeof wanted || s->head[i] != (uint8_t)wanted[at])
            return false;
        at++;
    }
    return at + 1 == sizeof wanted;
}

/* Takes bytes until the type is known; no document ends before a brace does. */
static bool head_take(struct kube_watches *s)
{
    while (s->at < s->piece->len && s->head_len < KUBE_HEAD_BYTES) {
        uint8_t c = s->piece->at[s->at];
        s->piece->at[s->at++] = 0;
        if (s->head_len == 0 && memchr(" \t\r\n", c, 4))
            continue;
        s->head[s->head_len++] = c;
        s->quotes += c == '"';
        if (s->quotes == TYPE_QUOTES || c == '}' || *s->head != '{')
            return true;
    }
    return s->head_len == KUBE_HEAD_BYTES;
}

static const struct pick_field *object_fields(const struct kube_watches *s)
{
    if (s->is_error)
        return kube_status_fields;
    return s->current->name_only ? kube_name_only_fields : s->current->fields;
}

static err head_feed(struct kube_watches *s, bool *done)
{
    size_t used;
    s->is_error = head_says_error(s);
    s->fields[1].fields = object_fields(s);
    json_pick_fields(&s->pick, s->fields);
    json_pick_begin(&s->pick);
    err e = json_pick_feed(&s->pick, (struct bytes){s->head, s->head_len}, &used, done);
    if (e == OK && used != s->head_len)
        e = E_CORRUPT;
    wipe(s->head, sizeof s->head);
    s->head_len = s->quotes = 0;
    return e;
}

static err rest_feed(struct kube_watches *s, bool *done)
{
    size_t used;
    err e = json_pick_feed(&s->pick, (struct bytes){s->piece->at + s->at, s->piece->len - s->at}, &used, done);
    if (e != OK)
        return e; /* the stream ends, and all of the piece is wiped */
    wipe(s->piece->at + s->at, used);
    s->at += used;
    return OK;
}

/* --- what a document says --- */

static bool version_take(struct kube_watches *s, struct bytes version)
{
    struct text t = text_over(s->version, sizeof s->version);
    text_add_bytes(&t, version);
    return t.len > 0 && !t.cut && strlen(s->version) == t.len;
}

static bool type_find(struct bytes text, enum kube_event_type *out)
{
    static const enum kube_event_type types[] = {KUBE_EVENT_ADDED, KUBE_EVENT_MODIFIED, KUBE_EVENT_DELETED, KUBE_EVENT_BOOKMARK};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (bytes_equal_text(text, kube_event_name(types[i]))) {
            *out = types[i];
            return true;
        }
    return false;
}

static void object_told(struct kube_watches *s, enum kube_event_type type, const struct pick_node *object, struct kube_event *out)
{
    struct watch *w = s->current;
    *out = (struct kube_event){.tag = w->tag, .type = type, .of = type, .resource_version = s->version};
    if (type != KUBE_EVENT_BOOKMARK) {
        out->object = object;
        out->type = w->name_only ? KUBE_EVENT_OVERSIZED : type;
        w->state.oversized += w->name_only;
        w->name_only = false;
    }
    w->failures = 0;
    w->state.events++;
    w->state.heard_at = loop_now();
    s->told = w;
}

/* The server ends a watch by such an event; 410 mostly. */
static bool error_told(struct kube_watches *s, const struct pick_node *object, struct kube_event *out)
{
    struct watch *w = s->current;
    s->status = (struct kube_status){.retry_after_s = -1};
    kube_status_read(object, &s->status);
    kube_status_missing(&s->status, KUBE_WATCH, w->path);
    watch_forget(s);
    return watch_refused(s, w, out);
}

static bool document_told(struct kube_watches *s, struct kube_event *out)
{
    enum kube_event_type type;
    const struct pick_node *root = json_pick_root(&s->pick), *object = pick_at(root, "object");
    s->object_ms = 0;
    if (s->is_error)
        return error_told(s, object, out);
    if (!type_find(pick_text_at(root, "type"), &type) || !object)
        return false; /* of a kind that is not there yet */
    if (version_take(s, pick_text_at(object, "metadata.resourceVersion"))) {
        object_told(s, type, object, out);
        return true;
    }
    err_ignore(trail(E_PROTOCOL, "an object without a resourceVersion, or with one over %d bytes", KUBE_OPAQUE_MAX - 1));
    watch_failed(s, s->current, E_PROTOCOL);
    return false;
}

/* --- reading --- */

/* Asked for once more, with its metadata only, from the same version: it comes first then. */
static void unfit(struct kube_watches *s, err e)
{
    struct watch *w = s->current;
    if (w->name_only || s->is_error) {
        watch_failed(s, w, trail(e, "%s", json_pick_wrong(&s->pick)));
        return;
    }
    log_warn("an object of a watch is told without its fields: they do not fit, or are others than wanted", F("path", w->path),
             F("where", json_pick_wrong(&s->pick)));
    w->name_only = true;
    watch_again(s, w, true);
}

static err piece_read(struct kube_watches *s)
{
    struct watch *w = s->current;
    size_t got;
    wipe(s->piece->at, s->piece->len);
    s->piece->len = s->at = 0;
    err e = web_read_now(w->visit.exchange, s->piece->at, KUBE_PIECE, &got);
    if (e == E_AGAIN)
        return e;
    if (e == OK && got > 0) {
        s->piece->len = got;
        w->heard = true;
        w->visit.link->heard_at = s->kube->stats.heard_at = loop_now();
        s->kube->stats.received_bytes += got;
        return OK;
    }
    if (e == OK && s->head_len == 0 && !json_pick_inside(&s->pick))
        watch_again(s, w, w->heard || loop_now() - w->since >= SECONDS(KUBE_WATCH_LEAST_S / 2)); /* its timeoutSeconds are over */
    else
        watch_failed(s, w, e == OK ? trail(E_CLOSED, "cut in the middle of an object") : e);
    return OK;
}

bool watch_step(struct kube_watches *s, struct kube_event *out, bool *have)
{
    bool done = false;
    err e = OK;
    if (!json_pick_inside(&s->pick)) {
        if (!head_take(s))
            return false;
        e = head_feed(s, &done);
    }
    if (e == OK && !done && s->at < s->piece->len)
        e = rest_feed(s, &done);
    if (e != OK)
        unfit(s, e);
    else if (done)
        *have = document_told(s, out);
    return s->current && s->at < s->piece->len;
}

err watch_read(struct kube_watches *s, struct kube_event *out, bool *have)
{
    while (s->current && !*have) {
        if (s->at < s->piece->len) {
            (void)watch_step(s, out, have);
            continue;
        }
        if (s->head_len == 0 && !json_pick_inside(&s->pick) && s->piece->len > 0) {
            watch_forget(s); /* between two objects: others have their turn */
            return OK;
        }
        TRY(piece_read(s));
    }
    return OK;
}
