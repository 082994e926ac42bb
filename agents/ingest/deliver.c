/* deliver: opening, closing, and events: the collector sends what is due and takes what is answered. */
#include "agents/ingest/deliver_inside.h"

#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err paths_fill(struct deliver *d)
{
    static const char *const paths[] = {
#define X(id, path) path,
        DELIVER_CALL_TABLE(X)
#undef X
    };
    for (unsigned i = 0; i < DELIVER_CALL_COUNT; i++)
        if ((size_t)snprintf(d->path[i], sizeof d->path[i], "%s%s", d->url.path, paths[i]) >= sizeof d->path[i])
            return trail(E_RANGE, "the platform's URL is too long");
    return OK;
}

static err fill(struct deliver *d, const struct deliver_options *o)
{
    TRY(oauth2_platform(o->platform_url, o->allow_plaintext, &d->url));
    TRY(paths_fill(d));
    if (d->url.tls && !o->tls)
        return trail(E_INVALID, "the platform's URL is https, and there are no certificates to verify it by");
    d->slots = calloc(o->in_flight_max, sizeof *d->slots);
    if (!d->slots)
        return trail(E_BUDGET, "places for events in flight");
    d->slot_count = o->in_flight_max;
    d->dns = o->dns;
    d->tls = o->tls ? tls_config_share(o->tls) : NULL;
    d->oauth2 = o->oauth2;
    d->files = o->files;
    d->until = o->until;
    d->until_arg = o->until_arg;
    d->task = mem_task();
    group_open(&d->group, d->task);
    return OK;
}

err deliver_open(const struct deliver_options *o, struct deliver **out)
{
    ASSERT(o->in_flight_max >= 1 && o->in_flight_max <= DELIVER_IN_FLIGHT_MAX);
    *out = NULL;
    struct deliver *d = calloc(1, sizeof *d);
    if (!d)
        return trail(E_BUDGET, "deliveries to a platform");
    err e = fill(d, o);
    if (e == OK)
        *out = d;
    else
        free(d);
    return e;
}

void deliver_close(struct deliver *d)
{
    if (!d)
        return;
    ASSERT(!d->collecting);
    group_close(&d->group);
    for (unsigned i = 0; i < d->slot_count; i++)
        deliver_trial_end(d, &d->slots[i].trial);
    deliver_line_close_all(d);
    tls_config_release(d->tls);
    free(d->slots);
    free(d);
}

const struct deliver_health *deliver_health(const struct deliver *d)
{
    return &d->health;
}

unsigned deliver_in_flight(const struct deliver *d)
{
    return d->taken;
}

unsigned deliver_room(const struct deliver *d)
{
    return d->stopped ? 0 : d->slot_count - d->taken;
}

/* --- events --- */

err deliver_submit(struct deliver *d, struct bytes body, uint64_t tag)
{
    if (d->stopped)
        return E_CLOSED;
    for (unsigned i = 0; i < d->slot_count; i++) {
        struct slot *s = &d->slots[i];
        if (s->state != SLOT_FREE)
            continue;
        *s = (struct slot){.state = SLOT_DUE, .body = body, .tag = tag, .order = ++d->order};
        d->taken++;
        bell_ring(&d->bell);
        return OK;
    }
    return E_FULL;
}

static void slot_done(struct deliver *d, struct slot *s)
{
    s->state = SLOT_DONE;
    deliver_trial_settle(d, &s->trial);
}

static void slot_next(struct deliver *d, struct slot *s, enum verdict v)
{
    s->state = SLOT_DUE;
    if (v != VERDICT_END && d->stopped) {
        deliver_judge_stop(&s->trial.judged);
        v = VERDICT_END;
    }
    if (v == VERDICT_END)
        slot_done(d, s);
}

void deliver_stop(struct deliver *d)
{
    d->stopped = true;
    for (unsigned i = 0; i < d->slot_count; i++)
        if (d->slots[i].state == SLOT_DUE)
            slot_next(d, &d->slots[i], VERDICT_AGAIN);
    bell_ring(&d->bell);
    waitq_wake_all(&d->ready);
}

static void answers_take(struct deliver *d)
{
    enum verdict v;
    for (unsigned i = 0; i < d->slot_count; i++)
        if (d->slots[i].state == SLOT_FLYING && deliver_trial_poll(d, &d->slots[i].trial, &v))
            slot_next(d, &d->slots[i], v);
}

