/* s3_upload: an object in parts. Each part's ETag is remembered as compactly as it can be: MD5s, which are the rule, as 16 bytes.
 */
#include "net/api/s3/s3_internal.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES  4080 /* 4 KiB of heap, with its header */
#define MD5_BYTES    16
#define ETAG_MD5_LEN 34        /* 32 hex digits in quotes */
#define ETAG_IS_MD5  UINT8_MAX /* in place of a length: 16 bytes follow */
#define DOCUMENT_MAX KIB(64)   /* answers to opening and completing; white space while a server works counts */

struct etag_block {
    struct etag_block *next;
    uint16_t len;
    uint8_t at[BLOCK_BYTES - sizeof(struct etag_block *) - sizeof(uint16_t)];
};

struct s3_upload {
    struct s3 *client;
    unsigned parts;
    uint64_t bytes;
    bool ended;    /* completed, aborted, or gone */
    bool doubtful; /* it may have been completed, and nobody told */
    struct etag_block *blocks, *last;
    char key[S3_KEY_MAX], upload_id[S3_UPLOAD_ID_MAX], id[S3_OBJECT_ID_MAX];
};

/* --- ETags --- */

static bool etag_pack(const char *etag, uint8_t out[MD5_BYTES])
{
    size_t len = strlen(etag), n;
    uint64_t mark = trail_mark();
    for (size_t i = 1; i + 1 < len; i++)
        if (etag[i] >= 'A' && etag[i] <= 'F') /* it is given back as it came */
            return false;
    bool good = len == ETAG_MD5_LEN && etag[0] == '"' && etag[len - 1] == '"' &&
                hex_decode((struct bytes){(const uint8_t *)etag + 1, 2 * MD5_BYTES}, out, MD5_BYTES, &n) == OK;
    trail_rewind(mark);
    return good;
}

static err etag_keep(struct s3_upload *u, const char *etag)
{
    uint8_t entry[S3_ETAG_MAX];
    bool packed = etag_pack(etag, entry + 1);
    size_t len = packed ? MD5_BYTES : strlen(etag);
    entry[0] = packed ? ETAG_IS_MD5 : (uint8_t)len;
    if (!packed)
        memcpy(entry + 1, etag, len);
    if (!u->last || u->last->len + len + 1 > sizeof u->last->at) {
        struct etag_block *b = calloc(1, sizeof *b);
        if (!b)
            return E_BUDGET;
        *(u->last ? &u->last->next : &u->blocks) = b;
        u->last = b;
    }
    memcpy(u->last->at + u->last->len, entry, len + 1);
    u->last->len = (uint16_t)(u->last->len + len + 1);
    return OK;
}

/* Walks the parts in order: a cursor is all it needs. */
struct etag_cursor {
    const struct etag_block *block;
    size_t at;
};

static void etag_next(struct etag_cursor *c, char out[S3_ETAG_MAX])
{
    if (c->at == c->block->len) {
        c->block = c->block->next;
        c->at = 0;
    }
    const uint8_t *entry = c->block->at + c->at;
    size_t len = *entry == ETAG_IS_MD5 ? MD5_BYTES : *entry;
    if (*entry == ETAG_IS_MD5) {
        char hex[HEX_TEXT_MAX(MD5_BYTES)];
        (void)snprintf(out, S3_ETAG_MAX, "\"%s\"", hex_encode((struct bytes){entry + 1, len}, hex, sizeof hex));
    } else {
        memcpy(out, entry + 1, len);
        out[len] = 0;
    }
    c->at += len + 1;
}

/* --- open --- */

struct opening {
    struct s3_upload *upload;
    struct s3_call *call;
};

static err open_element(void *arg, const struct s3_element *e)
{
    struct opening *o = arg;
    if (strcmp(e->root, "Error") == 0 && !*e->parent && e->text)
        s3_answer_field(&o->call->answer, e->name, e->text);
    if (strcmp(e->root, "InitiateMultipartUploadResult") != 0 || *e->parent || !e->text || strcmp(e->name, "UploadId") != 0)
        return OK;
    if (!s3_copy(o->upload->upload_id, sizeof o->upload->upload_id, bytes_of(e->text)))
        return trail(E_PROTOCOL, "an upload id of more than %d bytes", S3_UPLOAD_ID_MAX - 1);
    return OK;
}

