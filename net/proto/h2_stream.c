/* h2_stream: one request and its answer. */
#include "net/proto/h2_internal.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

#define RING_BYTES_MIN KIB(4)
#define HEADERS_SPARE  256

/* --- ring --- */

static void ring_drop(struct h2_ring *r)
{
    size_t first = size_min(r->len, r->cap - r->head);
    if (r->len) {
        wipe(r->at + r->head, first);
        wipe(r->at, r->len - first);
    }
    free(r->at);
    *r = (struct h2_ring){0};
}

static err ring_grow(struct h2_ring *r, size_t need, size_t cap_max)
{
    size_t cap = size_max(r->cap, RING_BYTES_MIN);
    while (cap < need)
        cap *= 2;
    cap = size_min(cap, cap_max);
    if (cap < need)
        return E_PROTOCOL; /* more than its window */
    if (cap == r->cap)
        return OK;
    uint8_t *at = malloc(cap);
    if (!at)
        return E_BUDGET;
    size_t first = size_min(r->len, r->cap - r->head);
    if (r->len) {
        memcpy(at, r->at + r->head, first);
        memcpy(at + first, r->at, r->len - first);
    }
    size_t len = r->len;
    ring_drop(r);
    *r = (struct h2_ring){.at = at, .cap = cap, .len = len};
    return OK;
}

static void ring_put(struct h2_ring *r, const uint8_t *data, size_t len)
{
    size_t tail = (r->head + r->len) % r->cap;
    size_t first = size_min(len, r->cap - tail);
    memcpy(r->at + tail, data, first);
    memcpy(r->at, data + first, len - first);
    r->len += len;
}

static size_t ring_take(struct h2_ring *r, uint8_t *into, size_t cap)
{
    size_t n = size_min(cap, r->len);
    size_t first = size_min(n, r->cap - r->head);
    memcpy(into, r->at + r->head, first);
    memcpy(into + first, r->at, n - first);
    wipe(r->at + r->head, first);
    wipe(r->at, n - first);
    r->len -= n;
    r->head = r->len ? (r->head + n) % r->cap : 0;
    return n;
}

/* --- from the session's callbacks --- */

void h2_stream_changed(struct h2_stream *s)
{
    waitq_wake_all(&s->changed);
    bell_ring(s->h->bell);
}

err h2_stream_data(struct h2_stream *s, const uint8_t *data, size_t len)
{
    if (len == 0)
        return OK;
    TRY(ring_grow(&s->ring, s->ring.len + len, s->window_bytes));
    ring_put(&s->ring, data, len);
    h2_stream_changed(s);
    return OK;
}

err h2_stream_header_add(struct h2_stream *s, struct bytes name, struct bytes value)
{
    size_t need = s->headers_len + name.len + value.len + 2;
    if (need > H2_HEADERS_BYTES_MAX)
        return E_RANGE;
    if (need > s->headers_cap) {
        size_t cap = size_min(size_max(2 * s->headers_cap, need + HEADERS_SPARE), H2_HEADERS_BYTES_MAX);
        char *grown = realloc(s->headers, cap);
        if (!grown)
            return E_BUDGET;
        s->headers = grown;
        s->headers_cap = cap;
    }
    char *to = s->headers + s->headers_len;
    memcpy(to, name.at, name.len);
    to[name.len] = 0;
    if (value.len)
        memcpy(to + name.len + 1, value.at, value.len);
    to[name.len + 1 + value.len] = 0;
    s->headers_len = need;
    return OK;
}

void h2_stream_fail(struct h2_stream *s, err e, const char *why)
{
    if (s->error == OK && !(s->ended && s->response)) {
        s->error = e;
        s->why = why;
    }
    h2_stream_changed(s);
}

/* --- the caller's side --- */

static err failure(const struct h2_stream *s)
{
    return s->why && s->why[0] ? trail(s->error, "%s", s->why) : s->error;
}

static void enter(struct h2_stream *s)
{
    s->users++;
    h2_enter(s->h);
}

static void leave(struct h2_stream *s)
{
    struct h2 *h = s->h;
    if (--s->users == 0 && s->released) {
        free(s->headers);
        ring_drop(&s->ring);
        free(s);
    }
    h2_leave(h);
}

/* Those that count against the peer's SETTINGS_MAX_CONCURRENT_STREAMS; one that has ended both ways may lie with its owner. */
static unsigned streams_live(const struct h2 *h)
{
    unsigned count = 0;
    for (const struct h2_stream *s = h->streams; s; s = s->next)
        count += !s->closed;
    return count;
}

unsigned h2_room(const struct h2 *h)
{
    unsigned live = streams_live(h), most = h2_session_streams_max(h);
    return h2_usable(h) && live < most ? most - live : 0;
}

/* Whoever waits has nothing held back any more. */
static err wait_in(struct h2 *h, struct waitq *q, ms deadline)
{
    TRY(h2_push(h));
    return waitq_wait(q, deadline);
}

static err wait_for_room(struct h2 *h, size_t window_bytes, ms deadline)
{
    while (streams_live(h) >= h2_session_streams_max(h) || (window_bytes > h->window_bytes && !h->settings_taken)) {
        TRY(h2_dead(h));
        TRY(wait_in(h, &h->changed, deadline));
    }
    return OK;
}

static err write_all(struct h2_stream *s, ms deadline)
{
    err e = h2_flush(s->h);
    while (e == OK && (s->out_len > 0 || (s->out_end && !s->ended_by_us))) {
        if (s->error != OK || s->closed)
            e = s->error != OK ? failure(s) : E_CLOSED;
        else
            e = waitq_wait(&s->changed, deadline);
    }
    return e;
}

