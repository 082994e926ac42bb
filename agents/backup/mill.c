/* mill: one piece is at work on the lane while the next one is gathered; full ones are handed on in the calling fiber. */
#include "agents/backup/mill.h"

#include <string.h>

struct mill_job {
    struct mill *mill;
};

/* --- on the pool --- */

err mill_copy(void *state, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    (void)state;
    *made = size_min(in->len, cap);
    if (*made)
        memcpy(out, in->at, *made);
    in->at += *made;
    in->len -= *made;
    *done = end && in->len == 0;
    return OK;
}

static err run_first(struct mill *m, size_t *moved)
{
    size_t made = 0, before = m->in.len;
    if (m->between.len > 0 || m->stage[0].done)
        return OK;
    TRY(m->stage[0].run(m->stage[0].state, &m->in, m->middle, sizeof m->middle, &made, m->ending, &m->stage[0].done));
    m->between = (struct bytes){m->middle, made};
    *moved += made + before - m->in.len;
    return OK;
}

static err run_second(struct mill *m, size_t *moved)
{
    size_t made = 0, before = m->between.len, room = BACKUP_PIECE_BYTES - m->out->len;
    TRY(m->stage[1].run(m->stage[1].state, &m->between, m->out->at + m->out->len, room, &made, m->stage[0].done,
                        &m->stage[1].done));
    m->out->len += made;
    *moved += made + before - m->between.len;
    return OK;
}

static bool is_full(const struct mill *m)
{
    return m->out && m->out->len == BACKUP_PIECE_BYTES;
}

static err run_stages(struct mill *m)
{
    for (size_t moved = 1; moved > 0 && !is_full(m) && !m->stage[1].done;) {
        moved = 0;
        TRY(run_first(m, &moved));
        TRY(run_second(m, &moved));
    }
    return OK;
}

static err run_all(struct mill *m)
{
    if (!m->opened)
        TRY(m->open(m));
    m->opened = true;
    return run_stages(m);
}

static err run_piece(void *job)
{
    struct mill *m = ((struct mill_job *)job)->mill;
    size_t before = m->out->len;
    struct bytes fresh = m->fresh ? m->in : (struct bytes){0};
    m->fresh = false;
    err e = m->broken == OK ? run_all(m) : OK;
    m->see(m, fresh, (struct bytes){m->out->at + before, m->out->len - before});
    if (e != OK && m->forgives) {
        m->broken = e;
        trail_take(e, m->why, sizeof m->why);
        e = OK;
    }
    if (m->broken != OK)
        m->in.len = 0;
    return e;
}

/* --- in the loop --- */

void mill_open(struct mill *m, struct lane *l, void (*drop)(struct hold *h))
{
    hold_init(&m->hold, drop);
    m->lane = l;
}

void mill_release(struct mill *m)
{
    buf_release(m->from);
    buf_release(m->out);
}

static err work(struct mill *m, ms deadline)
{
    struct mill_job job = {m};
    if (!m->out)
        TRY(buf_wait(BACKUP_PIECE_BYTES, deadline, &m->out));
    TRY(lane_submit(m->lane, run_piece, &job, sizeof job, &m->hold, deadline));
    m->at_work = true;
    return OK;
}

static err hand_on(struct mill *m, ms deadline)
{
    struct buf *out = m->out;
    m->out = NULL;
    return m->put(m->arg, out, deadline);
}

static bool is_ended(const struct mill *m)
{
    return m->stage[1].done || m->broken != OK;
}

static err settle(struct mill *m, ms deadline)
{
    while (m->at_work) {
        TRY(lane_drain(m->lane, deadline));
        m->at_work = false;
        if (is_full(m))
            TRY(hand_on(m, deadline));
        if (m->in.len > 0 || (m->ending && !is_ended(m)))
            TRY(work(m, deadline));
    }
    buf_release(m->from);
    m->from = NULL;
    return OK;
}

err mill_settle(struct mill *m, ms deadline)
{
    if (m->failed == OK)
        m->failed = settle(m, deadline);
    return m->failed;
}

err mill_append(struct mill *m, struct buf *from, ms deadline)
{
    err e = mill_settle(m, deadline);
    if (e != OK || from->len == 0) {
        buf_release(from);
        return e;
    }
    m->from = from;
    m->in = (struct bytes){from->at, from->len};
    m->fresh = true;
    m->failed = work(m, deadline);
    return m->failed;
}

err mill_end(struct mill *m, ms deadline)
{
    TRY(mill_settle(m, deadline));
    m->ending = true;
    m->failed = work(m, deadline);
    TRY(mill_settle(m, deadline));
    if (m->out && m->out->len > 0 && m->broken == OK)
        m->failed = hand_on(m, deadline);
    return m->failed;
}
