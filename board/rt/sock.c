/* Sockets for fibers over edge-triggered readiness.
 *
 * `ready` is what may work; a call that says E_AGAIN takes its bit away. A read that filled less than it could has emptied the
 * stream (epoll(7), "stream-oriented files"), unless the peer hung up: then the end is still to be read. One that filled all
 * leaves it open whether there is more; who must know asks the world again (sock_doubt), and so does who waits for a quiet one
 * (ask_again). */
#include "board/rt/sock.h"

#include "board/rt/mem.h"
#include "board/rt/sock_inside.h"

#define READY_SURE  64u  /* READABLE was told by the world after the last read */
#define READY_QUIET 128u /* the world tells nothing until it is asked again */

struct slot {
    struct sock *sock; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
    bool extra; /* not charged to a task */
};

static struct {
    struct slot *slots;
    uint32_t count, first_free;
    unsigned extra_used;
    struct sock_use use[TASK_COUNT];
    struct timer untold; /* rests whose end must be told without an event */
} table;

/* --- slots --- */

static void rest_end(struct sock *s)
{
    void (*call)(void *arg) = s->on_readable;
    if (call == NULL || !(s->ready & OS_READABLE))
        return;
    s->on_readable = NULL;
    call(s->arg); /* may close it */
}

static void untold_tell(struct timer *t)
{
    (void)t;
    for (uint32_t i = 0; i < table.count; i++)
        if (table.slots[i].sock != NULL)
            rest_end(table.slots[i].sock);
}

err sock_boot(void)
{
    const struct profile *p = mem_profile();
    uint32_t count = SOCK_EXTRA_MAX;
    for (size_t t = 0; t < TASK_COUNT; t++) {
        table.use[t].limit = p->task[t].connections;
        count += p->task[t].connections;
    }
    if (table.slots != NULL)
        return OK;
    table.slots = mem_map(count * sizeof *table.slots);
    if (table.slots == NULL)
        return E_BUDGET;
    table.count = count;
    for (uint32_t i = 0; i < count; i++)
        table.slots[i] = (struct slot){.next_free = i + 1};
    table.untold.fire = untold_tell;
    return OK;
}

bool sock_budget_has(enum task t)
{
    if (table.use[t].used < table.use[t].limit)
        return true;
    table.use[t].refusals++;
    return false;
}

static void budget_take(enum task t)
{
    struct sock_use *use = &table.use[t];
    if (++use->used > use->peak)
        use->peak = use->used;
}

static uint64_t token_of(const struct sock *s)
{
    return (uint64_t)s->slot << 32 | table.slots[s->slot].generation;
}

static bool token_is_live(uint64_t token)
{
    uint32_t slot = (uint32_t)(token >> 32);
    return slot < table.count && table.slots[slot].sock != NULL && table.slots[slot].generation == (uint32_t)token;
}

/* Takes over fd, also on error. The budget was looked at before. */
err sock_attach(struct sock *s, os_fd fd, enum task task, bool extra, unsigned ready)
{
    ASSERT(table.first_free < table.count); /* as many slots as all budgets together */
    uint32_t index = table.first_free;
    struct slot *slot = &table.slots[index];
    *s = (struct sock){.fd = fd, .slot = index, .task = task, .ready = ready, .late_read = FOREVER, .late_write = FOREVER};
    err e = os_watch(fd, token_of(s));
    if (e != OK) {
        os_close(fd);
        *s = SOCK_CLOSED;
        return e;
    }
    table.first_free = slot->next_free;
    slot->sock = s;
    slot->extra = extra;
    if (extra)
        table.extra_used++;
    else
        budget_take(task);
    return OK;
}

err sock_adopt(struct sock *s, os_fd fd)
{
    *s = SOCK_CLOSED;
    if (table.extra_used >= SOCK_EXTRA_MAX) {
        os_close(fd);
        return E_BUDGET;
    }
    return sock_attach(s, fd, mem_task(), true, 0);
}

void sock_close(struct sock *s)
{
    if (s->fd < 0)
        return;
    struct slot *slot = &table.slots[s->slot];
    ASSERT(slot->sock == s); /* it moved, or was never opened */
    if (slot->extra)
        table.extra_used--;
    else
        table.use[s->task].used--;
    slot->sock = NULL;
    slot->generation++;
    slot->next_free = table.first_free;
    table.first_free = s->slot;
    os_close(s->fd);
    struct fiber *reader = s->reader, *writer = s->writer;
    *s = SOCK_CLOSED;
    if (reader != NULL)
        fiber_wake(reader);
    if (writer != NULL)
        fiber_wake(writer);
}

