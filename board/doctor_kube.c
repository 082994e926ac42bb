/* doctor_kube: the cluster that the ingest agent streams: the API server, what we may ask of it, ObsykAgents, their Secrets, and
 * the platforms. Of Secrets the names of the keys, never a value. */
#include "board/doctor_kube.h"

#include "board/rt/secret.h"
#include "net/api/oauth2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CERTIFICATE_WARN_S (14 * INT64_C(86400))

static void say_failed(struct cluster *c, const char *subject, err e, const char *advice)
{
    doctor_failed(c->doctor, c->probe, DOCTOR_BAD, subject, e, *advice ? advice : doctor_advice(e));
}

/* --- the API server --- */
static void look_certificate(struct cluster *c)
{
    int64_t left_s = kube_expires_s(c->kube) - loop_wall_ms() / 1000;
    if (kube_expires_s(c->kube) != 0 && left_s < CERTIFICATE_WARN_S)
        doctor_say(c->doctor, c->probe, left_s < 0 ? DOCTOR_BAD : DOCTOR_WARN, "kubernetes",
                   "our client certificate ends in %lld days; renew it", (long long)(left_s / 86400));
}

/* False: nothing more can be learned. */
static bool look_server(struct cluster *c)
{
    static const struct pick_field fields[] = {{"gitVersion", PICK_SCALAR, NULL}, {0}};
    struct kube_into into = {.fields = fields, .arena = c->arena, .arena_bytes = CLUSTER_ARENA_BYTES};
    err e = kube_ask(c->kube, KUBE_GET, "/version", (struct bytes){0}, &into, doctor_until(c->doctor));
    if (e != OK && into.status.code == 403) {
        trail_clear();
        doctor_say(c->doctor, c->probe, DOCTOR_WARN, "kubernetes", "%s answers, but /version may not be read",
                   kube_server(c->kube));
        return true;
    }
    if (e != OK) {
        say_failed(c, "kubernetes", e,
                   into.status.code != 401    ? ""
                   : kube_in_cluster(c->kube) ? "it does not know the pod's token; is the service account still there?"
                                              : "it does not know the kubeconfig's certificate or token; make new ones");
        return false;
    }
    struct bytes version = pick_text_at(into.object, "gitVersion");
    doctor_say(c->doctor, c->probe, DOCTOR_GOOD, "kubernetes", "%s answers, Kubernetes %.*s", kube_server(c->kube),
               (int)size_min(version.len, 32), version.len ? (const char *)version.at : "");
    look_certificate(c);
    return true;
}

/* --- the agents --- */
static err agent_take(void *arg, const struct kube_item *i)
{
    struct cluster *c = arg;
    char errors[CUSTOM_ERRORS_BYTES], subject[DOCTOR_SUBJECT_MAX];
    struct text t = text_over(errors, sizeof errors);
    if (c->agent_count == CLUSTER_AGENTS_MAX) {
        c->agents_beyond++;
        return OK;
    }
    struct obsyk_agent *agent = &c->agents[c->agent_count++];
    err e = custom_read(&obsyk_agent_resource, i->object, agent, &t);
    if (e == OK)
        return OK;
    trail_clear();
    (void)snprintf(subject, sizeof subject, "agent %.40s/%.40s", agent->meta.namespace, agent->meta.name);
    doctor_say(c->doctor, c->probe, DOCTOR_BAD, subject, "%s", i->oversized ? "it is too large to be read" : errors);
    c->agents_bad++;
    return OK;
}

/* False: there are none to be looked at. */
static bool look_agents(struct cluster *c)
{
    struct kube_list list = {.path = "/apis/obsyk.io/v1/obsykagents",
                             .fields = custom_fields,
                             .limit = 50,
                             .arena = c->arena,
                             .arena_bytes = CLUSTER_ARENA_BYTES,
                             .item = agent_take,
                             .arg = c};
    struct kube_page page = {0};
    err e = kube_list_all(c->kube, &list, &page, doctor_until(c->doctor));
    if (e == E_ABSENT) {
        trail_clear();
        doctor_say(c->doctor, c->probe, DOCTOR_BAD, "agents",
                   "the cluster does not know ObsykAgents; holdfast crd | kubectl apply -f -");
    } else if (e == E_DENIED) {
        trail_clear(); /* rbac tells */
    } else if (e != OK) {
        say_failed(c, "agents", e, "");
    } else if (c->agent_count == 0) {
        doctor_say(c->doctor, c->probe, DOCTOR_WARN, "agents",
                   "there is no ObsykAgent, so nothing is sent; config/kustomize/example/agent.yaml is one");
    } else if (c->agents_beyond) {
        doctor_say(c->doctor, c->probe, DOCTOR_WARN, "agents",
                   "%u more than are looked at; a hub serves one to four, by its profile", c->agents_beyond);
    }
    return e == OK;
}