static err open_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct opening o = {call->take_arg, call};
    struct s3_document d = {open_element, &o, DOCUMENT_MAX};
    (void)h;
    TRY(s3_document_read(&d, s, call));
    return *o.upload->upload_id || *call->answer.code ? OK : trail(E_PROTOCOL, "an answer without upload id");
}

static void open_query(const void *arg, struct text *out)
{
    (void)arg;
    sigv4_put_param(out, "uploads", bytes_of(""));
}

err s3_upload_open(struct s3 *c, const char *key, const char *id, ms deadline, struct s3_upload **out)
{
    *out = NULL;
    TRY(s3_key_check(key));
    struct s3_upload *u = calloc(1, sizeof *u);
    if (!u)
        return E_BUDGET;
    u->client = c;
    memcpy(u->key, key, strlen(key) + 1);
    s3_object_id(u->id);
    if (id)
        (void)snprintf(u->id, sizeof u->id, "%s", id);
    struct s3_call call = {.method = "POST",
                           .key = u->key,
                           .id = u->id,
                           .query = open_query,
                           .deadline = deadline,
                           .take = open_take,
                           .take_arg = u};
    err e = s3_ask(c, &call);
    if (e != OK) {
        s3_upload_close(u);
        return e;
    }
    *out = u;
    return OK;
}

const char *s3_upload_id(const struct s3_upload *u)
{
    return u->upload_id;
}

void s3_upload_close(struct s3_upload *u)
{
    if (!u)
        return;
    while (u->blocks) {
        struct etag_block *b = u->blocks;
        u->blocks = b->next;
        free(b);
    }
    free(u);
}

/* --- parts --- */

struct part {
    struct s3_upload *upload;
    unsigned number;
    char etag[S3_ETAG_MAX];
};

static void part_query(const void *arg, struct text *out)
{
    const struct part *p = arg;
    char number[12];
    (void)snprintf(number, sizeof number, "%u", p->number);
    sigv4_put_param(out, "partNumber", bytes_of(number));
    sigv4_put_param(out, "uploadId", bytes_of(p->upload->upload_id));
}

static err part_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct part *p = call->take_arg;
    struct bytes etag;
    if (!http1_find(h, "etag", &etag) || etag.len == 0 || !s3_copy(p->etag, sizeof p->etag, etag))
        return trail(E_PROTOCOL, "part %u: an ETag of 0 or more than %d bytes", p->number, S3_ETAG_MAX - 1);
    s3_drain(s, s3_silence(call));
    return OK;
}

err s3_upload_part(struct s3_upload *u, unsigned number, struct bytes part, ms deadline)
{
    struct part p = {.upload = u, .number = number};
    struct s3_call call = {.method = "PUT",
                           .key = u->key,
                           .query = part_query,
                           .query_arg = &p,
                           .body = part,
                           .deadline = deadline,
                           .take = part_take,
                           .take_arg = &p};
    if (u->ended || number != u->parts + 1 || part.len == 0)
        return trail(E_INVALID, "part %u of %zu bytes behind part %u", number, part.len, u->parts);
    if (number > S3_PARTS_MAX || part.len > S3_PART_BYTES_MAX)
        return trail(E_RANGE, "part %u of %zu bytes: %d parts of %zu bytes are possible", number, part.len, S3_PARTS_MAX,
                     S3_PART_BYTES_MAX);
    TRY(trail(s3_ask(u->client, &call), "part %u", number));
    TRY(etag_keep(u, p.etag));
    u->parts++;
    u->bytes += part.len;
    return OK;
}

/* --- complete --- */

#define DOCUMENT_BEGIN "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define DOCUMENT_END   "</CompleteMultipartUpload>"

static void escaped(struct text *t, const char *from)
{
    for (; *from; from++) {
        const char one[2] = {*from, 0};
        text_add(t, *from == '&' ? "&amp;" : *from == '<' ? "&lt;" : *from == '>' ? "&gt;" : *from == '"' ? "&quot;" : one);
    }
}

