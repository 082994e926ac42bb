/* info_pod: section 3.2 of the platform's protocol. */
#include "agents/ingest/info_inside.h"

#include <stdlib.h>

#define ROWS(name, ...) static const struct info_row name[] = {__VA_ARGS__, {0}}

/* --- containers --- */
/* true, or nothing: of the container's own context only. */
static void add_run_as_root(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    int64_t user = -1;
    const struct pick_node *non_root = pick_at(node, "runAsNonRoot");
    bool is_root = pick_to_i64(pick_at(node, "runAsUser"), &user) && user == 0;
    if (is_root || (non_root && !pick_is_true(non_root)))
        put_true(i, row, node);
}

ROWS(resource_rows, {"cpu_request", "requests.cpu", add_quantity, NULL}, {"cpu_limit", "limits.cpu", add_quantity, NULL},
     {"memory_request", "requests.memory", add_quantity, NULL}, {"memory_limit", "limits.memory", add_quantity, NULL});
ROWS(port_rows, {"container_port", "containerPort", put_number, NULL}, {"protocol", "protocol", add_text, NULL},
     {"name", "name", add_text, NULL});
ROWS(mount_rows, {"name", "name", put_text, NULL}, {"mount_path", "mountPath", put_text, NULL},
     {"read_only", "readOnly", put_bool, NULL});
ROWS(security_rows, {"privileged", "privileged", add_bool, NULL}, {"run_as_root", "", add_run_as_root, NULL},
     {"capabilities", "capabilities.add", add_texts, NULL});
/* of its status */
ROWS(status_rows, {"ready", "ready", put_bool, NULL}, {"restart_count", "restartCount", put_number, NULL});
/* of its spec: before the status, and after it */
ROWS(head_rows, {"name", "name", put_text, NULL}, {"image", "image", put_text, NULL});
ROWS(rest_rows, {"resources", "resources", put_object, resource_rows}, {"ports", "ports", add_objects, port_rows},
     {"volume_mounts", "volumeMounts", add_objects, mount_rows}, {"env_var_names", "env", add_names, NULL},
     {"security_context", "securityContext", add_object, security_rows});

/* By name: containers and their statuses have orders of their own, and there may be thousands. */
static bool statuses_open(struct info *i, struct sorted *out, const struct pick_node *statuses)
{
    if (!sorted_open(i, out, pick_count(statuses)))
        return false;
    for (const struct pick_node *s = pick_first(statuses); s; s = pick_next(s))
        sorted_add(out, pick_text_at(s, "name"), s);
    sorted_sort(out);
    return true;
}

static void add_state(struct info *i, const struct pick_node *status)
{
    static const char *const states[] = {"running", "waiting", "terminated"}; /* the first there is */
    const struct pick_node *state = pick_at(status, "state");
    for (size_t n = 0; n < COUNT_OF(states); n++) {
        if (!pick_at(state, states[n]))
            continue;
        json_put_text(&i->w, "state", states[n]);
        return;
    }
}

static void containers_write(struct info *i, const char *name, const struct pick_node *containers, const char *statuses_path)
{
    struct sorted statuses;
    if (!pick_first(containers) || !statuses_open(i, &statuses, pick_at(i->object, statuses_path)))
        return;
    json_key(&i->w, name);
    json_array(&i->w);
    for (const struct pick_node *c = pick_first(containers); c; c = pick_next(c)) {
        const struct pick_node *status = sorted_find(&statuses, pick_text_at(c, "name"));
        json_object(&i->w);
        info_rows(i, head_rows, c);
        add_state(i, status);
        info_rows(i, status_rows, status);
        info_rows(i, rest_rows, c);
        json_object_end(&i->w);
    }
    json_array_end(&i->w);
    sorted_close(&statuses);
}

static void add_containers(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    containers_write(i, row->name, node, "status.containerStatuses");
}

static void add_init_containers(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    containers_write(i, row->name, node, "status.initContainerStatuses");
}

/* --- volumes --- */
/* "server:path" */
static void add_nfs_source(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct bytes server = pick_text_at(node, "server"), path = pick_text_at(node, "path");
    char *storage = malloc(server.len + path.len + 2);
    if (!storage) {
        info_fail(i, trail(E_BUDGET, "the path of an nfs volume"));
        return;
    }
    struct text t = text_over(storage, server.len + path.len + 2);
    text_add_bytes(&t, server);
    text_add(&t, ":");
    text_add_bytes(&t, path);
    json_key(&i->w, row->name);
    json_bytes(&i->w, (struct bytes){(const uint8_t *)t.at, t.len});
    free(storage);
}

/* The first that a volume has; the last row is every other. */
static const struct volume_type {
    const char *member, *type;
    struct info_row source;
} volume_types[] = {
    {"emptyDir", "emptyDir", {0}},
    {"configMap", "configMap", {"source", "name", add_text, NULL}},
    {"secret", "secret", {"source", "secretName", add_text, NULL}},
    {"persistentVolumeClaim", "pvc", {"source", "claimName", add_text, NULL}},
    {"hostPath", "hostPath", {"source", "path", add_text, NULL}},
    {"projected", "projected", {0}},
    {"downwardAPI", "downwardAPI", {0}},
    {"csi", "csi", {"source", "driver", add_text, NULL}},
    {"nfs", "nfs", {"source", "", add_nfs_source, NULL}},
    {"ephemeral", "ephemeral", {0}},
    {NULL, "unknown", {0}},
};

static void put_volume(struct info *i, const struct info_row *row, const struct pick_node *volume)
{
    const struct volume_type *v = volume_types;
    while (v->member && !pick_at(volume, v->member))
        v++;
    json_put_text(&i->w, row->name, v->type);
    const struct info_row source[] = {v->source, {0}};
    if (v->member)
        info_rows(i, source, pick_at(volume, v->member));
}

ROWS(volume_rows, {"name", "name", put_text, NULL}, {"type", "", put_volume, NULL}); /* and source */
ROWS(condition_rows, {"type", "type", put_text, NULL}, {"status", "status", put_text, NULL});

const struct info_row info_pod_rows[] = {INFO_UID_NAME,
                                         INFO_NAMESPACE,
                                         INFO_LABELS,
                                         {"node_name", "spec.nodeName", add_text, NULL},
                                         {"service_account", "spec.serviceAccountName", add_text, NULL},
                                         {"phase", "status.phase", add_text, NULL},
                                         {"qos_class", "status.qosClass", add_text, NULL},
                                         {"priority_class_name", "spec.priorityClassName", add_text, NULL},
                                         {"host_ip", "status.hostIP", add_text, NULL},
                                         {"pod_ip", "status.podIP", add_text, NULL},
                                         {"conditions", "status.conditions", add_objects, condition_rows},
                                         {"containers", "spec.containers", add_containers, NULL},
                                         {"init_containers", "spec.initContainers", add_init_containers, NULL},
                                         {"volumes", "spec.volumes", add_objects, volume_rows},
                                         INFO_CREATED,
                                         {0}};
