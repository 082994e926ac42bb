/* control_ask: the command's side of the control socket. */
#include "board/control_inside.h"

#include "net/format/json_read.h"
#include "net/proto/http_client.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_PARSED KIB(8) /* of progress and error lines */

struct asking {
    struct http_connection *connection;
    ms deadline;
    void (*progress)(void *arg, const char *what, uint64_t received_bytes, uint64_t total_bytes);
    void *arg;
    struct buf *page; /* what came and is not used up: page->at[0, page->len) */
    struct control_reply *out;
    bool ended;
};

static bool begins(struct bytes line, const char *words)
{
    size_t len = strlen(words);
    return line.len >= len && memcmp(line.at, words, len) == 0;
}

static err broken(const char *what)
{
    return trail(E_PROTOCOL, "the hub's answer: %s", what);
}

static ms until(const struct asking *a)
{
    return ms_min(a->deadline, loop_now() + CONTROL_SILENCE_MS_MAX);
}

/* --- lines --- */
static err take_progress(struct asking *a, const struct json *document)
{
    const struct json *p = json_get(document, "progress");
    char what[128];
    uint64_t received = 0, total = 0;
    if (!json_to_text(json_get(p, "what"), what, sizeof what) || !json_to_u64(json_get(p, "received_bytes"), &received) ||
        !json_to_u64(json_get(p, "total_bytes"), &total))
        return broken("progress without its numbers");
    if (a->progress)
        a->progress(a->arg, what, received, total);
    return OK;
}

static err take_error(struct asking *a, const struct json *document)
{
    uint64_t code = 0;
    if (!json_to_text(json_get(document, "error"), a->out->error, sizeof a->out->error) ||
        !json_to_u64(json_get(document, "exit"), &code) || code > UINT8_MAX)
        return broken("an error without its words or code");
    a->out->code = (enum exit_code)code;
    a->ended = true;
    return OK;
}

static err take_small(struct asking *a, struct bytes line)
{
    struct json *document = NULL;
    unsigned at = 0;
    if (line.len > LINE_MAX_PARSED)
        return broken("a line that is too long");
    err e = json_parse(line, &document, &at);
    if (e != OK)
        return e == E_BUDGET ? e : broken("a line that is no JSON");
    if (json_kind_of(json_get(document, "progress")) == JSON_OBJECT)
        e = take_progress(a, document);
    else
        e = take_error(a, document);
    json_free(document);
    return e;
}

/* {"result":…,"exit":N}: the result is given on as it is, so only its end is read. */
static err take_result(struct asking *a, struct bytes line)
{
    static const char head[] = "{\"result\":", tail[] = ",\"exit\":";
    size_t head_len = strlen(head), tail_len = strlen(tail), digits = line.len - 1;
    uint64_t code = 0;
    while (digits > 0 && line.at[digits - 1] >= '0' && line.at[digits - 1] <= '9')
        digits--;
    bool good = line.at[line.len - 1] == '}' && digits >= head_len + 1 + tail_len &&
                memcmp(line.at + digits - tail_len, tail, tail_len) == 0 &&
                text_to_u64((struct bytes){line.at + digits, line.len - 1 - digits}, &code) && code <= UINT8_MAX;
    if (!good)
        return broken("a result without its end");
    a->page->len = digits - tail_len - head_len;
    memmove(a->page->at, line.at + head_len, a->page->len);
    a->page->at[a->page->len] = 0;
    a->out->json = a->page;
    a->out->code = (enum exit_code)code;
    a->ended = true;
    a->page = NULL;
    return OK;
}

/* Takes the whole lines off the front. */
static err take_lines(struct asking *a)
{
    size_t used = 0;
    const uint8_t *end;
    while (!a->ended && (end = memchr(a->page->at + used, '\n', a->page->len - used)) != NULL) {
        struct bytes line = {a->page->at + used, (size_t)(end - a->page->at) - used};
        used += line.len + 1;
        TRY(begins(line, "{\"result\":") ? take_result(a, line) : take_small(a, line));
    }
    if (a->page && used > 0) {
        a->page->len -= used;
        memmove(a->page->at, a->page->at + used, a->page->len);
    }
    return OK;
}

