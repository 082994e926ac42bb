/* control: the hub's side of the control socket. */
#include "board/control_inside.h"

#include "board/rt/log.h"
#include "net/format/hex.h"
#include "net/format/json_write.h"

#include <stdlib.h>
#include <string.h>

#define START_MS_MAX  SECONDS(10)
#define IDLE_MS_MAX   SECONDS(5)
#define STREAM_TYPE   "application/x-ndjson"
#define LINE_BYTES    KIB(1)
#define SPARE_SOCKETS 2 /* the listener, and one to say 503 on */
#define SPARE_FIBERS  1 /* the one that accepts */
#define IN_WORK_MAX   16

struct answering {           /* one request whose handler runs */
    struct http_exchange *x; /* NULL: free */
    bool started, ended;
};

struct control {
    struct http_server *server;
    struct control_place place;
    struct control_route routes[CONTROL_ROUTES_MAX];
    size_t route_count;
};
/* By exchange, which is all that control_progress() is given. */
static struct answering in_work[IN_WORK_MAX];

static struct answering *answering_of(const struct http_exchange *x)
{
    for (size_t i = 0; i < COUNT_OF(in_work); i++)
        if (in_work[i].x == x)
            return &in_work[i];
    return NULL;
}

/* --- parameters --- */
/* Takes the next of "a=1&b=2" off the front of *query. */
static struct bytes pair_next(struct bytes *query)
{
    const uint8_t *end = query->len ? memchr(query->at, '&', query->len) : NULL;
    struct bytes pair = {query->at, end ? (size_t)(end - query->at) : query->len};
    size_t used = pair.len + (end ? 1 : 0);
    *query = (struct bytes){query->at + used, query->len - used};
    return pair;
}

/* RFC 3986 2.1. False: a broken escape, a zero, or it does not fit. */
static bool decode(struct bytes s, char *out, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        int c = s.at[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.at[i + 1]) : -1, low = high >= 0 ? hex_digit(s.at[i + 2]) : -1;
            c = low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c == 0 || len + 1 >= cap)
            return false;
        out[len++] = (char)c;
    }
    out[len] = 0;
    return true;
}

static struct bytes pair_value(struct bytes pair, size_t *name_len)
{
    const uint8_t *equals = pair.len ? memchr(pair.at, '=', pair.len) : NULL;
    *name_len = equals ? (size_t)(equals - pair.at) : pair.len;
    size_t used = *name_len + (equals ? 1 : 0);
    return (struct bytes){pair.at + used, pair.len - used};
}

/* Checked before any handler: one that cannot be read must not look as if it were not there. */
static bool query_is_good(struct bytes query)
{
    char value[CONTROL_PARAMETER_MAX];
    size_t name_len;
    while (query.len > 0)
        if (!decode(pair_value(pair_next(&query), &name_len), value, sizeof value))
            return false;
    return true;
}

bool control_parameter(const struct http_exchange *x, const char *name, char *out, size_t cap)
{
    struct bytes query = http_request_of(x)->query;
    ASSERT(cap >= CONTROL_PARAMETER_MAX);
    while (query.len > 0) {
        size_t name_len;
        struct bytes pair = pair_next(&query), value = pair_value(pair, &name_len);
        if (bytes_equal_text((struct bytes){pair.at, name_len}, name))
            return decode(value, out, cap);
    }
    return false;
}

/* --- answers --- */
static err start_stream(struct answering *a)
{
    if (a->started)
        return OK;
    a->started = true;
    return http_start(a->x, 200, STREAM_TYPE, -1);
}

err control_progress(struct http_exchange *x, const char *what, uint64_t received_bytes, uint64_t total_bytes)
{
    struct answering *a = answering_of(x);
    char storage[LINE_BYTES];
    struct text line = text_over(storage, sizeof storage);
    struct json_writer w = json_write_to(&line);
    ASSERT(a && !a->ended);
    json_object(&w);
    json_key(&w, "progress");
    json_object(&w);
    json_put_u64(&w, "received_bytes", received_bytes);
    json_put_u64(&w, "total_bytes", total_bytes);
    json_put_text(&w, "what", what);
    json_object_end(&w);
    json_object_end(&w);
    text_add(&line, "\n");
    if (line.cut) /* nothing but words is lost */
        return OK;
    TRY(start_stream(a));
    return http_write(x, line.at, line.len);
}

/* A line break in JSON is space between values: in the line it becomes one. */
static err write_json(struct http_exchange *x, const char *json)
{
    for (size_t len; *json; json += len + (json[len] == '\n')) {
        len = strcspn(json, "\n");
        TRY(http_write(x, json, len));
        if (json[len] == '\n')
            TRY(http_write(x, " ", 1));
    }
    return OK;
}

