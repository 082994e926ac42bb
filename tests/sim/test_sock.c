/* Sockets of fibers against peers that are good, slow, stuck, gone and resetting; each call failed once; deadlines kept. */
#include "board/rt/mem.h"
#include "board/rt/sock.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 8
#define BYTES 12000

static struct addr server;
static uint8_t there[BYTES], back[BYTES];

static void setup_at(const char *address, const struct sim_link *link)
{
    server = sim_ip(address);
    if (link)
        sim_link(&server, *link);
    for (size_t i = 0; i < BYTES; i++)
        there[i] = sim_pattern(i);
}

/* Reads until the end, an error or the deadline. */
static err read_all(struct sock *s, ms deadline, size_t *total)
{
    for (size_t got = 1; got > 0; *total += got) {
        uint8_t piece[1000];
        TRY(sock_read(s, piece, sizeof piece, deadline, &got));
        SIM_CHECK(*total + got <= BYTES);
        memcpy(back + *total, piece, got);
    }
    return OK;
}

static void setup_sender(void *link)
{
    setup_at("10.0.0.1:2379", link);
    SIM_PEER(&server, SIM_DO_N(SIM_SEND, BYTES), SIM_DO(SIM_CLOSE));
}

static err run_reads(void *link)
{
    struct sock s;
    size_t total = 0;
    (void)link;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    err e = read_all(&s, loop_now() + SECONDS(60), &total);
    SIM_CHECK(e != OK || (total == BYTES && memcmp(there, back, BYTES) == 0));
    sock_close(&s);
    return e;
}

static void setup_echo(void *link)
{
    setup_at("[fd00::7]:7", link);
    SIM_PEER(&server, SIM_DO(SIM_ECHO));
}

static err write_side(void *arg)
{
    struct sock *s = arg;
    TRY(sock_write(s, there, BYTES, loop_now() + SECONDS(60)));
    return sock_shutdown_send(s);
}

/* One fiber writes while another reads; the window is smaller than what is sent. */
static err run_echo(void *link)
{
    struct sock s;
    struct group g;
    size_t total = 0;
    (void)link;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    group_open(&g, mem_task());
    err e = group_spawn(&g, "write side", write_side, &s);
    if (e == OK)
        e = read_all(&s, loop_now() + SECONDS(60), &total);
    err joined = e == OK ? group_join(&g, loop_now() + SECONDS(60)) : OK;
    group_close(&g);
    sock_close(&s);
    SIM_CHECK(e != OK || joined != OK || sim_fault_name() || total == BYTES);
    SIM_CHECK(memcmp(there, back, total) == 0);
    return e != OK ? e : joined;
}

/* --- peers that are not there, or do not move --- */
static void setup_nobody(void *link)
{
    setup_at("10.0.0.9:9", link);
}

static err connect_fails(err wanted, ms after)
{
    struct sock s;
    ms began = loop_now();
    SIM_CHECK_ERR(sock_connect(&s, &server, loop_now() + SECONDS(5)), wanted);
    SIM_CHECK(loop_now() - began >= after && loop_now() - began <= after + 100);
    SIM_CHECK(s.fd == -1);
    return OK;
}

static err run_refused(void *arg)
{
    (void)arg;
    return connect_fails(E_REFUSED, 0);
}

static err run_no_route(void *arg)
{
    (void)arg;
    return connect_fails(E_UNREACHABLE, 0);
}

static err run_never_answered(void *arg)
{
    (void)arg;
    sim_wall_jump_at(SIM_BOOT_MS + 1000, HOURS(9)); /* deadlines do not care */
    sim_wall_jump_at(SIM_BOOT_MS + 2000, -HOURS(18));
    return connect_fails(E_TIMEOUT, SECONDS(5));
}

static void setup_stuck(void *link)
{
    setup_at("unix:/run/stuck.sock", link);
    SIM_PEER(&server, SIM_DO_N(SIM_SEND, 10), SIM_DO(SIM_STUCK));
}

static err run_stuck(void *arg)
{
    struct sock s;
    size_t total = 0;
    static uint8_t much[2 * SIM_WINDOW_MAX];
    (void)arg;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    ms until = loop_now() + SECONDS(7);
    SIM_CHECK_ERR(read_all(&s, until, &total), E_TIMEOUT);
    SIM_CHECK(total == 10 && loop_now() >= until && loop_now() < until + 10);
    until = loop_now() + SECONDS(7);
    SIM_CHECK_ERR(sock_write(&s, much, sizeof much, until), E_TIMEOUT);
    SIM_CHECK(loop_now() >= until && loop_now() < until + 10);
    sock_close(&s);
    return OK;
}

static err read_for_ever(void *arg)
{
    size_t total = 0;
    return read_all(arg, FOREVER, &total);
}

