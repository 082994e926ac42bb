/* Names to addresses against servers of our own on loopback addresses: good, silent, failing, forging and truncating ones. What
 * takes its time is in tests/sim/test_dns.c, where time costs nothing. */
#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/text.h"
#include "net/proto/dns.h"
#include "net/proto/dns_inside.h"

#include "tests/unit/check.h"
#include "tests/unit/dns_zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- resolv.conf --- */

static const struct config_case {
    const char *name, *text;
    unsigned servers, search, ndots, timeout_s, attempts;
    const char *first_server, *first_search;
} config_cases[] = {
    {"empty: the local machine", "", 1, 0, 1, 5, 2, "127.0.0.1:0", NULL},
    {"usual", "nameserver 10.96.0.10\nsearch a.svc svc\noptions ndots:5\n", 1, 2, 5, 5, 2, "10.96.0.10:0", "a.svc"},
    {"last search wins", "search a.b\ndomain c.d\n", 1, 1, 1, 5, 2, "127.0.0.1:0", "c.d"},
    {"four servers are three", "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4", 3, 0, 1, 5, 2,
     "1.1.1.1:0", NULL},
    {"IPv6, comments, tabs, CR", "# x\n;y\nnameserver\t::1 # z\r\n", 1, 0, 1, 5, 2, "[::1]:0", NULL},
    {"options are capped", "options ndots:99 timeout:0 attempts:77 rotate\n", 1, 0, 15, 1, 5, "127.0.0.1:0", NULL},
    {"options that are no numbers", "options ndots:x timeout: attempts:-1\n", 1, 0, 1, 5, 2, "127.0.0.1:0", NULL},
    {"bad server and bad domain left out", "nameserver x.y\nsearch a..b good.test\n", 1, 1, 1, 5, 2, "127.0.0.1:0", "good.test"},
    {"seven domains are six", "search a b c d e f g\n", 1, 6, 1, 5, 2, "127.0.0.1:0", "a"},
};

static void resolv_conf(void **state)
{
    (void)state;
    static struct dns_config c;
    for (size_t i = 0; i < COUNT_OF(config_cases); i++) {
        const struct config_case *t = &config_cases[i];
        char text[ADDR_TEXT_MAX];
        print_message("  %s\n", t->name);
        assert_int_equal(dns_config_parse(bytes_of(t->text), &c), OK);
        assert_int_equal(c.server_count, t->servers);
        assert_int_equal(c.search_count, t->search);
        assert_int_equal(c.ndots, t->ndots);
        assert_int_equal(c.timeout_s, t->timeout_s);
        assert_int_equal(c.attempts, t->attempts);
        assert_string_equal(addr_text(&c.servers[0], text, sizeof text), t->first_server);
        if (t->first_search)
            assert_string_equal(c.search[0], t->first_search);
    }
}

/* --- the servers --- */

enum mode {
    NONE,      /* there is no such server */
    GOOD,      /* answers */
    SILENT,    /* takes questions and says nothing */
    FAILING,   /* SERVFAIL */
    GARBLED,   /* half a message */
    FORGED_ID, /* another id first, with an evil address, then the right answer */
    FORGED_QUESTION,
    FORGED_SENDER,  /* an evil answer from another address first */
    TRUNCATING,     /* TC over UDP, everything over TCP */
    TRUNCATING_ONLY /* TC, and nobody at the TCP port */
};

#define SERVERS 2
#define EVIL    "6.6.6.6"

static struct server {
    enum mode mode;
    struct sock udp, other, tcp;
    struct addr at;
    unsigned questions;
} servers[SERVERS];
static uint16_t dns_port;