/* The caller's bytes are borrowed no longer. */
static void written(struct h2_stream *s, err e)
{
    s->out_len = 0;
    if (e != OK)
        s->out_end = false; /* half a body has no good end */
}

static struct h2_stream *stream_new(struct h2 *h, const struct h2_call *call)
{
    struct h2_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->h = h;
    s->window_bytes = size_min(size_max(call->window_bytes, h->window_bytes), H2_WINDOW_BYTES_MAX);
    s->out = call->body.at;
    s->out_len = call->body.len;
    s->out_end = call->end;
    s->ended_by_us = call->end && call->body.len == 0;
    s->id = h2_session_request(h, s, call);
    if (s->id < 0) {
        free(s);
        return NULL;
    }
    s->next = h->streams;
    h->streams = s;
    h->stream_count++;
    return s;
}

static err request(struct h2 *h, const struct h2_call *call, ms deadline, struct h2_stream **out)
{
    TRY(wait_for_room(h, call->window_bytes, deadline));
    if (!h2_usable(h))
        return h->dead != OK ? h2_dead(h) : trail(E_CLOSED, "%s is going away", h->authority);
    struct h2_stream *s = stream_new(h, call);
    if (!s)
        return E_BUDGET;
    if (call->more)
        h2_hold(h);
    enter(s);
    err e = call->more && s->out_len == 0 && (s->ended_by_us || !call->end) ? OK : write_all(s, deadline);
    written(s, e);
    if (e == OK)
        *out = s;
    else
        h2_stream_close(s);
    leave(s);
    return e;
}

err h2_stream_begin(struct h2 *h, const struct h2_call *call, ms deadline, struct h2_stream **out)
{
    *out = NULL;
    h2_enter(h);
    err e = request(h, call, deadline, out);
    h2_leave(h);
    return e;
}

err h2_stream_open(struct h2 *h, const char *method, const char *path, const struct h2_header *headers, size_t count, bool end,
                   ms deadline, struct h2_stream **out)
{
    struct h2_call call = {.method = method, .path = path, .headers = headers, .count = count, .end = end};
    return h2_stream_begin(h, &call, deadline, out);
}

err h2_stream_write(struct h2_stream *s, const void *from, size_t len, bool end, ms deadline)
{
    if (s->error != OK)
        return failure(s);
    enter(s);
    s->out = from;
    s->out_len = len;
    s->out_end = end;
    if (s->out_deferred) {
        s->out_deferred = false;
        h2_session_resume(s->h, s->id);
    }
    err e = write_all(s, deadline);
    written(s, e);
    leave(s);
    return e;
}

/* E_AGAIN: it has not come yet. */
static err response_look(const struct h2_stream *s, int *status)
{
    *status = s->status;
    return s->response ? OK : s->error != OK ? failure(s) : E_AGAIN;
}

static err await_response(struct h2_stream *s, ms deadline, int *status)
{
    for (;;) {
        err e = response_look(s, status);
        if (e != E_AGAIN)
            return e;
        TRY(wait_in(s->h, &s->changed, deadline));
    }
}

err h2_stream_response(struct h2_stream *s, ms deadline, int *status)
{
    enter(s);
    err e = await_response(s, deadline, status);
    leave(s);
    return e;
}

err h2_stream_response_now(struct h2_stream *s, int *status)
{
    return response_look(s, status);
}

/* E_AGAIN: nothing is there. Telling the server of the room may wait for the socket. */
static err take(struct h2_stream *s, void *into, size_t cap, size_t *got)
{
    if (s->ring.len == 0)
        return s->error != OK ? failure(s) : s->ended ? OK : E_AGAIN;
    *got = ring_take(&s->ring, into, cap);
    if (!s->closed && s->h->dead == OK)
        h2_session_consumed(s->h, s->id, *got);
    return OK;
}

static err read_some(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    for (;;) {
        err e = take(s, into, cap, got);
        if (e != E_AGAIN)
            return e;
        TRY(wait_in(s->h, &s->changed, deadline));
    }
}

err h2_stream_read(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    *got = 0;
    enter(s);
    err e = read_some(s, into, cap, deadline, got);
    leave(s);
    return e;
}

err h2_stream_read_now(struct h2_stream *s, void *into, size_t cap, size_t *got)
{
    *got = 0;
    enter(s);
    err e = take(s, into, cap, got);
    leave(s);
    return e;
}

static const char *find(const struct h2_stream *s, size_t from, size_t to, const char *name)
{
    for (size_t at = from; at < to;) {
        const char *n = s->headers + at, *v = n + strlen(n) + 1;
        if (strcmp(n, name) == 0)
            return v;
        at = (size_t)(v - s->headers) + strlen(v) + 1;
    }
    return NULL;
}

const char *h2_stream_header(const struct h2_stream *s, const char *name)
{
    return s->response ? find(s, 0, s->trailers_at, name) : NULL;
}

const char *h2_stream_trailer(const struct h2_stream *s, const char *name)
{
    return s->response ? find(s, s->trailers_at, s->headers_len, name) : NULL;
}

void h2_stream_close(struct h2_stream *s)
{
    if (!s)
        return;
    enter(s);
    s->released = true;
    for (struct h2_stream **at = &s->h->streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    s->h->stream_count--;
    h2_session_reset(s->h, s);
    if (s->error == OK) /* for another fiber that waits in it */
        s->error = E_CLOSED;
    h2_stream_changed(s);
    h2_changed(s->h);
    leave(s);
}
