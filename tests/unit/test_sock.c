/* Sockets for fibers on the loopback: short reads and writes, refusals, hanging connects, resets, rest and wake, budgets,
 * datagrams. */
#include "tests/unit/check.h"

#include "board/rt/mem.h"
#include "board/rt/sock.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOON (loop_now() + SECONDS(60))

static char folder[] = "/tmp/test_sock-XXXXXX";

/* --- a pair of them --- */

struct kind_case {
    const char *name;
    enum addr_kind kind;
    uint8_t ip[16];
};
static const struct kind_case kinds[] = {
    {"IPv4", ADDR_IPV4, {127, 0, 0, 1}},
    {"IPv6", ADDR_IPV6, {[15] = 1}},
    {"unix", ADDR_UNIX, {0}},
};

static struct addr addr_of(const struct kind_case *c)
{
    struct addr a = {.kind = c->kind};
    memcpy(a.ip, c->ip, sizeof a.ip);
    if (c->kind == ADDR_UNIX)
        snprintf(a.path, sizeof a.path, "%s/sock", folder);
    return a;
}

struct pair {
    struct sock listener, client, server;
    struct addr bound;
};

static bool pair_open(struct pair *p, const struct kind_case *c)
{
    struct addr at = addr_of(c), peer;
    *p = (struct pair){.listener = SOCK_CLOSED, .client = SOCK_CLOSED, .server = SOCK_CLOSED};
    err e = sock_listen(&p->listener, &at, &p->bound);
    if (c->kind == ADDR_IPV6 && e == E_UNREACHABLE)
        return false;
    CHECK(e == OK);
    CHECK(sock_connect(&p->client, &p->bound, SOON) == OK);
    CHECK(sock_accept(&p->listener, &p->server, &peer, SOON) == OK);
    CHECK(peer.kind == c->kind);
    return true;
}

static void pair_close(struct pair *p)
{
    sock_close(&p->client);
    sock_close(&p->server);
    sock_close(&p->listener);
    sock_close(&p->listener);
    if (p->bound.kind == ADDR_UNIX)
        unlink(p->bound.path);
    CHECK(sock_use(TASK_BOARD).used == 0);
}

static err nothing_left(void)
{
    CHECK(sock_use(TASK_BOARD).used == 0);
    return OK;
}

/* --- bytes --- */

#define STREAM_BYTES 300000

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static err writer_run(void *arg)
{
    struct sock *s = arg;
    static uint8_t all[STREAM_BYTES];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = byte_at(i);
    CHECK(sock_write(s, all, sizeof all, SOON) == OK);
    CHECK(sock_shutdown_send(s) == OK);
    return OK;
}

/* With a send buffer of a few KiB every write is cut; the reads are of odd sizes. */
static void stream_check(struct pair *p)
{
    static uint8_t part[4099];
    struct group g;
    size_t total = 0, got;
    int tiny = 1;
    bool same = true;
    uint64_t before = sock_use(TASK_BOARD).received_bytes;
    CHECK(setsockopt(p->client.fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny) == 0);
    group_open(&g, TASK_BOARD);
    CHECK(group_spawn(&g, "writer", writer_run, &p->client) == OK);
    for (;;) {
        size_t cap = 1 + total % sizeof part;
        CHECK(sock_read(&p->server, part, cap, SOON, &got) == OK);
        for (size_t i = 0; i < got; i++)
            same = same && part[i] == byte_at(total + i);
        total += got;
        if (got == 0)
            break;
    }
    CHECK(same && total == STREAM_BYTES);
    CHECK(group_join(&g, SOON) == OK);
    group_close(&g);
    CHECK(sock_use(TASK_BOARD).received_bytes == before + STREAM_BYTES);
}

static err stream_body(void *arg)
{
    struct pair p;
    if (!pair_open(&p, arg)) {
        print_message("none here\n");
        return OK;
    }
    stream_check(&p);
    pair_close(&p);
    return OK;
}

