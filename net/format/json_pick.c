/* json_pick: opening, feeding, ending, and what went wrong. */
#include "net/format/json_pick.h"

#include "board/rt/secret.h"
#include "board/rt/text.h"
#include "net/format/json_pick_inside.h"

#include <stdio.h>
#include <string.h>

#define PATH_NAMES_MAX 16 /* of containers, in what is told */

void json_pick_open(struct json_pick *reader, const struct json_pick_options *o)
{
    struct pick *p = pick_of(reader);
    ASSERT(o->fields && o->arena && o->arena_bytes <= MIB(16) && (uintptr_t)o->arena % sizeof(uint64_t) == 0);
    memset(reader, 0, sizeof *reader);
    p->arena = o->arena;
    p->arena_bytes = (uint32_t)o->arena_bytes;
    p->item = o->item;
    p->arg = o->arg;
    json_pick_fields(reader, o->fields);
    json_pick_begin(reader);
}

void json_pick_fields(struct json_pick *reader, const struct pick_field *fields)
{
    pick_of(reader)->next_root = (struct pick_field){NULL, PICK_OBJECT, fields};
}

void json_pick_begin(struct json_pick *reader)
{
    struct pick *p = pick_of(reader);
    struct pick keep = *p;
    if (p->written > 0)
        wipe(p->arena, p->written);
    memset(p, 0, sizeof *p);
    p->root = p->next_root = keep.next_root;
    p->arena = keep.arena;
    p->arena_bytes = keep.arena_bytes;
    p->peak = keep.peak;
    p->item = keep.item;
    p->arg = keep.arg;
}

/* "spec.containers[].image: ": the names that the projection has for what is open. */
static void path_add(const struct pick *p, struct text *t)
{
    const struct pick_node *names[PATH_NAMES_MAX] = {NULL};
    size_t count = 0, before = t->len;
    for (const struct pick_node *n = p->open; n && n->next > 0 && count < PATH_NAMES_MAX;
         n = (const struct pick_node *)(const void *)((const uint8_t *)n - n->next))
        names[count++] = n;
    while (count-- > 0) {
        const struct pick_node *n = names[count];
        const struct pick_node *parent = (const struct pick_node *)(const void *)((const uint8_t *)n - n->next);
        if (parent->kind == PICK_IS_LIST)
            text_add(t, "[]");
        else if (n->field)
            text_addf(t, "%s%s", t->len > before ? "." : "", n->field->key);
    }
    if (p->field && p->open && p->open->kind != PICK_IS_LIST)
        text_addf(t, "%s%s", t->len > before ? "." : "", p->field->key);
    if (t->len > before)
        text_add(t, ": ");
}

err pick_fail(struct pick *p, uint64_t where, err e, const char *why, ...)
{
    struct text t = text_over(p->told, sizeof p->told);
    va_list arguments;
    text_addf(&t, "byte %llu: ", (unsigned long long)where);
    path_add(p, &t);
    va_start(arguments, why);
    text_addv(&t, why, arguments);
    va_end(arguments);
    return p->dead = e;
}

err pick_fail_at(struct pick *p, const struct pick_window *w, size_t at, const char *why)
{
    (void)w;
    return pick_fail(p, p->offset + at, E_CORRUPT, "%s", why);
}

err pick_push(struct pick *p, const struct pick_window *w, size_t at, bool object)
{
    if (p->depth == PICK_DEPTH_MAX)
        return pick_fail_at(p, w, at, "nested too deep");
    uint64_t bit = (uint64_t)1 << (p->depth % 64), *word = &p->objects[p->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    p->mixed[p->depth / 64] &= ~bit;
    p->depth++;
    p->state = object ? PICK_AT_KEY_OR_END : PICK_AT_VALUE_OR_END;
    return OK;
}

static err word_go_on(struct pick *p, struct pick_window *w, size_t at)
{
    size_t used = 0;
    struct bytes rest = {w->at + at, w->marks.len - at};
    enum json_word_result r = json_word_feed(&p->word, rest, &used);
    if (!p->skip)
        TRY(pick_want_word(p, (struct bytes){rest.at, used}));
    if (r == JSON_WORD_WRONG)
        return pick_fail_at(p, w, at + used, "no value: a number, true, false or null that is not whole, or something behind it");
    if (r == JSON_WORD_MORE)
        return OK;
    p->state = PICK_AT_COMMA;
    if (!p->skip)
        return pick_want_word_end(p);
    p->skip = p->depth > p->skip_depth;
    return OK;
}

err pick_word(struct pick *p, struct pick_window *w, size_t at)
{
    if (p->state == PICK_IN_WORD)
        return word_go_on(p, w, at);
    if (!json_word_begin(&p->word, w->at[at]))
        return pick_fail_at(p, w, at, "no value begins so");
    p->state = PICK_IN_WORD;
    if (!p->skip)
        TRY(pick_want_word(p, (struct bytes){w->at + at, 1}));
    return word_go_on(p, w, at + 1);
}

static err window_walk(struct pick *p, struct pick_window *w)
{
    if (p->state == PICK_IN_WORD)
        TRY(pick_word(p, w, 0));
    while (w->next < w->marks.count && p->state != PICK_DONE)
        TRY(p->skip ? pick_skip(p, w) : pick_want(p, w));
    if (p->state == PICK_DONE)
        return OK;
    if (!p->skip)
        TRY(pick_want_rest(p, w));
    return w->marks.why ? pick_fail_at(p, w, w->marks.len, w->marks.why) : OK;
}

err json_pick_feed(struct json_pick *reader, struct bytes piece, size_t *used, bool *done)
{
    struct pick *p = pick_of(reader);
    struct pick_window w;
    *used = 0;
    *done = p->state == PICK_DONE;
    if (p->dead != OK)
        return p->dead;
    while (*used < piece.len && !*done) {
        struct bytes window = {piece.at + *used, size_min(piece.len - *used, JSON_SCAN_WINDOW)};
        w.at = window.at;
        w.next = 0;
        json_scan(&p->scan, window, &w.marks);
        err e = window_walk(p, &w);
        if (e != OK)
            return p->dead = e;
        *done = p->state == PICK_DONE;
        *used += *done ? w.marks.at[w.next - 1] + (size_t)1 : window.len;
        p->offset += window.len;
    }
    return OK;
}

err json_pick_end(struct json_pick *reader)
{
    struct pick *p = pick_of(reader);
    if (p->dead == OK && json_pick_inside(reader))
        return pick_fail(p, p->offset, E_CORRUPT, "the input ends inside of a value");
    return p->dead;
}

bool json_pick_inside(const struct json_pick *reader)
{
    const struct pick *p = pick_of(reader);
    return p->state != PICK_AT_TOP && p->state != PICK_DONE;
}

const char *json_pick_wrong(const struct json_pick *reader)
{
    return pick_of(reader)->told;
}

size_t json_pick_peak(const struct json_pick *reader)
{
    return pick_of(reader)->peak;
}

void json_pick_wipe(struct json_pick *reader)
{
    struct pick *p = pick_of(reader);
    if (p->arena)
        wipe(p->arena, p->written); /* begin saw to what was before */
    wipe(reader, sizeof *reader);
}
