#include "config/config.h"

#include "config/load.h"

#include <stdlib.h>
#include <string.h>

err config_parse(struct bytes yaml, const char *file_name, const char *const environment[],
                 const struct config_zones *zones, struct config **out, struct text *errors)
{
    (void)zones;
    *out = NULL;
    struct config *c = calloc(1, sizeof *c);
    struct loader *l = calloc(1, sizeof *l); /* 2 KiB: too much for a fiber's stack */
    err e = E_BUDGET;
    if (!c || !l) {
        text_addf(errors, "%s:1:1: no memory left to read it\n", file_name);
        goto cleanup;
    }
    *l = (struct loader){
        .schema = &config_schema, .config = c, .file_name = file_name, .environment = environment, .errors = errors};
    e = load(l, yaml);
    if (e == OK) {
        *out = c;
        c = NULL;
    }
cleanup:
    free(l);
    free(c);
    return e == OK ? OK : trail(e, "configuration %s", file_name);
}

void config_free(struct config *c)
{
    free(c);
}

/* --- what no single field can tell --- */
static bool has_https(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.endpoint_count; i++)
        if (strncmp(c->backup.endpoints[i], "https:", 6) == 0)
            return true;
    return false;
}

void config_rules(const void *config, struct loader *l)
{
    const struct config *c = config;
    if (c->backup.endpoint_count > 0 && c->backup.destination_count == 0)
        load_wrong(l, "backup.etcd.endpoints", "there is nowhere to keep backups; add one under backup.destinations");
    /* destinations without endpoints are fine: the hub runs and says that it backs up nothing */
    if (has_https(c) && !*c->backup.ca)
        load_wrong(l, "backup.etcd.endpoints", "https needs the CA of the members; add backup.etcd.ca");
    if (*c->backup.cert && !*c->backup.key)
        load_wrong(l, "backup.etcd.cert", "a certificate needs its key; add backup.etcd.key");
    if (*c->backup.key && !*c->backup.cert)
        load_wrong(l, "backup.etcd.key", "a key needs its certificate; add backup.etcd.cert");
}
