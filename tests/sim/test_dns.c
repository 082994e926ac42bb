/* Names in the simulated world: servers that are silent, lossy, slow and half dead, files that change or stick, addresses that
 * swallow everything; each fallible call failed once. */
#include "board/rt/mem.h"
#include "net/proto/dns.h"
#include "tests/sim/sim.h"
#include "tests/unit/dns_zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS    3
#define STUCK_MS SECONDS(40)

enum behaviour { DEAD, GOOD, FAILING, TRUNCATING, ONLY_A };

/* What a case is made of; NULL and zero: not looked at. */
struct dns_case {
    const char *name;
    enum behaviour first, second;
    struct sim_link link; /* to both servers */
    const char *resolv;   /* NULL: two servers */
    const char *hosts;
    unsigned stuck_job; /* the first job sticks, when 1 */
    const char *asked;
    err wanted; /* of the look-up; with `may_fail` OK is right too */
    bool may_fail, each_fault;
    const char *first_answer;
    ms least_ms, most_ms;
};

static size_t reply(enum behaviour b, struct bytes query, uint8_t *out)
{
    char name[256];
    unsigned type = 0;
    (void)question_read(query.at, query.len, name, &type);
    if (b == DEAD || (b == ONLY_A && type != 1))
        return 0;
    return answer_make(query.at, query.len, b == TRUNCATING, NULL, b == FAILING ? 2 : 0, out);
}

static const struct dns_case *now;

static size_t reply_first(struct bytes query, uint8_t *out, size_t cap)
{
    (void)cap;
    return reply(now->first, query, out);
}

static size_t reply_second(struct bytes query, uint8_t *out, size_t cap)
{
    (void)cap;
    return reply(now->second, query, out);
}

static void setup(void *arg)
{
    const struct dns_case *c = arg;
    struct addr first = sim_ip("10.9.0.1:53"), second = sim_ip("10.9.0.2:53");
    now = c;
    sim_link(&first, c->link);
    sim_link(&second, c->link);
    sim_udp_peer(&first, reply_first);
    sim_udp_peer(&second, reply_second);
    SIM_PEER(&first, SIM_DO(SIM_STUCK)); /* over TCP they take the question and say nothing */
    sim_disk_folder("/etc");
    sim_disk_put("/etc/resolv.conf", bytes_of(c->resolv ? c->resolv : "nameserver 10.9.0.1\nnameserver 10.9.0.2\n"));
    if (c->hosts)
        sim_disk_put("/etc/hosts", bytes_of(c->hosts));
}

static void answer_check(const struct dns_case *c, const struct dns_answer *answer)
{
    char text[ADDR_TEXT_MAX];
    SIM_CHECK(answer->count > 0 && answer->count <= DNS_ADDRESSES_MAX);
    if (!c->first_answer)
        return;
    (void)addr_text(&answer->addresses[0], text, sizeof text);
    SIM_CHECK(strncmp(text, c->first_answer, strlen(c->first_answer)) == 0);
}

static err run(void *arg)
{
    const struct dns_case *c = arg;
    static struct dns_answer answer;
    struct dns *d = NULL;
    TRY(dns_open(&d));
    if (c->stuck_job)
        sim_stick_job(c->stuck_job, STUCK_MS);
    ms began = loop_now();
    err e = dns_lookup(d, c->asked, began + SECONDS(25), &answer);
    ms took = loop_now() - began;
    dns_close(d);
    if (c->stuck_job) /* its buffer comes back with its thread */
        SIM_CHECK_ERR(fiber_sleep(began + STUCK_MS + SECONDS(5)), OK);
    if (sim_fault_name())
        return e;
    SIM_CHECK(took <= 25100);
    if (e == OK)
        answer_check(c, &answer);
    if (e != OK || !c->may_fail)
        SIM_CHECK_ERR(e, c->wanted);
    SIM_CHECK(c->may_fail || took >= c->least_ms);
    SIM_CHECK(!c->most_ms || took <= c->most_ms);
    return OK;
}

