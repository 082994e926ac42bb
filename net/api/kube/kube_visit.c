/* kube_visit: one try of a request on one connection. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_BYTES_MAX KIB(1) /* white space behind a document */

static const struct {
    const char *method, *content_type;
} verbs[] = {
#define X(id, name, method, content_type) {method, content_type},
    KUBE_VERBS(X)
#undef X
};

/* --- asking --- */

static char *bearer_make(const struct kube *k)
{
    const struct secret *t = &k->settings.token;
    char *bearer = malloc(sizeof "Bearer " + t->len);
    if (bearer) {
        memcpy(bearer, "Bearer ", 7);
        if (t->len > 0)
            memcpy(bearer + 7, t->at, t->len);
        bearer[7 + t->len] = 0;
    }
    return bearer;
}

static void bearer_free(char *bearer)
{
    if (bearer)
        wipe(bearer, strlen(bearer));
    free(bearer);
}

/* 0: the connection's. A list is read as fast as it comes. */
static size_t window_of(const struct kube_visit *v)
{
    return v->verb == KUBE_LIST ? KUBE_LIST_WINDOW : v->verb == KUBE_WATCH ? v->kube->watch_window_bytes : 0;
}

static err send(struct kube_visit *v, const char *target, struct bytes body, const char *bearer, ms deadline)
{
    const struct kube *k = v->kube;
    struct http_header h[4] = {{"accept", "application/json"}, {"user-agent", k->user_agent}};
    size_t count = 2;
    if (k->settings.token.at)
        h[count++] = (struct http_header){"authorization", bearer};
    if (body.len > 0)
        h[count++] = (struct http_header){"content-type", verbs[v->verb].content_type};
    struct web_call call = {.method = verbs[v->verb].method,
                            .path = target,
                            .headers = h,
                            .header_count = count,
                            .body = body,
                            .window_bytes = window_of(v),
                            .more = v->verb == KUBE_WATCH};
    return web_open(v->link->web, &call, deadline, &v->exchange);
}

static err target_make(const struct kube *k, const char *target, char **out)
{
    size_t cap = strlen(k->settings.prefix) + strlen(target) + 1;
    *out = malloc(cap);
    if (!*out)
        return E_BUDGET;
    struct text t = text_over(*out, cap);
    text_add(&t, k->settings.prefix);
    text_add(&t, target);
    return OK;
}

err kube_visit_open(struct kube *k, enum kube_verb verb, const char *target, struct bytes body, ms deadline,
                    struct kube_visit *out)
{
    char *path = NULL, *bearer = NULL;
    *out = (struct kube_visit){.kube = k, .verb = verb, .path = target};
    kube_token_refresh(k, deadline);
    out->token_version = k->token_version;
    TRY(kube_link_take(k, verb == KUBE_WATCH, deadline, &out->link));
    out->token_version = k->token_version; /* it may have been read with the settings */
    err e = target_make(k, target, &path);
    bearer = bearer_make(k);
    if (e == OK && !bearer)
        e = E_BUDGET;
    out->sent = e == OK;
    if (e == OK)
        e = send(out, path, body, bearer, deadline);
    bearer_free(bearer);
    free(path);
    k->stats.requests++;
    if (e != OK)
        kube_visit_end(out);
    return e;
}

void kube_visit_end(struct kube_visit *v)
{
    struct kube_link *l = v->link;
    if (!l)
        return;
    web_end(v->exchange);
    v->exchange = NULL;
    v->link = NULL;
    kube_link_give(v->kube, l);
}

/* --- the answer --- */

err kube_visit_read(struct kube_visit *v, struct buf *into, ms deadline, size_t *got)
{
    err e = web_read(v->exchange, into->at, KUBE_PIECE, deadline, got);
    if (e == OK && *got > 0) {
        v->link->heard_at = v->kube->stats.heard_at = loop_now();
        v->kube->stats.received_bytes += *got;
    }
    return e;
}

static err feed_all(struct kube_visit *v, struct buf *b, struct json_pick *p, ms deadline)
{
    bool done = false;
    size_t got = 1;
    while (!done) {
        size_t used;
        TRY(kube_visit_read(v, b, ms_min(deadline, loop_now() + KUBE_SILENCE_MS), &got));
        if (got == 0) {
            TRY(json_pick_end(p));
            return trail(E_CORRUPT, "an empty answer");
        }
        err e = json_pick_feed(p, (struct bytes){b->at, got}, &used, &done);
        wipe(b->at, got);
        v->unfit = e != OK;
        TRY(e);
        fiber_breathe();
    }
    err_ignore(web_skip(v->exchange, TAIL_BYTES_MAX, deadline)); /* else the connection is not used again, no more */
    return OK;
}

err kube_visit_feed(struct kube_visit *v, struct json_pick *p, ms deadline)
{
    struct buf *b = NULL;
    TRY(buf_wait(KUBE_PIECE, deadline, &b));
    err e = feed_all(v, b, p, deadline); /* wipes each piece */
    buf_release(b);
    if (v->unfit)
        return trail(e, "%s", json_pick_wrong(p));
    return e;
}

/* --- refusals --- */

struct refusal {
    struct json_pick pick;
    uint64_t arena[KUBE_STATUS_ARENA / sizeof(uint64_t)];
};

static bool is_json(const struct kube_visit *v)
{
    const char *type = web_header(v->exchange, "content-type");
    return type && strncmp(type, "application/json", 16) == 0;
}

static err plain_read(struct kube_visit *v, struct kube_status *out, ms deadline)
{
    struct buf *b = NULL;
    size_t got;
    TRY(buf_wait(KUBE_PIECE, deadline, &b));
    err e = kube_visit_read(v, b, deadline, &got);
    if (e == OK)
        kube_text_printable((struct bytes){b->at, got}, out->message, sizeof out->message);
    wipe(b->at, KUBE_PIECE);
    buf_release(b);
    return e;
}

static err status_read(struct kube_visit *v, struct kube_status *out, ms deadline)
{
    if (!is_json(v))
        return plain_read(v, out, deadline);
    struct refusal *r = malloc(sizeof *r);
    if (!r)
        return E_BUDGET;
    json_pick_open(&r->pick,
                   &(struct json_pick_options){.fields = kube_status_fields, .arena = r->arena, .arena_bytes = sizeof r->arena});
    err e = kube_visit_feed(v, &r->pick, deadline);
    if (e == OK)
        kube_status_read(json_pick_root(&r->pick), out);
    free(r);
    return e;
}

static int retry_after(const struct kube_visit *v)
{
    uint64_t seconds;
    const char *value = web_header(v->exchange, "retry-after");
    if (!value || !text_to_u64(bytes_of(value), &seconds))
        return -1;
    return (int)(seconds < KUBE_RETRY_AFTER_S ? seconds : KUBE_RETRY_AFTER_S);
}

err kube_visit_refused(struct kube_visit *v, ms deadline, struct kube_status *out)
{
    uint64_t mark = trail_mark();
    *out = (struct kube_status){.code = v->code, .retry_after_s = retry_after(v)};
    err e = status_read(v, out, ms_min(deadline, loop_now() + KUBE_SILENCE_MS));
    if (e == E_CANCELED)
        return e;
    trail_rewind(mark);
    kube_status_missing(out, v->verb, v->path);
    err told = kube_status_err(out, v->verb);
    if (out->missing[0])
        told = trail(told, "%s", out->missing);
    return trail(told, "%s: %s", kube_verb_name(v->verb), out->message[0] ? out->message : "refused without a reason");
}
