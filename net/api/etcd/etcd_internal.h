/* etcd_internal: what etcd*.c share.   Layer   api, private.   Owner, blocking, memory, errors: as etcd.h says. */
#ifndef HOLDFAST_ETCD_INTERNAL_H
#define HOLDFAST_ETCD_INTERNAL_H

#include "board/rt/buf.h"
#include "net/api/etcd/etcd.h"
#include "net/format/pb.h"
#include "net/format/url.h"

struct etcd {
    struct etcd_options options;
    struct h2 *h2;        /* NULL: not connected */
    const char *endpoint; /* of options.endpoints, or "" */
    int64_t expires_s;    /* of the server's certificate; 0: none */
};

/* gRPC's status OUT_OF_RANGE (grpc/doc/statuscodes.md); etcd's ErrGRPCCompacted and ErrGRPCFutureRev */
#define ETCD_OUT_OF_RANGE 11

/* One call; the caller releases the answer. */
MUST_USE err etcd_unary(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out);
/* The same where OUT_OF_RANGE means that a revision is not there: E_ABSENT. */
MUST_USE err etcd_unary_at(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out);
/* A call whose answer has nothing that is wanted. */
MUST_USE err etcd_order(struct etcd *e, const char *path, const struct pb_writer *request, ms deadline);
MUST_USE err etcd_try(struct etcd *e, unsigned endpoint, ms deadline,
                      struct etcd_status *out); /* no learner; a failure is logged */

#endif
