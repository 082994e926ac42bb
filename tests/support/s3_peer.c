/* s3_peer: a fiber a connection; a request is read whole, then done. */
#include "tests/support/s3_peer.h"

#include "board/rt/mem.h"
#include "net/format/hex.h"
#include "net/format/http1.h"
#include "net/format/sha256.h"
#include "net/proto/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX   KIB(12)
#define ANSWER_MAX KIB(24)
#define REST_MS    MINUTES(10) /* an idle connection */
#define SKEW_S_MAX 900         /* Amazon S3: RequestTimeTooSkewed */

struct conn {
    struct s3_peer *peer;
    struct stream *stream;
    size_t len; /* of `buffer` */
    struct http1_head head;
    const struct s3_peer_fault *fault; /* of this request */
    char op[32], key[128], query[1024], etag[64];
    struct bytes body;
    bool bucket; /* no key */
    bool deaf;   /* what is answered goes nowhere */
    uint8_t buffer[HEAD_MAX];
    char answer[ANSWER_MAX];
};

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

static err send_text(struct conn *c, const char *text, size_t len)
{
    return c->deaf ? OK : stream_write(c->stream, text, len, loop_now() + SECONDS(60));
}

static err reply(struct conn *c, unsigned status, const char *fields, const char *body, uint64_t length)
{
    char head[1024], date[HTTP1_DATE_MAX];
    struct text t = text_over(head, sizeof head);
    bool cut = c->fault && c->fault->how == S3_PEER_CUT;
    http1_date((loop_wall_ms() + c->peer->clock_ms) / 1000, date);
    text_addf(&t, "HTTP/1.1 %u x\r\nDate: %s\r\nContent-Length: %llu\r\n%s\r\n", status, date, (unsigned long long)length,
              fields);
    TRY(send_text(c, head, t.len));
    if (c->head.method == HTTP1_HEAD || !body)
        return OK;
    TRY(send_text(c, body, strlen(body) / (cut ? 2 : 1)));
    return cut ? E_CLOSED : OK;
}

static err refuse(struct conn *c, unsigned status, const char *code, const char *header)
{
    char body[512], fields[256];
    (void)snprintf(body, sizeof body,
                   "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>so it is &amp; stays</Message></Error>", code);
    (void)snprintf(fields, sizeof fields, "%s%s", header ? header : "", header ? "\r\n" : "");
    TRY(reply(c, status, fields, body, strlen(body)));
    return c->body.at ? OK : E_CLOSED; /* the rest of a body that nobody read would be the next request */
}

static err answer_fields(struct conn *c, unsigned status, const char *format, const char *value)
{
    char fields[256];
    (void)snprintf(fields, sizeof fields, format, value);
    return reply(c, status, fields, "", 0);
}

static err answer_xml(struct conn *c)
{
    return reply(c, 200, "", c->answer, strlen(c->answer));
}

/* --- the request --- */

static bool field(const struct conn *c, const char *name, char *out, size_t cap)
{
    struct bytes value;
    *out = 0;
    if (!http1_find(&c->head, name, &value))
        return false;
    (void)snprintf(out, cap, "%.*s", (int)value.len, (const char *)value.at);
    return true;
}

static void percent_decode(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++, to++) {
        int high = *at == '%' ? hex_digit((uint8_t)at[1]) : -1;
        *to = (char)(high < 0 ? *at : high << 4 | hex_digit((uint8_t)at[2]));
        at += high < 0 ? 0 : 2;
    }
    *to = 0;
}

static bool param(const struct conn *c, const char *name, char *out, size_t cap)
{
    size_t len = strlen(name);
    *out = 0;
    for (const char *at = c->query; *at; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, len) != 0 || at[len] != '=')
            continue;
        (void)snprintf(out, cap, "%.*s", (int)strcspn(at + len + 1, "&"), at + len + 1);
        percent_decode(out);
        return true;
    }
    return false;
}

