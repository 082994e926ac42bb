/* agent_resource: the rows. */
#include "agents/ingest/agent_resource.h"

#include "net/format/url.h"

#include <string.h>

/* --- what values may be --- */
static const char *check_platform_url(struct bytes value)
{
    char text[OBSYK_URL_MAX];
    struct url url;
    if (value.len >= sizeof text) /* told as too long */
        return NULL;
    memcpy(text, value.at, value.len);
    text[value.len] = 0;
    if (url_parse(text, &url) == OK)
        return NULL;
    trail_clear();
    return "no URL; write it like https://api.obsyk.ai";
}

/* RFC 1123, as Kubernetes has it; it becomes a part of a path. */
static const char *check_name(struct bytes value)
{
    bool good = value.len > 0 && value.at[0] != '.' && value.at[value.len - 1] != '.';
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.at[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.');
    }
    return good ? NULL : "no name of a Secret";
}

/* --- the rows --- */
static const char *const count_keys[] = {
#define X(id, name, prefix, plural, snapshot_key, count_key, ...) (count_key),
    INGEST_KIND_TABLE(X)
#undef X
        NULL};

#define AT(member) .offset = offsetof(struct obsyk_agent, member), .bytes = sizeof(((struct obsyk_agent *)0)->member)

static const struct custom_row rows[] = {
    {"spec", "What is told to which platform.", .type = CUSTOM_OBJECT},
    {"spec.platformURL", "The platform: the agent adds /oauth/token and /api/v1/agent/… to it.", .type = CUSTOM_TEXT,
     AT(platform_url), .required = true, .pattern = "^https?://", .check = check_platform_url},
    {"spec.clusterName", "The name people know this cluster by. It need not be unique.", .type = CUSTOM_TEXT, AT(cluster_name),
     .required = true, .least = 1, .most = 253},
    {"spec.credentialsSecretRef", "The Secret with client_id and private_key, in this object's namespace.", .type = CUSTOM_OBJECT,
     .required = true},
    {"spec.credentialsSecretRef.name", "Its name.", .type = CUSTOM_TEXT, AT(secret_name), .required = true, .check = check_name},
    {"spec.syncInterval", "Time between two heartbeats, as Go writes durations: 30s, 5m, 1h30m.", .type = CUSTOM_DURATION,
     AT(sync_interval_ms), .fallback = "5m", .is_positive = true},
    {"spec.rateLimit", "Bounds the events that are sent; snapshots and heartbeats are not limited.", .type = CUSTOM_OBJECT},
    {"spec.rateLimit.eventsPerSecond", "Events a second, over time.", .type = CUSTOM_INT32, AT(events_per_second),
     .fallback = "10", .least = 1, .most = OBSYK_RATE_MAX, .is_positive = true},
    {"spec.rateLimit.burstSize", "Events at once after a rest.", .type = CUSTOM_INT32, AT(burst_size), .fallback = "20",
     .least = 1, .most = OBSYK_RATE_MAX, .is_positive = true},
    {"status", "What the agent saw. Written by it alone.", .type = CUSTOM_OBJECT},
    {"status.clusterUID", "The uid of the namespace kube-system.", .type = CUSTOM_TEXT, AT(cluster_uid)},
    {"status.conditions", "Available, Syncing and Degraded.", .type = CUSTOM_CONDITIONS, AT(conditions)},
    {"status.lastSyncTime", "The last snapshot or heartbeat that the platform took.", .type = CUSTOM_TIME, AT(last_sync_s)},
    {"status.lastSnapshotTime", "The last snapshot that the platform took.", .type = CUSTOM_TIME, AT(last_snapshot_s)},
    {"status.observedGeneration", "The generation that the last good round acted on.", .type = CUSTOM_INT64,
     AT(observed_generation)},
    {"status.resourceCounts", "Objects of each kind.", .type = CUSTOM_COUNTS, AT(counts), .keys = count_keys},
};

static const struct custom_column columns[] = {
    {"Cluster", "string", ".spec.clusterName"},
    {"Platform", "string", ".spec.platformURL"},
    {"Last Sync", "date", ".status.lastSyncTime"},
    {"Age", "date", ".metadata.creationTimestamp"},
};

static const char *const short_names[] = {"oa", NULL};

const struct custom obsyk_agent_resource = {
    .group = "obsyk.io",
    .version = "v1",
    .kind = "ObsykAgent",
    .list_kind = "ObsykAgentList",
    .plural = "obsykagents",
    .singular = "obsykagent",
    .short_names = short_names,
    .help = "Streams what is in this cluster to a platform.",
    .is_namespaced = true,
    .rows = rows,
    .row_count = COUNT_OF(rows),
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .bytes = sizeof(struct obsyk_agent),
};

/* --- conditions --- */
err obsyk_agent_set(struct obsyk_agent *a, enum obsyk_condition c, const char *message, int64_t now_s)
{
    static const struct {
        const char *type, *reason;
        enum custom_status status;
    } states[] = {
#define X(state, type, status, reason) [OBSYK_##state] = {type, reason, CUSTOM_##status},
        OBSYK_CONDITION_TABLE(X)
#undef X
    };
    return custom_condition_set(&a->conditions, states[c].type, states[c].status, states[c].reason, message, a->meta.generation,
                                now_s);
}
