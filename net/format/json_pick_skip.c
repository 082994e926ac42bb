/* json_pick_skip: what is not wanted. Texts were checked by the scan; here is their order, and numbers and words. */
#include "net/format/json_pick_inside.h"

#include <string.h>

static err close_skipped(struct pick *p, const struct pick_window *w, size_t at)
{
    if (w->at[at] != (pick_in_object(p) ? '}' : ']'))
        return pick_fail_at(p, w, at, "the end of another kind of container");
    p->depth--;
    p->state = PICK_AT_COMMA;
    return OK;
}

static err value_skipped(struct pick *p, struct pick_window *w, size_t at)
{
    switch (w->at[at]) {
    case '"':
        p->state = PICK_IN_TEXT;
        return OK;
    case '{':
        return pick_push(p, w, at, true);
    case '[':
        return pick_push(p, w, at, false);
    default:
        return pick_word(p, w, at);
    }
}

static err comma_or_end(struct pick *p, const struct pick_window *w, size_t at)
{
    switch (w->at[at]) {
    case ',':
        p->state = pick_in_object(p) ? PICK_AT_KEY : PICK_AT_VALUE;
        return OK;
    case '}':
    case ']':
        return close_skipped(p, w, at);
    default:
        return pick_fail_at(p, w, at, "neither a comma nor an end where one belongs");
    }
}

static err step(struct pick *p, struct pick_window *w, size_t at)
{
    switch (p->state) {
    case PICK_AT_KEY_OR_END:
        if (w->at[at] == '}')
            return close_skipped(p, w, at);
        /* fall through */
    case PICK_AT_KEY:
        p->state = PICK_IN_KEY;
        return w->at[at] == '"' ? OK : pick_fail_at(p, w, at, "no key where one belongs");
    case PICK_IN_KEY:
        p->state = PICK_AT_COLON;
        return OK;
    case PICK_AT_COLON:
        p->state = PICK_AT_VALUE;
        return w->at[at] == ':' ? OK : pick_fail_at(p, w, at, "no colon where one belongs");
    case PICK_AT_VALUE_OR_END:
        if (w->at[at] == ']')
            return close_skipped(p, w, at);
        /* fall through */
    case PICK_AT_VALUE:
        return value_skipped(p, w, at);
    case PICK_IN_TEXT:
        p->state = PICK_AT_COMMA;
        return OK;
    case PICK_AT_COMMA:
        return comma_or_end(p, w, at);
    case PICK_AT_TOP:
    case PICK_IN_WORD:
    case PICK_DONE:
        break;
    }
    ASSERT(p->state == PICK_AT_COMMA); /* no other state is one in which something is skipped */
    return E_INVALID;
}

/* --- the same in long strides, for a window with marks to spare. Whatever is not as usual is left to step(), in the state before
 * it. --- */

#define STRIDE_MARKS 4 /* the most that one stride looks at */
#define WORD_BYTES   6 /* false, and what is behind it */

struct stride {
    const uint8_t *text;
    const uint16_t *mark, *last; /* the next; from where on there are too few */
    size_t len;
};

static inline uint8_t byte_at(const struct stride *s, unsigned ahead)
{
    return s->text[s->mark[ahead]];
}

/* true, false, null or a whole number, with its end. */
static bool is_plain_word(const uint8_t *at, const uint8_t *end)
{
    if (end - at < WORD_BYTES)
        return false;
    if (memcmp(at, "true", 4) == 0 || memcmp(at, "null", 4) == 0)
        return json_word_ends[at[4]];
    if (memcmp(at, "false", 5) == 0)
        return json_word_ends[at[5]];
    if (*at == '0')
        return json_word_ends[at[1]];
    if (*at < '1' || *at > '9')
        return false;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at < end && json_word_ends[*at];
}

static inline bool plain_key(struct stride *s)
{
    if (byte_at(s, 0) != '"' || byte_at(s, 2) != ':')
        return false;
    s->mark += 3;
    return true;
}

/* Behind a value: ends of containers, then a comma. False: neither, or what is skipped is whole. */
static inline bool plain_ends(struct pick *p, struct stride *s)
{
    for (p->state = PICK_AT_COMMA; s->mark < s->last && p->depth > p->skip_depth; s->mark++) {
        uint8_t byte = byte_at(s, 0);
        bool object = pick_in_object(p);
        if (byte == ',') {
            s->mark++;
            p->state = object ? PICK_AT_KEY : PICK_AT_VALUE;
            return s->mark < s->last;
        }
        if (byte != (object ? '}' : ']'))
            return false;
        p->depth--;
    }
    return false;
}

static inline bool plain_open(struct pick *p, struct stride *s, bool object)
{
    uint64_t bit = (uint64_t)1 << (p->depth % 64), *word = &p->objects[p->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    p->depth++;
    p->state = object ? PICK_AT_KEY : PICK_AT_VALUE;
    s->mark++;
    return s->mark < s->last;
}

static inline bool plain_value(struct pick *p, struct stride *s)
{
    uint8_t first = byte_at(s, 0);
    if (first == '"') {
        s->mark += 2;
        return plain_ends(p, s);
    }
    if (first == '{' || first == '[') {
        if (p->depth == PICK_DEPTH_MAX)
            return false;
        if (byte_at(s, 1) != first + 2) /* as { and }, [ and ] are in ASCII: else it is empty */
            return plain_open(p, s, first == '{');
        s->mark += 2;
        return plain_ends(p, s);
    }
    if (!is_plain_word(s->text + s->mark[0], s->text + s->len))
        return false;
    s->mark++;
    return plain_ends(p, s);
}

static inline bool stride(struct pick *p, struct stride *s)
{
    if (p->state == PICK_AT_KEY && !plain_key(s))
        return false;
    p->state = PICK_AT_VALUE;
    return s->mark < s->last && plain_value(p, s);
}

static void strides(struct pick *p, struct pick_window *w)
{
    if (w->marks.count < w->next + STRIDE_MARKS || (p->state != PICK_AT_KEY && p->state != PICK_AT_VALUE))
        return;
    struct stride s = {w->at, w->marks.at + w->next, w->marks.at + w->marks.count - STRIDE_MARKS, w->marks.len};
    while (s.mark < s.last && stride(p, &s))
        ;
    w->next = (size_t)(s.mark - w->marks.at);
}

err pick_skip(struct pick *p, struct pick_window *w)
{
    while (p->skip && w->next < w->marks.count) {
        strides(p, w);
        if (p->state == PICK_AT_COMMA && p->depth == p->skip_depth) {
            p->skip = false;
            return OK;
        }
        TRY(step(p, w, w->marks.at[w->next++]));
        if (p->state == PICK_AT_COMMA)
            p->skip = p->depth > p->skip_depth;
    }
    return OK;
}
