/* deliver_line: the one connection to the platform and the token on it. Both are got by a fiber of their own, so that nobody who
 * has less time than they take ends them, and events go on while a token is renewed. */
#include "agents/ingest/deliver_inside.h"

#include "agents/ingest/fence.h"

#include "board/rt/log.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES KIB(16) /* answers are small */

/* --- lines --- */

static void line_free(struct line *l)
{
    web_hang(l->web, NULL);
    web_close(l->web);
    free(l);
}

void deliver_line_retire(struct deliver *d, struct line *l)
{
    if (l != d->line)
        return;
    d->line = NULL;
    d->health.connected = false;
    if (l->open == 0) {
        line_free(l);
        return;
    }
    l->next = d->left;
    d->left = l;
}

static void line_left(struct deliver *d, struct line *l)
{
    struct line **at = &d->left;
    if (--l->open > 0 || l == d->line)
        return;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    line_free(l);
}

void deliver_line_close_all(struct deliver *d)
{
    if (d->line)
        deliver_line_retire(d, d->line);
    ASSERT(!d->left);
}

static bool is_idle(const struct line *l)
{
    return l->open == 0 && loop_now() - l->heard_at > DELIVER_IDLE_MS;
}

/* --- what a line needs --- */

static err reach(struct deliver *d, struct web **out)
{
    ms deadline = loop_now() + DELIVER_REQUEST_MS_MAX;
    struct stream *s = NULL;
    TRY(dns_connect(d->dns, d->url.host, d->url.port, deadline, &s));
    if (d->until)
        TRY(fence_put(s, d->until, d->until_arg, &s));
    return web_connect_on(s, &d->url, d->tls, WINDOW_BYTES, deadline, out);
}

static err connect(struct deliver *d)
{
    struct line *l = calloc(1, sizeof *l);
    if (!l)
        return E_BUDGET;
    err e = reach(d, &l->web);
    if (e != OK) {
        free(l);
        return e;
    }
    l->heard_at = loop_now();
    web_hang(l->web, &d->bell);
    d->line = l;
    d->health.connected = true;
    d->health.http2 = web_is_h2(l->web);
    return OK;
}

/* After a long silence: the peer may have gone without a word. */
static void look_at(struct deliver *d, struct line *l)
{
    uint64_t mark = trail_mark();
    if (!is_idle(l))
        return;
    l->open++; /* stays while we wait */
    err e = web_is_h2(l->web) ? web_ping(l->web, loop_now() + DELIVER_PING_MS) : E_CLOSED;
    trail_rewind(mark);
    if (e == OK)
        l->heard_at = loop_now();
    else
        deliver_line_retire(d, l);
    line_left(d, l);
}

static enum deliver_reason token_reason(err e)
{
    switch (err_retry(e)) {
    case RETRY_NEVER:
        return e == E_DENIED ? DELIVER_REASON_CREDENTIALS : DELIVER_REASON_TOKEN;
    case RETRY_LATER:
        return e == E_REMOTE || e == E_PROTOCOL || e == E_BUDGET ? DELIVER_REASON_TOKEN : deliver_reason_of(e);
    case RETRY_NONE:
    case RETRY_STOP:
        break;
    }
    return DELIVER_REASON_TOKEN;
}

static err prepare(struct deliver *d, enum deliver_reason *reason)
{
    struct oauth2_token *t = NULL;
    err e = oauth2_take(d->oauth2, loop_now() + OAUTH2_FETCH_MS_MAX + SECONDS(1), &t);
    oauth2_release(t);
    *reason = token_reason(e);
    if (e != OK)
        return e;
    if (d->line)
        look_at(d, d->line);
    if (d->line)
        return OK;
    e = connect(d);
    *reason = deliver_reason_of(e);
    return e;
}

static void prepared(struct deliver *d, err e, enum deliver_reason reason)
{
    d->preparing = false;
    d->prepares++;
    d->prepare_error = e;
    d->prepare_reason = reason;
    d->prepare_failures = e == OK ? 0 : d->prepare_failures + 1;
    if (e != OK)
        d->gate_at = loop_now() + ms_min(deliver_pause(d->prepare_failures), DELIVER_GATE_MS_MAX);
    bell_ring(&d->bell);
    waitq_wake_all(&d->ready);
}

static err prepare_run(void *arg)
{
    struct deliver *d = arg;
    enum deliver_reason reason;
    err e = prepare(d, &reason);
    if (e != OK && e != E_CANCELED)
        log_warn("the platform cannot be spoken to", F("host", d->url.host), F("reason", deliver_reason_text(reason)), F_ERR(e));
    prepared(d, e, reason);
    return OK;
}

bool deliver_line_shut(const struct deliver *d)
{
    return d->until && loop_now() >= d->until(d->until_arg);
}

bool deliver_line_ready(struct deliver *d)
{
    struct oauth2_token *t = NULL;
    bool has_token = oauth2_take_now(d->oauth2, &t) == OK;
    oauth2_release(t);
    if (d->line && !web_usable(d->line->web))
        deliver_line_retire(d, d->line);
    bool has_line = d->line && !is_idle(d->line);
    bool may_begin = loop_now() >= d->gate_at && !deliver_line_shut(d);
    if (!d->preparing && may_begin && (!has_line || !has_token || oauth2_is_due(d->oauth2))) {
        d->preparing = true;
        err e = group_spawn(&d->group, "deliver line", prepare_run, d);
        if (e != OK)
            prepared(d, e, DELIVER_REASON_NETWORK);
    }
    return has_token && has_line && may_begin;
}

/* --- exchanges --- */

err deliver_line_open(struct deliver *d, struct trial *t, enum deliver_call call, const struct bytes *body, uint64_t body_bytes,
                      ms deadline)
{
    TRY(oauth2_take_now(d->oauth2, &t->token));
    const struct http_header headers[] = {
        {"content-type", "application/json"}, {"authorization", t->token->authorization}, {"user-agent", OAUTH2_USER_AGENT}};
    struct web_call c = {.method = "POST", .path = d->path[call], .headers = headers, .header_count = COUNT_OF(headers)};
    if (body) {
        c.body = *body;
        c.more = true;
    } else
        c.body_bytes = (int64_t)body_bytes;
    t->line = d->line;
    t->line->open++;
    t->until = deadline;
    t->got = 0;
    t->status = 0;
    t->bytes = body ? body->len : body_bytes;
    err e = web_open(t->line->web, &c, deadline, &t->exchange);
    return e;
}

void deliver_trial_end(struct deliver *d, struct trial *t)
{
    web_end(t->exchange);
    t->exchange = NULL;
    oauth2_release(t->token);
    t->token = NULL;
    if (t->line)
        line_left(d, t->line);
    t->line = NULL;
    if (d->answer_of == t)
        d->answer_of = NULL;
    waitq_wake_all(&d->ready); /* there is room */
}
