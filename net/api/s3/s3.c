/* s3: the client, and what one request does: put, head, delete. */
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "net/api/s3/s3_internal.h"

#include <stdlib.h>
#include <string.h>

#define REGION_USUAL     "us-east-1" /* where none is given: what servers other than Amazon's expect */
#define CONFIRM_PAUSE_MS SECONDS(10)

/* --- the client --- */

static bool bucket_is_valid(const char *bucket)
{
    size_t len = strlen(bucket);
    for (const char *c = bucket; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr(".-_", *c)))
            return false;
    return len >= 3 && len < S3_BUCKET_MAX && *bucket != '.' && *bucket != '-';
}

static err virtual_host(struct s3 *c)
{
    char host[URL_HOST_MAX];
    struct text t = text_over(host, sizeof host);
    struct addr literal;
    uint64_t mark = trail_mark();
    bool is_literal = addr_parse_ip(bytes_of(c->url.host), &literal) == OK;
    trail_rewind(mark);
    if (is_literal)
        return trail(E_INVALID, "virtual-host addressing with the address %s: it needs a name, use path", c->url.host);
    if (c->url.tls && strchr(c->bucket, '.'))
        return trail(E_INVALID,
                     "virtual-host addressing with the bucket %s: no certificate is for a name with its dots, use path",
                     c->bucket);
    text_addf(&t, "%s.%s", c->bucket, c->url.host);
    memcpy(c->url.host, host, t.len + 1);
    return t.cut ? trail(E_RANGE, "bucket and endpoint together are too long for a name") : OK;
}

static err options_take(struct s3 *c, const struct s3_options *o)
{
    TRY(trail(url_parse(o->endpoint, &c->url), "the endpoint"));
    if (strcmp(c->url.path, "/") != 0)
        return trail(E_INVALID, "endpoint %s://%s has a path: the bucket is told apart", c->url.tls ? "https" : "http",
                     c->url.host);
    if (c->url.tls && !o->tls)
        return trail(E_INVALID, "https://%s without TLS settings", c->url.host);
    if (!bucket_is_valid(o->bucket) || !s3_copy(c->bucket, sizeof c->bucket, bytes_of(o->bucket)))
        return trail(E_INVALID, "\"%.70s\" is not the name of a bucket: 3 to 63 letters, digits, dots and hyphens", o->bucket);
    if (!s3_copy(c->region, sizeof c->region, bytes_of(o->region && *o->region ? o->region : REGION_USUAL)))
        return trail(E_INVALID, "a region of more than %d bytes", S3_REGION_MAX - 1);
    c->addressing = o->addressing;
    if (c->addressing == S3_VIRTUAL)
        TRY(virtual_host(c));
    url_authority(&c->url, c->authority, sizeof c->authority);
    return OK;
}

err s3_open(const struct s3_options *o, struct s3 **out)
{
    struct s3 *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return E_BUDGET;
    err e = options_take(c, o);
    if (e != OK) {
        free(c);
        return e;
    }
    c->tls = o->tls ? tls_config_share(o->tls) : NULL;
    c->dns = o->dns;
    c->credentials = o->credentials;
    c->arg = o->arg;
    lane_open(&c->lane, "s3 hash", mem_task(), 1);
    sem_init_count(&c->free_slots, S3_SLOTS);
    for (size_t i = 0; i < S3_SLOTS; i++)
        c->slots[i].client = c;
    *out = c;
    return OK;
}

void s3_close(struct s3 *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < S3_SLOTS; i++) {
        ASSERT(!c->slots[i].busy);
        http_disconnect(c->slots[i].connection);
    }
    lane_close(&c->lane);
    tls_config_release(c->tls);
    free(c);
}

int64_t s3_clock_skew_ms(const struct s3 *c)
{
    return c->skew_ms;
}

bool s3_clock_seen(const struct s3 *c, int64_t *ahead_ms)
{
    *ahead_ms = c->date_ahead_ms;
    return c->date_seen;
}

/* --- head --- */

struct heading {
    struct s3_object object;
    const char *id; /* NULL, or that of the object we mean */
    bool ours;      /* it has that id */
    bool others;    /* it has another one. A server that keeps no fields of ours tells neither */
};

void s3_object_read(const struct http1_head *h, struct s3_object *out)
{
    struct bytes value;
    *out = (struct s3_object){.bytes = h->length};
    if (http1_find(h, "content-length", &value) && !text_to_u64(value, &out->bytes))
        out->bytes = 0;
    if (http1_find(h, "last-modified", &value))
        out->modified_s = http1_date_read(value);
    if (http1_find(h, "etag", &value))
        (void)s3_copy(out->etag, sizeof out->etag, value); /* one that is too long is unknown */
}

