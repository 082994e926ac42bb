/* info: the twenty Infos, a table each, in the order of the wire (sections 3.1 to 3.20 of the platform's protocol). */
#include "agents/ingest/info_inside.h"

#include <string.h>

#define ROWS(name, ...) static const struct info_row name[] = {__VA_ARGS__, {0}}

/* --- what many have --- */
#define OF_CLUSTER   INFO_UID_NAME, INFO_LABELS
#define OF_NAMESPACE INFO_UID_NAME, INFO_NAMESPACE, INFO_LABELS
#define SELECTOR                                                                                                                 \
    {                                                                                                                            \
        "selector", "spec.selector.matchLabels", add_map, NULL                                                                   \
    }
#define IMAGE                                                                                                                    \
    {                                                                                                                            \
        "image", "spec.template.spec.containers", add_first_image, NULL                                                          \
    }
#define IMMUTABLE                                                                                                                \
    {                                                                                                                            \
        "immutable", "immutable", put_bool, NULL                                                                                 \
    }

/* --- small ones --- */
ROWS(namespace_rows, OF_CLUSTER, {"phase", "status.phase", add_text, NULL}, INFO_CREATED);

ROWS(service_port_rows, {"name", "name", add_text, NULL}, {"protocol", "protocol", put_text, NULL},
     {"port", "port", put_number, NULL}, {"targetPort", "targetPort", add_port, NULL});
ROWS(service_rows, OF_NAMESPACE, {"service_type", "spec.type", add_text, NULL}, {"cluster_ip", "spec.clusterIP", add_text, NULL},
     {"ports", "spec.ports", add_objects, service_port_rows}, {"selector", "spec.selector", add_map, NULL}, INFO_CREATED);

ROWS(config_map_rows, OF_NAMESPACE, {"data_keys", "data", add_keys, NULL}, {"binary_keys", "binaryData", add_keys, NULL},
     IMMUTABLE, INFO_CREATED);
ROWS(secret_rows, OF_NAMESPACE, {"type", "type", add_text, NULL}, {"data_keys", "data", add_keys, NULL}, IMMUTABLE, INFO_CREATED);
ROWS(claim_rows, OF_NAMESPACE, {"storage_class_name", "spec.storageClassName", add_text, NULL},
     {"access_modes", "spec.accessModes", add_texts, NULL},
     {"storage_request", "spec.resources.requests.storage", add_quantity, NULL},
     {"volume_name", "spec.volumeName", add_text, NULL}, {"phase", "status.phase", add_text, NULL},
     {"volume_mode", "spec.volumeMode", add_text, NULL}, INFO_CREATED);
ROWS(service_account_rows, OF_NAMESPACE, {"secrets", "secrets", add_names, NULL},
     {"image_pull_secrets", "imagePullSecrets", add_names, NULL},
     {"automount_service_account_token", "automountServiceAccountToken", add_bool, NULL}, INFO_CREATED);

ROWS(involved_rows, {"kind", "kind", put_text, NULL}, {"name", "name", put_text, NULL},
     {"namespace", "namespace", add_text, NULL}, {"uid", "uid", add_text, NULL});
ROWS(source_rows, {"component", "component", add_text, NULL}, {"host", "host", add_text, NULL});
ROWS(event_rows, INFO_UID_NAME, INFO_NAMESPACE, {"type", "type", put_text, NULL}, {"reason", "reason", put_text, NULL},
     {"message", "message", put_text, NULL}, {"involved_object", "involvedObject", put_object, involved_rows},
     {"source", "source", put_object, source_rows}, {"first_timestamp", "firstTimestamp", add_time, NULL},
     {"last_timestamp", "lastTimestamp", add_time, NULL}, {"count", "count", put_number, NULL}, INFO_CREATED);

/* --- workloads --- */
static void add_first_image(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    add_text(i, row, pick_at(pick_first(node), "image"));
}

/* The CronJob that made the Job. */
static void add_owner(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    const struct pick_node *owner = pick_first(node);
    while (owner && !bytes_equal_text(pick_text_at(owner, "kind"), "CronJob"))
        owner = pick_next(owner);
    add_text(i, row, pick_at(owner, "name"));
}

ROWS(deployment_rows, OF_NAMESPACE, {"replicas", "spec.replicas", put_number_or_one, NULL},
     {"ready_replicas", "status.readyReplicas", put_number, NULL},
     {"available_replicas", "status.availableReplicas", put_number, NULL},
     {"updated_replicas", "status.updatedReplicas", put_number, NULL}, {"strategy", "spec.strategy.type", add_text, NULL},
     SELECTOR, IMAGE, INFO_CREATED);
