/* place_s3_tidy: what killed runs left: uploads in parts, and objects that did not get their record. */
#include "agents/backup/place_s3.h"

#include "board/rt/log.h"
#include "board/rt/text.h"

#include <string.h>

#define TIDY_MS_MAX  SECONDS(20) /* of one abort */
#define ASKED_MS_MAX MINUTES(15) /* no request that makes an object is longer in a server's hands */

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
    bool there = false;
    err e = backup_moved(t->place->to, s3_abort(t->client, key, id, loop_now() + TIDY_MS_MAX, &there));
    if (there)
        log_info("aborted an upload that an interrupted backup left", F("destination", t->place->to->config->name),
                 F("key", key));
    else if (e != OK && e != E_CANCELED)
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
static err abort_of_row(struct tidying *t, const struct place_upload *u)
{
    uint64_t mark = trail_mark();
    if (strcmp(u->id, PLACE_NO_UPLOAD) == 0)
        return OK;
    if (*u->id)
        return abort_one(t, u->key, u->id);
    err e = s3_list_uploads(t->client, u->key, BACKUP_DISK_MS_MAX, abort_of_key, &(struct nameless){t, u->key});
    if (e != E_DENIED && e != E_UNSUPPORTED) /* such credentials, and such a server, tell of none */
        return e;
    trail_rewind(mark);
    return OK;
}

/* --- the object itself, which nobody speaks for --- */

/* Nothing is there yet: may a server that was asked before we died still bring it about? Until the clock is set, who knows. */
static bool may_come(const struct place_upload *u)
{
    int64_t age_s = loop_wall_ms() / 1000 - u->asked_s;
    return !os_wall_is_trusted() || age_s * 1000 < ASKED_MS_MAX;
}

static err has_record(struct tidying *t, const char *key, bool *has)
{
    char record[S3_KEY_MAX];
    struct s3_object object;
    struct text name = text_over(record, sizeof record);
    uint64_t mark = trail_mark();
    text_addf(&name, "%s.json", key);
    *has = false;
    if (name.cut) /* no record had room for its name */
        return OK;
    err e = backup_moved(t->place->to, s3_head(t->client, record, place_s3_soon(), &object));
    *has = e == OK;
    if (e == E_ABSENT)
        trail_rewind(mark);
    return e == E_ABSENT ? OK : e;
}

/* E_BUSY: it may still come. */
static err remove_without_record(struct tidying *t, const struct place_upload *u)
{
    bool has = false, removed = false;
    TRY(has_record(t, u->key, &has));
    if (has)
        return OK;
    TRY(backup_moved(t->place->to, s3_delete_own(t->client, u->key, u->object, place_s3_soon(), &removed)));
    if (removed)
        log_info("removed an object that an interrupted backup left without its record",
                 F("destination", t->place->to->config->name), F("key", u->key));
    return removed || !may_come(u) ? OK : E_BUSY;
}

/* That the credentials may only write is known when they have written; until then they may be wrong. */
static err judge(struct tidying *t, const struct place_upload *u)
{
    uint64_t mark = trail_mark();
    err e = remove_without_record(t, u);
    bool unknowable = e == E_DENIED && t->place->wrote;
    if (unknowable)
        log_warn("the credentials cannot tell whether an interrupted backup left an object without a record",
                 F("destination", t->place->to->config->name), F("key", u->key));
    else if (e != OK && e != E_BUSY && e != E_DENIED && e != E_CANCELED)
        log_warn("cannot look for what an interrupted backup left", F("destination", t->place->to->config->name),
                 F("key", u->key), F_ERR(e));
    trail_rewind(mark);
    return unknowable ? OK : e == E_CANCELED ? e : e == OK ? OK : E_BUSY;
}

static err tidy_row(void *arg, const struct place_upload *u)
{
    TRY(abort_of_row(arg, u));
    return *u->object ? judge(arg, u) : OK;
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
    return p->backup->options.store ? place_uploads_left(p, tidy_row, &t) : abort_all_old(&t);
}
