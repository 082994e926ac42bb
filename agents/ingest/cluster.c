/* cluster: what is needed before the first list: the client, TLS towards the platforms, who the cluster is. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_LOOKED_AT 20

static err platform_tls(struct ingest *in)
{
    static const char *const protocols[] = {"h2", "http/1.1", NULL};
    struct tls_trust *trust = NULL;
    const char *ca = in->config->ingest.ca;
    ms deadline = loop_now() + INGEST_ASK_MS_MAX;
    err e = *ca ? tls_trust_file(&in->lane, ca, deadline, &trust) : tls_trust_system(&in->lane, deadline, &trust);
    if (e != OK)
        return *ca ? trail(e, "ingest.ca %s", ca)
                   : trail(e, "this machine has no certificates of its own; say in ingest.ca which sign the platform's");
    struct tls_options o = {.trust = trust, .alpn = protocols};
    e = tls_config_open(&o, &in->tls);
    tls_trust_release(trust);
    return e;
}

err cluster_connect(struct ingest *in)
{
    const struct config *c = in->config;
    struct kube_options o = {.kubeconfig = c->kubernetes.kubeconfig,
                             .watch_window_bytes = in->limits->watch_bytes,
                             .context = c->kubernetes.context,
                             .lane = &in->lane,
                             .dns = in->dns,
                             .user_agent = "holdfast",
                             .connections_max = mem_profile()->task[TASK_INGEST].connections / 2};
    TRY(file_make_folder(&in->lane, in->folder, loop_now() + INGEST_ASK_MS_MAX));
    TRY(kube_open(&o, loop_now() + INGEST_ASK_MS_MAX, &in->kube));
    err e = platform_tls(in);
    /* without certificates a platform at http://localhost can still be reached; outlets say so */
    if (e == E_ABSENT && !*c->ingest.ca) {
        trail_clear();
        return OK;
    }
    return e;
}

void cluster_disconnect(struct ingest *in)
{
    struct kube *kube = in->kube;
    in->kube = NULL;
    kube_close(kube);
    tls_config_release(in->tls);
    in->tls = NULL;
}

/* --- who it is --- */

struct found {
    char *uid;
    size_t cap;
};

static const struct pick_field name_fields[] = {{"uid", PICK_SCALAR, NULL}, {"name", PICK_SCALAR, NULL}, {NULL, 0, NULL}};
static const struct pick_field namespace_fields[] = {{"metadata", PICK_OBJECT, name_fields}, {NULL, 0, NULL}};

static err take_uid(void *arg, const struct kube_item *i)
{
    struct found *f = arg;
    struct bytes uid = pick_text_at(i->object, "metadata.uid");
    if (!bytes_equal_text(pick_text_at(i->object, "metadata.name"), "kube-system") || uid.len >= f->cap)
        return OK;
    memcpy(f->uid, uid.at, uid.len);
    f->uid[uid.len] = 0;
    return OK;
}

/* By LIST: a GET of one namespace is more than the original's role allows. */
static err find_uid(struct ingest *in)
{
    struct found f = {in->cluster_uid, sizeof in->cluster_uid};
    struct kube_list list = {.path = "/api/v1/namespaces?fieldSelector=metadata.name%3Dkube-system",
                             .fields = namespace_fields,
                             .arena = in->list_arena,
                             .arena_bytes = in->limits->arena_bytes,
                             .item = take_uid,
                             .arg = &f};
    struct kube_page *page = calloc(1, sizeof *page);
    if (!page)
        return E_BUDGET;
    in->cluster_uid[0] = 0; /* of a session before this one */
    err e = kube_list_all(in->kube, &list, page, loop_now() + INGEST_ASK_MS_MAX);
    free(page);
    if (e == OK && !*in->cluster_uid)
        e = trail(E_ABSENT, "the cluster has no namespace kube-system; say in ingest.cluster_uid who it is");
    return e;
}

static err find_version(struct ingest *in)
{
    static const struct pick_field fields[] = {{"gitVersion", PICK_SCALAR, NULL}, {NULL, 0, NULL}};
    struct kube_into into = {.fields = fields, .arena = in->list_arena, .arena_bytes = in->limits->arena_bytes};
    err e = kube_ask(in->kube, KUBE_GET, "/version", (struct bytes){0}, &into, loop_now() + INGEST_ASK_MS_MAX);
    if (e == E_DENIED && into.status.code == 403) { /* as find_place() */
        trail_clear();
        return OK;
    }
    TRY(e);
    struct bytes v = pick_text_at(into.object, "gitVersion");
    if (v.len > 0 && v.at[0] == 'v')
        v = (struct bytes){v.at + 1, v.len - 1};
    (void)snprintf(in->kubernetes_version, sizeof in->kubernetes_version, "%.*s", (int)v.len, (const char *)v.at);
    return OK;
}

/* --- where it runs: by its nodes --- */

static void see_node(struct ingest *in, const struct info_names *names)
{
    static const struct {
        const char *scheme, *platform;
    } clouds[] = {{"aws:", "eks"}, {"gce:", "gke"}, {"azure:", "aks"}, {"kind:", "kind"}};
    for (size_t i = 0; i < COUNT_OF(clouds) && !*in->platform; i++) {
        size_t length = strlen(clouds[i].scheme);
        if (names->provider_id.len > length && memcmp(names->provider_id.at, clouds[i].scheme, length) == 0)
            (void)snprintf(in->platform, sizeof in->platform, "%s", clouds[i].platform);
    }
    if (!*in->region && names->region.len > 0)
        (void)snprintf(in->region, sizeof in->region, "%.*s", (int)names->region.len, (const char *)names->region.at);
}

static err take_node(void *arg, const struct kube_item *i)
{
    struct info_names names = info_names(INGEST_NODE, i->object);
    see_node(arg, &names);
    return OK;
}

/* Some nodes tell of all. Who may not list them gets a snapshot without. */
static err find_place(struct ingest *in)
{
    const struct ingest_kind_row *row = &ingest_kinds[INGEST_NODE];
    struct kube_list list = {.path = "/api/v1/nodes",
                             .fields = row->fields,
                             .limit = NODES_LOOKED_AT,
                             .arena = in->list_arena,
                             .arena_bytes = in->limits->arena_bytes,
                             .item = take_node,
                             .arg = in};
    struct kube_page *page = calloc(1, sizeof *page);
    if (!page)
        return E_BUDGET;
    err e = kube_list_page(in->kube, &list, page, loop_now() + INGEST_ASK_MS_MAX);
    free(page);
    if (e == E_DENIED)
        trail_clear();
    return e == E_DENIED ? OK : e;
}

err cluster_identify(struct ingest *in)
{
    if (*in->config->ingest.cluster_uid)
        (void)snprintf(in->cluster_uid, sizeof in->cluster_uid, "%s", in->config->ingest.cluster_uid);
    else
        TRY(find_uid(in));
    if (in->config->ingest.environment != ENVIRONMENT_AUTO)
        return OK;
    TRY(find_version(in));
    return in->kinds[INGEST_NODE].state == KIND_OFF ? OK : find_place(in);
}
