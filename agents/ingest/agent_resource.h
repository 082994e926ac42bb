/* agent_resource: the custom resource ObsykAgent (obsyk.io/v1): its rows for net/format/custom.h, its struct, its conditions.
 *
 * Layer    agents/ingest.   Blocks   never.   Owner, Memory   the caller's struct, some 14 KiB: on the heap, not a fiber's stack.
 * Errors   those of custom_read(), custom_patch(), custom_condition_set(). */
#ifndef HOLDFAST_INGEST_AGENT_RESOURCE_H
#define HOLDFAST_INGEST_AGENT_RESOURCE_H

#include "agents/ingest/kinds.h"
#include "net/format/custom.h"

#define OBSYK_URL_MAX          256
#define OBSYK_CLUSTER_NAME_MAX (4 * 253 + 1) /* 253 characters */
#define OBSYK_RATE_MAX         5000

/* Of several replicas one acts: the original operator's Lease, in our namespace, so that the two never act together. */
#define OBSYK_LEASE "obsyk-operator.obsyk.io"

struct obsyk_agent {
    struct custom_meta meta;
    /* spec */
    char platform_url[OBSYK_URL_MAX]; /* http:// or https:// */
    char cluster_name[OBSYK_CLUSTER_NAME_MAX];
    char secret_name[CUSTOM_NAME_MAX]; /* in the object's namespace */
    ms sync_interval_ms;               /* > 0 */
    int64_t events_per_second, burst_size;
    /* status */
    char cluster_uid[CUSTOM_UID_MAX]; /* "": not known yet */
    struct custom_conditions conditions;
    int64_t last_sync_s, last_snapshot_s; /* 0: never */
    int64_t observed_generation;
    int64_t counts[INGEST_KIND_COUNT]; /* by enum ingest_kind: status.resourceCounts */
};

extern const struct custom obsyk_agent_resource;

/* Every condition that is ever written. The last three and AGENT_STOPPED are ours, the others the original operator's.
 *    state                type         status  reason */
#define OBSYK_CONDITION_TABLE(X)                                                                                                 \
    X(AGENT_RUNNING, "Available", TRUE, "AgentRunning")                                                                          \
    X(AGENT_STOPPED, "Available", FALSE, "AgentStopped")                                                                         \
    X(SYNC_ACTIVE, "Syncing", TRUE, "SyncActive")                                                                                \
    X(SNAPSHOT_FAILED, "Syncing", FALSE, "SnapshotFailed")                                                                       \
    X(HEARTBEAT_FAILED, "Syncing", FALSE, "HeartbeatFailed")                                                                     \
    X(AGENT_HEALTHY, "Degraded", FALSE, "AgentHealthy")                                                                          \
    X(AUTHENTICATION_ERROR, "Degraded", TRUE, "AuthenticationError")                                                             \
    X(SNAPSHOT_TOO_LARGE, "Syncing", FALSE, "SnapshotTooLarge")                                                                  \
    X(INVALID_SPEC, "Degraded", TRUE, "InvalidSpec")                                                                             \
    X(TOO_MANY_AGENTS, "Degraded", TRUE, "TooManyAgents")

enum obsyk_condition {
#define X(state, type, status, reason) OBSYK_##state,
    OBSYK_CONDITION_TABLE(X)
#undef X
};

MUST_USE err obsyk_agent_set(struct obsyk_agent *a, enum obsyk_condition c, const char *message, int64_t now_s);

#endif
