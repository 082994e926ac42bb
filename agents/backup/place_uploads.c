/* place_uploads: what is on its way into S3 and has no record yet, rows of the store. What a killed hub left is known by them,
 * and nothing of another hub is ever taken for ours. */
#include "agents/backup/place_internal.h"

#include "net/api/s3/s3.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define STORE_MS_MAX SECONDS(10)

struct upload { /* what a work function is given */
    char destination[CONFIG_NAME_MAX], key[S3_KEY_MAX], id[S3_UPLOAD_ID_MAX], object[S3_OBJECT_ID_MAX];
    int64_t at_s;
    bool found;
};
_Static_assert(sizeof(struct upload) <= STORE_ARG_BYTES_MAX, "a request carries it");

static err began_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id),
                                         store_integer(u->at_s), store_text(u->object)};
    return store_exec(tx,
                      "INSERT OR REPLACE INTO backup_uploads(destination, key, upload_id, began_at, object_id)"
                      " VALUES(?1, ?2, ?3, ?4, ?5)",
                      values, COUNT_OF(values));
}

static err asks_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id),
                                         store_integer(u->at_s)};
    return store_exec(tx,
                      "UPDATE OR REPLACE backup_uploads SET upload_id = ?3, began_at = ?4"
                      " WHERE destination = ?1 AND key = ?2 AND upload_id IN ('', ?3)",
                      values, COUNT_OF(values));
}

static err no_more_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id),
                                         store_text(PLACE_NO_UPLOAD)};
    return store_exec(tx,
                      "UPDATE OR REPLACE backup_uploads SET upload_id = ?4"
                      " WHERE destination = ?1 AND key = ?2 AND upload_id = ?3",
                      values, COUNT_OF(values));
}

static err ended_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id)};
    return store_exec(tx, "DELETE FROM backup_uploads WHERE destination = ?1 AND key = ?2 AND upload_id = ?3", values,
                      COUNT_OF(values));
}

static bool copy(char *out, size_t cap, struct bytes text)
{
    if (text.len >= cap)
        return false;
    memcpy(out, text.at, text.len);
    out[text.len] = 0;
    return true;
}

static err got_upload(void *arg, const struct store_value *columns, size_t count)
{
    struct upload *u = arg;
    ASSERT(count == 4);
    u->found = copy(u->key, sizeof u->key, columns[0].bytes) && copy(u->id, sizeof u->id, columns[1].bytes) &&
               copy(u->object, sizeof u->object, columns[2].bytes);
    u->at_s = columns[3].integer;
    return OK;
}

/* The one after u->key, u->id. */
static err next_work(struct store_tx *tx, void *arg)
{
    struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id)};
    u->found = false;
    return store_query(tx,
                       "SELECT key, upload_id, object_id, began_at FROM backup_uploads"
                       " WHERE destination = ?1 AND (key, upload_id) > (?2, ?3) ORDER BY key, upload_id LIMIT 1",
                       values, COUNT_OF(values), got_upload, u);
}

static struct upload upload_of(const struct place *p, const char *key, const char *id, const char *object)
{
    struct upload u = {.at_s = loop_wall_ms() / 1000};
    (void)snprintf(u.destination, sizeof u.destination, "%s", p->to->config->name);
    (void)snprintf(u.key, sizeof u.key, "%s", key);
    (void)snprintf(u.id, sizeof u.id, "%s", id);
    (void)snprintf(u.object, sizeof u.object, "%s", object);
    return u;
}

static void note(struct place *p, struct upload *u, store_work *work)
{
    struct store *store = p->backup->options.store;
    uint64_t mark = trail_mark();
    if (!store)
        return;
    err e = store_write(store, work, u, sizeof *u, loop_now() + STORE_MS_MAX);
    if (e != OK && e != E_CANCELED)
        log_warn("the store does not know of an upload: were we killed now, it would stay in the bucket",
                 F("destination", p->to->config->name), F_ERR(e));
    trail_rewind(mark);
}

void place_upload_began(struct place *p, const char *key, const char *id, const char *object)
{
    struct upload u = upload_of(p, key, id, object);
    note(p, &u, began_work);
}

void place_upload_asks(struct place *p, const char *key, const char *id)
{
    struct upload u = upload_of(p, key, id, "");
    note(p, &u, asks_work);
}

void place_upload_no_more(struct place *p, const char *key, const char *id)
{
    struct upload u = upload_of(p, key, id, "");
    note(p, &u, no_more_work);
}

void place_upload_ended(struct place *p, const char *key, const char *id)
{
    struct upload u = upload_of(p, key, id, "");
    note(p, &u, ended_work);
}

err place_uploads_left(struct place *p, err (*each)(void *arg, const struct place_upload *u), void *arg)
{
    struct upload u = upload_of(p, "", "", "");
    u.found = true;
    for (unsigned i = 0; i < PLACE_UPLOADS_MAX && p->backup->options.store; i++) {
        TRY(store_read(p->backup->options.store, next_work, &u, sizeof u, loop_now() + STORE_MS_MAX));
        if (!u.found)
            return OK;
        err e = each(arg, &(struct place_upload){u.key, u.id, u.object, u.at_s});
        if (e == E_CANCELED)
            return e;
        if (e == OK)
            place_upload_ended(p, u.key, u.id);
        else if (e == E_BUSY)
            place_upload_no_more(p, u.key, u.id);
    }
    return OK;
}
