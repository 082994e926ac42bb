/* sim_net: streams. Two ends, a ring of bytes towards each, and a pump that brings what is in flight over the link. */
#include "tests/sim/net.h"

#include <string.h>

struct end net_ends[ENDS_MAX];
static uint8_t rings[ENDS_MAX][SIM_WINDOW_MAX];

static size_t window_of(const struct end *receiver)
{
    size_t window = link_of(&receiver->server)->window_bytes;
    return window ? size_min(window, SIM_WINDOW_MAX) : SIM_WINDOW_MAX;
}

/* --- ends --- */
unsigned end_index(const struct end *e)
{
    return (unsigned)(e - net_ends);
}

struct end *end_new(enum end_kind kind)
{
    for (size_t i = 0; i < ENDS_MAX; i++)
        if (net_ends[i].kind == END_FREE) {
            net_ends[i] = (struct end){.kind = kind, .generation = net_ends[i].generation + 1, .other = NO_END};
            return &net_ends[i];
        }
    return NULL;
}

struct end *end_if(uint64_t index, uint64_t generation)
{
    struct end *e = &net_ends[index];
    return e->kind != END_FREE && e->generation == generation ? e : NULL;
}

static struct end *other_of(const struct end *e)
{
    return e->other == NO_END ? NULL : &net_ends[e->other];
}

/* A kernel tells "writable" only with a third of the buffer free: sk_stream_is_writeable(), Linux include/net/sock.h. */
static bool has_room(const struct end *sender)
{
    const struct end *to = other_of(sender);
    return !to || (window_of(to) - size_min(window_of(to), to->arrived + to->flight)) * 3 >= window_of(to);
}

unsigned end_ready(const struct end *e)
{
    if (e->kind == END_LISTENER || e->kind == END_DATAGRAM)
        return (e->queued > 0 ? OS_READABLE : 0u) | (e->kind == END_DATAGRAM ? OS_WRITABLE : 0u);
    if (e->connecting)
        return 0;
    if (e->dead)
        return OS_READABLE | OS_WRITABLE | OS_HANGUP;
    return (e->arrived > 0 || e->fin ? OS_READABLE : 0u) | (e->fin_sent || has_room(e) ? OS_WRITABLE : 0u) |
           (e->fin ? OS_HANGUP : 0u) /* EPOLLRDHUP */;
}

static void script_fires(uint64_t index, uint64_t generation)
{
    struct end *e = end_if(index, generation);
    if (!e)
        return;
    e->script_due = false;
    peer_run(e);
}

void end_edge(struct end *e)
{
    world_moved();
    e->edge = true;
    if (e->script == 0 || e->script_due)
        return;
    e->script_due = true;
    world_at(world_now_ns(), script_fires, end_index(e), e->generation);
}

/* --- the pump: brings bytes of an end's ring from flight to arrived --- */
static void pump(uint64_t index, uint64_t generation);

static void pump_in(struct end *e, int64_t after_ns)
{
    e->pumping = true;
    world_at(world_now_ns() + after_ns, pump, end_index(e), e->generation);
}

static void pump_start(struct end *e)
{
    if (!e->pumping && (e->flight > 0 || e->fin_flight))
        pump_in(e, link_delay_ns(link_of(&e->server)));
}

static size_t piece_of(const struct end *e, const struct sim_link *l)
{
    size_t all = e->flight;
    if (l->bytes_per_s > 0)
        all = size_min(all, size_max(1, l->bytes_per_s / 1000));
    return l->whole || all < 2 || sim_chance(500) ? all : 1 + sim_draw(all);
}

static void flip_a_bit(struct end *e, size_t piece)
{
    uint8_t *ring = rings[end_index(e)];
    ring[(e->head + e->arrived + sim_draw(piece)) % SIM_WINDOW_MAX] ^= (uint8_t)(1u << sim_draw(8));
}

static void deliver(struct end *e, const struct sim_link *l, size_t piece)
{
    bool was_empty = e->arrived == 0;
    if (piece > 0 && sim_chance(l->flip_permille))
        flip_a_bit(e, piece);
    e->flight -= piece;
    e->arrived += piece;
    bool ended = e->flight == 0 && e->fin_flight && !e->fin;
    e->fin = e->fin || ended;
    /* More bytes on a socket that is readable already: epoll may tell, and code must not count on it. */
    if (ended || (piece > 0 && (was_empty || e->script || sim_chance(500))))
        end_edge(e);
}

static void pump(uint64_t index, uint64_t generation)
{
    struct end *e = end_if(index, generation);
    if (!e)
        return;
    e->pumping = false;
    const struct sim_link *l = link_of(&e->server);
    if (l->black_hole || e->dead)
        return;
    size_t piece = piece_of(e, l);
    struct end *far = other_of(e);
    e->carried += piece;
    if (far)
        far->carried += piece;
    if (l->reset_after_bytes > 0 && e->carried > l->reset_after_bytes) {
        end_reset(e, E_RESET);
        return;
    }
    deliver(e, l, piece);
    if (e->flight > 0)
        pump_in(e, l->bytes_per_s > 0 ? (int64_t)(piece * 1000000000 / l->bytes_per_s) : (int64_t)sim_draw(NS_PER_MS));
}

void net_kick(void)
{
    for (size_t i = 0; i < ENDS_MAX; i++)
        if (net_ends[i].kind == END_STREAM && !net_ends[i].dead)
            pump_start(&net_ends[i]);
}

/* --- bytes --- */
static err take_error(struct end *e)
{
    err error = e->error;
    e->error = OK;
    return error;
}