static void udp_reply(struct server *s, const uint8_t *query, size_t len, const struct addr *from)
{
    uint8_t out[1024];
    size_t n = 0;
    if (s->mode == SILENT)
        return;
    bool truncated = (s->mode == TRUNCATING || s->mode == TRUNCATING_ONLY);
    if (s->mode == FORGED_ID || s->mode == FORGED_QUESTION || s->mode == FORGED_SENDER) {
        n = answer_make(query, len, false, EVIL, 0, out);
        if (s->mode == FORGED_ID)
            out[0] ^= 1;
        if (s->mode == FORGED_QUESTION)
            out[13] ^= 1; /* a letter of the name */
        CHECK(sock_send_to(s->mode == FORGED_SENDER ? &s->other : &s->udp, out, n, from, FOREVER) == OK);
    }
    n = answer_make(query, len, truncated, NULL, s->mode == FAILING ? 2 : 0, out);
    CHECK(sock_send_to(&s->udp, out, s->mode == GARBLED ? 9 : n, from, FOREVER) == OK);
}

static err udp_run(void *arg)
{
    struct server *s = arg;
    uint8_t query[512];
    struct addr from;
    size_t got;
    for (;;) {
        TRY(sock_receive_from(&s->udp, query, sizeof query, FOREVER, &got, &from));
        s->questions++;
        udp_reply(s, query, got, &from);
    }
}

static err tcp_serve_one(struct stream *t)
{
    uint8_t query[512], out[1024];
    TRY(stream_read_full(t, query, 2, FOREVER));
    size_t len = (size_t)query[0] << 8 | query[1];
    TRY(stream_read_full(t, query, len, FOREVER));
    size_t n = answer_make(query, len, false, NULL, 0, out + 2);
    put16(out, (unsigned)n);
    return stream_write(t, out, n + 2, FOREVER);
}

static err tcp_run(void *arg)
{
    struct server *s = arg;
    for (;;) {
        struct stream *t = NULL;
        struct addr peer;
        TRY(tcp_accept(&s->tcp, FOREVER, &t, &peer));
        CHECK(tcp_serve_one(t) == OK);
        stream_close(t);
    }
}

static err server_open(struct server *s, unsigned index)
{
    s->at = (struct addr){.kind = ADDR_IPV4, .port = dns_port, .ip = {127, 0, 53, (uint8_t)(1 + index)}};
    struct addr other = s->at, bound;
    other.ip[2] = 54;
    s->questions = 0;
    if (s->mode == NONE)
        return OK;
    TRY(sock_udp(&s->udp, &s->at));
    TRY(sock_udp(&s->other, &other));
    return s->mode == TRUNCATING ? sock_listen(&s->tcp, &s->at, &bound) : OK;
}

static void servers_close(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        sock_close(&servers[i].udp);
        sock_close(&servers[i].other);
        sock_close(&servers[i].tcp);
    }
}

/* A port that is free at all the addresses. */
static err servers_open(enum mode first, enum mode second)
{
    servers[0].mode = first;
    servers[1].mode = second;
    for (unsigned tries = 0; tries < 50; tries++) {
        os_random(&dns_port, sizeof dns_port);
        dns_port = (uint16_t)(20000 + dns_port % 10000);
        err e = server_open(&servers[0], 0);
        if (e == OK)
            e = server_open(&servers[1], 1);
        if (e == OK)
            return OK;
        servers_close();
    }
    return E_BUSY;
}

static err servers_spawn(struct group *g)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        if (servers[i].udp.fd >= 0)
            TRY(group_spawn(g, "dns udp", udp_run, &servers[i]));
        if (servers[i].tcp.fd >= 0)
            TRY(group_spawn(g, "dns tcp", tcp_run, &servers[i]));
    }
    return OK;
}

static struct dns_config config_for_test(unsigned server_count)
{
    static struct dns_config c;
    c = (struct dns_config){.server_count = server_count, .ndots = 1, .timeout_s = 1, .attempts = 1, .search_count = 1};
    strcpy(c.search[0], "corp.test");
    for (unsigned i = 0; i < server_count; i++)
        c.servers[i] = servers[i].at;
    return c;
}

/* --- look-ups --- */

