/* kubeconfig: fields as kubectl writes them (client-go, tools/clientcmd/api/v1): lists of {name, context|cluster|user}. The name
 * may stand behind what it names, so each list is read twice: where the entry is, and then what is in it. */
#include "net/format/kubeconfig.h"

#include "board/rt/addr.h"
#include "board/rt/text.h"
#include "net/format/base64.h"
#include "net/format/url.h"
#include "net/format/yaml_walk.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const char *path; /* the file's */
    struct yaml_walk walk;
    struct kubeconfig *into;
    const struct section *section;      /* the list that is read */
    const char *want;                   /* the entry's name */
    unsigned index, at;                 /* of the entry at hand, from 1; of the wanted one, 0: not seen */
    char top[KUBECONFIG_NAME_MAX + 32]; /* what errors call the place: "users[admin].user." */
};

struct section {
    const char *list, *entry;
    yaml_walk_key *key;
};

static err wrong(const struct reader *r, err code, const char *key, const char *what)
{
    return trail(code, "%s: line %u: %s%s%s%s", r->path, r->walk.event.mark.line, r->top, key, *key || *r->top ? ": " : "", what);
}

static err walk_wrong(const struct yaml_walk *w, err code, const char *where, const char *what)
{
    return wrong(CONTAINER_OF(w, struct reader, walk), code, where, what);
}

/* --- walking --- */

static bool is_null(const struct reader *r)
{
    return yaml_is_null(&r->walk.event);
}

/* Null is a map without keys. */
static err map_each(struct reader *r, const char *where, yaml_walk_key *each)
{
    return is_null(r) ? OK : yaml_walk_map(&r->walk, where, each, r);
}

static err list_each(struct reader *r, yaml_walk_key *each)
{
    if (is_null(r))
        return OK;
    if (r->walk.event.kind != YAML_LIST)
        return wrong(r, E_CONFIG, r->section->list, "not a list");
    for (r->index = 1;; r->index++) {
        TRY(yaml_walk_next(&r->walk));
        if (r->walk.event.kind == YAML_LIST_END)
            return OK;
        TRY(map_each(r, r->section->list, each));
    }
}

/* --- values --- */

static err value_text(struct reader *r, const char *key, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    if (r->walk.event.kind != YAML_SCALAR)
        return wrong(r, E_CONFIG, key, "not a text");
    if (!is_null(r))
        text_add_bytes(&t, r->walk.event.text);
    if (strlen(out) != t.len)
        return wrong(r, E_CONFIG, key, "has a zero byte in it");
    return t.cut ? wrong(r, E_CONFIG, key, "too long") : OK;
}

/* A file's path: beside the kubeconfig unless absolute. */
static err value_path(struct reader *r, const char *key, struct kubeconfig_value *out)
{
    char name[KUBECONFIG_PATH_MAX];
    struct text t = text_over(out->path, sizeof out->path);
    TRY(value_text(r, key, name, sizeof name));
    const char *slash = strrchr(r->path, '/');
    if (name[0] && name[0] != '/' && slash)
        text_add_bytes(&t, (struct bytes){(const uint8_t *)r->path, (size_t)(slash - r->path) + 1});
    text_add(&t, name);
    return t.cut ? wrong(r, E_CONFIG, key, "too long") : OK;
}

static err value_room(struct reader *r, const char *key, struct secret *out)
{
    struct bytes text = r->walk.event.text;
    if (r->walk.event.kind != YAML_SCALAR)
        return wrong(r, E_CONFIG, key, "not a text");
    if (text.len > BASE64_TEXT_MAX(KUBECONFIG_DATA_MAX))
        return wrong(r, E_CONFIG, key, "too long");
    if (out->at)
        return wrong(r, E_CONFIG, key, "is there twice");
    out->at = malloc(text.len + 1);
    out->len = out->at ? text.len : 0;
    return out->at ? OK : E_BUDGET;
}

/* Base64 as Go reads it: line ends do not count. What is decoded is shorter, so it is done in place. */
static err value_data(struct reader *r, const char *key, struct kubeconfig_value *v)
{
    struct secret *out = &v->data;
    size_t chars = 0, len = 0;
    if (is_null(r))
        return OK;
    TRY(value_room(r, key, out));
    for (size_t i = 0; i < r->walk.event.text.len; i++)
        if (!memchr(" \r\n", r->walk.event.text.at[i], 3))
            out->at[chars++] = r->walk.event.text.at[i];
    if (base64_decode(BASE64_STANDARD, (struct bytes){out->at, chars}, out->at, out->len, &len) != OK)
        return wrong(r, E_CONFIG, key, "not base64; for a file's name there is the key without -data");
    out->len = len;
    return len >= 11 && memcmp(out->at, "-----BEGIN ", 11) == 0 ? OK : wrong(r, E_CONFIG, key, "not PEM in base64");
}

