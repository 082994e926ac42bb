/* json_pick_tree: reading the tree. */
#include "board/rt/text.h"
#include "net/format/json_pick_inside.h"

#include <string.h>

static const struct pick_node *node_by(const struct pick_node *n, uint32_t distance)
{
    return distance == 0 ? NULL : (const struct pick_node *)(const void *)((const uint8_t *)n + distance);
}

static bool has_children(const struct pick_node *n)
{
    return n && (n->kind == PICK_IS_OBJECT || n->kind == PICK_IS_LIST);
}

const struct pick_node *json_pick_root(const struct json_pick *reader)
{
    const struct pick *p = pick_of(reader);
    return p->state == PICK_AT_TOP ? NULL : (const struct pick_node *)(const void *)p->arena;
}

const struct pick_node *pick_first(const struct pick_node *parent)
{
    return has_children(parent) ? node_by(parent, parent->first) : NULL;
}

const struct pick_node *pick_next(const struct pick_node *n)
{
    return n ? node_by(n, n->next) : NULL;
}

enum pick_kind pick_kind_of(const struct pick_node *n)
{
    return (enum pick_kind)n->kind;
}

struct bytes pick_key(const struct pick_node *n)
{
    if (!n)
        return (struct bytes){NULL, 0};
    if (n->key > 0)
        return (struct bytes){(const uint8_t *)n - n->key, n->key_bytes};
    return n->field && n->field->key ? bytes_of(n->field->key) : (struct bytes){NULL, 0};
}

struct bytes pick_text(const struct pick_node *n)
{
    if (!n || (n->kind != PICK_IS_TEXT && n->kind != PICK_IS_NUMBER))
        return (struct bytes){NULL, 0};
    return (struct bytes){(const uint8_t *)n + n->first, n->count};
}

uint64_t pick_count(const struct pick_node *n)
{
    return n && (has_children(n) || n->kind == PICK_IS_MARK) ? n->count : 0;
}

bool pick_is_true(const struct pick_node *n)
{
    return n && n->kind == PICK_IS_TRUE;
}

bool pick_to_i64(const struct pick_node *n, int64_t *out)
{
    struct bytes text = pick_text(n);
    bool minus = text.len > 0 && text.at[0] == '-';
    uint64_t value = 0;
    if (!n || n->kind != PICK_IS_NUMBER || !text_to_u64(bytes_after(text, minus), &value))
        return false;
    if (value > (uint64_t)INT64_MAX + minus)
        return false;
    *out = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* A field's name is compared where it is: looked for are many, and most differ in their first byte. */
static inline bool has_key(const struct pick_node *n, const char *name, size_t len)
{
    if (n->key > 0)
        return n->key_bytes == len && memcmp((const uint8_t *)n - n->key, name, len) == 0;
    const char *key = n->field ? n->field->key : NULL;
    size_t at = 0;
    while (key && at < len && key[at] == name[at]) /* a name has no zero */
        at++;
    return key && at == len && key[at] == 0;
}

static const struct pick_node *child(const struct pick_node *object, const char *name, size_t len)
{
    if (object->kind != PICK_IS_OBJECT)
        return NULL;
    for (const struct pick_node *n = node_by(object, object->first); n; n = node_by(n, n->next))
        if (has_key(n, name, len))
            return n;
    return NULL;
}

const struct pick_node *pick_at(const struct pick_node *object, const char *path)
{
    while (object && *path) {
        size_t len = 0;
        while (path[len] && path[len] != '.')
            len++;
        object = child(object, path, len);
        path += len + (path[len] == '.');
    }
    return object;
}

struct bytes pick_text_at(const struct pick_node *object, const char *path)
{
    return pick_text(pick_at(object, path));
}
