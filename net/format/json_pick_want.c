/* json_pick_want: the grammar where something is wanted, step by step, a mark each. */
#include "net/format/json_pick_inside.h"

#include <string.h>

/* Kinds that a wanted value may be of, a bit each, and how that is told. */
#define IS(kind)  (1u << PICK_IS_##kind)
#define IS_SCALAR (IS(TEXT) | IS(NUMBER) | IS(TRUE) | IS(FALSE))
static const struct {
    unsigned kinds;
    const char *belongs;
} wants[] = {
    [PICK_SCALAR] = {IS_SCALAR, "a text, a number or a bool"},
    [PICK_OBJECT] = {IS(OBJECT), "an object"},
    [PICK_LIST] = {IS(LIST), "a list"},
    [PICK_EACH] = {IS(LIST), "a list"},
    [PICK_MAP] = {IS(OBJECT), "an object"},
    [PICK_KEYS] = {IS(OBJECT), "an object"},
    [PICK_COUNT] = {IS(OBJECT) | IS(LIST), "an object or a list"},
    [PICK_PRESENT] = {IS_SCALAR | IS(OBJECT) | IS(LIST), "a value"},
    [PICK_ANY] = {IS_SCALAR | IS(OBJECT) | IS(LIST), "a value"},
};
static const char *const kind_names[] = {
    [PICK_IS_TEXT] = "a text",  [PICK_IS_NUMBER] = "a number",  [PICK_IS_TRUE] = "a bool",
    [PICK_IS_FALSE] = "a bool", [PICK_IS_OBJECT] = "an object", [PICK_IS_LIST] = "a list",
};

static bool kind_of(uint8_t first, enum pick_kind *kind)
{
    switch (first) {
    case '"':
        *kind = PICK_IS_TEXT;
        return true;
    case '{':
        *kind = PICK_IS_OBJECT;
        return true;
    case '[':
        *kind = PICK_IS_LIST;
        return true;
    case 't':
        *kind = PICK_IS_TRUE;
        return true;
    case 'f':
        *kind = PICK_IS_FALSE;
        return true;
    default:
        *kind = PICK_IS_NUMBER;
        return first == '-' || (first >= '0' && first <= '9');
    }
}

static void skip_value(struct pick *p)
{
    p->skip = true;
    p->skip_depth = p->depth;
    p->field = NULL;
}

/* Of the key or text being read: where in this window it goes on. */
static size_t token_from(const struct pick *p)
{
    return p->token < p->offset ? 0 : (size_t)(p->token - p->offset) + 1;
}

/* A value is whole. */
static err whole(struct pick *p, struct pick_node *n, uint64_t where)
{
    struct pick_node *parent = p->open;
    p->field = NULL;
    n->next = 0;
    if (!parent)
        return OK;
    if (parent->kind == PICK_IS_LIST)
        n->field = NULL;
    if (parent->what != PICK_EACH) {
        pick_attach(parent, n);
        return OK;
    }
    ASSERT(p->item);
    parent->count++;
    err e = p->item(p->arg, n);
    p->used = p->item_at;
    return e == OK ? OK : pick_fail(p, where, e, "the item: %s", err_text(e));
}

static err container_close(struct pick *p, const struct pick_window *w, size_t at)
{
    struct pick_node *n = p->open;
    if (w->at[at] != (pick_in_object(p) ? '}' : ']'))
        return pick_fail_at(p, w, at, "the end of another kind of container");
    if (n->what == PICK_OBJECT)
        n->count = pick_children(n);
    if (n->what == PICK_COUNT)
        n->kind = PICK_IS_MARK;
    p->open = n->next == 0 ? NULL : (struct pick_node *)(void *)((uint8_t *)n - n->next);
    p->depth--;
    p->state = p->depth == 0 ? PICK_DONE : PICK_AT_COMMA;
    return whole(p, n, p->offset + at);
}

static err container_open(struct pick *p, struct pick_window *w, size_t at, enum pick_kind kind)
{
    struct pick_node *n = NULL, *parent = p->open;
    TRY(pick_node_new(p, kind, &n));
    TRY(pick_push(p, w, at, kind == PICK_IS_OBJECT));
    n->next = parent ? (uint32_t)((uint8_t *)n - (uint8_t *)parent) : 0;
    p->open = n;
    p->field = NULL;
    return OK;
}

/* --- keys --- */

