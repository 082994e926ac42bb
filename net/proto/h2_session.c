/* h2_session: the protocol's state, which nghttp2 keeps. The one file that knows nghttp2; its callbacks turn into wake-ups. */
#include "net/proto/h2_internal.h"

#include "board/rt/text.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

static nghttp2_session *session_of(const struct h2 *h)
{
    return h->session;
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
    h2_stream_changed(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (s)
        frame_of_stream(s, frame);
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        h->settings_taken = true;
    else if (frame->hd.type == NGHTTP2_SETTINGS)
        h->settings_seen = true;
    else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        h->pings_answered++;
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        h->goaway = true;
    else
        return 0;
    h2_changed(h);
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
        h2_stream_changed(s);
    }
    h2_changed(h);
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

/* A window of its own: WINDOW_UPDATE behind the HEADERS, RFC 9113 §6.9. */
static void window_grant(nghttp2_session *session, const struct h2 *h, int32_t id)
{
    const struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s && s->window_bytes > h->window_bytes)
        (void)nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, id, (int32_t)s->window_bytes);
}

/* A GOAWAY of ours with an error: nghttp2 found the peer's frames wrong, and says of what (RFC 9113 §6.8, debug data). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    if (frame->hd.type == NGHTTP2_HEADERS)
        window_grant(session, h, frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_GOAWAY || frame->goaway.error_code == NGHTTP2_NO_ERROR)
        return 0;
    h->broken = true;
    (void)snprintf(h->fault, sizeof h->fault, "%s: %.*s", nghttp2_http2_strerror(frame->goaway.error_code),
                   (int)size_min(frame->goaway.opaque_data_len, sizeof h->fault), (const char *)frame->goaway.opaque_data);
    return 0;
}

static err make(struct h2 *h)
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

static err greet(struct h2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)h->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)H2_HEADERS_BYTES_MAX},
    };
    if (nghttp2_submit_settings(session_of(h), NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) != 0)
        return E_BUDGET;
    size_t connection_window = size_min(size_max(h->window_bytes * H2_STREAMS_MAX, H2_WINDOW_BYTES_MAX), INT32_MAX);
    if (nghttp2_session_set_local_window_size(session_of(h), NGHTTP2_FLAG_NONE, 0, (int32_t)connection_window) != 0)
        return E_BUDGET;
    return OK;
}

err h2_session_open(struct h2 *h)
{
    TRY(make(h));
    return greet(h);
}

void h2_session_close(struct h2 *h)
{
    nghttp2_session_del(session_of(h));
    h->session = NULL;
}

/* --- bytes --- */

static err failed(nghttp2_ssize code)
{
    return code == NGHTTP2_ERR_NOMEM ? E_BUDGET : trail(E_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)code));
}

err h2_session_output(struct h2 *h, struct bytes *out)
{
    const uint8_t *data = NULL;
    mem_wipe_freed(true); /* its copies of request headers, which may be tokens */
    nghttp2_ssize len = nghttp2_session_mem_send2(session_of(h), &data);
    mem_wipe_freed(false);
    if (len < 0)
        return failed(len);
    *out = (struct bytes){data, (size_t)len};
    return OK;
}

err h2_session_input(struct h2 *h, struct bytes in)
{
    nghttp2_ssize used = nghttp2_session_mem_recv2(session_of(h), in.at, in.len);
    return used < 0 ? failed(used) : OK;
}

bool h2_session_has_output(const struct h2 *h)
{
    return nghttp2_session_want_write(session_of(h));
}

bool h2_session_is_over(const struct h2 *h)
{
    return !nghttp2_session_want_read(session_of(h));
}

/* --- what is asked of it --- */

bool h2_session_takes_requests(const struct h2 *h)
{
    return nghttp2_session_check_request_allowed(session_of(h));
}

void h2_session_goodbye(struct h2 *h)
{
    nghttp2_session_terminate_session(session_of(h), NGHTTP2_NO_ERROR);
}

err h2_session_ping(struct h2 *h)
{
    return nghttp2_submit_ping(session_of(h), NGHTTP2_FLAG_NONE, NULL) == 0 ? OK : E_BUDGET;
}

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

int32_t h2_session_request(struct h2 *h, struct h2_stream *s, const struct h2_call *call)
{
    nghttp2_nv fields[4 + H2_FIELDS_MAX];
    ASSERT(call->count <= H2_FIELDS_MAX);
    fields[0] = pair(":method", call->method);
    fields[1] = pair(":scheme", h->scheme);
    fields[2] = pair(":authority", h->authority);
    fields[3] = pair(":path", call->path);
    for (size_t i = 0; i < call->count; i++)
        fields[4 + i] = pair(call->headers[i].name, call->headers[i].value);
    nghttp2_data_provider2 body = {.source.ptr = s, .read_callback = give_body};
    bool bodiless = call->end && call->body.len == 0;
    return nghttp2_submit_request2(session_of(h), NULL, fields, call->count + 4, bodiless ? NULL : &body, s);
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

unsigned h2_session_streams_max(const struct h2 *h)
{
    uint32_t theirs = nghttp2_session_get_remote_settings(session_of(h), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return theirs < H2_STREAMS_MAX ? theirs : H2_STREAMS_MAX;
}
