/* s3_peer_ops: what lies in the pretended S3, and what each operation does to it. */
#include "net/format/hex.h"
#include "net/format/sha256.h"
#include "tests/support/s3_peer_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what lies there --- */

const struct s3_peer_object *s3_peer_find(const struct s3_peer *p, const char *key)
{
    for (size_t i = 0; i < S3_PEER_OBJECTS_MAX; i++)
        if (p->objects[i].there && strcmp(p->objects[i].key, key) == 0)
            return &p->objects[i];
    return NULL;
}

unsigned s3_peer_pending(const struct s3_peer *p)
{
    unsigned n = 0;
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++)
        n += p->uploads[i].there;
    return n;
}

static struct s3_peer_object *object_place(struct s3_peer *p, const char *key)
{
    struct s3_peer_object *found = (struct s3_peer_object *)(uintptr_t)s3_peer_find(p, key);
    for (size_t i = 0; i < S3_PEER_OBJECTS_MAX && !found; i++)
        if (!p->objects[i].there)
            found = &p->objects[i];
    if (found) {
        *found = (struct s3_peer_object){.there = true};
        (void)snprintf(found->key, sizeof found->key, "%s", key);
    }
    return found;
}

/* 32 hex digits that are the bytes': no MD5, as servers with encryption do. */
static void etag_of(struct bytes body, char out[64])
{
    uint8_t digest[SHA256_BYTES];
    char hex[33];
    sha256_of(body, digest);
    (void)snprintf(out, 64, "\"%s\"", hex_encode((struct bytes){digest, 16}, hex, sizeof hex));
}

static bool object_make(struct s3_peer *p, const char *key, size_t at, size_t bytes, const char *id)
{
    struct s3_peer_object *o = object_place(p, key);
    if (!o)
        return false;
    o->at = at;
    o->bytes = bytes;
    etag_of((struct bytes){p->content + at, bytes}, o->etag);
    (void)snprintf(o->id, sizeof o->id, "%s", id);
    return true;
}

bool s3_peer_put(struct s3_peer *p, const char *key, struct bytes body)
{
    if (body.len > S3_PEER_BYTES_MAX - p->content_len)
        return false;
    memcpy(p->content + p->content_len, body.at, body.len);
    p->content_len += body.len;
    return object_make(p, key, p->content_len - body.len, body.len, "");
}

/* --- answers --- */

static err answer_fields(struct s3_peer_conn *c, unsigned status, const char *format, const char *value)
{
    char fields[256];
    (void)snprintf(fields, sizeof fields, format, value);
    return s3_peer_reply(c, status, fields, "", 0);
}

static err answer_xml(struct s3_peer_conn *c)
{
    return s3_peer_reply(c, 200, "", c->answer, strlen(c->answer));
}

/* --- what is done --- */

static struct s3_peer_upload *upload_find(struct s3_peer_conn *c)
{
    char id[40];
    (void)s3_peer_param(c, "uploadId", id, sizeof id);
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++) {
        struct s3_peer_upload *u = &c->peer->uploads[i];
        char own[16];
        (void)snprintf(own, sizeof own, "upload-%u", u->number);
        if (u->there && strcmp(own, id) == 0 && strcmp(u->key, c->key) == 0)
            return u;
    }
    return NULL;
}

static bool condition_fails(const struct s3_peer_conn *c)
{
    char value[8];
    return s3_peer_field(c, "if-none-match", value, sizeof value) && s3_peer_find(c->peer, c->key);
}

static err put(struct s3_peer_conn *c)
{
    char id[40];
    size_t at = (size_t)(c->body.at - c->peer->content);
    (void)s3_peer_field(c, "x-amz-meta-holdfast-id", id, sizeof id);
    size_t keep = c->fault && c->fault->how == S3_PEER_SHORT ? c->body.len / 2 : c->body.len;
    if (condition_fails(c))
        return s3_peer_refuse(c, 412, "PreconditionFailed", NULL);
    if (!object_make(c->peer, c->key, at, keep, id))
        return s3_peer_refuse(c, 507, "QuotaExceeded", NULL);
    return answer_fields(c, 200, "ETag: %s\r\n", s3_peer_find(c->peer, c->key)->etag);
}

