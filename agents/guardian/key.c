/* key: of several hubs one guards. It writes its name under GUARDIAN_KEY by a lease; who finds another name there waits. The
 * lease counts from the moment before etcd was asked, so that we stop before etcd lets another one begin. */
#include "agents/guardian/guardian_internal.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define RENEW_MS  (SECONDS(GUARDIAN_LEASE_S) / 3)
#define RETRY_MS  SECONDS(2)
#define LOOK_MS   SECONDS(10) /* whether another hub has let go */
#define MARGIN_MS SECONDS(3)  /* we let go before etcd does */
#define GIVE_MS   SECONDS(2)

bool key_is_held(const struct guardian *g)
{
    return g->key.lease != 0 && loop_now() < g->key.valid_until;
}

static void lose(struct guardian *g, const char *why)
{
    if (g->key.lease != 0)
        log_warn("this hub does not guard etcd any more", F("why", why));
    g->key.lease = 0;
}

static void hold(struct guardian *g, int64_t lease, ms asked_at, int64_t ttl_s)
{
    bool begins = g->key.lease != lease;
    g->key.lease = lease;
    g->key.valid_until = asked_at + SECONDS(ttl_s) - MARGIN_MS;
    (void)snprintf(g->key.theirs, sizeof g->key.theirs, "%s", g->key.mine);
    if (begins)
        log_info("this hub guards etcd now", F("key", GUARDIAN_KEY), F("name", g->key.mine));
}

typedef err key_call(struct guardian *g, struct etcd *etcd, ms deadline);

/* --- with a connection --- */

static err renew(struct guardian *g, struct etcd *etcd, ms deadline)
{
    ms asked_at = loop_now();
    int64_t ttl_s = 0;
    err e = etcd_lease_renew(etcd, g->key.lease, deadline, &ttl_s);
    if (e == OK)
        hold(g, g->key.lease, asked_at, ttl_s);
    else if (e == E_ABSENT)
        lose(g, "the lease has expired");
    return e;
}

static err theirs(struct guardian *g, const struct etcd_value *v)
{
    (void)snprintf(g->key.theirs, sizeof g->key.theirs, "%s", v->value);
    return trail(E_BUSY, "%s guards etcd", v->value[0] ? v->value : "another hub");
}

/* Only a free key costs a lease. */
static err take(struct guardian *g, struct etcd *etcd, ms deadline)
{
    struct etcd_value v;
    int64_t lease = 0, ttl_s = 0;
    bool ours = false;
    TRY(etcd_get(etcd, GUARDIAN_KEY, deadline, &v));
    if (v.there)
        return theirs(g, &v);
    g->key.theirs[0] = 0;
    ms asked_at = loop_now();
    TRY(etcd_lease_grant(etcd, GUARDIAN_LEASE_S, deadline, &lease, &ttl_s));
    err e = etcd_put_absent(etcd, GUARDIAN_KEY, g->key.mine, lease, deadline, &ours, &v);
    if (e == OK && ours) {
        hold(g, lease, asked_at, ttl_s);
        return OK;
    }
    uint64_t mark = trail_mark();
    err_ignore(etcd_lease_revoke(etcd, lease, deadline)); /* else it ends by itself */
    trail_rewind(mark);
    return e == OK ? theirs(g, &v) : e;
}

static err confirm(struct guardian *g, struct etcd *etcd, ms deadline)
{
    struct etcd_value v;
    TRY(etcd_get(etcd, GUARDIAN_KEY, deadline, &v));
    if (v.there && v.lease == g->key.lease && strcmp(v.value, g->key.mine) == 0)
        return OK;
    lose(g, "another name is in the key");
    return trail(E_BUSY, "the key is not this hub's any more");
}

static err give(struct guardian *g, struct etcd *etcd, ms deadline)
{
    return etcd_lease_revoke(etcd, g->key.lease, deadline);
}

/* --- and without one --- */

static err with_one(struct guardian *g, struct etcd *etcd, unsigned endpoint, ms deadline, key_call *call)
{
    struct etcd_status status;
    TRY(etcd_connect(etcd, endpoint, ms_min(deadline, loop_now() + GUARDIAN_CONNECT_MS_MAX), &status));
    if (status.is_learner)
        return trail(E_UNREACHABLE, "etcd %s is a learner", etcd_endpoint(etcd));
    return call(g, etcd, ms_min(deadline, loop_now() + GUARDIAN_CONNECT_MS_MAX));
}

/* These are the cluster's word, not the member's. */
static bool is_final(err e)
{
    return e == OK || e == E_CANCELED || e == E_BUSY || e == E_ABSENT || e == E_FULL;
}

/* Whichever member answers: one may be down, or at work. */
static err with_any(struct guardian *g, ms deadline, key_call *call)
{
    struct etcd *etcd = NULL;
    err e = guardian_source(g, deadline, &etcd, NULL);
    unsigned count = e == OK ? etcd_endpoint_count(etcd) : 0, first = g->key.endpoint;
    for (unsigned i = 0; i < count && (i == 0 || (!is_final(e) && loop_now() < deadline)); i++) {
        g->key.endpoint = (first + i) % count;
        e = with_one(g, etcd, g->key.endpoint, deadline, call);
    }
    etcd_close(etcd);
    return e;
}

static err with_turn(struct guardian *g, ms deadline, key_call *call)
{
    TRY(sem_take(&g->calls, deadline));
    err e = with_any(g, deadline, call);
    sem_give(&g->calls);
    return e;
}

err key_take(struct guardian *g)
{
    if (g->key.lease != 0 && !key_is_held(g))
        lose(g, "the lease could not be renewed in time");
    return with_turn(g, loop_now() + SECONDS(GUARDIAN_LEASE_S) / 2, g->key.lease != 0 ? renew : take);
}

err key_confirm(struct guardian *g)
{
    if (!key_is_held(g))
        return trail(E_BUSY, "the key is not this hub's any more");
    return with_turn(g, loop_now() + GUARDIAN_CALL_MS_MAX, confirm);
}

void key_give(struct guardian *g)
{
    if (g->key.lease == 0)
        return;
    uint64_t mark = trail_mark();
    fiber_shield();
    err_ignore(with_turn(g, loop_now() + GIVE_MS, give)); /* else it ends by itself */
    fiber_unshield();
    trail_rewind(mark);
    g->key.lease = 0;
}

/* How long until the key is looked at again. */
static ms pause_after(struct guardian *g, err e)
{
    if (e != OK && e != E_BUSY)
        log_warn("the guardian's key cannot be had or kept", F("key", GUARDIAN_KEY), F_BOOL("held", key_is_held(g)), F_ERR(e));
    trail_clear();
    if (e == OK)
        return RENEW_MS;
    return key_is_held(g) ? RETRY_MS : LOOK_MS;
}

err guardian_keep_key(void *guardian)
{
    struct guardian *g = guardian;
    g->key.kept = true;
    for (;;) {
        err e = key_take(g);
        if (e != E_CANCELED) {
            series_set(g->guarding, key_is_held(g));
            e = fiber_sleep(loop_now() + pause_after(g, e));
        }
        if (e != OK)
            break;
    }
    key_give(g);
    series_set(g->guarding, 0);
    g->key.kept = false;
    return E_CANCELED;
}
