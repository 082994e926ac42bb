/* kube_settings: where the API server is and who we are, out of a kubeconfig or a pod's service account. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes view(struct secret s)
{
    return (struct bytes){s.at, s.len};
}

/* --- tokens --- */

static bool token_is_clean(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.at[i] <= ' ' || b.at[i] >= 127)
            return false;
    return b.len > 0;
}

static err token_take(struct bytes b, const char *path, struct secret *out)
{
    while (b.len > 0 && strchr(" \r\n\t", b.at[b.len - 1]))
        b.len--;
    if (!token_is_clean(b))
        return trail(E_CONFIG, "%s: no token: empty, or bytes that no token has", path);
    out->at = malloc(b.len);
    if (!out->at)
        return E_BUDGET;
    memcpy(out->at, b.at, b.len);
    out->len = b.len;
    return OK;
}

static err token_read(struct kube *k, const char *path, ms deadline, struct secret *out)
{
    struct os_stat stat;
    struct buf *b = NULL;
    TRY(trail(file_stat(k->lane, path, deadline, &stat), "the token's file"));
    TRY(file_read_small(k->lane, path, KUBE_TOKEN_MAX - 1, deadline, &b));
    err e = token_take((struct bytes){b->at, b->len}, path, out);
    wipe(b->at, b->len);
    buf_release(b);
    if (e == OK) {
        k->token_bytes = stat.bytes;
        k->token_modified_ms = stat.modified_ms;
        k->token_at = loop_now();
    }
    return e;
}

static bool token_file_is_same(struct kube *k, ms deadline)
{
    struct os_stat stat;
    uint64_t mark = trail_mark();
    bool same = file_stat(k->lane, k->settings.token_path, deadline, &stat) == OK && stat.bytes == k->token_bytes &&
                stat.modified_ms == k->token_modified_ms;
    trail_rewind(mark);
    return same;
}

static void token_replace(struct kube *k, struct secret token)
{
    struct secret *held = &k->settings.token;
    if (bytes_equal_secret(view(*held), view(token))) {
        secret_wipe(&token);
        free(token.at);
        return;
    }
    secret_wipe(held);
    free(held->at);
    *held = token;
    k->token_version++;
    log_info("the API server's token was read anew", F("path", k->settings.token_path));
}

static void token_reload(struct kube *k, bool always, ms deadline)
{
    struct secret token = {.len = 0};
    uint64_t mark = trail_mark();
    k->token_busy = true;
    k->token_at = loop_now();
    if (always || !token_file_is_same(k, deadline)) {
        err e = token_read(k, k->settings.token_path, deadline, &token);
        if (e == OK)
            token_replace(k, token);
        else if (e != E_CANCELED)
            log_warn("the API server's token cannot be read, the old one is used", F("path", k->settings.token_path), F_ERR(e));
    }
    k->token_busy = false;
    waitq_wake_all(&k->token_waiting);
    trail_rewind(mark);
}

void kube_token_refresh(struct kube *k, ms deadline)
{
    if (k->settings.token_path[0] && !k->token_busy && loop_now() >= k->token_at + KUBE_TOKEN_MS)
        token_reload(k, false, deadline);
}

bool kube_credentials_renew(struct kube *k, uint64_t version, ms deadline)
{
    if (!k->settings.token_path[0]) {
        k->stale = true;
        kube_links_retire(k);
        return true;
    }
    while (k->token_busy && k->token_version == version)
        if (waitq_wait(&k->token_waiting, deadline) != OK)
            return false;
    if (k->token_version == version)
        token_reload(k, true, deadline);
    return k->token_version != version;
}

/* --- files --- */

struct parse_job {
    struct bytes yaml;
    const char *path, *context;
    struct kubeconfig *out;
};

static err parse_run(void *job)
{
    struct parse_job *j = job;
    return kubeconfig_open(j->yaml, j->path, j->context, &j->out);
}

static err config_read(struct kube *k, ms deadline, struct kubeconfig **out)
{
    struct buf *b = NULL;
    TRY(trail(file_read_small(k->lane, k->kubeconfig, KUBECONFIG_BYTES_MAX, deadline, &b), "kubernetes.kubeconfig"));
    struct parse_job job = {.yaml = {b->at, b->len}, .path = k->kubeconfig, .context = k->context};
    err e = lane_call(k->lane, parse_run, &job, sizeof job, NULL, FOREVER); /* it only computes */
    wipe(b->at, b->len);
    buf_release(b);
    *out = job.out;
    return e;
}

static err value_bytes(struct kube *k, const struct kubeconfig_value *v, ms deadline, struct buf **file, struct bytes *out)
{
    *out = view(v->data);
    if (v->data.at)
        return OK;
    TRY(file_read_small(k->lane, v->path, TLS_FILE_BYTES_MAX, deadline, file));
    *out = (struct bytes){(*file)->at, (*file)->len};
    return OK;
}

