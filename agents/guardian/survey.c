/* survey: one look at all members: Status of each endpoint, then the members and alarms that one of them knows of. */
#include "agents/guardian/guardian_internal.h"

#include "board/rt/pulse.h"
#include "net/api/etcd/etcd_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

err guardian_source(struct guardian *g, ms deadline, struct etcd **out, int64_t *expires_s)
{
    const struct config *c = g->config;
    struct etcd_files files = {.endpoint_count = c->backup.endpoint_count,
                               .ca = c->backup.ca,
                               .cert = c->backup.cert,
                               .key = c->backup.key,
                               .lane = &g->files,
                               .dns = g->options.dns,
                               .window_bytes = ETCD_SMALL_WINDOW};
    for (unsigned i = 0; i < files.endpoint_count; i++)
        files.endpoints[i] = c->backup.endpoints[i];
    return etcd_files_open(&files, deadline, out, expires_s);
}

struct survey {
    struct guardian *g;
    struct guardian_view *v;
    struct etcd *etcd;
    struct etcd_member *members; /* ETCD_MEMBERS_MAX of them: too much for a stack */
    struct etcd_status *status;  /* one */
};

static struct guardian_member *find(struct guardian_view *v, uint64_t id)
{
    for (unsigned i = 0; i < v->count; i++)
        if (id != 0 && v->members[i].id == id)
            return &v->members[i];
    return NULL;
}

static struct guardian_member *add(struct guardian_view *v, uint64_t id)
{
    if (v->count == GUARDIAN_MEMBERS_MAX)
        return NULL;
    struct guardian_member *m = &v->members[v->count++];
    *m = (struct guardian_member){.id = id, .endpoint = ""};
    return m;
}

/* --- the members there are --- */

static void take_member(struct guardian_view *v, const struct etcd_member *from)
{
    struct guardian_member *m = find(v, from->id);
    m = m ? m : add(v, from->id);
    if (!m)
        return;
    m->listed = true;
    m->is_learner = from->is_learner;
    if (from->name[0])
        (void)snprintf(m->name, sizeof m->name, "%s", from->name);
    else
        (void)snprintf(m->name, sizeof m->name, "%016llx", (unsigned long long)from->id); /* it has not started yet */
}

#define ALARMS_MAX (2 * GUARDIAN_MEMBERS_MAX)

/* An alarm of a member that is none any more counts for all: it must be dealt with. */
static void take_alarm(struct guardian_view *v, const struct etcd_alarm *a)
{
    struct guardian_member *m = find(v, a->member_id);
    if (!m && v->count > 0)
        m = &v->members[0];
    if (m && a->kind == ETCD_ALARM_NOSPACE)
        m->nospace = true;
    else if (m && a->kind != ETCD_ALARM_NONE) /* CORRUPT, and any of a later etcd that we do not know */
        m->corrupt = true;
}

/* From the connected one. A learner may not be asked. */
static err ask_cluster(struct survey *s)
{
    struct etcd_alarm alarms[ALARMS_MAX];
    unsigned count = 0, alarm_count = 0;
    ms deadline = loop_now() + GUARDIAN_CALL_MS_MAX;
    TRY(etcd_member_list(s->etcd, deadline, s->members, ETCD_MEMBERS_MAX, &count));
    TRY(etcd_alarm_list(s->etcd, deadline, alarms, ALARMS_MAX, &alarm_count));
    for (unsigned i = 0; i < count; i++)
        take_member(s->v, &s->members[i]);
    for (unsigned i = 0; i < alarm_count && i < ALARMS_MAX; i++)
        take_alarm(s->v, &alarms[i]);
    s->v->listed = true;
    return OK;
}

/* --- each endpoint --- */

static void remember(struct survey *s, unsigned endpoint, const struct guardian_member *m)
{
    s->g->known[endpoint].id = m->id;
    (void)snprintf(s->g->known[endpoint].name, sizeof s->g->known[endpoint].name, "%s", m->name);
}

static int64_t quota_of(const struct survey *s)
{
    return s->status->db_quota > 0 ? s->status->db_quota : s->g->config->backup.etcd.quota;
}

/* Alarms are reported among the errors by each member; "no leader" is another thing. */
static bool reports_more(const struct etcd_status *status)
{
    unsigned alarms = 0;
    for (const char *at = status->errors; (at = strstr(at, "alarm:")); at++)
        alarms++;
    return status->error_count > alarms;
}

