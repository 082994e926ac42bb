/* etcd: the part of etcd v3's gRPC API that a guardian needs. etcdserverpb, etcd 3.4 to 3.7. Leases and keys: etcd_kv.h.
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
#define ETCD_CLIENT_URLS_MAX   4 /* of one member; more are let be */
#define ETCD_ERRORS_BYTES      256
#define ETCD_WINDOW_BYTES      KIB(512)
#define ETCD_SMALL_WINDOW      KIB(64) /* for who takes no snapshot */
#define ETCD_LAG_MAX           1000    /* raft entries a member may be behind the newest and be called close to it */
#define ETCD_MESSAGE_BYTES_MAX KIB(64) /* a snapshot's blobs are 32 KiB; status and member list are smaller */

struct etcd_options {
    const char *endpoints[ETCD_ENDPOINTS_MAX]; /* "https://127.0.0.1:2379"; borrowed until etcd_close() */
    unsigned endpoint_count;
    struct tls_config *tls; /* required for https endpoints; a reference is taken */
    struct dns *dns;
    size_t window_bytes; /* of one stream; 0: ETCD_WINDOW_BYTES. A stream takes of it what the answer needs */
};

struct etcd; /* one client: knows the endpoints, holds at most one connection */
MUST_USE err etcd_open(const struct etcd_options *o, struct etcd **out); /* connects to nobody yet */
void etcd_close(struct etcd *e);                                         /* NULL is fine */

struct etcd_status {
    uint64_t cluster_id, member_id, leader_id; /* header.cluster_id, header.member_id, leader */
    int64_t revision;                          /* header.revision */
    char version[ETCD_TEXT_MAX];
    char storage_version[ETCD_TEXT_MAX];         /* 3.6 and later; else "" */
    int64_t db_bytes, db_in_use_bytes, db_quota; /* dbSize, dbSizeInUse (0 before 3.4), dbSizeQuota (0 before 3.6) */
    uint64_t raft_term, raft_index, raft_applied;
    bool is_learner;
    unsigned error_count;           /* what it says is wrong: no leader, and the alarms of all members */
    char errors[ETCD_ERRORS_BYTES]; /* these in its words, joined by "; "; cut */
};
bool etcd_status_is_leader(const struct etcd_status *s);
struct etcd_member {
    uint64_t id;
    char name[ETCD_TEXT_MAX];
    char client_urls[ETCD_CLIENT_URLS_MAX][ETCD_URL_MAX];
    unsigned client_url_count; /* 0: it has not started */
    bool is_learner;
};

/* Connects to one endpoint (index < endpoint_count), ending an earlier connection, and asks its Status. */
MUST_USE err etcd_connect(struct etcd *e, unsigned endpoint, ms deadline, struct etcd_status *out);
/* Tries the endpoints in turn until one answers and is no learner. Each that does not is logged with its reason. */
MUST_USE err etcd_connect_any(struct etcd *e, ms deadline, struct etcd_status *out);
/* Asks each endpoint's Status, one after another and a few seconds each at most, and connects to the one a long read disturbs
 * least: a healthy follower (no error of its own or the cluster's, it knows a leader, at most ETCD_LAG_MAX behind the newest),
 * else a healthy leader, else whoever answers and is no learner. With one endpoint the same as etcd_connect_any(). */
MUST_USE err etcd_connect_best(struct etcd *e, ms deadline, struct etcd_status *out);
void etcd_disconnect(struct etcd *e);               /* gives its memory back; etcd_connect() begins another. Idempotent */
const char *etcd_endpoint(const struct etcd *e);    /* the connected one, or "" */
unsigned etcd_endpoint_count(const struct etcd *e); /* the configured ones */
const char *etcd_endpoint_name(const struct etcd *e, unsigned endpoint);
int64_t etcd_server_expires_s(const struct etcd *e); /* of the connected member's certificate; 0: plaintext, or not connected */
MUST_USE err etcd_status(struct etcd *e, ms deadline, struct etcd_status *out); /* of the connected one, again */
MUST_USE err etcd_member_list(struct etcd *e, ms deadline, struct etcd_member *out, unsigned cap, unsigned *count);

/* Maintenance/Alarm with action GET: what the members raise. *count may be larger than cap; as many as fit are given. */
enum etcd_alarm_kind { ETCD_ALARM_NONE, ETCD_ALARM_NOSPACE, ETCD_ALARM_CORRUPT };
struct etcd_alarm {
    uint64_t member_id;
    enum etcd_alarm_kind kind;
};
MUST_USE err etcd_alarm_list(struct etcd *e, ms deadline, struct etcd_alarm *out, unsigned cap, unsigned *count);
const char *etcd_alarm_name(enum etcd_alarm_kind k); /* "NOSPACE"; static */
/* Action DEACTIVATE: for all members, through whichever is connected. Fine when it is not raised. */
MUST_USE err etcd_alarm_disarm(struct etcd *e, const struct etcd_alarm *a, ms deadline);

/* Maintenance/Defragment of the connected member; it answers nobody meanwhile. After E_TIMEOUT it may still be at it. */
MUST_USE err etcd_defragment(struct etcd *e, ms deadline);
/* Maintenance/MoveLeader; the connected one must be the leader (else E_REMOTE). OK: the other one leads. */
MUST_USE err etcd_move_leader(struct etcd *e, uint64_t to_member_id, ms deadline);
/* KV/Compact, physically done when it returns. E_ABSENT: compacted up to there already, or not there yet. */
MUST_USE err etcd_compact(struct etcd *e, int64_t revision, ms deadline);

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