static err value_token(struct reader *r, const char *key, struct kubeconfig_value *v)
{
    if (is_null(r))
        return OK;
    TRY(value_room(r, key, &v->data));
    for (size_t i = 0; i < v->data.len; i++)
        if ((v->data.at[i] = r->walk.event.text.at[i]) <= ' ' || v->data.at[i] >= 127)
            return wrong(r, E_CONFIG, key, "has a byte that no token has");
    return OK;
}

static err value_refuse(struct reader *r, const char *key, const char *what)
{
    return is_null(r) || (r->walk.event.kind == YAML_SCALAR && bytes_equal_text(r->walk.event.text, "false"))
               ? OK
               : wrong(r, E_UNSUPPORTED, key, what);
}

/* --- what is in an entry --- */

#define USE_TOKEN "use a token or a client certificate"

static const struct refusal {
    const char *key, *what;
} cluster_refused[] = {{"insecure-skip-tls-verify", "TLS always verifies here; give certificate-authority(-data)"},
                       {"proxy-url", "there is no way through a proxy; give a server that can be reached"}},
  user_refused[] = {{"exec", "plugins are never run; " USE_TOKEN " (kubectl create token)"},
                    {"auth-provider", "is not there any more; " USE_TOKEN},
                    {"username", "basic authentication is not there any more; " USE_TOKEN},
                    {"password", "basic authentication is not there any more; " USE_TOKEN},
                    {"as", "impersonating is not done; " USE_TOKEN},
                    {"as-uid", "impersonating is not done; " USE_TOKEN},
                    {"as-groups", "impersonating is not done; " USE_TOKEN},
                    {"as-user-extra", "impersonating is not done; " USE_TOKEN}};

static err other_key(struct reader *r, const char *key, const struct refusal *refused, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, refused[i].key) == 0)
            TRY(value_refuse(r, key, refused[i].what));
    return yaml_walk_skip(&r->walk);
}

static err context_key(void *arg, const char *key)
{
    struct reader *r = arg;
    struct kubeconfig *c = r->into;
    if (strcmp(key, "cluster") == 0)
        return value_text(r, key, c->cluster, sizeof c->cluster);
    if (strcmp(key, "user") == 0)
        return value_text(r, key, c->user, sizeof c->user);
    if (strcmp(key, "namespace") == 0)
        return value_text(r, key, c->name_space, sizeof c->name_space);
    return yaml_walk_skip(&r->walk);
}

static err server_key(struct reader *r, const char *key)
{
    struct url *u = malloc(sizeof *u);
    if (!u)
        return E_BUDGET;
    err e = value_text(r, key, r->into->server, sizeof r->into->server);
    if (e == OK) {
        e = kubeconfig_server(r->into->server, u);
        e = e == OK ? OK : wrong(r, e, key, "no address of an API server");
    }
    free(u);
    return e;
}

static err cluster_key(void *arg, const char *key)
{
    struct reader *r = arg;
    struct kubeconfig *c = r->into;
    if (strcmp(key, "server") == 0)
        return server_key(r, key);
    if (strcmp(key, "tls-server-name") == 0)
        return value_text(r, key, c->tls_server_name, sizeof c->tls_server_name);
    if (strcmp(key, "certificate-authority") == 0)
        return value_path(r, key, &c->ca);
    if (strcmp(key, "certificate-authority-data") == 0)
        return value_data(r, key, &c->ca);
    return other_key(r, key, cluster_refused, COUNT_OF(cluster_refused));
}

static err user_key(void *arg, const char *key)
{
    struct reader *r = arg;
    struct kubeconfig *c = r->into;
    if (strcmp(key, "client-certificate") == 0)
        return value_path(r, key, &c->cert);
    if (strcmp(key, "client-certificate-data") == 0)
        return value_data(r, key, &c->cert);
    if (strcmp(key, "client-key") == 0)
        return value_path(r, key, &c->key);
    if (strcmp(key, "client-key-data") == 0)
        return value_data(r, key, &c->key);
    if (strcmp(key, "token") == 0)
        return value_token(r, key, &c->token);
    if (strcmp(key, "tokenFile") == 0)
        return value_path(r, key, &c->token);
    return other_key(r, key, user_refused, COUNT_OF(user_refused));
}

static const struct section contexts = {"contexts", "context", context_key}, clusters = {"clusters", "cluster", cluster_key},
                            users = {"users", "user", user_key};

/* --- the file --- */

static err entry_find_key(void *arg, const char *key)
{
    struct reader *r = arg;
    if (strcmp(key, "name") != 0)
        return yaml_walk_skip(&r->walk);
    if (r->walk.event.kind == YAML_SCALAR && r->at == 0 && bytes_equal_text(r->walk.event.text, r->want))
        r->at = r->index;
    return yaml_walk_skip(&r->walk);
}

static err entry_read_key(void *arg, const char *key)
{
    struct reader *r = arg;
    return r->index == r->at && strcmp(key, r->section->entry) == 0 ? map_each(r, "", r->section->key) : yaml_walk_skip(&r->walk);
}