struct completion {
    const struct s3_upload *upload;
    struct etag_cursor cursor;
};

static size_t complete_piece(const void *arg, unsigned index, char *into)
{
    struct completion *c = (struct completion *)(uintptr_t)arg;
    struct text t = text_over(into, S3_PIECE_MAX);
    char etag[S3_ETAG_MAX];
    if (index == 0) {
        c->cursor = (struct etag_cursor){c->upload->blocks, 0};
        text_add(&t, DOCUMENT_BEGIN);
    } else if (index <= c->upload->parts) {
        etag_next(&c->cursor, etag);
        text_addf(&t, "<Part><PartNumber>%u</PartNumber><ETag>", index);
        escaped(&t, etag);
        text_add(&t, "</ETag></Part>");
    } else if (index == c->upload->parts + 1) {
        text_add(&t, DOCUMENT_END);
    }
    return t.len;
}

struct completed {
    struct s3_call *call;
    bool good;
};

static err complete_element(void *arg, const struct s3_element *e)
{
    struct completed *c = arg;
    if (strcmp(e->root, "Error") == 0 && !*e->parent && e->text)
        s3_answer_field(&c->call->answer, e->name, e->text);
    c->good = c->good || strcmp(e->root, "CompleteMultipartUploadResult") == 0;
    return OK;
}

/* S3 may answer 200 at once, then send white space while it works, and tell an error in the end. */
static err complete_take(struct s3_call *call, struct s3_slot *s, const struct http1_head *h)
{
    struct completed c = {call, false};
    struct s3_document d = {complete_element, &c, DOCUMENT_MAX};
    (void)h;
    TRY(s3_document_read(&d, s, call));
    return c.good || *call->answer.code ? OK : trail(E_PROTOCOL, "an answer that says neither that it is complete nor why not");
}

static void id_query(const void *arg, struct text *out)
{
    sigv4_put_param(out, "uploadId", bytes_of(((const struct s3_upload *)arg)->upload_id));
}

static err complete_ask(struct s3_upload *u, bool if_none_match, ms deadline)
{
    struct completion pieces = {.upload = u};
    struct s3_call call = {.method = "POST",
                           .key = u->key,
                           .query = id_query,
                           .query_arg = u,
                           .piece = complete_piece,
                           .piece_arg = &pieces,
                           .if_none_match = if_none_match,
                           .patient = true,
                           .deadline = deadline,
                           .take = complete_take};
    uint64_t mark = trail_mark();
    bool ours = false;
    err e = s3_ask(u->client, &call);
    u->doubtful = s3_may_be_there(&call, false, e);
    if ((e != E_EXISTS && e != E_ABSENT) || !call.doubtful)
        return e;
    /* An earlier try of this very call may have done it, and its answer was lost. */
    uint64_t told = trail_mark();
    if (s3_is_ours(u->client, u->key, u->id, deadline, &ours) != OK || !ours) {
        trail_rewind(told);
        return e;
    }
    trail_rewind(mark);
    return OK;
}

err s3_upload_complete(struct s3_upload *u, bool if_none_match, ms deadline, struct s3_object *out)
{
    struct s3_object object = {.etag = ""};
    if (u->ended || u->parts == 0)
        return trail(E_INVALID, "completing an upload %s", u->ended ? "that has ended" : "without parts");
    TRY(complete_ask(u, if_none_match, deadline));
    struct s3_call call = {.key = u->key, .if_none_match = if_none_match, .deadline = deadline};
    err e = s3_confirm(u->client, &call, u->bytes, u->id, &object);
    u->ended = e == OK || e == E_CORRUPT; /* which has been removed */
    u->doubtful = !u->ended;
    if (e == OK && out)
        *out = object;
    return e;
}

err s3_upload_abort(struct s3_upload *u, ms deadline)
{
    if (u->ended)
        return OK;
    TRY(s3_abort(u->client, u->key, u->upload_id, deadline, NULL));
    if (u->doubtful)
        TRY(s3_undo(u->client, u->key, u->id, deadline));
    u->ended = true;
    return OK;
}