static void ring_read(struct end *e, uint8_t *into, size_t len)
{
    const uint8_t *ring = rings[end_index(e)];
    for (size_t i = 0; i < len; i++)
        into[i] = ring[(e->head + i) % SIM_WINDOW_MAX];
    e->head = (e->head + len) % SIM_WINDOW_MAX;
    e->arrived -= len;
}

err end_receive(struct end *e, void *into, size_t cap, size_t *got)
{
    *got = 0;
    if (e->connecting || (e->arrived == 0 && !e->fin && !e->dead))
        return E_AGAIN;
    if (e->arrived == 0)
        return take_error(e); /* after it was told once, a dead connection looks like its end: recv(2) on Linux */
    if (cap == 0)
        return OK;
    size_t len = size_min(cap, e->arrived);
    if (len > 1 && !e->fin && !e->dead && !link_of(&e->server)->whole && sim_chance(300)) {
        len = 1 + sim_draw(len); /* as if the rest had come a moment later: a short read means drained, epoll(7) */
        e->flight += e->arrived - len;
        e->arrived = len;
        pump_start(e);
    }
    ring_read(e, into, len);
    *got = len;
    world_moved();
    struct end *far = other_of(e);
    if (far && far->starved && has_room(far)) {
        far->starved = false;
        end_edge(far);
    }
    return OK;
}

static void comes_back_as_reset(uint64_t index, uint64_t generation)
{
    struct end *e = end_if(index, generation);
    if (e && !e->dead)
        end_reset(e, e->fin ? E_CLOSED : E_RESET);
}

static void ring_write(struct end *to, const uint8_t *from, size_t len)
{
    uint8_t *ring = rings[end_index(to)];
    size_t tail = to->head + to->arrived + to->flight;
    for (size_t i = 0; i < len; i++)
        ring[(tail + i) % SIM_WINDOW_MAX] = from[i];
    to->flight += len;
    pump_start(to);
}

size_t end_room(const struct end *e)
{
    const struct end *to = other_of(e);
    size_t used = to ? to->arrived + to->flight : 0, window = to ? window_of(to) : SIM_WINDOW_MAX;
    return used < window ? window - used : 0;
}

static size_t sendable(const struct end *e, size_t len)
{
    size_t most = size_min(len, end_room(e));
    return most > 1 && !link_of(&e->server)->whole && sim_chance(300) ? 1 + sim_draw(most) : most;
}

static void starved_owed(uint64_t index, uint64_t generation)
{
    struct end *e = end_if(index, generation);
    if (e && e->starved && has_room(e)) {
        e->starved = false;
        end_edge(e);
    }
}

err end_send(struct end *e, const void *from, size_t len, size_t *sent)
{
    *sent = 0;
    if (e->connecting)
        return E_AGAIN;
    if (e->dead)
        return e->error != OK ? take_error(e) : E_CLOSED;
    if (e->fin_sent)
        return E_CLOSED;
    struct end *to = other_of(e);
    if (!to) { /* the kernel takes it; the answer is a reset */
        *sent = len;
        world_at(world_now_ns() + 2 * link_delay_ns(link_of(&e->server)), comes_back_as_reset, end_index(e), e->generation);
        return OK;
    }
    *sent = sendable(e, len);
    ring_write(to, from, *sent);
    world_moved();
    if (*sent < len) {
        e->starved = true; /* a short send means a full buffer, so an event follows */
        world_at(world_now_ns() + link_delay_ns(link_of(&e->server)), starved_owed, end_index(e), e->generation);
    }
    return *sent == 0 && len > 0 ? E_AGAIN : OK;
}

err end_shutdown(struct end *e)
{
    if (e->connecting || e->dead)
        return E_CLOSED;
    e->fin_sent = true;
    struct end *to = other_of(e);
    if (to) {
        to->fin_flight = true;
        pump_start(to);
    }
    return OK;
}

static void dies(struct end *e, err how)
{
    e->connecting = false;
    e->dead = true;
    e->error = how;
    e->flight = 0;
    if (sim_chance(500))
        e->arrived = 0; /* what came before the reset may or may not be read */
    end_edge(e);
}

static void reset_arrives(uint64_t index, uint64_t packed)
{
    struct end *e = end_if(index, packed >> 8);
    if (e && !e->dead && !link_of(&e->server)->black_hole)
        dies(e, (err)(packed & 0xFF));
}

void end_reset(struct end *e, err how)
{
    struct end *far = other_of(e);
    e->other = NO_END;
    dies(e, how);
    if (!far)
        return;
    far->other = NO_END;
    int64_t at_ns = world_now_ns() + link_delay_ns(link_of(&e->server));
    world_at(at_ns, reset_arrives, end_index(far), ((uint64_t)far->generation << 8) | (uint64_t)how);
}

static void close_stream(struct end *e)
{
    struct end *far = other_of(e);
    if (!far)
        return;
    if (e->arrived + e->flight > 0) { /* unread bytes: RFC 9293 3.10.4, a reset in place of an end */
        end_reset(e, E_RESET);
        return;
    }
    far->other = NO_END;
    far->fin_flight = true;
    pump_start(far);
    if (far->starved)
        end_edge(far);
}

void end_close(struct end *e)
{
    if (e->kind == END_STREAM)
        close_stream(e);
    if (e->kind == END_LISTENER)
        for (unsigned i = 0; i < e->queued; i++) {
            end_reset(&net_ends[e->queue[i]], E_RESET);
            net_ends[e->queue[i]].kind = END_FREE;
        }
    if (e->kind == END_DATAGRAM)
        datagram_drop_all(e);
    e->kind = END_FREE;
}
