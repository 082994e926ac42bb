/* send: the fiber of an outlet: snapshot, events in their order, heartbeats, each at its time. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS           SECONDS(1)
#define MORE_MS           10          /* while answers are awaited: how long a new event may wait to be seen */
#define BEHIND_EVENTS     256         /* in a spool */
#define HEARTBEAT_SOON_MS SECONDS(30) /* after one that was not taken */

static ms earlier(ms a, ms b)
{
    return a < b ? a : b;
}

static bool is_stopping(const struct outlet *o)
{
    return o->stop_at != 0;
}

/* Another replica may begin when the Lease is not held any more. */
static bool is_ours(const struct outlet *o)
{
    return ingest_leads(o->in);
}

/* A call tries for as long as it takes; at the end for as long as there is. */
static ms patience(const struct outlet *o)
{
    return is_stopping(o) ? o->stop_at : FOREVER;
}

/* Failures in a row make the pauses longer. */
static void pause_sending(struct outlet *o)
{
    o->failures++;
    o->paused_until = loop_now() + deliver_pause(o->failures);
}

static void note_success(struct outlet *o)
{
    o->failures = 0;
    o->paused_until = 0;
    if (o->lost) {       /* there is somebody to send it to */
        o->lost = false; /* see wanted_at */
    }
}

/* --- heartbeats --- */

static err send_heartbeat(struct outlet *o)
{
    char text[512];
    struct envelope envelope;
    struct deliver_result r;
    struct text body = text_over(text, sizeof text);
    outlet_envelope(o, &envelope);
    TRY(envelope_heartbeat(&envelope, &body));
    TRY(deliver_heartbeat(o->deliver, (struct bytes){(const uint8_t *)body.at, body.len}, patience(o), &r));
    bool good = outlet_told(o, &o->heartbeat_failed, "heartbeat", &r);
    series_add(good ? o->series.heartbeats : o->series.heartbeat_failures, 1);
    ms late = loop_now() - o->heartbeat_at, pause = o->set.sync_interval_ms;
    o->heartbeat_at = loop_now() + (good ? pause - (late < pause / 2 ? late : 0) : earlier(pause, HEARTBEAT_SOON_MS));
    if (good) {
        o->last_sync_s = loop_wall_ms() / 1000;
        note_success(o);
    } else
        pause_sending(o);
    return OK;
}

/* --- snapshots --- */

static void snapshot_delivered(struct outlet *o, uint64_t place)
{
    spool_done(o->spool, place);
    o->snapshot_waits = false;
    o->refusals = 0;
    o->last_sync_s = o->last_snapshot_s = loop_wall_ms() / 1000;
    o->heartbeat_at = loop_now() + o->set.sync_interval_ms;
    series_add(o->series.snapshots, 1);
    note_success(o);
    log_info("the platform has the snapshot", F("agent", o->name), F_U64("bytes", snapshot_file_bytes(o->file)));
    bell_ring(&o->in->agents_bell);
}

/* A mark that is not the file's: the one of a process before us, or of a snapshot that another took the place of. What stands
 * between the two marks is older than the file. */
static err send_snapshot(struct outlet *o, uint64_t place)
{
    struct deliver_result r;
    uint64_t bytes = snapshot_file_bytes(o->file);
    if (!o->snapshot_waits || place != o->snapshot_place || bytes == 0) {
        spool_done(o->spool, place);
        return OK;
    }
    o->snapshot_leaves = true;
    err e = deliver_snapshot(o->deliver, snapshot_file_path(o->file), bytes, patience(o), &r);
    o->snapshot_leaves = false;
    if (e != OK) {
        spool_back(o->spool, place);
        return e;
    }
    bool good = outlet_told(o, &o->snapshot_failed, "snapshot", &r);
    if (good)
        snapshot_delivered(o, place);
    else if (r.outcome == DELIVER_REJECTED) { /* the events behind it are wanted all the same */
        series_add(o->series.snapshot_failures, 1);
        spool_done(o->spool, place);
        o->snapshot_waits = false;
        outlet_snapshot_refused(o);
    } else {
        series_add(o->series.snapshot_failures, 1);
        spool_back(o->spool, place);
        pause_sending(o);
    }
    return OK;
}

