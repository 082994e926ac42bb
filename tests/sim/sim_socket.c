/* sim_socket: the socket calls of os.h over the simulated network, the table of handles, and readiness as epoll tells it:
 * an event at a change to ready, with every bit that is ready then; none if it was used up before it was told. */
#include "tests/sim/net.h"

#include <string.h>

#define STALE_MAX 8

static struct handle handles[HANDLES_MAX];
static uint64_t stale[STALE_MAX]; /* tokens of closed sockets still to be told */
static size_t stale_count;

/* --- handles --- */
err handle_open(enum handle_kind kind, unsigned index, os_fd *out)
{
    for (int i = 0; i < HANDLES_MAX; i++)
        if (handles[i].kind == HANDLE_FREE) {
            handles[i] = (struct handle){.kind = kind, .index = index};
            *out = i + 3;
            return OK;
        }
    return E_BUDGET;
}

struct handle *handle_at(os_fd fd, enum handle_kind kind)
{
    if (fd < 3 || fd >= HANDLES_MAX + 3 || handles[fd - 3].kind != kind)
        sim_fail("descriptor %d is not an open %s", fd, kind == HANDLE_FILE ? "file" : "socket");
    return &handles[fd - 3];
}

void handle_close(os_fd fd)
{
    handles[fd - 3].kind = HANDLE_FREE;
}

unsigned handles_open(void)
{
    unsigned open = 0;
    for (size_t i = 0; i < HANDLES_MAX; i++)
        open += handles[i].kind != HANDLE_FREE;
    return open;
}

bool handle_is_lock(os_fd fd, unsigned inode)
{
    const struct handle *h = &handles[fd - 3];
    return h->kind == HANDLE_FILE && h->index == inode && h->locked;
}

bool handle_locks_range(os_fd fd, unsigned inode, uint64_t at, uint64_t end)
{
    const struct handle *h = &handles[fd - 3];
    return h->kind == HANDLE_FILE && h->index == inode && h->range_at < end && at < h->range_end;
}

bool handle_uses(enum handle_kind kind, unsigned index)
{
    for (size_t i = 0; i < HANDLES_MAX; i++)
        if (handles[i].kind == kind && handles[i].index == index)
            return true;
    return false;
}

static struct end *end_at(os_fd fd)
{
    world_charge(1000);
    return &net_ends[handle_at(fd, HANDLE_SOCKET)->index];
}

static err end_give(struct end *e, os_fd *out)
{
    err result = handle_open(HANDLE_SOCKET, end_index(e), out);
    if (result != OK)
        end_close(e);
    return result;
}

/* --- readiness --- */
static struct end *watched_at(size_t i)
{
    struct end *e = &net_ends[i % ENDS_MAX];
    return e->kind != END_FREE && e->watched ? e : NULL;
}

/* What no program may trip over: a stale token, an event though nothing happened. */
static size_t collect_noise(struct os_event *out, size_t max)
{
    size_t n = 0;
    if (stale_count > 0 && n < max)
        out[n++] = (struct os_event){.token = stale[--stale_count], .ready = 1 + (unsigned)sim_draw(7)};
    struct end *e = watched_at(sim_draw(ENDS_MAX));
    if (e && n < max && !e->edge && end_ready(e) && sim_chance(sim.spurious_permille))
        out[n++] = (struct os_event){.token = e->token, .ready = end_ready(e)};
    return n;
}

size_t net_collect(struct os_event *out, size_t max)
{
    size_t n = 0, first = sim_draw(ENDS_MAX);
    for (size_t i = first; i < first + ENDS_MAX && n < max; i++) {
        struct end *e = watched_at(i);
        if (!e || !e->edge)
            continue;
        e->edge = false;
        unsigned ready = end_ready(e);
        if (ready)
            out[n++] = (struct os_event){.token = e->token, .ready = ready};
    }
    return n + collect_noise(out + n, max - n);
}

err os_watch(os_fd fd, uint64_t token)
{
    struct end *e = end_at(fd);
    TRY(fault_here("os_watch", E_BUDGET));
    e->watched = e->edge = true;
    e->token = token;
    return OK;
}

err os_ignore(os_fd fd, uint64_t token)
{
    struct end *e = end_at(fd);
    TRY(fault_here("os_ignore", E_BUDGET));
    ASSERT(e->token == token);
    e->watched = false;
    return OK;
}

