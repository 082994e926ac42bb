/* h2: the connection. nghttp2 keeps the protocol's state; this file moves its bytes and turns its callbacks into wake-ups. */
#include "net/proto/h2_internal.h"

#include "board/rt/text.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nghttp2_session *session_of(const struct h2 *h)
{
    return h->session;
}

void h2_die(struct h2 *h, err why)
{
    if (h->dead != OK)
        return;
    h->dead = why;
    for (struct h2_stream *s = h->streams; s; s = s->next)
        h2_stream_fail(s, why, h->why);
    waitq_wake_all(&h->changed);
}

err h2_dead(const struct h2 *h)
{
    return h->why[0] ? trail(h->dead, "%s", h->why) : h->dead;
}

void h2_enter(struct h2 *h)
{
    h->users++;
}

void h2_leave(struct h2 *h)
{
    if (--h->users == 0)
        waitq_wake_all(&h->idle);
}

/* --- callbacks: they store and wake, nothing waits inside the session --- */

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    (void)flags;
    struct h2 *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    nghttp2_session_consume_connection(session, len); /* each stream's own window bounds what is held */
    if (!s)
        return 0;
    h->delivered = true;
    err e = h2_stream_data(s, data, len);
    if (e != OK) {
        h2_stream_fail(s, e, NULL);
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
                                  e == E_BUDGET ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_FLOW_CONTROL_ERROR);
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)flags;
    (void)user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s)
        return 0;
    struct bytes n = {name, name_len}, v = {value, value_len};
    if (bytes_equal_text(n, ":status")) {
        uint64_t status = 0;
        if (text_to_u64(v, &status) && !s->response)
            s->status = (int)status;
        return 0;
    }
    if (s->status < 200 && !s->response)
        return 0; /* a 1xx answer's fields are nobody's */
    err e = h2_stream_header_add(s, n, v);
    if (e != OK) {
        h2_stream_fail(s, e, e == E_RANGE ? "response headers too large" : NULL);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static void frame_of_stream(struct h2_stream *s, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_HEADERS && !s->response && s->status >= 200) {
        s->response = true;
        s->trailers_at = s->headers_len;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        s->ended = true;
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && s->out_deferred)
        return;
    waitq_wake_all(&s->changed);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (s)
        frame_of_stream(s, frame);
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        h->settings_seen = true;
    else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        h->pings_answered++;
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        h->goaway = true;
    else
        return 0;
    waitq_wake_all(&h->changed);
    return 0;
}

static void stream_reset(struct h2_stream *s, uint32_t code)
{
    if (code == NGHTTP2_NO_ERROR)
        h2_stream_fail(s, E_CLOSED, NULL);
    else
        h2_stream_fail(s, code == NGHTTP2_REFUSED_STREAM ? E_BUSY : E_RESET, nghttp2_http2_strerror(code));
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s) {
        s->closed = true;
        if (!s->ended && s->error == OK)
            stream_reset(s, code);
        waitq_wake_all(&s->changed);
    }
    waitq_wake_all(&h->changed);
    return 0;
}

/* RFC 9113 §6.8: a peer's GOAWAY code, or ours, says why; nghttp2's number is kept as words. */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    (void)session;
    (void)frame;
    struct h2 *h = user;
    err_ignore(trail(E_PROTOCOL, "HTTP/2: %s", nghttp2_strerror(code)));
    (void)h;
    return 0;
}

/* A GOAWAY of ours with an error: nghttp2 found the peer's frames wrong, and says of what (RFC 9113 §6.8, debug data). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    (void)session;
    if (frame->hd.type != NGHTTP2_GOAWAY || frame->goaway.error_code == NGHTTP2_NO_ERROR)
        return 0;
    h->broken = true;
    (void)snprintf(h->fault, sizeof h->fault, "%s: %.*s", nghttp2_http2_strerror(frame->goaway.error_code),
                   (int)size_min(frame->goaway.opaque_data_len, sizeof h->fault), (const char *)frame->goaway.opaque_data);
    return 0;
}

static err session_make(struct h2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    err e = E_BUDGET;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        goto cleanup;
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_option_set_no_auto_window_update(option, 1);
    if (nghttp2_session_client_new2(&session, callbacks, h, option) != 0)
        goto cleanup;
    h->session = session;
    e = OK;
cleanup:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return e;
}

static err session_greet(struct h2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)h->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)H2_HEADERS_BYTES_MAX},
    };
    if (nghttp2_submit_settings(session_of(h), NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) != 0)
        return E_BUDGET;
    size_t connection_window = size_min(h->window_bytes * H2_STREAMS_MAX, INT32_MAX);
    if (nghttp2_session_set_local_window_size(session_of(h), NGHTTP2_FLAG_NONE, 0, (int32_t)connection_window) != 0)
        return E_BUDGET;
    return OK;
}

/* --- bytes --- */