static err get(struct s3_peer_conn *c)
{
    const struct s3_peer_object *o = s3_peer_find(c->peer, c->key);
    char range[48], match[80], fields[512], more[128] = "";
    unsigned long long from = 0;
    if (!o)
        return s3_peer_refuse(c, 404, "NoSuchKey", NULL);
    if (s3_peer_field(c, "if-match", match, sizeof match) && strcmp(match, o->etag) != 0)
        return s3_peer_refuse(c, 412, "PreconditionFailed", NULL);
    bool ranged = s3_peer_field(c, "range", range, sizeof range) && sscanf(range, "bytes=%llu-", &from) == 1;
    if (ranged && from >= o->bytes)
        return s3_peer_refuse(c, 416, "InvalidRange", NULL);
    if (ranged)
        (void)snprintf(more, sizeof more, "Content-Range: bytes %llu-%zu/%zu\r\n", from, o->bytes - 1, o->bytes);
    (void)snprintf(fields, sizeof fields,
                   "ETag: %s\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-amz-meta-holdfast-id: %s\r\n%s", o->etag, o->id,
                   more);
    TRY(s3_peer_reply(c, ranged ? 206 : 200, fields, NULL, o->bytes - from));
    if (c->head.method == HTTP1_HEAD)
        return OK;
    bool cut = c->fault && c->fault->how == S3_PEER_CUT;
    TRY(s3_peer_send(c, (const char *)c->peer->content + o->at + from, (o->bytes - from) / (cut ? 2 : 1)));
    return cut ? E_CLOSED : OK;
}

static err delete (struct s3_peer_conn *c)
{
    struct s3_peer_object *o = (struct s3_peer_object *)(uintptr_t)s3_peer_find(c->peer, c->key);
    if (o)
        o->there = false;
    return answer_fields(c, 204, "%s", "");
}

static err begin(struct s3_peer_conn *c)
{
    struct s3_peer *p = c->peer;
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++) {
        struct s3_peer_upload *u = &p->uploads[i];
        if (u->there)
            continue;
        *u = (struct s3_peer_upload){.there = true, .number = ++p->uploads_begun};
        (void)snprintf(u->key, sizeof u->key, "%s", c->key);
        (void)s3_peer_field(c, "x-amz-meta-holdfast-id", u->id, sizeof u->id);
        (void)snprintf(c->answer, sizeof c->answer,
                       "<InitiateMultipartUploadResult><UploadId>upload-%u</UploadId></InitiateMultipartUploadResult>",
                       u->number);
        return answer_xml(c);
    }
    return s3_peer_refuse(c, 507, "QuotaExceeded", NULL);
}

static err part(struct s3_peer_conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    char number[12];
    (void)s3_peer_param(c, "partNumber", number, sizeof number);
    unsigned n = (unsigned)strtoul(number, NULL, 10);
    if (!u)
        return s3_peer_refuse(c, 404, "NoSuchUpload", NULL);
    if (n == 0 || n > S3_PEER_PARTS_MAX)
        return s3_peer_refuse(c, 400, "InvalidArgument", NULL);
    u->part_at[n - 1] = (size_t)(c->body.at - c->peer->content);
    u->part_bytes[n - 1] = c->fault && c->fault->how == S3_PEER_SHORT ? c->body.len / 2 : c->body.len;
    u->parts = n > u->parts ? n : u->parts;
    etag_of(c->body, c->etag);
    return answer_fields(c, 200, "ETag: %s\r\n", c->fault && c->fault->how == S3_PEER_ETAG ? "\"wrong\"" : c->etag);
}

/* Each named ETag must be that of its part. */
static bool named_rightly(const struct s3_peer_conn *c, const struct s3_peer_upload *u)
{
    const char *at = (const char *)c->body.at, *end = at + c->body.len;
    for (unsigned i = 0; i < u->parts; i++) {
        char etag[64], want[128];
        etag_of((struct bytes){c->peer->content + u->part_at[i], u->part_bytes[i]}, etag);
        int len = snprintf(want, sizeof want, "<Part><PartNumber>%u</PartNumber><ETag>&quot;%.32s&quot;</ETag></Part>", i + 1,
                           etag + 1);
        at = memmem(at, (size_t)(end - at), want, (size_t)len);
        if (!at)
            return false;
    }
    return true;
}

static bool joined(struct s3_peer_conn *c, struct s3_peer_upload *u)
{
    struct s3_peer *p = c->peer;
    size_t at = p->content_len;
    for (unsigned i = 0; i < u->parts; i++) {
        if (u->part_bytes[i] > S3_PEER_BYTES_MAX - p->content_len)
            return false;
        memcpy(p->content + p->content_len, p->content + u->part_at[i], u->part_bytes[i]);
        p->content_len += u->part_bytes[i];
    }
    u->there = false;
    return object_make(p, u->key, at, p->content_len - at, u->id);
}

