/* json_pick_skip: what is not wanted. Texts were checked by the scan; here is their order, and numbers and words. */
#include "net/format/json_pick_inside.h"

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

err pick_skip(struct pick *p, struct pick_window *w)
{
    while (p->skip && w->next < w->marks.count) {
        TRY(step(p, w, w->marks.at[w->next++]));
        if (p->state == PICK_AT_COMMA)
            p->skip = p->depth > p->skip_depth;
    }
    return OK;
}