static err identity_read(struct kube *k, const struct kubeconfig *c, ms deadline, struct tls_identity **out)
{
    struct buf *cert_file = NULL, *key_file = NULL;
    struct bytes cert, key;
    *out = NULL;
    if (!c->cert.data.at && !c->cert.path[0])
        return OK;
    err e = value_bytes(k, &c->cert, deadline, &cert_file, &cert);
    if (e == OK)
        e = value_bytes(k, &c->key, deadline, &key_file, &key);
    if (e == OK)
        e = tls_identity_parse_on(k->lane, cert, (struct secret){(uint8_t *)(uintptr_t)key.at, key.len}, out);
    if (key_file)
        wipe(key_file->at, key_file->len);
    buf_release(key_file);
    buf_release(cert_file);
    return e == OK ? OK : trail(e, "users[%s]: the client certificate and its key", c->user);
}

static err trust_read(struct kube *k, const struct kubeconfig *c, ms deadline, struct tls_trust **out)
{
    if (c->ca.data.at)
        return trail(tls_trust_parse_on(k->lane, view(c->ca.data), out), "clusters[%s].certificate-authority-data", c->cluster);
    if (c->ca.path[0])
        return trail(tls_trust_file(k->lane, c->ca.path, deadline, out), "the API server's CA");
    return tls_trust_system(k->lane, deadline, out);
}

static err tls_read(struct kube *k, const struct kubeconfig *c, ms deadline, struct kube_settings *s)
{
    struct tls_options o = {.least = TLS_1_2, .alpn = web_alpn};
    err e = trust_read(k, c, deadline, &o.trust);
    if (e == OK)
        e = identity_read(k, c, deadline, &o.identity);
    if (e == OK)
        e = tls_config_open(&o, &s->tls);
    if (e == OK && o.identity)
        s->expires_s = tls_identity_expires_s(o.identity);
    tls_identity_release(o.identity);
    tls_trust_release(o.trust);
    return e;
}

/* --- both ways --- */

static err settings_fill(struct kube *k, struct kubeconfig *c, ms deadline, struct kube_settings *s)
{
    TRY(kubeconfig_server(c->server, &s->url));
    (void)snprintf(s->prefix, sizeof s->prefix, "%s", strcmp(s->url.path, "/") == 0 ? "" : s->url.path);
    (void)snprintf(s->name_space, sizeof s->name_space, "%s", c->name_space);
    (void)snprintf(s->server_name, sizeof s->server_name, "%s", c->tls_server_name[0] ? c->tls_server_name : s->url.host);
    (void)snprintf(s->token_path, sizeof s->token_path, "%s", c->token.path);
    url_authority(&s->url, s->authority, sizeof s->authority);
    (void)snprintf(s->server, sizeof s->server, "%s://%s%.200s", s->url.tls ? "https" : "http", s->authority, s->prefix);
    if (s->url.tls)
        TRY(tls_read(k, c, deadline, s));
    if (s->token_path[0])
        return token_read(k, s->token_path, deadline, &s->token);
    return c->token.data.at ? token_take(view(c->token.data), "the kubeconfig's token", &s->token) : OK;
}

/* A pod's settings as if they were in a kubeconfig (Kubernetes, "Accessing the API from a Pod"). */
static err account_read(struct kube *k, ms deadline, struct kubeconfig **out)
{
    struct buf *name_space = NULL;
    bool v6 = strchr(k->host, ':') != NULL;
    struct kubeconfig *c = calloc(1, sizeof *c);
    if (!c)
        return E_BUDGET;
    (void)snprintf(c->server, sizeof c->server, "https://%s%s%s:%s", v6 ? "[" : "", k->host, v6 ? "]" : "", k->port);
    (void)snprintf(c->ca.path, sizeof c->ca.path, "%.490s/ca.crt", k->account);
    (void)snprintf(c->token.path, sizeof c->token.path, "%.490s/token", k->account);
    char path[OS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%.490s/namespace", k->account);
    uint64_t mark = trail_mark();
    if (file_read_small(k->lane, path, sizeof c->name_space - 1, deadline, &name_space) == OK)
        kube_text_printable((struct bytes){name_space->at, name_space->len}, c->name_space, sizeof c->name_space);
    trail_rewind(mark); /* without it the caller has no namespace by default, no more */
    buf_release(name_space);
    *out = c;
    return OK;
}

err kube_settings_read(struct kube *k, ms deadline, struct kube_settings *out)
{
    struct kubeconfig *c = NULL;
    *out = (struct kube_settings){.expires_s = 0};
    if (k->kubeconfig[0])
        TRY(config_read(k, deadline, &c)); /* names the file itself, and its line */
    else
        TRY(account_read(k, deadline, &c));
    err e = settings_fill(k, c, deadline, out);
    kubeconfig_close(c);
    if (e == OK)
        return OK;
    kube_settings_wipe(out);
    return k->kubeconfig[0] ? trail(e, "kubeconfig %s", k->kubeconfig) : trail(e, "the pod's service account in %s", k->account);
}

void kube_settings_wipe(struct kube_settings *s)
{
    secret_wipe(&s->token);
    free(s->token.at);
    tls_config_release(s->tls);
    *s = (struct kube_settings){.expires_s = 0};
}
