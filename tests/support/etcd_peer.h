/* etcd_peer: an etcd that answers Status, MemberList and Snapshot by a script; its database is a pattern, or given.
 *
 * Layer    tests.   Owner   the test; it outlives the fibers.   Blocks   never; server_listen() does.
 * Memory   as grpc_server.h says.   Errors   none of its own. */
#ifndef HOLDFAST_TEST_ETCD_PEER_H
#define HOLDFAST_TEST_ETCD_PEER_H

#include "net/format/sha256.h"
#include "tests/support/grpc_server.h"

#define ETCD_PEER_VISITS_MAX 64
#define ETCD_PEER_NO_LEADER  UINT64_MAX /* as leader_id */

struct etcd_peer {
    struct server server;
    /* the test's, before etcd_peer_open() */
    const uint8_t *database; /* db_bytes of it, as etcd_file_make() makes one; NULL: a pattern, which is no database */
    uint64_t db_bytes;
    uint64_t says_bytes; /* in its Status, when not 0 */
    uint32_t blob_bytes; /* 0: 32 KiB */
    uint64_t flip_at;    /* the one byte of the database, from 1, that is wrong; 0: none */
    bool is_learner;
    uint64_t member_id, leader_id, applied; /* 0: 7, 7 */
    const char *error;                      /* one that it reports of itself; NULL: none */
    struct server_step
        ending[4]; /* instead of all messages and the good status, after `messages` of them; ends with SERVER_DONE */
    uint32_t messages;
    const struct server_step *status_steps; /* instead of a Status answer */
    const struct server_step
        *maintenance_steps; /* the answer to Alarm, HashKV, … Compact, leases and keys; NULL: unknown methods */
    /* counted */
    unsigned statuses, snapshots;
    uint8_t asked[64]; /* the request of the last of these, with its gRPC prefix */
    size_t asked_len;
    ms asked_at[ETCD_PEER_VISITS_MAX]; /* each Status */
    uint8_t sha256[SHA256_BYTES];
    struct server_step steps[8];
};
void etcd_peer_open(struct etcd_peer *p);
uint8_t etcd_peer_byte(uint64_t at); /* of the pattern */
/* The file is this peer's database and its digest. */
bool etcd_peer_is_whole(const struct etcd_peer *p, struct bytes file);

#endif
