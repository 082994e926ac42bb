/* notify_deliver: the fiber that has what is wanted delivered, again after a failure, and accounts for it. */
#include "agents/backup/notify_internal.h"

#include "board/rt/log.h"

#include <stdio.h>

#define ATTEMPT_MS_MAX SECONDS(20)
#define RETRY_FIRST_MS SECONDS(5)
#define RETRY_MS_MAX   MINUTES(5)
#define JITTER_DIVISOR 4
#define GIVE_UP_MS     HOURS(1)

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
    ms next = notify_repeat(n);
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
    struct notice *at = notify_queue_find(n, e->kind, e->destination);
    if (at && at->tries.attempts != e->tries.attempts)
        at = NULL; /* dropped, and another one since */
    bool lost = r != OK && at && !try_again(&at->tries);
    account(n, e->kind, e->destination, n->config->notify.webhook, r, lost);
    if (!at || (r != OK && !lost))
        return;
    if (r == OK && at->id != e->id)
        at->tries = (struct tries){.due_at = loop_now()};
    else
        notify_queue_remove(n, (unsigned)(at - n->queue));
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
