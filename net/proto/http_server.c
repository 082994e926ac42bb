/* http_server: connections that come, rest, wait for a fiber and go. A connection at rest is a record and a timer; when bytes
 * come it joins the queue, and one of at most requests_at_once fibers serves it. */
#include "net/proto/http_server.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "net/proto/http_server_inside.h"

#include <stdlib.h>
#include <string.h>

#define ACCEPT_AGAIN_MS   100 /* after a failed accept, and at most between two looks at a spent budget */
#define RESPAWN_MS        50
#define REFUSAL_LINGER_MS 200 /* the accept loop's own wait for a refused peer */

static struct family family_requests = {.name = "holdfast_http_requests_total",
                                        .help = "Requests answered, by listener and class of the status.",
                                        .type = METRIC_COUNTER,
                                        .labels = {"listener", "code_class"}};
static struct family family_refused = {.name = "holdfast_http_refused_total",
                                       .help = "Requests and connections refused before any handler, by reason.",
                                       .type = METRIC_COUNTER,
                                       .labels = {"listener", "reason"}};
static struct family family_connections = {
    .name = "holdfast_http_connections", .help = "Open connections of a listener.", .type = METRIC_GAUGE, .labels = {"listener"}};

/* --- counting --- */

static const char *reason_of(int status)
{
    switch (status) {
#define X(code, reason)                                                                                                          \
    case code:                                                                                                                   \
        return reason;
        HTTP_REFUSAL_TABLE(X)
#undef X
    default:
        return "other";
    }
}

void http_count_refusal(struct http_server *s, int status)
{
    struct series *series = NULL;
    s->use.refused++;
    if (metric_series(&family_refused, (const char *const[]){s->options.name, reason_of(status)}, &series) == OK)
        series_add(series, 1);
}

static void count_connections(struct http_server *s, int by)
{
    s->use.connections += (unsigned)by;
    if (s->use.connections > s->use.connections_peak)
        s->use.connections_peak = s->use.connections;
    series_set(s->connections, s->use.connections);
}

