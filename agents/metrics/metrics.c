/* metrics: the three answers, and a page of links for who comes by with a browser. */
#include "agents/metrics/metrics.h"

#include "board/rt/buf.h"
#include "board/rt/fiber.h"
#include "board/rt/mem.h"
#include "board/rt/metric.h"
#include "board/rt/pulse.h"
#include "board/rt/sync.h"
#include "net/proto/http_server.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES      KIB(16)
#define REQUESTS_AT_ONCE 4
#define REQUESTS_OURS    2 /* of them, kept for /healthz and the like */
#define RETRY_AFTER_S    "2"
/* https://prometheus.io/docs/instrumenting/content_negotiation/ */
#define TYPE_PROMETHEUS  "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define TYPE_TEXT        "text/plain; charset=utf-8"

/* An answer of another agent's, in a fiber of its own: it can be ended without the server. */
struct elsewhere {
    struct group group;
    struct metrics_route route;
    struct http_exchange *x;
    err result;
    char words[128]; /* of the trail, which is that fiber's */
    struct elsewhere *next;
};

struct metrics {
    struct metrics_options options;
    struct http_server *server;
    struct elsewhere *elsewhere; /* in work */
    unsigned elsewhere_count, elsewhere_max;
    struct waitq answered;
};

/* The weight of one element of Accept, in thousandths: "text/plain;version=0.0.4;q=0.3" is 300. RFC 9110 12.4.2 */
static unsigned weight_of(struct bytes element)
{
    const uint8_t *q = memmem(element.at, element.len, "q=", 2);
    size_t left = q ? element.len - (size_t)(q - element.at) - 2 : 0;
    if (left == 0 || q[2] != '0')
        return 1000;
    unsigned weight = 0;
    for (size_t i = 0, each = 100; i < 3 && i + 2 < left && q[4 + i] >= '0' && q[4 + i] <= '9'; i++, each /= 10)
        weight += (unsigned)(q[4 + i] - '0') * (unsigned)each;
    return weight;
}

/* What the client gives a media type: the greatest of the elements that begin with it; 0: none, or refused. */
static unsigned accept_weight(struct bytes accept, const char *type)
{
    unsigned best = 0;
    while (accept.len > 0) {
        const uint8_t *comma = memchr(accept.at, ',', accept.len);
        struct bytes element = {accept.at, comma ? (size_t)(comma - accept.at) : accept.len};
        size_t used = element.len + (comma != NULL);
        while (element.len > 0 && (*element.at == ' ' || *element.at == '\t'))
            element = (struct bytes){element.at + 1, element.len - 1};
        size_t len = strlen(type);
        if (element.len >= len && bytes_equal_nocase((struct bytes){element.at, len}, type)) {
            unsigned weight = weight_of(element);
            best = weight > best ? weight : best;
        }
        accept = (struct bytes){accept.at + used, accept.len - used};
    }
    return best;
}

static enum metric_format format_wanted(const struct http_exchange *x)
{
    struct bytes accept;
    if (!http1_find(http_request_of(x), "accept", &accept))
        return METRIC_PROMETHEUS;
    unsigned openmetrics = accept_weight(accept, "application/openmetrics-text");
    return openmetrics > 0 && openmetrics >= accept_weight(accept, "text/plain") ? METRIC_OPENMETRICS : METRIC_PROMETHEUS;
}

static err write_metrics(struct http_exchange *x, struct buf *piece)
{
    enum metric_format format = format_wanted(x);
    struct metric_cursor cursor = {0};
    metric_collect();
    TRY(http_start(x, 200, format == METRIC_OPENMETRICS ? TYPE_OPENMETRICS : TYPE_PROMETHEUS, -1));
    while (!cursor.done) {
        struct text t = text_over((char *)piece->at, size_min(piece->cap, PIECE_BYTES));
        metric_write(&cursor, format, &t);
        TRY(http_write(x, t.at, t.len));
        fiber_breathe();
    }
    return http_finish(x);
}

static err get_metrics(struct metrics *m, struct http_exchange *x)
{
    (void)m;
    struct buf *piece = NULL;
    TRY(buf_wait(PIECE_BYTES, loop_now() + SECONDS(10), &piece));
    err e = write_metrics(x, piece);
    buf_release(piece);
    return e;
}

