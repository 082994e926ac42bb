/* agents_tell: the Secret of an ObsykAgent is read, its status written. */
#include "agents/ingest/agents_internal.h"

#include "board/rt/log.h"
#include "board/rt/secret.h"
#include "net/format/base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREDENTIALS_MS SECONDS(10) /* how long a changed Secret may go unseen */
#define AGAIN_MS       SECONDS(30) /* after what failed */
#define STATUS_BYTES   KIB(16)

/* --- credentials --- */

static const struct pick_field secret_fields[] = {{"data", PICK_MAP, NULL}, {NULL, 0, NULL}};

static err secret_part(const struct pick_node *secret, const char *key, const char *name, uint8_t *out, size_t cap, size_t *len)
{
    const struct pick_node *part = pick_at(pick_at(secret, "data"), key);
    if (!part)
        return trail(E_INVALID, "Secret %s has no key %s; add it", name, key);
    if (base64_decode(BASE64_STANDARD, pick_text(part), out, cap, len) != OK)
        return trail(E_INVALID, "Secret %s: %s is too long or no base64", name, key);
    return OK;
}

static err client_id_of(const struct pick_node *secret, const char *name, char out[JWT_CLIENT_ID_MAX])
{
    size_t len = 0;
    TRY(secret_part(secret, "client_id", name, (uint8_t *)out, JWT_CLIENT_ID_MAX - 1, &len));
    err e = jwt_client_id((struct bytes){(const uint8_t *)out, len}, out);
    return e == OK ? OK : trail(e, "Secret %s: client_id is empty", name);
}

static err key_of(const struct pick_node *secret, const char *name, struct pem_key *out)
{
    size_t len = 0;
    uint8_t *text = malloc(PEM_KEY_TEXT_MAX);
    if (!text)
        return E_BUDGET;
    err e = secret_part(secret, "private_key", name, text, PEM_KEY_TEXT_MAX, &len);
    if (e == OK) {
        e = pem_key_parse((struct bytes){text, len}, out, NULL);
        e = e == OK ? OK : trail(e, "Secret %s: private_key", name);
    }
    wipe(text, PEM_KEY_TEXT_MAX);
    free(text);
    return e;
}

static err take_credentials(struct agents *a, struct agent *s, const struct pick_node *secret)
{
    char client_id[JWT_CLIENT_ID_MAX];
    struct pem_key key = {0};
    (void)a;
    err e = client_id_of(secret, s->secret_name, client_id);
    if (e == OK)
        e = key_of(secret, s->secret_name, &key);
    if (e == OK)
        e = oauth2_set_credentials(s->outlet->oauth2, client_id, &key);
    pem_key_wipe(&key);
    return e;
}

static err read_secret(struct agents *a, struct agent *s)
{
    static const struct kube_resource secrets = {"", "v1", "secrets", true};
    char path[KUBE_PATH_MAX];
    struct kube_into into = {.fields = secret_fields, .arena = a->arena, .arena_bytes = AGENTS_ARENA};
    if (!kube_path(&secrets, s->is.meta.namespace, s->secret_name, NULL, path))
        return trail(E_INVALID, "spec.credentialsSecretRef.name is no name of a Secret");
    err e = kube_ask(a->in->kube, KUBE_GET, path, (struct bytes){0}, &into, loop_now() + INGEST_ASK_MS_MAX);
    if (e == OK)
        e = take_credentials(a, s, into.object);
    else if (e != E_CANCELED)
        e = trail(e, "Secret %s/%s", s->is.meta.namespace, s->secret_name);
    wipe(a->arena, AGENTS_ARENA);
    return e;
}

static void note_credentials(struct outlet *o)
{
    if (!o->has_credentials)
        bell_ring(&o->changed);
    o->has_credentials = true;
}

/* What was good stays in force while the Secret cannot be read. */
err agents_read_credentials(struct agents *a, struct agent *s)
{
    err e = read_secret(a, s);
    if (e == E_CANCELED)
        return e;
    bool was = s->credentials_failed;
    s->credentials_failed = e != OK;
    s->credentials_at = loop_now() + CREDENTIALS_MS;
    if (e == OK)
        note_credentials(s->outlet);
    else
        (void)trail_text(e, s->why, sizeof s->why);
    if (e != OK && !was)
        log_error("the platform's credentials cannot be used", F("agent", s->outlet->name), F("why", s->why));
    if (e != OK && !s->outlet->has_credentials)
        (void)snprintf(s->outlet->why, sizeof s->outlet->why, "%.*s", (int)sizeof s->outlet->why - 1, s->why);
    else if (e == OK && was)
        s->outlet->why[0] = 0;
    if (was != s->credentials_failed)
        s->status_at = loop_now();
    trail_clear();
    return OK;
}

