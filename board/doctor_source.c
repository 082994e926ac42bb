/* doctor_source: where snapshots come from: each etcd endpoint, or Talos' machine API. */
#include "board/doctor.h"

#include "board/rt/file.h"
#include "net/api/etcd/etcd.h"
#include "net/api/talos/talos.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ALARMS_MAX 8

static bool wants_tls(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.endpoint_count; i++)
        if (strncmp(c->backup.endpoints[i], "https://", 8) == 0)
            return true;
    return false;
}

void doctor_etcd_tls(struct doctor *d, const struct doctor_probe *p)
{
    const struct config *c = d->config;
    struct doctor_files f = {
        .key = "backup.etcd", .ca = c->backup.ca, .cert = c->backup.cert, .cert_key = c->backup.key, .h2 = true};
    if (wants_tls(c))
        doctor_tls(d, p, &f, &d->etcd_tls);
}

static void tell_alarm(struct doctor *d, const struct doctor_probe *p, const char *subject, unsigned kind, uint64_t member)
{
    const char *words = kind == ETCD_ALARM_NOSPACE   ? "its quota is used up and it takes no writes: compact, defragment, disarm"
                        : kind == ETCD_ALARM_CORRUPT ? "its data differs from the others'; replace that member, do not defragment"
                                                     : "an alarm that is not known here";
    doctor_say(d, p, DOCTOR_BAD, subject, "alarm %s of member %" PRIx64 ": %s", etcd_alarm_name((enum etcd_alarm_kind)kind),
               member, words);
}

/* --- etcd --- */
static void tell_status(struct doctor *d, const struct doctor_probe *p, const char *subject, const struct etcd_status *s)
{
    if (s->db_bytes > d->db_bytes)
        d->db_bytes = s->db_bytes;
    if (s->leader_id == 0)
        doctor_say(d, p, DOCTOR_BAD, subject, "etcd %s has no leader: most members do not answer it", s->version);
    else if (s->is_learner)
        doctor_say(d, p, DOCTOR_WARN, subject, "etcd %s is a learner, from which no snapshot is taken; promote it", s->version);
    else
        doctor_say(d, p, DOCTOR_GOOD, subject, "etcd %s, %s, database of %" PRId64 " KiB", s->version,
                   etcd_status_is_leader(s) ? "leader" : "follower", s->db_bytes / 1024);
}

static void look_alarms(struct doctor *d, const struct doctor_probe *p, const char *subject, struct etcd *e)
{
    struct etcd_alarm alarms[ALARMS_MAX];
    unsigned count = 0;
    err r = etcd_alarm_list(e, doctor_until(d), alarms, ALARMS_MAX, &count);
    if (r != OK)
        doctor_failed(d, p, r == E_DENIED ? DOCTOR_BAD : DOCTOR_UNKNOWN, subject, r, "may this user ask for alarms?");
    for (unsigned i = 0; i < count && i < ALARMS_MAX; i++)
        tell_alarm(d, p, subject, alarms[i].kind, alarms[i].member_id);
}

/* The first piece of a snapshot; what follows is canceled. */
static void look_snapshot(struct doctor *d, const struct doctor_probe *p, const char *subject, struct etcd *e)
{
    struct etcd_snapshot *s = NULL;
    struct bytes blob;
    uint64_t remaining = 0;
    bool more = false;
    err r = etcd_snapshot_start(e, doctor_until(d), &s);
    if (r == OK)
        r = etcd_snapshot_next(s, DOCTOR_PROBE_MS, &blob, &remaining, &more);
    etcd_snapshot_end(s);
    if (r == OK && more)
        doctor_say(d, p, DOCTOR_GOOD, subject, "gives snapshots");
    else if (r == OK)
        doctor_say(d, p, DOCTOR_BAD, subject, "its snapshot is empty");
    else
        doctor_failed(d, p, DOCTOR_BAD, subject, r, r == E_DENIED ? "a snapshot needs etcd's role root" : doctor_advice(r));
}

void doctor_etcd(struct doctor *d, const struct doctor_probe *p)
{
    const char *url = d->config->backup.endpoints[p->index];
    struct etcd_options o = {
        .endpoints = {url}, .endpoint_count = 1, .tls = d->etcd_tls, .dns = d->dns, .window_bytes = ETCD_SMALL_WINDOW};
    struct etcd_status s;
    struct etcd *e = NULL;
    if (strncmp(url, "https://", 8) == 0 && !d->etcd_tls) {
        doctor_say(d, p, DOCTOR_UNKNOWN, url, "not asked: its certificates are not usable, see backup.etcd");
        return;
    }
    err r = etcd_open(&o, &e);
    if (r == OK)
        r = etcd_connect(e, 0, doctor_until(d), &s);
    if (r == OK) {
        tell_status(d, p, url, &s);
        look_alarms(d, p, url, e);
        if (!s.is_learner)
            look_snapshot(d, p, url, e);
    } else {
        doctor_failed(d, p, DOCTOR_BAD, url, r, doctor_advice(r));
    }
    etcd_close(e);
}

