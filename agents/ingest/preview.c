#include "agents/ingest/preview.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 512

void preview_open(struct preview *p, const struct preview_options *options)
{
    *p = (struct preview){.options = *options, .at = -1, .good = true};
}

static bool wrong(struct preview *p, const char *format, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct preview *p, const char *format, ...)
{
    char message[MESSAGE_MAX];
    struct text t = text_over(message, sizeof message);
    va_list arguments;
    va_start(arguments, format);
    if (p->at >= 0)
        text_addf(&t, "snapshot[%lld]: ", (long long)p->at);
    text_addv(&t, format, arguments);
    va_end(arguments);
    p->options.tell(p->options.arg, message);
    return false;
}

static bool wrong_err(struct preview *p, err e)
{
    char why[MESSAGE_MAX];
    bool is_room = e == E_BUDGET;
    trail_text(e, why, sizeof why);
    trail_clear();
    return wrong(p, "%s%s", why, is_room ? "; a larger --profile has more room" : "");
}

static void print(struct preview *p, const char *text, size_t len)
{
    p->options.sink(p->options.arg, (struct bytes){(const uint8_t *)text, len});
}

/* --- reading one value --- */
static void reader_open(struct preview *p, const struct pick_field *fields, json_pick_item *item)
{
    json_pick_open(
        &p->pick,
        &(struct json_pick_options){
            .fields = fields, .arena = p->options.arena, .arena_bytes = p->options.arena_bytes, .item = item, .arg = p});
}

static bool read_failed(struct preview *p, err e)
{
    const char *where = json_pick_wrong(&p->pick);
    trail_clear();
    if (e == E_BUDGET)
        return wrong(p, "%s: what is wanted of it needs more than %zu KiB; a larger --profile has more room", where,
                     p->options.arena_bytes / 1024);
    return wrong(p, "%s; a line is one whole JSON object", where);
}

/* The whole of `value`, and nothing behind it. NULL: told. */
static const struct pick_node *read_whole(struct preview *p, const struct pick_field *fields, struct bytes value)
{
    size_t used = 0;
    bool done = false;
    reader_open(p, fields, NULL);
    err e = json_pick_feed(&p->pick, value, &used, &done);
    if (e == OK && !done)
        e = json_pick_end(&p->pick);
    if (e != OK || !done) {
        read_failed(p, e);
        return NULL;
    }
    while (used < value.len && strchr(" \t\r\n", value.at[used]) && value.at[used])
        used++;
    if (used == value.len)
        return json_pick_root(&p->pick);
    wrong(p, "something is behind the object, from byte %zu on; one object a line", used);
    return NULL;
}

/* --- what a line is --- */
static const struct pick_field shape_fields[] = {
    {"kind", PICK_SCALAR, NULL},       {"type", PICK_SCALAR, NULL},      {"object", PICK_PRESENT, NULL},
    {"heartbeat", PICK_PRESENT, NULL}, {"snapshot", PICK_PRESENT, NULL}, {0},
};

struct shape {
    bool heartbeat, snapshot, event;
    enum ingest_kind kind;
    enum ingest_change change;
};

static bool object_shape(struct preview *p, const struct pick_node *root, struct shape *s)
{
    struct bytes kind = pick_text_at(root, "kind"), type = pick_text_at(root, "type");
    if (kind.len == 0)
        return wrong(p, "\"kind\" is missing; one of {\"kind\":K,\"object\":{}}, {\"type\":T,\"kind\":K,\"object\":{}}, "
                        "{\"heartbeat\":{}}, {\"snapshot\":[]} belongs here");
    if (!ingest_kind_find(kind, &s->kind))
        return wrong(p, "\"kind\" is \"%.*s\", which is none of the %d, like Pod or PersistentVolumeClaim",
                     (int)size_min(kind.len, 64), (const char *)kind.at, INGEST_KIND_COUNT);
    if (!pick_at(root, "object"))
        return wrong(p, "\"object\" is missing; objects as kubectl prints them are read with -k %s", ingest_kinds[s->kind].name);
    s->event = pick_at(root, "type") != NULL;
    if (s->event && !ingest_change_find(type, &s->change))
        return wrong(p, "\"type\" is \"%.*s\"; added, modified and deleted there are", (int)size_min(type.len, 64),
                     type.len ? (const char *)type.at : "");
    return true;
}

