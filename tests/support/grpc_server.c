#include "tests/support/grpc_server.h"

#include "board/rt/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX KIB(72)
#define PREFIX_BYTES      5
#define WRITE_MS_MAX      SECONDS(600)

struct call {
    struct call *next;
    struct server_request request;
    const struct server_step *step; /* NULL: the request has not ended yet */
    int32_t id;
    unsigned number;
    uint32_t made; /* messages of this step */
    uint8_t *message;
    size_t len, at;
    ms until;
    bool answered, deferred, gone;
};

struct connection {
    struct server *server;
    struct stream *under;
    nghttp2_session *session;
    struct call *calls;
    bool vanish, acted;
};

static struct call *call_of(struct connection *c, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(c->session, id) : NULL;
}

/* --- what the session tells --- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct connection *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *call = (struct call){.next = c->calls, .id = frame->hd.stream_id, .number = c->server->requests++};
    c->calls = call;
    return nghttp2_session_set_stream_user_data(session, call->id, call);
}

static void keep(char *out, size_t cap, const uint8_t *value, size_t len)
{
    (void)snprintf(out, cap, "%.*s", (int)len, (const char *)value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t len, uint8_t flags, void *user)
{
    struct call *call = call_of(user, frame->hd.stream_id);
    (void)session, (void)name_len, (void)flags;
    if (!call)
        return 0;
    struct server_request *r = &call->request;
    const struct {
        const char *name;
        char *out;
        size_t cap;
    } wanted[] = {{":path", r->path, sizeof r->path},
                  {"grpc-timeout", r->timeout, sizeof r->timeout},
                  {"te", r->te, sizeof r->te},
                  {"content-type", r->content_type, sizeof r->content_type},
                  {":authority", r->authority, sizeof r->authority},
                  {":method", r->method, sizeof r->method},
                  {"authorization", r->authorization, sizeof r->authorization},
                  {"user-agent", r->user_agent, sizeof r->user_agent}};
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (strcmp((const char *)name, wanted[i].name) == 0)
            keep(wanted[i].out, wanted[i].cap, value, len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    struct connection *c = user;
    struct call *call = call_of(c, id);
    (void)flags;
    c->server->body_bytes += len;
    if (!c->server->deaf)
        nghttp2_session_consume(session, id, len);
    if (!call)
        return 0;
    size_t n = call->request.len < sizeof call->request.body ? size_min(len, sizeof call->request.body - call->request.len) : 0;
    if (n)
        memcpy(call->request.body + call->request.len, data, n);
    call->request.len += len;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct connection *c = user;
    struct call *call = call_of(c, frame->hd.stream_id);
    (void)session;
    if (call && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        call->step = c->server->script(c->server->arg, &call->request);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        c->server->resets++;
        c->server->reset_code = frame->rst_stream.error_code;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->server->goaways++;
        c->server->goaway_code = frame->goaway.error_code;
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct call *call = call_of(user, id);
    (void)code;
    if (call) {
        call->gone = true;
        (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    }
    return 0;
}

/* --- answers --- */

static bool message_next(struct connection *c, struct call *call)
{
    const struct server_step *step = call->step;
    bool raw = step->what == SERVER_RAW;
    uint32_t wanted = step->bytes.at || raw ? 1 : step->count;
    if (call->made == wanted)
        return false;
    uint8_t *to = call->message + (raw ? 0 : PREFIX_BYTES);
    size_t len = step->bytes.len;
    if (step->bytes.at || raw)
        memcpy(to, step->bytes.at, len);
    else
        len = c->server->make(c->server->arg, &call->request, call->made, to, MESSAGE_BYTES_MAX - PREFIX_BYTES);
    if (!raw) {
        call->message[0] = 0;
        for (unsigned i = 0; i < 4; i++)
            call->message[1 + i] = (uint8_t)(len >> (24 - 8 * i));
        len += PREFIX_BYTES;
    }
    call->made++;
    call->len = len;
    call->at = 0;
    return true;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

static size_t status_fields(const struct server_step *step, char number[12], nghttp2_nv out[2])
{
    (void)snprintf(number, 12, "%u", step->count);
    out[0] = field("grpc-status", number);
    out[1] = field("grpc-message", step->text ? step->text : "");
    return step->text ? 2 : 1;
}

static void end_body(struct connection *c, struct call *call, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call->step->what == SERVER_TRAILERS) {
        char number[12];
        nghttp2_nv fields[2];
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        (void)nghttp2_submit_trailer(c->session, call->id, fields, status_fields(call->step, number, fields));
    }
    call->step++;
}

