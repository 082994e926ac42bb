/* etcd_kv: one key and the lease it hangs on: who holds an office. etcdserverpb KV and Lease, etcd 3.4 to 3.7.
 *
 * Layer    api.                                    Blocks   parks the fiber.
 * Owner    the caller; keys and values are         Memory   as etcd.h: no more than a unary call.
 *          borrowed during the call.               Errors   those of etcd.h; E_FULL etcd takes no new lease or value: NOSPACE. */
#ifndef HOLDFAST_ETCD_KV_H
#define HOLDFAST_ETCD_KV_H

#include "net/api/etcd/etcd.h"

#define ETCD_KEY_MAX   128
#define ETCD_VALUE_MAX 256 /* a longer one is cut */

struct etcd_value {
    bool there;
    char value[ETCD_VALUE_MAX]; /* text */
    int64_t lease;              /* 0: none */
    int64_t create_revision, mod_revision;
};
/* Linearizable: what the majority has. */
MUST_USE err etcd_get(struct etcd *e, const char *key, ms deadline, struct etcd_value *out);
/* Writes the key under the lease if it is not there (*ours), else reads it into *out. */
MUST_USE err etcd_put_absent(struct etcd *e, const char *key, const char *value, int64_t lease, ms deadline, bool *ours,
                             struct etcd_value *out);
/* What was granted may be longer than what was asked for. */
MUST_USE err etcd_lease_grant(struct etcd *e, int64_t ttl_s, ms deadline, int64_t *lease, int64_t *granted_s);
/* One LeaseKeepAlive. E_ABSENT: it has expired. */
MUST_USE err etcd_lease_renew(struct etcd *e, int64_t lease, ms deadline, int64_t *ttl_s);
/* Its keys go with it. E_ABSENT: it has gone already. */
MUST_USE err etcd_lease_revoke(struct etcd *e, int64_t lease, ms deadline);

#endif