static err run_canceled(void *arg)
{
    struct sock s;
    struct group g;
    (void)arg;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    group_open(&g, mem_task());
    TRY(group_spawn(&g, "reader", read_for_ever, &s));
    TRY(fiber_sleep(loop_now() + SECONDS(3)));
    ms began = loop_now();
    group_close(&g);
    SIM_CHECK(loop_now() - began < 10);
    sock_close(&s);
    return OK;
}

/* The network goes away in the middle and does not come back: the deadline ends it. */
static err run_cable_pulled(void *arg)
{
    struct sock s;
    size_t total = 0;
    (void)arg;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    TRY(fiber_sleep(loop_now() + SECONDS(1)));
    sim_link(&server, (struct sim_link){.black_hole = true});
    ms until = loop_now() + SECONDS(20);
    SIM_CHECK_ERR(read_all(&s, until, &total), E_TIMEOUT);
    SIM_CHECK(total > 0 && total < BYTES && loop_now() < until + 10);
    sock_close(&s);
    return OK;
}

/* Bytes are always there to read, and still the deadline ends it. */
static err run_late_with_bytes_there(void *arg)
{
    struct sock s;
    uint8_t piece[5];
    size_t got;
    err e;
    (void)arg;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    ms until = loop_now() + 1000;
    while ((e = sock_read(&s, piece, sizeof piece, until, &got)) == OK)
        TRY(fiber_sleep(loop_now() + 1));
    SIM_CHECK_ERR(e, E_TIMEOUT);
    SIM_CHECK(loop_now() < until + 10);
    sock_close(&s);
    return OK;
}

static err run_is_reset(void *arg)
{
    err e = run_reads(arg);
    return e == E_RESET ? OK : E_INVALID;
}

/* --- a server --- */
#define CLIENTS 3

static void setup_clients(void *arg)
{
    static const struct sim_step steps[] = {SIM_DO_N(SIM_WAIT, 40), SIM_DO_TEXT(SIM_SEND, "ping\n"),
                                            SIM_DO_TEXT(SIM_EXPECT, "pong\n"), SIM_DO(SIM_CLOSE)};
    (void)arg;
    setup_at("127.0.0.1:8080", NULL);
    for (ms i = 0; i < CLIENTS; i++)
        sim_client(&server, SIM_BOOT_MS + 50 + 30 * i, steps, COUNT_OF(steps));
}

static void note_readable(void *arg)
{
    bool *readable = arg;
    *readable = true;
}

/* It rests until the client says something, as an idle connection does. */
static err serve_one(struct sock *s)
{
    uint8_t line[8];
    size_t got = 0, len = 0;
    bool readable = false;
    sock_rest(s, note_readable, &readable);
    for (ms until = loop_now() + SECONDS(5); !readable && loop_now() < until;)
        TRY(fiber_sleep(loop_now() + 5));
    for (; len < 5; len += got) {
        TRY(sock_read(s, line + len, sizeof line - len, loop_now() + SECONDS(5), &got));
        if (got == 0)
            return E_CLOSED;
    }
    SIM_CHECK(len == 5 && memcmp(line, "ping\n", 5) == 0);
    TRY(sock_write(s, "pong\n", 5, loop_now() + SECONDS(5)));
    TRY(sock_read(s, line, sizeof line, loop_now() + SECONDS(5), &got));
    return got == 0 ? OK : E_PROTOCOL;
}

static err run_serves(void *arg)
{
    struct sock listener, s;
    struct addr peer;
    (void)arg;
    err e = sock_listen(&listener, &server, NULL);
    for (unsigned i = 0; i < CLIENTS && e == OK; i++) {
        e = sock_accept(&listener, &s, &peer, loop_now() + SECONDS(5));
        if (e == OK)
            e = serve_one(&s);
        sock_close(&s);
    }
    sock_close(&listener);
    SIM_CHECK(e != OK || sim_fault_name() || sim_peer_bytes() == 5 * CLIENTS);
    return e;
}

/* --- what nobody reads --- */
#define DRIPS 400

/* As many bytes, one a millisecond, then one more. */
static void setup_drip(void *link)
{
    setup_at("10.0.0.1:2380", link);
    SIM_PEER(&server, SIM_DO_N(SIM_WAIT, 20), SIM_DO_N(SIM_SEND, DRIPS), SIM_DO_N(SIM_WAIT, 2000), SIM_DO_N(SIM_SEND, 1),
             SIM_DO(SIM_CLOSE));
}

