/* json_pick_build: nodes, texts and keys in the arena. */
#include "net/format/json_pick_inside.h"

#include <string.h>

static err take(struct pick *p, uint32_t start, size_t bytes)
{
    if (start > p->arena_bytes || bytes > p->arena_bytes - start)
        return pick_fail(p, p->token, E_BUDGET, "the wanted fields do not fit into %u bytes", p->arena_bytes);
    p->used = start + (uint32_t)bytes;
    if (p->written < p->used)
        p->written = p->used;
    if (p->peak < p->used)
        p->peak = p->used;
    return OK;
}

err pick_node_new(struct pick *p, enum pick_kind kind, struct pick_node **out)
{
    uint32_t start = (uint32_t)size_round_up(p->used, sizeof(uint64_t));
    TRY(take(p, start, sizeof **out));
    struct pick_node *n = (struct pick_node *)(void *)(p->arena + start);
    *n = (struct pick_node){.kind = (uint8_t)kind, .what = (uint8_t)p->what, .field = p->field};
    if (p->key_kept) {
        n->key = start - p->key_at;
        n->key_bytes = (uint16_t)p->key_bytes;
        p->key_kept = false;
    }
    *out = n;
    return OK;
}

err pick_text_add(struct pick *p, struct bytes part)
{
    uint32_t start = p->used;
    if (part.len == 0)
        return OK;
    TRY(take(p, start, part.len));
    memcpy(p->arena + start, part.at, part.len);
    return OK;
}

/* --- escapes; the scan has checked them --- */

static uint32_t hex4(const uint8_t *at)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)(at[i] <= '9' ? at[i] - '0' : (at[i] | 0x20) - 'a' + 10);
    return value;
}

static uint8_t *utf8_put(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (uint8_t)c;
        return out;
    }
    unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *out++ = (uint8_t)(0xFF00u >> (more + 1) | c >> (6 * more));
    while (more-- > 0)
        *out++ = (uint8_t)(0x80 | (c >> (6 * more) & 0x3F));
    return out;
}

/* at: behind the u. RFC 8259 section 7: pairs of surrogates are one character; one that is alone becomes U+FFFD, as Go has it. */
static const uint8_t *unescape_u(const uint8_t *at, const uint8_t *end, uint32_t *c)
{
    *c = hex4(at);
    at += 4;
    if (*c < 0xD800 || *c > 0xDFFF)
        return at;
    if (*c < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = hex4(at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
            return at + 6;
        }
    }
    *c = 0xFFFD;
    return at;
}

static uint8_t unescaped(uint8_t letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter;
    }
}

uint32_t pick_text_end(struct pick *p, uint32_t start)
{
    const uint8_t *at = p->arena + start, *end = p->arena + p->used;
    uint8_t *out = at == end ? NULL : memchr(at, '\\', (size_t)(end - at));
    if (!out)
        return p->used - start;
    for (at = out; at < end;) {
        uint32_t c = 0;
        if (*at != '\\')
            *out++ = *at++;
        else if (at[1] != 'u') {
            *out++ = unescaped(at[1]);
            at += 2;
        } else {
            at = unescape_u(at + 2, end, &c);
            out = utf8_put(out, c);
        }
    }
    p->used = (uint32_t)(out - p->arena);
    return p->used - start;
}

/* --- children --- */

static struct pick_node *by(struct pick_node *n, uint32_t distance)
{
    return distance == 0 ? NULL : (struct pick_node *)(void *)((uint8_t *)n + distance);
}

void pick_attach(struct pick_node *parent, struct pick_node *child)
{
    uint32_t distance = (uint32_t)((uint8_t *)child - (uint8_t *)parent);
    child->next = 0;
    if (parent->first == 0)
        parent->first = distance;
    else
        by(parent, parent->last)->next = distance - parent->last;
    parent->last = distance;
    if (parent->what != PICK_OBJECT)
        parent->count++;
}

static void detach(struct pick_node *parent, struct pick_node *before, struct pick_node *child)
{
    uint32_t after = child->next;
    if (!before)
        parent->first = after == 0 ? 0 : parent->first + after;
    else
        before->next = after == 0 ? 0 : before->next + after;
    if (after == 0)
        parent->last = before ? (uint32_t)((uint8_t *)before - (uint8_t *)parent) : 0;
    if (parent->what != PICK_OBJECT)
        parent->count--;
}

