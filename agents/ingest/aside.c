/* aside: events a platform refused: what they were is kept, the last INGEST_ASIDE_MAX. */
#include "agents/ingest/ingest_internal.h"

#include "board/rt/log.h"
#include "net/format/json_read.h"

#include <string.h>

#define HEAD_BYTES 2048

/* The body without its object, which comes last and may be large: names have no quotes of their own in them. */
static struct bytes without_object(struct bytes body, char out[HEAD_BYTES])
{
    static const char mark[] = ",\"object\":";
    size_t length = 0, most = size_min(body.len, HEAD_BYTES - 1);
    while (length < most && (body.len - length < sizeof mark || memcmp(body.at + length, mark, sizeof mark - 1) != 0))
        length++;
    memcpy(out, body.at, length);
    if (length < body.len)
        out[length++] = '}';
    return (struct bytes){(const uint8_t *)out, length};
}

/* Of the body: its names, not its object. */
void outlet_set_aside(struct outlet *o, struct bytes body, unsigned status)
{
    struct aside *a = &o->aside[o->aside_count++ % INGEST_ASIDE_MAX];
    struct json *event = NULL;
    char type[16], head[HEAD_BYTES];
    unsigned line;
    *a = (struct aside){.at_s = loop_wall_ms() / 1000, .status = status};
    if (json_parse(without_object(body, head), &event, &line) == OK) {
        (void)ingest_change_find(bytes_of(json_text_at(event, "type", type, sizeof type)), &a->change);
        (void)json_text_at(event, "kind", a->kind, sizeof a->kind);
        (void)json_text_at(event, "uid", a->uid, sizeof a->uid);
        (void)json_text_at(event, "namespace", a->name_space, sizeof a->name_space);
        (void)json_text_at(event, "name", a->name, sizeof a->name);
    }
    trail_clear();
    json_free(event);
    log_warn("the platform refused an event: it is set aside, and a fresh snapshot is made", F("agent", o->name),
             F("kind", a->kind), F("namespace", a->name_space), F("name", a->name), F("uid", a->uid), F_U64("status", status),
             F("answer", deliver_health(o->deliver)->answer));
}
