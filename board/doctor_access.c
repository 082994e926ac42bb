/* doctor_access: what the ingest agent may ask of the API server. The hub itself never asks this: it learns from a 403. */
#include "board/doctor_kube.h"

#include "net/format/json_write.h"

#include <stdio.h>
#include <string.h>

#define VERBS_MAX    4
#define REVIEWS_PATH "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

struct need {
    const char *group, *resource, *part; /* part "": none; "status" */
    const char *name_space;              /* "": of the whole cluster */
    const char *name;                    /* "": of any */
    const char *verbs[VERBS_MAX];        /* NULL ends, where fewer */
};

struct access {
    struct cluster *cluster;
    unsigned asked, missing;
    err error; /* nothing more can be learned */
};

static err review(struct access *a, const struct need *n, const char *verb, bool *allowed)
{
    static const struct pick_field status[] = {{"allowed", PICK_SCALAR, NULL}, {0}};
    static const struct pick_field fields[] = {{"status", PICK_OBJECT, status}, {0}};
    char storage[KIB(1)];
    struct text body = text_over(storage, sizeof storage);
    struct json_writer w = json_write_to(&body);
    json_object(&w);
    json_put_text(&w, "apiVersion", "authorization.k8s.io/v1");
    json_put_text(&w, "kind", "SelfSubjectAccessReview");
    json_key(&w, "spec");
    json_object(&w);
    json_key(&w, "resourceAttributes");
    json_object(&w);
    json_put_text(&w, "namespace", n->name_space);
    json_put_text(&w, "verb", verb);
    json_put_text(&w, "group", n->group);
    json_put_text(&w, "resource", n->resource);
    json_put_text(&w, "subresource", n->part);
    json_put_text(&w, "name", n->name);
    json_object_end(&w);
    json_object_end(&w);
    json_object_end(&w);
    ASSERT(json_done(&w)); /* names are bounded */
    struct kube_into into = {.fields = fields, .arena = a->cluster->arena, .arena_bytes = CLUSTER_ARENA_BYTES};
    a->asked++;
    TRY(kube_ask(a->cluster->kube, KUBE_CREATE, REVIEWS_PATH, (struct bytes){(const uint8_t *)body.at, body.len}, &into,
                 doctor_until(a->cluster->doctor)));
    *allowed = pick_is_true(pick_at(into.object, "status.allowed"));
    return OK;
}

static void join(struct text *t, const char *const words[VERBS_MAX])
{
    for (size_t i = 0; i < VERBS_MAX && words[i]; i++)
        text_addf(t, "%s%s", i ? ", " : "", words[i]);
}

static void tell(struct access *a, const struct need *n, const char *const missing[VERBS_MAX])
{
    char words[96], all[96], of[DOCTOR_WORDS_MAX];
    struct text lack = text_over(words, sizeof words), whole = text_over(all, sizeof all), rule = text_over(of, sizeof of);
    bool own = *n->name_space != 0;
    join(&lack, missing);
    join(&whole, n->verbs);
    if (*n->group)
        text_addf(&rule, "{apiGroups: [%s]", n->group);
    else
        text_add(&rule, "{apiGroups: [\"\"]");
    text_addf(&rule, ", resources: [%s%s%s]", n->resource, *n->part ? "/" : "", n->part);
    if (*n->name)
        text_addf(&rule, ", resourceNames: [%s]", n->name);
    text_addf(&rule, ", verbs: [%s]}", all);
    a->missing++;
    doctor_say(a->cluster->doctor, a->cluster->probe, DOCTOR_BAD, "rbac", "may not %s %s%s%s; add to its %s%s%s: %s", words,
               n->resource, *n->part ? "/" : "", n->part, own ? "Role in " : "ClusterRole", own ? n->name_space : "", "", of);
}

static void ask(struct access *a, const struct need *n)
{
    const char *missing[VERBS_MAX + 1] = {NULL};
    unsigned count = 0;
    for (size_t i = 0; i < VERBS_MAX && n->verbs[i] && a->error == OK; i++) {
        bool allowed = true;
        a->error = review(a, n, n->verbs[i], &allowed);
        if (!allowed)
            missing[count++] = n->verbs[i];
    }
    if (count > 0)
        tell(a, n, missing);
}

/* --- what is needed --- */
/* "/apis/apps/v1" -> "apps", "/api/v1" -> "". */
static const char *group_of(const struct ingest_kind_row *kind, char out[64])
{
    static const char apis[] = "/apis/";
    const char *from = strncmp(kind->prefix, apis, sizeof apis - 1) == 0 ? kind->prefix + sizeof apis - 1 : "";
    (void)snprintf(out, 64, "%.*s", (int)strcspn(from, "/"), from);
    return out;
}

static void ask_kinds(struct access *a)
{
    const struct config *c = a->cluster->doctor->config;
    bool namespaces = *c->ingest.cluster_uid != 0;
    for (unsigned i = 0; i < c->ingest.kind_count; i++) {
        char group[64];
        enum ingest_kind kind;
        if (!ingest_kind_find(bytes_of(c->ingest.kinds[i]), &kind))
            continue;
        namespaces = namespaces || kind == INGEST_NAMESPACE;
        ask(a, &(struct need){group_of(&ingest_kinds[kind], group), ingest_kinds[kind].plural, "", "", "", {"list", "watch"}});
    }
    if (!namespaces) /* for kube-system's uid */
        ask(a, &(struct need){"", "namespaces", "", "", "", {"list"}});
}

static void ask_agents(struct access *a)
{
    const char *group = obsyk_agent_resource.group, *plural = obsyk_agent_resource.plural;
    const char *own = *kube_namespace(a->cluster->kube) ? kube_namespace(a->cluster->kube) : "default";
    ask(a, &(struct need){group, plural, "", "", "", {"get", "list", "watch"}});
    ask(a, &(struct need){group, plural, "status", "", "", {"patch"}});
    ask(a, &(struct need){"coordination.k8s.io", "leases", "", own, OBSYK_LEASE, {"get", "update"}});
    ask(a, &(struct need){"coordination.k8s.io", "leases", "", own, "", {"create"}});
    for (unsigned i = 0; i < a->cluster->agent_count; i++) {
        const struct obsyk_agent *agent = &a->cluster->agents[i];
        if (*agent->secret_name)
            ask(a, &(struct need){"", "secrets", "", agent->meta.namespace, agent->secret_name, {"get"}});
    }
}

void doctor_access(struct cluster *c)
{
    struct access a = {.cluster = c};
    ask_kinds(&a);
    if (c->doctor->config->ingest.source == INGEST_CRD)
        ask_agents(&a);
    if (a.error != OK)
        doctor_failed(c->doctor, c->probe, DOCTOR_UNKNOWN, "rbac", a.error,
                      a.error == E_DENIED ? "what we may do cannot be asked: bind the ClusterRole system:basic-user"
                                          : "look again");
    else if (a.missing == 0)
        doctor_say(c->doctor, c->probe, DOCTOR_GOOD, "rbac", "all %u permissions that it needs are there", a.asked);
}
