/* etcd_maintenance: alarms, the hash of the keys at a revision, and what makes a database small again. Field numbers: etcd
 * api/etcdserverpb/rpc.proto. */
#include "net/api/etcd/etcd_internal.h"

#include "net/format/pb.h"

#define REQUEST_MAX 40 /* three varints and their tags */

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

err etcd_hash_kv(struct etcd *e, int64_t revision, ms deadline, struct etcd_hash_kv *out)
{
    uint8_t storage[REQUEST_MAX];
    struct buf *answer = NULL;
    struct bytes request;
    *out = (struct etcd_hash_kv){0};
    if (!e->h2 || revision <= 0) /* 0 would be etcd's "as it is now" */
        return trail(E_INVALID, e->h2 ? "HashKV at revision %lld" : "HashKV at %lld: not connected", (long long)revision);
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, revision); /* HashKVRequest */
    TRY(pb_written(&w, &request));
    err r = etcd_unary_at(e, "/etcdserverpb.Maintenance/HashKV", request, deadline, &answer);
    if (r == OK)
        r = hash_kv_read((struct bytes){answer->at, answer->len}, out);
    buf_release(answer);
    return r == OK ? OK : trail(r, "HashKV at revision %lld", (long long)revision);
}

#define DEACTIVATE 2 /* AlarmRequest.AlarmAction */

err etcd_alarm_disarm(struct etcd *e, const struct etcd_alarm *a, ms deadline)
{
    uint8_t storage[REQUEST_MAX];
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_u64(&w, 1, DEACTIVATE); /* AlarmRequest */
    pb_put_u64(&w, 2, a->member_id);
    pb_put_u64(&w, 3, (uint64_t)a->kind);
    return etcd_order(e, "/etcdserverpb.Maintenance/Alarm", &w, deadline);
}

err etcd_defragment(struct etcd *e, ms deadline)
{
    struct pb_writer nothing = pb_write_over(NULL, 0);
    return etcd_order(e, "/etcdserverpb.Maintenance/Defragment", &nothing, deadline);
}

err etcd_move_leader(struct etcd *e, uint64_t to_member_id, ms deadline)
{
    uint8_t storage[REQUEST_MAX];
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_u64(&w, 1, to_member_id); /* MoveLeaderRequest.targetID */
    return etcd_order(e, "/etcdserverpb.Maintenance/MoveLeader", &w, deadline);
}

err etcd_compact(struct etcd *e, int64_t revision, ms deadline)
{
    uint8_t storage[REQUEST_MAX];
    struct buf *answer = NULL;
    struct bytes request;
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, revision); /* CompactionRequest */
    pb_put_bool(&w, 2, true);    /* physical */
    TRY(pb_written(&w, &request));
    err r = etcd_unary_at(e, "/etcdserverpb.KV/Compact", request, deadline, &answer);
    buf_release(answer);
    return r == OK ? OK : trail(r, "compaction to revision %lld", (long long)revision);
}
