/* net: the ends of simulated connections, shared by the socket calls (sim_socket.c) and the scripted peers (sim_peer.c).
 *
 * Layer    tests.   Owner   static table of a life; an end belongs to a handle or to a script until end_close().
 * Blocks   never.   Memory  ENDS_MAX rings of SIM_WINDOW_MAX, static.   Errors   as the socket call of the same name. */
#ifndef HOLDFAST_SIM_NET_H
#define HOLDFAST_SIM_NET_H

#include "tests/sim/world.h"

#define ENDS_MAX      160
#define BACKLOG_MAX   64
#define NO_END        UINT_MAX
#define DATAGRAM_MAX  2048
#define DATAGRAMS_MAX 32 /* waiting in one socket */

enum end_kind { END_FREE, END_STREAM, END_LISTENER, END_DATAGRAM };

struct end {
    enum end_kind kind;
    unsigned generation;             /* of the slot: events for an earlier one are dropped */
    struct addr local, peer, server; /* server: whose link it uses */
    unsigned other;                  /* the far end; NO_END: gone or none yet */
    bool connecting, dead;           /* dead: refused, reset */
    err error;                       /* told once, as SO_ERROR is */
    /* bytes coming in: `arrived` can be read, `flight` follow them in the ring */
    size_t head, arrived, flight;
    bool fin_sent, fin_flight, fin;
    bool pumping, starved; /* starved: a send found no room, so an event is owed */
    uint64_t carried;      /* of the whole connection, counted at both ends */
    /* readiness */
    bool watched, edge;
    uint64_t token;
    /* a listener's or a datagram socket's queue: ends or datagrams */
    unsigned queue[BACKLOG_MAX];
    unsigned queued, backlog;
    unsigned script; /* who runs it: index + 1; 0: the program, by a handle */
    bool script_due;
};

extern struct end net_ends[ENDS_MAX];
unsigned end_index(const struct end *e);
struct end *end_new(enum end_kind kind);                 /* NULL: none free */
struct end *end_if(uint64_t index, uint64_t generation); /* NULL: it is another one by now */
const struct sim_link *link_of(const struct addr *server);
int64_t link_delay_ns(const struct sim_link *l);
unsigned end_ready(const struct end *e); /* enum os_ready bits */
void end_edge(struct end *e);            /* tells its owner that something changed */
struct end *listener_at(const struct addr *at);
bool addr_covers(const struct addr *bound, const struct addr *to); /* the same, or bound to all addresses */

err end_connect(const struct addr *to, struct end **out);
err end_accept(struct end *listener, struct end **out);
err end_receive(struct end *e, void *into, size_t cap, size_t *got);
err end_send(struct end *e, const void *from, size_t len, size_t *sent);
size_t end_room(const struct end *e); /* bytes end_send() would take at most */
err end_shutdown(struct end *e);
void end_reset(struct end *e, err how); /* both ends; the far one after the link's delay */
void end_close(struct end *e);
void net_kick(void); /* after a link changed: what waited may move */

/* --- scripts --- */
void peer_run(struct end *e); /* as far as its script can go now */
/* --- datagrams --- */
err datagram_send(struct end *from, const struct addr *to, struct bytes data);
err datagram_receive(struct end *e, void *into, size_t cap, size_t *got, struct addr *from);
void datagram_drop_all(struct end *e);

#endif