static nghttp2_ssize give(nghttp2_session *session, int32_t id, uint8_t *into, size_t cap, uint32_t *flags,
                          nghttp2_data_source *source, void *user)
{
    struct connection *c = user;
    struct call *call = source->ptr;
    size_t n = 0;
    (void)session, (void)id;
    if (!call->message && !(call->message = malloc(MESSAGE_BYTES_MAX)))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* no end, which would be a lie */
    if (c->server->frame_bytes_max)
        cap = size_min(cap, c->server->frame_bytes_max);
    while (n < cap && (call->step->what == SERVER_MESSAGES || call->step->what == SERVER_RAW)) {
        if (call->at == call->len && !message_next(c, call)) {
            call->step++;
            call->made = 0;
            call->at = call->len = 0;
            continue;
        }
        size_t some = size_min(cap - n, call->len - call->at);
        memcpy(into + n, call->message + call->at, some);
        call->at += some;
        n += some;
    }
    c->server->data_bytes += n;
    if (call->number < SERVER_CALLS_MAX)
        c->server->data_of[call->number] += n;
    if (n < cap && (call->step->what == SERVER_TRAILERS || call->step->what == SERVER_BARE_END))
        end_body(c, call, flags);
    else if (n == 0) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (nghttp2_ssize)n;
}

static void respond(struct connection *c, struct call *call, const struct server_step *step)
{
    char status[12], number[12], *wide = NULL;
    nghttp2_data_provider2 body = {.source.ptr = call, .read_callback = give};
    (void)snprintf(status, sizeof status, "%u", step->what == SERVER_HEADERS && step->count ? step->count : 200);
    nghttp2_nv fields[5] = {field(":status", status), field("content-type", "application/grpc")};
    size_t count = 2;
    if (step->what == SERVER_HEADERS && step->text)
        fields[1] = field("content-type", step->text);
    if (step->what == SERVER_TRAILERS)
        count += status_fields(step, number, &fields[2]);
    if (step->what == SERVER_WIDE && (wide = malloc(step->count + 1))) {
        memset(wide, 'w', step->count);
        wide[step->count] = 0;
        fields[count++] = field("wide", wide);
    }
    (void)nghttp2_submit_response2(c->session, call->id, fields, count, step->what == SERVER_TRAILERS ? NULL : &body);
    call->answered = true;
    free(wide);
}

static bool wait_is_over(struct call *call, const struct server_step *step)
{
    if (call->until == 0)
        call->until = loop_now() + step->count;
    if (loop_now() < call->until)
        return false;
    call->until = 0;
    return true;
}

static void inform(struct connection *c, struct call *call)
{
    nghttp2_nv fields[] = {field(":status", "103"), field("link", "</early>")};
    (void)nghttp2_submit_headers(c->session, NGHTTP2_FLAG_NONE, call->id, NULL, fields, COUNT_OF(fields), NULL);
}

static void goaway(struct connection *c, struct call *call, const struct server_step *step)
{
    int32_t last = step->count ? (int32_t)step->count - 1 : call->id;
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

/* One step that is no data; false: it waits, or the data before it has not gone. */
static bool act(struct connection *c, struct call *call)
{
    const struct server_step *step = call->step;
    switch (step->what) {
    case SERVER_DONE:
        return false;
    case SERVER_HEADERS:
    case SERVER_WIDE:
        respond(c, call, step);
        break;
    case SERVER_TRAILERS:
        if (call->answered)
            return false; /* give() does it */
        respond(c, call, step);
        break;
    case SERVER_BARE_END:
    case SERVER_MESSAGES:
    case SERVER_RAW:
        return false;
    case SERVER_INFORM:
        inform(c, call);
        break;
    case SERVER_RST:
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->id, step->count);
        break;
    case SERVER_GOAWAY:
        goaway(c, call, step);
        break;
    case SERVER_WAIT:
        if (!wait_is_over(call, step))
            return false;
        break;
    case SERVER_HOLD:
        call->until = c->server->go_on ? 0 : loop_now() + 1; /* looked at again then */
        if (call->until)
            return false;
        break;
    case SERVER_PING:
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        break;
    case SERVER_SETTINGS:
        (void)nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE,
                                      &(nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, step->count}, 1);
        break;
    case SERVER_SPLICE:
        err_ignore(stream_write(c->under, step->bytes.at, step->bytes.len, loop_now() + WRITE_MS_MAX));
        break;
    case SERVER_VANISH:
        c->vanish = true;
        break;
    }
    call->step++;
    return true;
}