/* Reads the shape; the tree is gone after the next read, hence the copies. */
static bool shape_read(struct preview *p, struct bytes value, struct shape *s)
{
    const struct pick_node *root = read_whole(p, shape_fields, value);
    if (!root)
        return false;
    *s = (struct shape){.heartbeat = pick_at(root, "heartbeat") != NULL, .snapshot = pick_at(root, "snapshot") != NULL};
    bool object = pick_at(root, "object") || pick_at(root, "kind");
    if (s->heartbeat + s->snapshot + object > 1)
        return wrong(p, "one of \"object\", \"heartbeat\" and \"snapshot\" a line, not several");
    return s->heartbeat || s->snapshot || object_shape(p, root, s);
}

/* --- objects and events --- */
/* The Info of a tree, into options.info. */
static bool info_of(struct preview *p, enum ingest_kind kind, const struct pick_node *object, struct text *info)
{
    *info = text_over(p->options.info, p->options.info_bytes);
    err e = info_write(kind, object, info);
    return e == OK || wrong_err(p, e);
}

/* The "object" of a value with that shape. NULL: told. */
static const struct pick_node *object_read(struct preview *p, enum ingest_kind kind, struct bytes value)
{
    p->fields[0] = (struct pick_field){"object", PICK_OBJECT, ingest_kinds[kind].fields};
    p->fields[1] = (struct pick_field){0};
    const struct pick_node *root = read_whole(p, p->fields, value);
    return root ? pick_at(root, "object") : NULL;
}

static bool print_line(struct preview *p, const struct text *t)
{
    print(p, t->at, t->len);
    print(p, "\n", 1);
    return true;
}

static bool event_print(struct preview *p, const struct shape *s, const struct pick_node *object, const struct text *info)
{
    struct info_names names = info_names(s->kind, object);
    struct text body = text_over(p->options.body, p->options.body_bytes);
    err e = envelope_event(&p->options.envelope, s->change, s->kind, &names, (struct bytes){(const uint8_t *)info->at, info->len},
                           &body);
    return e == OK ? print_line(p, &body) : wrong_err(p, e);
}

static bool object_print(struct preview *p, const struct shape *s, struct bytes line)
{
    struct text info;
    const struct pick_node *object = object_read(p, s->kind, line);
    if (!object || !info_of(p, s->kind, object, &info))
        return false;
    return s->event ? event_print(p, s, object, &info) : print_line(p, &info);
}

static bool heartbeat_print(struct preview *p)
{
    struct text body = text_over(p->options.body, p->options.body_bytes);
    err e = envelope_heartbeat(&p->options.envelope, &body);
    return e == OK ? print_line(p, &body) : wrong_err(p, e);
}

/* --- snapshots: the line was read once and is JSON, so that its parts can be found by their brackets --- */
static void space_skip(struct bytes *in)
{
    while (in->len > 0 && (in->at[0] == ' ' || in->at[0] == '\t' || in->at[0] == '\r' || in->at[0] == '\n'))
        *in = bytes_after(*in, 1);
}

static size_t text_len(struct bytes in)
{
    size_t at = 1;
    while (at < in.len && in.at[at] != '"')
        at += in.at[at] == '\\' ? 2 : 1;
    return size_min(at + 1, in.len);
}

/* Takes a value: an array or object up to its end, a text, or what else ends before a comma or bracket. */
static struct bytes value_take(struct bytes *in)
{
    size_t at = 0;
    unsigned depth = 0;
    space_skip(in);
    for (; at < in->len; at++) {
        uint8_t c = in->at[at];
        bool closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ',' || c == ':'))
            break;
        if (c == '"')
            at += text_len(bytes_after(*in, at)) - 1;
        depth += c == '{' || c == '[';
        depth -= closes;
        if (depth == 0 && closes) {
            at++;
            break;
        }
    }
    struct bytes value = {in->at, at};
    *in = bytes_after(*in, at);
    space_skip(in);
    return value;
}

