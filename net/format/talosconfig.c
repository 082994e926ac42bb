/* talosconfig: fields as talosctl writes them: context, contexts.NAME.{endpoints, ca, crt, key}. */
#include "net/format/talosconfig.h"

#include "board/rt/text.h"
#include "net/format/base64.h"
#include "net/format/x509_look.h"
#include "net/format/yaml_walk.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct yaml_walk walk;
    const char *want; /* the context's name */
    struct talosconfig *into;
    bool found;
};

static err wrong(const struct reader *r, const char *what)
{
    return trail(E_CONFIG, "line %u: %s", r->walk.event.mark.line, what);
}

static err walk_wrong(const struct yaml_walk *w, err code, const char *where, const char *what)
{
    err e = trail(code, "line %u: %s", w->event.mark.line, what);
    return *where ? trail(e, "%s", where) : e;
}

/* --- values --- */
static err value_text(struct reader *r, const char *key, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    if (r->walk.event.kind != YAML_SCALAR)
        return trail(wrong(r, "not a text"), "%s", key);
    text_add_bytes(&t, r->walk.event.text);
    return t.cut ? trail(wrong(r, "too long"), "%s", key) : OK;
}

static err value_pem(struct reader *r, const char *key, struct secret *out)
{
    struct bytes text = r->walk.event.text;
    if (r->walk.event.kind != YAML_SCALAR || text.len == 0 || text.len > 2 * TALOSCONFIG_PEM_MAX)
        return trail(wrong(r, "not PEM in base64"), "%s", key);
    if (out->at)
        return trail(wrong(r, "is there twice"), "%s", key);
    out->len = BASE64_BYTES_MAX(text.len);
    out->at = malloc(out->len);
    if (!out->at)
        return E_BUDGET;
    size_t len = 0;
    if (base64_decode(BASE64_STANDARD, text, out->at, out->len, &len) != OK)
        return trail(wrong(r, "not base64; take the file as talosctl wrote it"), "%s", key);
    out->len = len;
    return len >= 11 && memcmp(out->at, "-----BEGIN ", 11) == 0 ? OK : trail(wrong(r, "not PEM in base64"), "%s", key);
}

static err endpoint_add(struct reader *r)
{
    struct talosconfig *c = r->into;
    if (c->endpoint_count == TALOSCONFIG_ENDPOINTS_MAX)
        return wrong(r, "more than 8 endpoints; name those of the control plane");
    TRY(value_text(r, "endpoints", c->endpoints[c->endpoint_count], TALOSCONFIG_ENDPOINT_MAX));
    c->endpoint_count += c->endpoints[c->endpoint_count][0] != 0;
    return OK;
}

static err endpoints_read(struct reader *r)
{
    if (r->walk.event.kind != YAML_LIST)
        return trail(wrong(r, "not a list"), "endpoints");
    for (;;) {
        TRY(yaml_walk_next(&r->walk));
        if (r->walk.event.kind == YAML_LIST_END)
            return OK;
        TRY(endpoint_add(r));
    }
}

/* --- maps --- */
static err context_key(void *arg, const char *key)
{
    struct reader *r = arg;
    struct talosconfig *c = r->into;
    if (strcmp(key, "endpoints") == 0)
        return endpoints_read(r);
    if (strcmp(key, "ca") == 0)
        return value_pem(r, "ca", &c->ca_pem);
    if (strcmp(key, "crt") == 0)
        return value_pem(r, "crt", &c->cert_pem);
    if (strcmp(key, "key") == 0)
        return value_pem(r, "key", &c->key_pem);
    return yaml_walk_skip(&r->walk); /* nodes, auth, cluster, proxy-url */
}

static err contexts_key(void *arg, const char *name)
{
    struct reader *r = arg;
    if (strcmp(name, r->want) != 0 || r->found)
        return yaml_walk_skip(&r->walk);
    r->found = true;
    return yaml_walk_map(&r->walk, name, context_key, r);
}

static err name_key(void *arg, const char *key)
{
    struct reader *r = arg;
    return strcmp(key, "context") == 0 ? value_text(r, key, r->into->context, sizeof r->into->context) : yaml_walk_skip(&r->walk);
}

static err contexts_find(void *arg, const char *key)
{
    struct reader *r = arg;
    return strcmp(key, "contexts") == 0 ? yaml_walk_map(&r->walk, key, contexts_key, r) : yaml_walk_skip(&r->walk);
}

static err complete(const struct talosconfig *c)
{
    const struct {
        const char *name;
        bool there;
    } needed[] = {{"endpoints", c->endpoint_count > 0}, {"ca", c->ca_pem.at}, {"crt", c->cert_pem.at}, {"key", c->key_pem.at}};
    for (size_t i = 0; i < COUNT_OF(needed); i++)
        if (!needed[i].there)
            return trail(E_CONFIG, "context \"%s\" has no %s", c->context, needed[i].name);
    const struct secret *const certificates[] = {&c->ca_pem, &c->cert_pem};
    for (size_t i = 0; i < COUNT_OF(certificates); i++)
        if (x509_pem_has_ed25519((struct bytes){certificates[i]->at, certificates[i]->len}))
            return trail(E_UNSUPPORTED,
                         "Talos' API %s is Ed25519, which this TLS does not have; use the socket "
                         "/system/run/machined/machine.sock or give Talos an ECDSA/RSA CA",
                         i == 0 ? "CA" : "client certificate");
    return OK;
}

static err read_all(struct bytes yaml, const char *context, struct talosconfig *c)
{
    struct reader r = {.walk = {.wrong = walk_wrong}, .into = c};
    struct text name = text_over(c->context, sizeof c->context);
    if (yaml.len > TALOSCONFIG_BYTES_MAX)
        return trail(E_CONFIG, "%zu bytes; a talosconfig has %zu at most", yaml.len, TALOSCONFIG_BYTES_MAX);
    if (context && *context)
        text_add(&name, context);
    else
        TRY(yaml_walk_file(&r.walk, yaml, "talosconfig", name_key, &r));
    if (!c->context[0])
        return trail(E_CONFIG, "no `context`: choose one with `talosctl config context NAME`");
    r.want = c->context;
    TRY(yaml_walk_file(&r.walk, yaml, "talosconfig", contexts_find, &r)); /* `context` may stand behind `contexts` */
    if (!r.found)
        return trail(E_CONFIG, "no context \"%s\" in contexts", c->context);
    return complete(c);
}

err talosconfig_open(struct bytes yaml, const char *context, struct talosconfig **out)
{
    *out = NULL;
    struct talosconfig *c = calloc(1, sizeof *c);
    if (!c)
        return E_BUDGET;
    err e = read_all(yaml, context, c);
    if (e == OK)
        *out = c;
    else
        talosconfig_close(c);
    return e;
}

void talosconfig_close(struct talosconfig *c)
{
    if (!c)
        return;
    struct secret *const held[] = {&c->ca_pem, &c->cert_pem, &c->key_pem};
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        secret_wipe(held[i]);
        free(held[i]->at);
    }
    free(c);
}