static err head_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct heading *heading = call->take_arg;
    struct bytes id;
    s3_object_read(h, &heading->object);
    if (heading->id && http1_find(h, S3_ID_FIELD, &id)) {
        heading->ours = bytes_equal_text(id, heading->id);
        heading->others = !heading->ours;
    }
    s3_drain(s, s3_silence(call));
    return OK;
}

err s3_key_check(const char *key)
{
    size_t len = strlen(key);
    return len > 0 && len < S3_KEY_MAX ? OK : trail(E_RANGE, "a key of %zu bytes: 1 to %d are possible", len, S3_KEY_MAX - 1);
}

static err heading_ask(struct s3 *c, const char *key, ms deadline, struct heading *out)
{
    struct s3_call call = {.method = "HEAD", .key = key, .deadline = deadline, .take = head_take, .take_arg = out};
    TRY(s3_key_check(key));
    return s3_ask(c, &call);
}

err s3_head(struct s3 *c, const char *key, ms deadline, struct s3_object *out)
{
    struct heading h = {.id = NULL};
    err e = heading_ask(c, key, deadline, &h);
    *out = h.object;
    out->confirmed = e == OK;
    return e;
}

/* --- delete --- */

static err nothing_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    (void)h;
    s3_drain(s, s3_silence(call));
    return OK;
}

/* A missing bucket is told; a missing key is what was wanted. */
err s3_absent_is_fine(const struct s3_call *call, uint64_t mark, err e)
{
    if (e != E_ABSENT || strcmp(call->answer.code, "NoSuchBucket") == 0)
        return e;
    trail_rewind(mark);
    return OK;
}

err s3_delete(struct s3 *c, const char *key, ms deadline)
{
    struct s3_call call = {.method = "DELETE", .key = key, .deadline = deadline, .take = nothing_take};
    uint64_t mark = trail_mark();
    TRY(s3_key_check(key));
    return s3_absent_is_fine(&call, mark, s3_ask(c, &call));
}

static void upload_query(const void *arg, struct text *out)
{
    sigv4_put_param(out, "uploadId", bytes_of(arg));
}

err s3_abort(struct s3 *c, const char *key, const char *upload_id, ms deadline, bool *there)
{
    struct s3_call call = {.method = "DELETE",
                           .key = key,
                           .query = upload_query,
                           .query_arg = upload_id,
                           .deadline = deadline,
                           .take = nothing_take};
    uint64_t mark = trail_mark();
    TRY(s3_key_check(key));
    err e = s3_ask(c, &call);
    if (there)
        *there = e == OK;
    return s3_absent_is_fine(&call, mark, e);
}

/* --- put --- */

err s3_is_ours(struct s3 *c, const char *key, const char *id, ms deadline, bool *ours)
{
    struct heading h = {.id = id};
    uint64_t mark = trail_mark();
    err e = heading_ask(c, key, deadline, &h);
    *ours = e == OK && h.ours;
    if (e != E_ABSENT && e != E_DENIED)
        return e;
    trail_rewind(mark);
    return OK;
}

/* Neither done, as far as is known, nor refused. What was found damaged has been removed. */
bool s3_may_be_there(const struct s3_call *call, bool written, err e)
{
    return e != OK && e != E_CORRUPT && (written || call->doubtful || e == E_CANCELED);
}

err s3_undo(struct s3 *c, const char *key, const char *id, ms deadline)
{
    bool ours = false;
    TRY(s3_is_ours(c, key, id, deadline, &ours));
    return ours ? s3_delete(c, key, deadline) : OK;
}

static err wrong_size(struct s3 *c, const char *key, uint64_t sent, const struct heading *h, ms deadline)
{
    uint64_t mark = trail_mark();
    bool removed = h->ours && s3_delete(c, key, deadline) == OK;
    trail_rewind(mark);
    return trail(E_CORRUPT, "%s/%s/%s has %llu bytes, %llu were sent%s", c->authority, c->bucket, key,
                 (unsigned long long)h->object.bytes, (unsigned long long)sent, removed ? "; removed" : "");
}