/* --- events --- */

static struct flight *free_flight(struct outlet *o, uint64_t *tag)
{
    for (*tag = 0; *tag < o->in->limits->in_flight; (*tag)++)
        if (!o->flights[*tag].used)
            return &o->flights[*tag];
    return NULL;
}

/* Strictly by the clock, once there was a snapshot; without one that is what shows whether the platform is there. */
static bool heartbeat_is_wanted(const struct outlet *o)
{
    bool refused = o->snapshot_failed && !o->snapshot_waits; /* or too large: the platform is told that we live all the same */
    return (o->last_snapshot_s != 0 || o->lost || refused) && o->has_credentials && is_ours(o) && !is_stopping(o);
}

static bool heartbeat_is_due(const struct outlet *o)
{
    return heartbeat_is_wanted(o) && loop_now() >= o->heartbeat_at;
}

/* When to look again at what no event and no answer tells of: LOOK_MS at most, for settings and credentials change meanwhile.
 * Later than now: a heartbeat that is due waits for the answers to what is under way. */
static ms next_turn(const struct outlet *o)
{
    ms now = loop_now(), at = now + LOOK_MS;
    if (heartbeat_is_wanted(o) && o->heartbeat_at > now)
        at = earlier(at, o->heartbeat_at);
    if (o->paused_until > now)
        at = earlier(at, o->paused_until);
    return is_stopping(o) ? earlier(at, o->stop_at) : at;
}

static bool may_submit(const struct outlet *o)
{
    return o->has_credentials && is_ours(o) && loop_now() >= o->paused_until && !heartbeat_is_due(o) &&
           deliver_room(o->deliver) > 0;
}

/* What lies there cannot be told any more. */
static void drop_unreadable(struct outlet *o, err e)
{
    log_error("events of the spool cannot be read", F("agent", o->name), F_ERR(e));
    trail_clear();
    outlet_want_snapshot(o);
}

/* The next record, into what of the bodies' memory is free; that begins anew once nothing is on its way. E_AGAIN: when it does.
 */
static err next_record(struct outlet *o, ms deadline, struct spool_record *out)
{
    size_t cap = o->in->limits->flight_bytes - ENVELOPE_RENAMED_MORE;
    if (deliver_in_flight(o->deliver) == 0)
        o->bodies_used = 0;
    err e = spool_next(o->spool, o->bodies + o->bodies_used, cap - size_min(cap, o->bodies_used), deadline, out);
    if (e == E_RANGE && o->bodies_used > 0) {
        trail_clear();
        return E_AGAIN;
    }
    return e;
}

/* One that stands in for others is of their type and has the last one's body: what came into being while it waited is `added`,
 * however often it changed since. */
static void body_name(struct outlet *o, struct spool_record *r)
{
    static const enum ingest_change changes[] = {
        [SPOOL_ADDED] = INGEST_ADDED, [SPOOL_MODIFIED] = INGEST_MODIFIED, [SPOOL_DELETED] = INGEST_DELETED};
    struct envelope e;
    outlet_envelope(o, &e);
    r->bytes = envelope_event_rename(changes[r->type], e.types, (char *)o->bodies + o->bodies_used, r->bytes);
}

static err submit(struct outlet *o, struct spool_record *record)
{
    uint64_t tag;
    struct flight *f = free_flight(o, &tag);
    ASSERT(f != NULL);
    body_name(o, record);
    *f = (struct flight){.place = record->place, .at = o->bodies_used, .bytes = record->bytes, .used = true};
    o->bodies_used += record->bytes;
    err e = deliver_submit(o->deliver, (struct bytes){o->bodies + f->at, f->bytes}, tag);
    if (e != OK) {
        f->used = false;
        spool_back(o->spool, record->place);
    }
    return e;
}

/* Hands out what may leave now. Waits for a first one until the next turn when nothing is on its way. E_TIMEOUT: there is none;
 * E_AGAIN: an answer must come first. */