struct sock_use sock_use(enum task t)
{
    return table.use[t];
}

/* --- events and waiting --- */

void sock_event(const struct os_event *e)
{
    if (!token_is_live(e->token))
        return;
    struct sock *s = table.slots[e->token >> 32].sock;
    s->ready |= e->ready | (e->ready & OS_HANGUP ? SOCK_READY_ALL : 0u);
    if (e->ready & (OS_READABLE | OS_HANGUP))
        s->ready |= READY_SURE;
    if (s->reader != NULL && s->ready & OS_READABLE)
        fiber_wake(s->reader);
    if (s->writer != NULL && s->ready & OS_WRITABLE)
        fiber_wake(s->writer);
    rest_end(s);
}

bool sock_quiet(struct sock *s)
{
    bool awaited = s->reader != NULL || s->writer != NULL || s->on_readable != NULL;
    if (s->fd < 0 || awaited || s->ready & OS_HANGUP || os_holds(s->fd))
        return false;
    if (!(s->ready & READY_QUIET) && os_ignore(s->fd, token_of(s)) != OK)
        return false;
    s->ready &= ~READY_SURE;
    s->ready |= OS_READABLE | READY_QUIET; /* the next read looks */
    return true;
}

/* Before anybody waits. */
static err ask_again(struct sock *s)
{
    if (!(s->ready & READY_QUIET))
        return OK;
    TRY(os_watch(s->fd, token_of(s)));
    s->ready &= ~READY_QUIET;
    return OK;
}

/* Parks until `bit` is ready. After a close by another fiber the sock's memory may be gone, so only the token is asked then. */
err sock_wait_for(struct sock *s, struct fiber **place, unsigned bit, ms deadline)
{
    uint64_t token = token_of(s);
    err e = OK;
    ASSERT(*place == NULL && fiber_self() != NULL);
    *place = fiber_self();
    for (;;) {
        if (!token_is_live(token))
            return E_CLOSED;
        if (e != OK || s->ready & bit)
            break;
        e = ask_again(s);
        if (e == OK)
            e = fiber_park(deadline);
    }
    *place = NULL;
    return s->ready & bit && e != E_CANCELED ? OK : e;
}

/* Before each try, which may go on without ever waiting: so that it sees a cancel, and lets others run. */
err sock_step_begin(struct sock *s)
{
    if (s->fd < 0)
        return E_CLOSED;
    if (fiber_canceled())
        return E_CANCELED;
    uint64_t token = token_of(s);
    fiber_breathe();
    return token_is_live(token) ? OK : E_CLOSED;
}

static err late_check(const struct sock *s, ms late, ms deadline)
{
    return s->fd >= 0 && deadline != FOREVER && deadline == late ? E_TIMEOUT : OK; /* FOREVER is never late */
}

static void late_note(ms *late, ms deadline)
{
    if (loop_now() > deadline)
        *late = deadline;
}

/* Whether there is something to read is not known: the world is asked to tell it anew. */
static void sock_doubt(struct sock *s)
{
    if ((s->ready & (OS_READABLE | READY_SURE)) != OS_READABLE)
        return;
    if (os_watch(s->fd, token_of(s)) == OK)
        s->ready &= ~(OS_READABLE | READY_QUIET);
}

static void read_note(struct sock *s, size_t cap, size_t got)
{
    table.use[s->task].received_bytes += got;
    s->ready &= ~READY_SURE;
    if (got < cap && !(s->ready & OS_HANGUP))
        s->ready &= ~(unsigned)OS_READABLE;
}

err sock_read(struct sock *s, void *into, size_t cap, ms deadline, size_t *got)
{
    *got = 0;
    ASSERT(cap > 0);
    TRY(late_check(s, s->late_read, deadline));
    for (;;) {
        TRY(sock_step_begin(s));
        TRY(sock_wait_for(s, &s->reader, OS_READABLE, deadline));
        err e = os_recv(s->fd, into, cap, got);
        if (e == OK) {
            read_note(s, cap, *got);
            late_note(&s->late_read, deadline);
        }
        if (e != E_AGAIN)
            return e;
        s->ready &= ~(OS_READABLE | READY_SURE);
    }
}

