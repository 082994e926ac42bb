/* cluster_model: see cluster_model.h */
#include "tests/sim/cluster_model.h"

#include "board/rt/text.h"
#include "tests/sim/sim.h"
#include "tests/support/kube_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX MIB(1)

struct cluster *cluster;
const struct cluster_kind cluster_kinds[KINDS] = {{"/api/v1/pods", "Pod", "\"pods\":["},
                                                  {"/api/v1/secrets", "Secret", "\"secrets\":["}};

static uint32_t version_now(void)
{
    return cluster->logged + 1;
}

/* Its last change not after `version`; NULL: it never was. */
static const struct logged *state_at(unsigned kind, unsigned name, uint32_t version)
{
    for (unsigned i = cluster->logged; i-- > 0;)
        if (cluster->log[i].version <= version && cluster->log[i].kind == kind && cluster->log[i].name == name)
            return &cluster->log[i];
    return NULL;
}

const struct logged *cluster_last(unsigned kind, unsigned name)
{
    return state_at(kind, name, UINT32_MAX);
}

void cluster_compact(void)
{
    cluster->compacted = version_now();
}

void cluster_change(unsigned kind, unsigned name, enum change change, bool value, unsigned padding)
{
    const struct logged *before = cluster_last(kind, name);
    bool there = before && before->change != DELETED;
    SIM_CHECK(cluster->logged < CHANGES_MAX && kind < KINDS && name < NAMES);
    if (change == DELETED && !there)
        return;
    struct logged *l = &cluster->log[cluster->logged];
    *l = (struct logged){.kind = (uint8_t)kind, .name = (uint16_t)name, .version = version_now() + 1};
    l->change = change == DELETED ? DELETED : there ? MODIFIED : ADDED;
    l->life = before ? (uint8_t)(before->life + !there) : 0;
    l->value = before && there && !value ? before->value : l->version;
    l->padding = there ? before->padding : (uint16_t)padding;
    SIM_CHECK(l->life < LIVES);
    cluster->logged++;
}

static void object_put(struct text *t, const struct logged *l)
{
    text_addf(t,
              "{\"metadata\":{\"name\":\"n%u\",\"namespace\":\"ns\",\"uid\":\"%u.%u.%u\",\"resourceVersion\":\"%u\","
              "\"creationTimestamp\":\"2025-01-01T00:00:00Z\",\"labels\":{\"v\":\"%u\"}",
              l->name, l->kind, l->name, l->life, l->version, l->value);
    if (l->padding)
        text_addf(t, ",\"annotations\":{\"p\":\"%0*u\"}", l->padding, 0u);
    text_add(t, "}");
    if (l->kind == 1)
        text_add(t, ",\"type\":\"Opaque\",\"data\":{\"a\":\"c2VjcmV0\"}");
    text_add(t, "}");
}

/* --- its answers --- */

static struct kube_peer api = {.listener = {.fd = -1}};

static int kind_of(const char *line)
{
    for (unsigned k = 0; k < KINDS; k++)
        if (strncmp(line + 4, cluster_kinds[k].plural, strlen(cluster_kinds[k].plural)) == 0)
            return (int)k;
    return -1;
}

static unsigned number_in(const char *line, const char *key, unsigned otherwise)
{
    const char *at = strstr(line, key);
    return at ? (unsigned)strtoul(at + strlen(key), NULL, 10) : otherwise;
}

static const struct kube_reply gone = {"", 0, 410, "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"x\"}",
                                       NULL};
static const struct kube_reply refusals[] = {
    {"", 0, 401, "{\"kind\":\"Status\",\"code\":401,\"reason\":\"Unauthorized\",\"message\":\"x\"}", NULL},
    {"", 0, 403, "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"message\":\"x\"}", NULL},
    {"", 0, 500, "{\"kind\":\"Status\",\"code\":500,\"reason\":\"InternalError\",\"message\":\"x\"}", NULL}};
static const struct kube_reply patience = {"", 0, 429, "{\"kind\":\"Status\",\"code\":429,\"message\":\"x\"}",
                                           "Retry-After: 3600"};