static const struct lookup_case {
    const char *name;
    enum mode first, second; /* second NONE: there is one server only */
    const char *asked;
    err wanted;
    const char *answer; /* addresses with blanks between; NULL: an error is wanted */
    ms least_ms, most_ms;
    const char *trail; /* found in it */
} lookup_cases[] = {
    {"both families, IPv6 first", GOOD, NONE, "both.test", OK, "fd00::1 10.0.0.1", 0, 400, NULL},
    {"capitals and a trailing dot", GOOD, NONE, "BOTH.test.", OK, "fd00::1 10.0.0.1", 0, 400, NULL},
    {"IPv4 only", GOOD, NONE, "four.test", OK, "10.0.0.4", 0, 400, NULL},
    {"IPv6 only", GOOD, NONE, "six.test", OK, "fd00::6", 0, 400, NULL},
    {"many, by turns, bounded", GOOD, NONE, "many.test", OK,
     "fd00::1 10.0.1.1 10.0.1.2 10.0.1.3 10.0.1.4 10.0.1.5 10.0.1.6 10.0.1.7 10.0.1.8", 0, 400, NULL},
    {"no such name, all tried told", GOOD, NONE, "none.test", E_NAME, NULL, 0, 400,
     "no such name: none.test, none.test.corp.test"},
    {"a name without address", GOOD, NONE, "empty.test.", E_NAME, NULL, 0, 400, "no such name: empty.test."},
    {"short name by the search list", GOOD, NONE, "host", OK, "10.1.1.1", 0, 400, NULL},
    {"dotted name by the search list", GOOD, NONE, "a.b", OK, "10.1.1.2", 0, 400, NULL},
    {"trailing dot: no search", GOOD, NONE, "host.", E_NAME, NULL, 0, 400, "no such name: host."},
    {"first server silent: a second", SILENT, GOOD, "both.test", OK, "fd00::1 10.0.0.1", 900, 1300, NULL},
    {"first server fails: at once", FAILING, GOOD, "both.test", OK, "fd00::1 10.0.0.1", 0, 400, NULL},
    {"first server garbles: ignored", GARBLED, GOOD, "both.test", OK, "fd00::1 10.0.0.1", 0, 1300, NULL},
    {"both fail", FAILING, FAILING, "both.test.", E_NAME, NULL, 0, 400, "failed, 127.0.53.2"},
    {"forged id", FORGED_ID, NONE, "four.test", OK, "10.0.0.4", 0, 400, NULL},
    {"forged question", FORGED_QUESTION, NONE, "four.test", OK, "10.0.0.4", 0, 400, NULL},
    {"forged sender", FORGED_SENDER, NONE, "four.test", OK, "10.0.0.4", 0, 400, NULL},
    {"truncated: asked over TCP", TRUNCATING, NONE, "both.test", OK, "fd00::1 10.0.0.1", 0, 400, NULL},
    {"truncated, no TCP: next server", TRUNCATING_ONLY, GOOD, "both.test", OK, "fd00::1 10.0.0.1", 0, 400, NULL},
    {"IPv4 literal", SILENT, NONE, "192.0.2.7", OK, "192.0.2.7", 0, 100, NULL},
    {"IPv6 literal", SILENT, NONE, "2001:db8::7", OK, "2001:db8::7", 0, 100, NULL},
    {"localhost", SILENT, NONE, "localhost", OK, "::1 127.0.0.1", 0, 100, NULL},
    {"localhost with a dot, capitals", SILENT, NONE, "LocalHost.", OK, "::1 127.0.0.1", 0, 100, NULL},
    {"below localhost", SILENT, NONE, "a.localhost", OK, "::1 127.0.0.1", 0, 100, NULL},
    {"ends like localhost, is not", GOOD, NONE, "notlocalhost", E_NAME, NULL, 0, 400, "no such name"},
    {"no host name", SILENT, NONE, "a..b", E_INVALID, NULL, 0, 100, "not a host name"},
    {"empty", SILENT, NONE, "", E_INVALID, NULL, 0, 100, "not a host name"},
    {"half an address", SILENT, NONE, "10.0.0", E_INVALID, NULL, 0, 100, NULL},
};

static void answer_text(const struct dns_answer *a, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    char one[ADDR_TEXT_MAX];
    for (unsigned i = 0; i < a->count; i++) {
        (void)addr_text(&a->addresses[i], one, sizeof one);
        size_t len = strlen(one) - 2; /* ":0" */
        bool brackets = one[0] == '[';
        text_addf(&t, "%s%.*s", i > 0 ? " " : "", (int)(len - (brackets ? 2 : 0)), one + (brackets ? 1 : 0));
    }
}