static void operation(struct conn *c)
{
    char upload[64];
    bool of_upload = param(c, "uploadId", upload, sizeof upload), uploads = strstr(c->query, "uploads=") != NULL;
    static const struct {
        const char *op;
        enum http1_method method;
        bool bucket, of_upload;
    } table[] = {{"PutObject", HTTP1_PUT, false, false},
                 {"UploadPart", HTTP1_PUT, false, true},
                 {"HeadObject", HTTP1_HEAD, false, false},
                 {"GetObject", HTTP1_GET, false, false},
                 {"DeleteObject", HTTP1_DELETE, false, false},
                 {"AbortMultipartUpload", HTTP1_DELETE, false, true},
                 {"CreateMultipartUpload", HTTP1_POST, false, false},
                 {"CompleteMultipartUpload", HTTP1_POST, false, true},
                 {"ListObjectsV2", HTTP1_GET, true, false}};
    (void)snprintf(c->op, sizeof c->op, "%s", "Unknown");
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].method == c->head.method && table[i].bucket == c->bucket && table[i].of_upload == of_upload)
            (void)snprintf(c->op, sizeof c->op, "%s", table[i].op);
    if (c->bucket && uploads)
        (void)snprintf(c->op, sizeof c->op, "%s", "ListMultipartUploads");
}

/* /bucket/key?query */
static void target_read(struct conn *c)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%.*s", (int)c->head.path.len, (const char *)c->head.path.at);
    (void)snprintf(c->query, sizeof c->query, "%.*s", (int)c->head.query.len, (const char *)c->head.query.at);
    const char *key = strchr(path + 1, '/');
    c->bucket = !key;
    (void)snprintf(c->key, sizeof c->key, "%s", key ? key + 1 : "");
    percent_decode(c->key);
    operation(c);
}

static void tell(struct conn *c)
{
    struct s3_peer *p = c->peer;
    size_t len = strlen(p->told);
    (void)snprintf(p->told + len, sizeof p->told - len, "%s%s", len > 0 ? " " : "", c->op);
    c->fault = NULL;
    for (size_t i = 0; p->faults && p->faults[i].op; i++) {
        const struct s3_peer_fault *f = &p->faults[i];
        if (strcmp(f->op, c->op) != 0)
            continue;
        p->met[i]++;
        if (!c->fault && (f->n == 0 || f->n == p->met[i]))
            c->fault = f;
    }
}

static err head_receive(struct conn *c)
{
    static const struct http1_limits limits = {HEAD_MAX, HEAD_MAX, UINT64_MAX};
    size_t got;
    c->head = (struct http1_head){.head_bytes = 0};
    for (;;) {
        struct bytes all = {c->buffer, c->len};
        enum http1_result r = c->len > 0 ? http1_parse_request(&c->head, all, &limits) : HTTP1_NEED_MORE;
        if (r != HTTP1_NEED_MORE)
            return r == HTTP1_READY ? OK : E_PROTOCOL;
        TRY(stream_read(c->stream, c->buffer + c->len, sizeof c->buffer - c->len, loop_now() + REST_MS, &got));
        if (got == 0)
            return E_CLOSED;
        c->len += got;
    }
}

/* Into the peer's content, where it may stay. */
static err body_receive(struct conn *c)
{
    struct s3_peer *p = c->peer;
    size_t length = c->head.framing == HTTP1_LENGTH ? (size_t)c->head.length : 0, at = p->content_len, got;
    size_t here = size_min(c->len - c->head.head_bytes, length);
    bool resets = c->fault && c->fault->how == S3_PEER_RESET;
    if (length > S3_PEER_BYTES_MAX - p->content_len)
        return E_RANGE;
    p->content_len += length;
    memcpy(p->content + at, c->buffer + c->head.head_bytes, here);
    if (c->head.expect_continue && !p->ignores_expect && here == 0)
        TRY(send_text(c, "HTTP/1.1 100 Continue\r\n\r\n", 25));
    for (size_t len = here; len < length; len += got) {
        if (resets && len >= length / 2)
            return E_CLOSED;
        TRY(stream_read(c->stream, p->content + at + len, length - len, loop_now() + SECONDS(60), &got));
        if (got == 0)
            return E_CLOSED;
    }
    c->body = (struct bytes){p->content + at, length};
    return resets ? E_CLOSED : OK;
}

/* --- who may --- */

