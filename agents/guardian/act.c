/* act: carries out what plan.c decided, one step, and makes sure that the member is well again after it. */
#include "agents/guardian/guardian_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <inttypes.h>

#define DEFRAG_MS_MAX  MINUTES(10) /* 8 GiB at 20 MB/s take 7 */
#define CAUGHT_UP_MS   SECONDS(60) /* for the member to be well again, and as far as the newest was */
#define LOOK_MS        250
#define PROBE_MS       50 /* between two reads of the member at work */
#define COMPACT_MS_MAX MINUTES(2)
#define MOVED_MS       SECONDS(10) /* for all to see a new leader */

/* The decided member; no other may answer at its endpoint meanwhile. */
static err connect_member(struct etcd *etcd, const struct guardian_member *m, struct etcd_status *status)
{
    TRY(etcd_connect(etcd, m->index, loop_now() + GUARDIAN_CONNECT_MS_MAX, status));
    pulse_beat(TASK_GUARDIAN, loop_now());
    if (status->member_id != m->id || status->cluster_id != m->cluster_id)
        return trail(E_DENIED, "another member answers at %s now", m->endpoint);
    return OK;
}

/* --- defragmentation --- */

struct probe { /* reads from the member while it is at work: how long does it let others wait? */
    struct etcd *etcd;
    ms until, longest_ms;
    bool ended;
};

static err probe_run(void *arg)
{
    struct probe *p = arg;
    struct etcd_value v;
    while (!p->ended) {
        ms began = loop_now();
        err e = etcd_get(p->etcd, GUARDIAN_KEY, p->until, &v);
        p->longest_ms = loop_now() - began > p->longest_ms ? loop_now() - began : p->longest_ms;
        if (e != OK)
            break;
        TRY(fiber_sleep(loop_now() + PROBE_MS));
    }
    trail_clear(); /* what is wrong is told by the call itself */
    return OK;
}

/* The task rests: this is etcd's time, and it has its own deadline. */
static err defragment_watched(struct etcd *etcd, struct guardian_done *out)
{
    struct probe p = {.etcd = etcd, .until = loop_now() + DEFRAG_MS_MAX};
    struct group g;
    ms began = loop_now();
    group_open(&g, TASK_GUARDIAN);
    err probing = group_spawn(&g, "guardian probe", probe_run, &p);
    pulse_rest(TASK_GUARDIAN);
    err e = etcd_defragment(etcd, p.until);
    pulse_beat(TASK_GUARDIAN, loop_now());
    p.ended = true;
    out->took_ms = loop_now() - began;
    if (probing == OK && e == OK)
        err_ignore(group_join(&g, loop_now() + GUARDIAN_CALL_MS_MAX)); /* its last read tells, too */
    group_close(&g);
    out->stall_ms = probing == OK ? p.longest_ms : out->took_ms; /* no fiber for it: as long as it took at most */
    return e;
}

static bool is_back(const struct etcd_status *s, const struct guardian_member *m, uint64_t newest)
{
    return s->member_id == m->id && s->leader_id != 0 && s->raft_applied >= newest;
}

/* As far as the newest was when the member had ended, and it knows a leader. */
static err await_caught_up(struct guardian *g, struct etcd *etcd, const struct guardian_member *m, struct etcd_status *status)
{
    ms until = loop_now() + CAUGHT_UP_MS;
    etcd_disconnect(etcd); /* one connection at a time where that can be */
    TRY(guardian_survey(g));
    uint64_t newest = guardian_newest_applied(&g->view);
    for (;;) {
        err e = etcd_connect(etcd, m->index, ms_min(until, loop_now() + GUARDIAN_CONNECT_MS_MAX), status);
        pulse_beat(TASK_GUARDIAN, loop_now());
        if (e == E_CANCELED || (e == OK && is_back(status, m, newest)))
            return e;
        if (loop_now() >= until)
            return trail(E_DENIED, "member %s has not caught up with raft entry %" PRIu64 " within 60 s", guardian_label(m),
                         newest);
        trail_clear();
        TRY(fiber_sleep(loop_now() + LOOK_MS));
    }
}

static void count_defrag(struct guardian *g, const struct guardian_member *m, const struct guardian_done *done, err e)
{
    struct guardian_series *s = guardian_series_of(g, m);
    if (!s || e == E_CANCELED)
        return;
    series_add(e == OK ? s->defrags : s->defrag_failures, 1);
    series_set(s->defrag_stall, (double)done->stall_ms / 1000.0);
    series_set(s->defrag_at, (double)loop_wall_ms() / 1000.0);
    if (done->won_bytes > 0)
        series_add(s->defrag_won, (double)done->won_bytes);
}