static err list_find(void *arg, const char *key)
{
    struct reader *r = arg;
    return strcmp(key, r->section->list) == 0 ? list_each(r, entry_find_key) : yaml_walk_skip(&r->walk);
}

static err list_read(void *arg, const char *key)
{
    struct reader *r = arg;
    return strcmp(key, r->section->list) == 0 ? list_each(r, entry_read_key) : yaml_walk_skip(&r->walk);
}

static err current_read(void *arg, const char *key)
{
    struct reader *r = arg;
    return strcmp(key, "current-context") == 0 ? value_text(r, key, r->into->context, sizeof r->into->context)
                                               : yaml_walk_skip(&r->walk);
}

static err pass(struct bytes yaml, struct reader *r, yaml_walk_key *each)
{
    return yaml_walk_file(&r->walk, yaml, "no kubeconfig", each, r);
}

static err section_take(struct bytes yaml, struct reader *r, const struct section *s, const char *name)
{
    struct text top = text_over(r->top, sizeof r->top);
    r->section = s;
    r->want = name;
    r->at = 0;
    TRY(pass(yaml, r, list_find));
    if (r->at == 0)
        return trail(E_CONFIG, "%s: no %s \"%s\" in %s", r->path, s->entry, name, s->list);
    text_addf(&top, "%s[%s].%s.", s->list, name, s->entry);
    err e = pass(yaml, r, list_read);
    r->top[0] = 0;
    return e;
}

static bool is_given(const struct kubeconfig_value *v)
{
    return v->data.at || v->path[0];
}

static err complete(const struct reader *r)
{
    const struct kubeconfig *c = r->into;
    if (!c->server[0])
        return trail(E_CONFIG, "%s: clusters[%s].cluster has no server", r->path, c->cluster);
    if (is_given(&c->cert) != is_given(&c->key))
        return trail(E_CONFIG, "%s: users[%s].user has a client %s and no %s", r->path, c->user,
                     is_given(&c->cert) ? "certificate" : "key", is_given(&c->cert) ? "key" : "certificate");
    return OK;
}

static err read_all(struct bytes yaml, const char *context, struct reader *r)
{
    struct kubeconfig *c = r->into;
    struct text name = text_over(c->context, sizeof c->context);
    if (yaml.len > KUBECONFIG_BYTES_MAX)
        return trail(E_CONFIG, "%s: %zu bytes; a kubeconfig has %zu at most", r->path, yaml.len, KUBECONFIG_BYTES_MAX);
    if (context && *context)
        text_add(&name, context);
    else
        TRY(pass(yaml, r, current_read));
    if (!c->context[0])
        return trail(E_CONFIG, "%s: no current-context: set kubernetes.context, or `kubectl config use-context NAME`", r->path);
    TRY(section_take(yaml, r, &contexts, c->context));
    if (!c->cluster[0])
        return trail(E_CONFIG, "%s: contexts[%s].context has no cluster", r->path, c->context);
    TRY(section_take(yaml, r, &clusters, c->cluster));
    if (c->user[0])
        TRY(section_take(yaml, r, &users, c->user));
    return complete(r);
}

err kubeconfig_open(struct bytes yaml, const char *path, const char *context, struct kubeconfig **out)
{
    *out = NULL;
    struct reader r = {.path = path, .walk = {.wrong = walk_wrong}, .into = calloc(1, sizeof *r.into)};
    if (!r.into)
        return E_BUDGET;
    err e = read_all(yaml, context, &r);
    if (e == OK)
        *out = r.into;
    else
        kubeconfig_close(r.into);
    return e;
}

void kubeconfig_close(struct kubeconfig *c)
{
    if (!c)
        return;
    struct secret *const held[] = {&c->ca.data, &c->cert.data, &c->key.data, &c->token.data};
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        secret_wipe(held[i]);
        free(held[i]->at);
    }
    free(c);
}

static bool is_loopback(const char *host)
{
    struct addr a;
    uint64_t mark = trail_mark();
    bool literal = addr_parse_ip(bytes_of(host), &a) == OK;
    trail_rewind(mark);
    return literal ? addr_is_loopback(&a) : strcmp(host, "localhost") == 0;
}

err kubeconfig_server(const char *text, struct url *out)
{
    err e = url_parse(text, out);
    if (e != OK) {
        char why[TRAIL_TEXT_MAX];
        trail_take(e, why, sizeof why);
        return trail(E_CONFIG, "%s", why);
    }
    if (!out->tls && !is_loopback(out->host))
        return trail(E_CONFIG, "http:// only to this machine; %s needs https://", out->host);
    if (strchr(out->path, '?'))
        return trail(E_CONFIG, "an API server's address has no query");
    size_t len = strlen(out->path);
    if (len > 1 && out->path[len - 1] == '/')
        out->path[len - 1] = 0;
    return OK;
}
