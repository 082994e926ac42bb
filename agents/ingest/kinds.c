/* kinds: the tables. What is not named here never leaves the reader. */
#include "agents/ingest/kinds.h"

#include "board/rt/text.h"

/* One wanted field a line; FIELDS names the table and puts the end to it. */
#define FIELDS(name, ...) static const struct pick_field name[] = {__VA_ARGS__, {0}}
#define SCALAR(key)                                                                                                              \
    {                                                                                                                            \
        (key), PICK_SCALAR, NULL                                                                                                 \
    }
#define TEXTS(key)                                                                                                               \
    {                                                                                                                            \
        (key), PICK_LIST, NULL                                                                                                   \
    }
#define MAP(key)                                                                                                                 \
    {                                                                                                                            \
        (key), PICK_MAP, NULL                                                                                                    \
    }
#define KEYS(key)                                                                                                                \
    {                                                                                                                            \
        (key), PICK_KEYS, NULL                                                                                                   \
    }
#define SIZE(key)                                                                                                                \
    {                                                                                                                            \
        (key), PICK_COUNT, NULL                                                                                                  \
    }
#define PRESENT(key)                                                                                                             \
    {                                                                                                                            \
        (key), PICK_PRESENT, NULL                                                                                                \
    }
#define OBJECT(key, of)                                                                                                          \
    {                                                                                                                            \
        (key), PICK_OBJECT, (of)                                                                                                 \
    }
#define LIST(key, of)                                                                                                            \
    {                                                                                                                            \
        (key), PICK_LIST, (of)                                                                                                   \
    }

/* --- metadata --- */
#define META_NAMES SCALAR("uid"), SCALAR("name"), SCALAR("namespace"), SCALAR("resourceVersion"), SCALAR("creationTimestamp")
#define META_MAPS  MAP("labels"), MAP("annotations")
FIELDS(meta_fields, META_NAMES, META_MAPS);
FIELDS(bare_meta_fields, META_NAMES);
FIELDS(owner_fields, SCALAR("kind"), SCALAR("name"));
FIELDS(job_meta_fields, META_NAMES, META_MAPS, LIST("ownerReferences", owner_fields));
#define METADATA OBJECT("metadata", meta_fields)

/* --- core --- */
FIELDS(phase_fields, SCALAR("phase"));
FIELDS(namespace_fields, METADATA, OBJECT("status", phase_fields));

FIELDS(compute_fields, SCALAR("cpu"), SCALAR("memory"));
FIELDS(resources_fields, OBJECT("requests", compute_fields), OBJECT("limits", compute_fields));
FIELDS(container_port_fields, SCALAR("containerPort"), SCALAR("protocol"), SCALAR("name"));
FIELDS(mount_fields, SCALAR("name"), SCALAR("mountPath"), SCALAR("readOnly"));
FIELDS(name_fields, SCALAR("name"));
FIELDS(capability_fields, TEXTS("add"));
FIELDS(security_fields, SCALAR("privileged"), SCALAR("runAsUser"), SCALAR("runAsNonRoot"),
       OBJECT("capabilities", capability_fields));
FIELDS(container_fields, SCALAR("name"), SCALAR("image"), OBJECT("resources", resources_fields),
       LIST("ports", container_port_fields), LIST("volumeMounts", mount_fields), LIST("env", name_fields),
       OBJECT("securityContext", security_fields));
FIELDS(secret_volume_fields, SCALAR("secretName"));
FIELDS(claim_volume_fields, SCALAR("claimName"));
FIELDS(path_fields, SCALAR("path"));
FIELDS(csi_fields, SCALAR("driver"));
FIELDS(nfs_fields, SCALAR("server"), SCALAR("path"));
FIELDS(volume_fields, SCALAR("name"), PRESENT("emptyDir"), OBJECT("configMap", name_fields),
       OBJECT("secret", secret_volume_fields), OBJECT("persistentVolumeClaim", claim_volume_fields),
       OBJECT("hostPath", path_fields), PRESENT("projected"), PRESENT("downwardAPI"), OBJECT("csi", csi_fields),
       OBJECT("nfs", nfs_fields), PRESENT("ephemeral"));