ROWS(stateful_set_rows, OF_NAMESPACE, {"replicas", "spec.replicas", put_number_or_one, NULL},
     {"ready_replicas", "status.readyReplicas", put_number, NULL},
     {"current_replicas", "status.currentReplicas", put_number, NULL},
     {"update_strategy", "spec.updateStrategy.type", add_text, NULL}, {"service_name", "spec.serviceName", add_text, NULL},
     SELECTOR, IMAGE, INFO_CREATED);
ROWS(daemon_set_rows, OF_NAMESPACE, {"desired_number_scheduled", "status.desiredNumberScheduled", put_number, NULL},
     {"current_number_scheduled", "status.currentNumberScheduled", put_number, NULL},
     {"number_ready", "status.numberReady", put_number, NULL}, {"number_available", "status.numberAvailable", put_number, NULL},
     {"update_strategy", "spec.updateStrategy.type", add_text, NULL}, SELECTOR,
     {"node_selector", "spec.template.spec.nodeSelector", add_map, NULL}, IMAGE, INFO_CREATED);
ROWS(job_rows, OF_NAMESPACE, {"completions", "spec.completions", put_number_or_one, NULL},
     {"parallelism", "spec.parallelism", put_number_or_one, NULL}, {"succeeded", "status.succeeded", put_number, NULL},
     {"failed", "status.failed", put_number, NULL}, {"active", "status.active", put_number, NULL},
     {"start_time", "status.startTime", add_time, NULL}, {"completion_time", "status.completionTime", add_time, NULL},
     {"owner_ref", "metadata.ownerReferences", add_owner, NULL}, INFO_CREATED);
ROWS(cron_job_rows, OF_NAMESPACE, {"schedule", "spec.schedule", put_text, NULL}, {"suspend", "spec.suspend", put_bool, NULL},
     {"concurrency_policy", "spec.concurrencyPolicy", add_text, NULL},
     {"last_schedule_time", "status.lastScheduleTime", add_time, NULL}, {"active_jobs", "status.active", put_count, NULL},
     INFO_CREATED);

/* --- networking --- */
/* Of each entry the address, else the name; one without either is skipped. */
static void add_balancer_addresses(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    bool any = false;
    for (const struct pick_node *n = pick_first(node); n; n = pick_next(n)) {
        struct bytes address = pick_text_at(n, "ip");
        address = address.len ? address : pick_text_at(n, "hostname");
        if (address.len == 0)
            continue;
        if (!any) {
            json_key(&i->w, row->name);
            json_array(&i->w);
        }
        any = true;
        json_bytes(&i->w, address);
    }
    if (any)
        json_array_end(&i->w);
}

ROWS(ingress_path_rows, {"path", "path", add_text, NULL}, {"path_type", "pathType", add_text, NULL},
     {"service_name", "backend.service.name", add_text, NULL}, {"service_port", "backend.service.port.number", add_number, NULL});
ROWS(ingress_rule_rows, {"host", "host", add_text, NULL}, {"paths", "http.paths", add_objects, ingress_path_rows});
ROWS(ingress_tls_rows, {"hosts", "hosts", add_texts, NULL}, {"secret_name", "secretName", add_text, NULL});
ROWS(ingress_rows, OF_NAMESPACE, {"ingress_class_name", "spec.ingressClassName", add_text, NULL},
     {"rules", "spec.rules", add_objects, ingress_rule_rows}, {"tls", "spec.tls", add_objects, ingress_tls_rows},
     {"load_balancer_ips", "status.loadBalancer.ingress", add_balancer_addresses, NULL}, INFO_CREATED);
ROWS(network_policy_rows, OF_NAMESPACE, {"pod_selector", "spec.podSelector.matchLabels", add_map, NULL},
     {"policy_types", "spec.policyTypes", add_texts, NULL}, {"ingress_rules", "spec.ingress", put_count, NULL},
     {"egress_rules", "spec.egress", put_count, NULL}, INFO_CREATED);

/* --- rbac --- */
/* Every resource that a rule names, once. */
static void put_resources(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct sorted s;
    size_t all = 0;
    for (const struct pick_node *rule = pick_first(node); rule; rule = pick_next(rule))
        all += pick_count(pick_at(rule, "resources"));
    if (!sorted_open(i, &s, all))
        return;
    for (const struct pick_node *rule = pick_first(node); rule; rule = pick_next(rule))
        for (const struct pick_node *n = pick_first(pick_at(rule, "resources")); n; n = pick_next(n))
            sorted_add(&s, pick_text(n), n);
    sorted_sort(&s);
    json_key(&i->w, row->name);
    json_array(&i->w);
    for (size_t n = 0; n < s.count; n++)
        if (n == 0 || !bytes_equal(s.at[n].key, s.at[n - 1].key))
            json_bytes(&i->w, s.at[n].key);
    json_array_end(&i->w);
    sorted_close(&s);
}