/* 503 while a task stalls: what a kubelet or Talos restarts on. */
static err get_healthz(struct metrics *m, struct http_exchange *x)
{
    (void)m;
    enum task who = TASK_BOARD;
    char line[96];
    struct text t = text_over(line, sizeof line);
    bool moving = pulse_check(loop_now(), &who) == OK;
    if (moving)
        text_add(&t, "ok\n");
    else
        text_addf(&t, "stalled: %s\n", task_name(who));
    return http_answer(x, moving ? 200 : 503, TYPE_TEXT, bytes_of(line));
}

/* 503 with the reason while there is no configuration to work by; else 200. What else is wrong is told, never a 503 (DESIGN,
 * "What a user meets"). */
static err get_readyz(struct metrics *m, struct http_exchange *x)
{
    char page[1536];
    struct text t = text_over(page, sizeof page);
    const char *why_not = m->options.not_ready ? m->options.not_ready(m->options.not_ready_arg) : NULL;
    struct bytes query = http_request_of(x)->query;
    if (bytes_equal_text(query, "verbose") || bytes_equal_text(query, "verbose=true"))
        for (size_t i = 0; i < m->options.line_count; i++) {
            const struct ready_line *line = &m->options.lines[i];
            char why[256];
            struct text w = text_over(why, sizeof why);
            bool well = line->is_well(line->arg, &w);
            text_addf(&t, "[%c] %s%s%s\n", well ? '+' : '-', line->name, w.len ? ": " : "", why);
        }
    if (why_not)
        text_addf(&t, "not ready: %s\n", why_not);
    else
        text_add(&t, "ready\n");
    return http_answer(x, why_not ? 503 : 200, TYPE_TEXT, bytes_of(page));
}

