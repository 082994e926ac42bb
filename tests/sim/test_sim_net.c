/* The simulated network and clock, asked at os.h as a program would. */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#define SEEDS 12
#define TOKEN 77

static struct addr server;

/* Waits until the watched socket is told to be ready for `bits`; false at the deadline. */
static bool told(unsigned bits, ms until)
{
    struct os_event events[8];
    while (os_mono() < until) {
        size_t count = os_wait(until, events, COUNT_OF(events));
        for (size_t i = 0; i < count; i++)
            if (events[i].token == TOKEN && events[i].ready & bits)
                return true;
    }
    return false;
}

/* Connected and watched by TOKEN, or why not. */
static err connect_to(const struct addr *to, os_fd *fd)
{
    TRY(os_connect(to, fd));
    TRY(os_watch(*fd, TOKEN));
    err e;
    while ((e = os_connect_result(*fd)) == E_AGAIN)
        SIM_CHECK(told(OS_WRITABLE, os_mono() + SECONDS(200)));
    return e;
}

/* Reads to the end of the stream or its error; every wait bounded. */
static err read_all(os_fd fd, uint64_t *total, bool *as_sent)
{
    uint8_t piece[700];
    size_t got;
    *as_sent = true;
    for (;;) {
        err e = os_recv(fd, piece, sizeof piece, &got);
        if (e == E_AGAIN) {
            SIM_CHECK(told(OS_READABLE, os_mono() + SECONDS(60)));
            continue;
        }
        if (e != OK || got == 0)
            return e;
        for (size_t i = 0; i < got; i++)
            *as_sent = *as_sent && piece[i] == sim_pattern(*total + i);
        *total += got;
    }
}

/* --- what streams do --- */
static void setup_sender(void *link)
{
    server = sim_ip("10.0.0.1:2379");
    if (link)
        sim_link(&server, *(const struct sim_link *)link);
    SIM_PEER(&server, SIM_DO_N(SIM_SEND, 20000), SIM_DO(SIM_CLOSE));
}

static err run_reads_all(void *link)
{
    os_fd fd;
    uint64_t total = 0;
    bool as_sent;
    (void)link;
    TRY(connect_to(&server, &fd));
    SIM_CHECK_ERR(read_all(fd, &total, &as_sent), OK);
    SIM_CHECK(total == 20000 && as_sent);
    os_close(fd);
    return OK;
}

static err run_reads_slowly(void *link)
{
    ms began = os_mono();
    TRY(run_reads_all(link));
    SIM_CHECK(os_mono() - began > 19900 && os_mono() - began < 22000); /* 20,000 bytes, one a millisecond */
    return OK;
}

static err run_reads_lies(void *link)
{
    os_fd fd;
    uint64_t total = 0;
    bool as_sent;
    (void)link;
    TRY(connect_to(&server, &fd));
    SIM_CHECK_ERR(read_all(fd, &total, &as_sent), OK);
    SIM_CHECK(total == 20000 && !as_sent);
    os_close(fd);
    return OK;
}

static err run_is_reset(void *link)
{
    os_fd fd;
    uint64_t total = 0;
    bool as_sent = true;
    size_t got = 1;
    (void)link;
    err e = connect_to(&server, &fd); /* the reset may come before the question, which then takes the error */
    SIM_CHECK_ERR(e == OK ? read_all(fd, &total, &as_sent) : e, E_RESET);
    SIM_CHECK(total <= 5000 && as_sent);
    while (os_recv(fd, &total, 1, &got) == OK && got > 0)
        ;
    SIM_CHECK_ERR(os_recv(fd, &total, 1, &got), OK); /* told once, then it looks like an end */
    SIM_CHECK(got == 0);
    SIM_CHECK_ERR(os_send(fd, "x", 1, &got), E_CLOSED);
    os_close(fd);
    return OK;
}

static void setup_no_one(void *link)
{
    server = sim_ip("10.0.0.2:1");
    sim_link(&server, *(const struct sim_link *)link);
}

static err run_refused(void *link)
{
    os_fd fd;
    (void)link;
    SIM_CHECK_ERR(connect_to(&server, &fd), E_REFUSED);
    os_close(fd);
    return OK;
}

static err run_never_answered(void *link)
{
    os_fd fd;
    (void)link;
    ms began = os_mono();
    SIM_CHECK_ERR(connect_to(&server, &fd), E_TIMEOUT);
    SIM_CHECK(os_mono() - began > SECONDS(100));
    os_close(fd);
    return OK;
}

static err run_no_route(void *link)
{
    os_fd fd;
    (void)link;
    SIM_CHECK_ERR(os_connect(&server, &fd), E_UNREACHABLE);
    SIM_CHECK(fd == -1);
    return OK;
}

static void setup_stuck(void *arg)
{
    (void)arg;
    server = sim_ip("[fd00::1]:443");
    SIM_PEER(&server, SIM_DO(SIM_STUCK));
}