static void a_stream_survives_short_reads_and_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        print_message("%s\n", kinds[i].name);
        fibers_run(stream_body, (void *)(uintptr_t)&kinds[i], OK);
    }
}

/* --- deadlines, refusals, resets --- */

static err deadline_body(void *arg)
{
    (void)arg;
    struct pair p;
    char text[8];
    static char much[MIB(4)];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    ms until = loop_now() + 20;
    CHECK(sock_read(&p.server, text, sizeof text, until, &got) == E_TIMEOUT);
    CHECK(loop_now() >= until && loop_now() < until + SECONDS(5));
    CHECK(sock_write(&p.client, much, sizeof much, loop_now() + 20) == E_TIMEOUT); /* nobody reads */
    sock_close(&p.client);
    pair_close(&p);
    CHECK(sock_read(&p.server, text, sizeof text, SOON, &got) == E_CLOSED);
    CHECK(sock_write(&p.server, text, sizeof text, SOON) == E_CLOSED);
    CHECK(sock_wait_readable(&p.server, SOON) == E_CLOSED);
    return nothing_left();
}

/* What is there is taken even late; what never makes a call wait still ends. */
static err late_body(void *arg)
{
    (void)arg;
    struct pair p;
    struct sock s;
    struct addr peer;
    char text[4];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    ms past = loop_now() - 1000;
    CHECK(sock_read(&p.server, text, sizeof text, past, &got) == E_TIMEOUT); /* nothing there */
    CHECK(sock_write(&p.client, "abcdefghijkl", 12, past) == OK);
    CHECK(sock_write(&p.client, "x", 1, past) == E_TIMEOUT);
    CHECK(sock_wait_readable(&p.server, SOON) == OK);
    CHECK(sock_read(&p.server, text, sizeof text, loop_now(), &got) == OK && got == 4 && memcmp(text, "abcd", 4) == 0);
    CHECK(sock_read(&p.server, text, sizeof text, loop_now(), &got) == OK && got == 4);
    CHECK(sock_read(&p.server, text, sizeof text, past, &got) == OK && got == 4 && memcmp(text, "ijkl", 4) == 0);
    CHECK(sock_read(&p.server, text, sizeof text, past, &got) == E_TIMEOUT);
    CHECK(sock_read(&p.server, text, sizeof text, loop_now(), &got) == E_TIMEOUT); /* would wait */
    CHECK(sock_connect(&s, &p.bound, SOON) == OK);
    sock_close(&p.server);
    CHECK(sock_wait_readable(&p.listener, SOON) == OK);
    CHECK(sock_accept(&p.listener, &p.server, &peer, past) == OK);
    sock_close(&s);
    CHECK(sock_accept(&p.listener, &s, &peer, past) == E_TIMEOUT);
    pair_close(&p);
    return OK;
}

static void what_is_there_is_taken_late(void **state)
{
    (void)state;
    fibers_run(late_body, NULL, OK);
}

static void every_wait_has_its_deadline(void **state)
{
    (void)state;
    fibers_run(deadline_body, NULL, OK);
}

static err refused_body(void *arg)
{
    (void)arg;
    struct pair p;
    struct sock s;
    CHECK(pair_open(&p, &kinds[0]));
    struct addr gone = p.bound, no_path = {.kind = ADDR_UNIX, .path = "/nonexistent/sock"};
    pair_close(&p);
    CHECK(sock_connect(&s, &gone, SOON) == E_REFUSED);
    CHECK(s.fd == -1);
    CHECK(sock_connect(&s, &no_path, SOON) == E_ABSENT);
    trail_clear();
    sock_close(&s);
    return nothing_left();
}

static void a_refused_connect_says_so(void **state)
{
    (void)state;
    fibers_run(refused_body, NULL, OK);
}