static int64_t date_of(const char *d) /* "20150830T123600Z"; seconds of a year of 372 days, good enough to compare */
{
    unsigned year, month, day, hour, minute, second;
    if (sscanf(d, "%4u%2u%2uT%2u%2u%2uZ", &year, &month, &day, &hour, &minute, &second) != 6)
        return 0;
    return ((((int64_t)year * 12 + month) * 31 + day) * 24 + hour) * 3600 + (int64_t)minute * 60 + second;
}

static int64_t date_now(const struct s3_peer *p)
{
    char text[TIME_TEXT_MAX], date[24];
    text_rfc3339((loop_wall_ms() + p->clock_ms) / 1000, text, sizeof text);
    (void)snprintf(date, sizeof date, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11, text + 14, text + 17);
    return date_of(date);
}

/* The code of a refusal, or NULL. */
static const char *not_allowed(const struct conn *c)
{
    const struct s3_peer *p = c->peer;
    char authorization[512], token[64], date[32], want[160];
    if (!field(c, "authorization", authorization, sizeof authorization) || !field(c, "x-amz-date", date, sizeof date))
        return "AccessDenied";
    (void)snprintf(want, sizeof want, "Credential=%s/%.8s/", p->access_key ? p->access_key : "", date);
    if (p->access_key && !strstr(authorization, want))
        return "InvalidAccessKeyId";
    (void)field(c, "x-amz-security-token", token, sizeof token);
    if (p->token && strcmp(token, p->token) != 0)
        return "ExpiredToken";
    if (llabs(date_of(date) - date_now(p)) > SKEW_S_MAX)
        return "RequestTimeTooSkewed";
    bool writes = strcmp(c->op, "PutObject") == 0 || strstr(c->op, "Upload");
    return p->write_only && (!writes || *c->op == 'L') ? "AccessDenied" : NULL;
}

static bool body_is_whole(const struct conn *c)
{
    char told[80], hex[65];
    uint8_t digest[SHA256_BYTES];
    sha256_of(c->body, digest);
    (void)field(c, "x-amz-content-sha256", told, sizeof told);
    return strcmp(told, hex_encode((struct bytes){digest, sizeof digest}, hex, sizeof hex)) == 0;
}

/* --- what is done --- */

static struct s3_peer_upload *upload_find(struct conn *c)
{
    char id[40];
    (void)param(c, "uploadId", id, sizeof id);
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++) {
        struct s3_peer_upload *u = &c->peer->uploads[i];
        char own[16];
        (void)snprintf(own, sizeof own, "upload-%u", u->number);
        if (u->there && strcmp(own, id) == 0 && strcmp(u->key, c->key) == 0)
            return u;
    }
    return NULL;
}

static bool condition_fails(const struct conn *c)
{
    char value[8];
    return field(c, "if-none-match", value, sizeof value) && s3_peer_find(c->peer, c->key);
}

static err put(struct conn *c)
{
    char id[40];
    size_t at = (size_t)(c->body.at - c->peer->content);
    (void)field(c, "x-amz-meta-holdfast-id", id, sizeof id);
    size_t keep = c->fault && c->fault->how == S3_PEER_SHORT ? c->body.len / 2 : c->body.len;
    if (condition_fails(c))
        return refuse(c, 412, "PreconditionFailed", NULL);
    if (!object_make(c->peer, c->key, at, keep, id))
        return refuse(c, 507, "QuotaExceeded", NULL);
    return answer_fields(c, 200, "ETag: %s\r\n", s3_peer_find(c->peer, c->key)->etag);
}

static err get(struct conn *c)
{
    const struct s3_peer_object *o = s3_peer_find(c->peer, c->key);
    char range[48], match[80], fields[512], more[128] = "";
    unsigned long long from = 0;
    if (!o)
        return refuse(c, 404, "NoSuchKey", NULL);
    if (field(c, "if-match", match, sizeof match) && strcmp(match, o->etag) != 0)
        return refuse(c, 412, "PreconditionFailed", NULL);
    bool ranged = field(c, "range", range, sizeof range) && sscanf(range, "bytes=%llu-", &from) == 1;
    if (ranged && from >= o->bytes)
        return refuse(c, 416, "InvalidRange", NULL);
    if (ranged)
        (void)snprintf(more, sizeof more, "Content-Range: bytes %llu-%zu/%zu\r\n", from, o->bytes - 1, o->bytes);
    (void)snprintf(fields, sizeof fields,
                   "ETag: %s\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-amz-meta-holdfast-id: %s\r\n%s", o->etag, o->id,
                   more);
    TRY(reply(c, ranged ? 206 : 200, fields, NULL, o->bytes - from));
    if (c->head.method == HTTP1_HEAD)
        return OK;
    bool cut = c->fault && c->fault->how == S3_PEER_CUT;
    TRY(send_text(c, (const char *)c->peer->content + o->at + from, (o->bytes - from) / (cut ? 2 : 1)));
    return cut ? E_CLOSED : OK;
}

