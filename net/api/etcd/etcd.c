/* etcd: connection and unary calls. */
#include "net/api/etcd/etcd_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX KIB(16) /* a status is about 100 bytes, a member about 200 */
#define CLIENT_PORT      2379    /* IANA etcd-client */
#define CONNECT_MS_MAX   SECONDS(10)

err etcd_open(const struct etcd_options *o, struct etcd **out)
{
    *out = NULL;
    if (o->endpoint_count == 0 || o->endpoint_count > ETCD_ENDPOINTS_MAX)
        return trail(E_INVALID, "%u etcd endpoints; 1 to %d can be used", o->endpoint_count, ETCD_ENDPOINTS_MAX);
    struct etcd *e = calloc(1, sizeof *e);
    if (!e)
        return E_BUDGET;
    e->options = *o;
    if (e->options.tls)
        (void)tls_config_share(e->options.tls);
    *out = e;
    return OK;
}

void etcd_disconnect(struct etcd *e)
{
    h2_close(e->h2);
    e->h2 = NULL;
    e->endpoint = "";
    e->expires_s = 0;
}

void etcd_close(struct etcd *e)
{
    if (!e)
        return;
    etcd_disconnect(e);
    tls_config_release(e->options.tls);
    free(e);
}

const char *etcd_endpoint(const struct etcd *e)
{
    return e->endpoint ? e->endpoint : "";
}

unsigned etcd_endpoint_count(const struct etcd *e)
{
    return e->options.endpoint_count;
}

const char *etcd_endpoint_name(const struct etcd *e, unsigned endpoint)
{
    ASSERT(endpoint < e->options.endpoint_count);
    return e->options.endpoints[endpoint];
}

int64_t etcd_server_expires_s(const struct etcd *e)
{
    return e->expires_s;
}

static err secure(struct etcd *e, const struct url *u, ms deadline, struct stream **s)
{
    if (!e->options.tls) {
        stream_close(*s);
        return trail(E_CONFIG, "an https endpoint needs backup.etcd.ca");
    }
    TRY(tls_connect(e->options.tls, *s, u->host, deadline, s));
    const char *chosen = tls_alpn(*s);
    if (!chosen || strcmp(chosen, "h2") != 0) {
        stream_close(*s);
        return trail(E_PROTOCOL, "the server does not speak HTTP/2 here (no ALPN h2): is this etcd's client port?");
    }
    return OK;
}

static err dial(struct etcd *e, const char *endpoint, ms deadline)
{
    struct url u;
    char authority[URL_AUTHORITY_MAX];
    struct stream *s = NULL;
    TRY(url_parse(endpoint, &u));
    if (!u.port_told)
        u.port = CLIENT_PORT;
    url_authority(&u, authority, sizeof authority);
    TRY(dns_connect(e->options.dns, u.host, u.port, deadline, &s));
    if (u.tls)
        TRY(secure(e, &u, deadline, &s));
    e->expires_s = u.tls ? tls_peer_expires_s(s) : 0;
    size_t window = e->options.window_bytes ? e->options.window_bytes : ETCD_WINDOW_BYTES;
    return h2_open(s, u.tls ? "https" : "http", authority, window, deadline, &e->h2);
}

/* One message and a status. at_revision: OUT_OF_RANGE tells that the revision is not there, which no other status does. */
static err receive_one(struct grpc_call *c, struct buf *answer, bool at_revision, ms deadline)
{
    uint8_t extra[1];
    size_t extra_len = 0;
    const char *words;
    bool more = false;
    err r = grpc_receive(c, answer->at, answer->cap, deadline, &answer->len, &more);
    if (at_revision && grpc_status(c, &words) == ETCD_OUT_OF_RANGE)
        return trail(E_ABSENT, "%s", words);
    TRY(r);
    if (!more)
        return trail(E_PROTOCOL, "status OK and no answer");
    r = grpc_receive(c, extra, sizeof extra, deadline, &extra_len, &more);
    return (r == OK && more) || r == E_RANGE ? trail(E_PROTOCOL, "two answers to one request") : r;
}

static err call(struct etcd *e, const char *path, struct bytes request, bool at_revision, ms deadline, struct buf **out)
{
    struct grpc_call *c = NULL;
    struct buf *answer = NULL;
    *out = NULL;
    if (!e->h2)
        return trail(E_INVALID, "%s: not connected", path);
    TRY(buf_wait(ANSWER_BYTES_MAX, deadline, &answer));
    err r = grpc_start(e->h2, path, NULL, 0, request, deadline, &c);
    if (r == OK)
        r = receive_one(c, answer, at_revision, deadline);
    grpc_end(c);
    if (r == OK)
        *out = answer;
    else
        buf_release(answer);
    return r == OK ? OK : trail(r, r == E_TIMEOUT ? "etcd %s does not answer" : "etcd %s", etcd_endpoint(e));
}

err etcd_unary(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out)
{
    return call(e, path, request, false, deadline, out);
}

err etcd_unary_at(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out)
{
    return call(e, path, request, true, deadline, out);
}

err etcd_order(struct etcd *e, const char *path, const struct pb_writer *request, ms deadline)
{
    struct buf *answer = NULL;
    struct bytes message;
    TRY(pb_written(request, &message));
    err r = etcd_unary(e, path, message, deadline, &answer);
    buf_release(answer);
    return r;
}

err etcd_connect(struct etcd *e, unsigned endpoint, ms deadline, struct etcd_status *out)
{
    ASSERT(endpoint < e->options.endpoint_count);
    etcd_disconnect(e);
    const char *name = e->options.endpoints[endpoint];
    ms until = ms_min(deadline, loop_now() + CONNECT_MS_MAX);
    err r = dial(e, name, until);
    if (r != OK)
        return trail(r, "connecting to etcd %s", name);
    e->endpoint = name;
    r = etcd_status(e, until, out);
    if (r != OK)
        etcd_disconnect(e);
    return r;
}

err etcd_try(struct etcd *e, unsigned endpoint, ms deadline, struct etcd_status *out)
{
    err r = etcd_connect(e, endpoint, deadline, out);
    if (r == OK && out->is_learner) {
        log_warn("etcd member passed over: it is a learner", F("endpoint", e->options.endpoints[endpoint]));
        etcd_disconnect(e);
        return trail(E_UNREACHABLE, "etcd %s is a learner", e->options.endpoints[endpoint]);
    }
    if (r != OK && r != E_CANCELED && e->options.endpoint_count > 1)
        log_warn("etcd endpoint does not answer", F("endpoint", e->options.endpoints[endpoint]), F_ERR(r));
    return r;
}

err etcd_connect_any(struct etcd *e, ms deadline, struct etcd_status *out)
{
    err common = OK; /* what all of them failed of */
    for (unsigned i = 0; i < e->options.endpoint_count; i++) {
        err r = etcd_try(e, i, deadline, out);
        if (r == OK || r == E_CANCELED)
            return r;
        common = common == OK || common == r ? r : E_UNREACHABLE;
        pulse_beat(mem_task(), loop_now()); /* each may take CONNECT_MS_MAX, and each was looked at */
    }
    return e->options.endpoint_count == 1 ? common : trail(common, "no etcd endpoint can be used");
}