/* A listener whose queue is full answers nothing: TCP drops the SYN, a unix socket says EAGAIN. */
static void hanging_connect_check(const struct addr *to, int listener)
{
    struct sock filling[8], s;
    size_t filled = 0;
    err e = OK;
    CHECK(listen(listener, 0) == 0);
    for (; filled < COUNT_OF(filling) / 2 && e == OK; filled++)
        e = sock_connect(&filling[filled], to, loop_now() + 100);
    ms until = loop_now() + 50;
    CHECK(e == E_TIMEOUT);
    CHECK(sock_connect(&s, to, until) == E_TIMEOUT);
    CHECK(loop_now() >= until);
    trail_clear();
    for (size_t i = 0; i < filled; i++)
        sock_close(&filling[i]);
    close(listener);
}

static err hanging_body(void *arg)
{
    (void)arg;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t len = sizeof v4;
    struct addr to = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, local = addr_of(&kinds[2]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (void *)&v4, sizeof v4) == 0 && getsockname(listener, (void *)&v4, &len) == 0);
    to.port = ntohs(v4.sin_port);
    hanging_connect_check(&to, listener);
    snprintf(path.sun_path, sizeof path.sun_path, "%s", local.path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (void *)&path, sizeof path) == 0);
    hanging_connect_check(&local, listener);
    unlink(local.path);
    return nothing_left();
}

static void a_hanging_connect_ends_by_its_deadline(void **state)
{
    (void)state;
    fibers_run(hanging_body, NULL, OK);
}

static err reset_body(void *arg)
{
    (void)arg;
    struct pair p;
    char text[8];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(p.client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    sock_close(&p.client);
    CHECK(sock_read(&p.server, text, sizeof text, SOON, &got) == E_RESET);
    CHECK(sock_write(&p.server, text, sizeof text, SOON) == E_CLOSED);
    pair_close(&p);
    return nothing_left();
}

static void a_reset_is_told(void **state)
{
    (void)state;
    fibers_run(reset_body, NULL, OK);
}

/* --- close and cancel while waiting --- */

struct waiting {
    struct sock *s;
    err got;
};

static err read_run(void *arg)
{
    struct waiting *w = arg;
    char text[4];
    size_t got;
    w->got = sock_read(w->s, text, sizeof text, FOREVER, &got);
    return OK;
}

static err fill_run(void *arg)
{
    struct waiting *w = arg;
    static char much[KIB(64)];
    do
        w->got = sock_write(w->s, much, sizeof much, FOREVER);
    while (w->got == OK);
    return OK;
}

static err closing_body(void *arg)
{
    (void)arg;
    struct pair p;
    struct group g;
    struct sock *moved = malloc(sizeof *moved);
    struct addr peer;
    CHECK(pair_open(&p, &kinds[0]));
    sock_close(&p.server);
    sock_close(&p.client);
    CHECK(sock_connect(moved, &p.bound, SOON) == OK);
    CHECK(sock_accept(&p.listener, &p.server, &peer, SOON) == OK);
    struct waiting reader = {.s = moved, .got = ERR_COUNT}, writer = {.s = moved, .got = ERR_COUNT};
    group_open(&g, TASK_BOARD);
    CHECK(group_spawn(&g, "reader", read_run, &reader) == OK);
    CHECK(group_spawn(&g, "writer", fill_run, &writer) == OK);
    CHECK(fiber_sleep(loop_now() + 20) == OK); /* they wait, or are about to: both have to end */
    sock_close(moved);
    free(moved); /* nobody may look at it any more; ASan watches */
    CHECK(group_join(&g, SOON) == OK);
    CHECK(reader.got == E_CLOSED && writer.got == E_CLOSED);
    group_close(&g);
    pair_close(&p);
    return OK;
}

static void closing_ends_the_waits_of_others(void **state)
{
    (void)state;
    fibers_run(closing_body, NULL, OK);
}

static err cancel_body(void *arg)
{
    (void)arg;
    struct pair p;
    struct group g;
    CHECK(pair_open(&p, &kinds[0]));
    struct waiting reader = {.s = &p.server, .got = ERR_COUNT};
    group_open(&g, TASK_BOARD);
    CHECK(group_spawn(&g, "reader", read_run, &reader) == OK);
    CHECK(fiber_sleep(loop_now() + 2) == OK);
    group_close(&g);
    CHECK(reader.got == E_CANCELED);
    CHECK(sock_write(&p.client, "abcd", 4, SOON) == OK);
    reader.got = ERR_COUNT;
    CHECK(read_run(&reader) == OK && reader.got == OK); /* usable as before */
    pair_close(&p);
    return OK;
}

static void a_cancel_ends_a_read(void **state)
{
    (void)state;
    fibers_run(cancel_body, NULL, OK);
}

/* --- rest --- */

static unsigned calls;

static void count_call(void *arg)
{
    (void)arg;
    CHECK(fiber_self() == NULL);
    calls++;
}

static void settle(void)
{
    CHECK(fiber_sleep(loop_now() + 10) == OK);
}

static err rest_body(void *arg)
{
    (void)arg;
    struct pair p;
    char text[4];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    calls = 0;
    CHECK(sock_write(&p.client, "abcd", 4, SOON) == OK);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 4); /* exactly all: whether there is more is not known */
    sock_rest(&p.server, count_call, NULL);
    settle();
    CHECK(calls == 0); /* nothing there, no call */
    CHECK(sock_write(&p.client, "abcdefgh", 8, SOON) == OK);
    AWAIT(calls == 1); /* once */
    CHECK(sock_write(&p.client, "i", 1, SOON) == OK);
    settle();
    CHECK(calls == 1);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 4);
    CHECK(calls == 1);
    sock_rest(&p.server, count_call, NULL); /* with bytes left over */
    CHECK(calls == 1);                      /* not from here, from the loop */
    AWAIT(calls == 2);
    sock_rest(&p.server, count_call, NULL);
    sock_wake(&p.server);
    sock_wake(&p.server);
    settle();
    CHECK(calls == 2);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 4);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 1);
    sock_rest(&p.server, count_call, NULL);
    sock_close(&p.client);
    AWAIT(calls == 3); /* the end is something to read */
    CHECK(sock_wait_readable(&p.server, SOON) == OK);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 0);
    sock_rest(&p.server, count_call, NULL);
    sock_close(&p.server);
    settle();
    CHECK(calls == 3);
    pair_close(&p);
    return OK;
}

