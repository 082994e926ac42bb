/* talos_internal: what talos*.c share.   Layer   api, private.   Owner, blocking, memory, errors: as talos.h says. */
#ifndef HOLDFAST_TALOS_INTERNAL_H
#define HOLDFAST_TALOS_INTERNAL_H

#include "board/rt/buf.h"
#include "net/api/talos/talos.h"
#include "net/format/pb.h"

#define TALOS_BACKUP   "os:etcd:backup"
#define TALOS_READER   "os:reader"
#define TALOS_OPERATOR "os:operator"

/* Of machine.MachineService: the name, the least role that may call it, and which of a certificate's roles may. */
#define TALOS_CALLS(X)                                                                                                           \
    X(EtcdSnapshot, TALOS_BACKUP, "os:etcd:backup, os:operator or os:admin")                                                     \
    X(EtcdStatus, TALOS_BACKUP, "os:etcd:backup, os:reader, os:operator or os:admin")                                            \
    X(EtcdAlarmList, TALOS_BACKUP, "os:etcd:backup, os:reader, os:operator or os:admin")                                         \
    X(EtcdMemberList, TALOS_BACKUP, "os:etcd:backup, os:reader, os:operator or os:admin")                                        \
    X(Version, TALOS_READER, "os:reader, os:operator or os:admin")                                                               \
    X(EtcdDefragment, TALOS_OPERATOR, "os:operator or os:admin")                                                                 \
    X(EtcdAlarmDisarm, TALOS_OPERATOR, "os:operator or os:admin")
enum talos_call {
#define X(name, role, roles) TALOS_##name,
    TALOS_CALLS(X)
#undef X
};

struct talos {
    struct talos_options options; /* socket: NULL when it is TCP */
    struct h2 *h2;                /* NULL: not connected */
};

struct talos_host {
    char name[TALOS_URL_MAX];
    uint16_t port;
    char authority[TALOS_URL_MAX + sizeof "[]:65535" - 1]; /* as HTTP has it */
};
/* An endpoint as people write it. E_CONFIG. */
MUST_USE err talos_host_read(const char *endpoint, struct talos_host *out);

/* Begins a call. Whatever fails of it, here or later, is told by talos_failed(). */
MUST_USE err talos_start(struct talos *t, enum talos_call which, ms deadline, struct grpc_call **out);
MUST_USE err talos_failed(const struct talos *t, enum talos_call which, err e);
/* One answer; the caller releases it. */
MUST_USE err talos_unary(struct talos *t, enum talos_call which, ms deadline, struct buf **out);
/* common.Metadata{hostname=1; error=2}: E_REMOTE with the error's words when there is one. */
MUST_USE err talos_metadata(struct bytes message);

#endif
