/* talos_snapshot: EtcdSnapshot, message by message. */
#include "net/api/talos/talos_internal.h"

#include <stdlib.h>

struct talos_snapshot {
    struct talos *talos;
    struct grpc_call *call;
    uint8_t message[TALOS_MESSAGE_BYTES_MAX];
};

err talos_snapshot_start(struct talos *t, ms deadline, struct talos_snapshot **out)
{
    *out = NULL;
    struct talos_snapshot *s = malloc(sizeof *s);
    if (!s)
        return E_BUDGET;
    s->talos = t;
    err e = talos_start(t, TALOS_EtcdSnapshot, deadline, &s->call);
    if (e != OK) {
        free(s);
        return talos_failed(t, TALOS_EtcdSnapshot, e);
    }
    *out = s;
    return OK;
}

/* common.Data{metadata=1; bytes=2} */
static err data_read(struct bytes message, struct bytes *blob)
{
    struct pb_field f;
    struct pb_reader r = pb_read(message);
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            TRY(talos_metadata(pb_bytes(&r, &f)));
        else if (f.number == 2)
            *blob = pb_bytes(&r, &f);
    }
    return r.error == OK ? OK : trail(r.error, "unreadable snapshot message");
}

err talos_snapshot_next(struct talos_snapshot *s, ms idle_ms, struct bytes *blob, bool *more)
{
    size_t len = 0;
    *blob = (struct bytes){0};
    grpc_limit_idle(s->call, idle_ms);
    err e = grpc_receive(s->call, s->message, sizeof s->message, FOREVER, &len, more);
    if (e == OK && *more)
        e = data_read((struct bytes){s->message, len}, blob);
    return e == OK ? OK : talos_failed(s->talos, TALOS_EtcdSnapshot, e);
}

void talos_snapshot_end(struct talos_snapshot *s)
{
    if (!s)
        return;
    grpc_end(s->call);
    free(s);
}