static err delete (struct conn *c)
{
    struct s3_peer_object *o = (struct s3_peer_object *)(uintptr_t)s3_peer_find(c->peer, c->key);
    if (o)
        o->there = false;
    return answer_fields(c, 204, "%s", "");
}

static err begin(struct conn *c)
{
    struct s3_peer *p = c->peer;
    for (size_t i = 0; i < S3_PEER_UPLOADS_MAX; i++) {
        struct s3_peer_upload *u = &p->uploads[i];
        if (u->there)
            continue;
        *u = (struct s3_peer_upload){.there = true, .number = ++p->uploads_begun};
        (void)snprintf(u->key, sizeof u->key, "%s", c->key);
        (void)field(c, "x-amz-meta-holdfast-id", u->id, sizeof u->id);
        (void)snprintf(c->answer, sizeof c->answer,
                       "<InitiateMultipartUploadResult><UploadId>upload-%u</UploadId></InitiateMultipartUploadResult>",
                       u->number);
        return answer_xml(c);
    }
    return refuse(c, 507, "QuotaExceeded", NULL);
}

static err part(struct conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    char number[12];
    (void)param(c, "partNumber", number, sizeof number);
    unsigned n = (unsigned)strtoul(number, NULL, 10);
    if (!u)
        return refuse(c, 404, "NoSuchUpload", NULL);
    if (n == 0 || n > S3_PEER_PARTS_MAX)
        return refuse(c, 400, "InvalidArgument", NULL);
    u->part_at[n - 1] = (size_t)(c->body.at - c->peer->content);
    u->part_bytes[n - 1] = c->fault && c->fault->how == S3_PEER_SHORT ? c->body.len / 2 : c->body.len;
    u->parts = n > u->parts ? n : u->parts;
    etag_of(c->body, c->etag);
    return answer_fields(c, 200, "ETag: %s\r\n", c->fault && c->fault->how == S3_PEER_ETAG ? "\"wrong\"" : c->etag);
}

/* Each named ETag must be that of its part. */
static bool named_rightly(const struct conn *c, const struct s3_peer_upload *u)
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

static bool joined(struct conn *c, struct s3_peer_upload *u)
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

