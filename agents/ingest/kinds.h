/* kinds: the twenty kinds of object whose Info leaves the cluster: names, paths, and which fields of each are read.
 *
 * Layer    agents, ingest.   Blocks   never.   Owner, memory   static tables.   Errors   none.
 * One table; its order is that of the snapshot's arrays. */
#ifndef HOLDFAST_INGEST_KINDS_H
#define HOLDFAST_INGEST_KINDS_H

#include "net/format/json_pick.h"

/* Where the API server has them. */
#define INGEST_CORE       "/api/v1"
#define INGEST_APPS       "/apis/apps/v1"
#define INGEST_BATCH      "/apis/batch/v1"
#define INGEST_NETWORKING "/apis/networking.k8s.io/v1"
#define INGEST_RBAC       "/apis/rbac.authorization.k8s.io/v1"

/* Columns: id, name on the wire, path prefix, plural, key in the snapshot, key in status.resourceCounts, namespaced?, projection
 * (in kinds.c). */
#define INGEST_KIND_TABLE(X)                                                                                                     \
    X(NAMESPACE, "Namespace", INGEST_CORE, "namespaces", "namespaces", "namespaces", false, namespace_fields)                    \
    X(POD, "Pod", INGEST_CORE, "pods", "pods", "pods", true, pod_fields)                                                         \
    X(SERVICE, "Service", INGEST_CORE, "services", "services", "services", true, service_fields)                                 \
    X(NODE, "Node", INGEST_CORE, "nodes", "nodes", "nodes", false, node_fields)                                                  \
    X(DEPLOYMENT, "Deployment", INGEST_APPS, "deployments", "deployments", "deployments", true, deployment_fields)               \
    X(STATEFUL_SET, "StatefulSet", INGEST_APPS, "statefulsets", "statefulsets", "statefulSets", true, stateful_set_fields)       \
    X(DAEMON_SET, "DaemonSet", INGEST_APPS, "daemonsets", "daemonsets", "daemonSets", true, daemon_set_fields)                   \
    X(JOB, "Job", INGEST_BATCH, "jobs", "jobs", "jobs", true, job_fields)                                                        \
    X(CRON_JOB, "CronJob", INGEST_BATCH, "cronjobs", "cronjobs", "cronJobs", true, cron_job_fields)                              \
    X(INGRESS, "Ingress", INGEST_NETWORKING, "ingresses", "ingresses", "ingresses", true, ingress_fields)                        \
    X(NETWORK_POLICY, "NetworkPolicy", INGEST_NETWORKING, "networkpolicies", "network_policies", "networkPolicies", true,        \
      network_policy_fields)                                                                                                     \
    X(CONFIG_MAP, "ConfigMap", INGEST_CORE, "configmaps", "configmaps", "configMaps", true, config_map_fields)                   \
    X(SECRET, "Secret", INGEST_CORE, "secrets", "secrets", "secrets", true, secret_fields)                                       \
    X(VOLUME_CLAIM, "PersistentVolumeClaim", INGEST_CORE, "persistentvolumeclaims", "pvcs", "pvcs", true, claim_fields)          \
    X(SERVICE_ACCOUNT, "ServiceAccount", INGEST_CORE, "serviceaccounts", "service_accounts", "serviceAccounts", true,            \
      service_account_fields)                                                                                                    \
    X(ROLE, "Role", INGEST_RBAC, "roles", "roles", "roles", true, role_fields)                                                   \
    X(CLUSTER_ROLE, "ClusterRole", INGEST_RBAC, "clusterroles", "cluster_roles", "clusterRoles", false, role_fields)             \
    X(ROLE_BINDING, "RoleBinding", INGEST_RBAC, "rolebindings", "role_bindings", "roleBindings", true, role_binding_fields)      \
    X(CLUSTER_ROLE_BINDING, "ClusterRoleBinding", INGEST_RBAC, "clusterrolebindings", "cluster_role_bindings",                   \
      "clusterRoleBindings", false, role_binding_fields)                                                                         \
    X(EVENT, "Event", INGEST_CORE, "events", "events", "events", true, event_fields)

enum ingest_kind {
#define X(id, ...) INGEST_##id,
    INGEST_KIND_TABLE(X)
#undef X
        INGEST_KIND_COUNT
};

struct ingest_kind_row {
    const char *name;         /* "Pod" */
    const char *prefix;       /* "/api/v1", "/apis/apps/v1"; a list is at PREFIX/PLURAL */
    const char *plural;       /* "pods", as in paths and RBAC rules */
    const char *snapshot_key; /* "network_policies" */
    const char *count_key;    /* "networkPolicies", in status.resourceCounts */
    bool namespaced;
    const struct pick_field *fields; /* of one object: what info_write() and info_names() read, nothing else */
};
extern const struct ingest_kind_row ingest_kinds[INGEST_KIND_COUNT];

/* By its name on the wire, letter by letter. false: there is no such kind. */
bool ingest_kind_find(struct bytes name, enum ingest_kind *out);

#endif
