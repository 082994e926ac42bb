/* notify: who is told what, and when. The events change what is wanted; one fiber delivers it. */
#include "agents/backup/notify_internal.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPT_MS_MAX SECONDS(20)
#define RETRY_FIRST_MS SECONDS(5)
#define RETRY_MS_MAX   MINUTES(5)
#define JITTER_DIVISOR 4
#define GIVE_UP_MS     HOURS(1)
#define REPEAT_MS      HOURS(24)

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

static void queue_remove(struct notify *n, unsigned i)
{
    n->count--;
    memmove(&n->queue[i], &n->queue[i + 1], (n->count - i) * sizeof n->queue[0]);
}

static void count_lost(struct notify *n, const struct notice *e, const char *why)
{
    series_add(n->failures[e->kind], 1);
    log_error("notification given up", F("kind", notify_kind_name(e->kind)), F("destination", e->destination), F("why", why));
}

static struct notice *queue_find(struct notify *n, enum notify_kind kind, const char *destination)
{
    for (unsigned i = 0; i < n->count; i++)
        if (n->queue[i].kind == kind && strcmp(n->queue[i].destination, destination) == 0)
            return &n->queue[i];
    return NULL;
}

/* Where a notice of this kind and destination waits, it is made the new one and keeps its place and its attempts. */
static struct notice *queue_place(struct notify *n, enum notify_kind kind, const char *destination)
{
    struct notice *e = queue_find(n, kind, destination);
    if (e)
        return e;
    if (n->count == NOTIFY_QUEUE_MAX) {
        count_lost(n, &n->queue[0], "too many wait");
        queue_remove(n, 0);
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
            queue_remove(n, i);
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

/* --- delivering --- */

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

static ms repeat_all(struct notify *n)
{
    ms next = FOREVER;
    for (unsigned i = 0; i < n->config->backup.destination_count; i++) {
        struct watched *w = &n->watched[i];
        next = ms_min(next, repeat(n, w->failing, &w->failed_said_at, w, NOTIFY_FAILED));
        next = ms_min(next, repeat(n, w->stale, &w->stale_said_at, w, NOTIFY_STALE));
    }
    return next;
}

static bool notice_is_due(const struct notify *n)
{
    return n->count > 0 && n->queue[0].tries.due_at <= loop_now();
}

static bool ping_is_due(const struct notify *n)
{
    return n->ping_wanted && n->ping.due_at <= loop_now();
}

static ms next_due(struct notify *n)
{
    ms next = repeat_all(n);
    if (n->count > 0)
        next = ms_min(next, n->queue[0].tries.due_at);
    return n->ping_wanted ? ms_min(next, n->ping.due_at) : next;
}

/* After a failed attempt: false when that was the last. */
static bool try_again(struct tries *t)
{
    ms wait = ms_min(RETRY_FIRST_MS << size_min(t->attempts - 1, 10), RETRY_MS_MAX);
    uint32_t random = 0;
    os_random(&random, sizeof random);
    t->due_at = loop_now() + wait + (ms)(random % (uint32_t)(wait / JITTER_DIVISOR + 1));
    return t->attempts < NOTIFY_ATTEMPTS_MAX && t->due_at - t->first_at <= GIVE_UP_MS;
}

static void begin_try(struct tries *t)
{
    if (t->attempts++ == 0)
        t->first_at = loop_now();
}

/* A ping is of no destination. */
static void say(enum log_level level, const char *message, enum notify_kind kind, const char *destination, const char *to, err e)
{
    struct field fields[4] = {F("kind", notify_kind_name(kind))};
    size_t count = 1;
    if (*destination)
        fields[count++] = F("destination", destination);
    fields[count++] = F("to", to);
    if (e != OK)
        fields[count++] = F_ERR(e);
    log_write(level, message, fields, count);
}

/* In the log and for /readyz. lost: there will be no other attempt. */
static void account(struct notify *n, enum notify_kind kind, const char *destination, const char *url, err e, bool lost)
{
    char to[NOTIFY_SHOWN_MAX];
    notify_shown(url, to);
    n->trouble[0] = 0;
    if (e == OK) {
        series_add(n->sent[kind], 1);
        say(LOG_INFO, "notification sent", kind, destination, to, OK);
        return;
    }
    (void)snprintf(n->trouble, sizeof n->trouble, "%.100s: %s", to, err_text(e));
    if (lost) {
        series_add(n->failures[kind], 1);
        say(LOG_ERROR, "notification given up", kind, destination, to, e);
    } else {
        say(LOG_WARN, "notification not delivered, it will be tried again", kind, destination, to, e);
    }
}

static err post(struct notify *n, const struct notice *e)
{
    struct buf *json = NULL;
    ms deadline = loop_now() + ATTEMPT_MS_MAX;
    TRY(buf_wait(NOTIFY_JSON_MAX, deadline, &json));
    struct text t = text_over((char *)json->at, json->cap);
    err r = notify_json(n, e, &t);
    if (r == OK)
        r = notify_send(n, n->config->notify.webhook, (struct bytes){json->at, t.len}, deadline);
    buf_release(json);
    return r;
}

/* While it was on its way it may have been dropped, or made a newer one in the same place, which then goes on with its attempts.
 */
static void settle(struct notify *n, const struct notice *e, err r)
{
    struct notice *at = queue_find(n, e->kind, e->destination);
    if (at && at->tries.attempts != e->tries.attempts)
        at = NULL; /* dropped, and another one since */
    bool lost = r != OK && at && !try_again(&at->tries);
    account(n, e->kind, e->destination, n->config->notify.webhook, r, lost);
    if (!at || (r != OK && !lost))
        return;
    if (r == OK && at->id != e->id)
        at->tries = (struct tries){.due_at = loop_now()};
    else
        queue_remove(n, (unsigned)(at - n->queue));
}

static err send_notice(struct notify *n)
{
    begin_try(&n->queue[0].tries);
    struct notice e = n->queue[0];
    trail_clear();
    err r = post(n, &e);
    if (r == E_CANCELED)
        return r;
    settle(n, &e, r);
    return OK;
}

static err send_ping(struct notify *n)
{
    begin_try(&n->ping);
    ms first_at = n->ping.first_at;
    trail_clear();
    err r = notify_send(n, n->config->notify.ping_url, (struct bytes){NULL, 0}, loop_now() + ATTEMPT_MS_MAX);
    if (r == E_CANCELED)
        return r;
    bool still = n->ping_wanted && n->ping.first_at == first_at; /* else a newer one waits, or none */
    bool lost = r != OK && still && !try_again(&n->ping);
    account(n, NOTIFY_PING, "", n->config->notify.ping_url, r, lost);
    if (still && (r == OK || lost))
        n->ping_wanted = false;
    return OK;
}

err notify_run(void *arg)
{
    struct notify *n = arg;
    for (;;) {
        if (notice_is_due(n))
            TRY(send_notice(n));
        if (ping_is_due(n))
            TRY(send_ping(n));
        ms due = next_due(n);
        if (due <= loop_now())
            continue;
        err e = waitq_wait(&n->changed, due);
        if (e != OK && e != E_TIMEOUT)
            return e;
    }
}

bool notify_is_well(void *arg, struct text *why)
{
    const struct notify *n = arg;
    text_add(why, n->trouble);
    return n->trouble[0] == 0;
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
