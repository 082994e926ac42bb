/* notify: who is told what, and when. The events change what is wanted; one fiber delivers it (notify_deliver.c). */
#include "agents/backup/notify_internal.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_MS HOURS(24) /* of what lasts */

static struct family sent = {
    .name = "holdfast_notify_sent_total", .help = "Notifications delivered.", .type = METRIC_COUNTER, .labels = {"kind"}};
static struct family failures = {.name = "holdfast_notify_failures_total",
                                 .help = "Notifications given up, or put aside because too many waited.",
                                 .type = METRIC_COUNTER,
                                 .labels = {"kind"}};

static bool has_webhook(const struct notify *n)
{
    return n->config->notify.webhook[0] != 0;
}

static bool has_ping(const struct notify *n)
{
    return n->config->notify.ping_url[0] != 0;
}

/* --- the queue --- */

void notify_queue_remove(struct notify *n, unsigned i)
{
    n->count--;
    memmove(&n->queue[i], &n->queue[i + 1], (n->count - i) * sizeof n->queue[0]);
}

static void count_lost(struct notify *n, const struct notice *e, const char *why)
{
    series_add(n->failures[e->kind], 1);
    log_error("notification given up", F("kind", notify_kind_name(e->kind)), F("destination", e->destination), F("why", why));
}

struct notice *notify_queue_find(struct notify *n, enum notify_kind kind, const char *destination)
{
    for (unsigned i = 0; i < n->count; i++)
        if (n->queue[i].kind == kind && strcmp(n->queue[i].destination, destination) == 0)
            return &n->queue[i];
    return NULL;
}

/* Where a notice of this kind and destination waits, it is made the new one and keeps its place and its attempts. */
static struct notice *queue_place(struct notify *n, enum notify_kind kind, const char *destination)
{
    struct notice *e = notify_queue_find(n, kind, destination);
    if (e)
        return e;
    if (n->count == NOTIFY_QUEUE_MAX) {
        count_lost(n, &n->queue[0], "too many wait");
        notify_queue_remove(n, 0);
    }
    e = &n->queue[n->count++];
    *e = (struct notice){.kind = kind, .tries.due_at = loop_now()};
    return e;
}

static void tell(struct notify *n, const struct watched *w, enum notify_kind kind)
{
    if (!has_webhook(n))
        return;
    struct notice *e = queue_place(n, kind, w->name);
    bool failed = kind == NOTIFY_FAILED;
    e->id = ++n->next_id;
    (void)snprintf(e->destination, sizeof e->destination, "%s", w->name);
    (void)snprintf(e->reason, sizeof e->reason, "%s", failed ? w->reason : "");
    (void)snprintf(e->words, sizeof e->words, "%s", failed ? w->words : "");
    e->at_s = loop_wall_ms() / 1000;
    e->last_success_s = w->last_success_s;
    e->cluster_id = n->cluster_id;
    waitq_wake_all(&n->changed);
}

/* What was not delivered of it is news no more. */
static void forget(struct notify *n, const char *destination)
{
    for (unsigned i = n->count; i-- > 0;)
        if (strcmp(n->queue[i].destination, destination) == 0)
            notify_queue_remove(n, i);
}

/* --- events --- */

static struct watched *watched_of(struct notify *n, const char *destination)
{
    for (unsigned i = 0; i < n->config->backup.destination_count; i++)
        if (strcmp(n->watched[i].name, destination) == 0)
            return &n->watched[i];
    return NULL;
}

static bool all_well(const struct notify *n)
{
    for (unsigned i = 0; i < n->config->backup.destination_count; i++)
        if (n->watched[i].failing || n->watched[i].stale)
            return false;
    return true;
}

static void recover(struct notify *n, struct watched *w)
{
    w->failing = w->stale = false;
    forget(n, w->name);
    tell(n, w, NOTIFY_RECOVERED);
}

void notify_round(void *arg)
{
    struct notify *n = arg;
    bool good = n->good_since;
    n->good_since = false;
    if (!good || !has_ping(n) || !all_well(n))
        return;
    n->ping_wanted = true;
    n->ping = (struct tries){.due_at = loop_now()};
    waitq_wake_all(&n->changed);
}

