/* guardian: the agent: looks, tells, and has done what is to be done. */
#include "agents/guardian/guardian_internal.h"

#include "board/rt/log.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX   (2 * GUARDIAN_MEMBERS_MAX + 8) /* of one campaign: each member, each move, and the chain around them */
#define AGAIN_MS    MINUTES(10)                    /* after a doubt or a failure */
#define EXPIRY_DAYS 7
#define DAY_S       86400

err guardian_open(const struct guardian_options *o, struct guardian **out)
{
    uint32_t random = 0;
    *out = NULL;
    struct guardian *g = calloc(1, sizeof *g);
    if (!g)
        return E_BUDGET;
    g->config = o->config;
    g->options = *o;
    os_random(&random, sizeof random);
    (void)snprintf(g->key.mine, sizeof g->key.mine, "%.*s-%08x", (int)sizeof g->key.mine - 10, o->name, (unsigned)random);
    lane_open(&g->files, "guardian certificates", TASK_GUARDIAN, 1);
    sem_init_count(&g->calls, 1);
    sem_init_count(&g->acting, 1);
    sem_init_count(&g->looks, 1);
    *out = g;
    return OK;
}

void guardian_close(struct guardian *g)
{
    if (!g)
        return;
    guardian_metrics_close(g);
    lane_close(&g->files);
    free(g);
}

struct guardian_rules guardian_rules_of(const struct config *c)
{
    const struct config_guardian *k = &c->backup.etcd;
    return (struct guardian_rules){.defrag = k->defrag,
                                   .nospace = k->nospace,
                                   .fragmentation = k->defrag_fragmentation,
                                   .floor_bytes = k->defrag_floor,
                                   .quota_percent = k->defrag_quota};
}

err guardian_look(struct guardian *g, struct guardian_view *out)
{
    TRY(guardian_survey(g));
    *out = g->view;
    return OK;
}

/* --- a campaign --- */

struct campaign {
    struct guardian *g;
    const struct guardian_order *order;
    const struct guardian_watcher *watcher;
    struct guardian_view *v;
    struct guardian_facts facts;
    struct guardian_decision d;
    uint64_t done[GUARDIAN_MEMBERS_MAX];
    unsigned done_count, steps;
    bool keyless;
};

static bool is_fresh(const struct guardian *g)
{
    return g->options.fresh && g->options.fresh(g->options.arg);
}

static bool is_snapshotting(const struct guardian *g)
{
    return g->options.snapshotting && g->options.snapshotting(g->options.arg);
}

bool guardian_is_holding(const struct guardian *g)
{
    return g->holding;
}

static err look_again(struct campaign *c)
{
    if (c->order->dry_run && c->steps > 0)
        return OK; /* goes on with what was supposed */
    TRY(guardian_look(c->g, c->v));
    for (unsigned i = 0; i < c->v->count; i++)
        for (unsigned j = 0; j < c->done_count; j++)
            c->v->members[i].done = c->v->members[i].done || c->v->members[i].id == c->done[j];
    return OK;
}

static void note(struct campaign *c)
{
    c->facts.is_nospace = c->facts.is_nospace || c->d.is_nospace;
    c->facts.compacted = c->facts.compacted || c->d.step == GUARDIAN_COMPACT;
    c->facts.moves += c->d.step == GUARDIAN_MOVE_LEADER;
    if (c->d.step == GUARDIAN_DEFRAG && c->done_count < GUARDIAN_MEMBERS_MAX)
        c->done[c->done_count++] = c->v->members[c->d.member].id;
}

static err carry_out(struct campaign *c)
{
    struct guardian_done done = {0};
    err e = c->keyless ? OK : key_confirm(c->g);
    if (e == OK)
        e = act_step(c->g, c->v, &c->d, &done);
    if (c->watcher && c->watcher->done && e != E_CANCELED)
        c->watcher->done(c->watcher->arg, &c->d, c->v, done.took_ms, done.stall_ms, done.won_bytes, e);
    if (e == OK)
        note(c);
    return e;
}

static void decide(struct campaign *c)
{
    c->g->holding = !c->order->dry_run; /* before it is asked: none begins between the two */
    c->facts.snapshotting = is_snapshotting(c->g);
    c->facts.fresh_backup = is_fresh(c->g);
    guardian_plan(c->v, &c->order->rules, &c->facts, &c->d);
}

static void tell_decision(const struct campaign *c)
{
    if (c->watcher && c->watcher->decided)
        c->watcher->decided(c->watcher->arg, &c->d, c->v);
}

