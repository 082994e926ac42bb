/* place_s3_put: bytes gather in a part; a full one is on its way, in a fiber of its own, while the next one fills. What fits into
 * one part is one PUT. Where there is memory for one part only, its sending is waited for. */
#include "agents/backup/place_s3.h"

#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX       2
#define TWO_PARTS_LEAST MIB(12) /* of heap: the packing and the network want some beside them */
#define PART_MS_MAX     MINUTES(10)
#define COMPLETE_MS_MAX MINUTES(5) /* a server puts the parts together: Amazon S3 says it may take minutes */
#define ABORT_MS_MAX    SECONDS(4) /* a hub that stops does not wait longer; the next one knows of it */

struct s3_writing {
    struct place_put put;
    struct s3 *client;
    char name[BACKUP_NAME_MAX], key[S3_KEY_MAX], id[S3_OBJECT_ID_MAX];
    uint8_t *part[PARTS_MAX];
    unsigned filling; /* of them */
    size_t len;       /* in that one */
    unsigned number;  /* of the last part that was sent, or is on its way; 0: none yet */
    uint64_t bytes;
    struct s3_upload *upload; /* NULL: all fits into one PUT so far */
    bool committed;
    bool in_doubt;        /* it failed at its end: the object may be there, or come */
    struct group sending; /* at most one fiber */
    struct bytes sent;    /* what it sends */
    ms deadline;
    err failed; /* its error, and what it was doing */
    char why[TRAIL_TEXT_MAX];
};

static struct s3_writing *writing_of(struct place_put *w)
{
    return CONTAINER_OF(w, struct s3_writing, put);
}

/* --- its name --- */

/* Is it taken? Credentials that may only write cannot tell. */
static err look(struct s3_writing *w)
{
    struct s3_object object;
    uint64_t mark = trail_mark();
    err e = s3_head(w->client, w->key, place_s3_soon(), &object);
    if (e == OK)
        return trail(E_EXISTS, "%s", w->key);
    if (e != E_ABSENT && e != E_DENIED)
        return e;
    trail_rewind(mark);
    return OK;
}

static err take_name(struct s3_writing *w, struct place *p, const char *name)
{
    (void)snprintf(w->name, sizeof w->name, "%s", name);
    w->put.name = w->name;
    TRY(place_s3_key(p, name, w->key));
    return look(w);
}

err place_s3_put_open(struct place *p, const char *name, struct place_put **out)
{
    struct s3 *client = NULL;
    TRY(place_s3_client(p, &client));
    struct s3_writing *w = calloc(1, sizeof *w);
    if (!w)
        return E_BUDGET;
    w->client = client;
    group_open(&w->sending, TASK_BACKUP);
    err e = take_name(w, p, name);
    if (e == OK) {
        *out = &w->put;
        return OK;
    }
    group_close(&w->sending);
    free(w);
    return e;
}

/* What was sent is under the key that it was sent for. */
err place_s3_put_rename(struct place_put *put, const char *name)
{
    struct s3_writing *w = writing_of(put);
    return w->upload ? trail(E_UNSUPPORTED, "%s: parts were sent for it", w->key) : take_name(w, put->place, name);
}

/* --- parts --- */

static err send(void *arg)
{
    struct s3_writing *w = arg;
    char words[TRAIL_TEXT_MAX];
    w->failed = s3_upload_part(w->upload, w->number, w->sent, w->deadline);
    if (w->failed != OK)
        (void)snprintf(w->why, sizeof w->why, "%s", trail_text(w->failed, words, sizeof words));
    return OK; /* it is asked of w */
}

/* Until the part before is there. The network has its own limits of silence: no stall is meant. */
static err settle(struct s3_writing *w)
{
    pulse_rest(TASK_BACKUP);
    TRY(group_join(&w->sending, w->deadline));
    return w->failed == OK ? OK : trail(w->failed, "%s", w->why);
}

static err begin_parts(struct s3_writing *w)
{
    if (w->upload)
        return OK;
    s3_object_id(w->id);
    place_upload_began(w->put.place, w->key, "", w->id);
    TRY(s3_upload_open(w->client, w->key, w->id, place_s3_soon(), &w->upload));
    place_upload_asks(w->put.place, w->key, s3_upload_id(w->upload));
    return OK;
}

/* The other part, to be filled meanwhile; NULL: there is none. */
static uint8_t *other_part(struct s3_writing *w)
{
    uint8_t **other = &w->part[1 - w->filling];
    if (!*other && mem_profile()->task[TASK_BACKUP].heap_bytes >= TWO_PARTS_LEAST)
        *other = malloc(BACKUP_PART_BYTES);
    return *other;
}

static err send_part(struct s3_writing *w, bool last, ms deadline)
{
    TRY(settle(w));
    TRY(begin_parts(w));
    if (w->number == S3_PARTS_MAX)
        return trail(E_RANGE, "%s: more than %u parts of %llu bytes", w->key, S3_PARTS_MAX,
                     (unsigned long long)BACKUP_PART_BYTES);
    w->number++;
    w->sent = (struct bytes){w->part[w->filling], w->len};
    w->deadline = ms_min(deadline, loop_now() + PART_MS_MAX);
    w->len = 0;
    TRY(group_spawn(&w->sending, "backup part", send, w));
    if (last || !other_part(w))
        return settle(w);
    w->filling = 1 - w->filling;
    return OK;
}