FIELDS(pod_spec_fields, SCALAR("nodeName"), SCALAR("serviceAccountName"), SCALAR("priorityClassName"),
       LIST("containers", container_fields), LIST("initContainers", container_fields), LIST("volumes", volume_fields));
FIELDS(condition_fields, SCALAR("type"), SCALAR("status"));
FIELDS(state_fields, PRESENT("running"), PRESENT("waiting"), PRESENT("terminated"));
FIELDS(container_status_fields, SCALAR("name"), SCALAR("ready"), SCALAR("restartCount"), OBJECT("state", state_fields));
FIELDS(pod_status_fields, SCALAR("phase"), SCALAR("qosClass"), SCALAR("hostIP"), SCALAR("podIP"),
       LIST("conditions", condition_fields), LIST("containerStatuses", container_status_fields),
       LIST("initContainerStatuses", container_status_fields));
FIELDS(pod_fields, METADATA, OBJECT("spec", pod_spec_fields), OBJECT("status", pod_status_fields));

FIELDS(service_port_fields, SCALAR("name"), SCALAR("protocol"), SCALAR("port"), SCALAR("targetPort"));
FIELDS(service_spec_fields, SCALAR("type"), SCALAR("clusterIP"), LIST("ports", service_port_fields), MAP("selector"));
FIELDS(service_fields, METADATA, OBJECT("spec", service_spec_fields));

FIELDS(node_spec_fields, SCALAR("providerID"));
FIELDS(node_info_fields, SCALAR("kubeletVersion"), SCALAR("containerRuntimeVersion"), SCALAR("osImage"), SCALAR("architecture"));
FIELDS(capacity_fields, SCALAR("cpu"), SCALAR("memory"), SCALAR("pods"));
FIELDS(node_status_fields, LIST("conditions", condition_fields), OBJECT("nodeInfo", node_info_fields),
       OBJECT("capacity", capacity_fields));
FIELDS(node_fields, METADATA, OBJECT("spec", node_spec_fields), OBJECT("status", node_status_fields));

FIELDS(config_map_fields, METADATA, KEYS("data"), KEYS("binaryData"), SCALAR("immutable"));
FIELDS(secret_fields, METADATA, SCALAR("type"), KEYS("data"), SCALAR("immutable"));

FIELDS(storage_fields, SCALAR("storage"));
FIELDS(claim_resources_fields, OBJECT("requests", storage_fields));
FIELDS(claim_spec_fields, SCALAR("storageClassName"), TEXTS("accessModes"), OBJECT("resources", claim_resources_fields),
       SCALAR("volumeName"), SCALAR("volumeMode"));
FIELDS(claim_fields, METADATA, OBJECT("spec", claim_spec_fields), OBJECT("status", phase_fields));

FIELDS(service_account_fields, METADATA, LIST("secrets", name_fields), LIST("imagePullSecrets", name_fields),
       SCALAR("automountServiceAccountToken"));

FIELDS(reference_fields, SCALAR("kind"), SCALAR("name"), SCALAR("namespace"), SCALAR("uid"));
FIELDS(source_fields, SCALAR("component"), SCALAR("host"));
FIELDS(event_fields, OBJECT("metadata", bare_meta_fields), SCALAR("type"), SCALAR("reason"), SCALAR("message"),
       OBJECT("involvedObject", reference_fields), OBJECT("source", source_fields), SCALAR("firstTimestamp"),
       SCALAR("lastTimestamp"), SCALAR("count"));