/* *more false: all is done. Backups wait from before the decision until after the step. */
static err one_step(struct campaign *c, bool *more)
{
    TRY(look_again(c));
    decide(c);
    tell_decision(c);
    *more = c->d.step != GUARDIAN_REST;
    err e = OK;
    if (c->d.step == GUARDIAN_DOUBT)
        e = trail(E_DENIED, "%s", c->d.why);
    else if (*more && c->order->dry_run)
        guardian_suppose(c->v, &c->facts, &c->d);
    else if (*more)
        e = carry_out(c);
    c->g->holding = false;
    c->steps += *more && e == OK;
    return e;
}

static err all_steps(struct campaign *c)
{
    bool more = true;
    while (more && c->steps < STEPS_MAX)
        TRY(one_step(c, &more));
    return more ? trail(E_DENIED, "not done after %d steps", STEPS_MAX) : OK;
}

/* Without the key: is there anything to be done? etcd with a CORRUPT alarm gives none, and who only looks needs none. */
static err peek(struct campaign *c, bool *more)
{
    TRY(look_again(c));
    decide(c);
    c->g->holding = false;
    *more = c->d.step != GUARDIAN_REST && c->d.step != GUARDIAN_DOUBT;
    if (!*more)
        tell_decision(c);
    return c->d.step == GUARDIAN_DOUBT ? trail(E_DENIED, "%s", c->d.why) : OK;
}

/* The lease is kept by a fiber; where the agent has none running, by one for this campaign. */
static err with_key(struct campaign *c)
{
    struct guardian *g = c->g;
    struct group keeper;
    bool more = false;
    if (c->order->dry_run)
        return all_steps(c);
    err e = peek(c, &more);
    if (!more)
        return e;
    e = key_is_held(g) ? OK : key_take(g);
    c->keyless = e == E_FULL && c->order->by_hand && !g->key.theirs[0];
    if (c->keyless) {
        trail_clear();
        log_warn_0("etcd is out of space and takes no key: nobody keeps another hub from doing the same now");
        return all_steps(c);
    }
    if (e != OK || g->key.kept)
        return e == OK ? all_steps(c) : e;
    group_open(&keeper, TASK_GUARDIAN);
    e = group_spawn(&keeper, "guardian key", guardian_keep_key, g);
    if (e == OK)
        e = all_steps(c);
    group_close(&keeper); /* which gives the key back */
    return e;
}

err guardian_act(struct guardian *g, const struct guardian_order *o, const struct guardian_watcher *w, unsigned *steps)
{
    *steps = 0;
    if (g->acting.count == 0)
        return trail(E_BUSY, "the guardian is at work already");
    TRY(sem_take(&g->acting, FOREVER)); /* at once */
    struct campaign *c = calloc(1, sizeof *c);
    struct guardian_view *v = calloc(1, sizeof *v);
    err e = c && v ? OK : E_BUDGET;
    if (e == OK) {
        *c = (struct campaign){.g = g, .order = o, .watcher = w, .v = v};
        e = with_key(c);
        *steps = c->steps;
    }
    free(v);
    free(c);
    sem_give(&g->acting);
    return e;
}

/* --- the hub's own --- */

static void log_decided(void *arg, const struct guardian_decision *d, const struct guardian_view *v)
{
    (void)arg;
    (void)v;
    if (d->step != GUARDIAN_REST && d->step != GUARDIAN_DOUBT)
        log_info("etcd: next step", F("step", guardian_step_name(d->step)), F("why", d->why));
}

static void log_done(void *arg, const struct guardian_decision *d, const struct guardian_view *v, ms took_ms, ms stall_ms,
                     int64_t won_bytes, err result)
{
    (void)arg;
    if (result == OK)
        log_info("etcd: step done", F("step", guardian_step_name(d->step)), F("member", guardian_label(&v->members[d->member])),
                 F_MS("took", took_ms), F_MS("stall", stall_ms), F_I64("won_bytes", won_bytes));
}

/* Told once, and again when it is another one. */
static void doubt(struct guardian *g, const char *why)
{
    bool new = *why &&strcmp(g->doubt, why) != 0;
    (void)snprintf(g->doubt, sizeof g->doubt, "%s", why);
    if (new)
        log_warn("etcd should be looked after, but nothing is done", F("why", why));
}

static err act(struct guardian *g, const struct guardian_rules *rules)
{
    static const struct guardian_watcher logging = {log_decided, log_done, NULL};
    char why[GUARDIAN_WHY_MAX];
    unsigned steps = 0;
    err e = guardian_act(g, &(struct guardian_order){.rules = *rules}, &logging, &steps);
    if (e == E_CANCELED)
        return e;
    if (e != OK)
        g->again_at = loop_now() + AGAIN_MS;
    doubt(g, e == OK ? "" : trail_text(e, why, sizeof why));
    trail_clear();
    return OK;
}

