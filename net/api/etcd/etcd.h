/* etcd: the part of etcd v3's gRPC API that a guardian needs. etcdserverpb, etcd 3.4 to 3.7.
 *
 * Layer    api.                                     Blocks   parks the fiber.
 * Owner    the caller owns the client and its       Memory   the current task's heap: one connection, and for a snapshot its
 *          snapshot streams.                                 window (ETCD_WINDOW_BYTES) and one message buffer.
 * Errors   each names the endpoint and the call in the trail; of several endpoints what all of them failed of, else
 *          E_UNREACHABLE (each is logged with its own reason). */
#ifndef HOLDFAST_ETCD_H
#define HOLDFAST_ETCD_H

#include "net/proto/dns.h"
#include "net/proto/grpc.h"
#include "net/proto/tls.h"

#define ETCD_ENDPOINTS_MAX     8
#define ETCD_URL_MAX           256
#define ETCD_MEMBERS_MAX       16
#define ETCD_TEXT_MAX          64
#define ETCD_WINDOW_BYTES      KIB(512)
#define ETCD_MESSAGE_BYTES_MAX KIB(64) /* a snapshot's blobs are 32 KiB; status and member list are smaller */

struct etcd_options {
    const char *endpoints[ETCD_ENDPOINTS_MAX]; /* "https://127.0.0.1:2379"; borrowed until etcd_close() */
    unsigned endpoint_count;
    struct tls_config *tls; /* required for https endpoints; a reference is taken */
    struct dns *dns;
};

struct etcd; /* one client: knows the endpoints, holds at most one connection */
MUST_USE err etcd_open(const struct etcd_options *o, struct etcd **out); /* connects to nobody yet */
void etcd_close(struct etcd *e);                                         /* NULL is fine */

struct etcd_status {
    uint64_t cluster_id, member_id, leader_id; /* header.cluster_id, header.member_id, leader */
    int64_t revision;                          /* header.revision */
    char version[ETCD_TEXT_MAX];
    int64_t db_bytes, db_in_use_bytes; /* dbSize, dbSizeInUse (0 before 3.4) */
    uint64_t raft_term, raft_index;
    bool is_learner;
    unsigned error_count; /* alarms the member reports of itself */
};
struct etcd_member {
    uint64_t id;
    char name[ETCD_TEXT_MAX];
    char client_url[ETCD_URL_MAX]; /* the first; "" when it has not started */
    bool is_learner;
};

/* Connects to one endpoint (index < endpoint_count), ending an earlier connection, and asks its Status. */
MUST_USE err etcd_connect(struct etcd *e, unsigned endpoint, ms deadline, struct etcd_status *out);
/* Tries the endpoints in turn until one answers and is no learner. Each that does not is logged with its reason. */
MUST_USE err etcd_connect_any(struct etcd *e, ms deadline, struct etcd_status *out);
const char *etcd_endpoint(const struct etcd *e); /* the connected one, or "" */
MUST_USE err etcd_member_list(struct etcd *e, ms deadline, struct etcd_member *out, unsigned cap, unsigned *count);

/* Maintenance/Alarm with action GET: what the members raise. *count may be larger than cap; as many as fit are given. */
enum etcd_alarm_kind { ETCD_ALARM_NONE, ETCD_ALARM_NOSPACE, ETCD_ALARM_CORRUPT };
struct etcd_alarm {
    uint64_t member_id;
    enum etcd_alarm_kind kind;
};
MUST_USE err etcd_alarm_list(struct etcd *e, ms deadline, struct etcd_alarm *out, unsigned cap, unsigned *count);
const char *etcd_alarm_name(enum etcd_alarm_kind k); /* "NOSPACE"; static */

/* Maintenance/HashKV of the connected member at `revision`. E_ABSENT: it has compacted it away, or is not there yet. */
struct etcd_hash_kv {
    uint32_t hash;
    int64_t compact_revision; /* -1 or 0: never compacted */
};
MUST_USE err etcd_hash_kv(struct etcd *e, int64_t revision, ms deadline, struct etcd_hash_kv *out);

/* --- snapshot: Maintenance/Snapshot, a stream of SnapshotResponse{remaining_bytes=2, blob=3}; the last blob is the SHA-256 of
 * all before --- */
struct etcd_snapshot;
MUST_USE err etcd_snapshot_start(struct etcd *e, ms deadline, struct etcd_snapshot **out);
/* The next piece: *blob is a view valid until the next call; *more false: the stream ended well. E_TIMEOUT: no byte came for
 * idle_ms, or the deadline of the whole passed. */
MUST_USE err etcd_snapshot_next(struct etcd_snapshot *s, ms idle_ms, struct bytes *blob, uint64_t *remaining_bytes, bool *more);
void etcd_snapshot_end(struct etcd_snapshot *s); /* cancels when it still runs; NULL is fine */

#endif