static err add(struct s3_writing *w, struct bytes data, ms deadline)
{
    while (data.len > 0) {
        if (!w->part[w->filling])
            w->part[w->filling] = malloc(BACKUP_PART_BYTES);
        if (!w->part[w->filling])
            return trail(
                E_BUDGET,
                "no memory for a part of %llu bytes: name the one authority of the server's certificate with `ca`, or take a "
                "larger --profile",
                (unsigned long long)BACKUP_PART_BYTES);
        size_t n = size_min(data.len, BACKUP_PART_BYTES - w->len);
        memcpy(w->part[w->filling] + w->len, data.at, n);
        w->len += n;
        w->bytes += n;
        data = (struct bytes){data.at + n, data.len - n};
        if (w->len == BACKUP_PART_BYTES)
            TRY(send_part(w, false, deadline));
    }
    return OK;
}

err place_s3_put_append(struct place_put *put, struct buf *b, ms deadline)
{
    struct s3_writing *w = writing_of(put);
    err e = w->failed == OK ? OK : trail(w->failed, "%s", w->why);
    if (e == OK)
        e = add(w, (struct bytes){b->at, b->len}, deadline);
    buf_release(b);
    return e;
}

/* --- the end --- */

/* Also of a fiber that is canceled: what is not forgotten is only looked at once more. */
static void forget(struct s3_writing *w)
{
    fiber_shield();
    place_upload_ended(w->put.place, w->key, w->upload ? s3_upload_id(w->upload) : PLACE_NO_UPLOAD);
    fiber_unshield();
}

void place_s3_put_recorded(struct place_put *put)
{
    forget(writing_of(put));
}

static err complete(struct s3_writing *w, bool if_none_match, struct s3_object *object)
{
    if (w->len > 0)
        TRY(send_part(w, true, FOREVER));
    TRY(settle(w));
    pulse_rest(TASK_BACKUP);
    w->in_doubt = true;
    place_upload_asks(w->put.place, w->key, s3_upload_id(w->upload));
    return s3_upload_complete(w->upload, if_none_match, loop_now() + COMPLETE_MS_MAX, object);
}

static err put_whole(struct s3_writing *w, bool if_none_match, struct s3_object *object)
{
    struct bytes body = {w->part[w->filling], w->len};
    pulse_rest(TASK_BACKUP);
    s3_object_id(w->id);
    place_upload_began(w->put.place, w->key, PLACE_NO_UPLOAD, w->id);
    err e = s3_put(w->client, w->key, w->id, body, if_none_match, loop_now() + PART_MS_MAX, object);
    if (e != OK && !object->in_doubt)
        forget(w);
    return e;
}

/* From now on the names tell whose a backup is. */
static void learn(struct place *p)
{
    if (!p->wants_hub_id)
        log_warn("the server cannot refuse to overwrite (no conditional requests): names get the hub's id",
                 F("destination", p->to->config->name), F("hub_id", p->backup->options.hub_id));
    p->wants_hub_id = true;
}

static err commit(struct s3_writing *w, struct s3_object *object)
{
    struct place *p = w->put.place;
    struct backup_entry entry;
    bool whose = backup_name_kind(w->name, &entry) != NAME_OTHER && entry.hub != 0;
    err e = w->upload ? complete(w, !whose, object) : put_whole(w, !whose, object);
    if (e == E_UNSUPPORTED && !whose)
        learn(p);
    return e;
}

err place_s3_put_commit(struct place_put *put, struct place_object *out)
{
    struct s3_writing *w = writing_of(put);
    struct s3_object object = {0};
    TRY(commit(w, &object));
    w->committed = true;
    place_s3_object(&object, out);
    out->bytes = w->bytes;
    return OK;
}

static void abort_upload(struct s3_writing *w)
{
    uint64_t mark = trail_mark();
    fiber_shield();
    err e = s3_upload_abort(w->upload, loop_now() + ABORT_MS_MAX);
    if (e == OK && w->in_doubt) /* a server may be slow to put it together */
        place_upload_no_more(w->put.place, w->key, s3_upload_id(w->upload));
    else if (e == OK)
        forget(w);
    else
        log_warn(w->in_doubt ? "an upload that failed at its end could not be removed: an object without a record may lie there"
                             : "the parts of an upload could not be removed now: the next start does that",
                 F("key", w->key), F_ERR(e));
    fiber_unshield();
    trail_rewind(mark);
}

void place_s3_put_close(struct place_put *put)
{
    struct s3_writing *w = writing_of(put);
    group_close(&w->sending); /* a part on its way is canceled */
    if (w->upload && !w->committed)
        abort_upload(w);
    s3_upload_close(w->upload);
    for (size_t i = 0; i < PARTS_MAX; i++)
        free(w->part[i]);
    free(w);
}