static err key_part(struct pick *p, struct bytes part)
{
    if (p->open->what == PICK_COUNT)
        return OK;
    if (p->open->what == PICK_OBJECT) {
        pick_match(p, p->open->field->fields, part);
        return OK;
    }
    size_t room = PICK_KEY_MAX - (p->used - p->key_at);
    TRY(pick_text_add(p, (struct bytes){part.at, size_min(part.len, room)}));
    return part.len <= room ? OK : pick_fail(p, p->token, E_RANGE, "a key of more than %d bytes", PICK_KEY_MAX);
}

static const struct pick_field *key_match(struct pick *p, struct bytes part)
{
    const struct pick_field *fields = p->open->field->fields;
    bool whole_key = p->matched == 0 && p->escape == 0;
    if (whole_key && (part.len == 0 || !memchr(part.at, '\\', part.len)))
        return pick_field_find(fields, part);
    pick_match(p, fields, part);
    return pick_match_end(p, fields);
}

static void field_begin(struct pick *p, const struct pick_field *f)
{
    if (!f) {
        skip_value(p);
        return;
    }
    size_t index = (size_t)(f - p->open->field->fields);
    ASSERT(index < PICK_FIELDS_MAX);
    uint32_t bit = (uint32_t)1 << index;
    if ((p->open->count & bit) != 0)
        pick_detach_field(p->open, f);
    p->open->count |= bit;
    p->field = f;
    p->what = f->what;
}

static err kept_key_end(struct pick *p)
{
    struct pick_node *n = NULL;
    p->key_bytes = pick_text_end(p, p->key_at);
    p->key_kept = true;
    p->field = NULL;
    pick_detach_key(p, (struct bytes){p->arena + p->key_at, p->key_bytes});
    p->what = p->open->what == PICK_ANY ? PICK_ANY : PICK_SCALAR;
    if (p->open->what != PICK_KEYS)
        return OK;
    TRY(pick_node_new(p, PICK_IS_MARK, &n));
    pick_attach(p->open, n);
    skip_value(p);
    return OK;
}

static err key_end(struct pick *p, struct bytes part)
{
    p->state = PICK_AT_COLON;
    if (p->open->what == PICK_OBJECT) {
        field_begin(p, key_match(p, part));
        return OK;
    }
    TRY(key_part(p, part));
    if (p->open->what != PICK_COUNT)
        return kept_key_end(p);
    p->open->count++;
    skip_value(p);
    return OK;
}

/* With its colon, when all of it is in the window and as usual; false: nothing was done. */
static inline bool field_whole(struct pick *p, struct pick_window *w, size_t at)
{
    size_t next = w->next;
    if (next + 1 >= w->marks.count || w->at[w->marks.at[next + 1]] != ':')
        return false;
    struct bytes key = {w->at + at + 1, w->marks.at[next] - at - 1};
    if (w->marks.escapes && key.len > 0 && memchr(key.at, '\\', key.len))
        return false;
    field_begin(p, pick_field_find(p->open->field->fields, key));
    w->next += 2;
    p->state = PICK_AT_VALUE;
    return true;
}

static err key_begin(struct pick *p, struct pick_window *w, size_t at)
{
    p->token = p->offset + at;
    if (w->at[at] != '"')
        return pick_fail_at(p, w, at, "no key where one belongs");
    if (p->open->what == PICK_OBJECT && field_whole(p, w, at))
        return OK;
    p->state = PICK_IN_KEY;
    p->key_at = p->used;
    if (p->open->what == PICK_OBJECT)
        pick_match_begin(p);
    return OK;
}

/* --- values --- */

/* What an item of the open list is to be; true: nothing. */
static bool item_is_skipped(struct pick *p)
{
    struct pick_node *list = p->open;
    p->field = list->field;
    switch ((enum pick_what)list->what) {
    case PICK_COUNT:
        list->count++;
        return true;
    case PICK_ANY:
        p->what = PICK_ANY;
        return false;
    case PICK_EACH:
        p->item_at = p->used;
        break;
    case PICK_LIST:
        break;
    case PICK_SCALAR:
    case PICK_OBJECT:
    case PICK_MAP:
    case PICK_KEYS:
    case PICK_PRESENT:
        ASSERT(list->what == PICK_LIST); /* the others are no lists */
    }
    p->what = list->field->fields ? PICK_OBJECT : PICK_SCALAR;
    return false;
}

static err scalar_end(struct pick *p, uint64_t where)
{
    struct pick_node *n = p->value;
    n->count = pick_text_end(p, p->text_at);
    n->first = (uint32_t)(p->arena + p->text_at - (uint8_t *)n);
    p->state = PICK_AT_COMMA;
    p->value = NULL;
    return whole(p, n, where);
}

static err text_end(struct pick *p, const struct pick_window *w, size_t at)
{
    size_t from = token_from(p);
    TRY(pick_text_add(p, (struct bytes){w->at + from, at - from}));
    return scalar_end(p, p->token);
}

