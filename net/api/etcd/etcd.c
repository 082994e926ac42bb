/* etcd: connection and unary calls. Field numbers: etcd api/etcdserverpb/rpc.proto. */
#include "net/api/etcd/etcd_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"
#include "board/rt/text.h"
#include "net/format/pb.h"

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

static void disconnect(struct etcd *e)
{
    h2_close(e->h2);
    e->h2 = NULL;
    e->endpoint = "";
}

void etcd_close(struct etcd *e)
{
    if (!e)
        return;
    disconnect(e);
    tls_config_release(e->options.tls);
    free(e);
}

const char *etcd_endpoint(const struct etcd *e)
{
    return e->endpoint ? e->endpoint : "";
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
    return h2_open(s, u.tls ? "https" : "http", authority, ETCD_WINDOW_BYTES, deadline, &e->h2);
}

err etcd_unary(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out)
{
    *out = NULL;
    if (!e->h2)
        return trail(E_INVALID, "%s: not connected", path);
    struct buf *answer = NULL;
    TRY(buf_wait(ANSWER_BYTES_MAX, deadline, &answer));
    err r = grpc_unary(e->h2, path, NULL, 0, request, answer->at, answer->cap, deadline, &answer->len);
    if (r != OK) {
        buf_release(answer);
        return trail(r, r == E_TIMEOUT ? "etcd %s does not answer" : "etcd %s", etcd_endpoint(e));
    }
    *out = answer;
    return OK;
}

static void text_field(struct pb_reader *r, const struct pb_field *f, char *out, size_t cap)
{
    struct bytes b = pb_bytes(r, f);
    struct text t = text_over(out, cap);
    text_add_bytes(&t, b);
}

static err header_read(struct bytes message, struct etcd_status *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f))
        switch (f.number) { /* ResponseHeader */
        case 1:
            out->cluster_id = pb_u64(&r, &f);
            break;
        case 2:
            out->member_id = pb_u64(&r, &f);
            break;
        case 3:
            out->revision = pb_i64(&r, &f);
            break;
        default:
            break;
        }
    return r.error;
}

static void status_field(struct pb_reader *r, const struct pb_field *f, struct etcd_status *out)
{
    switch (f->number) { /* StatusResponse */
    case 1:
        if (header_read(pb_bytes(r, f), out) != OK)
            r->error = E_PROTOCOL;
        break;
    case 2:
        text_field(r, f, out->version, sizeof out->version);
        break;
    case 3:
        out->db_bytes = pb_i64(r, f);
        break;
    case 4:
        out->leader_id = pb_u64(r, f);
        break;
    case 5:
        out->raft_index = pb_u64(r, f);
        break;
    case 6:
        out->raft_term = pb_u64(r, f);
        break;
    case 8:
        out->error_count++;
        break;
    case 9:
        out->db_in_use_bytes = pb_i64(r, f);
        break;
    case 10:
        out->is_learner = pb_bool(r, f);
        break;
    default:
        break;
    }
}

static err status(struct etcd *e, ms deadline, struct etcd_status *out)
{
    struct buf *answer = NULL;
    *out = (struct etcd_status){0};
    TRY(etcd_unary(e, "/etcdserverpb.Maintenance/Status", (struct bytes){0}, deadline, &answer));
    struct pb_field f;
    struct pb_reader r = pb_read((struct bytes){answer->at, answer->len});
    while (pb_next(&r, &f))
        status_field(&r, &f, out);
    buf_release(answer);
    return r.error == OK ? OK : trail(r.error, "etcd %s: unreadable Status answer", etcd_endpoint(e));
}

err etcd_connect(struct etcd *e, unsigned endpoint, ms deadline, struct etcd_status *out)
{
    ASSERT(endpoint < e->options.endpoint_count);
    disconnect(e);
    const char *name = e->options.endpoints[endpoint];
    ms until = ms_min(deadline, loop_now() + CONNECT_MS_MAX);
    err r = dial(e, name, until);
    if (r != OK)
        return trail(r, "connecting to etcd %s", name);
    e->endpoint = name;
    r = status(e, until, out);
    if (r != OK)
        disconnect(e);
    return r;
}

static err try_one(struct etcd *e, unsigned i, ms deadline, struct etcd_status *out)
{
    err r = etcd_connect(e, i, deadline, out);
    if (r == OK && out->is_learner) {
        log_warn("etcd member passed over: it is a learner", F("endpoint", e->options.endpoints[i]));
        disconnect(e);
        return trail(E_UNREACHABLE, "etcd %s is a learner", e->options.endpoints[i]);
    }
    if (r != OK && r != E_CANCELED && e->options.endpoint_count > 1)
        log_warn("etcd endpoint does not answer", F("endpoint", e->options.endpoints[i]), F_ERR(r));
    return r;
}

err etcd_connect_any(struct etcd *e, ms deadline, struct etcd_status *out)
{
    err common = OK; /* what all of them failed of */
    for (unsigned i = 0; i < e->options.endpoint_count; i++) {
        err r = try_one(e, i, deadline, out);
        if (r == OK || r == E_CANCELED)
            return r;
        common = common == OK || common == r ? r : E_UNREACHABLE;
        pulse_beat(mem_task(), loop_now()); /* each may take CONNECT_MS_MAX, and each was looked at */
    }
    return e->options.endpoint_count == 1 ? common : trail(common, "no etcd endpoint can be used");
}

static err member_read(struct bytes message, struct etcd_member *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    *out = (struct etcd_member){0};
    while (pb_next(&r, &f))
        switch (f.number) { /* Member */
        case 1:
            out->id = pb_u64(&r, &f);
            break;
        case 2:
            text_field(&r, &f, out->name, sizeof out->name);
            break;
        case 4:
            if (!out->client_url[0])
                text_field(&r, &f, out->client_url, sizeof out->client_url);
            break;
        case 5:
            out->is_learner = pb_bool(&r, &f);
            break;
        default:
            break;
        }
    return r.error;
}

err etcd_member_list(struct etcd *e, ms deadline, struct etcd_member *out, unsigned cap, unsigned *count)
{
    struct buf *answer = NULL;
    *count = 0;
    TRY(etcd_unary(e, "/etcdserverpb.Cluster/MemberList", (struct bytes){0}, deadline, &answer));
    struct pb_field f;
    struct pb_reader r = pb_read((struct bytes){answer->at, answer->len});
    err error = OK;
    while (error == OK && pb_next(&r, &f)) {
        if (f.number != 2) /* MemberListResponse.members */
            continue;
        error = *count < cap ? member_read(pb_bytes(&r, &f), &out[*count]) : trail(E_RANGE, "more than %u etcd members", cap);
        *count += error == OK;
    }
    buf_release(answer);
    return error != OK ? error : r.error;
}
