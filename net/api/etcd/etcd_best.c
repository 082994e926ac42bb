/* etcd_best: which member a snapshot is read from. A long read keeps pages of its database alive and its disk busy: better a
 * follower's than the leader's, and never one that lags. */
#include "net/api/etcd/etcd_internal.h"

#include "board/rt/mem.h"
#include "board/rt/pulse.h"

#define LOOK_MS_MAX SECONDS(5) /* at each endpoint */

struct candidate {
    uint64_t applied;
    err error; /* OK: it may be taken */
    bool healthy, leads, tried;
};

static struct candidate judge(err e, const struct etcd_status *s)
{
    return (struct candidate){.error = e,
                              .applied = e == OK ? s->raft_applied : 0,
                              .healthy = e == OK && s->leader_id != 0 && s->error_count == 0,
                              .leads = e == OK && etcd_status_is_leader(s)};
}

static err look(struct etcd *e, ms deadline, struct candidate *all, struct etcd_status *status)
{
    for (unsigned i = 0; i < e->options.endpoint_count; i++) {
        err r = etcd_try(e, i, ms_min(deadline, loop_now() + LOOK_MS_MAX), status);
        if (r == E_CANCELED)
            return r;
        all[i] = judge(r, status);
        pulse_beat(mem_task(), loop_now()); /* each was looked at */
    }
    return OK;
}

/* 0 is best. Applied entries are absent (0) before etcd 3.4: nobody lags then. */
static unsigned rank(const struct candidate *c, uint64_t newest)
{
    bool close = c->applied + ETCD_LAG_MAX >= newest;
    if (!c->healthy || !close)
        return 2;
    return c->leads ? 1 : 0;
}

static uint64_t newest_of(const struct candidate *all, unsigned count)
{
    uint64_t newest = 0;
    for (unsigned i = 0; i < count; i++)
        newest = all[i].applied > newest ? all[i].applied : newest;
    return newest;
}

/* The next best that was not tried; count: none is left. */
static unsigned choose(struct candidate *all, unsigned count)
{
    uint64_t newest = newest_of(all, count);
    unsigned best = count;
    for (unsigned i = 0; i < count; i++)
        if (all[i].error == OK && !all[i].tried && (best == count || rank(&all[i], newest) < rank(&all[best], newest)))
            best = i;
    if (best < count)
        all[best].tried = true;
    return best;
}

/* What all of them failed of. */
static err common_of(const struct candidate *all, unsigned count)
{
    err common = OK;
    for (unsigned i = 0; i < count; i++)
        common = common == OK || common == all[i].error ? all[i].error : E_UNREACHABLE;
    return trail(common, "no etcd endpoint can be used");
}

err etcd_connect_best(struct etcd *e, ms deadline, struct etcd_status *out)
{
    struct candidate all[ETCD_ENDPOINTS_MAX] = {{.error = OK}};
    unsigned count = e->options.endpoint_count;
    if (count == 1)
        return etcd_connect_any(e, deadline, out);
    TRY(look(e, deadline, all, out));
    for (unsigned best; (best = choose(all, count)) < count;) {
        all[best].error =
            etcd_endpoint(e) == e->options.endpoints[best] ? etcd_status(e, deadline, out) : etcd_try(e, best, deadline, out);
        if (all[best].error == OK || all[best].error == E_CANCELED)
            return all[best].error;
        pulse_beat(mem_task(), loop_now());
    }
    return common_of(all, count);
}