err sock_wait_readable(struct sock *s, ms deadline)
{
    if (s->fd < 0)
        return E_CLOSED;
    if (fiber_canceled())
        return E_CANCELED;
    sock_doubt(s);
    return sock_wait_for(s, &s->reader, OS_READABLE, deadline);
}

err sock_write(struct sock *s, const void *from, size_t len, ms deadline)
{
    const uint8_t *at = from;
    TRY(late_check(s, s->late_write, deadline));
    while (len > 0) {
        size_t sent;
        TRY(sock_step_begin(s));
        TRY(sock_wait_for(s, &s->writer, OS_WRITABLE, deadline));
        err e = os_send(s->fd, at, len, &sent);
        if (e == E_AGAIN) {
            s->ready &= ~(unsigned)OS_WRITABLE;
            continue;
        }
        TRY(e);
        table.use[s->task].sent_bytes += sent;
        at += sent;
        len -= sent;
    }
    late_note(&s->late_write, deadline);
    return OK;
}

err sock_shutdown_send(struct sock *s)
{
    return s->fd < 0 ? E_CLOSED : os_shutdown_send(s->fd);
}

void sock_rest(struct sock *s, void (*on_readable)(void *arg), void *arg)
{
    ASSERT(s->fd >= 0 && s->reader == NULL && s->writer == NULL);
    s->on_readable = on_readable;
    s->arg = arg;
    s->ready &= ~READY_SURE; /* sure or not, the call comes from the loop: by the event that this brings */
    sock_doubt(s);
    if (ask_again(s) != OK)
        s->ready |= OS_READABLE;
    if (s->ready & OS_READABLE) /* the world refused to tell; a call too many does less harm than one too few */
        timer_arm(&table.untold, loop_now());
}

void sock_wake(struct sock *s)
{
    s->on_readable = NULL;
    s->arg = NULL;
}

err sock_accept(struct sock *listener, struct sock *out, struct addr *peer, ms deadline)
{
    os_fd fd = -1;
    *out = SOCK_CLOSED;
    TRY(late_check(listener, listener->late_read, deadline));
    for (;;) {
        TRY(sock_step_begin(listener));
        TRY(sock_wait_for(listener, &listener->reader, OS_READABLE, deadline));
        if (!sock_budget_has(listener->task)) {
            sock_doubt(listener);
            return E_BUDGET;
        }
        err e = os_accept(listener->fd, &fd, peer);
        if (e == OK)
            late_note(&listener->late_read, deadline);
        if (e == OK)
            return sock_attach(out, fd, listener->task, false, SOCK_READY_ALL);
        if (e != E_AGAIN)
            return e;
        listener->ready &= ~(OS_READABLE | READY_SURE);
    }
}

/* --- datagrams --- */

err sock_send_to(struct sock *s, const void *from, size_t len, const struct addr *to, ms deadline)
{
    TRY(late_check(s, s->late_write, deadline));
    for (;;) {
        TRY(sock_step_begin(s));
        TRY(sock_wait_for(s, &s->writer, OS_WRITABLE, deadline));
        err e = os_send_to(s->fd, from, len, to);
        if (e == OK) {
            table.use[s->task].sent_bytes += len;
            late_note(&s->late_write, deadline);
        }
        if (e != E_AGAIN)
            return e;
        s->ready &= ~(unsigned)OS_WRITABLE;
    }
}

err sock_receive_from(struct sock *s, void *into, size_t cap, ms deadline, size_t *got, struct addr *from)
{
    *got = 0;
    TRY(late_check(s, s->late_read, deadline));
    for (;;) {
        TRY(sock_step_begin(s));
        TRY(sock_wait_for(s, &s->reader, OS_READABLE, deadline));
        err e = os_recv_from(s->fd, into, cap, got, from);
        s->ready &= ~READY_SURE;
        if (e == OK) {
            table.use[s->task].received_bytes += *got;
            late_note(&s->late_read, deadline);
        }
        if (e != E_AGAIN)
            return e;
        s->ready &= ~(unsigned)OS_READABLE;
    }
}