/* --- Talos --- */
static void talos_alarms(struct doctor *d, const struct doctor_probe *p, struct talos *t)
{
    struct talos_alarm alarms[ALARMS_MAX];
    unsigned count = 0;
    err e = talos_alarm_list(t, doctor_until(d), alarms, ALARMS_MAX, &count);
    if (e != OK)
        doctor_failed(d, p, e == E_DENIED ? DOCTOR_BAD : DOCTOR_UNKNOWN, talos_peer(t), e, "");
    for (unsigned i = 0; i < count && i < ALARMS_MAX; i++)
        tell_alarm(d, p, talos_peer(t), alarms[i].kind, alarms[i].member_id);
}

static void talos_snapshot(struct doctor *d, const struct doctor_probe *p, struct talos *t)
{
    struct talos_snapshot *s = NULL;
    struct bytes blob;
    bool more = false;
    err e = talos_snapshot_start(t, doctor_until(d), &s);
    if (e == OK)
        e = talos_snapshot_next(s, DOCTOR_PROBE_MS, &blob, &more);
    talos_snapshot_end(s);
    if (e == OK && more)
        doctor_say(d, p, DOCTOR_GOOD, talos_peer(t), "gives snapshots");
    else if (e == OK)
        doctor_say(d, p, DOCTOR_BAD, talos_peer(t), "its snapshot is empty");
    else
        doctor_failed(d, p, DOCTOR_BAD, talos_peer(t), e, "");
}

static void talos_look(struct doctor *d, const struct doctor_probe *p, const struct talos_options *o)
{
    struct talos_status s;
    struct talos *t = NULL;
    const char *subject = o->socket ? o->socket : o->endpoint;
    err e = talos_open(o, &t);
    if (e == OK)
        e = talos_connect(t, doctor_until(d), &s);
    if (e == OK) {
        d->db_bytes = s.db_bytes > d->db_bytes ? s.db_bytes : d->db_bytes;
        doctor_say(d, p, s.leader_id ? DOCTOR_GOOD : DOCTOR_BAD, subject, "Talos, etcd %s, %s, database of %" PRId64 " KiB",
                   s.protocol_version,
                   !s.leader_id                 ? "no leader: most members do not answer it"
                   : s.is_learner               ? "learner"
                   : s.leader_id == s.member_id ? "leader"
                                                : "follower",
                   s.db_bytes / 1024);
        talos_alarms(d, p, t);
        talos_snapshot(d, p, t);
    } else {
        doctor_failed(d, p, DOCTOR_BAD, subject, e, doctor_advice(e));
    }
    talos_close(t);
}

static void talos_endpoints(struct doctor *d, const struct doctor_probe *p, struct lane *l, const struct talosconfig *c)
{
    struct talos_options o = {.dns = d->dns};
    err e = talos_tls_open(l, c, &o.tls);
    if (e != OK)
        doctor_failed(d, p, DOCTOR_BAD, "backup.talos.config", e, "take the file anew from talosctl");
    for (unsigned i = 0; e == OK && i < c->endpoint_count; i++) {
        o.endpoint = c->endpoints[i];
        talos_look(d, p, &o);
    }
    tls_config_release(o.tls);
}

static void talos_by_config(struct doctor *d, const struct doctor_probe *p, const char *path)
{
    struct talosconfig *c = NULL;
    struct buf *file = NULL;
    struct lane l;
    lane_open(&l, "doctor", mem_task(), 1);
    err e = file_read_small(&l, path, TALOSCONFIG_BYTES_MAX, doctor_until(d), &file);
    if (e == OK)
        e = talosconfig_open((struct bytes){file->at, file->len}, NULL, &c);
    if (e == OK)
        talos_endpoints(d, p, &l, c);
    else
        doctor_failed(d, p, DOCTOR_BAD, "backup.talos.config", e, "");
    if (file)
        wipe(file->at, file->len);
    buf_release(file);
    talosconfig_close(c);
    lane_close(&l);
}

void doctor_talos(struct doctor *d, const struct doctor_probe *p)
{
    const struct config *c = d->config;
    if (*c->backup.talos_config)
        talos_by_config(d, p, c->backup.talos_config);
    else
        talos_look(d, p, &(struct talos_options){.socket = c->backup.talos_socket});
}