static err defragment(struct guardian *g, struct etcd *etcd, const struct guardian_view *v, const struct guardian_decision *d,
                      struct guardian_done *out)
{
    struct guardian_member m = v->members[d->member];
    struct etcd_status status;
    TRY(connect_member(etcd, &m, &status));
    if (etcd_status_is_leader(&status) && !m.leads)
        return trail(E_DENIED, "member %s leads since a moment ago", guardian_label(&m));
    int64_t before = status.db_bytes;
    err e = defragment_watched(etcd, out);
    if (e == OK)
        e = await_caught_up(g, etcd, &m, &status);
    if (e == OK)
        out->won_bytes = before - status.db_bytes;
    count_defrag(g, &m, out, e);
    return e == OK ? OK : trail(e, "defragmenting member %s", guardian_label(&m));
}

/* --- the others --- */

static err await_leader(struct etcd *etcd, const struct guardian_member *heir)
{
    ms until = loop_now() + MOVED_MS;
    struct etcd_status status;
    do {
        err e = connect_member(etcd, heir, &status);
        if (e == E_CANCELED || (e == OK && etcd_status_is_leader(&status)))
            return e;
        trail_clear();
        TRY(fiber_sleep(loop_now() + LOOK_MS));
    } while (loop_now() < until);
    return trail(E_DENIED, "member %s does not lead after 10 s", guardian_label(heir));
}

static err move_leader(struct etcd *etcd, const struct guardian_view *v, const struct guardian_decision *d)
{
    const struct guardian_member from = v->members[d->member], to = v->members[d->to];
    struct etcd_status status;
    TRY(connect_member(etcd, &from, &status));
    TRY(etcd_move_leader(etcd, to.id, loop_now() + GUARDIAN_CALL_MS_MAX));
    return await_leader(etcd, &to);
}

/* That it is compacted already is what was wanted. */
static err compact(struct etcd *etcd, const struct guardian_decision *d)
{
    struct etcd_status status;
    TRY(etcd_connect_any(etcd, loop_now() + GUARDIAN_CALL_MS_MAX, &status));
    uint64_t mark = trail_mark();
    pulse_rest(TASK_GUARDIAN);
    err e = etcd_compact(etcd, d->revision, loop_now() + COMPACT_MS_MAX);
    pulse_beat(TASK_GUARDIAN, loop_now());
    if (e == E_ABSENT)
        trail_rewind(mark);
    return e == E_ABSENT ? OK : e;
}

static err disarm(struct etcd *etcd)
{
    struct etcd_alarm alarms[GUARDIAN_MEMBERS_MAX];
    struct etcd_status status;
    unsigned count = 0;
    TRY(etcd_connect_any(etcd, loop_now() + GUARDIAN_CALL_MS_MAX, &status));
    TRY(etcd_alarm_list(etcd, loop_now() + GUARDIAN_CALL_MS_MAX, alarms, GUARDIAN_MEMBERS_MAX, &count));
    for (unsigned i = 0; i < count && i < GUARDIAN_MEMBERS_MAX; i++)
        if (alarms[i].kind == ETCD_ALARM_NOSPACE)
            TRY(etcd_alarm_disarm(etcd, &alarms[i], loop_now() + GUARDIAN_CALL_MS_MAX));
    return OK;
}

err act_step(struct guardian *g, const struct guardian_view *v, const struct guardian_decision *d, struct guardian_done *out)
{
    struct etcd *etcd = NULL;
    ms began = loop_now();
    *out = (struct guardian_done){0};
    TRY(guardian_source(g, loop_now() + GUARDIAN_CALL_MS_MAX, &etcd, NULL));
    err e = OK;
    switch (d->step) {
    case GUARDIAN_COMPACT:
        e = compact(etcd, d);
        break;
    case GUARDIAN_DEFRAG:
        e = defragment(g, etcd, v, d, out);
        break;
    case GUARDIAN_MOVE_LEADER:
        e = move_leader(etcd, v, d);
        break;
    case GUARDIAN_DISARM:
        e = disarm(etcd);
        break;
    case GUARDIAN_REST:
    case GUARDIAN_DOUBT:
        break;
    }
    etcd_close(etcd);
    out->took_ms = out->took_ms ? out->took_ms : loop_now() - began;
    return e;
}
