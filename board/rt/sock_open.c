/* Sockets that connect, listen and take datagrams; how they wait is in sock.c. */
#include "board/rt/mem.h"
#include "board/rt/sock_inside.h"

#define BACKLOG         128
#define CONNECT_BEAT_MS 10 /* between tries on a unix listener whose queue is full: it says so instead of waiting */

static err connect_start(const struct addr *to, ms deadline, os_fd *out)
{
    for (;;) {
        err e = os_connect(to, out);
        if (e != E_AGAIN)
            return e;
        TRY(fiber_sleep(ms_min(deadline, loop_now() + CONNECT_BEAT_MS)));
        if (loop_now() >= deadline)
            return E_TIMEOUT;
    }
}

static err connect_finish(struct sock *s, ms deadline)
{
    for (;;) {
        TRY(sock_step_begin(s));
        err e = os_connect_result(s->fd);
        if (e != E_AGAIN)
            return e;
        s->ready &= ~(unsigned)OS_WRITABLE;
        TRY(sock_wait_for(s, &s->writer, OS_WRITABLE, deadline));
    }
}

static err connect_one(struct sock *s, const struct addr *to, ms deadline)
{
    os_fd fd = -1;
    enum task task = mem_task();
    if (!sock_budget_has(task))
        return E_BUDGET;
    TRY(connect_start(to, deadline, &fd));
    if (!sock_budget_has(task)) { /* others connected while this one waited */
        os_close(fd);
        return E_BUDGET;
    }
    TRY(sock_attach(s, fd, task, false, OS_WRITABLE));
    err e = connect_finish(s, deadline);
    if (e != OK)
        sock_close(s);
    return e;
}

err sock_connect(struct sock *s, const struct addr *to, ms deadline)
{
    char text[ADDR_TEXT_MAX];
    *s = SOCK_CLOSED;
    if (fiber_canceled())
        return E_CANCELED;
    return trail(connect_one(s, to, deadline), "connecting to %s", addr_text(to, text, sizeof text));
}

static err open_bound(struct sock *s, const struct addr *at, struct addr *bound, bool datagrams)
{
    os_fd fd = -1;
    enum task task = mem_task();
    *s = SOCK_CLOSED;
    if (!sock_budget_has(task))
        return E_BUDGET;
    TRY(datagrams ? os_udp(at, &fd) : os_listen(at, BACKLOG, &fd, bound));
    return sock_attach(s, fd, task, false, datagrams ? SOCK_READY_ALL : OS_READABLE);
}

err sock_listen(struct sock *s, const struct addr *at, struct addr *bound)
{
    char text[ADDR_TEXT_MAX];
    return trail(open_bound(s, at, bound, false), "listening on %s", addr_text(at, text, sizeof text));
}

err sock_udp(struct sock *s, const struct addr *local)
{
    return open_bound(s, local, NULL, true);
}
