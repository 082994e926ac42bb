/* talos: the part of Talos' machine API that a guardian of etcd needs. machine.MachineService, Talos 1.10 to 1.15.
 *
 * Layer    api.                                     Blocks   parks the fiber.
 * Owner    the caller owns the client and its       Memory   the current task's heap: one connection, and for a snapshot its
 *          snapshot streams.                                 window (TALOS_WINDOW_BYTES) and one message buffer.
 * Errors   each names the socket or endpoint and the call in the trail. E_DENIED: which role was asked for and what gives it;
 *          E_UNSUPPORTED: this node is a worker, or its Talos does not know the call; E_UNREACHABLE its etcd does not answer.
 *
 * Over the local socket there is no TLS, and each call asks for the least role that may make it (metadata `talos-role`). Over TCP
 * (50000 unless told) the client certificate's organization is the role, and nothing is asked for. Either way it is the member of
 * the node that answers: its own etcd and no other. */
#ifndef HOLDFAST_TALOS_H
#define HOLDFAST_TALOS_H

#include "net/format/talosconfig.h"
#include "net/proto/dns.h"
#include "net/proto/grpc.h"
#include "net/proto/tls.h"

#define TALOS_SOCKET            "/system/run/machined/machine.sock"
#define TALOS_PORT              50000
#define TALOS_TEXT_MAX          64
#define TALOS_URL_MAX           256
#define TALOS_WINDOW_BYTES      KIB(512)
#define TALOS_MESSAGE_BYTES_MAX KIB(64) /* of a snapshot's message kept at a time; Talos sends 32 KiB ones, etcd's */

struct talos_options {
    const char *socket;     /* "/system/run/machined/machine.sock"; NULL or "": TCP. Borrowed until talos_close() */
    const char *endpoint;   /* without a socket: "10.0.0.2", "node:50000", "[fd00::2]:50000"; borrowed likewise */
    struct tls_config *tls; /* required for an endpoint, with identity and ALPN h2; a reference is taken */
    struct dns *dns;        /* for an endpoint */
    size_t window_bytes;    /* of one stream; 0: TALOS_WINDOW_BYTES */
};

/* The settings of a talosconfig: its CA is trusted, its certificate shown. Parsed on the lane. E_INVALID which of the three. */
MUST_USE err talos_tls_open(struct lane *l, const struct talosconfig *c, struct tls_config **out);

struct talos;                                                               /* one client, at most one connection */
MUST_USE err talos_open(const struct talos_options *o, struct talos **out); /* connects to nobody yet; E_CONFIG */
void talos_close(struct talos *t);                                          /* NULL is fine */
const char *talos_peer(const struct talos *t);                              /* the socket's path or the endpoint */

struct talos_status {                  /* EtcdStatus, of the node's own member. Talos tells no cluster id */
    uint64_t member_id, leader_id;     /* leader 0: none */
    int64_t db_bytes, db_in_use_bytes; /* progress of a snapshot: of db_bytes */
    uint64_t raft_term, raft_index, raft_applied_index;
    char protocol_version[TALOS_TEXT_MAX]; /* etcd's version, "3.6.7" */
    char storage_version[TALOS_TEXT_MAX];  /* "" before etcd 3.6 */
    bool is_learner;
    unsigned error_count; /* alarms the member reports of itself */
};
struct talos_member {
    uint64_t id;
    char hostname[TALOS_TEXT_MAX];
    char client_url[TALOS_URL_MAX]; /* the first; "" when there is none */
    bool is_learner;
};
enum talos_alarm_kind { TALOS_ALARM_NONE, TALOS_ALARM_NOSPACE, TALOS_ALARM_CORRUPT }; /* etcd's numbers */
struct talos_alarm {
    uint64_t member_id;
    enum talos_alarm_kind kind;
};

/* Ends an earlier connection, connects and asks EtcdStatus. What the calls below need. */
MUST_USE err talos_connect(struct talos *t, ms deadline, struct talos_status *out);
MUST_USE err talos_status(struct talos *t, ms deadline, struct talos_status *out);
/* As etcd's: *count may be larger than cap; as many as fit are given. Members more than cap: E_RANGE. */
MUST_USE err talos_alarm_list(struct talos *t, ms deadline, struct talos_alarm *out, unsigned cap, unsigned *count);
MUST_USE err talos_member_list(struct talos *t, ms deadline, struct talos_member *out, unsigned cap, unsigned *count);
MUST_USE err talos_version(struct talos *t, ms deadline, char tag[TALOS_TEXT_MAX]); /* "v1.13.9"; needs os:reader */
/* os:operator. The node's own member. */
MUST_USE err talos_defragment(struct talos *t, ms deadline);
MUST_USE err talos_alarm_disarm(struct talos *t, ms deadline);

/* --- snapshot: EtcdSnapshot, a stream of common.Data{bytes=2}; the last 32 bytes of all are the SHA-256 of those before. The
 * chunks' borders mean nothing. How much remains is not told: take db_bytes of the status. --- */
struct talos_snapshot;
MUST_USE err talos_snapshot_start(struct talos *t, ms deadline, struct talos_snapshot **out);
/* The next piece: *blob is a view valid until the next call; *more false: the stream ended well. E_TIMEOUT: no byte came for
 * idle_ms, or the deadline of the whole passed. */
MUST_USE err talos_snapshot_next(struct talos_snapshot *s, ms idle_ms, struct bytes *blob, bool *more);
void talos_snapshot_end(struct talos_snapshot *s); /* cancels when it still runs; NULL is fine */

#endif
