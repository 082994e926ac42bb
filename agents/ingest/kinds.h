/* kinds: the twenty kinds of object whose Info leaves the cluster: names, paths, and which fields of each are read.
 *
 * Layer    agents, ingest.   Blocks   never.   Owner, memory   static tables.   Errors   none.
 * One table; its order is that of the snapshot's arrays. */
#ifndef HOLDFAST_INGEST_KINDS_H
#define HOLDFAST_INGEST_KINDS_H

#include "net/format/json_pick.h"

/*    id                     name on the wire        path prefix                           plural                   snapshot key
 * status count key     namespaced */
#define INGEST_KIND_TABLE(X)                                                                                                     \
    X(NAMESPACE, "Namespace", "/api/v1", "namespaces", "namespaces", "namespaces", false)                                        \
    X(POD, "Pod", "/api/v1", "pods", "pods", "pods", true)                                                                       \
    X(SERVICE, "Service", "/api/v1", "services", "services", "services", true)                                                   \
    X(NODE, "Node", "/api/v1", "nodes", "nodes", "nodes", false)                                                                 \
    X(DEPLOYMENT, "Deployment", "/apis/apps/v1", "deployments", "deployments", "deployments", true)                              \
    X(STATEFUL_SET, "StatefulSet", "/apis/apps/v1", "statefulsets", "statefulsets", "statefulSets", true)                        \
    X(DAEMON_SET, "DaemonSet", "/apis/apps/v1", "daemonsets", "daemonsets", "daemonSets", true)                                  \
    X(JOB, "Job", "/apis/batch/v1", "jobs", "jobs", "jobs", true)                                                                \
    X(CRON_JOB, "CronJob", "/apis/batch/v1", "cronjobs", "cronjobs", "cronJobs", true)                                           \
    X(INGRESS, "Ingress", "/apis/networking.k8s.io/v1", "ingresses", "ingresses", "ingresses", true)                             \
    X(NETWORK_POLICY, "NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies", "network_policies", "networkPolicies",   \
      true)                                                                                                                      \
    X(CONFIG_MAP, "ConfigMap", "/api/v1", "configmaps", "configmaps", "configMaps", true)                                        \
    X(SECRET, "Secret", "/api/v1", "secrets", "secrets", "secrets", true)                                                        \
    X(VOLUME_CLAIM, "PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims", "pvcs", "pvcs", true)                          \
    X(SERVICE_ACCOUNT, "ServiceAccount", "/api/v1", "serviceaccounts", "service_accounts", "serviceAccounts", true)              \
    X(ROLE, "Role", "/apis/rbac.authorization.k8s.io/v1", "roles", "roles", "roles", true)                                       \
    X(CLUSTER_ROLE, "ClusterRole", "/apis/rbac.authorization.k8s.io/v1", "clusterroles", "cluster_roles", "clusterRoles", false) \
    X(ROLE_BINDING, "RoleBinding", "/apis/rbac.authorization.k8s.io/v1", "rolebindings", "role_bindings", "roleBindings", true)  \
    X(CLUSTER_ROLE_BINDING, "ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings",                   \
      "cluster_role_bindings", "clusterRoleBindings", false)                                                                     \
    X(EVENT, "Event", "/api/v1", "events", "events", "events", true)

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
