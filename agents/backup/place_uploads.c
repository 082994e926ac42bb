/* place_uploads: which uploads in parts are under way, rows of the store. What a killed hub left is known by them, and no other
 * hub's upload is ever taken for one of ours. */
#include "agents/backup/place_internal.h"

#include "net/api/s3/s3.h"

#include "board/rt/log.h"

#include <stdio.h>
#include <string.h>

#define STORE_MS_MAX SECONDS(10)

struct upload { /* what a work function is given */
    char destination[CONFIG_NAME_MAX], key[S3_KEY_MAX], id[S3_UPLOAD_ID_MAX];
    int64_t at_s;
    bool found;
};
_Static_assert(sizeof(struct upload) <= STORE_ARG_BYTES_MAX, "a request carries it");

static err began_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id),
                                         store_integer(u->at_s)};
    return store_exec(tx, "INSERT OR REPLACE INTO backup_uploads VALUES(?1, ?2, ?3, ?4)", values, COUNT_OF(values));
}

static err named_work(struct store_tx *tx, void *arg)
{
    const struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id)};
    return store_exec(
        tx, "UPDATE OR REPLACE backup_uploads SET upload_id = ?3 WHERE destination = ?1 AND key = ?2 AND upload_id = ''", values,
        COUNT_OF(values));
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
    ASSERT(count == 2);
    u->found = copy(u->key, sizeof u->key, columns[0].bytes) && copy(u->id, sizeof u->id, columns[1].bytes);
    return OK;
}

/* The one after u->key, u->id. */
static err next_work(struct store_tx *tx, void *arg)
{
    struct upload *u = arg;
    const struct store_value values[] = {store_text(u->destination), store_text(u->key), store_text(u->id)};
    u->found = false;
    return store_query(tx,
                       "SELECT key, upload_id FROM backup_uploads WHERE destination = ?1 AND (key, upload_id) > (?2, ?3)"
                       " ORDER BY key, upload_id LIMIT 1",
                       values, COUNT_OF(values), got_upload, u);
}

static struct upload upload_of(const struct place *p, const char *key, const char *id)
{
    struct upload u = {.at_s = loop_wall_ms() / 1000};
    (void)snprintf(u.destination, sizeof u.destination, "%s", p->to->config->name);
    (void)snprintf(u.key, sizeof u.key, "%s", key);
    (void)snprintf(u.id, sizeof u.id, "%s", id);
    return u;
}

static void note(struct place *p, const char *key, const char *id, store_work *work)
{
    struct store *store = p->backup->options.store;
    struct upload u = upload_of(p, key, id);
    uint64_t mark = trail_mark();
    if (!store)
        return;
    err e = store_write(store, work, &u, sizeof u, loop_now() + STORE_MS_MAX);
    if (e != OK && e != E_CANCELED)
        log_warn("the store does not know of an upload: were we killed now, its parts would stay in the bucket",
                 F("destination", p->to->config->name), F_ERR(e));
    trail_rewind(mark);
}

void place_upload_began(struct place *p, const char *key)
{
    note(p, key, "", began_work);
}

void place_upload_named(struct place *p, const char *key, const char *id)
{
    note(p, key, id, named_work);
}

void place_upload_ended(struct place *p, const char *key, const char *id)
{
    note(p, key, id, ended_work);
}

err place_uploads_left(struct place *p, err (*each)(void *arg, const char *key, const char *id), void *arg)
{
    struct upload u = upload_of(p, "", "");
    u.found = true;
    for (unsigned i = 0; i < PLACE_UPLOADS_MAX && p->backup->options.store; i++) {
        TRY(store_read(p->backup->options.store, next_work, &u, sizeof u, loop_now() + STORE_MS_MAX));
        if (!u.found)
            return OK;
        err e = each(arg, u.key, u.id);
        if (e == E_CANCELED)
            return e;
        if (e == OK)
            place_upload_ended(p, u.key, u.id);
    }
    return OK;
}
