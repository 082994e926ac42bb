/* kube_request: a request with all its tries, and what is made of that: get, create, update, patch, delete. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/log.h"
#include "board/rt/text.h"
#include "net/format/json_write.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_PAUSE_MS_MAX SECONDS(5)
#define SPREAD_MS          1000 /* drawn on top of Retry-After, so that not all come back at once */
#define TAKEN_MAX          8    /* connections in a row that did not take a request */

enum next { NEXT_RETURN, NEXT_AT_ONCE, NEXT_PAUSE };

struct tries {
    unsigned count, not_taken;
    bool renewed; /* the token */
    bool sent;    /* the last one: the server may have carried it out */
    uint64_t token_version;
};

/* --- one try --- */

static err answer_wait(struct kube_visit *v, ms deadline)
{
    err e = web_status(v->exchange, ms_min(deadline, loop_now() + KUBE_SILENCE_MS), &v->code);
    if (e == OK)
        v->link->heard_at = v->kube->stats.heard_at = loop_now();
    return e;
}

static err try_once(struct kube *k, struct kube_call *c, struct tries *t, ms deadline)
{
    struct kube_visit v;
    *c->status = (struct kube_status){.retry_after_s = -1};
    err e = kube_visit_open(k, c->verb, c->target, c->body, deadline, &v);
    t->sent = v.sent;
    t->token_version = v.token_version;
    TRY(e);
    v.path = c->path;
    e = answer_wait(&v, deadline);
    if (e == OK && (v.code < 200 || v.code > 299))
        e = kube_visit_refused(&v, deadline, c->status);
    else if (e == OK && c->take)
        e = c->take(c->arg, &v, deadline);
    if (e == E_TIMEOUT && loop_now() < deadline)
        kube_link_doubt(k, v.link, deadline);
    kube_visit_end(&v);
    return e;
}

/* --- whether it is tried again --- */

static bool befell_connection(err e)
{
    return e == E_CLOSED || e == E_RESET || e == E_PROTOCOL || e == E_TIMEOUT || e == E_REFUSED || e == E_UNREACHABLE ||
           e == E_NAME || e == E_IO || e == E_TLS;
}

static bool is_passing(int code)
{
    return code == 429 || code == 500 || code == 502 || code == 503 || code == 504;
}

/* What was sent may have been carried out: a second create would meet the first one's object. */
static bool may_repeat(const struct kube_call *c, const struct tries *t)
{
    const struct kube_status *s = c->status;
    return !t->sent || c->verb != KUBE_CREATE || s->code == 429 || (s->code == 503 && s->retry_after_s >= 0);
}

static enum next judge(struct kube *k, struct kube_call *c, struct tries *t, err e, ms deadline)
{
    const struct kube_status *s = c->status;
    if (e == OK || e == E_CANCELED)
        return NEXT_RETURN;
    if (s->code == 0 && e == E_BUSY)
        return ++t->not_taken < TAKEN_MAX ? NEXT_AT_ONCE : NEXT_RETURN;
    if (s->code == 401 && !t->renewed) {
        t->renewed = true;
        return kube_credentials_renew(k, t->token_version, deadline) ? NEXT_AT_ONCE : NEXT_RETURN;
    }
    if (s->code != 0 ? !is_passing(s->code) : !befell_connection(e))
        return NEXT_RETURN;
    return may_repeat(c, t) ? NEXT_PAUSE : NEXT_RETURN;
}

static ms pause_until(const struct kube_call *c, unsigned tries)
{
    ms until = loop_now() + kube_pause(tries, RETRY_PAUSE_MS_MAX);
    if (c->status->retry_after_s <= 0)
        return until;
    ms asked = loop_now() + SECONDS(c->status->retry_after_s) + kube_pause(0, SPREAD_MS);
    return asked > until ? asked : until;
}

err kube_call(struct kube *k, struct kube_call *c, ms deadline)
{
    struct tries t = {.count = 0};
    uint64_t mark = trail_mark();
    for (;;) {
        c->moved = false;
        err e = try_once(k, c, &t, deadline);
        enum next next = judge(k, c, &t, e, deadline);
        if (c->moved)
            t = (struct tries){.count = 0};
        ms until = next == NEXT_PAUSE ? pause_until(c, t.count) : 0;
        if (next == NEXT_RETURN || ++t.count >= KUBE_TRIES_MAX + t.not_taken || until >= deadline) {
            if (e == OK)
                trail_rewind(mark);
            return trail(e, "%s%.100s", k->settings.server, c->path);
        }
        log_debug("a request of the API server is tried again", F("path", c->path), F_U64("tries", t.count),
                  F("error", err_name(e)));
        trail_rewind(mark);
        k->stats.retries++;
        if (next == NEXT_PAUSE)
            TRY(fiber_sleep(until));
    }
}

/* --- one object --- */

static err object_take(void *arg, struct kube_visit *v, ms deadline)
{
    struct kube_into *into = arg;
    if (!into) {
        err_ignore(web_skip(v->exchange, MIB(1), deadline)); /* it is done, whatever it says of it */
        return OK;
    }
    struct json_pick *p = malloc(sizeof *p);
    if (!p)
        return E_BUDGET;
    json_pick_open(p,
                   &(struct json_pick_options){.fields = into->fields, .arena = into->arena, .arena_bytes = into->arena_bytes});
    err e = kube_visit_feed(v, p, deadline);
    if (e == OK)
        into->object = json_pick_root(p);
    wipe(p, sizeof *p);
    free(p);
    return e;
}

err kube_ask(struct kube *k, enum kube_verb verb, const char *path, struct bytes body, struct kube_into *into, ms deadline)
{
    struct kube_status *status = into ? &into->status : calloc(1, sizeof *status);
    if (!status)
        return E_BUDGET;
    struct kube_call c = {
        .verb = verb, .path = path, .target = path, .body = body, .take = object_take, .arg = into, .status = status};
    if (into)
        into->object = NULL;
    err e = kube_call(k, &c, deadline);
    if (!into)
        free(status);
    return e;
}

err kube_delete(struct kube *k, const char *path, const char *uid, const char *resource_version, ms deadline)
{
    char body[512];
    struct text t = text_over(body, sizeof body);
    struct json_writer w = json_write_to(&t);
    json_object(&w); /* metav1.DeleteOptions */
    json_put_text(&w, "kind", "DeleteOptions");
    json_put_text(&w, "apiVersion", "v1");
    json_key(&w, "preconditions");
    json_object(&w);
    if (uid)
        json_put_text(&w, "uid", uid);
    if (resource_version)
        json_put_text(&w, "resourceVersion", resource_version);
    json_object_end(&w);
    json_object_end(&w);
    if (!json_done(&w))
        return trail(E_RANGE, "a uid or resourceVersion over %d bytes", KUBE_OPAQUE_MAX - 1);
    return kube_ask(k, KUBE_DELETE, path, bytes_of(body), NULL, deadline);
}