static void a_rest_ends_once_and_only_for_something(void **state)
{
    (void)state;
    fibers_run(rest_body, NULL, OK);
}

static err wait_readable_body(void *arg)
{
    (void)arg;
    struct pair p;
    char text[4];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    CHECK(sock_write(&p.client, "abcdefgh", 8, SOON) == OK);
    CHECK(sock_wait_readable(&p.server, SOON) == OK);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 4);
    CHECK(sock_wait_readable(&p.server, SOON) == OK);
    CHECK(sock_read(&p.server, text, 4, SOON, &got) == OK && got == 4);
    CHECK(sock_wait_readable(&p.server, loop_now() + 5) == E_TIMEOUT);
    pair_close(&p);
    return OK;
}

static void readable_means_that_there_is_something(void **state)
{
    (void)state;
    fibers_run(wait_readable_body, NULL, OK);
}

/* --- budget --- */

static err budget_body(void *arg)
{
    unsigned limit = sock_use(TASK_BOARD).limit;
    struct sock extra;
    struct pair p;
    (void)arg;
    CHECK(limit == mem_profile()->task[TASK_BOARD].connections && limit >= 4);
    CHECK(pair_open(&p, &kinds[0]));
    struct sock more[64];
    unsigned n = 0;
    uint64_t refusals = sock_use(TASK_BOARD).refusals;
    while (sock_use(TASK_BOARD).used < limit)
        CHECK(sock_connect(&more[n++], &p.bound, SOON) == OK);
    CHECK(sock_connect(&extra, &p.bound, SOON) == E_BUDGET);
    trail_clear();
    CHECK(extra.fd == -1);
    CHECK(sock_accept(&p.listener, &extra, NULL, SOON) == E_BUDGET); /* the peer stays in the kernel's queue */
    CHECK(sock_use(TASK_BOARD).refusals == refusals + 2 && sock_use(TASK_BOARD).peak == limit);
    sock_close(&p.server);
    CHECK(sock_accept(&p.listener, &extra, NULL, SOON) == OK);
    sock_close(&extra);
    while (n > 0)
        sock_close(&more[--n]);
    pair_close(&p);
    return OK;
}