static err write_all(struct h2 *h, ms patience)
{
    for (;;) {
        const uint8_t *data = NULL;
        nghttp2_ssize len = nghttp2_session_mem_send2(session_of(h), &data);
        if (len < 0)
            return len == NGHTTP2_ERR_NOMEM ? E_BUDGET : trail(E_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)len));
        if (len == 0)
            return OK;
        TRY(stream_write(h->under, data, (size_t)len, loop_now() + patience));
        h->sent_bytes += (uint64_t)len;
    }
}

/* Another fiber's write in work asks the session again before it ends, and so takes ours along. */
static err flush(struct h2 *h)
{
    if (h->writing)
        return OK;
    h->writing = true;
    ms patience = h->closing || fiber_canceled() ? H2_CLOSE_MS_MAX : H2_WRITE_MS_MAX;
    fiber_shield(); /* half a frame would break the connection for every stream */
    err e = write_all(h, patience);
    fiber_unshield();
    h->writing = false;
    return e;
}

static bool is_hang_up(err e)
{
    return e == E_RESET || e == E_CLOSED;
}

err h2_flush(struct h2 *h)
{
    if (h->dead != OK)
        return h->dead;
    err e = flush(h);
    if (e == OK)
        return OK;
    ms until = loop_now() + H2_LAST_WORDS_MS;
    while (is_hang_up(e) && h->reading && h->dead == OK)
        if (waitq_wait(&h->changed, until) != OK)
            break;
    h2_die(h, e);
    return h2_dead(h);
}

static err read_once(struct h2 *h)
{
    size_t got = 0;
    TRY(stream_read(h->under, h->read_buffer, H2_READ_BYTES, FOREVER, &got));
    if (got == 0)
        return trail(E_CLOSED, "HTTP/2 connection ended by %s", h->authority);
    h->received_bytes += got;
    h->delivered = false;
    nghttp2_ssize used = nghttp2_session_mem_recv2(session_of(h), h->read_buffer, got);
    if (used < 0)
        return used == NGHTTP2_ERR_NOMEM ? E_BUDGET : trail(E_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)used));
    err e = nghttp2_session_want_write(session_of(h)) ? flush(h) : OK;
    if (e != OK && !is_hang_up(e)) /* else the next read tells why */
        return e;
    if (h->broken)
        return trail(E_PROTOCOL, "HTTP/2: %s", h->fault);
    if (!nghttp2_session_want_read(session_of(h)))
        return trail(E_CLOSED, "HTTP/2 session with %s is over", h->authority);
    return OK;
}

/* The reader's trail is its own: who waits for a stream is told these words instead, without the error's text at their end. */
static void why_keep(struct h2 *h, err e)
{
    size_t end = strlen(err_text(e)) + strlen(": ");
    trail_text(e, h->why, sizeof h->why);
    size_t len = strlen(h->why);
    h->why[len > end ? len - end : 0] = 0;
    trail_clear();
}

static err reader(void *arg)
{
    struct h2 *h = arg;
    err e = OK;
    while (e == OK && h->dead == OK) {
        e = read_once(h);
        if (h->delivered)
            fiber_yield(); /* whoever waits for these bytes runs before more come */
    }
    h->reading = false;
    if (e != OK && h->dead == OK)
        why_keep(h, e);
    h2_die(h, e == OK ? h->dead : e);
    return OK; /* the error is told by every stream of this connection */
}

/* --- open, close --- */

/* Whoever waits in it is woken and has left before its memory goes. */
static void h2_free(struct h2 *h)
{
    h2_die(h, E_CANCELED);
    stream_close(h->under); /* wakes a fiber that writes or reads there */
    group_close(&h->group);
    fiber_shield();
    while (h->users > 0)
        err_ignore(waitq_wait(&h->idle, FOREVER));
    fiber_unshield();
    nghttp2_session_del(session_of(h));
    free(h->read_buffer);
    free(h);
}

static err await_settings(struct h2 *h, ms deadline)
{
    while (!h->settings_seen && h->dead == OK) {
        err e = waitq_wait(&h->changed, deadline);
        if (e != OK)
            return e;
    }
    return h2_dead(h);
}

