/* deliver_trial: how one try ends: its answer is read, judged, and told. */
#include "agents/ingest/deliver_inside.h"

#include "board/rt/log.h"

#include <string.h>

/* The connection had ended before, or the server says that it did nothing: that is no failure of this call. */
static bool is_bounce(const struct trial *t, err e)
{
    if (t->judged.bounces >= DELIVER_BOUNCES_MAX || t->status != 0)
        return false;
    return e == E_BUSY || (t->line && t->line->heard && (e == E_CLOSED || e == E_RESET));
}

enum verdict deliver_trial_failed(struct deliver *d, struct trial *t, err e)
{
    bool bounce = is_bounce(t, e);
    if (e == E_TIMEOUT && t->line) /* what is open on it goes on, but nothing new is trusted to it */
        deliver_line_retire(d, t->line);
    deliver_trial_end(d, t);
    if (!bounce)
        return deliver_judge_error(&t->judged, e, deliver_reason_of(e), loop_now());
    t->judged.bounces++;
    t->judged.next_at = loop_now();
    return VERDICT_AGAIN;
}

/* --- answers --- */

static void answer_keep(struct deliver *d, const struct trial *t, const char *piece, size_t len)
{
    if (t->status < 300)
        return;
    if (!d->answer_of) {
        d->answer_of = t;
        d->answer_len = 0;
    }
    if (d->answer_of != t)
        return; /* one at a time is enough */
    len = size_min(len, DELIVER_ANSWER_KEPT - d->answer_len);
    memcpy(d->answer + d->answer_len, piece, len);
    d->answer_len += len;
}

static enum verdict answered(struct deliver *d, struct trial *t)
{
    ms retry_after = deliver_retry_after(web_header(t->exchange, "retry-after"), loop_wall_ms() / 1000);
    enum verdict v = deliver_judge_status(&t->judged, (unsigned)t->status, retry_after, loop_now());
    if (v == VERDICT_REAUTH)
        oauth2_invalidate(d->oauth2, t->token);
    if (t->judged.result.reason == DELIVER_REASON_UNAUTHORIZED)
        d->gate_at = loop_now() + deliver_pause(1); /* each try costs a token */
    if (v == VERDICT_AGAIN && retry_after > 0 && loop_now() + retry_after > d->gate_at)
        d->gate_at = loop_now() + retry_after; /* it asks all of us */
    if (d->answer_of == t) {
        memcpy(d->health.answer, d->answer, d->answer_len);
        deliver_answer_clean(d->health.answer, d->answer_len, strchr(t->token->authorization, ' ') + 1);
    } else if (t->status >= 300)
        d->health.answer[0] = 0;
    deliver_trial_end(d, t);
    return v;
}

/* E_AGAIN: more is to come; waits: until t->until. */
static err body_read(struct deliver *d, struct trial *t, bool waits)
{
    char piece[512];
    size_t got = 1;
    while (got > 0) {
        TRY(waits ? web_read(t->exchange, piece, sizeof piece, t->until, &got)
                  : web_read_now(t->exchange, piece, sizeof piece, &got));
        answer_keep(d, t, piece, got);
        t->got += got;
        if (t->got > DELIVER_ANSWER_MAX)
            return E_RANGE;
    }
    return OK;
}

static void heard(struct trial *t)
{
    t->line->heard = true;
    t->line->heard_at = loop_now();
    t->until = ms_min(t->until, loop_now() + DELIVER_GRACE_MS);
}

static err status_poll(struct trial *t)
{
    if (t->status != 0)
        return OK;
    TRY(web_status_now(t->exchange, &t->status));
    heard(t);
    return OK;
}

enum verdict deliver_trial_answered(struct deliver *d, struct trial *t, int status)
{
    uint64_t mark = trail_mark();
    t->status = status;
    heard(t);
    err_ignore(body_read(d, t, true)); /* what becomes of the rest of the answer does not matter */
    trail_rewind(mark);
    return answered(d, t);
}

bool deliver_trial_poll(struct deliver *d, struct trial *t, enum verdict *v)
{
    uint64_t mark = trail_mark();
    err e = status_poll(t);
    if (e == OK)
        e = body_read(d, t, false);
    if (e == E_AGAIN && loop_now() < t->until)
        return false;
    trail_rewind(mark);
    /* once the status is known, what becomes of the rest of the answer does not matter */
    *v = t->status != 0 ? answered(d, t) : deliver_trial_failed(d, t, e == E_AGAIN ? E_TIMEOUT : e);
    return true;
}

/* --- health (ingest.md 4.9) --- */

void deliver_trial_settle(struct deliver *d, const struct trial *t)
{
    struct deliver_health *h = &d->health;
    const struct deliver_result *r = &t->judged.result;
    h->tries_again += r->attempts > 1 ? r->attempts - 1 : 0;
    *(r->outcome == DELIVER_GOOD ? &h->good : r->outcome == DELIVER_REJECTED ? &h->rejected : &h->later) += 1;
    h->healthy = r->outcome == DELIVER_GOOD;
    if (h->healthy) {
        h->sent_bytes += t->bytes;
        h->last_success_s = loop_wall_ms() / 1000;
        h->errors = 0;
        h->last_error = (struct deliver_result){0};
        h->answer[0] = 0;
        return;
    }
    h->errors++;
    h->last_error = *r;
    if (r->status == 0)
        h->answer[0] = 0;
    log_warn("the platform did not take what was sent", F("host", d->url.host), F("outcome", deliver_outcome_name(r->outcome)),
             F("reason", deliver_reason_text(r->reason)), F_U64("status", r->status), F_U64("attempts", r->attempts));
}