static void metrics_open(struct http_server *s)
{
    static const char *const classes[HTTP_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    const char *name = s->options.name;
    for (unsigned i = 1; i < HTTP_CLASSES; i++)
        if (metric_series(&family_requests, (const char *const[]){name, classes[i]}, &s->requests[i]) != OK)
            s->requests[i] = NULL; /* refused and counted there; writing to NULL is fine */
    if (metric_series(&family_connections, (const char *const[]){name}, &s->connections) != OK)
        s->connections = NULL;
}

/* --- the queue and its workers --- */

static void queue_put(struct visit *v)
{
    struct http_server *s = v->server;
    v->state = VISIT_QUEUED;
    v->next = NULL;
    if (s->last)
        s->last->next = v;
    else
        s->first = v;
    s->last = v;
}

static struct visit *queue_take(struct http_server *s)
{
    struct visit *v = s->first;
    if (v) {
        s->first = v->next;
        s->last = s->first ? s->last : NULL;
    }
    return v;
}

static err worker_run(void *arg)
{
    struct http_server *s = arg;
    for (struct visit *v; (v = queue_take(s)) != NULL;) {
        v->state = VISIT_WORKING;
        s->use.in_work++;
        visit_serve(v);
        s->use.in_work--;
        trail_clear();
    }
    s->workers--;
    return OK;
}

/* As many fibers as there is work for. With none at all the timer tries again. */
static void workers_wake(struct http_server *s)
{
    if (!s->first || s->workers >= s->options.limits.requests_at_once)
        return;
    if (group_spawn(&s->group, "http request", worker_run, s) == OK)
        s->workers++;
    else if (s->workers == 0 && !s->group.canceled)
        timer_arm(&s->respawn, loop_now() + RESPAWN_MS);
}

static void respawn(struct timer *t)
{
    workers_wake(CONTAINER_OF(t, struct http_server, respawn));
}

bool http_server_is_pressed(const struct http_server *s)
{
    return s->first != NULL;
}

/* --- connections --- */

static void work_begin(struct visit *v)
{
    timer_disarm(&v->idle);
    v->server->use.resting--;
    queue_put(v);
    workers_wake(v->server);
}

static void on_readable(void *arg)
{
    work_begin(arg);
}

/* A close may have to say goodbye (TLS), which needs a fiber. */
static void on_idle(struct timer *t)
{
    struct visit *v = CONTAINER_OF(t, struct visit, idle);
    stream_wake(v->stream);
    v->expired = true;
    work_begin(v);
}

void visit_rest(struct visit *v)
{
    struct http_server *s = v->server;
    if (s->stopping) {
        visit_release(v);
        return;
    }
    err e = stream_rest(v->stream, on_readable, v);
    if (e == E_AGAIN) { /* bytes are here already: its next turn */
        queue_put(v);
    } else if (e == OK) {
        v->state = VISIT_RESTING;
        s->use.resting++;
        timer_arm(&v->idle, v->idle_until);
    } else {
        visit_release(v);
    }
}

void visit_release(struct visit *v)
{
    struct http_server *s = v->server;
    struct stream *stream = v->stream;
    v->stream = NULL;
    stream_close(stream); /* may wait */
    v->state = VISIT_FREE;
    v->next = s->free;
    s->free = v;
    count_connections(s, -1);
    (void)waitq_wake_one(&s->freed);
}

static void visit_open(struct http_server *s, struct stream *stream)
{
    struct visit *v = s->free;
    s->free = v->next;
    *v = (struct visit){.server = s,
                        .stream = stream,
                        .state = VISIT_WORKING,
                        .handshake_due = s->tls != NULL,
                        .idle_until = loop_now() + s->options.limits.idle_ms,
                        .idle = {.fire = on_idle}};
    count_connections(s, 1);
    visit_rest(v); /* until its first byte comes */
    workers_wake(s);
}

/* --- accepting --- */

/* One more than there is room for: told so where that can be told without a handshake. */
static void visit_refuse(struct http_server *s, struct stream *stream)
{
    char text[256];
    struct visit v = {.server = s, .stream = stream};
    ms deadline = loop_now() + REFUSAL_LINGER_MS;
    http_count_refusal(s, 503);
    size_t len = http_refusal_text(503, "too many connections", text, sizeof text);
    if (!s->tls && stream_write(stream, text, len, deadline) == OK)
        http_linger(&v, deadline);
    stream_close(stream);
}

static err accept_run(void *arg)
{
    struct http_server *s = arg;
    for (;;) {
        struct stream *stream = NULL;
        struct addr peer;
        err e = tcp_accept(&s->listener, FOREVER, &stream, &peer);
        if (e == E_CANCELED || e == E_CLOSED || s->stopping) {
            stream_close(stream);
            return OK;
        }
        if (e == OK && s->free)
            visit_open(s, stream);
        else if (e == OK)
            visit_refuse(s, stream);
        else
            e = waitq_wait(&s->freed, loop_now() + ACCEPT_AGAIN_MS); /* budget spent: until one ends; else a pause */
        if (e == E_CANCELED)
            return OK;
        trail_clear();
    }
}

/* --- start and stop --- */

#define DEFAULT(field, value) l->field = l->field ? l->field : (value)

static void limits_fill(struct http_limits *l)
{
    DEFAULT(connections, 32);
    DEFAULT(requests_at_once, 4);
    DEFAULT(head_bytes, KIB(8));
    DEFAULT(body_bytes, MIB(1));
    DEFAULT(head_ms, SECONDS(10));
    DEFAULT(body_idle_ms, SECONDS(30));
    DEFAULT(idle_ms, SECONDS(75));
    DEFAULT(write_ms, SECONDS(30));
    DEFAULT(requests_per_connection, 1000);
}

static void visits_fill(struct http_server *s)
{
    for (unsigned i = s->options.limits.connections; i-- > 0;) {
        s->visits[i].server = s;
        s->visits[i].next = s->free;
        s->free = &s->visits[i];
    }
}

/* Charged to the listener's task. */
static err server_open(const struct http_server_options *o, struct http_server **out)
{
    struct http_limits limits = o->limits;
    limits_fill(&limits);
    struct http_server *s = calloc(1, sizeof *s + limits.connections * sizeof s->visits[0]);
    if (!s)
        return E_BUDGET;
    s->options = *o;
    s->options.limits = limits;
    s->respawn.fire = respawn;
    s->listener = SOCK_CLOSED;
    visits_fill(s);
    group_open(&s->group, o->task);
    err e = sock_listen(&s->listener, &o->at, &s->at);
    if (e == OK)
        e = group_spawn(&s->group, "http accept", accept_run, s);
    if (e != OK) {
        sock_close(&s->listener);
        free(s);
        return e;
    }
    *out = s;
    return OK;
}

err http_server_start(const struct http_server_options *o, struct http_server **out)
{
    enum task caller = mem_task();
    *out = NULL;
    mem_set_task(o->task);
    err e = server_open(o, out);
    mem_set_task(caller);
    if (e != OK)
        return trail(e, "starting the HTTP listener %s", o->name);
    metrics_open(*out);
    if (o->tls)
        http_server_set_tls(*out, o->tls);
    return OK;
}

const struct addr *http_server_address(const struct http_server *s)
{
    return &s->at;
}

void http_server_set_tls(struct http_server *s, struct tls_config *c)
{
    struct tls_config *old = s->tls;
    s->tls = tls_config_share(c);
    tls_config_release(old);
}

/* Nobody's request is in work on these. */
static void resting_close(struct http_server *s)
{
    for (unsigned i = 0; i < s->options.limits.connections; i++) {
        struct visit *v = &s->visits[i];
        if (v->state != VISIT_RESTING)
            continue;
        stream_wake(v->stream);
        timer_disarm(&v->idle);
        s->use.resting--;
        v->state = VISIT_WORKING;
        visit_release(v);
    }
    for (struct visit *v; (v = queue_take(s)) != NULL;) {
        v->state = VISIT_WORKING;
        visit_release(v);
    }
}

void http_server_stop(struct http_server *s, ms deadline)
{
    if (!s)
        return;
    s->stopping = true;
    timer_disarm(&s->respawn);
    sock_close(&s->listener);
    waitq_wake_all(&s->freed);
    resting_close(s);
    if (group_join(&s->group, deadline) != OK)
        log_warn("requests cut short by the stop", F("listener", s->options.name), F_U64("requests", s->use.in_work));
    group_close(&s->group);
    resting_close(s); /* queued since */
    ASSERT(s->use.connections == 0);
    tls_config_release(s->tls);
    free(s);
}

struct http_server_use http_server_use(const struct http_server *s)
{
    return s->use;
}
