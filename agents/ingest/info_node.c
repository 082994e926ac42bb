/* info_node: section 3.4 of the platform's protocol. */
#include "agents/ingest/info_inside.h"

#include <string.h>

#define ROLE_PREFIX "node-role.kubernetes.io/"

static void put_status(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    const struct pick_node *condition = pick_first(node);
    while (condition && !bytes_equal_text(pick_text_at(condition, "type"), "Ready"))
        condition = pick_next(condition);
    bool ready = bytes_equal_text(pick_text_at(condition, "status"), "True");
    json_put_text(&i->w, row->name, ready ? "Ready" : "NotReady");
}

/* Empty: not the label of a role. */
static struct bytes role_of(struct bytes label)
{
    size_t prefix = strlen(ROLE_PREFIX);
    if (label.len <= prefix || memcmp(label.at, ROLE_PREFIX, prefix) != 0)
        return (struct bytes){0};
    struct bytes role = bytes_after(label, prefix);
    return bytes_equal_text(role, "master") ? bytes_of("control-plane") : role;
}

/* Who is both control-plane and master has the role twice, as the platform knows it. */
static void add_roles(struct info *i, const struct info_row *row, const struct pick_node *node)
{
    struct sorted s;
    if (!sorted_open(i, &s, pick_count(node)))
        return;
    for (const struct pick_node *n = pick_first(node); n; n = pick_next(n))
        if (role_of(pick_key(n)).len > 0)
            sorted_add(&s, role_of(pick_key(n)), n);
    sorted_sort(&s);
    if (s.count > 0) {
        json_key(&i->w, row->name);
        json_array(&i->w);
        for (size_t n = 0; n < s.count; n++)
            json_bytes(&i->w, s.at[n].key);
        json_array_end(&i->w);
    }
    sorted_close(&s);
}

const struct info_row info_node_rows[] = {INFO_UID_NAME,
                                          INFO_LABELS,
                                          {"status", "status.conditions", put_status, NULL},
                                          {"roles", "metadata.labels", add_roles, NULL},
                                          {"kubelet_version", "status.nodeInfo.kubeletVersion", add_text, NULL},
                                          {"container_runtime", "status.nodeInfo.containerRuntimeVersion", add_text, NULL},
                                          {"os_image", "status.nodeInfo.osImage", add_text, NULL},
                                          {"architecture", "status.nodeInfo.architecture", add_text, NULL},
                                          {"cpu_capacity", "status.capacity.cpu", put_quantity, NULL},
                                          {"memory_capacity", "status.capacity.memory", put_quantity, NULL},
                                          {"pod_capacity", "status.capacity.pods", put_quantity, NULL},
                                          INFO_CREATED,
                                          {0}};