static const struct dns_case cases[] = {
    {"good", GOOD, GOOD, .asked = "both.test", .first_answer = "[fd00::1]", .most_ms = 100},
    {"first dead", DEAD, GOOD, .each_fault = true, .asked = "both.test", .first_answer = "[fd00::1]", .least_ms = 1000,
     .most_ms = 1100},
    {"first fails", FAILING, GOOD, .each_fault = true, .asked = "both.test", .most_ms = 100},
    {"both dead", DEAD, DEAD, .asked = "both.test", .wanted = E_NAME, .least_ms = 12000,
     .most_ms = 12100}, /* (1 s + 5 s) twice */
    {"both dead, one try of 2 s", DEAD, DEAD,
     .resolv = "nameserver 10.9.0.1\nnameserver 10.9.0.2\noptions timeout:2 attempts:1\n", .asked = "both.test", .wanted = E_NAME,
     .least_ms = 3000, .most_ms = 3100},
    {"one family silent", ONLY_A, ONLY_A, .each_fault = true, .asked = "both.test", .first_answer = "10.0.0.1", .least_ms = 1000,
     .most_ms = 1100},
    {"truncated, TCP stuck", TRUNCATING, GOOD, .each_fault = true, .asked = "both.test", .first_answer = "[fd00::1]",
     .least_ms = 5000, .most_ms = 11000},
    {"slow line", GOOD, GOOD, .link = {.delay_ms = 700, .jitter_ms = 200}, .asked = "both.test", .first_answer = "[fd00::1]",
     .least_ms = 1400, .most_ms = 1900},
    {"lossy line", GOOD, GOOD,
     .link = {.delay_ms = 5, .jitter_ms = 20, .loss_permille = 300, .duplicate_permille = 300, .reorder_permille = 300},
     .asked = "both.test", .wanted = E_NAME, .may_fail = true},
    {"no such name", GOOD, GOOD, .asked = "none.test", .wanted = E_NAME, .most_ms = 100},
    {"search list", GOOD, GOOD, .resolv = "nameserver 10.9.0.1\nsearch corp.test\noptions ndots:5\n", .each_fault = true,
     .asked = "a.b", .first_answer = "10.1.1.2", .most_ms = 100},
    {"hosts before servers", DEAD, DEAD, .hosts = "10.7.7.7 both.test\n", .each_fault = true, .asked = "both.test",
     .first_answer = "10.7.7.7", .most_ms = 100},
    /* It sticks in one of its first calls, for longer than anybody waits. */
    {"stuck disk, nothing known", GOOD, GOOD, .stuck_job = 1, .asked = "both.test", .wanted = E_TIMEOUT, .may_fail = true,
     .most_ms = 2200},
    {"stuck disk, a literal", GOOD, GOOD, .stuck_job = 1, .asked = "10.0.0.1", .first_answer = "10.0.0.1", .most_ms = 1},
    {"stuck disk, localhost", GOOD, GOOD, .stuck_job = 1, .asked = "localhost", .first_answer = "[::1]", .most_ms = 1},
};