static bool is_data(const struct call *call)
{
    enum server_do what = call->step->what;
    return what == SERVER_MESSAGES || what == SERVER_RAW ||
           (call->answered && (what == SERVER_TRAILERS || what == SERVER_BARE_END));
}

static bool act_all(struct connection *c)
{
    bool acted = false;
    for (struct call *call = c->calls; call; call = call->next) {
        while (call->step && !call->gone && !c->vanish && act(c, call))
            acted = true;
        if (call->step && !call->gone && call->deferred && is_data(call)) {
            call->deferred = false;
            (void)nghttp2_session_resume_data(c->session, call->id);
            acted = true;
        }
    }
    return acted;
}

static err flush(struct connection *c)
{
    for (;;) {
        const uint8_t *data = NULL;
        nghttp2_ssize len = nghttp2_session_mem_send2(c->session, &data);
        if (len <= 0)
            return len == 0 ? OK : E_PROTOCOL;
        TRY(stream_write(c->under, data, (size_t)len, loop_now() + WRITE_MS_MAX));
        c->acted = true;
    }
}

static ms next_step_at(const struct connection *c)
{
    ms at = FOREVER;
    for (const struct call *call = c->calls; call; call = call->next)
        if (call->until && !call->gone)
            at = ms_min(at, call->until);
    return at;
}

/* Calls that are over, so that a connection may have many. */
static void reap(struct connection *c)
{
    for (struct call **at = &c->calls; *at;) {
        struct call *call = *at;
        if (!call->gone) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        free(call->message);
        free(call);
    }
}

static err turn(struct connection *c)
{
    uint8_t piece[4096];
    size_t got = 0;
    reap(c);
    do {
        c->acted = act_all(c);
        TRY(flush(c));
    } while (c->acted && !c->vanish);
    if (c->vanish || (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session)))
        return E_CLOSED;
    err e = stream_read(c->under, piece, sizeof piece, next_step_at(c), &got);
    if (e == E_TIMEOUT)
        return OK;
    if (e != OK || got == 0)
        return e != OK ? e : E_CLOSED;
    return nghttp2_session_mem_recv2(c->session, piece, got) < 0 ? E_PROTOCOL : OK;
}

static err session_open(struct connection *c)
{
    nghttp2_session_callbacks *on = NULL;
    nghttp2_option *option = NULL;
    err e = E_BUDGET;
    if (nghttp2_session_callbacks_new(&on) != 0 || nghttp2_option_new(&option) != 0)
        goto cleanup;
    nghttp2_session_callbacks_set_on_begin_headers_callback(on, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(on, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(on, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(on, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(on, on_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->streams_max ? c->server->streams_max : 100},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->server->window_bytes ? c->server->window_bytes : SERVER_WINDOW_BYTES}};
    if (nghttp2_session_server_new2(&c->session, on, c, option) == 0 &&
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) == 0)
        e = OK;
cleanup:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(on);
    return e;
}

err server_run(struct server *s, struct stream *under)
{
    struct connection c = {.server = s, .under = under};
    s->connections++;
    err e = session_open(&c);
    while (e == OK)
        e = turn(&c);
    s->last_error = e;
    nghttp2_session_del(c.session);
    while (c.calls) {
        struct call *call = c.calls;
        c.calls = call->next;
        free(call->message);
        free(call);
    }
    stream_close(under);
    return OK;
}

/* --- on a socket --- */

struct visit {
    struct server *server;
    struct stream *under;
};

static err serve(void *arg)
{
    struct visit v = *(struct visit *)arg;
    free(arg);
    if (v.server->tls) {
        err e = tls_accept(v.server->tls, v.under, loop_now() + SECONDS(20), &v.under);
        if (e != OK) {
            v.server->last_error = e;
            return OK;
        }
    }
    return server_run(v.server, v.under);
}

err server_listen(void *arg)
{
    struct server *s = arg;
    err e = OK;
    group_open(&s->group, mem_task());
    while (e != E_CANCELED && e != E_CLOSED) {
        struct visit v = {.server = s}, *own = NULL;
        struct addr peer;
        e = tcp_accept(&s->listener, FOREVER, &v.under, &peer);
        if (e == OK && (own = malloc(sizeof *own))) {
            *own = v;
            e = group_spawn(&s->group, "test server", serve, own);
        }
        if (v.under && (!own || e != OK)) {
            stream_close(v.under);
            free(own);
        }
        if (e != OK && e != E_CANCELED && e != E_CLOSED)
            e = fiber_sleep(loop_now() + 10); /* an accept that fails may be tried again */
    }
    group_close(&s->group);
    return OK;
}