static void error_line(struct text *line, const char *error, enum exit_code code)
{
    char shown[CONTROL_ERROR_MAX];
    struct text cut = text_over(shown, sizeof shown);
    struct json_writer w = json_write_to(line);
    text_add(&cut, error ? error : "no reason is known");
    json_object(&w);
    json_put_text(&w, "error", shown);
    json_put_u64(&w, "exit", (uint64_t)code);
    json_object_end(&w);
    text_add(line, "\n");
}

err control_result(struct http_exchange *x, const char *json, const char *error, enum exit_code code)
{
    struct answering *a = answering_of(x);
    char storage[6 * CONTROL_ERROR_MAX + 64]; /* every byte as \\u0000 */
    struct text line = text_over(storage, sizeof storage);
    ASSERT(a && !a->ended);
    TRY(start_stream(a));
    a->ended = true;
    if (json) {
        TRY(http_write(x, "{\"result\":", strlen("{\"result\":")));
        TRY(write_json(x, json));
        text_addf(&line, ",\"exit\":%d}\n", (int)code);
    } else {
        error_line(&line, error, code);
    }
    TRY(http_write(x, line.at, line.len));
    return http_finish(x);
}

/* --- requests --- */
static err refuse(struct http_exchange *x, int status, const char *why)
{
    char storage[256];
    struct text line = text_over(storage, sizeof storage);
    error_line(&line, why, EXIT_WRONG_USE);
    return http_answer(x, status, "application/json", bytes_of(storage));
}

/* What went wrong is told in the answer, if that has not ended. */
static err tell_failure(struct answering *a, err e)
{
    char why[CONTROL_ERROR_MAX];
    if (e == OK || e == E_CANCELED || a->ended)
        return e;
    (void)trail_text(e, why, sizeof why);
    trail_clear();
    return control_result(a->x, NULL, why, exit_code_of(e));
}

static err run(const struct control_route *r, struct http_exchange *x)
{
    struct answering *a = answering_of(NULL);
    if (!a) /* more than IN_WORK_MAX: control_start() asked for fewer fibers */
        return E_FULL;
    *a = (struct answering){.x = x};
    err e = tell_failure(a, r->answer(r->arg, x));
    *a = (struct answering){0};
    return e;
}

static err handle(void *arg, struct http_exchange *x)
{
    const struct control *c = arg;
    const struct http1_head *h = http_request_of(x);
    bool known = false;
    if (!query_is_good(h->query))
        return refuse(x, 400, "a parameter cannot be read");
    for (size_t i = 0; i < c->route_count; i++) {
        if (!bytes_equal_text(h->path, c->routes[i].path))
            continue;
        known = true;
        if (strcmp(c->routes[i].method, http1_method_name(h->method)) == 0)
            return run(&c->routes[i], x);
    }
    return known ? refuse(x, 405, "another method is wanted here")
                 : refuse(x, 404, "the running hub does not know this; is it of another version?");
}

/* --- start and stop --- */
static err serve(struct control *c)
{
    const struct task_budget *b = &mem_profile()->task[TASK_CONTROL];
    struct http_server_options o = {.name = "control", .task = TASK_CONTROL, .at = c->place.at, .handle = handle, .arg = c};
    o.limits.connections = b->connections - SPARE_SOCKETS;
    o.limits.requests_at_once = (unsigned)size_min(size_min(b->fibers - SPARE_FIBERS, o.limits.connections), IN_WORK_MAX);
    o.limits.body_bytes = 1;
    o.limits.idle_ms = IDLE_MS_MAX;
    return http_server_start(&o, &c->server);
}

err control_start(const char *data, const struct control_route *routes, size_t count, struct control **out)
{
    *out = NULL;
    ASSERT(count <= CONTROL_ROUTES_MAX);
    struct control *c = calloc(1, sizeof *c);
    if (!c)
        return E_BUDGET;
    memcpy(c->routes, routes, count * sizeof *routes);
    c->route_count = count;
    err e = control_place_open(data, loop_now() + START_MS_MAX, &c->place);
    if (e == OK)
        e = serve(c);
    if (e == OK) {
        *out = c;
        return OK;
    }
    control_place_close(&c->place);
    free(c);
    return trail(e, "control socket %s/" CONTROL_SOCKET_NAME, data);
}

void control_stop(struct control *c, ms deadline)
{
    if (!c)
        return;
    struct lane lane;
    http_server_stop(c->server, deadline);
    lane_open(&lane, "control", mem_task(), 1);
    err e = file_remove(&lane, c->place.at.path, deadline);
    lane_close(&lane);
    if (e != OK && e != E_ABSENT) /* the next hub takes it over */
        log_debug("the control socket stays", F_ERR(e));
    control_place_close(&c->place);
    free(c);
}