/* Nobody could be reached: that was a try of each that waited for it. */
static void failures_take(struct deliver *d)
{
    if (d->prepares == d->prepares_seen)
        return;
    d->prepares_seen = d->prepares;
    if (d->prepare_error == OK)
        return;
    for (unsigned i = 0; i < d->slot_count; i++) {
        struct slot *s = &d->slots[i];
        if (s->state == SLOT_DUE && s->trial.judged.next_at <= loop_now())
            slot_next(d, s, deliver_judge_error(&s->trial.judged, d->prepare_error, d->prepare_reason, loop_now()));
    }
}

static struct slot *slot_due(struct deliver *d)
{
    struct slot *first = NULL;
    for (unsigned i = 0; i < d->slot_count; i++) {
        struct slot *s = &d->slots[i];
        if (s->state == SLOT_DUE && s->trial.judged.next_at <= loop_now() && (!first || s->order < first->order))
            first = s;
    }
    return first;
}

/* While more than half are under way and answers flow, the next leave together: many events a write. */
static ms held_until(const struct deliver *d)
{
    unsigned flying = 0;
    for (unsigned i = 0; i < d->slot_count; i++)
        flying += d->slots[i].state == SLOT_FLYING;
    return flying * 2 > d->slot_count ? d->sent_at + DELIVER_GATHER_MS : 0;
}

/* Sends what is due, in the order of submission. E_CANCELED; all other failures are the slots'. */
static err due_send(struct deliver *d)
{
    struct slot *s;
    bool any = false;
    if (loop_now() < held_until(d))
        return OK;
    while ((s = slot_due(d)) && deliver_line_ready(d) && web_room(d->line->web) > 0) {
        struct trial *t = &s->trial;
        err e = deliver_line_open(d, t, DELIVER_CALL_EVENT, &s->body, 0, loop_now() + DELIVER_REQUEST_MS_MAX);
        any = true;
        if (e == OK)
            s->state = SLOT_FLYING;
        else if (e == E_CANCELED) {
            deliver_trial_end(d, t);
            return e;
        } else
            slot_next(d, s, deliver_trial_failed(d, t, e));
    }
    if (any)
        d->sent_at = loop_now();
    if (any && d->line)
        err_ignore(web_flush(d->line->web, loop_now() + DELIVER_REQUEST_MS_MAX)); /* each exchange tells what became of it */
    return OK;
}

/* When something is to be done that no bell tells of. */
static ms next_event(const struct deliver *d, ms deadline)
{
    ms next = deliver_line_shut(d) ? ms_min(deadline, loop_now() + DELIVER_SHUT_MS) : deadline, held = held_until(d);
    for (unsigned i = 0; i < d->slot_count; i++) {
        const struct slot *s = &d->slots[i];
        ms due = s->trial.judged.next_at > d->gate_at ? s->trial.judged.next_at : d->gate_at;
        if (s->state == SLOT_FLYING)
            next = ms_min(next, s->trial.until);
        else if (s->state == SLOT_DUE && (due > loop_now() || held > loop_now()))
            next = ms_min(next, due > held ? due : held); /* else it waits for a bell: a connection, a token, room */
    }
    return next;
}

static struct slot *slot_finished(struct deliver *d)
{
    struct slot *first = NULL;
    for (unsigned i = 0; i < d->slot_count; i++)
        if (d->slots[i].state == SLOT_DONE && (!first || d->slots[i].order < first->order))
            first = &d->slots[i];
    return first;
}

static err collect(struct deliver *d, ms deadline, struct slot **out)
{
    for (;;) {
        answers_take(d);
        failures_take(d);
        TRY(due_send(d));
        *out = slot_finished(d);
        if (*out)
            return OK;
        ms until = next_event(d, deadline);
        err e = bell_wait(&d->bell, until);
        if (e != OK && (e != E_TIMEOUT || loop_now() >= deadline))
            return e;
    }
}

err deliver_collect(struct deliver *d, ms deadline, uint64_t *tag, struct deliver_result *out)
{
    struct slot *s = slot_finished(d);
    err e = OK;
    ASSERT(!d->collecting);
    d->collecting = true;
    if (!s)
        e = collect(d, deadline, &s);
    d->collecting = false;
    if (e != OK)
        return e;
    *tag = s->tag;
    *out = s->trial.judged.result;
    s->state = SLOT_FREE;
    d->taken--;
    return OK;
}
