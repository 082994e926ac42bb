/* ingest_rules: what no single field of `kubernetes` and `ingest` can tell. */
#include "config/load.h"
#include "config/schema.h"

#include "net/format/url.h"

#include <stdio.h>
#include <string.h>

/* What `source: config` needs, and `source: crd` has from the resources. */
static const struct {
    const char *path;
    size_t offset;
} said_here[] = {
    {"ingest.platform_url", offsetof(struct config, ingest.platform_url)},
    {"ingest.cluster_name", offsetof(struct config, ingest.cluster_name)},
    {"ingest.credentials.client_id_file", offsetof(struct config, ingest.client_id_file)},
    {"ingest.credentials.private_key_file", offsetof(struct config, ingest.private_key_file)},
};

static void source_rules(const struct config *c, struct loader *l)
{
    for (size_t i = 0; i < COUNT_OF(said_here); i++) {
        bool given = *((const char *)c + said_here[i].offset) != 0;
        if (c->ingest.source == INGEST_CONFIG && !given)
            load_wrong(l, said_here[i].path, "is missing; with source: config it must be said here");
        if (c->ingest.source == INGEST_CRD && given)
            load_wrong(l, said_here[i].path, "is said by ObsykAgent resources; remove it, or write source: config");
    }
}

static void plaintext_rules(const struct config *c, struct loader *l)
{
    struct url u;
    if (!*c->ingest.platform_url || c->ingest.allow_plaintext)
        return;
    if (url_parse(c->ingest.platform_url, &u) == OK && !u.tls && !url_is_loopback(&u))
        load_wrong(l, "ingest.platform_url",
                   "would send tokens in plain text; write https://, or ingest.allow_plaintext: true if you want that");
    trail_clear();
}

/* All 20, unless said otherwise. */
static void kind_rules(struct config *c, struct loader *l)
{
    static const char path[] = "ingest.kinds";
    if (c->ingest.kind_count == 0 && load_is_given(l, path))
        load_wrong(l, path, "names no kind; name some, or remove the key for all");
    if (c->ingest.kind_count == 0)
        for (; config_ingest_kinds[c->ingest.kind_count]; c->ingest.kind_count++)
            (void)snprintf(c->ingest.kinds[c->ingest.kind_count], CONFIG_KIND_BYTES, "%s",
                           config_ingest_kinds[c->ingest.kind_count]);
    for (unsigned i = 0; i < c->ingest.kind_count; i++)
        for (unsigned earlier = 0; earlier < i; earlier++)
            if (strcmp(c->ingest.kinds[i], c->ingest.kinds[earlier]) == 0)
                load_wrong(l, path, "names %s twice; remove one", c->ingest.kinds[i]);
}

void ingest_rules(struct config *c, struct loader *l)
{
    if (*c->kubernetes.context && !*c->kubernetes.kubeconfig)
        load_wrong(l, "kubernetes.context", "is a context of a kubeconfig; add kubernetes.kubeconfig");
    kind_rules(c, l);
    plaintext_rules(c, l);
    if (c->ingest.enabled)
        source_rules(c, l);
}