err s3_delete_own(struct s3 *c, const char *key, const char *id, ms deadline, bool *removed)
{
    struct heading h = {.id = id};
    uint64_t mark = trail_mark();
    *removed = false;
    err e = heading_ask(c, key, deadline, &h);
    if (e == E_ABSENT)
        trail_rewind(mark);
    if (e != OK || !h.ours)
        return e == E_ABSENT ? OK : e;
    TRY(s3_delete(c, key, deadline));
    *removed = true;
    return OK;
}

/* It is written: what does not answer now is given time once, before all is taken back and sent anew. */
static err heading_ask_again(struct s3 *c, const char *key, ms deadline, struct heading *h)
{
    uint64_t mark = trail_mark();
    err e = heading_ask(c, key, deadline, h);
    if (e == OK || e == E_ABSENT || e == E_DENIED || e == E_CANCELED || loop_now() + CONFIRM_PAUSE_MS >= deadline)
        return e;
    trail_rewind(mark);
    TRY(fiber_sleep(loop_now() + CONFIRM_PAUSE_MS));
    return heading_ask(c, key, deadline, h);
}

err s3_confirm(struct s3 *c, const struct s3_call *call, uint64_t bytes, const char *id, struct s3_object *out)
{
    const char *key = call->key;
    ms deadline = call->deadline;
    struct heading h = {.id = id};
    uint64_t mark = trail_mark();
    err e = heading_ask_again(c, key, deadline, &h);
    if (e == E_DENIED) { /* the credentials may write and no more */
        trail_rewind(mark);
        out->bytes = bytes;
        return OK;
    }
    if (e != OK)
        return trail(e == E_ABSENT ? E_CORRUPT : e, "asking back for %s/%s/%s, which was written", c->authority, c->bucket, key);
    if (h.others && call->if_none_match)
        return trail(E_UNSUPPORTED, "%s/%s/%s is another's at once, which the server was asked to refuse", c->authority,
                     c->bucket, key);
    if (h.others) { /* it was written, and may be written over */
        out->bytes = bytes;
        return OK;
    }
    if (h.object.bytes != bytes)
        return wrong_size(c, key, bytes, &h, deadline);
    *out = h.object;
    out->confirmed = true;
    return OK;
}

static err put_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct bytes etag;
    struct s3_object *out = call->take_arg;
    if (http1_find(h, "etag", &etag))
        (void)s3_copy(out->etag, sizeof out->etag, etag);
    s3_drain(s, s3_silence(call));
    return OK;
}

/* What is there may be what an earlier try of the same call wrote, whose answer was lost. */
static err put_settle(struct s3 *c, const struct s3_call *call, uint64_t mark, err e)
{
    bool ours = false;
    if (e != E_EXISTS || !call->doubtful)
        return e;
    if (s3_is_ours(c, call->key, call->id, call->deadline, &ours) != OK || !ours)
        return e;
    trail_rewind(mark);
    return OK;
}

/* Nobody would know of it. */
static err take_back(struct s3 *c, const struct s3_call *call, err why)
{
    uint64_t mark = trail_mark();
    fiber_shield();
    err e = s3_undo(c, call->key, call->id, loop_now() + S3_UNDO_MS_MAX);
    fiber_unshield();
    if (e != OK)
        log_warn("what was written, or not, could not be removed", F("bucket", c->bucket), F("key", call->key), F_ERR(e));
    trail_rewind(mark);
    return e == OK ? why : trail(why, "%s may lie there nevertheless", call->key);
}

err s3_put(struct s3 *c, const char *key, const char *id, struct bytes body, bool if_none_match, ms deadline,
           struct s3_object *out)
{
    char own[S3_OBJECT_ID_MAX];
    struct s3_object object = {.etag = ""};
    struct s3_call call = {.method = "PUT",
                           .key = key,
                           .body = body,
                           .id = id ? id : own,
                           .if_none_match = if_none_match,
                           .deadline = deadline,
                           .take = put_take,
                           .take_arg = &object};
    uint64_t mark = trail_mark();
    TRY(s3_key_check(key));
    if (body.len > S3_PUT_BYTES_MAX)
        return trail(E_RANGE, "a PUT of %zu bytes: use an upload in parts", body.len);
    s3_object_id(own);
    err e = put_settle(c, &call, mark, s3_ask(c, &call));
    bool written = e == OK;
    if (e == OK)
        e = s3_confirm(c, &call, body.len, call.id, &object);
    object.in_doubt = e == E_CORRUPT || s3_may_be_there(&call, written, e);
    if (out && s3_may_be_there(&call, written, e))
        e = take_back(c, &call, e);
    if (out)
        *out = object;
    return e;
}