void pick_detach_field(struct pick_node *parent, const struct pick_field *f)
{
    struct pick_node *before = NULL;
    for (struct pick_node *n = by(parent, parent->first); n; before = n, n = by(n, n->next))
        if (n->field == f) {
            detach(parent, before, n);
            return;
        }
}

static struct bytes key_of(const struct pick_node *n)
{
    return (struct bytes){(const uint8_t *)n - n->key, n->key_bytes};
}

static bool is_after(struct bytes key, struct bytes last)
{
    size_t len = size_min(key.len, last.len);
    int order = len ? memcmp(key.at, last.at, len) : 0;
    return order > 0 || (order == 0 && key.len > last.len);
}

/* API servers send keys in byte order (Go's encoder sorts a map's): then the last one is all there is to compare with, and ten
 * thousand keys cost what ten thousand keys cost. */
void pick_detach_key(struct pick *p, struct bytes key)
{
    struct pick_node *parent = p->open, *before = NULL;
    uint64_t bit = (uint64_t)1 << ((p->depth - 1) % 64), *mixed = &p->mixed[(p->depth - 1) / 64];
    bool after = parent->first == 0 || is_after(key, key_of(by(parent, parent->last)));
    if (after && (*mixed & bit) == 0)
        return;
    *mixed |= bit;
    for (struct pick_node *n = by(parent, parent->first); n; before = n, n = by(n, n->next))
        if (n->key_bytes == key.len && memcmp((uint8_t *)n - n->key, key.at, key.len) == 0) {
            detach(parent, before, n);
            return;
        }
}

uint32_t pick_children(const struct pick_node *parent)
{
    uint32_t count = 0;
    for (const struct pick_node *n = pick_first(parent); n; n = pick_next(n))
        count++;
    return count;
}

/* --- a key against the names of the fields --- */

static inline bool is_name(const char *name, struct bytes key)
{
    size_t at = 0;
    while (at < key.len && (uint8_t)name[at] == key.at[at]) /* no key has a zero byte, so not beyond the name's */
        at++;
    return at == key.len && name[at] == 0;
}

const struct pick_field *pick_field_find(const struct pick_field *fields, struct bytes key)
{
    for (; fields->key; fields++)
        if (is_name(fields->key, key))
            return fields;
    return NULL;
}

/* One that is cut by the end of a piece, or has escapes, is compared character by character: nothing of it is kept. */
void pick_match_begin(struct pick *p)
{
    p->matching = UINT32_MAX;
    p->matched = 0;
    p->escape = 0;
}

static void match_char(struct pick *p, const struct pick_field *fields, uint32_t c)
{
    for (uint32_t i = 0, left = p->matching; left != 0 && fields[i].key; i++, left >>= 1)
        if ((left & 1) != 0 && (c == 0 || c >= 0x80 || (uint8_t)fields[i].key[p->matched] != c))
            p->matching &= ~((uint32_t)1 << i);
    p->matched++;
}

static void match_byte(struct pick *p, const struct pick_field *fields, uint8_t byte)
{
    if (p->escape == 0) {
        if (byte == '\\')
            p->escape = 1;
        else
            match_char(p, fields, byte);
    } else if (p->escape == 1) {
        p->escape = byte == 'u' ? 2 : 0;
        p->escape_value = 0;
        if (byte != 'u')
            match_char(p, fields, unescaped(byte));
    } else {
        p->escape_value = (uint16_t)(p->escape_value << 4 | (byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10));
        p->escape = p->escape == 5 ? 0 : (uint8_t)(p->escape + 1);
        if (p->escape == 0)
            match_char(p, fields, p->escape_value);
    }
}

void pick_match(struct pick *p, const struct pick_field *fields, struct bytes part)
{
    for (size_t i = 0; i < part.len && p->matching != 0; i++)
        match_byte(p, fields, part.at[i]);
}

const struct pick_field *pick_match_end(const struct pick *p, const struct pick_field *fields)
{
    for (uint32_t i = 0; fields[i].key; i++)
        if ((p->matching >> i & 1) != 0 && fields[i].key[p->matched] == 0)
            return &fields[i];
    return NULL;
}
