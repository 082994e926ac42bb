/* place_s3: a destination that is the objects under a prefix of a bucket. The client is opened when it is needed, with the CA as
 * it is then, and ended when nobody uses it any more. */
#include "agents/backup/place_s3.h"
#include "agents/backup/place_keys.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place_s3 {
    struct place place;
    struct s3 *client; /* NULL: none is needed now */
    bool opening;
    struct waitq opened;
    struct place_keys *keys;
};

static struct place_s3 *s3_of(const struct place *p)
{
    return CONTAINER_OF(p, struct place_s3, place);
}

ms place_s3_soon(void)
{
    return loop_now() + BACKUP_DISK_MS_MAX;
}

static err s3_place_open(struct backup *b, struct backup_destination *to, struct place **out)
{
    struct place_s3 *p = calloc(1, sizeof *p);
    if (!p)
        return E_BUDGET;
    err e = place_keys_open(&b->files, to->config, &p->keys);
    if (e == OK)
        *out = &p->place;
    else
        free(p);
    return e;
}

static void s3_place_close(struct place *p)
{
    place_keys_close(s3_of(p)->keys);
    free(s3_of(p));
}

static void s3_rest(struct place *p)
{
    s3_close(s3_of(p)->client);
    s3_of(p)->client = NULL;
}

static void s3_base(const struct place *p, struct text *out)
{
    const struct config_destination *c = p->to->config;
    text_addf(out, "%s/%s/%s", c->endpoint, c->bucket, c->prefix);
}

/* --- the client --- */

static err load_trust(struct place *p, struct tls_trust **out)
{
    const char *path = p->to->config->ca;
    struct lane *files = &p->backup->files;
    if (!path[0])
        return tls_trust_system(files, place_s3_soon(), out);
    err e = tls_trust_file(files, path, place_s3_soon(), out);
    return e == OK ? OK : trail(e, "ca of destination %s", p->to->config->name);
}

static err load_tls(struct place *p, struct tls_config **out)
{
    struct tls_trust *trust = NULL;
    *out = NULL;
    if (strncmp(p->to->config->endpoint, "https://", sizeof "https://" - 1) != 0)
        return OK;
    TRY(load_trust(p, &trust));
    err e = tls_config_open(&(struct tls_options){.trust = trust, .least = TLS_1_2}, out);
    tls_trust_release(trust);
    return e;
}

static err client_open(struct place *p, struct s3 **out)
{
    const struct config_destination *c = p->to->config;
    struct s3_options o = {.endpoint = c->endpoint,
                           .bucket = c->bucket,
                           .region = c->region,
                           .addressing = c->addressing == ADDRESSING_VIRTUAL ? S3_VIRTUAL : S3_PATH,
                           .dns = p->backup->options.dns,
                           .credentials = place_keys_give,
                           .arg = s3_of(p)->keys};
    TRY(load_tls(p, &o.tls));
    err e = s3_open(&o, out);
    tls_config_release(o.tls); /* the client has its own reference */
    return e;
}

/* One fiber opens it, others wait for that. */
err place_s3_client(struct place *place, struct s3 **out)
{
    struct place_s3 *p = s3_of(place);
    while (p->opening)
        TRY(waitq_wait(&p->opened, place_s3_soon()));
    if (!p->client) {
        p->opening = true;
        err e = client_open(place, &p->client);
        p->opening = false;
        waitq_wake_all(&p->opened);
        TRY(e);
    }
    *out = p->client;
    return OK;
}

err place_s3_key(const struct place *p, const char *name, char out[S3_KEY_MAX])
{
    struct text t = text_over(out, S3_KEY_MAX);
    text_addf(&t, "%s%s", p->to->config->prefix, name);
    return t.cut ? trail(E_RANGE, "%s: key too long", p->to->config->prefix) : OK;
}

static err prepare(struct place *p, const char *name, struct s3 **client, char key[S3_KEY_MAX])
{
    TRY(place_s3_key(p, name, key));
    return place_s3_client(p, client);
}

void place_s3_object(const struct s3_object *from, struct place_object *out)
{
    _Static_assert(sizeof out->etag >= sizeof from->etag, "any that s3.h gives");
    out->bytes = from->bytes;
    out->modified_s = from->modified_s;
    memcpy(out->etag, from->etag, sizeof from->etag);
}

/* --- what is there --- */

struct listing {
    struct place *place;
    size_t prefix_len;
    err (*each)(void *arg, const struct place_object *o);
    void *arg;
};

/* A hub before this one, or we, learned it here. */
static void see_hub(struct place *p, const char *name)
{
    char id[sizeof p->backup->options.hub_id];
    struct backup_entry entry;
    if (p->wants_hub_id || backup_name_kind(name, &entry) == NAME_OTHER || entry.hub == 0)
        return;
    (void)snprintf(id, sizeof id, "%08" PRIx32, entry.hub);
    p->wants_hub_id = strcmp(id, p->backup->options.hub_id) == 0;
}

