/* etcd_status: Status and MemberList. Field numbers: etcd api/etcdserverpb/rpc.proto. */
#include "net/api/etcd/etcd_internal.h"

#include "board/rt/text.h"

#include <string.h>

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

static void error_field(struct pb_reader *r, const struct pb_field *f, struct etcd_status *out)
{
    struct bytes words = pb_bytes(r, f);
    struct text t = text_over(out->errors + strlen(out->errors), sizeof out->errors - strlen(out->errors));
    if (out->error_count++ > 0)
        text_add(&t, "; ");
    text_add_bytes(&t, words);
}

static void status_field(struct pb_reader *r, const struct pb_field *f, struct etcd_status *out)
{
    switch (f->number) { /* StatusResponse */
    case 1:
        if (header_read(pb_bytes(r, f), out) != OK)
            r->error = E_PROTOCOL;
        break;
    case 2:
        pb_text(r, f, out->version, sizeof out->version);
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
    case 7:
        out->raft_applied = pb_u64(r, f);
        break;
    case 8:
        error_field(r, f, out);
        break;
    case 9:
        out->db_in_use_bytes = pb_i64(r, f);
        break;
    case 10:
        out->is_learner = pb_bool(r, f);
        break;
    case 11:
        pb_text(r, f, out->storage_version, sizeof out->storage_version);
        break;
    case 12:
        out->db_quota = pb_i64(r, f);
        break;
    default:
        break;
    }
}

err etcd_status(struct etcd *e, ms deadline, struct etcd_status *out)
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

bool etcd_status_is_leader(const struct etcd_status *s)
{
    return s->leader_id != 0 && s->leader_id == s->member_id;
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
            pb_text(&r, &f, out->name, sizeof out->name);
            break;
        case 4:
            if (out->client_url_count < ETCD_CLIENT_URLS_MAX)
                pb_text(&r, &f, out->client_urls[out->client_url_count++], ETCD_URL_MAX);
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