err h2_open(struct stream *under, const char *scheme, const char *authority, size_t window_bytes, ms deadline, struct h2 **out)
{
    *out = NULL;
    struct h2 *h = calloc(1, sizeof *h);
    if (!h) {
        stream_close(under);
        return E_BUDGET;
    }
    h->under = under;
    h->task = mem_task();
    h->window_bytes = size_min(size_max(window_bytes, 65535), MIB(4)); /* RFC 9113 §6.5.2: 65,535 is the least everyone has */
    (void)snprintf(h->scheme, sizeof h->scheme, "%s", scheme);
    (void)snprintf(h->authority, sizeof h->authority, "%s", authority);
    h->read_buffer = malloc(H2_READ_BYTES);
    group_open(&h->group, h->task);
    err e = h->read_buffer ? session_make(h) : E_BUDGET;
    if (e == OK)
        e = session_greet(h);
    if (e == OK)
        e = group_spawn(&h->group, "h2 reader", reader, h);
    h->reading = e == OK;
    if (e == OK)
        e = h2_flush(h);
    if (e == OK)
        e = await_settings(h, deadline);
    if (e != OK) {
        h2_free(h);
        return trail(e, "HTTP/2 with %s", authority);
    }
    *out = h;
    return OK;
}

bool h2_usable(const struct h2 *h)
{
    return h->dead == OK && !h->goaway && nghttp2_session_check_request_allowed(session_of(h));
}

void h2_close(struct h2 *h)
{
    if (!h)
        return;
    h->closing = true;
    while (h->streams)
        h2_stream_close(h->streams);
    if (h->dead == OK && !h->writing) {
        nghttp2_session_terminate_session(session_of(h), NGHTTP2_NO_ERROR);
        err_ignore(h2_flush(h));
    }
    h2_free(h);
}

static err await_ping(struct h2 *h, unsigned mine, ms deadline)
{
    TRY(h2_flush(h));
    while ((int)(h->pings_answered - mine) < 0) {
        TRY(h2_dead(h));
        TRY(waitq_wait(&h->changed, deadline));
    }
    return OK;
}

err h2_ping(struct h2 *h, ms deadline)
{
    TRY(h2_dead(h));
    if (nghttp2_submit_ping(session_of(h), NGHTTP2_FLAG_NONE, NULL) != 0)
        return E_BUDGET;
    h2_enter(h);
    err e = await_ping(h, ++h->pings_sent, deadline);
    h2_leave(h);
    return e;
}

struct h2_stats h2_stats(const struct h2 *h)
{
    return (struct h2_stats){h->received_bytes, h->sent_bytes, h->stream_count, h->goaway};
}

/* --- what h2_stream.c asks of the session --- */

static nghttp2_ssize give_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t cap, uint32_t *flags,
                               nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)user;
    struct h2_stream *s = source->ptr;
    if (s->out_len == 0 && !s->out_end) {
        s->out_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = size_min(cap, s->out_len);
    if (n)
        memcpy(into, s->out, n);
    s->out += n;
    s->out_len -= n;
    if (s->out_len == 0 && s->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        s->ended_by_us = true;
    }
    if (s->out_len == 0)
        waitq_wake_all(&s->changed);
    return (nghttp2_ssize)n;
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

#define REQUEST_HEADERS_MAX 24

int32_t h2_session_request(struct h2 *h, struct h2_stream *s, const char *method, const char *path,
                           const struct h2_header *headers, size_t count, bool end)
{
    nghttp2_nv fields[REQUEST_HEADERS_MAX];
    ASSERT(count + 4 <= REQUEST_HEADERS_MAX);
    fields[0] = pair(":method", method);
    fields[1] = pair(":scheme", h->scheme);
    fields[2] = pair(":authority", h->authority);
    fields[3] = pair(":path", path);
    for (size_t i = 0; i < count; i++)
        fields[4 + i] = pair(headers[i].name, headers[i].value);
    nghttp2_data_provider2 body = {.source.ptr = s, .read_callback = give_body};
    return nghttp2_submit_request2(session_of(h), NULL, fields, count + 4, end ? NULL : &body, s);
}

void h2_session_resume(struct h2 *h, int32_t id)
{
    (void)nghttp2_session_resume_data(session_of(h), id);
}

void h2_session_consumed(struct h2 *h, int32_t id, size_t len)
{
    (void)nghttp2_session_consume_stream(session_of(h), id, len);
    if (nghttp2_session_want_write(session_of(h)))
        err_ignore(h2_flush(h)); /* its failure is the connection's, which every stream tells */
}

void h2_session_reset(struct h2 *h, struct h2_stream *s)
{
    (void)nghttp2_session_set_stream_user_data(session_of(h), s->id, NULL);
    if (s->closed || h->dead != OK || (s->ended && s->ended_by_us))
        return;
    (void)nghttp2_submit_rst_stream(session_of(h), NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    err_ignore(h2_flush(h));
}

unsigned h2_session_streams_max(struct h2 *h)
{
    uint32_t theirs = nghttp2_session_get_remote_settings(session_of(h), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return theirs < H2_STREAMS_MAX ? theirs : H2_STREAMS_MAX;
}