static err complete(struct conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    bool is_short = c->fault && c->fault->how == S3_PEER_SHORT;
    if (!u)
        return refuse(c, 404, "NoSuchUpload", NULL);
    if (condition_fails(c))
        return refuse(c, 412, "PreconditionFailed", NULL);
    if (!named_rightly(c, u))
        return refuse(c, 400, "InvalidPart", NULL);
    u->parts -= is_short && u->parts > 1;
    if (!joined(c, u))
        return refuse(c, 507, "QuotaExceeded", NULL);
    (void)snprintf(
        c->answer, sizeof c->answer, "%s",
        "\n  \n<?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
    return answer_xml(c);
}

static err abort_upload(struct conn *c)
{
    struct s3_peer_upload *u = upload_find(c);
    if (!u)
        return refuse(c, 404, "NoSuchUpload", NULL);
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

static err list(struct conn *c)
{
    struct text t = text_over(c->answer, sizeof c->answer);
    const struct s3_peer *p = c->peer;
    const struct s3_peer_object *o;
    char prefix[128], after[136];
    (void)param(c, "prefix", prefix, sizeof prefix);
    if (!param(c, "continuation-token", after, sizeof after))
        (void)param(c, "start-after", after, sizeof after);
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
    return t.cut ? refuse(c, 500, "InternalError", NULL) : answer_xml(c);
}

static err list_uploads(struct conn *c)
{
    struct text t = text_over(c->answer, sizeof c->answer);
    char prefix[128], marker[40];
    unsigned given = 0, page = c->peer->page ? c->peer->page : 1000, after = 0;
    (void)param(c, "prefix", prefix, sizeof prefix);
    if (param(c, "upload-id-marker", marker, sizeof marker))
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

static err perform(struct conn *c)
{
    static const struct {
        const char *op;
        err (*run)(struct conn *c);
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
    return refuse(c, 405, "MethodNotAllowed", NULL);
}

/* --- a connection --- */

static bool is(const struct conn *c, enum s3_peer_how how)
{
    return c->fault && c->fault->how == how;
}

/* Refused for what its head says; OK with *done false: not refused. */
static err refused_early(struct conn *c, bool *done)
{
    char value[8];
    const char *code = not_allowed(c);
    *done = true;
    if (is(c, S3_PEER_ANSWER))
        return refuse(c, c->fault->status, c->fault->code, c->fault->header);
    if (code)
        return refuse(c, strcmp(code, "ExpiredToken") == 0 ? 400 : 403, code, NULL);
    if (c->peer->refuses_conditions && field(c, "if-none-match", value, sizeof value))
        return refuse(c, 501, "NotImplemented", NULL);
    *done = false;
    return OK;
}

static err serve_one(struct conn *c)
{
    bool done;
    size_t used;
    TRY(head_receive(c));
    target_read(c);
    tell(c);
    c->body = (struct bytes){NULL, 0};
    bool has_body = c->head.framing == HTTP1_LENGTH && c->head.length > 0;
    if (!has_body)
        c->body.at = c->peer->content;
    TRY(refused_early(c, &done));
    if (!done) {
        if (is(c, S3_PEER_SILENT))
            return fiber_sleep(loop_now() + HOURS(2));
        TRY(body_receive(c));
        if (is(c, S3_PEER_CLOSE))
            return E_CLOSED;
        c->deaf = is(c, S3_PEER_LOST);
        if (!body_is_whole(c))
            TRY(refuse(c, 400, "XAmzContentSHA256Mismatch", NULL));
        else if (is(c, S3_PEER_LATE))
            TRY(refuse(c, 200, c->fault->code, NULL));
        else
            TRY(perform(c));
        if (is(c, S3_PEER_LEAVES) || is(c, S3_PEER_LOST))
            return E_CLOSED;
    }
    used = size_min(c->len, c->head.head_bytes + (has_body ? (size_t)c->head.length : 0));
    memmove(c->buffer, c->buffer + used, c->len - used);
    c->len -= used;
    return OK;
}

static err serve(void *arg)
{
    struct conn *c = arg;
    err e = OK;
    if (c->peer->tls)
        e = tls_accept(c->peer->tls, c->stream, loop_now() + SECONDS(20), &c->stream);
    while (e == OK)
        e = serve_one(c);
    stream_close(c->stream);
    free(c);
    trail_clear();
    return OK;
}

static err listen_run(void *arg)
{
    struct s3_peer *p = arg;
    err e = OK;
    while (e != E_CANCELED && e != E_CLOSED) {
        struct stream *s = NULL;
        struct addr from;
        e = tcp_accept(&p->listener, FOREVER, &s, &from);
        struct conn *c = e == OK ? calloc(1, sizeof *c) : NULL;
        if (c) {
            *c = (struct conn){.peer = p, .stream = s};
            p->connections++;
            e = group_spawn(&p->group, "s3 peer", serve, c);
        }
        if (s && (!c || e != OK)) {
            stream_close(s);
            free(c);
        }
        if (e != OK && e != E_CANCELED && e != E_CLOSED)
            e = fiber_sleep(loop_now() + 10); /* an accept that fails may be tried again */
    }
    return OK;
}

err s3_peer_open(struct s3_peer *p)
{
    group_open(&p->group, TASK_METRICS);
    p->listener = SOCK_CLOSED;
    enum task caller = mem_task();
    mem_set_task(TASK_METRICS); /* who listens is charged for what is accepted */
    err e = sock_listen(&p->listener, &p->at, &p->at);
    mem_set_task(caller);
    return e != OK ? e : group_spawn(&p->group, "s3 peer", listen_run, p);
}

void s3_peer_close(struct s3_peer *p)
{
    group_close(&p->group);
    sock_close(&p->listener);
}