static err run_stuck(void *arg)
{
    os_fd fd;
    uint8_t bytes[8192] = {0};
    size_t sent = 0, total = 0;
    (void)arg;
    TRY(connect_to(&server, &fd));
    for (err e; (e = os_send(fd, bytes, sizeof bytes, &sent)) == OK;)
        total += sent;
    SIM_CHECK(total == SIM_WINDOW_MAX);
    (void)told(OS_WRITABLE, os_mono() + 50); /* what was owed for a short send */
    SIM_CHECK_ERR(os_send(fd, bytes, 1, &sent), E_AGAIN);
    SIM_CHECK_ERR(os_recv(fd, bytes, 1, &sent), E_AGAIN);
    os_close(fd);
    return OK;
}

static void setup_echo(void *arg)
{
    (void)arg;
    server = sim_ip("unix:/run/echo.sock");
    SIM_PEER(&server, SIM_DO_TEXT(SIM_EXPECT, "hello\r\n"), SIM_DO_N(SIM_WAIT, 250), SIM_DO_TEXT(SIM_SEND, "go\n"),
             SIM_DO(SIM_ECHO));
}

static void send_all(os_fd fd, const uint8_t *at, size_t len)
{
    for (size_t sent; len > 0; at += sent, len -= sent) {
        err e = os_send(fd, at, len, &sent);
        if (e == E_AGAIN)
            SIM_CHECK(told(OS_WRITABLE, os_mono() + SECONDS(10)));
        else
            SIM_CHECK_ERR(e, OK);
    }
}

static void receive_exactly(os_fd fd, uint8_t *into, size_t len)
{
    for (size_t got; len > 0; into += got, len -= got) {
        err e = os_recv(fd, into, len, &got);
        if (e == E_AGAIN)
            SIM_CHECK(told(OS_READABLE, os_mono() + SECONDS(10)));
        else
            SIM_CHECK(e == OK && got > 0);
    }
}

static err run_echo(void *arg)
{
    os_fd fd;
    static uint8_t there[20000], back[20000];
    size_t got;
    (void)arg;
    for (size_t i = 0; i < sizeof there; i++)
        there[i] = sim_pattern(i);
    TRY(connect_to(&server, &fd));
    ms began = os_mono();
    send_all(fd, (const uint8_t *)"hello\r\n", 7);
    receive_exactly(fd, back, 3);
    SIM_CHECK(memcmp(back, "go\n", 3) == 0 && os_mono() - began >= 250);
    send_all(fd, there, sizeof there);
    SIM_CHECK_ERR(os_shutdown_send(fd), OK);
    receive_exactly(fd, back, sizeof back);
    SIM_CHECK(memcmp(there, back, sizeof back) == 0);
    while (os_recv(fd, back, 1, &got) == E_AGAIN)
        SIM_CHECK(told(OS_READABLE, os_mono() + SECONDS(10)));
    SIM_CHECK(got == 0);
    os_close(fd);
    return OK;
}

static void setup_client(void *arg)
{
    static const struct sim_step steps[] = {SIM_DO_TEXT(SIM_SEND, "GET /"), SIM_DO_TEXT(SIM_UNTIL, "\r\n\r\n"),
                                            SIM_DO(SIM_CLOSE)};
    (void)arg;
    server = sim_ip("0.0.0.0:8080");
    struct addr to = sim_ip("127.0.0.1:8080");
    sim_client(&to, SIM_BOOT_MS + 100, steps, COUNT_OF(steps));
}

static err run_serves(void *arg)
{
    os_fd listener, fd;
    struct addr bound, peer;
    uint8_t bytes[8];
    (void)arg;
    TRY(os_listen(&server, 8, &listener, &bound));
    TRY(os_watch(listener, TOKEN));
    SIM_CHECK(addr_equal(&bound, &server));
    SIM_CHECK_ERR(os_accept(listener, &fd, &peer), E_AGAIN);
    SIM_CHECK(told(OS_READABLE, SIM_BOOT_MS + 1000));
    SIM_CHECK_ERR(os_accept(listener, &fd, &peer), OK);
    os_close(listener);
    TRY(os_watch(fd, TOKEN));
    receive_exactly(fd, bytes, 5);
    send_all(fd, (const uint8_t *)"200 OK\r\n\r\n", 10);
    size_t got;
    while (os_recv(fd, bytes, 1, &got) == E_AGAIN)
        SIM_CHECK(told(OS_READABLE, os_mono() + 1000));
    SIM_CHECK(got == 0 && sim_peer_bytes() == 10);
    os_close(fd);
    return OK;
}