static err list_item(void *arg, const struct s3_item *item)
{
    const struct listing *l = arg;
    struct place_object o = {.name = item->key + l->prefix_len, .bytes = item->bytes, .modified_s = item->modified_s};
    size_t len = strlen(item->etag);
    if (strlen(item->key) < l->prefix_len || strchr(o.name, '/')) /* a folder of the same beginning: not ours */
        return OK;
    if (len < sizeof o.etag)
        memcpy(o.etag, item->etag, len + 1);
    see_hub(l->place, o.name);
    return backup_moved(l->place->to, l->each(l->arg, &o));
}

static err s3_place_list(struct place *p, err (*each)(void *arg, const struct place_object *o), void *arg)
{
    struct s3 *client = NULL;
    char begin[S3_KEY_MAX];
    struct listing l = {p, strlen(p->to->config->prefix), each, arg};
    TRY(prepare(p, PLACE_S3_NAMES, &client, begin));
    return s3_list(client, begin, "", BACKUP_DISK_MS_MAX, list_item, &l);
}

/* --- one object --- */

static err s3_stat(struct place *p, const char *name, struct place_object *out)
{
    struct s3 *client = NULL;
    char key[S3_KEY_MAX];
    struct s3_object object;
    TRY(prepare(p, name, &client, key));
    TRY(s3_head(client, key, place_s3_soon(), &object));
    place_s3_object(&object, out);
    return OK;
}

static err read_all(struct s3_get *g, struct buf *into, size_t bytes_max)
{
    for (size_t got = 1; got > 0; into->len += got) {
        if (into->len > bytes_max)
            return E_RANGE;
        TRY(s3_get_read(g, into->at + into->len, bytes_max + 1 - into->len, place_s3_soon(), &got));
    }
    return OK;
}

static err s3_read_small(struct place *p, const char *name, size_t bytes_max, struct buf **out)
{
    struct s3 *client = NULL;
    char key[S3_KEY_MAX];
    struct s3_get *g = NULL;
    struct buf *into = NULL;
    TRY(prepare(p, name, &client, key));
    TRY(buf_wait(bytes_max + 1, place_s3_soon(), &into));
    into->len = 0;
    err e = s3_get_open(client, key, 0, place_s3_soon(), &g);
    if (e == OK)
        e = s3_get_object(g)->bytes > bytes_max ? E_RANGE : read_all(g, into, bytes_max);
    s3_get_end(g);
    if (e != OK)
        buf_release(into);
    else
        *out = into;
    return e;
}

static err s3_write_small(struct place *p, const char *name, struct bytes content, ms deadline)
{
    struct s3 *client = NULL;
    char key[S3_KEY_MAX];
    TRY(prepare(p, name, &client, key));
    return s3_put(client, key, NULL, content, false, deadline, NULL);
}

static err s3_remove(struct place *p, const char *name)
{
    struct s3 *client = NULL;
    char key[S3_KEY_MAX];
    TRY(prepare(p, name, &client, key));
    return s3_delete(client, key, place_s3_soon());
}

/* --- one is read --- */

struct s3_reading {
    struct place_get get;
    struct s3_get *from;
};

static struct s3_reading *reading_of(struct place_get *g)
{
    return CONTAINER_OF(g, struct s3_reading, get);
}

static err s3_reading_open(struct place *p, const char *name, struct place_get **out, struct place_object *object)
{
    struct s3 *client = NULL;
    char key[S3_KEY_MAX];
    TRY(prepare(p, name, &client, key));
    struct s3_reading *g = calloc(1, sizeof *g);
    if (!g)
        return E_BUDGET;
    err e = s3_get_open(client, key, 0, place_s3_soon(), &g->from);
    if (e != OK) {
        free(g);
        return e;
    }
    place_s3_object(s3_get_object(g->from), object);
    *out = &g->get;
    return OK;
}

static err s3_reading_next(struct place_get *get, ms idle_ms, struct buf **out)
{
    struct buf *into = NULL;
    size_t got = 1;
    TRY(buf_wait(BACKUP_PIECE_BYTES, loop_now() + idle_ms, &into));
    into->len = 0;
    err e = OK;
    while (e == OK && got > 0 && into->len < BACKUP_PIECE_BYTES) {
        e = s3_get_read(reading_of(get)->from, into->at + into->len, BACKUP_PIECE_BYTES - into->len, loop_now() + idle_ms, &got);
        if (e == OK)
            into->len += got;
    }
    if (e == OK && into->len > 0)
        *out = into;
    else
        buf_release(into);
    return e;
}

static void s3_reading_close(struct place_get *get)
{
    s3_get_end(reading_of(get)->from);
    free(reading_of(get));
}

const struct place_kind place_s3_kind = {
    .open = s3_place_open,
    .close = s3_place_close,
    .rest = s3_rest,
    .base = s3_base,
    .list = s3_place_list,
    .stat = s3_stat,
    .read_small = s3_read_small,
    .write_small = s3_write_small,
    .remove = s3_remove,
    .tidy = place_s3_tidy,
    .put_open = place_s3_put_open,
    .put_append = place_s3_put_append,
    .put_commit = place_s3_put_commit,
    .put_rename = place_s3_put_rename,
    .put_recorded = place_s3_put_recorded,
    .put_close = place_s3_put_close,
    .get_open = s3_reading_open,
    .get_next = s3_reading_next,
    .get_close = s3_reading_close,
};