static void look_secret(struct cluster *c, const struct obsyk_agent *a, const char *subject)
{
    static const struct kube_resource secrets = {"", "v1", "secrets", true};
    static const struct pick_field credentials[] = {{"client_id", PICK_SCALAR, NULL}, {"private_key", PICK_SCALAR, NULL}, {0}};
    static const struct pick_field fields[] = {{"data", PICK_OBJECT, credentials}, {0}};
    struct kube_into into = {.fields = fields, .arena = c->arena, .arena_bytes = CLUSTER_ARENA_BYTES};
    char path[KUBE_PATH_MAX];
    if (!kube_path(&secrets, a->meta.namespace, a->secret_name, NULL, path))
        return; /* told as no name */
    err e = kube_ask(c->kube, KUBE_GET, path, (struct bytes){0}, &into, doctor_until(c->doctor));
    if (e == OK)
        doctor_secret(c, subject, a->secret_name, pick_at(into.object, "data"));
    else if (e == E_ABSENT)
        doctor_say(
            c->doctor, c->probe, DOCTOR_BAD, subject,
            "its Secret is not there; kubectl -n %s create secret generic %s --from-file=client_id --from-file=private_key",
            a->meta.namespace, a->secret_name);
    else if (e != E_DENIED) /* which rbac tells */
        say_failed(c, subject, e, "");
    trail_clear();
    wipe(c->arena, CLUSTER_ARENA_BYTES);
}

/* --- platforms --- */
static void look_platform(struct cluster *c, const char *subject, const char *platform_url)
{
    const struct config *config = c->doctor->config;
    struct doctor_files f = {.key = "ingest", .ca = config->ingest.ca, .cert = "", .cert_key = ""};
    struct tls_config *tls = NULL;
    struct url u;
    err e = oauth2_platform(platform_url, config->ingest.allow_plaintext, &u);
    if (e == OK && u.tls) {
        doctor_tls(c->doctor, c->probe, &f, &tls);
        if (!tls) {
            doctor_say(c->doctor, c->probe, DOCTOR_UNKNOWN, subject,
                       "its platform is not asked: the CA is not usable, see ingest.ca");
            return;
        }
    }
    if (e == OK)
        e = doctor_ask_date(c->doctor, &u, tls);
    if (e == OK)
        doctor_say(c->doctor, c->probe, DOCTOR_GOOD, subject, "its platform %s answers", u.host);
    else
        say_failed(c, subject, e, "");
    tls_config_release(tls);
}

static void look_each(struct cluster *c)
{
    for (unsigned i = 0; i < c->agent_count; i++) {
        const struct obsyk_agent *a = &c->agents[i];
        char subject[DOCTOR_SUBJECT_MAX];
        (void)snprintf(subject, sizeof subject, "agent %.40s/%.40s", a->meta.namespace, a->meta.name);
        if (*a->secret_name)
            look_secret(c, a, subject);
        if (*a->platform_url)
            look_platform(c, subject, a->platform_url);
    }
}

/* --- all of it --- */
static void look_cluster(struct cluster *c)
{
    const struct config *config = c->doctor->config;
    struct kube_options o = {.kubeconfig = config->kubernetes.kubeconfig,
                             .context = config->kubernetes.context,
                             .lane = &c->lane,
                             .dns = c->doctor->dns};
    err e = kube_open(&o, doctor_until(c->doctor), &c->kube);
    if (e != OK) {
        say_failed(c, "kubernetes", e, "");
        return;
    }
    if (look_server(c)) {
        bool listed = config->ingest.source == INGEST_CRD && look_agents(c);
        doctor_access(c);
        if (listed)
            look_each(c);
    }
    kube_close(c->kube);
}

static void look(struct cluster *c)
{
    const struct config *config = c->doctor->config;
    look_cluster(c);
    if (config->ingest.source != INGEST_CONFIG)
        return;
    doctor_credential_files(c);
    look_platform(c, "ingest.platform_url", config->ingest.platform_url);
}

void doctor_kube(struct doctor *d, const struct doctor_probe *p)
{
    struct cluster *c = calloc(1, sizeof *c);
    uint64_t *arena = malloc(CLUSTER_ARENA_BYTES);
    if (c && arena) {
        c->doctor = d;
        c->probe = p;
        c->arena = arena;
        lane_open(&c->lane, "doctor", mem_task(), 1);
        look(c);
        lane_close(&c->lane);
    } else {
        doctor_say(d, p, DOCTOR_UNKNOWN, "kubernetes", "no memory to look at it");
    }
    free(arena);
    free(c);
}