static const struct kube_reply down = {"", 0, 0, "", NULL};

/* A page as of the version of the first one; a continue token is "VERSION.NAME". */
static const struct kube_reply *list_reply(const char *line, unsigned kind)
{
    static char texts[KINDS][TEXT_MAX];
    static struct kube_reply replies[KINDS];
    struct text t = text_over(texts[kind], TEXT_MAX);
    const char *token = strstr(line, "&continue=");
    unsigned version = version_now(), name = 0, limit = number_in(line, "limit=", 500), given = 0;
    if (token)
        SIM_CHECK(sscanf(token, "&continue=%u.%u", &version, &name) == 2);
    version = number_in(line, "resourceVersion=", version);
    if (token && (cluster->expire || version < cluster->compacted)) {
        cluster->expire = false;
        return &gone;
    }
    limit = cluster->page && cluster->page < limit ? cluster->page : limit;
    text_add(&t, "{\"kind\":\"List\",\"items\":[");
    for (; name < NAMES && given < limit; name++) {
        const struct logged *l = state_at(kind, name, version);
        if (!l || l->change == DELETED)
            continue;
        text_add(&t, given++ ? "," : "");
        object_put(&t, l);
        if (cluster->stick_list) {
            cluster->stick_list = false;
            text_add(&t, ",{\"metadata\":{\"na" KP_STUCK);
        }
    }
    text_addf(&t, "],\"metadata\":{\"resourceVersion\":\"%u\"", version);
    if (name < NAMES)
        text_addf(&t, ",\"continue\":\"%u.%u\"", version, name);
    text_add(&t, "}}");
    SIM_CHECK(!t.cut);
    replies[kind] = (struct kube_reply){"", 0, 200, texts[kind], NULL};
    return &replies[kind];
}

static const struct kube_reply *answer(void *arg, const char *line)
{
    static const struct kube_reply watch = {"", 0, 200, KP_LIVE, NULL};
    int kind = kind_of(line);
    (void)arg;
    api.told[0] = 0;
    if (cluster->down)
        return &down;
    if (kind < 0)
        return NULL;
    bool lists = !strstr(line, "watch=1");
    if (cluster->refused == 429 && !lists)
        return &patience;
    bool refused = cluster->refused && cluster->refused != 429 && (cluster->refused == 401 || kind == 0);
    if (refused)
        return &refusals[cluster->refused == 403 ? 1 : cluster->refused == 500 ? 2 : 0];
    if (lists)
        return list_reply(line, (unsigned)kind);
    return number_in(line, "resourceVersion=", 0) < cluster->compacted ? &gone : &watch;
}

/* One event at a time: *at is the version that was told last. */
static const char *live(void *arg, const char *line, uint64_t *at)
{
    static const char *const words[] = {"ADDED", "MODIFIED", "DELETED"};
    static char texts[KINDS][KIB(4)];
    int kind = kind_of(line);
    (void)arg;
    if (cluster->down)
        return KP_CUT;
    if (*at == 0)
        *at = number_in(line, "resourceVersion=", 0);
    for (unsigned i = *at > 1 ? (unsigned)*at - 1 : 0; i < cluster->logged; i++) {
        const struct logged *l = &cluster->log[i];
        struct text t = text_over(texts[kind], sizeof texts[kind]);
        *at = l->version;
        if (l->kind != kind)
            continue;
        text_addf(&t, "{\"type\":\"%s\",\"object\":", words[l->change]);
        object_put(&t, l);
        text_add(&t, "}\n");
        SIM_CHECK(!t.cut);
        if (cluster->stick_watch) {
            cluster->stick_watch = false;
            (void)snprintf(texts[kind] + t.len / 2, 2, "%s", KP_STUCK);
        }
        return texts[kind];
    }
    return "";
}

err cluster_open(void)
{
    static const struct kube_reply none[1];
    api.at = sim_ip(CLUSTER_AT);
    api.replies = none;
    api.answer = answer;
    api.live = live;
    return kube_peer_open(&api);
}

void cluster_close(void)
{
    kube_peer_close(&api);
}
