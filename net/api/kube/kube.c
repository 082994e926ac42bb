/* kube: the client, its options and its paths. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- opening --- */

static bool copy(char *out, size_t cap, const char *given, const char *variable)
{
    const char *value = given;
    if (!value && variable)
        value = getenv(variable);
    struct text t = text_over(out, cap);
    text_add(&t, value ? value : "");
    return !t.cut;
}

static err options_take(struct kube *k, const struct kube_options *o)
{
    bool fits = copy(k->kubeconfig, sizeof k->kubeconfig, o->kubeconfig, NULL) &&
                copy(k->context, sizeof k->context, o->context, NULL) &&
                copy(k->account, sizeof k->account, o->account_folder ? o->account_folder : KUBE_ACCOUNT_FOLDER, NULL) &&
                copy(k->host, sizeof k->host, o->service_host, "KUBERNETES_SERVICE_HOST") &&
                copy(k->port, sizeof k->port, o->service_port, "KUBERNETES_SERVICE_PORT");
    if (!fits)
        return trail(E_CONFIG, "kubernetes.kubeconfig, kubernetes.context or KUBERNETES_SERVICE_HOST is too long");
    if (!k->kubeconfig[0] && k->context[0])
        return trail(E_CONFIG, "kubernetes.context is of a kubeconfig: set kubernetes.kubeconfig too");
    if (!k->kubeconfig[0] && (!k->host[0] || !k->port[0]))
        return trail(E_CONFIG, "no way to Kubernetes: kubernetes.kubeconfig is not set, and there is no pod's environment "
                               "(KUBERNETES_SERVICE_HOST and _PORT)");
    k->lane = o->lane;
    k->dns = o->dns;
    k->user_agent = o->user_agent ? o->user_agent : "holdfast";
    k->watch_window_bytes = o->watch_window_bytes;
    k->connections_max = o->connections_max > 0 && o->connections_max < KUBE_CONNECTIONS ? o->connections_max : KUBE_CONNECTIONS;
    return OK;
}

err kube_open(const struct kube_options *o, ms deadline, struct kube **out)
{
    struct kube *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k)
        return E_BUDGET;
    err e = options_take(k, o);
    if (e == OK)
        e = kube_settings_read(k, deadline, &k->settings);
    if (e != OK) {
        free(k);
        return e;
    }
    k->read_at = loop_now();
    *out = k;
    return OK;
}

void kube_close(struct kube *k)
{
    if (!k)
        return;
    ASSERT(!k->bell); /* its watches are closed before */
    kube_links_close(k);
    kube_settings_wipe(&k->settings);
    free(k);
}

const char *kube_server(const struct kube *k)
{
    return k->settings.server;
}

const char *kube_namespace(const struct kube *k)
{
    return k->settings.name_space;
}

bool kube_in_cluster(const struct kube *k)
{
    return !k->kubeconfig[0];
}

int64_t kube_expires_s(const struct kube *k)
{
    return k->settings.expires_s;
}

struct kube_stats kube_stats(const struct kube *k)
{
    struct kube_stats s = k->stats;
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++)
        s.connections += k->links[i].web && !k->links[i].dead;
    return s;
}

/* --- paths --- */

/* RFC 1123 names, and what RBAC's objects are called ("system:node"); no slash, no percent, no dots alone. */
static bool name_is_safe(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._:", c)))
            return false;
    }
    return len > 0 && len < KUBE_NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool kube_path(const struct kube_resource *r, const char *name_space, const char *name, const char *part, char out[KUBE_PATH_MAX])
{
    struct text t = text_over(out, KUBE_PATH_MAX);
    const char *const given[] = {name_space, name, part};
    for (size_t i = 0; i < COUNT_OF(given); i++)
        if (given[i] && !name_is_safe(given[i]))
            return false;
    if (*r->group)
        text_addf(&t, "/apis/%s/%s", r->group, r->version);
    else
        text_addf(&t, "/api/%s", r->version);
    if (r->namespaced && name_space)
        text_addf(&t, "/namespaces/%s", name_space);
    text_addf(&t, "/%s", r->plural);
    if (name)
        text_addf(&t, "/%s", name);
    if (part)
        text_addf(&t, "/%s", part);
    return !t.cut;
}

void kube_query_add(struct text *t, const char *key, struct bytes value)
{
    text_addf(t, "%c%s=", strchr(t->at, '?') ? '&' : '?', key);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
        text_addf(t, plain ? "%c" : "%%%02X", c);
    }
}