static void looked_up(void **state)
{
    const struct dns_case *t = *state;
    struct sim_case c = {.name = t->name, .setup = setup, .run = run, .arg = (void *)(uintptr_t)t, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
    if (t->each_fault)
        assert_true(sim_each_fault(&c));
}

/* --- the files change --- */

static err run_changes(void *arg)
{
    static struct dns_answer answer;
    struct dns *d = NULL;
    (void)arg;
    TRY(dns_open(&d));
    err e = dns_lookup(d, "both.test", loop_now() + SECONDS(9), &answer);
    SIM_CHECK_ERR(e, OK);
    sim_disk_put("/etc/resolv.conf", bytes_of("nameserver 10.9.0.2\n"));
    SIM_CHECK_ERR(fiber_sleep(loop_now() + 1100), OK);
    ms began = loop_now();
    SIM_CHECK_ERR(dns_lookup(d, "four.test", began + SECONDS(9), &answer), OK);
    SIM_CHECK(loop_now() - began < 100); /* the dead first one is not asked any more */
    sim_disk_put("/etc/hosts", bytes_of("10.5.5.5 four.test\n"));
    SIM_CHECK_ERR(fiber_sleep(loop_now() + 1100), OK);
    SIM_CHECK_ERR(dns_lookup(d, "four.test", loop_now() + SECONDS(9), &answer), OK);
    SIM_CHECK(answer.count == 1 && answer.addresses[0].ip[1] == 5);
    dns_close(d);
    return OK;
}

static void files_change(void **state)
{
    static const struct dns_case t = {.name = "files change", .first = DEAD, .second = GOOD};
    struct sim_case c = {
        .name = "files change", .setup = setup, .run = run_changes, .arg = (void *)(uintptr_t)&t, .fibers = true};
    (void)state;
    assert_true(sim_seeds(&c, SEEDS));
}

/* --- connecting --- */

#define HOSTS "fd00::1 svc\n10.1.0.1 svc\nfd00::2 svc\n10.1.0.2 svc\nfd00::3 svc\n10.1.0.3 svc\n"

static const struct connect_case {
    const char *name;
    const char *listening; /* one of them; NULL: none */
    bool swallow;          /* the others swallow everything; else they refuse */
    err wanted;
    ms most_ms;
    bool each_fault;
} connects[] = {
    {"the first", "[fd00::1]:80", true, OK, 50, false},
    {"the second, behind a black hole", "10.1.0.1:80", true, OK, 350, false},
    {"the third, behind two", "[fd00::2]:80", true, OK, 600, false},
    {"the last, behind five", "10.1.0.3:80", true, OK, 6500, true},
    {"the last, behind five that refuse", "10.1.0.3:80", false, OK, 50, false},
    {"all refuse", NULL, false, E_REFUSED, 50, true},
    {"all swallow", NULL, true, E_TIMEOUT, 20100, false},
};

static void setup_connect(void *arg)
{
    static const char *const all[] = {"[fd00::1]:80", "10.1.0.1:80",  "[fd00::2]:80",
                                      "10.1.0.2:80",  "[fd00::3]:80", "10.1.0.3:80"};
    const struct connect_case *t = arg;
    sim_disk_folder("/etc");
    sim_disk_put("/etc/resolv.conf", bytes_of("nameserver 10.9.0.1\n"));
    sim_disk_put("/etc/hosts", bytes_of(HOSTS));
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct addr a = sim_ip(all[i]);
        if (t->listening && strcmp(all[i], t->listening) == 0)
            SIM_PEER(&a, SIM_DO_TEXT(SIM_SEND, "hi"), SIM_DO(SIM_DRAIN));
        else if (t->swallow)
            sim_link(&a, (struct sim_link){.black_hole = true});
    }
}

static err run_connect(void *arg)
{
    const struct connect_case *t = arg;
    struct dns *d = NULL;
    struct stream *s = NULL;
    char hi[2];
    TRY(dns_open(&d));
    ms began = loop_now();
    err e = dns_connect(d, "svc", 80, began + SECONDS(20), &s);
    ms took = loop_now() - began;
    if (e == OK)
        e = stream_read_full(s, hi, sizeof hi, loop_now() + SECONDS(5));
    stream_close(s);
    dns_close(d);
    if (sim_fault_name())
        return e;
    SIM_CHECK_ERR(e, t->wanted);
    SIM_CHECK(took <= t->most_ms);
    return OK;
}

static void connected(void **state)
{
    const struct connect_case *t = *state;
    struct sim_case c = {
        .name = t->name, .setup = setup_connect, .run = run_connect, .arg = (void *)(uintptr_t)t, .fibers = true};
    assert_true(sim_seeds(&c, SEEDS));
    if (t->each_fault)
        assert_true(sim_each_fault(&c));
}

#define ADD(table, function)                                                                                                     \
    for (size_t i = 0; i < COUNT_OF(table); i++)                                                                                 \
        tests[n++] = (struct CMUnitTest)                                                                                         \
        {                                                                                                                        \
            .name = (table)[i].name, .test_func = (function), .initial_state = (void *)(uintptr_t) & (table)[i]                  \
        }

int main(void)
{
    static struct CMUnitTest tests[1 + COUNT_OF(cases) + COUNT_OF(connects)] = {cmocka_unit_test(files_change)};
    size_t n = 1;
    ADD(cases, looked_up);
    ADD(connects, connected);
    return cmocka_run_group_tests_name("dns in the sim", tests, NULL, NULL);
}
