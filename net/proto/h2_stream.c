/* h2_stream: one request and its answer. */
#include "net/proto/h2_internal.h"

#include "board/rt/text.h"

#include <stdlib.h>
#include <string.h>

#define RING_BYTES_MIN KIB(4)

/* --- ring --- */

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
    free(r->at);
    *r = (struct h2_ring){.at = at, .cap = cap, .len = r->len};
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
    r->len -= n;
    r->head = r->len ? (r->head + n) % r->cap : 0;
    return n;
}

/* --- from the session's callbacks --- */

err h2_stream_data(struct h2_stream *s, const uint8_t *data, size_t len)
{
    if (len == 0)
        return OK;
    TRY(ring_grow(&s->ring, s->ring.len + len, size_max(s->h->window_bytes, RING_BYTES_MIN)));
    ring_put(&s->ring, data, len);
    waitq_wake_all(&s->changed);
    return OK;
}

err h2_stream_header_add(struct h2_stream *s, struct bytes name, struct bytes value)
{
    size_t need = s->headers_len + name.len + value.len + 2;
    if (need > H2_HEADERS_BYTES_MAX)
        return E_RANGE;
    if (!s->headers && !(s->headers = malloc(H2_HEADERS_BYTES_MAX)))
        return E_BUDGET;
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
    waitq_wake_all(&s->changed);
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
        free(s->ring.at);
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

static err wait_for_room(struct h2 *h, ms deadline)
{
    while (streams_live(h) >= h2_session_streams_max(h)) {
        TRY(h2_dead(h));
        TRY(waitq_wait(&h->changed, deadline));
    }
    return OK;
}

static err request(struct h2 *h, const char *method, const char *path, const struct h2_header *headers, size_t count, bool end,
                   ms deadline, struct h2_stream **out)
{
    TRY(wait_for_room(h, deadline));
    if (!h2_usable(h))
        return h->dead != OK ? h2_dead(h) : trail(E_CLOSED, "%s is going away", h->authority);
    struct h2_stream *s = calloc(1, sizeof *s);
    if (!s)
        return E_BUDGET;
    s->h = h;
    s->ended_by_us = end;
    s->id = h2_session_request(h, s, method, path, headers, count, end);
    if (s->id < 0) {
        free(s);
        return E_BUDGET;
    }
    s->next = h->streams;
    h->streams = s;
    h->stream_count++;
    err e = h2_flush(h);
    if (e == OK)
        *out = s;
    else
        h2_stream_close(s);
    return e;
}

err h2_stream_open(struct h2 *h, const char *method, const char *path, const struct h2_header *headers, size_t count, bool end,
                   ms deadline, struct h2_stream **out)
{
    *out = NULL;
    h2_enter(h);
    err e = request(h, method, path, headers, count, end, deadline, out);
    h2_leave(h);
    return e;
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
    s->out_len = 0; /* the caller's bytes are borrowed no longer */
    if (e != OK)
        s->out_end = false; /* half a body has no good end */
    leave(s);
    return e;
}

static err await_response(struct h2_stream *s, ms deadline, int *status)
{
    while (!s->response) {
        if (s->error != OK)
            return failure(s);
        TRY(waitq_wait(&s->changed, deadline));
    }
    *status = s->status;
    return OK;
}

err h2_stream_response(struct h2_stream *s, ms deadline, int *status)
{
    enter(s);
    err e = await_response(s, deadline, status);
    leave(s);
    return e;
}

static err read_some(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    while (s->ring.len == 0) {
        if (s->error != OK)
            return failure(s);
        if (s->ended)
            return OK;
        TRY(waitq_wait(&s->changed, deadline));
    }
    *got = ring_take(&s->ring, into, cap);
    if (!s->closed && s->h->dead == OK)
        h2_session_consumed(s->h, s->id, *got);
    return OK;
}

err h2_stream_read(struct h2_stream *s, void *into, size_t cap, ms deadline, size_t *got)
{
    *got = 0;
    enter(s);
    err e = read_some(s, into, cap, deadline, got);
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
    waitq_wake_all(&s->changed);
    waitq_wake_all(&s->h->changed);
    leave(s);
}
