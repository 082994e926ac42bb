/* sim_datagram: UDP. Each datagram travels alone: lost, doubled, late. One to nobody vanishes. */
#include "tests/sim/net.h"

#include <string.h>

#define TRAVELLERS_MAX 256 /* on the way or waiting, all sockets together; more are lost */
#define ANSWERERS_MAX  8

static struct datagram {
    bool used;
    struct addr from, to;
    size_t len;
    uint8_t data[DATAGRAM_MAX];
} datagrams[TRAVELLERS_MAX];
static struct {
    struct addr at;
    size_t (*answer)(struct bytes query, uint8_t *out, size_t cap);
} answerers[ANSWERERS_MAX];
static size_t answerer_count;

void sim_udp_peer(const struct addr *at, size_t (*answer)(struct bytes query, uint8_t *out, size_t cap))
{
    if (answerer_count == ANSWERERS_MAX)
        sim_fail("more than %d datagram peers", ANSWERERS_MAX);
    answerers[answerer_count].at = *at;
    answerers[answerer_count++].answer = answer;
}

static const struct sim_link *link_between(const struct addr *a, const struct addr *b)
{
    const struct sim_link *none = link_of(&(struct addr){.kind = ADDR_NONE}), *l = link_of(a);
    return l != none ? l : link_of(b);
}

static void arrives(uint64_t index, uint64_t unused);

static void travel_once(const struct addr *from, const struct addr *to, struct bytes data, const struct sim_link *l)
{
    size_t i = 0;
    while (i < TRAVELLERS_MAX && datagrams[i].used)
        i++;
    if (i == TRAVELLERS_MAX || data.len > DATAGRAM_MAX)
        return;
    struct datagram *d = &datagrams[i];
    *d = (struct datagram){.used = true, .from = *from, .to = *to, .len = data.len};
    if (data.len > 0)
        memcpy(d->data, data.at, data.len);
    if (data.len > 0 && sim_chance(l->flip_permille))
        d->data[sim_draw(data.len)] ^= (uint8_t)(1u << sim_draw(8));
    int64_t late_ns = sim_chance(l->reorder_permille) ? (int64_t)sim_draw(50 * (uint64_t)NS_PER_MS) : 0;
    world_at(world_now_ns() + link_delay_ns(l) + late_ns, arrives, i, 0);
}

static void travel(const struct addr *from, const struct addr *to, struct bytes data)
{
    const struct sim_link *l = link_between(to, from);
    if (l->black_hole || sim_chance(l->loss_permille))
        return;
    travel_once(from, to, data, l);
    if (sim_chance(l->duplicate_permille))
        travel_once(from, to, data, l);
}

static bool answered(const struct datagram *d)
{
    uint8_t out[DATAGRAM_MAX];
    for (size_t i = 0; i < answerer_count; i++) {
        if (!addr_covers(&answerers[i].at, &d->to))
            continue;
        size_t len = answerers[i].answer((struct bytes){d->data, d->len}, out, sizeof out);
        if (len > 0)
            travel(&d->to, &d->from, (struct bytes){out, len});
        return true;
    }
    return false;
}

static struct end *receiver_of(const struct addr *to)
{
    for (size_t i = 0; i < ENDS_MAX; i++)
        if (net_ends[i].kind == END_DATAGRAM && addr_covers(&net_ends[i].local, to))
            return &net_ends[i];
    return NULL;
}

static void arrives(uint64_t index, uint64_t unused)
{
    (void)unused;
    struct datagram *d = &datagrams[index];
    struct end *e = answered(d) ? NULL : receiver_of(&d->to);
    if (!e || e->queued == DATAGRAMS_MAX) {
        d->used = false;
        return;
    }
    bool was_empty = e->queued == 0;
    e->queue[e->queued++] = (unsigned)index;
    if (was_empty || sim_chance(500))
        end_edge(e);
}

err datagram_send(struct end *from, const struct addr *to, struct bytes data)
{
    static const uint8_t loopback[16] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
    struct addr source = from->local;
    if (link_of(to)->no_route)
        return E_UNREACHABLE;
    if (data.len > DATAGRAM_MAX)
        return E_RANGE;
    if (addr_covers(&source, &(struct addr){.kind = to->kind, .port = source.port, .ip = {9}})) { /* bound to all: gets one */
        source.kind = to->kind;
        memcpy(source.ip, to->kind == ADDR_IPV4 ? loopback : loopback6, sizeof source.ip);
    }
    travel(&source, to, data);
    return OK;
}

err datagram_receive(struct end *e, void *into, size_t cap, size_t *got, struct addr *from)
{
    if (e->queued == 0)
        return E_AGAIN;
    struct datagram *d = &datagrams[e->queue[0]];
    memmove(e->queue, e->queue + 1, --e->queued * sizeof e->queue[0]);
    *got = size_min(cap, d->len);
    if (*got > 0)
        memcpy(into, d->data, *got);
    *from = d->from;
    d->used = false;
    return OK;
}

void datagram_drop_all(struct end *e)
{
    for (unsigned i = 0; i < e->queued; i++)
        datagrams[e->queue[i]].used = false;
}
