/* etcd_snapshot: Maintenance/Snapshot, message by message. */
#include "net/api/etcd/etcd_internal.h"

#include "net/format/pb.h"

#include <stdlib.h>

struct etcd_snapshot {
    struct etcd *etcd;
    struct grpc_call *call;
    uint8_t message[ETCD_MESSAGE_BYTES_MAX];
};

err etcd_snapshot_start(struct etcd *e, ms deadline, struct etcd_snapshot **out)
{
    *out = NULL;
    if (!e->h2)
        return trail(E_INVALID, "snapshot: not connected");
    struct etcd_snapshot *s = malloc(sizeof *s);
    if (!s)
        return E_BUDGET;
    s->etcd = e;
    err r = grpc_start(e->h2, "/etcdserverpb.Maintenance/Snapshot", NULL, 0, (struct bytes){0}, deadline, &s->call);
    if (r != OK) {
        free(s);
        return trail(r, "etcd %s", etcd_endpoint(e));
    }
    *out = s;
    return OK;
}

err etcd_snapshot_next(struct etcd_snapshot *s, ms idle_ms, struct bytes *blob, uint64_t *remaining_bytes, bool *more)
{
    size_t len = 0;
    *blob = (struct bytes){0};
    *remaining_bytes = 0; /* absent in the last message */
    grpc_limit_idle(s->call, idle_ms);
    err r = grpc_receive(s->call, s->message, sizeof s->message, FOREVER, &len, more);
    if (r != OK)
        return trail(r, "etcd %s", etcd_endpoint(s->etcd));
    if (!*more)
        return OK;
    struct pb_field f;
    struct pb_reader reader = pb_read((struct bytes){s->message, len});
    while (pb_next(&reader, &f)) {
        if (f.number == 2)
            *remaining_bytes = pb_u64(&reader, &f);
        else if (f.number == 3)
            *blob = pb_bytes(&reader, &f);
    }
    return reader.error == OK ? OK : trail(reader.error, "etcd %s: unreadable snapshot message", etcd_endpoint(s->etcd));
}

void etcd_snapshot_end(struct etcd_snapshot *s)
{
    if (!s)
        return;
    grpc_end(s->call);
    free(s);
}
