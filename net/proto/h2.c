/* h2: the connection: moves the session's bytes, opens, closes, and tells everybody when it is dead. */
#include "net/proto/h2_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void h2_die(struct h2 *h, err why)
{
    if (h->dead != OK)
        return;
    h->dead = why;
    for (struct h2_stream *s = h->streams; s; s = s->next)
        h2_stream_fail(s, why, h->why);
    h2_changed(h);
}

void h2_changed(struct h2 *h)
{
    waitq_wake_all(&h->changed);
    bell_ring(h->bell);
}

void h2_hang(struct h2 *h, struct bell *b)
{
    h->bell = b;
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

/* --- bytes --- */

/* Small frames go into h->out, until h->piece is what does not fit, or empty. */
static err gather(struct h2 *h)
{
    for (;;) {
        if (h->piece.len == 0)
            TRY(h2_session_output(h, &h->piece));
        if (h->piece.len == 0 || h->out_len + h->piece.len > H2_OUT_BYTES)
            return OK;
        if (!h->out && !(h->out = malloc(H2_OUT_BYTES)))
            return E_BUDGET;
        memcpy(h->out + h->out_len, h->piece.at, h->piece.len);
        h->out_len += h->piece.len;
        h->piece.len = 0;
    }
}

bool h2_holds(const struct h2 *h)
{
    return h->out_len > 0 || h->piece.len > 0;
}

void h2_hold(struct h2 *h)
{
    if (!h->writing && h->dead == OK)
        err_ignore(gather(h)); /* the flush meets it again */
}

static err write_piece(struct h2 *h, ms patience)
{
    struct bytes piece = h->piece;
    h->piece.len = 0;
    h->sent_bytes += piece.len;
    return piece.len ? stream_write(h->under, piece.at, piece.len, loop_now() + patience) : OK;
}

static err write_gathered(struct h2 *h, ms patience)
{
    size_t len = h->out_len;
    if (len == 0)
        return OK;
    err e = stream_write(h->under, h->out, len, loop_now() + patience);
    wipe(h->out, len); /* tokens among it */
    h->out_len = 0;
    h->sent_bytes += len;
    return e;
}

static err write_all(struct h2 *h, ms patience)
{
    for (;;) {
        err e = gather(h);
        if (e != OK && e != E_BUDGET) /* frames can go one by one */
            return e;
        if (!h2_holds(h))
            return e;
        TRY(write_gathered(h, patience));
        TRY(write_piece(h, patience));
    }
}

static void out_drop(struct h2 *h)
{
    if (h->out)
        wipe(h->out, h->out_len);
    free(h->out);
    h->out = NULL;
    h->out_len = 0;
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
    out_drop(h);
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

err h2_push(struct h2 *h)
{
    return h2_holds(h) ? h2_flush(h) : h2_dead(h);
}

static err take_in(struct h2 *h, size_t len)
{
    h->received_bytes += len;
    h->delivered = false;
    err e = h2_session_input(h, (struct bytes){h->read_buffer, len});
    wipe(h->read_buffer, len); /* it lies in the streams' rings now */
    return e;
}

static err read_once(struct h2 *h)
{
    size_t got = 0;
    TRY(stream_read(h->under, h->read_buffer, h->read_bytes, FOREVER, &got));
    if (got == 0)
        return trail(E_CLOSED, "HTTP/2 connection ended by %s", h->authority);
    TRY(take_in(h, got));
    err e = h2_session_has_output(h) ? flush(h) : OK;
    if (e != OK && !is_hang_up(e)) /* else the next read tells why */
        return e;
    if (h->broken)
        return trail(E_PROTOCOL, "HTTP/2: %s", h->fault);
    if (h2_session_is_over(h))
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

void h2_rest(struct h2 *h, ms until)
{
    h->rest_until = until;
}

/* *rested: all that came meanwhile is read before anybody is let run. Only once all there is was read: a peer that sends more
 * than the kernel holds for us during a rest would have to wait for the next. */
static err rest(struct h2 *h, bool *rested)
{
    ms until = h->rest_until;
    h->rest_until = 0;
    *rested = h->dead == OK && until > loop_now(); /* dead: what is below may be closed */
    return *rested && stream_quiet(h->under) ? fiber_sleep(until) : OK;
}

static err reader(void *arg)
{
    struct h2 *h = arg;
    bool rested = false;
    err e = OK;
    while (e == OK && h->dead == OK) {
        e = read_once(h);
        if (rested && e == OK && h->dead == OK && stream_pending(h->under))
            continue;
        if (h->delivered)
            fiber_yield(); /* whoever waits for these bytes runs before more come */
        if (e == OK)
            e = rest(h, &rested);
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
    h2_session_close(h);
    out_drop(h);
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
    h->window_bytes = size_min(size_max(window_bytes, H2_WINDOW_BYTES_MIN), H2_WINDOW_BYTES_MAX);
    h->read_bytes = h->window_bytes < H2_WINDOW_FAST ? H2_READ_BYTES : H2_READ_FAST;
    (void)snprintf(h->scheme, sizeof h->scheme, "%s", scheme);
    (void)snprintf(h->authority, sizeof h->authority, "%s", authority);
    h->read_buffer = malloc(h->read_bytes);
    group_open(&h->group, h->task);
    err e = h->read_buffer ? h2_session_open(h) : E_BUDGET;
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
    return h->dead == OK && !h->goaway && h2_session_takes_requests(h);
}

void h2_close(struct h2 *h)
{
    if (!h)
        return;
    h->closing = true;
    while (h->streams)
        h2_stream_close(h->streams);
    if (h->dead == OK && !h->writing) {
        h2_session_goodbye(h);
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
    TRY(h2_session_ping(h));
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
