#include "tests/support/platform_peer.h"

#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[PLATFORM_OPS] = {"/oauth/token", "/api/v1/agent/snapshot", "/api/v1/agent/events",
                                                "/api/v1/agent/heartbeat"};

static void wrong(struct platform_peer *p, const char *what, const char *got)
{
    if (p->wrong++ == 0)
        (void)snprintf(p->why, sizeof p->why, "%s: %s", what, got);
}

struct asked {
    char method[8], path[128], content_type[48], user_agent[32], authorization[64];
    const char *body; /* its beginning, ended by a zero */
    size_t bytes;
};
struct answer {
    unsigned status;
    const struct platform_fault *fault;
    char body[160];
};

static const struct platform_fault *fault_of(const struct platform_peer *p, enum platform_op op, unsigned n)
{
    for (unsigned i = 0; i < p->fault_count; i++) {
        const struct platform_fault *f = &p->faults[i];
        if (f->op == op && n >= f->from && (f->to == 0 || n <= f->to))
            return f;
    }
    return NULL;
}

static enum platform_op op_of(struct platform_peer *p, const struct asked *a)
{
    for (unsigned op = 0; op < PLATFORM_OPS; op++)
        if (strcmp(a->path, paths[op]) == 0)
            return op;
    wrong(p, "path", a->path);
    return PLATFORM_OPS;
}

static void head_check(struct platform_peer *p, const struct asked *a, enum platform_op op)
{
    const char *type = op == PLATFORM_TOKEN ? "application/x-www-form-urlencoded" : "application/json";
    if (strcmp(a->method, "POST") != 0)
        wrong(p, "method", a->method);
    if (strcmp(a->content_type, type) != 0)
        wrong(p, "content type", a->content_type);
    if (strcmp(a->user_agent, "obsyk-operator/1.0") != 0)
        wrong(p, "user agent", a->user_agent);
    if (op == PLATFORM_TOKEN && a->authorization[0])
        wrong(p, "a token request with", a->authorization);
}

static void token_make(struct platform_peer *p, const struct asked *a, struct answer *out)
{
    if (strncmp(a->body, "assertion=", 10) != 0)
        wrong(p, "form", a->body);
    p->tokens++;
    if (p->token_answer)
        (void)snprintf(out->body, sizeof out->body, "%s", p->token_answer);
    else if (p->life_s)
        (void)snprintf(out->body, sizeof out->body, "{\"access_token\":\"tok-%u\",\"token_type\":\"Bearer\",\"expires_in\":%u}",
                       p->tokens, p->life_s);
    else
        (void)snprintf(out->body, sizeof out->body, "{\"access_token\":\"tok-%u\"}", p->tokens);
}

static void take(struct platform_peer *p, enum platform_op op, const struct asked *a, struct answer *out)
{
    unsigned number = 0, token = 0;
    if (sscanf(a->authorization, "Bearer tok-%u", &token) != 1)
        wrong(p, "authorization", a->authorization);
    else if (token < p->refused_below) {
        out->status = 401;
        return;
    }
    if (p->taken)
        p->taken(op, op == PLATFORM_SNAPSHOT ? p->snapshot : a->body);
    if (op != PLATFORM_EVENT || p->taken)
        return;
    if (sscanf(a->body, "{\"n\":%u", &number) != 1)
        wrong(p, "event", a->body);
    if (p->event_count < PLATFORM_ARRIVALS_MAX)
        p->events[p->event_count++] = number;
}

static struct answer decide(struct platform_peer *p, const struct asked *a)
{
    struct answer out = {.status = 404};
    enum platform_op op = op_of(p, a);
    if (op == PLATFORM_OPS)
        return out;
    unsigned n = ++p->count[op];
    if (n <= PLATFORM_STEPS_MAX)
        p->arrived[op][n - 1] = loop_now();
    p->body_bytes[op] += a->bytes;
    head_check(p, a, op);
    out.fault = fault_of(p, op, n);
    out.status = out.fault && out.fault->status ? out.fault->status : 200;
    if (out.fault && out.fault->body)
        (void)snprintf(out.body, sizeof out.body, "%s", out.fault->body);
    bool done = out.status >= 200 && out.status < 300 &&
                (!out.fault || out.fault->how == PLATFORM_ANSWER || out.fault->how == PLATFORM_LOST);
    if (done && op == PLATFORM_TOKEN && out.body[0] == 0)
        token_make(p, a, &out);
    else if (done && op != PLATFORM_TOKEN)
        take(p, op, a, &out);
    p->good[op] += done && out.status < 300;
    return out;
}

/* --- HTTP/1.1 --- */

static void field_copy(const struct http1_head *h, const char *name, char *out, size_t cap)
{
    struct bytes value;
    out[0] = 0;
    if (http1_find(h, name, &value))
        (void)snprintf(out, cap, "%.*s", (int)value.len, (const char *)value.at);
}

static err body_take(struct platform_peer *p, struct http_exchange *x, struct asked *a, char *body, size_t cap)
{
    uint8_t piece[1024];
    size_t got = 1, kept = 0;
    uint32_t sum = 0;
    while (got > 0) {
        TRY(http_read_body(x, piece, sizeof piece, &got));
        size_t some = size_min(got, cap - 1 - kept);
        memcpy(body + kept, piece, some);
        kept += some;
        if (p->taken && strcmp(a->path, paths[PLATFORM_SNAPSHOT]) == 0 && a->bytes + got < sizeof p->snapshot) {
            memcpy(p->snapshot + a->bytes, piece, got);
            p->snapshot[a->bytes + got] = 0;
        }
        a->bytes += got;
        for (size_t i = 0; i < got; i++)
            sum = sum * 31 + piece[i];
    }
    body[kept] = 0;
    a->body = body;
    if (strcmp(a->path, paths[PLATFORM_SNAPSHOT]) == 0)
        p->body_sum = sum;
    return OK;
}