/* The items of "snapshot": what is behind the bracket. false: told. */
static bool snapshot_items(struct preview *p, struct bytes line, struct bytes *items)
{
    struct bytes found = {0};
    space_skip(&line);
    while (line.len > 1 && line.at[0] != '}') {
        line = bytes_after(line, 1); /* the bracket, or the comma */
        struct bytes key = value_take(&line);
        while (key.len > 0 && strchr(" \t\r\n", key.at[key.len - 1]))
            key.len--;
        if (line.len == 0 || line.at[0] != ':')
            break;
        line = bytes_after(line, 1);
        struct bytes value = value_take(&line);
        found = bytes_equal_text(key, "\"snapshot\"") ? value : found;
    }
    if (found.len == 0 || found.at[0] != '[')
        return wrong(p, "\"snapshot\" is no list; {\"snapshot\":[{\"kind\":K,\"object\":{}}]} belongs here");
    *items = bytes_after(found, 1);
    return true;
}

static bool item_next(struct preview *p, struct bytes *items, struct bytes *item)
{
    space_skip(items);
    if (items->len > 0 && items->at[0] == ',')
        *items = bytes_after(*items, 1);
    space_skip(items);
    if (items->len == 0 || items->at[0] == ']')
        return false;
    *item = value_take(items);
    p->at++;
    return true;
}

/* Are all of them good? Then nothing can go wrong when they are printed. Their kinds go, a byte each, into options.body, so that
 * the walks through them, one a kind, need not read them all. */
static bool snapshot_check(struct preview *p, struct bytes items, uint64_t counts[INGEST_KIND_COUNT])
{
    struct bytes item;
    struct text info;
    struct shape s;
    while (item_next(p, &items, &item)) {
        if (!shape_read(p, item, &s))
            return false;
        if (s.event || s.heartbeat || s.snapshot)
            return wrong(p, "only {\"kind\":K,\"object\":{}} belongs in a snapshot");
        const struct pick_node *object = object_read(p, s.kind, item);
        if (!object || !info_of(p, s.kind, object, &info))
            return false;
        if ((uint64_t)p->at >= p->options.body_bytes)
            return wrong(p, "only %zu objects there is room for; a larger --profile has more", p->options.body_bytes);
        p->options.body[p->at] = (char)s.kind;
        counts[s.kind]++;
    }
    return true;
}

/* Those of one kind, in their order. */
static bool snapshot_kind(struct preview *p, struct bytes items, enum ingest_kind kind)
{
    struct bytes item;
    struct text info;
    bool first = true;
    while (item_next(p, &items, &item)) {
        if (p->options.body[p->at] != (char)kind)
            continue;
        const struct pick_node *object = object_read(p, kind, item);
        if (!object || !info_of(p, kind, object, &info))
            return false;
        if (!first)
            print(p, ",", 1);
        print(p, info.at, info.len);
        first = false;
    }
    return true;
}

static bool snapshot_arrays(struct preview *p, struct bytes items, const uint64_t counts[INGEST_KIND_COUNT])
{
    bool good = true;
    for (unsigned k = 0; good && k < INGEST_KIND_COUNT; k++) {
        char storage[96]; /* a key and its brackets */
        struct text t = text_over(storage, sizeof storage);
        err_ignore(envelope_kind_begin((enum ingest_kind)k, &t));
        print(p, t.at, t.len);
        p->at = -1;
        good = counts[k] == 0 || snapshot_kind(p, items, (enum ingest_kind)k);
        t = text_over(storage, sizeof storage);
        err_ignore(envelope_kind_end(&t));
        print(p, t.at, t.len);
    }
    return good;
}

static bool snapshot_print(struct preview *p, struct bytes line)
{
    char storage[8];
    uint64_t counts[INGEST_KIND_COUNT] = {0};
    struct bytes items;
    if (!snapshot_items(p, line, &items) || !snapshot_check(p, items, counts))
        return false;
    p->at = -1;
    struct text t = text_over(p->options.info, p->options.info_bytes);
    err e = envelope_snapshot_head(&p->options.envelope, &t);
    if (e != OK)
        return wrong_err(p, e);
    print(p, t.at, t.len);
    if (!snapshot_arrays(p, items, counts))
        return false;
    t = text_over(storage, sizeof storage);
    err_ignore(envelope_snapshot_tail(&t));
    return print_line(p, &t);
}

bool preview_line(struct preview *p, struct bytes line)
{
    struct shape s;
    p->at = -1;
    if (!shape_read(p, line, &s))
        return false;
    bool good = s.heartbeat ? heartbeat_print(p) : s.snapshot ? snapshot_print(p, line) : object_print(p, &s, line);
    p->at = -1;
    return good;
}