void os_close(os_fd fd)
{
    if (fd == -1)
        return;
    struct end *e = end_at(fd);
    if (e->watched && stale_count < STALE_MAX && sim_chance(sim.stale_permille))
        stale[stale_count++] = e->token;
    end_close(e);
    handle_close(fd);
}

/* --- streams --- */
err os_connect(const struct addr *to, os_fd *out)
{
    static const err ways[] = {E_BUDGET, E_UNREACHABLE, E_REFUSED};
    struct end *e = NULL;
    world_charge(5000);
    *out = -1;
    TRY(fault_here("os_connect", ways[sim_draw(COUNT_OF(ways))]));
    TRY(end_connect(to, &e));
    return end_give(e, out);
}

err os_connect_result(os_fd fd)
{
    struct end *e = end_at(fd);
    err fault = fault_here("os_connect_result", E_REFUSED);
    if (fault != OK)
        end_reset(e, OK);
    if (fault != OK || e->connecting)
        return fault != OK ? fault : E_AGAIN;
    err error = e->error;
    e->error = OK;
    return error;
}

static uint16_t free_port(const struct addr *at)
{
    struct addr wanted = *at;
    for (wanted.port = (uint16_t)(20000 + sim_draw(10000)); listener_at(&wanted);)
        wanted.port++;
    return wanted.port;
}

err os_listen(const struct addr *at, int backlog, os_fd *out, struct addr *bound)
{
    struct addr local = *at;
    *out = -1;
    TRY(fault_here("os_listen", E_BUSY));
    if (local.kind != ADDR_UNIX && local.port == 0)
        local.port = free_port(at);
    if (listener_at(&local))
        return E_BUSY;
    struct end *e = end_new(END_LISTENER);
    if (!e)
        return E_BUDGET;
    e->local = local;
    e->backlog = backlog > 0 && backlog < BACKLOG_MAX ? (unsigned)backlog : BACKLOG_MAX;
    if (bound)
        *bound = local;
    return end_give(e, out);
}

err os_accept(os_fd listener, os_fd *out, struct addr *peer)
{
    struct end *e = NULL, *l = end_at(listener);
    *out = -1;
    if (l->queued == 0)
        return E_AGAIN;
    TRY(fault_here("os_accept", E_BUDGET)); /* as EMFILE: the connection stays in the queue and no event tells of it again */
    TRY(end_accept(l, &e));
    if (peer)
        *peer = e->peer;
    return end_give(e, out);
}

bool os_holds(os_fd fd)
{
    return end_at(fd)->arrived > 0;
}

err os_recv(os_fd fd, void *into, size_t cap, size_t *got)
{
    struct end *e = end_at(fd);
    *got = 0;
    err fault = fault_here("os_recv", E_RESET);
    if (fault != OK)
        end_reset(e, OK);
    return fault != OK ? fault : end_receive(e, into, cap, got);
}

err os_send(os_fd fd, const void *from, size_t len, size_t *sent)
{
    struct end *e = end_at(fd);
    *sent = 0;
    err fault = fault_here("os_send", sim_chance(500) ? E_RESET : E_CLOSED);
    if (fault != OK)
        end_reset(e, OK);
    return fault != OK ? fault : end_send(e, from, len, sent);
}

err os_shutdown_send(os_fd fd)
{
    struct end *e = end_at(fd);
    TRY(fault_here("os_shutdown_send", E_CLOSED));
    return end_shutdown(e);
}

/* --- datagrams --- */
err os_udp(const struct addr *local, os_fd *out)
{
    *out = -1;
    TRY(fault_here("os_udp", E_BUDGET));
    struct end *e = end_new(END_DATAGRAM);
    if (!e)
        return E_BUDGET;
    e->local = *local;
    if (e->local.kind == ADDR_NONE)
        e->local.kind = ADDR_IPV6;
    if (e->local.port == 0)
        e->local.port = (uint16_t)(40000 + sim_draw(20000));
    return end_give(e, out);
}

err os_send_to(os_fd fd, const void *from, size_t len, const struct addr *to)
{
    struct end *e = end_at(fd);
    TRY(fault_here("os_send_to", E_UNREACHABLE));
    return datagram_send(e, to, (struct bytes){from, len});
}

err os_recv_from(os_fd fd, void *into, size_t cap, size_t *got, struct addr *from)
{
    struct end *e = end_at(fd);
    *got = 0;
    TRY(fault_here("os_recv_from", E_REFUSED)); /* an ICMP answer */
    return datagram_receive(e, into, cap, got, from);
}
