/* webhook: one connection, one exchange. An address may hold a secret behind its host, so nothing behind the host is told. */
#include "net/api/webhook/webhook.h"

#include <string.h>

#define SHOWN_MAX    80      /* bytes of an answer that is told */
#define ANSWER_MAX   512     /* bytes of one that are looked at */
#define DRAIN_MAX    KIB(16) /* of a good answer: read, so that the peer is not reset while it writes */
#define DRAIN_MS_MAX SECONDS(1)
#define SECRET_MIN   6 /* a shorter part of a path is none */

static err url_read(const char *text, struct url *out)
{
    uint64_t mark = trail_mark();
    if (url_parse(text, out) == OK)
        return OK;
    trail_rewind(mark); /* it quotes */
    return trail(E_INVALID, "the address is not an http or https URL");
}

/* Servers like to repeat what was asked for. */
static bool answer_tells_path(struct bytes answer, const char *path)
{
    while (*path) {
        size_t len = strcspn(path, "/?&=");
        if (len >= SECRET_MIN && memmem(answer.at, answer.len, path, len))
            return true;
        path += len + (path[len] != 0);
    }
    return false;
}

/* Reads up to cap bytes; what comes after an error or the deadline is not missed. */
static size_t answer_taste(struct http_connection *c, char *into, size_t cap, ms deadline)
{
    size_t len = 0, got = 1;
    uint64_t mark = trail_mark();
    while (len < cap && got > 0 && http_receive_body(c, into + len, cap - len, deadline, &got) == OK)
        len += got;
    trail_rewind(mark);
    return len;
}

static void answer_drain(struct http_connection *c, ms deadline)
{
    char piece[ANSWER_MAX];
    size_t got = sizeof piece;
    for (size_t all = 0; got == sizeof piece && all < DRAIN_MAX; all += got)
        got = answer_taste(c, piece, sizeof piece, deadline);
}

static err refused(struct http_connection *c, unsigned status, const struct url *u, ms deadline)
{
    char answer[ANSWER_MAX], shown[SHOWN_MAX + 1];
    size_t len = answer_taste(c, answer, sizeof answer, deadline), n = 0;
    if (status >= 300 && status < 400)
        return trail(E_REMOTE, "%s answered %u: redirects are not followed, the address must be the final one", u->host, status);
    if (answer_tells_path((struct bytes){(const uint8_t *)answer, len}, u->path))
        return trail(E_REMOTE, "%s answered %u, and repeated the address", u->host, status);
    for (; n < len && n < SHOWN_MAX; n++)
        shown[n] = answer[n] >= ' ' && answer[n] < 0x7f ? answer[n] : ' ';
    shown[n] = 0;
    return trail(E_REMOTE, "%s answered %u: %s", u->host, status, shown);
}

/* A peer may refuse before it has read all: its answer tells why. */
static err body_send(struct http_connection *c, struct bytes body, ms deadline)
{
    if (body.len == 0)
        return OK;
    uint64_t mark = trail_mark();
    err e = http_send_body(c, body.at, body.len, deadline);
    if (e != E_CLOSED && e != E_RESET)
        return e;
    trail_rewind(mark);
    return OK;
}

static err exchange(struct http_connection *c, const struct url *u, const char *method, struct bytes body, ms deadline)
{
    static const struct http_header json[] = {{"content-type", "application/json"}};
    struct http_call call = {.method = method, .path = u->path, .body_bytes = (int64_t)body.len};
    const struct http1_head *head = NULL;
    call.headers = body.len > 0 ? json : NULL;
    call.header_count = body.len > 0 ? COUNT_OF(json) : 0;
    TRY(http_send(c, &call, deadline));
    TRY(body_send(c, body, deadline));
    TRY(http_receive_head(c, deadline, &head));
    unsigned status = head->status;
    ms until = ms_min(deadline, loop_now() + DRAIN_MS_MAX);
    if (status < 200 || status > 299)
        return refused(c, status, u, until);
    answer_drain(c, until);
    return OK;
}

static err tell(const struct webhook *w, const char *method, struct bytes body, ms deadline)
{
    struct http_connection *c = NULL;
    struct url u;
    TRY(url_read(w->url, &u));
    TRY(http_connect(w->dns, &u, w->tls, deadline, &c));
    err e = exchange(c, &u, method, body, deadline);
    http_disconnect(c);
    return e;
}

err webhook_post_json(const struct webhook *w, struct bytes json, ms deadline)
{
    if (json.len == 0)
        return trail(E_INVALID, "an empty document");
    return tell(w, "POST", json, deadline);
}

err webhook_get(const struct webhook *w, ms deadline)
{
    return tell(w, "GET", (struct bytes){NULL, 0}, deadline);
}
