/* settled: `source: config`: the one outlet that the configuration describes, and its credentials' files. */
#include "agents/ingest/ingest_internal.h"
#include "agents/ingest/leftovers.h"

#include "board/rt/buf.h"
#include "board/rt/log.h"
#include "board/rt/secret.h"

#include <stdio.h>
#include <string.h>

#define READ_MS_MAX SECONDS(10)
#define LOOK_MS     SECONDS(10) /* at the files: new credentials are in force by then */
#define OPEN_MS_MAX SECONDS(60)

/* Whether they are wanted is known to who changed the mode. */
static void tell_leftovers(struct ingest *in)
{
    char folder[OS_NAME_MAX] = "";
    err e = in->leftovers_seen ? OK : leftover_next(&in->lane, in->folder, folder, loop_now() + READ_MS_MAX);
    if (e == OK && *folder)
        log_warn("spools that ObsykAgents left with source: crd stay; remove them when they are not wanted any more",
                 F("path", in->folder), F("first", folder));
    in->leftovers_seen = true;
    trail_clear();
}

err settled_open(struct ingest *in)
{
    const struct config *c = in->config;
    struct outlet_settings set = {.sync_interval_ms = c->ingest.sync_interval_ms,
                                  .events_per_second = c->ingest.events_per_second,
                                  .burst_size = c->ingest.burst_size};
    (void)snprintf(set.platform_url, sizeof set.platform_url, "%s", c->ingest.platform_url);
    (void)snprintf(set.cluster_name, sizeof set.cluster_name, "%s", c->ingest.cluster_name);
    tell_leftovers(in);
    TRY(sem_take(&in->desk, FOREVER));
    err e = outlet_open(in, "config", &set, loop_now() + OPEN_MS_MAX, &in->outlets[0]);
    sem_give(&in->desk);
    return e;
}

static err read_file(struct ingest *in, const char *path, struct buf **out)
{
    err e = file_read_small(&in->lane, path, PEM_KEY_TEXT_MAX, loop_now() + READ_MS_MAX, out);
    return e == OK ? OK : trail(e, "reading %s", path);
}

static void give_back(struct buf *b)
{
    if (b)
        wipe(b->at, b->len);
    buf_release(b);
}

static err client_id_of(const struct buf *b, char out[JWT_CLIENT_ID_MAX], const char *path)
{
    err e = jwt_client_id((struct bytes){b->at, b->len}, out);
    return e == OK
               ? OK
               : trail(e, e == E_INVALID ? "%s is empty; write the client id into it" : "%s is longer than a client id", path);
}

static err read_credentials(struct ingest *in, struct outlet *o)
{
    const struct config *c = in->config;
    char client_id[JWT_CLIENT_ID_MAX];
    struct buf *id = NULL, *text = NULL;
    struct pem_key key = {0};
    err e = read_file(in, c->ingest.client_id_file, &id);
    if (e == OK)
        e = client_id_of(id, client_id, c->ingest.client_id_file);
    if (e == OK)
        e = read_file(in, c->ingest.private_key_file, &text);
    if (e == OK) {
        e = pem_key_parse((struct bytes){text->at, text->len}, &key, NULL);
        e = e == OK ? OK : trail(e, "%s", c->ingest.private_key_file);
    }
    if (e == OK)
        e = oauth2_set_credentials(o->oauth2, client_id, &key);
    pem_key_wipe(&key);
    give_back(text);
    give_back(id);
    return e;
}

/* What was good stays in force while the files are not. */
err settled_run(void *arg)
{
    struct ingest *in = arg;
    struct outlet *o = in->outlets[0];
    bool told = false;
    for (;;) {
        err e = read_credentials(in, o);
        if (e == E_CANCELED)
            return e;
        if (e != OK && !told)
            log_error("the platform's credentials cannot be used", F("agent", o->name), F_ERR(e));
        if (e != OK && !o->has_credentials)
            (void)trail_text(e, o->why, sizeof o->why);
        if (e == OK && !o->has_credentials) {
            o->has_credentials = true;
            bell_ring(&o->changed);
            o->why[0] = 0;
        }
        told = e != OK;
        trail_clear();
        TRY(fiber_sleep(loop_now() + LOOK_MS));
    }
}