static void lookup_check(const struct lookup_case *c, struct dns *d)
{
    static struct dns_answer answer;
    char text[1024];
    ms began = os_mono();
    trail_clear();
    err e = dns_lookup(d, c->asked, loop_now() + SECONDS(60), &answer);
    ms took = os_mono() - began;
    answer_text(&answer, text, sizeof text);
    CHECK(e == c->wanted);
    CHECK(took >= c->least_ms && took <= c->most_ms);
    CHECK(e != OK || strcmp(text, c->answer) == 0);
    if (c->trail)
        CHECK(strstr(trail_text(e, text, sizeof text), c->trail));
    if (checks_failed)
        print_error("    %s: %s, %lld ms, \"%s\"\n", c->name, err_name(e), (long long)took, text);
}

static err lookup_run(void *arg)
{
    const struct lookup_case *c = arg;
    struct group g;
    struct dns *d = NULL;
    group_open(&g, TASK_METRICS);
    CHECK(servers_open(c->first, c->second) == OK);
    CHECK(servers_spawn(&g) == OK);
    struct dns_config config = config_for_test(c->second == NONE ? 1 : 2);
    CHECK(dns_open_with(&config, &d) == OK);
    lookup_check(c, d);
    dns_close(d);
    group_close(&g);
    servers_close();
    CHECK(sock_use(TASK_BOARD).used == 0);
    return OK;
}

static void look_ups(void **state)
{
    const struct lookup_case *c = *state;
    fibers_run(lookup_run, (void *)(uintptr_t)c, OK);
}

/* --- cache and hosts --- */

static unsigned asked_for(struct dns *d, const char *name, err wanted)
{
    static struct dns_answer answer;
    unsigned before = servers[0].questions;
    CHECK(dns_lookup(d, name, loop_now() + SECONDS(60), &answer) == wanted);
    return servers[0].questions - before;
}

static err cache_run(void *arg)
{
    (void)arg;
    struct group g;
    struct dns *d = NULL;
    group_open(&g, TASK_METRICS);
    CHECK(servers_open(GOOD, NONE) == OK);
    CHECK(servers_spawn(&g) == OK);
    struct dns_config config = config_for_test(1);
    CHECK(dns_open_with(&config, &d) == OK);
    CHECK(asked_for(d, "both.test", OK) == 2);
    CHECK(asked_for(d, "Both.Test", OK) == 0);
    CHECK(asked_for(d, "brief.test", OK) == 2); /* its A has a TTL of 0 */
    CHECK(asked_for(d, "brief.test", OK) == 2);
    CHECK(asked_for(d, "none.test.", E_NAME) == 2); /* without a SOA nothing may be kept, RFC 2308 5 */
    CHECK(asked_for(d, "none.test.", E_NAME) == 2);
    char name[32];
    for (unsigned i = 0; i < DNS_CACHE_MAX + 8; i++) { /* others push it out: bounded */
        snprintf(name, sizeof name, "four.test%s", i % 2 ? "." : "");
        (void)asked_for(d, name, OK);
    }
    CHECK(asked_for(d, "both.test", OK) == 0);
    dns_close(d);
    group_close(&g);
    servers_close();
    return OK;
}

static void cache(void **state)
{
    (void)state;
    fibers_run(cache_run, NULL, OK);
}

static void hosts_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool looks_up(struct dns *d, const char *name, const char *wanted)
{
    static struct dns_answer answer;
    char text[1024];
    if (dns_lookup(d, name, loop_now() + SECONDS(60), &answer) != OK)
        return wanted == NULL;
    answer_text(&answer, text, sizeof text);
    return wanted && strcmp(text, wanted) == 0;
}

