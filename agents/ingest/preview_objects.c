/* preview_objects: what kubectl prints, a list of any size or an object. */
#include "agents/ingest/preview.h"

#include <stdio.h>
#include <string.h>

static void wrong(struct preview *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void wrong(struct preview *p, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    p->good = false;
    p->options.tell(p->options.arg, message);
}

static bool is_list(struct bytes kind)
{
    return kind.len >= 4 && memcmp(kind.at + kind.len - 4, "List", 4) == 0;
}

static void other_kind(struct preview *p, struct bytes kind)
{
    wrong(p, "item %llu: is a %.*s, where -k has %s; one kind at a time", (unsigned long long)p->items,
          (int)size_min(kind.len, 64), (const char *)kind.at, ingest_kinds[p->kind].name);
}

static void object_print(struct preview *p, const struct pick_node *object)
{
    struct bytes kind = pick_text_at(object, "kind");
    struct text info = text_over(p->options.info, p->options.info_bytes);
    char why[256];
    p->items++;
    if (kind.len > 0 && !bytes_equal_text(kind, ingest_kinds[p->kind].name)) {
        other_kind(p, kind);
        return;
    }
    err e = info_write(p->kind, object, &info);
    if (e != OK)
        wrong(p, "item %llu: %s%s", (unsigned long long)p->items, trail_text(e, why, sizeof why),
              e == E_BUDGET ? "; a larger --profile has more room" : "");
    trail_clear();
    if (e != OK)
        return;
    p->options.sink(p->options.arg, (struct bytes){(const uint8_t *)info.at, info.len});
    p->options.sink(p->options.arg, bytes_of("\n"));
}

static err item_take(void *arg, const struct pick_node *item)
{
    struct preview *p = arg;
    p->list_items++;
    object_print(p, item);
    return OK;
}

/* A whole document: a list of another kind is told now, for the kind of a list comes after its items. */
static void document_end(struct preview *p)
{
    const struct pick_node *root = json_pick_root(&p->pick);
    struct bytes kind = pick_text_at(root, "kind");
    char own[64];
    (void)snprintf(own, sizeof own, "%sList", ingest_kinds[p->kind].name);
    if (is_list(kind) && !bytes_equal_text(kind, "List") && !bytes_equal_text(kind, own))
        other_kind(p, kind);
    else if (!is_list(kind) && p->list_items == 0)
        object_print(p, root);
    p->list_items = 0;
    json_pick_begin(&p->pick);
}

void preview_objects(struct preview *p, enum ingest_kind kind)
{
    const struct pick_field *fields = ingest_kinds[kind].fields;
    size_t n = 0;
    p->kind = kind;
    p->item_fields[0] = (struct pick_field){"kind", PICK_SCALAR, NULL};
    p->fields[0] = (struct pick_field){"items", PICK_EACH, p->item_fields};
    for (; fields[n].key; n++)
        p->item_fields[n + 1] = fields[n];
    memcpy(&p->fields[1], p->item_fields, (n + 1) * sizeof p->fields[0]);
    json_pick_open(
        &p->pick,
        &(struct json_pick_options){
            .fields = p->fields, .arena = p->options.arena, .arena_bytes = p->options.arena_bytes, .item = item_take, .arg = p});
}

static bool read_failed(struct preview *p)
{
    wrong(p, "item %llu: %s; what `kubectl get -o json` prints belongs here", (unsigned long long)p->items + 1,
          json_pick_wrong(&p->pick));
    trail_clear();
    p->dead = true;
    return false;
}

bool preview_feed(struct preview *p, struct bytes piece)
{
    while (piece.len > 0 && !p->dead) {
        size_t used;
        bool done;
        if (json_pick_feed(&p->pick, piece, &used, &done) != OK)
            return read_failed(p);
        if (done)
            document_end(p);
        piece = bytes_after(piece, used);
    }
    return !p->dead;
}

bool preview_end(struct preview *p)
{
    if (!p->dead && json_pick_end(&p->pick) != OK)
        return read_failed(p);
    return p->good;
}
