/* metrics: what the last look saw, by member. */
#include "agents/guardian/guardian_internal.h"

#include "board/rt/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define X(field, kind, full, words)                                                                                              \
    static struct family family_##field = {.name = full, .help = words, .type = METRIC_##kind, .labels = {"member"}};
GUARDIAN_FAMILIES(X)
#undef X
static struct family alarms = {.name = "holdfast_etcd_alarms",
                               .help = "1: the alarm is raised for the member.",
                               .type = METRIC_GAUGE,
                               .labels = {"member", "alarm"}};
static struct family expiry = {.name = "holdfast_etcd_certificate_expiry_timestamp_seconds",
                               .help = "When a certificate ends, Unix time: each member's server certificate, and our client's.",
                               .type = METRIC_GAUGE,
                               .labels = {"member", "certificate"}};
static struct family guarding = {
    .name = "holdfast_etcd_guarding", .help = "1: this hub holds the key, and is the one that may act.", .type = METRIC_GAUGE};

err guardian_metrics_open(struct guardian *g)
{
    return metric_series(&guarding, NULL, &g->guarding);
}

/* --- a member's series --- */

static err series_of_alarms(struct guardian_series *s)
{
    for (unsigned i = 0; i < COUNT_OF(s->alarms); i++) {
        const char *const labels[] = {s->label, etcd_alarm_name((enum etcd_alarm_kind)(ETCD_ALARM_NOSPACE + i))};
        TRY(metric_series(&alarms, labels, &s->alarms[i]));
    }
    return OK;
}

static err series_open(struct guardian_series *s)
{
    const char *const labels[] = {s->label};
#define X(field, kind, full, words) TRY(metric_series(&family_##field, labels, &s->field));
    GUARDIAN_FAMILIES(X)
#undef X
    series_set(s->defrag_stall, (double)NAN);
    series_set(s->defrag_at, (double)NAN);
    return series_of_alarms(s);
}

/* Counters stay in the registry: what they counted has happened. */
static void series_close(struct guardian_series *s)
{
    if (!s->label[0])
        return;
#define X(field, kind, full, words)                                                                                              \
    if (METRIC_##kind == METRIC_GAUGE)                                                                                           \
        series_drop(s->field);
    GUARDIAN_FAMILIES(X)
#undef X
    for (unsigned i = 0; i < COUNT_OF(s->alarms); i++)
        series_drop(s->alarms[i]);
    series_drop(s->server_expires);
    *s = (struct guardian_series){.label = ""};
}

void guardian_metrics_close(struct guardian *g)
{
    for (unsigned i = 0; i < GUARDIAN_MEMBERS_MAX; i++)
        series_close(&g->series[i]);
    series_drop(g->client_expires);
    series_drop(g->guarding);
    g->client_expires = g->guarding = NULL;
}

struct guardian_series *guardian_series_of(struct guardian *g, const struct guardian_member *m)
{
    struct guardian_series *empty = NULL;
    if (!g->guarding) /* a command's guardian has no metrics */
        return NULL;
    for (unsigned i = 0; i < GUARDIAN_MEMBERS_MAX; i++) {
        if (strcmp(g->series[i].label, guardian_label(m)) == 0)
            return &g->series[i];
        empty = !empty && !g->series[i].label[0] ? &g->series[i] : empty;
    }
    if (!empty)
        return NULL;
    (void)snprintf(empty->label, sizeof empty->label, "%s", guardian_label(m));
    err e = series_open(empty);
    if (e != OK)
        log_warn("the guardian's metrics are incomplete", F("member", empty->label), F_ERR(e));
    return empty;
}

/* --- values --- */

static void expiry_tell(struct series **s, const char *member, const char *certificate, int64_t expires_s)
{
    const char *const labels[] = {member, certificate};
    if (expires_s == 0)
        return;
    if (!*s && metric_series(&expiry, labels, s) != OK) {
        trail_clear(); /* counted by the registry */
        return;
    }
    series_set(*s, (double)expires_s);
}

static double known(bool is, double value)
{
    return is ? value : (double)NAN;
}

static void member_tell(struct guardian_series *s, const struct guardian_view *v, const struct guardian_member *m)
{
    series_set(s->up, m->up);
    series_set(s->db_size, known(m->up, (double)m->db_bytes));
    series_set(s->db_in_use, known(m->up, (double)m->in_use_bytes));
    series_set(s->quota, known(m->up && m->quota_bytes > 0, (double)m->quota_bytes));
    series_set(s->revision, known(m->up, (double)m->revision));
    series_set(s->revision_lag, known(m->up, (double)(guardian_newest_revision(v) - m->revision)));
    series_set(s->is_leader, m->up && m->leads);
    series_set(s->is_learner, m->is_learner);
    series_set(s->raft_index, known(m->up, (double)m->raft_index));
    series_set(s->raft_term, known(m->up, (double)m->raft_term));
    series_set(s->alarms[0], m->nospace);
    series_set(s->alarms[1], m->corrupt);
    expiry_tell(&s->server_expires, s->label, "server", m->certificate_expires_s);
}

void guardian_metrics_tell(struct guardian *g)
{
    const struct guardian_view *v = &g->view;
    for (unsigned i = 0; i < GUARDIAN_MEMBERS_MAX; i++)
        g->series[i].seen = false;
    for (unsigned i = 0; i < v->count; i++) {
        struct guardian_series *s = guardian_series_of(g, &v->members[i]);
        if (!s)
            continue;
        s->seen = true;
        member_tell(s, v, &v->members[i]);
    }
    for (unsigned i = 0; i < GUARDIAN_MEMBERS_MAX; i++)
        if (!g->series[i].seen)
            series_close(&g->series[i]);
    expiry_tell(&g->client_expires, "", "client", v->client_expires_s);
}