static err hosts_run(void *arg)
{
    const char *path = arg;
    struct dns *d = NULL;
    struct dns_config config = config_for_test(0);
    config.search_count = 0;
    strcpy(config.hosts_path, path);
    hosts_write(path, "# comment etcd\n10.2.2.2\tetcd etcd.lan # etcd2\n\nfd00::2 etcd\nnonsense etcd\n10.2.2.3 other\n");
    CHECK(dns_open_with(&config, &d) == OK);
    ms looked = loop_now();
    CHECK(looks_up(d, "etcd", "10.2.2.2 fd00::2"));
    CHECK(looks_up(d, "ETCD.lan.", "10.2.2.2"));
    CHECK(looks_up(d, "etcd2", NULL));
    hosts_write(path, "10.9.9.9 etcd\n");
    CHECK(looks_up(d, "etcd", "10.2.2.2 fd00::2") || loop_now() >= looked + 1000); /* not looked at twice in a second */
    CHECK(fiber_sleep(loop_now() + 1050) == OK);
    CHECK(looks_up(d, "etcd", "10.9.9.9"));
    dns_close(d);
    return OK;
}

static void hosts(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/holdfast-hosts-%d", (int)getpid());
    fibers_run(hosts_run, path, OK);
    unlink(path);
}

/* --- connecting --- */

static err accept_run(void *arg)
{
    struct stream *s = NULL;
    struct addr peer;
    TRY(tcp_accept(arg, FOREVER, &s, &peer));
    CHECK(stream_write(s, "hi", 2, FOREVER) == OK);
    stream_close(s);
    return OK;
}

static const struct connect_case {
    const char *name, *host;
    bool listening;
    err wanted;
} connect_cases[] = {
    {"a literal", "127.0.0.1", true, OK},
    {"localhost: IPv6 refuses, IPv4 wins", "localhost", true, OK},
    {"nobody listens: both are named", "localhost", false, E_REFUSED},
    {"nobody listens at a literal", "127.0.0.1", false, E_REFUSED},
};

static err connect_run(void *arg)
{
    const struct connect_case *c = arg;
    struct sock listener;
    struct addr bound;
    struct group g;
    struct dns *d = NULL;
    struct stream *s = NULL;
    char text[512];
    group_open(&g, TASK_METRICS);
    CHECK(sock_listen(&listener, &(struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, &bound) == OK);
    if (c->listening)
        CHECK(group_spawn(&g, "accept", accept_run, &listener) == OK);
    else
        sock_close(&listener);
    CHECK(dns_open(&d) == OK);
    trail_clear();
    err e = dns_connect(d, c->host, bound.port, loop_now() + SECONDS(60), &s);
    CHECK(e == c->wanted);
    CHECK((s != NULL) == (e == OK));
    if (e != OK)
        CHECK(strstr(trail_text(e, text, sizeof text), "127.0.0.1") && strstr(text, c->host));
    if (s) {
        CHECK(stream_read_full(s, text, 2, loop_now() + SECONDS(60)) == OK);
        stream_close(s);
    }
    dns_close(d);
    group_close(&g);
    sock_close(&listener);
    return OK;
}

static void connecting(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(connect_cases); i++) {
        print_message("  %s\n", connect_cases[i].name);
        fibers_run(connect_run, (void *)(uintptr_t)&connect_cases[i], OK);
    }
}

static int boot(void **state)
{
    (void)state;
    static struct profile p;
    p = profile_hub32;
    p.task[TASK_BOARD].connections = 16;
    for (unsigned i = 0; i < SERVERS; i++)
        servers[i].udp = servers[i].other = servers[i].tcp = SOCK_CLOSED;
    return mem_boot(&p, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    static struct CMUnitTest tests[4 + COUNT_OF(lookup_cases)] = {cmocka_unit_test(resolv_conf), cmocka_unit_test(cache),
                                                                  cmocka_unit_test(hosts), cmocka_unit_test(connecting)};
    for (size_t i = 0; i < COUNT_OF(lookup_cases); i++)
        tests[4 + i] = (struct CMUnitTest){
            .name = lookup_cases[i].name, .test_func = look_ups, .initial_state = (void *)(uintptr_t)&lookup_cases[i]};
    return cmocka_run_group_tests_name("dns", tests, boot, NULL);
}