static err read_more(struct asking *a, size_t *got)
{
    size_t room = CONTROL_REPLY_MAX - a->page->len;
    *got = 0;
    if (room == 0)
        return trail(E_RANGE, "the hub's answer is larger than %zu KiB", (size_t)CONTROL_REPLY_MAX / 1024);
    TRY(http_receive_body(a->connection, a->page->at + a->page->len, room, until(a), got));
    a->page->len += *got;
    return OK;
}

static err read_stream(struct asking *a)
{
    while (!a->ended) {
        size_t got = 0;
        TRY(read_more(a, &got));
        if (got == 0)
            return broken("it ends before the result");
        TRY(take_lines(a));
    }
    return OK;
}

/* One document: a result, or, with a status that is no success, an error. */
static err read_document(struct asking *a, unsigned status)
{
    size_t got = 1;
    while (got > 0)
        TRY(read_more(a, &got));
    struct bytes whole = {a->page->at, a->page->len};
    if (status == 503)
        return trail(E_BUSY, "as many ask the hub as may at once; try again");
    if (status != 200) {
        err e = take_small(a, whole);
        return e == E_PROTOCOL ? trail(e, "status %u", status) : e;
    }
    a->page->at[a->page->len] = 0;
    a->out->json = a->page;
    a->out->code = EXIT_GOOD;
    a->page = NULL;
    return OK;
}

/* --- the whole --- */
static err exchange(struct asking *a, const char *method, const char *target)
{
    const struct http1_head *head = NULL;
    struct bytes type = {0};
    TRY(http_send(a->connection, &(struct http_call){.method = method, .path = target}, until(a)));
    a->out->asked = true;
    TRY(http_receive_head(a->connection, until(a), &head));
    a->out->asked = head->status != 503;
    if (!http1_find(head, "content-type", &type))
        return broken("no content type");
    return begins(type, "application/x-ndjson") && head->status == 200 ? read_stream(a) : read_document(a, head->status);
}

/* OK: there is a connection. E_ABSENT: nobody is there. */
static err connect_hub(const char *data, ms deadline, struct http_connection **out)
{
    struct control_place place;
    struct stream *s = NULL;
    err e = control_place_open(data, deadline, &place);
    if (e == OK)
        e = tcp_connect(&place.at, deadline, &s);
    control_place_close(&place);
    if (e == E_REFUSED || e == E_ABSENT) {
        trail_clear(); /* it is an answer */
        return E_ABSENT;
    }
    if (e == E_DENIED)
        return trail(e, "%s/" CONTROL_SOCKET_NAME ": only root and the hub's user may ask it", data);
    return e == OK ? http_over(s, "holdfast", out) : e;
}

static err silent(err e, const char *data)
{
    return trail(e, "the hub at %s/" CONTROL_SOCKET_NAME " says nothing; what it had begun may be done or not", data);
}

err control_ask(const char *data, const char *method, const char *target,
                void (*progress)(void *arg, const char *what, uint64_t received_bytes, uint64_t total_bytes), void *arg,
                ms deadline, struct control_reply *out)
{
    struct asking a = {.deadline = deadline, .progress = progress, .arg = arg, .out = out};
    *out = (struct control_reply){.code = EXIT_CANNOT_TELL};
    err e = connect_hub(data, until(&a), &a.connection);
    if (e != OK)
        return e == E_TIMEOUT ? silent(e, data) : e;
    e = buf_wait(CONTROL_REPLY_MAX + 1, until(&a), &a.page);
    if (e == OK) {
        a.page->len = 0;
        e = exchange(&a, method, target);
    }
    http_disconnect(a.connection);
    buf_release(a.page);
    if (e == E_CLOSED || e == E_RESET)
        return trail(
            e, "the hub at %s/" CONTROL_SOCKET_NAME " ended before it had answered; what it had begun may be done or not", data);
    if (e == E_TIMEOUT)
        return silent(e, data);
    return e == OK || e == E_BUSY ? e : trail(e, "asking the hub: %s %s", method, target);
}
