/* etcd_maintenance: alarms, and the hash of the keys at a revision. Field numbers: etcd api/etcdserverpb/rpc.proto. */
#include "net/api/etcd/etcd_internal.h"

#include "net/format/pb.h"

#define GRPC_OUT_OF_RANGE   11 /* grpc/doc/statuscodes.md; etcd's ErrGRPCCompacted and ErrGRPCFutureRev */
#define HASH_KV_BYTES_MAX   256
#define HASH_KV_REQUEST_MAX 16

static const char *const alarm_names[] = {
    [ETCD_ALARM_NONE] = "NONE", [ETCD_ALARM_NOSPACE] = "NOSPACE", [ETCD_ALARM_CORRUPT] = "CORRUPT"};

const char *etcd_alarm_name(enum etcd_alarm_kind k)
{
    return (size_t)k < COUNT_OF(alarm_names) ? alarm_names[k] : "unknown";
}

static err alarm_read(struct bytes message, struct etcd_alarm *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    *out = (struct etcd_alarm){0};
    while (pb_next(&r, &f))
        if (f.number == 1) /* AlarmMember */
            out->member_id = pb_u64(&r, &f);
        else if (f.number == 2)
            out->kind = (enum etcd_alarm_kind)pb_u64(&r, &f);
    return r.error;
}

static err alarms_read(struct bytes message, struct etcd_alarm *out, unsigned cap, unsigned *count)
{
    struct etcd_alarm one;
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f)) {
        if (f.number != 2) /* AlarmResponse.alarms */
            continue;
        TRY(alarm_read(pb_bytes(&r, &f), &one));
        if (*count < cap)
            out[*count] = one;
        ++*count;
    }
    return r.error;
}

err etcd_alarm_list(struct etcd *e, ms deadline, struct etcd_alarm *out, unsigned cap, unsigned *count)
{
    struct buf *answer = NULL;
    *count = 0;
    /* AlarmRequest: action GET is 0, member 0 is all, alarm NONE is any; so the request is empty */
    TRY(etcd_unary(e, "/etcdserverpb.Maintenance/Alarm", (struct bytes){0}, deadline, &answer));
    err r = alarms_read((struct bytes){answer->at, answer->len}, out, cap, count);
    buf_release(answer);
    return r == OK ? OK : trail(r, "etcd %s: unreadable Alarm answer", etcd_endpoint(e));
}

static err hash_kv_read(struct bytes message, struct etcd_hash_kv *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f))
        if (f.number == 2) /* HashKVResponse */
            out->hash = (uint32_t)pb_u64(&r, &f);
        else if (f.number == 3)
            out->compact_revision = pb_i64(&r, &f);
    return r.error;
}

/* One message and a status; OUT_OF_RANGE tells that the revision is not there, which no other status does. */
static err hash_kv_receive(struct grpc_call *c, ms deadline, struct etcd_hash_kv *out)
{
    uint8_t message[HASH_KV_BYTES_MAX], extra[1];
    size_t len = 0, extra_len = 0;
    const char *words;
    bool more = false;
    err e = grpc_receive(c, message, sizeof message, deadline, &len, &more);
    if (grpc_status(c, &words) == GRPC_OUT_OF_RANGE)
        return trail(E_ABSENT, "%s", words);
    TRY(e);
    if (!more)
        return trail(E_PROTOCOL, "HashKV: status OK and no answer");
    TRY(hash_kv_read((struct bytes){message, len}, out));
    e = grpc_receive(c, extra, sizeof extra, deadline, &extra_len, &more);
    return (e == OK && more) || e == E_RANGE ? trail(E_PROTOCOL, "HashKV: two answers to one request") : e;
}

err etcd_hash_kv(struct etcd *e, int64_t revision, ms deadline, struct etcd_hash_kv *out)
{
    uint8_t storage[HASH_KV_REQUEST_MAX];
    struct grpc_call *call = NULL;
    struct bytes request;
    *out = (struct etcd_hash_kv){0};
    if (!e->h2 || revision <= 0) /* 0 would be etcd's "as it is now" */
        return trail(E_INVALID, e->h2 ? "HashKV at revision %lld" : "HashKV at %lld: not connected", (long long)revision);
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, revision); /* HashKVRequest */
    TRY(pb_written(&w, &request));
    err r = grpc_start(e->h2, "/etcdserverpb.Maintenance/HashKV", NULL, 0, request, deadline, &call);
    if (r == OK)
        r = hash_kv_receive(call, deadline, out);
    grpc_end(call);
    return r == OK ? OK : trail(r, "etcd %s: HashKV at revision %lld", etcd_endpoint(e), (long long)revision);
}
