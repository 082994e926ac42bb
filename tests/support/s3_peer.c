/* s3_peer: a fiber a connection; a request is read whole, then done. */
#include "board/rt/mem.h"
#include "net/format/hex.h"
#include "net/format/sha256.h"
#include "net/proto/tls.h"
#include "tests/support/s3_peer_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MS    MINUTES(10) /* an idle connection */
#define SKEW_S_MAX 900         /* Amazon S3: RequestTimeTooSkewed */

/* --- answers --- */

err s3_peer_send(struct s3_peer_conn *c, const char *text, size_t len)
{
    return c->deaf ? OK : stream_write(c->stream, text, len, loop_now() + SECONDS(60));
}

err s3_peer_reply(struct s3_peer_conn *c, unsigned status, const char *fields, const char *body, uint64_t length)
{
    char head[1024], date[HTTP1_DATE_MAX];
    struct text t = text_over(head, sizeof head);
    bool cut = c->fault && c->fault->how == S3_PEER_CUT;
    http1_date((loop_wall_ms() + c->peer->clock_ms) / 1000, date);
    text_addf(&t, "HTTP/1.1 %u x\r\nDate: %s\r\nContent-Length: %llu\r\n%s\r\n", status, date, (unsigned long long)length,
              fields);
    TRY(s3_peer_send(c, head, t.len));
    if (c->head.method == HTTP1_HEAD || !body)
        return OK;
    TRY(s3_peer_send(c, body, strlen(body) / (cut ? 2 : 1)));
    return cut ? E_CLOSED : OK;
}

err s3_peer_refuse(struct s3_peer_conn *c, unsigned status, const char *code, const char *header)
{
    char body[512], fields[256];
    (void)snprintf(body, sizeof body,
                   "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>so it is &amp; stays</Message></Error>", code);
    (void)snprintf(fields, sizeof fields, "%s%s", header ? header : "", header ? "\r\n" : "");
    TRY(s3_peer_reply(c, status, fields, body, strlen(body)));
    return c->body.at ? OK : E_CLOSED; /* the rest of a body that nobody read would be the next request */
}

/* --- the request --- */

bool s3_peer_field(const struct s3_peer_conn *c, const char *name, char *out, size_t cap)
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

bool s3_peer_param(const struct s3_peer_conn *c, const char *name, char *out, size_t cap)
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

static void operation(struct s3_peer_conn *c)
{
    char upload[64];
    bool of_upload = s3_peer_param(c, "uploadId", upload, sizeof upload), uploads = strstr(c->query, "uploads=") != NULL;
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
static void target_read(struct s3_peer_conn *c)
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

static void tell(struct s3_peer_conn *c)
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

static err head_receive(struct s3_peer_conn *c)
{
    static const struct http1_limits limits = {S3_PEER_HEAD_MAX, S3_PEER_HEAD_MAX, UINT64_MAX};
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
static err body_receive(struct s3_peer_conn *c)
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
        TRY(s3_peer_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25));
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
static const char *not_allowed(const struct s3_peer_conn *c)
{
    const struct s3_peer *p = c->peer;
    char authorization[512], token[64], date[32], want[160];
    if (!s3_peer_field(c, "authorization", authorization, sizeof authorization) ||
        !s3_peer_field(c, "x-amz-date", date, sizeof date))
        return "AccessDenied";
    (void)snprintf(want, sizeof want, "Credential=%s/%.8s/", p->access_key ? p->access_key : "", date);
    if (p->access_key && !strstr(authorization, want))
        return "InvalidAccessKeyId";
    (void)s3_peer_field(c, "x-amz-security-token", token, sizeof token);
    if (p->token && strcmp(token, p->token) != 0)
        return "ExpiredToken";
    if (llabs(date_of(date) - date_now(p)) > SKEW_S_MAX)
        return "RequestTimeTooSkewed";
    bool writes = strcmp(c->op, "PutObject") == 0 || strstr(c->op, "Upload");
    return p->write_only && (!writes || *c->op == 'L') ? "AccessDenied" : NULL;
}

static bool body_is_whole(const struct s3_peer_conn *c)
{
    char told[80], hex[65];
    uint8_t digest[SHA256_BYTES];
    sha256_of(c->body, digest);
    (void)s3_peer_field(c, "x-amz-content-sha256", told, sizeof told);
    return strcmp(told, hex_encode((struct bytes){digest, sizeof digest}, hex, sizeof hex)) == 0;
}

/* --- a connection --- */

static bool is(const struct s3_peer_conn *c, enum s3_peer_how how)
{
    return c->fault && c->fault->how == how;
}

/* Refused for what its head says; OK with *done false: not refused. */
static err refused_early(struct s3_peer_conn *c, bool *done)
{
    char value[8];
    const char *code = not_allowed(c);
    *done = true;
    if (is(c, S3_PEER_ANSWER))
        return s3_peer_refuse(c, c->fault->status, c->fault->code, c->fault->header);
    if (code)
        return s3_peer_refuse(c, strcmp(code, "ExpiredToken") == 0 ? 400 : 403, code, NULL);
    if (c->peer->refuses_expect && c->head.expect_continue)
        return s3_peer_refuse(c, 417, "", NULL);
    if (c->peer->refuses_conditions && s3_peer_field(c, "if-none-match", value, sizeof value))
        return s3_peer_refuse(c, 501, "NotImplemented", NULL);
    *done = false;
    return OK;
}

static err serve_one(struct s3_peer_conn *c)
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
            TRY(s3_peer_refuse(c, 400, "XAmzContentSHA256Mismatch", NULL));
        else if (is(c, S3_PEER_LATE))
            TRY(s3_peer_refuse(c, 200, c->fault->code, NULL));
        else
            TRY(s3_peer_perform(c));
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
    struct s3_peer_conn *c = arg;
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

static void *begin(void *arg, struct stream *s)
{
    struct s3_peer *p = arg;
    struct s3_peer_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->peer = p;
    c->stream = s;
    p->connections++;
    return c;
}

err s3_peer_open(struct s3_peer *p)
{
    group_open(&p->group, TASK_METRICS);
    p->listener = SOCK_CLOSED;
    p->acceptor = (struct acceptor){&p->listener, &p->group, "s3 peer", begin, serve, p};
    enum task caller = mem_task();
    mem_set_task(TASK_METRICS); /* who listens is charged for what is accepted */
    err e = sock_listen(&p->listener, &p->at, &p->at);
    mem_set_task(caller);
    return e != OK ? e : group_spawn(&p->group, "s3 peer", acceptor_run, &p->acceptor);
}

void s3_peer_close(struct s3_peer *p)
{
    group_close(&p->group);
    sock_close(&p->listener);
}