static err read_drips(struct sock *s)
{
    uint64_t before = loop_stats()->wakeups;
    size_t total = 0;
    bool readable = false;
    SIM_CHECK(sock_quiet(s) || sim_fault_name());
    TRY(fiber_sleep(loop_now() + SECONDS(1)));
    SIM_CHECK(sim_fault_name() || loop_stats()->wakeups - before < DRIPS / 10);
    err e = read_all(s, loop_now() + 900, &total); /* before the one more */
    SIM_CHECK(sim_fault_name() || (e == E_TIMEOUT && total == DRIPS));
    if (e != E_TIMEOUT)
        return e;
    sock_rest(s, note_readable, &readable);
    for (ms until = loop_now() + SECONDS(5); !readable && loop_now() < until;)
        TRY(fiber_sleep(loop_now() + 5));
    SIM_CHECK(readable);
    TRY(read_all(s, loop_now() + SECONDS(5), &total));
    SIM_CHECK(total == DRIPS + 1);
    return OK;
}

/* It does not wake the loop; then all of it is there, and a rest is told of what comes. */
static err run_drip(void *arg)
{
    struct sock s;
    (void)arg;
    TRY(sock_connect(&s, &server, loop_now() + SECONDS(5)));
    err e = read_drips(&s);
    sock_close(&s);
    return e;
}

/* --- datagrams --- */
static size_t answer_same(struct bytes query, uint8_t *out, size_t cap)
{
    SIM_CHECK(query.len <= cap);
    memcpy(out, query.at, query.len);
    return query.len;
}

static void setup_udp(void *link)
{
    setup_at("10.0.0.53:53", link);
    sim_udp_peer(&server, answer_same);
}

/* Asks until an answer to the last question comes; each lost one costs its wait. */
static err run_udp(void *arg)
{
    struct sock s;
    struct addr from;
    size_t got = 0;
    (void)arg;
    TRY(sock_udp(&s, &(struct addr){.kind = ADDR_NONE}));
    err e = E_TIMEOUT;
    for (uint8_t question = 0, answer = 99; question < 30 && e == E_TIMEOUT; question++) {
        e = sock_send_to(&s, &question, 1, &server, loop_now() + SECONDS(1));
        for (ms until = loop_now() + 100; e == OK && answer != question;)
            e = sock_receive_from(&s, &answer, 1, until, &got, &from);
    }
    sock_close(&s);
    return e;
}

static const struct sim_link plain = {.delay_ms = 1, .jitter_ms = 4}, slow = {.bytes_per_s = 1000},
                             narrow = {.window_bytes = 700}, cut_off = {.reset_after_bytes = 5000}, black = {.black_hole = true},
                             no_route = {.no_route = true},
                             lossy = {.jitter_ms = 9, .loss_permille = 400, .duplicate_permille = 300, .reorder_permille = 300};
#define LINK(l) ((void *)(uintptr_t) & (l))
#define CASE(id, build, body, link)                                                                                              \
    {                                                                                                                            \
        .name = (id), .setup = (build), .run = (body), .arg = (link), .fibers = true                                             \
    }

static const struct sim_case cases[] = {
    CASE("reads", setup_sender, run_reads, LINK(plain)),
    CASE("byte_a_ms", setup_sender, run_reads, LINK(slow)),
    CASE("narrow", setup_sender, run_reads, LINK(narrow)),
    CASE("reset", setup_sender, run_is_reset, LINK(cut_off)),
    CASE("late", setup_sender, run_late_with_bytes_there, LINK(plain)),
    CASE("cable_pulled", setup_sender, run_cable_pulled, LINK(slow)),
    CASE("echo", setup_echo, run_echo, LINK(plain)),
    CASE("echo_narrow", setup_echo, run_echo, LINK(narrow)),
    CASE("refused", setup_nobody, run_refused, LINK(plain)),
    CASE("no_route", setup_nobody, run_no_route, LINK(no_route)),
    CASE("never_answered", setup_nobody, run_never_answered, LINK(black)),
    CASE("stuck", setup_stuck, run_stuck, LINK(plain)),
    CASE("canceled", setup_stuck, run_canceled, LINK(plain)),
    CASE("serves", setup_clients, run_serves, NULL),
    CASE("drip", setup_drip, run_drip, LINK(slow)),
    CASE("udp", setup_udp, run_udp, LINK(lossy)),
};

#define FAULTS_AT(id, build, body, link)                                                                                         \
    {                                                                                                                            \
        .name = (id), .setup = (build), .run = (body), .arg = LINK(link), .fibers = true                                         \
    }
#define FAULTS(id, build, body) FAULTS_AT(id, build, body, faulty)
static const struct sim_link faulty = {.delay_ms = 1, .window_bytes = 8000};
static const struct sim_case fault_cases[] = {
    FAULTS("reads_fault", setup_sender, run_reads),    FAULTS("echo_fault", setup_echo, run_echo),
    FAULTS("serves_fault", setup_clients, run_serves), FAULTS_AT("drip_fault", setup_drip, run_drip, slow),
    FAULTS("udp_fault", setup_udp, run_udp),
};

static void test_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(sim_seeds(&cases[i], SEEDS));
}

static void test_each_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fault_cases); i++)
        assert_true(sim_each_fault(&fault_cases[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_each_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