/* --- status --- */

static err set(struct obsyk_agent *next, enum obsyk_condition c, const char *message)
{
    return obsyk_agent_set(next, c, message, loop_wall_ms() / 1000);
}

static err set_healthy(struct obsyk_agent *next)
{
    TRY(set(next, OBSYK_AGENT_RUNNING, "The agent streams the cluster"));
    TRY(set(next, OBSYK_SYNC_ACTIVE, "Snapshot delivered, changes are streamed"));
    TRY(set(next, OBSYK_AGENT_HEALTHY, "Nothing is wrong"));
    next->observed_generation = next->meta.generation;
    return OK;
}

static void set_counts(const struct ingest *in, struct obsyk_agent *next)
{
    for (enum ingest_kind k = 0; in->live && k < INGEST_KIND_COUNT; k++)
        next->counts[k] = index_count(in->index, k);
}

/* A failure is told by its one condition; the others stay as they are. Available is not, where nothing can be streamed: the
 * original's stays True. */
static err set_conditions(const struct agent *s, struct obsyk_agent *next)
{
    const struct outlet *o = s->outlet;
    if ((s->has_problem && !o) || (s->credentials_failed && o && !o->has_credentials))
        TRY(set(next, OBSYK_AGENT_STOPPED, "Nothing is streamed; Degraded says why"));
    if (s->has_problem)
        return set(next, s->problem, s->why);
    if (s->credentials_failed)
        return set(next, OBSYK_AUTHENTICATION_ERROR, s->why);
    if (!o)
        return OK;
    if (o->snapshot_failed)
        return set(next, o->too_large ? OBSYK_SNAPSHOT_TOO_LARGE : OBSYK_SNAPSHOT_FAILED, o->why);
    if (o->heartbeat_failed)
        return set(next, OBSYK_HEARTBEAT_FAILED, o->why);
    return o->last_snapshot_s ? set_healthy(next) : OK;
}

static err status_of(struct agents *a, struct agent *s, struct obsyk_agent *next)
{
    *next = s->is;
    (void)snprintf(next->cluster_uid, sizeof next->cluster_uid, "%.*s", CUSTOM_UID_MAX - 1, a->in->cluster_uid);
    if (s->outlet && s->outlet->last_sync_s)
        next->last_sync_s = s->outlet->last_sync_s;
    if (s->outlet && s->outlet->last_snapshot_s)
        next->last_snapshot_s = s->outlet->last_snapshot_s;
    if (s->outlet)
        set_counts(a->in, next);
    return set_conditions(s, next);
}

err agents_write_status(struct agents *a, struct obsyk_agent *is, const struct obsyk_agent *next)
{
    char path[KUBE_PATH_MAX];
    enum custom_change change = CUSTOM_SAME;
    char *storage = malloc(STATUS_BYTES);
    if (!storage)
        return E_BUDGET;
    struct text patch = text_over(storage, STATUS_BYTES);
    struct kube_into into = {.fields = custom_fields, .arena = a->arena, .arena_bytes = AGENTS_ARENA};
    err e = custom_patch(&obsyk_agent_resource, is, next, &patch, &change);
    if (e == OK && change == CUSTOM_CHANGED) {
        ASSERT(kube_path(&agents_resource, is->meta.namespace, is->meta.name, "status", path));
        e = kube_ask(a->in->kube, KUBE_PATCH, path, (struct bytes){(const uint8_t *)patch.at, patch.len}, &into,
                     loop_now() + INGEST_ASK_MS_MAX);
        if (e == OK) {
            char words[CUSTOM_ERRORS_BYTES];
            struct text errors = text_over(words, sizeof words);
            e = custom_read(&obsyk_agent_resource, into.object, is, &errors);
            e = e == E_INVALID ? OK : e;
        }
    }
    free(storage);
    return e;
}

err agents_tell_status(struct agents *a, struct agent *s)
{
    if (loop_now() < s->status_at)
        return OK;
    struct obsyk_agent *next = malloc(sizeof *next);
    err e = next ? status_of(a, s, next) : E_BUDGET;
    if (e == OK)
        e = agents_write_status(a, &s->is, next);
    free(next);
    if (e == E_CANCELED)
        return e;
    bool gone = e == E_ABSENT, late = e == E_AGAIN;
    if (e != OK && !gone && !late)
        log_warn("the status of an ObsykAgent cannot be written", F("namespace", s->is.meta.namespace),
                 F("name", s->is.meta.name), F_ERR(e));
    trail_clear();
    ms pause = s->outlet ? s->outlet->set.sync_interval_ms : AGAIN_MS;
    s->status_at = loop_now() + (late ? SECONDS(1) : e != OK ? AGAIN_MS : pause);
    return OK;
}