static void take_status(struct survey *s, unsigned endpoint)
{
    const struct etcd_status *from = s->status;
    struct guardian_member *m = find(s->v, from->member_id);
    m = m ? m : add(s->v, from->member_id);
    if (!m || m->up) /* another name of one that was asked */
        return;
    m->endpoint = etcd_endpoint_name(s->etcd, endpoint);
    m->index = endpoint;
    m->up = true;
    m->is_learner = m->is_learner || from->is_learner;
    m->leads = etcd_status_is_leader(from);
    m->ill = reports_more(from);
    m->cluster_id = from->cluster_id;
    m->leader_id = from->leader_id;
    m->raft_term = from->raft_term;
    m->raft_index = from->raft_index;
    m->applied = from->raft_applied;
    m->db_bytes = from->db_bytes;
    m->in_use_bytes = from->db_in_use_bytes;
    m->quota_bytes = quota_of(s);
    m->revision = from->revision;
    m->certificate_expires_s = etcd_server_expires_s(s->etcd);
    (void)snprintf(m->version, sizeof m->version, "%s", from->version);
    (void)snprintf(m->words, sizeof m->words, "%.*s", (int)sizeof m->words - 1, from->errors);
}

/* The innermost words tell most in little space. */
static void take_failure(struct survey *s, unsigned endpoint, err e)
{
    struct guardian_member *m = find(s->v, s->g->known[endpoint].id);
    m = m ? m : add(s->v, s->g->known[endpoint].id);
    trail_clear();
    if (!m || m->up)
        return;
    m->endpoint = etcd_endpoint_name(s->etcd, endpoint);
    m->index = endpoint;
    if (!m->name[0])
        (void)snprintf(m->name, sizeof m->name, "%s", s->g->known[endpoint].name);
    (void)snprintf(m->words, sizeof m->words, "%s", err_text(e));
}

static err ask_one(struct survey *s, unsigned endpoint)
{
    TRY(sem_take(&s->g->calls, FOREVER)); /* each that holds it has a deadline */
    err e = etcd_connect(s->etcd, endpoint, loop_now() + GUARDIAN_CONNECT_MS_MAX, s->status);
    if (e == OK)
        take_status(s, endpoint);
    else if (e != E_CANCELED)
        take_failure(s, endpoint, e);
    if (e == OK && !s->v->listed && !s->status->is_learner && s->status->leader_id != 0)
        e = ask_cluster(s);
    sem_give(&s->g->calls);
    trail_clear();
    pulse_beat(TASK_GUARDIAN, loop_now());
    return e == E_CANCELED ? e : OK;
}

static err ask_all(struct survey *s)
{
    for (unsigned i = 0; i < etcd_endpoint_count(s->etcd); i++)
        TRY(ask_one(s, i));
    for (unsigned i = 0; i < etcd_endpoint_count(s->etcd); i++) {
        struct guardian_member *m = NULL;
        for (unsigned j = 0; j < s->v->count && !m; j++)
            m = s->v->members[j].up && s->v->members[j].index == i ? &s->v->members[j] : NULL;
        if (m)
            remember(s, i, m);
    }
    return OK;
}

static unsigned place_of(const struct guardian_member *m)
{
    return m->endpoint[0] ? m->index : CONFIG_ENDPOINTS_MAX;
}

/* In the order in which the configuration names them; those it does not name come last. */
static void sort(struct guardian_view *v)
{
    for (unsigned i = 1; i < v->count; i++)
        for (unsigned j = i; j > 0 && place_of(&v->members[j]) < place_of(&v->members[j - 1]); j--) {
            struct guardian_member m = v->members[j];
            v->members[j] = v->members[j - 1];
            v->members[j - 1] = m;
        }
}

/* Certificates that cannot be read leave no member seen; that is told of each. */
static void take_no_source(struct survey *s, err e)
{
    for (unsigned i = 0; i < s->g->config->backup.endpoint_count; i++) {
        struct guardian_member *m = add(s->v, s->g->known[i].id);
        if (!m)
            return;
        m->endpoint = s->g->config->backup.endpoints[i];
        m->index = i;
        (void)snprintf(m->name, sizeof m->name, "%s", s->g->known[i].name);
        (void)snprintf(m->words, sizeof m->words, "our certificates: %s", err_text(e));
    }
}

static err look(struct guardian *g)
{
    struct survey s = {.g = g, .v = &g->next};
    g->next = (struct guardian_view){.at = loop_now()};
    s.members = calloc(ETCD_MEMBERS_MAX, sizeof *s.members);
    s.status = calloc(1, sizeof *s.status);
    err e = s.members && s.status ? guardian_source(g, loop_now() + GUARDIAN_CALL_MS_MAX, &s.etcd, &g->next.client_expires_s)
                                  : E_BUDGET;
    pulse_beat(TASK_GUARDIAN, loop_now());
    if (e == OK)
        e = ask_all(&s);
    else if (e != E_CANCELED)
        take_no_source(&s, e);
    trail_clear();
    etcd_close(s.etcd);
    free(s.members);
    free(s.status);
    if (e == E_CANCELED)
        return e;
    sort(&g->next);
    g->view = g->next;
    return OK;
}

err guardian_survey(struct guardian *g)
{
    TRY(sem_take(&g->looks, FOREVER)); /* each that holds it has deadlines */
    err e = look(g);
    sem_give(&g->looks);
    return e;
}
