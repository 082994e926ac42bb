/* s3_request: one try of one call: a connection, what is signed, what is sent, what comes back. */
#include "net/api/s3/s3_internal.h"

#include "board/rt/secret.h"

#include <string.h>

#define CONNECT_MS_MAX SECONDS(10)
#define LAST_WORDS_MS  SECONDS(1) /* for an answer after sending failed: it tells why */
#define SEND_PIECE     KIB(64)
#define EXPECT_LEAST   KIB(64) /* bodies from here on wait for 100 Continue: a refusal then costs no bytes */
#define FIELDS_MAX     8
#define ERROR_BYTES    KIB(64) /* of an <Error> document */

ms s3_silence(const struct s3_call *call)
{
    return call->patient ? call->deadline : ms_min(call->deadline, loop_now() + S3_SILENCE_MS_MAX);
}

/* --- slots --- */

err s3_slot_take(struct s3 *c, ms deadline, struct s3_slot **out)
{
    struct s3_slot *found = NULL;
    *out = NULL;
    TRY(trail(sem_take(&c->free_slots, deadline), "waiting for one of two connections"));
    for (size_t i = 0; i < S3_SLOTS; i++) {
        struct s3_slot *s = &c->slots[i];
        if (!s->busy && (!found || (s->connection && !found->connection)))
            found = s;
    }
    ASSERT(found);
    found->busy = true;
    *out = found;
    return OK;
}

void s3_slot_give(struct s3_slot *s)
{
    if (!s)
        return;
    if (s->connection && !http_reusable(s->connection)) {
        http_disconnect(s->connection);
        s->connection = NULL;
    }
    s->busy = false;
    sem_give(&s->client->free_slots);
}

static err slot_connect(struct s3_slot *s, const struct s3_call *call)
{
    struct s3 *c = s->client;
    if (s->connection && http_reusable(s->connection))
        return OK;
    http_disconnect(s->connection);
    s->connection = NULL;
    s->fresh = true;
    return http_connect(c->dns, &c->url, c->tls, ms_min(call->deadline, loop_now() + CONNECT_MS_MAX), &s->connection);
}

/* --- what is sent --- */

static err target_write(struct s3_slot *s, const struct s3_call *call)
{
    const struct s3 *c = s->client;
    struct text path = text_over(s->target, sizeof s->target);
    text_add(&path, "/");
    if (c->addressing == S3_PATH) {
        sigv4_put_path(&path, bytes_of(c->bucket));
        text_add(&path, call->key ? "/" : "");
    }
    sigv4_put_path(&path, bytes_of(call->key ? call->key : ""));
    if (path.cut || path.len + 2 > sizeof s->target)
        return trail(E_RANGE, "a key that is too long");
    struct text query = text_over(s->target + path.len + 1, sizeof s->target - path.len - 1);
    if (call->query)
        call->query(call->query_arg, &query);
    s->path_len = path.len;
    return query.cut ? trail(E_RANGE, "a query that is too long") : OK;
}

static void field_add(struct sigv4_field *fields, size_t *n, const char *name, const char *value)
{
    if (value && *value)
        fields[(*n)++] = (struct sigv4_field){name, value};
}

/* In order of their names, as they are signed. */
static size_t fields_write(const struct s3_slot *s, const struct s3_call *call, const char *date, struct sigv4_field *fields)
{
    size_t n = 0;
    field_add(fields, &n, "host", s->client->authority);
    field_add(fields, &n, "if-match", call->if_match);
    field_add(fields, &n, "if-none-match", call->if_none_match ? "*" : NULL);
    field_add(fields, &n, "range", call->range);
    field_add(fields, &n, "x-amz-content-sha256", call->hash);
    field_add(fields, &n, "x-amz-date", date);
    field_add(fields, &n, S3_ID_FIELD, call->id);
    field_add(fields, &n, "x-amz-security-token", s->credentials.session_token);
    ASSERT(n <= FIELDS_MAX);
    return n;
}

static err sign(struct s3_slot *s, const struct s3_call *call, const char *date, const struct sigv4_field *fields, size_t count)
{
    const struct s3 *c = s->client;
    const struct s3_credentials *k = &s->credentials;
    struct sigv4_key key = {k->access_key, k->secret_key, c->region, "s3"};
    const char *query = s->target + s->path_len + 1;
    struct sigv4_request r = {call->method, s->target, query, fields, count, call->hash};
    struct text t = text_over(s->authorization, sizeof s->authorization);
    sigv4_authorize(&r, &key, date, &t);
    if (*query)
        s->target[s->path_len] = '?';
    return t.cut ? trail(E_RANGE, "an access key or region that is too long") : OK;
}

static err head_send(struct s3_slot *s, const struct s3_call *call)
{
    struct sigv4_field fields[FIELDS_MAX];
    struct http_header headers[FIELDS_MAX];
    char date[SIGV4_DATE_MAX];
    sigv4_date((loop_wall_ms() + s->client->skew_ms) / 1000, date);
    size_t count = fields_write(s, call, date, fields);
    TRY(target_write(s, call));
    TRY(sign(s, call, date, fields, count));
    for (size_t i = 1; i < count; i++) /* the first, Host, is the connection's */
        headers[i] = (struct http_header){fields[i].name, fields[i].value};
    headers[0] = (struct http_header){"authorization", s->authorization};
    struct http_call h = {.method = call->method,
                          .path = s->target,
                          .headers = headers,
                          .header_count = count,
                          .body_bytes = (int64_t)call->body_bytes,
                          .expect_continue = call->body_bytes >= EXPECT_LEAST && !s->client->never_continues};
    return http_send(s->connection, &h, s3_silence(call));
}