static err get_root(struct metrics *m, struct http_exchange *x)
{
    static const char *const ours[] = {"/metrics", "/healthz", "/readyz?verbose"};
    char page[2048];
    struct text t = text_over(page, sizeof page);
    text_add(&t, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>holdfast</title><h1>holdfast</h1><ul>");
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        text_addf(&t, "<li><a href=\"%s\">%s</a>", ours[i], ours[i]);
    for (size_t i = 0; i < m->options.route_count; i++)
        text_addf(&t, "<li><a href=\"%s\">%s</a>", m->options.routes[i].path, m->options.routes[i].path);
    text_add(&t, "</ul></html>\n");
    return http_answer(x, 200, "text/html; charset=utf-8", bytes_of(page));
}

static const struct route {
    const char *path;
    err (*answer)(struct metrics *m, struct http_exchange *x);
} own_routes[] = {{"/metrics", get_metrics}, {"/healthz", get_healthz}, {"/readyz", get_readyz}, {"/", get_root}};

static const struct route *route_of(struct bytes path)
{
    for (size_t i = 0; i < COUNT_OF(own_routes); i++)
        if (bytes_equal_text(path, own_routes[i].path))
            return &own_routes[i];
    return NULL;
}

static const struct metrics_route *others_route_of(const struct metrics *m, struct bytes path)
{
    for (size_t i = 0; i < m->options.route_count; i++)
        if (bytes_equal_text(path, m->options.routes[i].path))
            return &m->options.routes[i];
    return NULL;
}

static err elsewhere_run(void *arg)
{
    struct elsewhere *a = arg;
    a->result = a->route.answer(a->route.arg, a->x);
    if (a->result != OK)
        trail_take(a->result, a->words, sizeof a->words);
    return OK;
}

static void elsewhere_remove(struct metrics *m, const struct elsewhere *a)
{
    struct elsewhere **at = &m->elsewhere;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    if (--m->elsewhere_count == 0)
        waitq_wake_all(&m->answered);
}

static err too_many(struct http_exchange *x)
{
    trail_clear();
    TRY(http_add_header(x, "retry-after", RETRY_AFTER_S));
    return http_answer(x, 503, TYPE_TEXT, bytes_of("too many of these are being answered; ask again in a moment\n"));
}

/* Ends with the peer, with the deadline, or when the routes go: a peer that does not read holds nobody up. */
static err answer_elsewhere(struct metrics *m, const struct metrics_route *route, struct http_exchange *x)
{
    if (m->elsewhere_count >= m->elsewhere_max)
        return too_many(x);
    struct elsewhere a = {.route = *route, .x = x, .result = E_CANCELED, .next = m->elsewhere};
    group_open(&a.group, TASK_METRICS);
    m->elsewhere = &a;
    m->elsewhere_count++;
    err e = group_spawn(&a.group, "another's answer", elsewhere_run, &a);
    if (e == OK)
        e = group_join(&a.group, loop_now() + METRICS_ROUTE_MS_MAX);
    group_close(&a.group);
    elsewhere_remove(m, &a);
    if (e == E_BUDGET)
        return too_many(x);
    if (e == E_TIMEOUT && a.result == E_CANCELED)
        return trail(e, "%s: the answer was not made and read in time", a.route.path);
    return a.result == OK || !*a.words ? a.result : trail(a.result, "%s", a.words);
}

static err not_here(const struct metrics *m, struct http_exchange *x)
{
    char page[256];
    struct text t = text_over(page, sizeof page);
    text_add(&t, "not here; there are ");
    for (size_t i = 0; i < m->options.route_count; i++)
        text_addf(&t, "%s, ", m->options.routes[i].path);
    text_add(&t, "/metrics, /healthz and /readyz\n");
    return http_answer(x, 404, TYPE_TEXT, bytes_of(page));
}

static err handle(void *arg, struct http_exchange *x)
{
    struct metrics *m = arg;
    const struct http1_head *request = http_request_of(x);
    const struct route *route = route_of(request->path);
    const struct metrics_route *other = route ? NULL : others_route_of(m, request->path);
    if (!route && !other)
        return not_here(m, x);
    if (request->method == HTTP1_GET || request->method == HTTP1_HEAD)
        return route ? route->answer(m, x) : answer_elsewhere(m, other, x);
    TRY(http_add_header(x, "allow", "GET, HEAD"));
    return http_answer(x, 405, TYPE_TEXT, bytes_of("only GET and HEAD here\n"));
}

/* As many as there are fibers for, beside the one that accepts and one a request. */
static unsigned elsewhere_max(void)
{
    unsigned fibers = mem_profile()->task[TASK_METRICS].fibers;
    return (unsigned)size_min(REQUESTS_AT_ONCE - REQUESTS_OURS, fibers - size_min(fibers, 1 + REQUESTS_AT_ONCE));
}

err metrics_start(const struct metrics_options *o, struct metrics **out)
{
    *out = NULL;
    ASSERT(o->route_count <= METRICS_ROUTES_MAX);
    TRY(metrics_register(o->version, o->target));
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return E_BUDGET;
    m->options = *o;
    struct http_server_options server = {.name = "metrics", .task = TASK_METRICS, .at = o->at, .handle = handle, .arg = m};
    server.limits.connections = mem_profile()->task[TASK_METRICS].connections - 2; /* the listener, and one to say 503 on */
    server.limits.requests_at_once = REQUESTS_AT_ONCE;
    server.limits.body_bytes = 1;
    m->elsewhere_max = elsewhere_max();
    err e = http_server_start(&server, &m->server);
    if (e != OK) {
        free(m);
        return e;
    }
    *out = m;
    return OK;
}

void metrics_set_lines(struct metrics *m, const struct ready_line *lines, size_t count)
{
    m->options.lines = lines;
    m->options.line_count = count;
}

void metrics_set_routes(struct metrics *m, const struct metrics_route *routes, size_t count)
{
    ASSERT(count <= METRICS_ROUTES_MAX);
    m->options.routes = routes;
    m->options.route_count = count;
    for (struct elsewhere *a = m->elsewhere; a; a = a->next)
        group_cancel(&a->group);
    fiber_shield();
    while (m->elsewhere)
        err_ignore(waitq_wait(&m->answered, FOREVER)); /* each wait of theirs ends at once */
    fiber_unshield();
}

const struct addr *metrics_address(const struct metrics *m)
{
    return http_server_address(m->server);
}

void metrics_stop(struct metrics *m, ms deadline)
{
    if (!m)
        return;
    http_server_stop(m->server, deadline);
    free(m);
}