static void connections_are_bounded(void **state)
{
    (void)state;
    fibers_run(budget_body, NULL, OK);
}

static err stale_body(void *arg)
{
    (void)arg;
    struct pair p;
    char text[4];
    size_t got;
    CHECK(pair_open(&p, &kinds[0]));
    struct os_event stale = {.token = (uint64_t)p.server.slot << 32, .ready = OS_READABLE | OS_HANGUP};
    sock_event(&stale); /* an older generation of this slot, and a slot that is not there */
    sock_event(&(struct os_event){.token = UINT64_MAX - 5, .ready = OS_READABLE});
    CHECK(!(p.server.ready & OS_HANGUP));
    CHECK(sock_read(&p.server, text, sizeof text, loop_now() + 3, &got) == E_TIMEOUT);
    pair_close(&p);
    return OK;
}

static void stale_events_are_ignored(void **state)
{
    (void)state;
    fibers_run(stale_body, NULL, OK);
}

/* --- datagrams --- */

static err datagram_body(void *arg)
{
    (void)arg;
    struct sock server, client;
    struct addr at = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, from;
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    char text[8];
    size_t got;
    CHECK(sock_udp(&server, &at) == OK);
    CHECK(sock_udp(&client, &(struct addr){.kind = ADDR_NONE}) == OK);
    CHECK(getsockname(server.fd, (void *)&name, &len) == 0);
    at.port = ntohs(name.sin_port);
    CHECK(sock_receive_from(&server, text, sizeof text, loop_now() + 5, &got, &from) == E_TIMEOUT);
    CHECK(sock_send_to(&client, "ask", 3, &at, SOON) == OK);
    CHECK(sock_receive_from(&server, text, sizeof text, SOON, &got, &from) == OK && got == 3);
    CHECK(sock_send_to(&server, "told", 4, &from, SOON) == OK);
    CHECK(sock_receive_from(&client, text, sizeof text, SOON, &got, &from) == OK && got == 4);
    CHECK(addr_equal(&from, &at));
    sock_close(&server);
    sock_close(&client);
    return nothing_left();
}

static void datagrams_go_both_ways(void **state)
{
    (void)state;
    fibers_run(datagram_body, NULL, OK);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    struct profile p = profile_hub32; /* enough connections for the board's tests */
    p.task[TASK_BOARD].connections = 12;
    static struct profile kept;
    kept = p;
    if (mem_boot(&kept, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_survives_short_reads_and_writes),
        cmocka_unit_test(every_wait_has_its_deadline),
        cmocka_unit_test(what_is_there_is_taken_late),
        cmocka_unit_test(a_refused_connect_says_so),
        cmocka_unit_test(a_hanging_connect_ends_by_its_deadline),
        cmocka_unit_test(a_reset_is_told),
        cmocka_unit_test(closing_ends_the_waits_of_others),
        cmocka_unit_test(a_cancel_ends_a_read),
        cmocka_unit_test(a_rest_ends_once_and_only_for_something),
        cmocka_unit_test(readable_means_that_there_is_something),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(stale_events_are_ignored),
        cmocka_unit_test(datagrams_go_both_ways),
    };
    return cmocka_run_group_tests_name("sock", tests, folder_make, folder_remove);
}