/* An edge is told once, not again while nothing changes. */
static err run_one_edge(void *arg)
{
    os_fd fd;
    (void)arg;
    sim.spurious_permille = 0;
    sim_link(&server, (struct sim_link){.whole = true});
    TRY(connect_to(&server, &fd));
    send_all(fd, (const uint8_t *)"hello\r\n", 7);
    SIM_CHECK(told(OS_READABLE, os_mono() + 1000));
    SIM_CHECK(!told(OS_READABLE, os_mono() + SECONDS(10)));
    TRY(os_watch(fd, TOKEN)); /* asked anew, it is told anew */
    SIM_CHECK(told(OS_READABLE, os_mono() + 1));
    os_close(fd);
    return OK;
}

/* --- datagrams --- */
static size_t answer_double(struct bytes query, uint8_t *out, size_t cap)
{
    SIM_CHECK(query.len == 1 && cap >= 1);
    out[0] = (uint8_t)(query.at[0] * 2);
    return 1;
}

static void setup_udp(void *arg)
{
    (void)arg;
    server = sim_ip("10.0.0.53:53");
    sim_link(&server,
             (struct sim_link){.jitter_ms = 3, .loss_permille = 300, .duplicate_permille = 300, .reorder_permille = 300});
    sim_udp_peer(&server, answer_double);
}

static err run_udp(void *arg)
{
    os_fd fd;
    unsigned seen[128] = {0}, lost = 0, doubled = 0;
    uint8_t byte;
    size_t got;
    struct addr from;
    (void)arg;
    TRY(os_udp(&(struct addr){.kind = ADDR_NONE}, &fd));
    TRY(os_watch(fd, TOKEN));
    for (uint8_t query = 0; query < 100; query++) {
        TRY(os_send_to(fd, &query, 1, &server));
        (void)told(OS_READABLE, os_mono() + 10);
        while (os_recv_from(fd, &byte, 1, &got, &from) == OK) {
            SIM_CHECK(got == 1 && byte % 2 == 0 && addr_equal(&from, &server));
            seen[byte / 2]++;
        }
    }
    for (size_t i = 0; i < 100; i++) {
        lost += seen[i] == 0;
        doubled += seen[i] > 1;
    }
    SIM_CHECK(lost > 20 && lost < 95 && doubled > 0);
    os_close(fd);
    return OK;
}

/* The same seed gives the same life; another one another. */
static err run_fingerprint(void *arg)
{
    uint64_t total = 0, print = 0;
    bool as_sent;
    os_fd fd;
    (void)arg;
    TRY(connect_to(&server, &fd));
    SIM_CHECK_ERR(read_all(fd, &total, &as_sent), OK);
    os_close(fd);
    os_random(&print, sizeof print);
    sim_note(0, print ^ (uint64_t)os_mono_ns());
    return OK;
}

static const struct sim_link plain = {.delay_ms = 1, .jitter_ms = 4}, slow = {.bytes_per_s = 1000},
                             lying = {.flip_permille = 1000}, cut_off = {.reset_after_bytes = 5000}, black = {.black_hole = true},
                             no_route = {.no_route = true};
#define LINK(l) ((void *)(uintptr_t) & (l))

static const struct sim_case good[] = {
    {.name = "reads_all", .setup = setup_sender, .run = run_reads_all, .arg = LINK(plain)},
    {.name = "byte_a_ms", .setup = setup_sender, .run = run_reads_slowly, .arg = LINK(slow)},
    {.name = "bit_flips", .setup = setup_sender, .run = run_reads_lies, .arg = LINK(lying)},
    {.name = "reset_in_the_middle", .setup = setup_sender, .run = run_is_reset, .arg = LINK(cut_off)},
    {.name = "refused", .setup = setup_no_one, .run = run_refused, .arg = LINK(plain)},
    {.name = "never_answered", .setup = setup_no_one, .run = run_never_answered, .arg = LINK(black)},
    {.name = "no_route", .setup = setup_no_one, .run = run_no_route, .arg = LINK(no_route)},
    {.name = "stuck_peer", .setup = setup_stuck, .run = run_stuck},
    {.name = "echo_over_unix", .setup = setup_echo, .run = run_echo},
    {.name = "serves_a_client", .setup = setup_client, .run = run_serves},
    {.name = "one_edge", .setup = setup_echo, .run = run_one_edge},
    {.name = "udp", .setup = setup_udp, .run = run_udp},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(sim_seeds(&good[i], SEEDS));
}

static void test_a_seed_repeats(void **state)
{
    static const struct sim_case c = {.name = "fingerprint", .setup = setup_sender, .run = run_fingerprint, .arg = LINK(plain)};
    uint64_t print[3];
    (void)state;
    if (sim_is_narrowed())
        SKIP_BECAUSE("one seed or fault is being repeated");
    for (size_t i = 0; i < 3; i++) {
        assert_true(sim_seeds(&c, i < 2 ? 1 : 2));
        print[i] = sim_noted(0);
    }
    assert_true(print[0] != 0 && print[0] == print[1] && print[0] != print[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