#define ROLE_REST {"rule_count", "rules", put_count, NULL}, {"resources", "rules", put_resources, NULL}, INFO_CREATED
#define MAYBE_NAMESPACE                                                                                                          \
    {                                                                                                                            \
        "namespace", "metadata.namespace", add_text, NULL                                                                        \
    }
ROWS(role_rows, INFO_UID_NAME, MAYBE_NAMESPACE, INFO_LABELS, {"is_cluster", "", put_false, NULL}, ROLE_REST);
ROWS(cluster_role_rows, OF_CLUSTER, {"is_cluster", "", put_true, NULL}, ROLE_REST);
ROWS(role_ref_rows, {"kind", "kind", put_text, NULL}, {"name", "name", put_text, NULL});
ROWS(subject_rows, {"kind", "kind", put_text, NULL}, {"name", "name", put_text, NULL},
     {"namespace", "namespace", add_text, NULL});
#define BINDING_REST                                                                                                             \
    {"role_ref", "roleRef", put_object, role_ref_rows}, {"subjects", "subjects", add_objects, subject_rows}, INFO_CREATED
ROWS(role_binding_rows, INFO_UID_NAME, MAYBE_NAMESPACE, INFO_LABELS, {"is_cluster", "", put_false, NULL}, BINDING_REST);
ROWS(cluster_role_binding_rows, OF_CLUSTER, {"is_cluster", "", put_true, NULL}, BINDING_REST);

/* --- all of them --- */
static const struct info_row *const tables[INGEST_KIND_COUNT] = {
    [INGEST_NAMESPACE] = namespace_rows,
    [INGEST_POD] = info_pod_rows,
    [INGEST_SERVICE] = service_rows,
    [INGEST_NODE] = info_node_rows,
    [INGEST_DEPLOYMENT] = deployment_rows,
    [INGEST_STATEFUL_SET] = stateful_set_rows,
    [INGEST_DAEMON_SET] = daemon_set_rows,
    [INGEST_JOB] = job_rows,
    [INGEST_CRON_JOB] = cron_job_rows,
    [INGEST_INGRESS] = ingress_rows,
    [INGEST_NETWORK_POLICY] = network_policy_rows,
    [INGEST_CONFIG_MAP] = config_map_rows,
    [INGEST_SECRET] = secret_rows,
    [INGEST_VOLUME_CLAIM] = claim_rows,
    [INGEST_SERVICE_ACCOUNT] = service_account_rows,
    [INGEST_ROLE] = role_rows,
    [INGEST_CLUSTER_ROLE] = cluster_role_rows,
    [INGEST_ROLE_BINDING] = role_binding_rows,
    [INGEST_CLUSTER_ROLE_BINDING] = cluster_role_binding_rows,
    [INGEST_EVENT] = event_rows,
};

err info_write(enum ingest_kind kind, const struct pick_node *object, struct text *out)
{
    const struct text before = *out;
    struct info i = {.w = json_write_as_go(out), .object = object};
    json_object(&i.w);
    info_rows(&i, tables[kind], object);
    json_object_end(&i.w);
    if (i.error == OK && out->cut)
        i.error =
            trail(E_BUDGET, "the Info of a %s does not fit %zu bytes", ingest_kinds[kind].name, before.cap - before.len - 1);
    if (i.error != OK) {
        *out = before;
        out->at[out->len] = 0;
    }
    return i.error;
}

/* The child of a map; its keys may have dots. */
static struct bytes map_text(const struct pick_node *map, const char *key)
{
    for (const struct pick_node *n = pick_first(map); n; n = pick_next(n))
        if (bytes_equal_text(pick_key(n), key))
            return pick_text(n);
    return (struct bytes){0};
}

struct info_names info_names(enum ingest_kind kind, const struct pick_node *object)
{
    const struct pick_node *metadata = pick_at(object, "metadata");
    struct info_names names = {.uid = pick_text_at(metadata, "uid"),
                               .name = pick_text_at(metadata, "name"),
                               .resource_version = pick_text_at(metadata, "resourceVersion")};
    if (ingest_kinds[kind].namespaced)
        names.name_space = pick_text_at(metadata, "namespace");
    if (kind != INGEST_NODE)
        return names;
    names.provider_id = pick_text_at(object, "spec.providerID");
    names.region = map_text(pick_at(metadata, "labels"), "topology.kubernetes.io/region");
    return names;
}
