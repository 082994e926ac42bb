/* s3_get: an object as a stream; a connection that breaks is opened anew where it broke. */
#include "net/api/s3/s3_internal.h"

#include <stdlib.h>
#include <string.h>

struct s3_get {
    struct s3 *client;
    struct s3_slot *slot; /* NULL: none is open */
    struct s3_object object;
    uint64_t at;       /* the next byte to give */
    unsigned failures; /* in a row without a byte */
    bool known;        /* object is */
    char key[S3_KEY_MAX];
};

/* "bytes 5-9/10", RFC 9110 14.4. */
static bool range_read(const struct http1_head *h, uint64_t *first, uint64_t *total)
{
    char copy[80];
    struct bytes value;
    if (!http1_find(h, "content-range", &value) || !s3_copy(copy, sizeof copy, value) || strncmp(copy, "bytes ", 6) != 0)
        return false;
    char *dash = strchr(copy, '-'), *slash = strchr(copy, '/');
    if (!dash || !slash)
        return false;
    *dash = 0;
    return text_to_u64(bytes_of(copy + 6), first) && text_to_u64(bytes_of(slash + 1), total);
}

static err get_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct s3_get *g = call->take_arg;
    struct s3_object found;
    uint64_t first = 0;
    (void)s;
    s3_object_read(h, &found);
    if (call->range && (h->status != 206 || !range_read(h, &first, &found.bytes) || first != g->at))
        return trail(E_PROTOCOL, "answered %u to a range: not from byte %llu on", h->status, (unsigned long long)g->at);
    if (!call->range && h->framing != HTTP1_LENGTH && !http1_find(h, "content-length", &(struct bytes){NULL, 0}))
        return trail(E_PROTOCOL, "an object without length");
    if (g->known && (found.bytes != g->object.bytes || strcmp(found.etag, g->object.etag) != 0))
        return trail(E_CORRUPT, "it has become another object while it was read");
    g->object = found;
    g->object.confirmed = g->known = true;
    return OK;
}

static err get_ask(struct s3_get *g, ms deadline)
{
    char range[S3_RANGE_MAX];
    struct text t = text_over(range, sizeof range);
    struct s3_call call = {.method = "GET", .key = g->key, .keep = true, .deadline = deadline, .take = get_take, .take_arg = g};
    text_addf(&t, "bytes=%llu-", (unsigned long long)g->at);
    if (g->at > 0)
        call.range = range;
    if (g->known && *g->object.etag)
        call.if_match = g->object.etag;
    err e = s3_ask(g->client, &call);
    if (e == E_EXISTS || (e == E_RANGE && g->known))
        return trail(E_CORRUPT, "%s/%s/%s has become another object while it was read", g->client->authority, g->client->bucket,
                     g->key);
    g->slot = e == OK ? call.slot : NULL;
    return e;
}

err s3_get_open(struct s3 *c, const char *key, uint64_t from, ms deadline, struct s3_get **out)
{
    *out = NULL;
    TRY(s3_key_check(key));
    struct s3_get *g = calloc(1, sizeof *g);
    if (!g)
        return E_BUDGET;
    g->client = c;
    g->at = from;
    memcpy(g->key, key, strlen(key) + 1);
    err e = get_ask(g, deadline);
    if (e != OK) {
        free(g);
        return e;
    }
    *out = g;
    return OK;
}

const struct s3_object *s3_get_object(const struct s3_get *g)
{
    return &g->object;
}

/* In the middle of an answer a connection is of no more use. */
static void slot_leave(struct s3_get *g)
{
    if (g->slot && !http_reusable(g->slot->connection)) {
        http_disconnect(g->slot->connection);
        g->slot->connection = NULL;
    }
    s3_slot_give(g->slot);
    g->slot = NULL;
}

/* What is open gives bytes, or its error. *got 0: all are there. */
static err bytes_read(struct s3_get *g, void *into, size_t cap, ms deadline, size_t *got)
{
    ms until = ms_min(deadline, loop_now() + S3_SILENCE_MS_MAX);
    TRY(http_receive_body(g->slot->connection, into, cap, until, got));
    if (*got == 0 && g->at < g->object.bytes)
        return trail(E_CLOSED, "the answer ended at byte %llu of %llu", (unsigned long long)g->at,
                     (unsigned long long)g->object.bytes);
    if (*got > g->object.bytes - g->at)
        return trail(E_CORRUPT, "more bytes than it has");
    g->at += *got;
    return OK;
}

/* Whether to go on behind an error: a few times, and while there is time. */
static bool may_go_on(struct s3_get *g, err e, ms deadline)
{
    return err_retry(e) == RETRY_LATER && ++g->failures < S3_TRIES_MAX && loop_now() < deadline;
}

err s3_get_read(struct s3_get *g, void *into, size_t cap, ms deadline, size_t *got)
{
    uint64_t mark = trail_mark();
    for (;;) {
        *got = 0;
        if (!g->slot && g->at == g->object.bytes)
            return OK;
        if (!g->slot)
            TRY(get_ask(g, deadline));
        err e = bytes_read(g, into, cap, deadline, got);
        if (e == OK) {
            g->failures = *got > 0 ? 0 : g->failures;
            return OK;
        }
        slot_leave(g);
        if (!may_go_on(g, e, deadline))
            return trail(e, "reading %s/%s/%s at byte %llu", g->client->authority, g->client->bucket, g->key,
                         (unsigned long long)g->at);
        trail_rewind(mark);
    }
}

void s3_get_end(struct s3_get *g)
{
    if (!g)
        return;
    slot_leave(g);
    free(g);
}