static err span_send(struct s3_slot *s, const struct s3_call *call)
{
    for (size_t at = 0; at < call->body.len; at += SEND_PIECE) {
        size_t n = size_min(SEND_PIECE, call->body.len - at);
        TRY(http_send_body(s->connection, call->body.at + at, n, ms_min(call->deadline, loop_now() + S3_SILENCE_MS_MAX)));
        fiber_breathe();
    }
    return OK;
}

static err pieces_send(struct s3_slot *s, const struct s3_call *call)
{
    char batch[4 * S3_PIECE_MAX];
    size_t len = 0, n = 1;
    for (unsigned i = 0; n > 0; i++) {
        n = call->piece(call->piece_arg, i, batch + len);
        len += n;
        if (len > 0 && (n == 0 || len > sizeof batch - S3_PIECE_MAX)) {
            TRY(http_send_body(s->connection, batch, len, ms_min(call->deadline, loop_now() + S3_SILENCE_MS_MAX)));
            len = 0;
        }
    }
    return OK;
}

static err body_send(struct s3_slot *s, const struct s3_call *call)
{
    if (call->body_bytes == 0)
        return OK;
    bool expected = call->body_bytes >= EXPECT_LEAST && !s->client->never_continues;
    err e = call->piece ? pieces_send(s, call) : span_send(s, call);
    if (e == OK && expected && !http_continued(s->connection))
        s->client->never_continues = true; /* or each part would wait for it */
    return e;
}

/* A peer may refuse before it has read all: its answer tells more than the error of sending. */
static err answer_await(struct s3_slot *s, const struct s3_call *call, err sent, const struct http1_head **head)
{
    bool broke = sent == E_CLOSED || sent == E_RESET;
    uint64_t mark = trail_mark();
    if (sent != OK && !broke)
        return sent;
    ms until = broke ? ms_min(call->deadline, loop_now() + LAST_WORDS_MS) : s3_silence(call);
    err e = http_receive_head(s->connection, until, head);
    if (e == OK || !broke)
        return e;
    trail_rewind(mark);
    return sent;
}

/* --- what comes back --- */

static err error_element(void *arg, const struct s3_element *e)
{
    if (strcmp(e->root, "Error") == 0 && !*e->parent && e->text)
        s3_answer_field(arg, e->name, e->text);
    return OK;
}

/* Reads what a refusal says; that it cannot be read changes nothing. */
static void refusal_read(struct s3_slot *s, struct s3_call *call)
{
    struct s3_document d = {error_element, &call->answer, ERROR_BYTES};
    uint64_t mark = trail_mark();
    err_ignore(s3_document_read(&d, s, call));
    trail_rewind(mark);
}

static err head_await(struct s3_slot *s, struct s3_call *call, const struct http1_head **head)
{
    TRY(slot_connect(s, call));
    err sent = head_send(s, call);
    if (sent == OK)
        sent = body_send(s, call);
    TRY(answer_await(s, call, sent, head));
    s->fresh = false;
    if ((*head)->status == 417) /* RFC 9110 10.1.1: the same without Expect */
        s->client->never_continues = true;
    s3_answer_head(&call->answer, *head);
    if (call->answer.date_s != 0) {
        s->client->date_ahead_ms = SECONDS(call->answer.date_s) + 500 - loop_wall_ms(); /* a Date is cut to seconds */
        s->client->date_seen = true;
    }
    return OK;
}

/* A whole answer that makes no sense will make none the next time. */
static bool may_pass(err e, const struct s3_call *call)
{
    bool nonsense = e == E_PROTOCOL && call->answer.status != 0;
    return err_retry(e) == RETRY_LATER && e != E_CERT_TIME && !nonsense;
}

static err exchange(struct s3_slot *s, struct s3_call *call, enum s3_again *again)
{
    const struct http1_head *head = NULL;
    err e = head_await(s, call, &head);
    if (e == OK && head->status >= 200 && head->status <= 299)
        e = call->take(call, s, head);
    else if (e == OK)
        refusal_read(s, call);
    bool refused = call->answer.status >= 300 || *call->answer.code; /* also a 200 with an <Error> in it */
    if (refused)
        return s3_answer_error(call, again);
    *again = may_pass(e, call) ? S3_AGAIN : S3_GIVE_UP;
    return e;
}

/* Are they others than those of this try? */
static bool credentials_changed(struct s3_slot *s)
{
    uint8_t before[SHA256_BYTES], after[SHA256_BYTES];
    uint64_t mark = trail_mark();
    struct bytes all = {(const uint8_t *)&s->credentials, sizeof s->credentials};
    sha256_of(all, before);
    wipe(&s->credentials, sizeof s->credentials);
    err e = s->client->credentials(s->client->arg, &s->credentials);
    sha256_of(all, after);
    trail_rewind(mark);
    return e == OK && memcmp(before, after, sizeof before) != 0;
}

err s3_try(struct s3_slot *s, struct s3_call *call, enum s3_again *again)
{
    call->answer = (struct s3_answer){.retry_after_s = -1};
    *again = S3_GIVE_UP;
    wipe(&s->credentials, sizeof s->credentials);
    err e = trail(s->client->credentials(s->client->arg, &s->credentials), "reading the credentials");
    if (e == OK)
        e = exchange(s, call, again);
    if (e != OK && *again == S3_AGAIN_CREDENTIALS && (call->renewed || !credentials_changed(s)))
        *again = S3_GIVE_UP;
    wipe(&s->credentials, sizeof s->credentials);
    return e;
}