/* --- apps --- */
FIELDS(type_fields, SCALAR("type"));
FIELDS(selector_fields, MAP("matchLabels"));
FIELDS(image_fields, SCALAR("image"));
FIELDS(template_spec_fields, LIST("containers", image_fields), MAP("nodeSelector"));
FIELDS(template_fields, OBJECT("spec", template_spec_fields));
#define WORKLOAD OBJECT("selector", selector_fields), OBJECT("template", template_fields)
FIELDS(deployment_spec_fields, SCALAR("replicas"), OBJECT("strategy", type_fields), WORKLOAD);
FIELDS(deployment_status_fields, SCALAR("readyReplicas"), SCALAR("availableReplicas"), SCALAR("updatedReplicas"));
FIELDS(deployment_fields, METADATA, OBJECT("spec", deployment_spec_fields), OBJECT("status", deployment_status_fields));
FIELDS(stateful_set_spec_fields, SCALAR("replicas"), OBJECT("updateStrategy", type_fields), SCALAR("serviceName"), WORKLOAD);
FIELDS(stateful_set_status_fields, SCALAR("readyReplicas"), SCALAR("currentReplicas"));
FIELDS(stateful_set_fields, METADATA, OBJECT("spec", stateful_set_spec_fields), OBJECT("status", stateful_set_status_fields));
FIELDS(daemon_set_spec_fields, OBJECT("updateStrategy", type_fields), WORKLOAD);
FIELDS(daemon_set_status_fields, SCALAR("desiredNumberScheduled"), SCALAR("currentNumberScheduled"), SCALAR("numberReady"),
       SCALAR("numberAvailable"));
FIELDS(daemon_set_fields, METADATA, OBJECT("spec", daemon_set_spec_fields), OBJECT("status", daemon_set_status_fields));

/* --- batch --- */
FIELDS(job_spec_fields, SCALAR("completions"), SCALAR("parallelism"));
FIELDS(job_status_fields, SCALAR("succeeded"), SCALAR("failed"), SCALAR("active"), SCALAR("startTime"), SCALAR("completionTime"));
FIELDS(job_fields, OBJECT("metadata", job_meta_fields), OBJECT("spec", job_spec_fields), OBJECT("status", job_status_fields));
FIELDS(cron_job_spec_fields, SCALAR("schedule"), SCALAR("suspend"), SCALAR("concurrencyPolicy"));
FIELDS(cron_job_status_fields, SCALAR("lastScheduleTime"), SIZE("active"));
FIELDS(cron_job_fields, METADATA, OBJECT("spec", cron_job_spec_fields), OBJECT("status", cron_job_status_fields));

/* --- networking --- */
FIELDS(number_fields, SCALAR("number"));
FIELDS(backend_service_fields, SCALAR("name"), OBJECT("port", number_fields));
FIELDS(backend_fields, OBJECT("service", backend_service_fields));
FIELDS(http_path_fields, SCALAR("path"), SCALAR("pathType"), OBJECT("backend", backend_fields));
FIELDS(http_fields, LIST("paths", http_path_fields));
FIELDS(ingress_rule_fields, SCALAR("host"), OBJECT("http", http_fields));
FIELDS(ingress_tls_fields, TEXTS("hosts"), SCALAR("secretName"));
FIELDS(ingress_spec_fields, SCALAR("ingressClassName"), LIST("rules", ingress_rule_fields), LIST("tls", ingress_tls_fields));
FIELDS(balancer_ingress_fields, SCALAR("ip"), SCALAR("hostname"));
FIELDS(balancer_fields, LIST("ingress", balancer_ingress_fields));
FIELDS(ingress_status_fields, OBJECT("loadBalancer", balancer_fields));
FIELDS(ingress_fields, METADATA, OBJECT("spec", ingress_spec_fields), OBJECT("status", ingress_status_fields));
FIELDS(network_policy_spec_fields, OBJECT("podSelector", selector_fields), TEXTS("policyTypes"), SIZE("ingress"), SIZE("egress"));
FIELDS(network_policy_fields, METADATA, OBJECT("spec", network_policy_spec_fields));

/* --- rbac --- */
FIELDS(rule_fields, TEXTS("resources"));
FIELDS(role_fields, METADATA, LIST("rules", rule_fields));
FIELDS(role_binding_fields, METADATA, OBJECT("roleRef", owner_fields), LIST("subjects", reference_fields));

const struct ingest_kind_row ingest_kinds[INGEST_KIND_COUNT] = {
#define X(id, name, prefix, plural, snapshot_key, count_key, namespaced, fields)                                                 \
    [INGEST_##id] = {name, prefix, plural, snapshot_key, count_key, namespaced, fields},
    INGEST_KIND_TABLE(X)
#undef X
};

bool ingest_kind_find(struct bytes name, enum ingest_kind *out)
{
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        if (!bytes_equal_text(name, ingest_kinds[k].name))
            continue;
        *out = (enum ingest_kind)k;
        return true;
    }
    return false;
}
