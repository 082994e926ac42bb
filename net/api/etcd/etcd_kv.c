/* etcd_kv: one key and its lease. Field numbers: etcd api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto. */
#include "net/api/etcd/etcd_kv.h"

#include "net/api/etcd/etcd_internal.h"

#define KEY_REQUEST_MAX (4 * ETCD_KEY_MAX + ETCD_VALUE_MAX + 64) /* a transaction names the key three times */
#define NUMBERS_MAX     32

static void value_read(struct bytes message, struct etcd_value *out, err *error)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    out->there = true;
    while (pb_next(&r, &f))
        switch (f.number) { /* mvccpb.KeyValue */
        case 2:
            out->create_revision = pb_i64(&r, &f);
            break;
        case 3:
            out->mod_revision = pb_i64(&r, &f);
            break;
        case 5:
            pb_text(&r, &f, out->value, sizeof out->value);
            break;
        case 6:
            out->lease = pb_i64(&r, &f);
            break;
        default:
            break;
        }
    *error = *error == OK ? r.error : *error;
}

static err range_read(struct bytes message, struct etcd_value *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    err error = OK;
    *out = (struct etcd_value){0};
    while (pb_next(&r, &f))
        if (f.number == 2) /* RangeResponse.kvs: one, as one key was asked for */
            value_read(pb_bytes(&r, &f), out, &error);
    return r.error != OK ? r.error : error;
}

static err unreadable(const struct etcd *e, err r, const char *what)
{
    return r == OK ? OK : trail(r, "etcd %s: unreadable %s answer", etcd_endpoint(e), what);
}

err etcd_get(struct etcd *e, const char *key, ms deadline, struct etcd_value *out)
{
    uint8_t storage[KEY_REQUEST_MAX];
    struct buf *answer = NULL;
    struct bytes request;
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    *out = (struct etcd_value){0};
    pb_put_text(&w, 1, key); /* RangeRequest */
    TRY(pb_written(&w, &request));
    TRY(etcd_unary(e, "/etcdserverpb.KV/Range", request, deadline, &answer));
    err r = range_read((struct bytes){answer->at, answer->len}, out);
    buf_release(answer);
    return unreadable(e, r, "Range");
}

/* if the key's create revision is 0: put it, else get it */
static err absent_request(struct pb_writer *w, const char *key, const char *value, int64_t lease, struct bytes *out)
{
    size_t part = pb_begin(w, 1); /* TxnRequest.compare; Compare.result EQUAL is 0 */
    pb_put_u64(w, 2, 1);          /* target CREATE */
    pb_put_text(w, 3, key);
    pb_put_i64(w, 5, 0); /* create_revision */
    pb_end(w, part);
    part = pb_begin(w, 2);       /* success */
    size_t put = pb_begin(w, 2); /* RequestOp.request_put */
    pb_put_text(w, 1, key);      /* PutRequest */
    pb_put_text(w, 2, value);
    pb_put_i64(w, 3, lease);
    pb_end(w, put);
    pb_end(w, part);
    part = pb_begin(w, 3);         /* failure */
    size_t range = pb_begin(w, 1); /* RequestOp.request_range */
    pb_put_text(w, 1, key);
    pb_end(w, range);
    pb_end(w, part);
    return pb_written(w, out);
}

static err response_read(struct bytes message, struct etcd_value *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f))
        if (f.number == 1) /* ResponseOp.response_range */
            TRY(range_read(pb_bytes(&r, &f), out));
    return r.error;
}

static err txn_read(struct bytes message, bool *ours, struct etcd_value *out)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f))
        if (f.number == 2) /* TxnResponse */
            *ours = pb_bool(&r, &f);
        else if (f.number == 3)
            TRY(response_read(pb_bytes(&r, &f), out));
    return r.error;
}

err etcd_put_absent(struct etcd *e, const char *key, const char *value, int64_t lease, ms deadline, bool *ours,
                    struct etcd_value *out)
{
    uint8_t storage[KEY_REQUEST_MAX];
    struct buf *answer = NULL;
    struct bytes request;
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    *ours = false;
    *out = (struct etcd_value){0};
    TRY(absent_request(&w, key, value, lease, &request));
    TRY(etcd_unary(e, "/etcdserverpb.KV/Txn", request, deadline, &answer));
    err r = txn_read((struct bytes){answer->at, answer->len}, ours, out);
    buf_release(answer);
    return unreadable(e, r, "Txn");
}

/* LeaseGrantResponse and LeaseKeepAliveResponse agree in these. */
static err lease_read(struct bytes message, int64_t *lease, int64_t *ttl_s)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    *lease = *ttl_s = 0;
    while (pb_next(&r, &f))
        if (f.number == 2)
            *lease = pb_i64(&r, &f);
        else if (f.number == 3)
            *ttl_s = pb_i64(&r, &f);
    return r.error;
}

static err lease_call(struct etcd *e, const char *path, const struct pb_writer *w, ms deadline, int64_t *lease, int64_t *ttl_s)
{
    struct buf *answer = NULL;
    struct bytes request;
    TRY(pb_written(w, &request));
    TRY(etcd_unary(e, path, request, deadline, &answer));
    err r = lease_read((struct bytes){answer->at, answer->len}, lease, ttl_s);
    buf_release(answer);
    return unreadable(e, r, path);
}

err etcd_lease_grant(struct etcd *e, int64_t ttl_s, ms deadline, int64_t *lease, int64_t *granted_s)
{
    uint8_t storage[NUMBERS_MAX];
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, ttl_s); /* LeaseGrantRequest; ID 0: etcd chooses */
    TRY(lease_call(e, "/etcdserverpb.Lease/LeaseGrant", &w, deadline, lease, granted_s));
    return *lease != 0 ? OK : trail(E_PROTOCOL, "etcd %s: LeaseGrant gave no lease", etcd_endpoint(e));
}

/* A stream of one message each way. */
err etcd_lease_renew(struct etcd *e, int64_t lease, ms deadline, int64_t *ttl_s)
{
    uint8_t storage[NUMBERS_MAX];
    int64_t answered = 0;
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, lease); /* LeaseKeepAliveRequest */
    TRY(lease_call(e, "/etcdserverpb.Lease/LeaseKeepAlive", &w, deadline, &answered, ttl_s));
    return *ttl_s > 0 ? OK : trail(E_ABSENT, "etcd %s: the lease has expired", etcd_endpoint(e));
}

err etcd_lease_revoke(struct etcd *e, int64_t lease, ms deadline)
{
    uint8_t storage[NUMBERS_MAX];
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_i64(&w, 1, lease); /* LeaseRevokeRequest */
    return etcd_order(e, "/etcdserverpb.Lease/LeaseRevoke", &w, deadline);
}
