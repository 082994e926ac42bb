/* sock: sockets with deadlines, for fibers.
 *
 * Layer    rt.                                            Blocks   the calls with a deadline park the fiber.
 * Owner    the caller owns struct sock and closes it.     Memory   a slot of the task's `connections`; no buffers.
 * Threads  the loop thread only. One reader and one writer fiber at a time (asserted).
 * Errors   those of os.h; E_TIMEOUT, E_CANCELED; E_BUDGET the task's connections are all in use.
 *
 * A deadline ends waiting, not doing: every call first tries, so that what came in time is not lost to a late loop, and
 * loop_now() as the deadline asks without waiting. But a peer that never lets a call wait must end, too: after a call that
 * succeeded past its deadline, the next one in the same direction with that same deadline is E_TIMEOUT. */
#ifndef HOLDFAST_SOCK_H
#define HOLDFAST_SOCK_H

#include "board/rt/fiber.h"
#include "board/rt/os.h"

struct sock { /* fields are sock.c's; it must not move while open */
    os_fd fd;
    unsigned slot;
    enum task task;
    unsigned ready; /* what epoll told and no call has used up yet */
    struct fiber *reader, *writer;
    ms late_read, late_write;       /* the deadline past which a call has succeeded; FOREVER none */
    void (*on_readable)(void *arg); /* see sock_rest() */
    void *arg;
};

#define SOCK_CLOSED ((struct sock){.fd = -1})

MUST_USE err sock_connect(struct sock *s, const struct addr *to, ms deadline);
/* OK with *got 0: the peer ended its side. */
MUST_USE err sock_read(struct sock *s, void *into, size_t cap, ms deadline, size_t *got);
MUST_USE err sock_write(struct sock *s, const void *from, size_t len, ms deadline); /* all of it */
MUST_USE err sock_wait_readable(struct sock *s, ms deadline);                       /* bytes, end or error are there to read */
MUST_USE err sock_shutdown_send(struct sock *s);
/* At rest: no fiber waits; on_readable(arg) is called once, in the loop, when there is something to read (also an end or an
 * error); from then on, or after sock_wake(), the socket is as before. */
void sock_rest(struct sock *s, void (*on_readable)(void *arg), void *arg);
/* Nothing that comes wakes the loop until somebody waits for the socket again; what came is there then. false: that is not so,
 * for there is something to read now, somebody waits for it, or the world refused. */
MUST_USE bool sock_quiet(struct sock *s);
void sock_wake(struct sock *s);  /* ends the rest without the call; idempotent */
void sock_close(struct sock *s); /* idempotent; a fiber waiting in it gets E_CLOSED */

MUST_USE err sock_listen(struct sock *s, const struct addr *at, struct addr *bound);
/* E_BUDGET: accepted nothing because the task's connections are all in use (the peer stays in the kernel's queue). */
MUST_USE err sock_accept(struct sock *listener, struct sock *out, struct addr *peer, ms deadline);

MUST_USE err sock_udp(struct sock *s, const struct addr *local);
MUST_USE err sock_send_to(struct sock *s, const void *from, size_t len, const struct addr *to, ms deadline);
MUST_USE err sock_receive_from(struct sock *s, void *into, size_t cap, ms deadline, size_t *got, struct addr *from);

struct sock_use {
    unsigned limit, used, peak;
    uint64_t refusals, received_bytes, sent_bytes;
};
struct sock_use sock_use(enum task t);

/* The loop's: before the first fiber, and for each event of os_wait(). */
MUST_USE err sock_boot(void);
void sock_event(const struct os_event *e);

#endif