static err complete(struct s3_peer_conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    bool is_short = c->fault && c->fault->how == S3_PEER_SHORT;
    if (!u)
        return s3_peer_refuse(c, 404, "NoSuchUpload", NULL);
    if (condition_fails(c))
        return s3_peer_refuse(c, 412, "PreconditionFailed", NULL);
    if (!named_rightly(c, u))
        return s3_peer_refuse(c, 400, "InvalidPart", NULL);
    u->parts -= is_short && u->parts > 1;
    if (!joined(c, u))
        return s3_peer_refuse(c, 507, "QuotaExceeded", NULL);
    (void)snprintf(
        c->answer, sizeof c->answer, "%s",
        "\n  \n<?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
    return answer_xml(c);
}

static err abort_upload(struct s3_peer_conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    if (!u)
        return s3_peer_refuse(c, 404, "NoSuchUpload", NULL);
    u->there = false;
    return answer_fields(c, 204, "%s", "");
}

static const struct s3_peer_object *next_after(const struct s3_peer *p, const char *prefix, const char *after)
{
    const struct s3_peer_object *first = NULL;
    for (size_t i = 0; i < S3_PEER_OBJECTS_MAX; i++) {
        const struct s3_peer_object *o = &p->objects[i];
        bool fits = o->there && strncmp(o->key, prefix, strlen(prefix)) == 0 && strcmp(o->key, after) > 0;
        if (fits && (!first || strcmp(o->key, first->key) < 0))
            first = o;
    }
    return first;
}

static err list(struct s3_peer_conn *c)
{
    struct text t = text_over(c->answer, sizeof c->answer);
    const struct s3_peer *p = c->peer;
    const struct s3_peer_object *o;
    char prefix[128], after[136];
    (void)s3_peer_param(c, "prefix", prefix, sizeof prefix);
    if (!s3_peer_param(c, "continuation-token", after, sizeof after))
        (void)s3_peer_param(c, "start-after", after, sizeof after);
    text_add(&t, "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>");
    for (unsigned n = 0; (o = next_after(p, prefix, after)) && n < (p->page ? p->page : 1000); n++) {
        text_addf(&t,
                  "<Contents><Key>%s</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;%.32s&quot;</ETag>"
                  "<Size>%zu</Size><Owner><ID>i</ID></Owner></Contents>",
                  o->key, o->etag + 1, o->bytes);
        (void)snprintf(after, sizeof after, "%s", o->key);
    }
    text_addf(&t, "<IsTruncated>%s</IsTruncated>", o ? "true" : "false");
    if (o && !p->no_tokens)
        text_addf(&t, "<NextContinuationToken>%s</NextContinuationToken>", after);
    text_add(&t, "</ListBucketResult>");
    return t.cut ? s3_peer_refuse(c, 500, "InternalError", NULL) : answer_xml(c);
}

static err list_uploads(struct s3_peer_conn *c)
{
    struct text t = text_over(c->answer, sizeof c->answer);
    char prefix[128], marker[40];
    unsigned given = 0, page = c->peer->page ? c->peer->page : 1000, after = 0;
    (void)s3_peer_param(c, "prefix", prefix, sizeof prefix);
    if (s3_peer_param(c, "upload-id-marker", marker, sizeof marker))
        (void)sscanf(marker, "upload-%u", &after);
    text_add(&t, "<ListMultipartUploadsResult>");
    bool more = false;
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++) { /* by number, which is fine while there is one key */
        const struct s3_peer_upload *u = &c->peer->uploads[i];
        if (!u->there || u->number <= after || strncmp(u->key, prefix, strlen(prefix)) != 0)
            continue;
        more = given == page;
        if (more)
            break;
        given++;
        text_addf(
            &t,
            "<Upload><Key>%s</Key><UploadId>upload-%u</UploadId><Initiator><ID>x</ID></Initiator><Initiated>2009-10-12T17:50:30Z"
            "</Initiated></Upload>",
            u->key, u->number);
    }
    text_addf(&t, "<IsTruncated>%s</IsTruncated></ListMultipartUploadsResult>", more ? "true" : "false");
    return answer_xml(c);
}

err s3_peer_perform(struct s3_peer_conn *c)
{
    static const struct {
        const char *op;
        err (*run)(struct s3_peer_conn *c);
    } table[] = {{"PutObject", put},
                 {"HeadObject", get},
                 {"GetObject", get},
                 {"DeleteObject", delete},
                 {"CreateMultipartUpload", begin},
                 {"UploadPart", part},
                 {"CompleteMultipartUpload", complete},
                 {"AbortMultipartUpload", abort_upload},
                 {"ListObjectsV2", list},
                 {"ListMultipartUploads", list_uploads}};
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(table[i].op, c->op) == 0)
            return table[i].run(c);
    return s3_peer_refuse(c, 405, "MethodNotAllowed", NULL);
}
