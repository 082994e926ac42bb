/* take_stream: from the source into the intake. */
#include "agents/backup/take.h"

#include "board/rt/mem.h"
#include "board/rt/pulse.h"

#define RATE_WINDOW_MS SECONDS(60)
#define RATE_DOUBTFUL  KIB(512) /* a second: is anybody there at all? */

/* The guardian is defragmenting: a member that is, answers nobody. */
err run_wait_while_held(struct run *r)
{
    const struct backup_options *o = &r->backup->options;
    bool waited = false;
    while (o->held && o->held(o->held_arg)) {
        if (loop_now() >= r->deadline)
            return trail(E_TIMEOUT, "etcd was being defragmented for longer than backup.total_timeout");
        TRY(backup_moved(r->to, fiber_sleep(loop_now() + SECONDS(1))));
        waited = true;
    }
    if (waited)
        run_begin(r);
    return OK;
}

/* No wait between the last look and the mark: the guardian looks at that. */
err run_connect(struct run *r)
{
    TRY(run_wait_while_held(r));
    r->streams = r->backup->streaming = true; /* from before a member is chosen: see backup_is_streaming() */
    TRY(backup_moved(r->to, source_open(r->backup, run_disk_deadline(r), &r->source)));
    return backup_moved(r->to, source_connect(r->source, r->deadline, r->record, &r->db_bytes));
}

void run_hang_up(struct run *r)
{
    source_close(r->source);
    r->source = NULL;
    if (r->streams)
        r->backup->streaming = false;
    r->streams = false;
}

/* --- how fast --- */

static void rate_start(struct rate *a)
{
    *a = (struct rate){.began = loop_now(), .window_at = loop_now(), .least = UINT64_MAX};
}

/* True: a window has ended, and so little came through it that the destination should be asked. */
static bool rate_see(struct rate *a, uint64_t total_bytes)
{
    ms span = loop_now() - a->window_at;
    if (span < RATE_WINDOW_MS)
        return false;
    uint64_t rate = (total_bytes - a->window_bytes) * 1000 / (uint64_t)span;
    a->least = rate < a->least ? rate : a->least;
    a->window_at = loop_now();
    a->window_bytes = total_bytes;
    return rate < RATE_DOUBTFUL;
}

bool run_was_slow(const struct run *r)
{
    int64_t wanted = r->backup->config->backup.min_rate;
    return wanted > 0 && r->rate.least < (uint64_t)wanted;
}

/* --- the bytes --- */

static err next_piece(struct run *r, struct bytes *piece, uint64_t *remaining, bool *more)
{
    ms idle_ms = r->backup->config->backup.idle_timeout_ms;
    if (idle_ms > mem_profile()->task[TASK_BACKUP].stall_ms_max / 2) /* the owner allows a longer silence than a stall is */
        pulse_rest(TASK_BACKUP);
    err e = source_next(r->source, idle_ms, piece, remaining, more);
    if (e == E_TIMEOUT && r->streams)
        return loop_now() >= r->deadline
                   ? trail(e, "not done within backup.total_timeout")
                   : trail(e, "no byte from etcd for %lld s (backup.idle_timeout)", (long long)(idle_ms / 1000));
    return e;
}

err run_receive(struct run *r, const char *what)
{
    uint64_t remaining = 0;
    rate_start(&r->rate);
    TRY(source_start(r->source, r->deadline));
    for (;;) {
        struct bytes piece;
        bool more = false;
        TRY(backup_moved(r->to, next_piece(r, &piece, &remaining, &more)));
        if (!more)
            break;
        TRY(backup_moved(r->to, intake_add(&r->intake, piece, run_disk_deadline(r))));
        uint64_t done = r->intake.trailer.total_bytes;
        if (rate_see(&r->rate, done))
            TRY(backup_ask(r->to));
        if (r->watcher)
            r->watcher->progress(r->watcher->arg, what, done, done + remaining);
        fiber_breathe();
    }
    backup_metrics_stream(r->to, r->intake.trailer.total_bytes, loop_now() - r->rate.began);
    return OK;
}
