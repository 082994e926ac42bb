/* tls_pair: both sides of TLS in one process over a pipe, for tests/unit/test_tls*.c.
 *
 * Layer    tests.   Owner   the caller; pair_close() whatever came of it.   Memory   the side's task: TASK_METRICS the server's.
 * Blocks   parks the fiber, SOON at most.   Errors   a failed CHECK(); the handshake's own in connected and accepted. */
#ifndef HOLDFAST_TEST_TLS_PAIR_H
#define HOLDFAST_TEST_TLS_PAIR_H

#include "tests/unit/check.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/proto/tls.h"
#include "tests/support/certs.h"
#include "tests/support/pipe.h"

#include <string.h>

#define SOON (loop_now() + SECONDS(60))
#define NO   CERT_COUNT

struct side { /* what one side is given */
    enum cert trust, chain, key;
    enum tls_version least, most;
    const char *const *alpn;
};
struct pair {
    struct pipe pipe;
    struct group group;
    struct tls_config *server_config, *client_config;
    struct stream *server, *client;
    err accepted, connected;
};

static inline err config_open(const struct side *s, bool server, struct tls_config **out)
{
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    struct secret key = {0};
    err e = OK;
    if (s->chain != NO)
        key = cert_key(s->key);
    if (s->trust != NO)
        e = tls_trust_parse(cert(s->trust), &trust);
    if (e == OK && s->chain != NO)
        e = tls_identity_parse(cert(s->chain), key, &identity);
    if (e == OK)
        e = tls_config_open(&(struct tls_options){server, trust, identity, s->least, s->most, s->alpn}, out);
    tls_trust_release(trust);
    tls_identity_release(identity);
    return e;
}

static inline err accept_side(void *arg)
{
    struct pair *p = arg;
    p->accepted = tls_accept(p->server_config, pipe_stream(&p->pipe, 1), SOON, &p->server);
    return OK;
}

static inline void pair_open(struct pair *p, const struct side *server, const struct side *client, const char *host)
{
    *p = (struct pair){0};
    CHECK(config_open(server, true, &p->server_config) == OK);
    CHECK(config_open(client, false, &p->client_config) == OK);
    CHECK(pipe_open(&p->pipe, 4096) == OK);
    group_open(&p->group, TASK_METRICS);
    CHECK(group_spawn(&p->group, "server", accept_side, p) == OK);
    p->connected = tls_connect(p->client_config, pipe_stream(&p->pipe, 0), host, SOON, &p->client);
    CHECK(group_join(&p->group, SOON) == OK);
}

static inline void pair_close(struct pair *p)
{
    group_close(&p->group);
    stream_close(p->client);
    stream_close(p->server);
    tls_config_release(p->client_config);
    tls_config_release(p->server_config);
}

static inline err echo(void *arg)
{
    struct pair *p = arg;
    uint8_t piece[16];
    size_t got = 0;
    for (;;) {
        err e = stream_read(p->server, piece, sizeof piece, SOON, &got);
        if (e == OK && got > 0)
            e = stream_write(p->server, piece, got, SOON);
        if (e != OK || got == 0)
            return p->accepted = e;
    }
}

/* A peer that refuses us says why before it hangs up, so that is read also when the write fails. */
static inline err ask(struct stream *s)
{
    char back[4];
    err e = stream_write(s, "ping", 4, SOON);
    if (e != OK && e != E_RESET && e != E_CLOSED)
        return e;
    TRY(stream_read_full(s, back, 4, SOON));
    return memcmp(back, "ping", 4) == 0 ? OK : E_CORRUPT;
}

static const struct side server_plain = {NO, CERT_SERVER, CERT_SERVER_KEY, TLS_ANY, TLS_ANY, NULL};
static const struct side client_plain = {CERT_CA, NO, NO, TLS_ANY, TLS_ANY, NULL};

/* Of each test: openssl is part of the set-up. */
static inline void run(err (*body)(void *arg))
{
    assert_true(certs_make());
    fibers_run(body, NULL, OK);
}

static inline int boot(void **state)
{
    (void)state;
    if (mem_boot(&profile_edge16, MEM_LAZY) != OK || buf_boot() != OK)
        return -1;
    return 0;
}

#endif