static err h1_answer(struct http_exchange *x, const struct answer *out)
{
    const struct platform_fault *f = out->fault;
    if (f && f->wait_ms)
        TRY(fiber_sleep(loop_now() + f->wait_ms));
    if (f && f->how != PLATFORM_ANSWER)
        return E_CLOSED;
    if (f && f->header) {
        char name[32] = "";
        size_t len = strcspn(f->header, ":");
        memcpy(name, f->header, size_min(len, sizeof name - 1));
        TRY(http_add_header(x, name, f->header + len + 2));
    }
    return http_answer(x, (int)out->status, "application/json", bytes_of(out->body));
}

static err h1_handle(void *arg, struct http_exchange *x)
{
    struct platform_peer *p = arg;
    const struct http1_head *h = http_request_of(x);
    struct asked a = {.bytes = 0};
    char body[1500];
    (void)snprintf(a.method, sizeof a.method, "%s", http1_method_name(h->method));
    (void)snprintf(a.path, sizeof a.path, "%.*s", (int)h->path.len, (const char *)h->path.at);
    field_copy(h, "content-type", a.content_type, sizeof a.content_type);
    field_copy(h, "user-agent", a.user_agent, sizeof a.user_agent);
    field_copy(h, "authorization", a.authorization, sizeof a.authorization);
    if (http_body_length(x) < 0)
        wrong(p, "no content length", a.path);
    if (++p->in_work > p->in_work_peak)
        p->in_work_peak = p->in_work;
    err e = body_take(p, x, &a, body, sizeof body);
    if (e == OK && strcmp(a.path, paths[PLATFORM_TOKEN]) == 0)
        (void)snprintf(p->last_token_body, sizeof p->last_token_body, "%s", body);
    if (e == OK) {
        struct answer out = decide(p, &a);
        e = h1_answer(x, &out);
    }
    p->in_work--;
    return e;
}

/* --- HTTP/2 --- */

static const struct server_step *h2_script(void *arg, const struct server_request *r)
{
    struct platform_peer *p = arg;
    struct asked a = {.bytes = r->len};
    char body[sizeof r->body + 1];
    (void)snprintf(a.method, sizeof a.method, "%s", r->method);
    (void)snprintf(a.path, sizeof a.path, "%s", r->path);
    (void)snprintf(a.content_type, sizeof a.content_type, "%s", r->content_type);
    (void)snprintf(a.user_agent, sizeof a.user_agent, "%s", r->user_agent);
    (void)snprintf(a.authorization, sizeof a.authorization, "%s", r->authorization);
    memcpy(body, r->body, size_min(r->len, sizeof r->body));
    body[size_min(r->len, sizeof r->body)] = 0;
    a.body = body;
    struct answer out = decide(p, &a);
    unsigned slot = p->steps_used++ % PLATFORM_STEPS_MAX;
    struct server_step *s = p->steps[slot], *first = s;
    strcpy(p->answers[slot], out.body);
    if (out.fault && out.fault->wait_ms)
        *s++ = (struct server_step){.what = SERVER_WAIT, .count = out.fault->wait_ms};
    if (out.fault && out.fault->how != PLATFORM_ANSWER)
        *s++ = (struct server_step){.what = SERVER_VANISH};
    *s++ = (struct server_step){.what = SERVER_HEADERS, .count = out.status, .text = "application/json"};
    if (out.body[0])
        *s++ = (struct server_step){.what = SERVER_RAW, .bytes = bytes_of(p->answers[slot])};
    *s++ = (struct server_step){.what = SERVER_BARE_END};
    return first;
}

/* --- */

void platform_peer_forget(struct platform_peer *p)
{
    size_t from = offsetof(struct platform_peer, count), to = offsetof(struct platform_peer, h1);
    memset((char *)p + from, 0, to - from);
}

err platform_peer_open(struct platform_peer *p)
{
    platform_peer_forget(p);
    if (p->tls) {
        p->h2 = (struct server){.script = h2_script, .arg = p, .tls = p->tls};
        enum task own = mem_task();
        mem_set_task(TASK_BACKUP); /* what it accepts is charged to who listens */
        err e = sock_listen(&p->h2.listener, &p->at, &p->at);
        mem_set_task(own);
        if (e != OK)
            return e;
        group_open(&p->group, TASK_BACKUP);
        return group_spawn(&p->group, "platform", server_listen, &p->h2);
    }
    struct http_server_options o = {.name = "platform", .task = TASK_BACKUP, .at = p->at, .handle = h1_handle, .arg = p};
    o.limits.body_bytes = MIB(64);
    TRY(http_server_start(&o, &p->h1));
    p->at = *http_server_address(p->h1);
    return OK;
}

void platform_peer_close(struct platform_peer *p)
{
    http_server_stop(p->h1, loop_now());
    p->h1 = NULL;
    group_close(&p->group);
    if (p->tls)
        sock_close(&p->h2.listener);
}