static err fill(struct outlet *o)
{
    while (may_submit(o)) {
        struct spool_record record;
        bool idle = deliver_in_flight(o->deliver) == 0;
        if (!rate_take(&o->rate, loop_now()))
            return E_AGAIN;
        err e = next_record(o, idle && !is_stopping(o) ? next_turn(o) : 0, &record);
        if (e != OK)
            rate_give(&o->rate);
        if (e == E_CORRUPT) {
            drop_unreadable(o, e);
            continue;
        }
        TRY(e);
        if (record.type == SPOOL_MARK) {
            rate_give(&o->rate);
            TRY(send_snapshot(o, record.place));
        } else
            TRY(submit(o, &record));
        fiber_breathe();
    }
    return E_AGAIN;
}

static void take_result(struct outlet *o, uint64_t tag, const struct deliver_result *r)
{
    struct flight *f = &o->flights[tag];
    ASSERT(tag < o->in->limits->in_flight && f->used);
    f->used = false;
    pulse_beat(TASK_INGEST, loop_now());
    if (r->outcome == DELIVER_LATER) {
        spool_back(o->spool, f->place);
        series_add(o->series.later, 1);
        if (loop_now() >= o->paused_until)
            pause_sending(o);
        return;
    }
    spool_done(o->spool, f->place);
    if (r->outcome == DELIVER_GOOD) {
        series_add(o->series.delivered, 1);
        note_success(o);
        return;
    }
    series_add(o->series.rejected, 1);
    outlet_set_aside(o, (struct bytes){o->bodies + f->at, f->bytes}, r->status);
    outlet_want_snapshot(o);
}

bool outlets_are_behind(const struct ingest *in)
{
    unsigned told = 0, behind = 0;
    for (unsigned i = 0; i < INGEST_AGENTS_MAX; i++)
        if (outlet_is_told(in->outlets[i])) {
            told++;
            behind += spool_depth(in->outlets[i]->spool) >= BEHIND_EVENTS;
        }
    return told > 0 && behind == told;
}

/* --- the fiber --- */

static err collect(struct outlet *o)
{
    uint64_t tag;
    struct deliver_result r;
    ms deadline = next_turn(o);
    if (may_submit(o))
        deadline = earlier(deadline, loop_now() + MORE_MS);
    err e = deliver_collect(o->deliver, deadline, &tag, &r);
    if (e == OK)
        take_result(o, tag, &r);
    return e;
}

/* One step: fill, then wait for an answer, or, with nothing on its way, for the next moment at which something can leave. */
static err step(struct outlet *o)
{
    ms turn = next_turn(o);
    if (heartbeat_is_due(o) && deliver_in_flight(o->deliver) == 0)
        return send_heartbeat(o);
    pulse_rest(TASK_INGEST);
    err e = fill(o);
    if (e != E_AGAIN && e != E_TIMEOUT)
        return e;
    trail_clear();
    if (deliver_in_flight(o->deliver) > 0)
        return collect(o);
    if (e == E_TIMEOUT)
        return E_TIMEOUT;
    ms token = may_submit(o) ? rate_next(&o->rate, loop_now()) : turn;
    e = bell_wait(&o->changed, earlier(turn, token));
    return e == E_TIMEOUT ? OK : e;
}

/* SIGTERM: what can leave until stop_at leaves. A platform that fails is not waited for. */
static void finish(struct outlet *o)
{
    fiber_shield();
    while (loop_now() < o->stop_at) {
        err e = step(o);
        bool idle = deliver_in_flight(o->deliver) == 0;
        if (idle && ((e != OK && e != E_AGAIN) || o->paused_until > loop_now() || !o->has_credentials))
            break;
    }
    trail_clear();
    fiber_unshield();
}

err outlet_run(void *arg)
{
    struct outlet *o = arg;
    for (;;) {
        err e = step(o);
        if (fiber_canceled())
            break;
        if (e != OK && e != E_TIMEOUT) {
            log_warn("sending failed; it is tried again", F("agent", o->name), F_ERR(e));
            pause_sending(o);
        }
        trail_clear();
    }
    trail_clear();
    finish(o);
    return E_CANCELED;
}