/* On the last look first: mostly nothing is to be done, and nobody needs the key to know that. */
static err consider(struct guardian *g)
{
    struct guardian_rules rules = guardian_rules_of(g->config);
    struct guardian_facts facts = {.fresh_backup = is_fresh(g)};
    struct guardian_decision d;
    guardian_plan(&g->view, &rules, &facts, &d);
    if (d.step == GUARDIAN_REST || !key_is_held(g))
        doubt(g, "");
    else if (d.step == GUARDIAN_DOUBT)
        doubt(g, d.why);
    else if (loop_now() >= g->again_at)
        return act(g, &rules);
    return OK;
}

static ms look_wait(void)
{
    uint32_t random = 0;
    os_random(&random, sizeof random);
    return GUARDIAN_LOOK_MS * 9 / 10 + (ms)(random % (uint32_t)(GUARDIAN_LOOK_MS / 5));
}

err guardian_run(void *guardian)
{
    struct guardian *g = guardian;
    err e = guardian_metrics_open(g);
    if (e != OK)
        log_warn("the guardian's metrics are incomplete", F_ERR(e));
    for (;;) {
        TRY(guardian_survey(g));
        guardian_metrics_tell(g);
        TRY(consider(g));
        pulse_rest(TASK_GUARDIAN);
        TRY(fiber_sleep(loop_now() + look_wait()));
        pulse_beat(TASK_GUARDIAN, loop_now());
    }
}

static bool expires_soon(int64_t expires_s)
{
    return expires_s != 0 && os_wall_is_trusted() && expires_s - loop_wall_ms() / 1000 < (int64_t)EXPIRY_DAYS * DAY_S;
}

bool guardian_is_well(void *guardian, struct text *why)
{
    const struct guardian *g = guardian;
    if (g->view.at == 0)
        return true; /* not looked yet */
    if (!guardian_view_is_well(&g->view, why))
        return false;
    for (unsigned i = 0; i < g->view.count; i++)
        if (expires_soon(g->view.members[i].certificate_expires_s)) {
            text_addf(why, "the certificate of member %s expires within %d days", guardian_label(&g->view.members[i]),
                      EXPIRY_DAYS);
            return false;
        }
    if (expires_soon(g->view.client_expires_s))
        text_addf(why, "our client certificate expires within %d days", EXPIRY_DAYS);
    else
        text_add(why, g->doubt);
    return !expires_soon(g->view.client_expires_s) && !g->doubt[0];
}

/* --- a row --- */

static void put_known(struct json_writer *w, const char *key, int64_t value, bool known)
{
    json_key(w, key);
    if (known)
        json_i64(w, value);
    else
        json_null(w);
}

static void put_alarms(struct json_writer *w, const struct guardian_member *m)
{
    json_key(w, "alarms");
    json_array(w);
    if (m->nospace)
        json_text(w, etcd_alarm_name(ETCD_ALARM_NOSPACE));
    if (m->corrupt)
        json_text(w, etcd_alarm_name(ETCD_ALARM_CORRUPT));
    json_array_end(w);
}

void guardian_member_json(struct json_writer *w, const struct guardian_view *v, unsigned member)
{
    const struct guardian_member *m = &v->members[member];
    char id[20];
    int64_t days = (m->certificate_expires_s - loop_wall_ms() / 1000) / DAY_S;
    (void)snprintf(id, sizeof id, "%016llx", (unsigned long long)m->id);
    json_object(w);
    json_put_text(w, "member", guardian_label(m));
    json_put_text(w, "id", m->id ? id : NULL);
    json_put_text(w, "endpoint", m->endpoint);
    json_put_bool(w, "up", m->up);
    json_put_text(w, "version", m->version);
    put_known(w, "size_bytes", m->db_bytes, m->up);
    put_known(w, "in_use_bytes", m->in_use_bytes, m->up);
    put_known(w, "quota_bytes", m->quota_bytes, m->quota_bytes > 0);
    put_known(w, "fragmentation_percent", guardian_fragmentation(m), m->up);
    json_put_bool(w, "leader", m->leads);
    json_put_bool(w, "learner", m->is_learner);
    put_known(w, "raft_index", (int64_t)m->raft_index, m->up);
    put_known(w, "raft_term", (int64_t)m->raft_term, m->up);
    put_known(w, "revision", m->revision, m->up);
    put_known(w, "revision_lag", guardian_newest_revision(v) - m->revision, m->up);
    put_alarms(w, m);
    put_known(w, "certificate_days", days, m->certificate_expires_s != 0);
    json_put_text(w, "says", m->words);
    json_object_end(w);
}
