/* kube_watch_open: opens watches, and mends them. */
#include "net/api/kube/kube_watch_inside.h"

#include "board/rt/log.h"
#include "board/rt/os.h"
#include "board/rt/text.h"

#include <string.h>

#define REFUSED_MS       SECONDS(5) /* for the body of a refusal */
#define REFUSED_LEAST_MS SECONDS(1)
#define AHEAD_TRIES      3
#define STEADY_MS        SECONDS(5) /* a watch that was open for so long has not failed at once */

/* --- mending --- */

void watch_again(struct kube_watches *s, struct watch *w, bool at_once)
{
    if (w->is == WATCH_OPEN && loop_now() - w->since > STEADY_MS)
        w->failures = 0;
    watch_end(s, w);
    w->is = WATCH_DUE;
    w->due = loop_now() + (at_once ? 0 : kube_pause(w->failures++, KUBE_BACKOFF_MS_MAX));
}

void watch_failed(struct kube_watches *s, struct watch *w, err e)
{
    uint64_t mark = trail_mark();
    w->state.resets++;
    w->state.error = e;
    if (!s->troubled)
        log_warn("watches of the API server are interrupted and opened again", F("server", s->kube->settings.server),
                 F("path", w->path), F_ERR(e));
    s->troubled = true;
    w->name_only = false;
    trail_rewind(mark);
    watch_again(s, w, false);
}

static bool told(struct kube_watches *s, struct watch *w, enum kube_event_type type, struct kube_event *out)
{
    *out = (struct kube_event){.tag = w->tag, .type = type, .of = type, .resource_version = "", .status = &s->status};
    return true;
}

static bool credentials_again(struct kube_watches *s, struct watch *w)
{
    if (s->status.code != 401 || w->renewed)
        return false;
    w->renewed = true;
    return kube_credentials_renew(s->kube, w->visit.token_version, loop_now() + REFUSED_MS);
}

/* A version that the server has not reached: it lags behind another one (then it passes), or etcd went back to a backup. */
static bool is_ahead(const struct kube_watches *s, const struct watch *w)
{
    return w->failures > AHEAD_TRIES && strstr(s->status.message, "Too large resource version");
}

bool watch_refused(struct kube_watches *s, struct watch *w, struct kube_event *out)
{
    int code = s->status.code;
    if (credentials_again(s, w)) {
        watch_again(s, w, true);
        return false;
    }
    watch_again(s, w, false);
    if (code == 410 || is_ahead(s, w)) {
        w->is = WATCH_GONE;
        return told(s, w, KUBE_EVENT_GONE, out);
    }
    if (code == 401 || code == 403 || code == 404 || code == 405) {
        /* soon at first: an API server that starts, or whose etcd is away, refuses everything */
        ms pause = kube_pause(w->failures, KUBE_FORBIDDEN_MS);
        w->due = loop_now() + (pause > REFUSED_LEAST_MS ? pause : REFUSED_LEAST_MS);
        return told(s, w, code < 404 ? KUBE_EVENT_FORBIDDEN : KUBE_EVENT_ABSENT, out);
    }
    if (s->status.retry_after_s > 0)
        w->due = w->state.waits_until = loop_now() + SECONDS(s->status.retry_after_s) + kube_pause(0, SECONDS(1));
    log_warn("a watch is refused, it is opened again later", F("path", w->path), F_I64("status", code),
             F("message", s->status.message));
    return false;
}

/* --- opening --- */

static unsigned timeout_s(void)
{
    uint32_t random;
    os_random(&random, sizeof random);
    return KUBE_WATCH_LEAST_S + random % (KUBE_WATCH_MOST_S - KUBE_WATCH_LEAST_S + 1);
}

static err target_make(const struct watch *w, char *target, size_t cap)
{
    struct text t = text_over(target, cap);
    text_add(&t, w->path);
    kube_query_add(&t, "watch", bytes_of("1"));
    kube_query_add(&t, "allowWatchBookmarks", bytes_of("true"));
    kube_query_add(&t, "resourceVersion", bytes_of(w->state.resource_version));
    text_addf(&t, "&timeoutSeconds=%u", timeout_s());
    return t.cut ? E_RANGE : OK;
}

static err watch_ask(struct kube_watches *s, struct watch *w, ms deadline)
{
    char target[KUBE_PATH_MAX + 4 * KUBE_OPAQUE_MAX];
    TRY(target_make(w, target, sizeof target));
    err e = kube_visit_open(s->kube, KUBE_WATCH, target, (struct bytes){.len = 0}, deadline, &w->visit);
    w->visit.path = w->path;
    if (e != OK)
        return e;
    w->is = WATCH_ASKED;
    w->since = loop_now();
    w->heard = false;
    w->state.opens++;
    e = web_flush(w->visit.link->web, deadline);
    return e;
}

void watch_open(struct kube_watches *s, struct watch *w, ms deadline)
{
    struct kube *k = s->kube;
    w->state.waits_until = 0;
    if (loop_now() < k->not_before) { /* nobody can be reached until then */
        w->due = k->not_before;
        return;
    }
    uint64_t mark = trail_mark();
    err e = watch_ask(s, w, ms_min(deadline, loop_now() + KUBE_CONNECT_MS));
    if (e == E_CANCELED || (e == E_TIMEOUT && loop_now() >= deadline))
        watch_again(s, w, true); /* when the caller comes back */
    else if (e != OK)
        watch_failed(s, w, e);
    trail_rewind(mark);
}

static void all_is_well(struct kube_watches *s, const struct watch *w)
{
    if (s->troubled)
        log_info("watches of the API server are open again", F("server", s->kube->settings.server), F("path", w->path));
    s->troubled = false;
}

bool watch_answered(struct kube_watches *s, struct watch *w, struct kube_event *out)
{
    err e = web_status_now(w->visit.exchange, &w->visit.code);
    if (e == E_AGAIN && loop_now() - w->since < WATCH_ASKED_MS)
        return false;
    if (e != OK) {
        watch_failed(s, w, e == E_AGAIN ? trail(E_TIMEOUT, "no answer") : e);
        return false;
    }
    w->visit.link->heard_at = s->kube->stats.heard_at = loop_now();
    if (w->visit.code == 200) {
        w->is = WATCH_OPEN;
        w->state.open = true;
        w->state.error = OK;
        w->renewed = false;
        all_is_well(s, w);
        return false;
    }
    uint64_t mark = trail_mark();
    e = kube_visit_refused(&w->visit, loop_now() + REFUSED_MS, &s->status);
    trail_rewind(mark);
    if (e != E_CANCELED)
        return watch_refused(s, w, out);
    watch_again(s, w, true);
    return false;
}