void notify_done(void *arg, const struct backup_record *r)
{
    struct notify *n = arg;
    struct watched *w = watched_of(n, r->destination);
    if (!w)
        return;
    w->last_success_s = r->taken_at_s;
    if (r->cluster_id != 0)
        n->cluster_id = r->cluster_id;
    if (w->failing || w->stale)
        recover(n, w);
    n->good_since = true;
}

/* What the hub knows from an earlier run's files, too. */
static void learn_last_success(struct watched *w)
{
    const char *const labels[] = {w->name};
    double at_s = metric_value("holdfast_backup_last_success_timestamp_seconds", labels);
    if (at_s > (double)w->last_success_s) /* false for NAN */
        w->last_success_s = (int64_t)at_s;
}

void notify_failed(void *arg, const char *destination, const char *reason, const char *words)
{
    struct notify *n = arg;
    struct watched *w = watched_of(n, destination);
    if (!w)
        return;
    (void)snprintf(w->reason, sizeof w->reason, "%s", reason ? reason : "");
    (void)snprintf(w->words, sizeof w->words, "%s", words ? words : "");
    n->ping_wanted = false;
    if (w->failing)
        return;
    w->failing = true;
    w->failed_said_at = loop_now();
    learn_last_success(w);
    tell(n, w, NOTIFY_FAILED);
}

void notify_stale(void *arg, const char *destination, bool stale, int64_t newest_s)
{
    struct notify *n = arg;
    struct watched *w = watched_of(n, destination);
    if (!w || w->stale == stale)
        return;
    w->last_success_s = newest_s > 0 ? newest_s : w->last_success_s;
    if (!stale && !w->failing) {
        recover(n, w);
        return;
    }
    w->stale = stale; /* while it fails, the good run that ends it is what is told */
    if (!stale)
        return;
    n->ping_wanted = false;
    w->stale_said_at = loop_now();
    tell(n, w, NOTIFY_STALE);
}

/* --- what lasts --- */

/* What is due to be said again is; the earliest next time otherwise. */
static ms repeat(struct notify *n, bool lasts, ms *said_at, struct watched *w, enum notify_kind kind)
{
    if (!lasts || !has_webhook(n))
        return FOREVER;
    if (loop_now() - *said_at >= REPEAT_MS) {
        *said_at = loop_now();
        learn_last_success(w);
        tell(n, w, kind);
    }
    return *said_at + REPEAT_MS;
}

ms notify_repeat(struct notify *n)
{
    ms next = FOREVER;
    for (unsigned i = 0; i < n->config->backup.destination_count; i++) {
        struct watched *w = &n->watched[i];
        next = ms_min(next, repeat(n, w->failing, &w->failed_said_at, w, NOTIFY_FAILED));
        next = ms_min(next, repeat(n, w->stale, &w->stale_said_at, w, NOTIFY_STALE));
    }
    return next;
}

/* --- opening --- */

static err register_series(struct notify *n)
{
    for (int k = 0; k < (int)NOTIFY_KIND_COUNT; k++) {
        const char *const labels[] = {notify_kind_name((enum notify_kind)k)};
        if (k == (int)NOTIFY_PING ? !has_ping(n) : !has_webhook(n))
            continue;
        TRY(metric_series(&sent, labels, &n->sent[k]));
        TRY(metric_series(&failures, labels, &n->failures[k]));
    }
    return OK;
}

err notify_open(const struct notify_options *o, struct notify **out)
{
    *out = NULL;
    struct notify *n = calloc(1, sizeof *n);
    if (!n)
        return E_BUDGET;
    n->config = o->config;
    n->dns = o->dns;
    n->version = o->version;
    os_host_name(n->host, sizeof n->host);
    for (unsigned i = 0; i < o->config->backup.destination_count; i++)
        n->watched[i].name = o->config->backup.destinations[i].name;
    err e = register_series(n);
    if (e != OK) {
        free(n);
        return e;
    }
    lane_open(&n->files, "notify", TASK_BACKUP, 1);
    *out = n;
    return OK;
}

void notify_close(struct notify *n)
{
    if (!n)
        return;
    lane_close(&n->files);
    free(n);
}
