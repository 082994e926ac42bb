/* place_s3_tidy: uploads in parts that killed runs left. */
#include "agents/backup/place_s3.h"

#include "board/rt/log.h"

#include <string.h>

#define TIDY_MS_MAX SECONDS(20) /* of one abort */

struct tidying {
    struct place *place;
    struct s3 *client;
    size_t prefix_len;
    unsigned count; /* there may be no end of them: the rest next time */
};

static err abort_one(void *arg, const char *key, const char *id)
{
    struct tidying *t = arg;
    uint64_t mark = trail_mark();
    err e = backup_moved(t->place->to, s3_abort(t->client, key, id, loop_now() + TIDY_MS_MAX));
    if (e == OK)
        log_info("aborted an upload that an interrupted backup left", F("destination", t->place->to->config->name),
                 F("key", key));
    else if (e != E_CANCELED)
        log_warn("cannot abort an upload that an interrupted backup left", F("destination", t->place->to->config->name),
                 F("key", key), F_ERR(e));
    trail_rewind(mark);
    return e;
}

struct nameless {
    struct tidying *tidying;
    const char *key;
};

static err abort_of_key(void *arg, const struct s3_pending *item)
{
    const struct nameless *n = arg;
    return strcmp(item->key, n->key) == 0 ? abort_one(n->tidying, item->key, item->upload_id) : OK;
}

/* Whether there is one was never heard. */
static err abort_known(void *arg, const char *key, const char *id)
{
    struct tidying *t = arg;
    uint64_t mark = trail_mark();
    if (*id)
        return abort_one(t, key, id);
    err e = s3_list_uploads(t->client, key, BACKUP_DISK_MS_MAX, abort_of_key, &(struct nameless){t, key});
    if (e != E_DENIED && e != E_UNSUPPORTED) /* such credentials, and such a server, tell of none */
        return e;
    trail_rewind(mark);
    return OK;
}

/* Nobody remembers whose it is: older than any run of ours can last, and under a name of ours. */
static err abort_old(void *arg, const struct s3_pending *item)
{
    struct tidying *t = arg;
    struct backup_entry entry;
    int64_t age_s = loop_wall_ms() / 1000 - item->initiated_s;
    if (strlen(item->key) < t->prefix_len || backup_name_kind(item->key + t->prefix_len, &entry) != NAME_SNAPSHOT ||
        item->initiated_s == 0 || age_s * 1000 < t->place->backup->config->backup.total_timeout_ms)
        return OK;
    if (t->count++ == PLACE_UPLOADS_MAX)
        return E_FULL;
    return abort_one(arg, item->key, item->upload_id) == E_CANCELED ? E_CANCELED : OK;
}

static err abort_all_old(struct tidying *t)
{
    char begin[S3_KEY_MAX];
    uint64_t mark = trail_mark();
    if (!os_wall_is_trusted())
        return OK;
    TRY(place_s3_key(t->place, PLACE_S3_NAMES, begin));
    err e = s3_list_uploads(t->client, begin, BACKUP_DISK_MS_MAX, abort_old, t);
    if (e != E_DENIED && e != E_UNSUPPORTED && e != E_FULL) /* such credentials, and such a server, know no leftovers */
        return e;
    trail_rewind(mark);
    return OK;
}

err place_s3_tidy(struct place *p)
{
    struct tidying t = {.place = p, .prefix_len = strlen(p->to->config->prefix)};
    TRY(place_s3_client(p, &t.client));
    return p->backup->options.store ? place_uploads_left(p, abort_known, &t) : abort_all_old(&t);
}
