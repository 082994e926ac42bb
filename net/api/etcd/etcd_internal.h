/* etcd_internal: what etcd*.c share.   Layer   api, private.   Owner, blocking, memory, errors: as etcd.h says. */
#ifndef HOLDFAST_ETCD_INTERNAL_H
#define HOLDFAST_ETCD_INTERNAL_H

#include "board/rt/buf.h"
#include "net/api/etcd/etcd.h"
#include "net/format/url.h"

struct etcd {
    struct etcd_options options;
    struct h2 *h2;        /* NULL: not connected */
    const char *endpoint; /* of options.endpoints, or "" */
};

/* One call; the caller releases the answer. */
MUST_USE err etcd_unary(struct etcd *e, const char *path, struct bytes request, ms deadline, struct buf **out);

#endif