static err scalar_begin(struct pick *p, struct pick_window *w, size_t at, enum pick_kind kind)
{
    TRY(pick_node_new(p, kind, &p->value));
    p->text_at = p->used;
    if (kind != PICK_IS_TEXT)
        return pick_word(p, w, at);
    p->state = PICK_IN_TEXT;
    return w->next < w->marks.count ? text_end(p, w, w->marks.at[w->next++]) : OK;
}

static err present(struct pick *p, struct pick_window *w)
{
    struct pick_node *n = NULL;
    TRY(pick_node_new(p, PICK_IS_MARK, &n));
    pick_attach(p->open, n);
    skip_value(p);
    p->state = PICK_AT_VALUE;
    w->next--;
    return OK;
}

static err null_begin(struct pick *p, struct pick_window *w, size_t at)
{
    p->value = NULL;
    if (p->key_kept)
        p->used = p->key_at;
    p->key_kept = false;
    return pick_word(p, w, at);
}

static err value_begin(struct pick *p, struct pick_window *w, size_t at)
{
    enum pick_kind kind;
    p->token = p->offset + at;
    if (p->depth > 0 && !pick_in_object(p) && item_is_skipped(p)) {
        skip_value(p);
        p->state = PICK_AT_VALUE;
        w->next--;
        return OK;
    }
    if (w->at[at] == 'n' && p->open)
        return null_begin(p, w, at);
    if (!kind_of(w->at[at], &kind))
        return pick_fail_at(p, w, at, "no value begins so");
    if ((wants[p->what].kinds >> kind & 1) == 0)
        return pick_fail(p, p->token, E_CORRUPT, "%s where %s belongs", kind_names[kind], wants[p->what].belongs);
    if (p->what == PICK_PRESENT)
        return present(p, w);
    if (kind == PICK_IS_OBJECT || kind == PICK_IS_LIST)
        return container_open(p, w, at, kind);
    return scalar_begin(p, w, at, kind);
}

err pick_want_word(struct pick *p, struct bytes part)
{
    return p->value && p->value->kind == PICK_IS_NUMBER ? pick_text_add(p, part) : OK;
}

err pick_want_word_end(struct pick *p)
{
    if (p->value)
        return scalar_end(p, p->token);
    p->field = NULL;
    return OK;
}

/* --- steps --- */

static err comma_or_end(struct pick *p, struct pick_window *w, size_t at)
{
    switch (w->at[at]) {
    case ',':
        p->state = pick_in_object(p) ? PICK_AT_KEY : PICK_AT_VALUE;
        return OK;
    case '}':
    case ']':
        return container_close(p, w, at);
    default:
        return pick_fail_at(p, w, at, "neither a comma nor an end where one belongs");
    }
}

static err top(struct pick *p, struct pick_window *w, size_t at)
{
    p->field = &p->root;
    p->what = PICK_OBJECT;
    return value_begin(p, w, at);
}

err pick_want(struct pick *p, struct pick_window *w)
{
    size_t at = w->marks.at[w->next++], from;
    switch (p->state) {
    case PICK_AT_TOP:
        return top(p, w, at);
    case PICK_AT_KEY_OR_END:
        if (w->at[at] == '}')
            return container_close(p, w, at);
        /* fall through */
    case PICK_AT_KEY:
        return key_begin(p, w, at);
    case PICK_IN_KEY:
        from = token_from(p);
        return key_end(p, (struct bytes){w->at + from, at - from});
    case PICK_AT_COLON:
        p->state = PICK_AT_VALUE;
        return w->at[at] == ':' ? OK : pick_fail_at(p, w, at, "no colon where one belongs");
    case PICK_AT_VALUE_OR_END:
        if (w->at[at] == ']')
            return container_close(p, w, at);
        /* fall through */
    case PICK_AT_VALUE:
        return value_begin(p, w, at);
    case PICK_IN_TEXT:
        return text_end(p, w, at);
    case PICK_AT_COMMA:
        return comma_or_end(p, w, at);
    case PICK_IN_WORD:
    case PICK_DONE:
        break;
    }
    ASSERT(p->state == PICK_AT_COMMA); /* no other has a mark */
    return E_INVALID;
}

err pick_want_rest(struct pick *p, struct pick_window *w)
{
    size_t from = token_from(p);
    struct bytes part = {w->at + from, w->marks.len - size_min(from, w->marks.len)};
    if (p->state == PICK_IN_KEY)
        return key_part(p, part);
    if (p->state == PICK_IN_TEXT)
        return pick_text_add(p, part);
    return OK;
}
