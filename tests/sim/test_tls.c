/* TLS with gRPC inside, both sides in the simulated world: each fallible call failed once, and bytes damaged on the way. The
 * error must be one that may pass, never a verdict on the peer's certificate. */
#include "board/rt/mem.h"
#include "net/format/crypto.h"
#include "net/proto/grpc.h"
#include "tests/sim/sim.h"
#include "tests/support/certs.h"
#include "tests/support/etcd_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SEEDS 4

static struct etcd_peer peer;
static const char *const alpn[] = {"h2", NULL};
static struct sim_link link;

static void crypto_first(void)
{
    SIM_CHECK_ERR(crypto_boot(), OK);
}

static void setup(void *arg)
{
    struct addr at = sim_ip("10.0.0.1:2379");
    link = *(const struct sim_link *)arg;
    sim_boot(crypto_first);
    sim_link(&at, link);
    sim_wall_set(((int64_t)time(NULL) + 60) * 1000); /* the certificates were made just now */
    peer = (struct etcd_peer){.db_bytes = KIB(40), .server.listener = SOCK_CLOSED};
    etcd_peer_open(&peer);
}

static err config_of(bool server, struct tls_config **out)
{
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    err e = tls_trust_parse(cert(CERT_CA), &trust);
    if (e == OK)
        e = tls_identity_parse(cert(server ? CERT_SERVER : CERT_CLIENT), cert_key(server ? CERT_SERVER_KEY : CERT_CLIENT_KEY),
                               &identity);
    if (e == OK)
        e = tls_config_open(&(struct tls_options){.server = server, .trust = trust, .identity = identity, .alpn = alpn}, out);
    tls_trust_release(trust);
    tls_identity_release(identity);
    return e;
}

static err ask(struct tls_config *config)
{
    static uint8_t into[KIB(48)];
    struct addr at = sim_ip("10.0.0.1:2379");
    struct stream *s = NULL;
    struct h2 *h = NULL;
    struct grpc_call *c = NULL;
    size_t len = 0, sum = 0;
    bool more = true;
    TRY(tcp_connect(&at, loop_now() + SECONDS(5), &s));
    TRY(tls_connect(config, s, "10.0.0.1", loop_now() + SECONDS(5), &s));
    TRY(h2_open(s, "https", "10.0.0.1:2379", 65536, loop_now() + SECONDS(5), &h));
    err e = grpc_start(h, "/etcdserverpb.Maintenance/Snapshot", NULL, 0, (struct bytes){0}, loop_now() + SECONDS(20), &c);
    for (; e == OK && more; sum += len)
        e = grpc_receive(c, into, sizeof into, FOREVER, &len, &more);
    SIM_CHECK(e != OK || sum > KIB(40));
    grpc_end(c);
    h2_close(h);
    return e;
}

static err client_result;

static err client(void *arg)
{
    struct tls_config *config = NULL;
    (void)arg;
    client_result = config_of(false, &config);
    if (client_result == OK)
        client_result = ask(config);
    tls_config_release(config);
    return OK;
}

static err run(void *arg)
{
    struct addr at = sim_ip("10.0.0.1:2379");
    struct group etcd, asks;
    (void)arg;
    group_open(&etcd, TASK_METRICS);
    group_open(&asks, TASK_BACKUP);
    err e = config_of(true, &peer.server.tls);
    if (e == OK)
        e = sock_listen(&peer.server.listener, &at, NULL);
    if (e == OK)
        e = group_spawn(&etcd, "etcd", server_listen, &peer.server);
    if (e == OK)
        e = group_spawn(&asks, "client", client, NULL);
    if (e == OK)
        e = group_join(&asks, FOREVER);
    group_close(&asks);
    group_close(&etcd);
    sock_close(&peer.server.listener);
    tls_config_release(peer.server.tls);
    return e != OK ? e : client_result;
}

static void check(void *arg, err result)
{
    const struct sim_link *l = arg;
    if (!sim_fault_name() && !l->flip_permille && !l->reset_after_bytes)
        SIM_CHECK_ERR(result, OK);
    SIM_CHECK(result == OK || l->flip_permille || err_retry(result) == RETRY_LATER);
}

static const struct sim_link plain = {.delay_ms = 1}, narrow = {.window_bytes = 700},
                             slow = {.bytes_per_s = 20000, .delay_ms = 30}, flipping = {.flip_permille = 30},
                             resetting = {.reset_after_bytes = 2500}, resetting_late = {.reset_after_bytes = 20000},
                             whole = {.whole = true};
#define CASE(link_)                                                                                                              \
    {                                                                                                                            \
        .name = "tls_" #link_, .setup = setup, .run = run, .check = check, .arg = (void *)(uintptr_t) & (link_), .fibers = true  \
    }
static const struct sim_case cases[] = {CASE(plain),    CASE(narrow),    CASE(slow),
                                        CASE(flipping), CASE(resetting), CASE(resetting_late)};
static const struct sim_case faults = {.name = "tls_faults",
                                       .setup = setup,
                                       .run = run,
                                       .check = check,
                                       .arg = (void *)(uintptr_t)&whole,
                                       .fibers = true,
                                       .faults_max = 500};

static void every_link(void **state)
{
    (void)state;
    assert_true(certs_make()); /* openssl is part of the set-up */
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(sim_seeds(&cases[i], SEEDS));
}

static void each_fault(void **state)
{
    (void)state;
    assert_true(certs_make()); /* openssl is part of the set-up */
    assert_true(sim_each_fault(&faults));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_link), cmocka_unit_test(each_fault)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
