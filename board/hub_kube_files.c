/* hub_kube_files: the files that the kubeconfig names. They may lie anywhere, and are read again as long as the hub runs. */
#include "board/hub.h"

#include "board/rt/file.h"
#include "net/format/kubeconfig.h"

#include <stdio.h>

#define LOOK_UP_MS SECONDS(5)

/* What cannot be read names none: the agent tells why. */
static err read_them(const struct config *c, struct lane *lane, struct hub_kube_files *out)
{
    struct buf *file = NULL;
    struct kubeconfig *k = NULL;
    TRY(file_read_small(lane, c->kubernetes.kubeconfig, KUBECONFIG_BYTES_MAX, loop_now() + LOOK_UP_MS, &file));
    err e = kubeconfig_open((struct bytes){file->at, file->len}, c->kubernetes.kubeconfig, c->kubernetes.context, &k);
    wipe(file->at, file->len);
    buf_release(file);
    TRY(e);
    const struct kubeconfig_value *const values[HUB_KUBE_FILES] = {&k->ca, &k->cert, &k->key, &k->token};
    for (size_t i = 0; i < HUB_KUBE_FILES; i++)
        (void)snprintf(out->path[i], sizeof out->path[i], "%s", values[i]->data.at ? "" : values[i]->path);
    kubeconfig_close(k);
    return OK;
}

void hub_kube_files(const struct config *c, struct hub_kube_files *out)
{
    struct lane lane;
    uint64_t mark = trail_mark();
    *out = (struct hub_kube_files){.path = {""}};
    if (!c->ingest.enabled || !*c->kubernetes.kubeconfig)
        return;
    lane_open(&lane, "kubeconfig", TASK_BOARD, 1);
    err_ignore(read_them(c, &lane, out));
    lane_close(&lane);
    trail_rewind(mark);
}
