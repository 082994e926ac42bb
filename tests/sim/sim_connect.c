/* sim_connect: links between addresses, and how a connection comes about or does not. */
#include "tests/sim/net.h"

#include <string.h>

#define LINKS_MAX          64
#define CONNECT_RETRY_MS   1000   /* a SYN into a black hole or a full backlog: again after a second ... */
#define CONNECT_TIMEOUT_MS 127000 /* ... and given up after tcp_syn_retries = 6, tcp(7) */

static struct {
    struct addr server;
    struct sim_link link;
} links[LINKS_MAX] = {{.server = {.kind = ADDR_NONE}, .link = {.jitter_ms = 1}}};
static size_t link_count = 1;

static bool is_any(const struct addr *a)
{
    static const uint8_t zeros[16];
    return a->kind != ADDR_UNIX && memcmp(a->ip, zeros, sizeof zeros) == 0;
}

bool addr_covers(const struct addr *bound, const struct addr *to)
{
    if (addr_equal(bound, to))
        return true;
    return bound->port == to->port && to->kind != ADDR_UNIX && is_any(bound) &&
           (bound->kind == to->kind || bound->kind == ADDR_IPV6); /* IPv6 dual */
}

static bool same_host(const struct addr *a, const struct addr *b)
{
    struct addr portless = *b;
    portless.port = a->port;
    return addr_equal(a, &portless);
}

const struct sim_link *link_of(const struct addr *server)
{
    const struct sim_link *host = &links[0].link;
    for (size_t i = 1; i < link_count; i++) {
        if (addr_equal(&links[i].server, server))
            return &links[i].link;
        if (links[i].server.port == 0 && same_host(&links[i].server, server))
            host = &links[i].link;
    }
    return host;
}

void sim_link(const struct addr *server, struct sim_link link)
{
    size_t i = 0;
    while (i < link_count && !addr_equal(&links[i].server, server))
        i++;
    if (i == LINKS_MAX)
        sim_fail("more than %d links", LINKS_MAX);
    links[i].server = *server;
    links[i].link = link;
    link_count += i == link_count;
    net_kick();
}

int64_t link_delay_ns(const struct sim_link *l)
{
    return (int64_t)l->delay_ms * NS_PER_MS + (int64_t)sim_draw((uint64_t)l->jitter_ms * NS_PER_MS + 1);
}

/* --- connecting --- */
struct end *listener_at(const struct addr *at)
{
    for (size_t i = 0; i < ENDS_MAX; i++)
        if (net_ends[i].kind == END_LISTENER && addr_covers(&net_ends[i].local, at))
            return &net_ends[i];
    return NULL;
}

static void connect_fails(struct end *e, err why)
{
    e->connecting = false;
    e->dead = true;
    e->error = why;
    end_edge(e);
}

/* The listener's kernel answers: the far end exists before anybody accepts it. */
static bool connect_joins(struct end *e, struct end *listener)
{
    struct end *far = end_new(END_STREAM);
    if (!far)
        return false;
    far->local = e->peer;
    far->peer = e->local;
    far->server = e->server;
    far->other = end_index(e);
    e->other = end_index(far);
    e->connecting = false;
    listener->queue[listener->queued++] = end_index(far);
    end_edge(e);
    end_edge(listener);
    return true;
}

static void connect_tries(uint64_t index, uint64_t packed)
{
    struct end *e = end_if(index, packed >> 32);
    if (!e)
        return;
    uint64_t tried_ms = packed & UINT32_MAX;
    struct end *listener = listener_at(&e->peer);
    bool silent = link_of(&e->server)->black_hole || (listener && listener->queued >= listener->backlog);
    if (!silent && !listener)
        connect_fails(e, E_REFUSED);
    else if (!silent && connect_joins(e, listener))
        return;
    else if (tried_ms >= CONNECT_TIMEOUT_MS)
        connect_fails(e, E_TIMEOUT);
    else
        world_at(world_now_ns() + (int64_t)CONNECT_RETRY_MS * NS_PER_MS, connect_tries, index, packed + CONNECT_RETRY_MS);
}

/* unix(7): a unix connect is decided at once, and a full backlog is EAGAIN. */
static err connect_unix(struct end *e)
{
    struct end *listener = listener_at(&e->peer);
    if (!listener)
        return sim_chance(500) ? E_ABSENT : E_REFUSED;
    return listener->queued < listener->backlog && connect_joins(e, listener) ? OK : E_AGAIN;
}

err end_connect(const struct addr *to, struct end **out)
{
    static uint16_t port_next;
    const struct sim_link *l = link_of(to);
    if (l->no_route)
        return E_UNREACHABLE;
    struct end *e = end_new(END_STREAM);
    if (!e)
        return E_BUDGET;
    e->peer = e->server = *to;
    e->local = (struct addr){.kind = to->kind, .port = (uint16_t)(32768 + port_next++ % 28000)};
    memcpy(e->local.ip, to->ip, sizeof to->ip);
    e->connecting = true;
    err result = OK;
    if (to->kind == ADDR_UNIX)
        result = connect_unix(e);
    else
        world_at(world_now_ns() + 2 * link_delay_ns(l), connect_tries, end_index(e), (uint64_t)e->generation << 32);
    if (result != OK)
        e->kind = END_FREE;
    *out = e;
    return result;
}

err end_accept(struct end *listener, struct end **out)
{
    if (listener->queued == 0)
        return E_AGAIN;
    *out = &net_ends[listener->queue[0]];
    memmove(listener->queue, listener->queue + 1, --listener->queued * sizeof listener->queue[0]);
    return OK;
}
