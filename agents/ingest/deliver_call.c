/* deliver_call: what is sent one at a time, with all its tries: heartbeats, and snapshots out of their file. */
#include "agents/ingest/deliver_inside.h"

#include "board/rt/buf.h"
#include "board/rt/file.h"
#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define DISK_MS_MAX SECONDS(30)

struct unary {
    enum deliver_call call;
    const struct bytes *body; /* or */
    const char *path;
    uint64_t bytes;
    bool file_failed;
};

/* --- a file in pieces --- */

struct read_job { /* no longer than JOB_BYTES_MAX: the path is copied with it */
    char path[OS_PATH_MAX];
    uint64_t at;
    uint8_t *into;
    size_t want;
};

static err read_run(void *job)
{
    struct read_job *j = job;
    size_t got = 0;
    os_fd fd = -1;
    TRY(os_file_open(j->path, OS_READ, &fd));
    err e = os_file_read(fd, j->at, j->into, j->want, &got);
    os_file_close(fd);
    return e == OK && got < j->want ? trail(E_CORRUPT, "%s is shorter than it was", j->path) : e;
}

static err piece_read(struct deliver *d, struct unary *u, uint64_t at, struct buf *b)
{
    struct read_job job = {
        .at = at, .into = b->at, .want = (size_t)(u->bytes - at < DELIVER_CHUNK ? u->bytes - at : DELIVER_CHUNK)};
    (void)snprintf(job.path, sizeof job.path, "%s", u->path);
    b->len = job.want;
    err e = lane_call(d->files, read_run, &job, sizeof job, &b->hold, loop_now() + DISK_MS_MAX);
    u->file_failed = e != OK && e != E_CANCELED;
    return u->file_failed ? trail(e, "reading %s", u->path) : e;
}

/* A buffer a piece: who holds one while the platform is slow holds no file's thread, and no more than that. */
static err file_send(struct deliver *d, struct unary *u, struct trial *t, ms deadline)
{
    for (uint64_t at = 0; at < u->bytes;) {
        struct buf *b = NULL;
        ms patience = ms_min(deadline, loop_now() + DELIVER_REQUEST_MS_MAX);
        TRY(buf_wait(DELIVER_CHUNK, patience, &b));
        err e = piece_read(d, u, at, b);
        if (e == OK)
            e = web_send(t->exchange, b->at, b->len, ms_min(deadline, loop_now() + DELIVER_REQUEST_MS_MAX));
        at += b->len;
        buf_release(b);
        TRY(e);
        fiber_breathe();
    }
    return OK;
}

/* --- one try --- */

/* It may have refused before it read all: then its answer is there, and tells. */
static bool may_tell(err e)
{
    return e == E_RESET || e == E_CLOSED;
}

static err converse(struct deliver *d, struct unary *u, struct trial *t, ms deadline, int *status)
{
    ms patience = ms_min(deadline, loop_now() + DELIVER_REQUEST_MS_MAX);
    TRY(deliver_line_open(d, t, u->call, u->body, u->bytes, patience));
    err e = u->body ? OK : file_send(d, u, t, deadline);
    if (e != OK && (u->file_failed || !may_tell(e)))
        return e;
    if (e != OK)
        return web_status(t->exchange, ms_min(deadline, loop_now() + DELIVER_GRACE_MS), status) == OK ? OK : e;
    patience = u->body ? patience : ms_min(deadline, loop_now() + DELIVER_SNAPSHOT_MS_MAX);
    return web_status(t->exchange, patience, status);
}

/* Waits for a connection with room. What it was told instead is *failed. */
static err ready_wait(struct deliver *d, ms deadline, bool *failed)
{
    uint64_t seen = d->prepares;
    *failed = false;
    while (!deliver_line_ready(d) || web_room(d->line->web) == 0) {
        if (d->stopped)
            return E_CLOSED;
        *failed = d->prepares != seen && d->prepare_error != OK;
        if (*failed)
            return OK;
        ms until = d->gate_at > loop_now() ? ms_min(d->gate_at, deadline) : deadline;
        until = deliver_line_shut(d) ? ms_min(until, loop_now() + DELIVER_SHUT_MS) : until;
        err e = waitq_wait(&d->ready, until);
        if (e != OK && (e != E_TIMEOUT || loop_now() >= deadline))
            return e;
    }
    return OK;
}

/* OK: *v tells. Else the caller's own end, or E_CLOSED: stopped. */
static err try_once(struct deliver *d, struct unary *u, struct trial *t, ms deadline, enum verdict *v)
{
    bool failed;
    TRY(ready_wait(d, deadline, &failed));
    if (failed) {
        *v = deliver_judge_error(&t->judged, d->prepare_error, d->prepare_reason, loop_now());
        return OK;
    }
    int status = 0;
    err e = converse(d, u, t, deadline, &status);
    if (e == OK) {
        *v = deliver_trial_answered(d, t, status);
        return OK;
    }
    if (e == E_CANCELED || (e == E_TIMEOUT && loop_now() >= deadline))
        return e;
    if (u->file_failed) {
        deliver_trial_end(d, t);
        *v = deliver_judge_error(&t->judged, e, DELIVER_REASON_FILE, loop_now());
    } else
        *v = deliver_trial_failed(d, t, e);
    return OK;
}

static err tries(struct deliver *d, struct unary *u, struct trial *t, ms deadline)
{
    enum verdict v = VERDICT_AGAIN;
    for (;;) {
        if (d->stopped)
            return E_CLOSED;
        u->file_failed = false;
        TRY(try_once(d, u, t, deadline, &v));
        if (v == VERDICT_END)
            return OK;
        log_debug("a delivery is tried again", F("host", d->url.host), F_U64("attempts", t->judged.result.attempts),
                  F("reason", deliver_reason_text(t->judged.result.reason)));
        trail_clear();
        while (loop_now() < t->judged.next_at && !d->stopped) {
            err e = waitq_wait(&d->ready, ms_min(deadline, t->judged.next_at));
            if (e != OK && (e != E_TIMEOUT || loop_now() >= deadline))
                return e;
        }
    }
}

static err unary(struct deliver *d, struct unary *u, ms deadline, struct deliver_result *out)
{
    struct trial t = {0};
    err e = tries(d, u, &t, deadline);
    deliver_trial_end(d, &t);
    bell_ring(&d->bell); /* there is room for events */
    if (e == E_CLOSED) {
        deliver_judge_stop(&t.judged);
        e = OK;
    } else if (e != OK) {
        t.judged.result.outcome = DELIVER_LATER;
        t.judged.result.error = e;
        t.judged.result.reason = e == E_TIMEOUT ? DELIVER_REASON_TOO_SLOW : DELIVER_REASON_STOPPED;
    }
    t.bytes = u->body ? u->body->len : u->bytes;
    deliver_trial_settle(d, &t);
    *out = t.judged.result;
    return e;
}

err deliver_heartbeat(struct deliver *d, struct bytes body, ms deadline, struct deliver_result *out)
{
    struct unary u = {.call = DELIVER_CALL_HEARTBEAT, .body = &body};
    return unary(d, &u, deadline, out);
}

err deliver_snapshot(struct deliver *d, const char *path, uint64_t bytes, ms deadline, struct deliver_result *out)
{
    struct unary u = {.call = DELIVER_CALL_SNAPSHOT, .path = path, .bytes = bytes};
    ASSERT(d->files && strlen(path) < OS_PATH_MAX);
    return unary(d, &u, deadline, out);
}
