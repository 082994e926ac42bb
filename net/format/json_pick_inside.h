/* json_pick_inside: what the reader's files share. For net/format/json_pick*.c only; contract in json_pick.h.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.   Errors   as in json_pick.h.
 *
 * json_pick.c        opens, feeds window by window, ends; what went wrong
 * json_pick_skip.c   what is not wanted: the grammar alone
 * json_pick_want.c   the grammar, and at each step what is wanted of it
 * json_pick_build.c  nodes, texts and keys in the arena
 * json_pick_tree.c   reading the tree */
#ifndef HOLDFAST_JSON_PICK_INSIDE_H
#define HOLDFAST_JSON_PICK_INSIDE_H

#include "net/format/json_pick.h"
#include "net/format/json_scan.h"
#include "net/format/json_scan_word.h"

#define PICK_KEY_MAX  1024 /* of a wanted key, as written */
#define PICK_TOLD_MAX 160  /* of what json_pick_wrong() says, with the zero */

/* In the arena. Distances are in bytes from the node itself, so that it can be read without the reader. */
struct pick_node {
    uint32_t next;  /* to the next of the same parent, 0: none; of an open one: back to its parent, 0: it is the root */
    uint32_t first; /* to the first child, 0: none; of a text or number: to its bytes */
    uint32_t last;  /* to the last child */
    uint32_t count; /* bytes of a text; children; of an open PICK_OBJECT: a bit for each field that was there */
    uint32_t key;   /* back to the key, when it is in the arena; else 0 */
    uint16_t key_bytes;
    uint8_t kind, what;
    const struct pick_field *field; /* of an object's child; of an item of a list, while it is open, the list's */
};
static_assert(sizeof(struct pick_node) == 32, "a node is 32 bytes");

/* What may come next, or what the text is in. */
enum pick_state {
    PICK_AT_TOP,
    PICK_AT_KEY,
    PICK_AT_KEY_OR_END,
    PICK_AT_COLON,
    PICK_AT_VALUE,
    PICK_AT_VALUE_OR_END,
    PICK_AT_COMMA,
    PICK_IN_KEY,
    PICK_IN_TEXT,
    PICK_IN_WORD,
    PICK_DONE
};

struct pick {
    struct json_scan scan;
    struct pick_field root, next_root;
    uint8_t *arena;
    uint32_t arena_bytes, used;
    uint32_t written; /* of the arena since begin, at most */
    uint32_t peak;    /* since open */
    json_pick_item *item;
    void *arg;
    /* the grammar */
    enum pick_state state;
    bool skip; /* until the value that begins at skip_depth is whole */
    unsigned depth, skip_depth;
    uint64_t objects[PICK_DEPTH_MAX / 64]; /* bit d: level d + 1 is an object, else an array */
    uint64_t mixed[PICK_DEPTH_MAX / 64];   /* bit d: the keys of level d + 1 that were kept are not in byte order */
    struct json_word word;
    /* what is wanted */
    struct pick_node *open;         /* the innermost container that is kept */
    struct pick_node *value;        /* the text, number or word that is being read into it; NULL: null */
    const struct pick_field *field; /* of the value to come or being read; NULL: it has none */
    enum pick_what what;            /* of that value */
    uint64_t token;                 /* where the key, text or word being read begins */
    uint32_t key_at, key_bytes;     /* in the arena, of the next child */
    bool key_kept;
    uint32_t text_at; /* in the arena, of the text being read */
    uint32_t item_at; /* arena mark of the PICK_EACH item */
    /* a key against the names of the fields */
    uint32_t matching; /* a bit each */
    uint32_t matched;  /* characters so far */
    uint8_t escape;    /* 0; 1 after a backslash; 2..5: digits of \u so far, and 2 */
    uint16_t escape_value;
    /* where */
    uint64_t offset; /* of the window */
    err dead;
    char told[PICK_TOLD_MAX];
};
static_assert(sizeof(struct pick) <= sizeof(struct json_pick), "the reader's state fits its public size");

static inline struct pick *pick_of(const struct json_pick *p)
{
    return (struct pick *)(uintptr_t)p->state;
}

struct pick_window {
    const uint8_t *at;
    struct json_marks marks;
    size_t next; /* mark */
};

/* Ends the reading: "byte N: path: why". Returns e. */
MUST_USE err pick_fail(struct pick *p, uint64_t where, err e, const char *why, ...) PRINTF_LIKE(4, 5);
MUST_USE err pick_fail_at(struct pick *p, const struct pick_window *w, size_t at, const char *why); /* E_CORRUPT */

/* --- the grammar --- */
static inline bool pick_in_object(const struct pick *p)
{
    return p->depth > 0 && (p->objects[(p->depth - 1) / 64] >> ((p->depth - 1) % 64) & 1) != 0;
}
MUST_USE err pick_push(struct pick *p, const struct pick_window *w, size_t at, bool object);
/* From the first byte of a word at `at`, or PICK_IN_WORD from the start of the window: to its end, or that of the window. */
MUST_USE err pick_word(struct pick *p, struct pick_window *w, size_t at);
MUST_USE err pick_skip(struct pick *p, struct pick_window *w);      /* until nothing is to be skipped, or the window ends */
MUST_USE err pick_want(struct pick *p, struct pick_window *w);      /* one step */
MUST_USE err pick_want_rest(struct pick *p, struct pick_window *w); /* the window ends: what of a key or text is in it */
MUST_USE err pick_want_word_end(struct pick *p);                    /* the word is whole */
MUST_USE err pick_want_word(struct pick *p, struct bytes part);     /* bytes of it */

/* --- the tree being built --- */
MUST_USE err pick_node_new(struct pick *p, enum pick_kind kind, struct pick_node **out);
MUST_USE err pick_text_add(struct pick *p, struct bytes part);
uint32_t pick_text_end(struct pick *p, uint32_t at); /* of [at, used): unescapes in place; the bytes that are left */
void pick_attach(struct pick_node *parent, struct pick_node *child);
void pick_detach_field(struct pick_node *parent, const struct pick_field *f);
/* Of the open container: the child of that key that is there already, if any. */
void pick_detach_key(struct pick *p, struct bytes key);
uint32_t pick_children(const struct pick_node *parent);

const struct pick_field *pick_field_find(const struct pick_field *fields, struct bytes key); /* a key without escapes */
void pick_match_begin(struct pick *p);
void pick_match(struct pick *p, const struct pick_field *fields, struct bytes part);
const struct pick_field *pick_match_end(const struct pick *p, const struct pick_field *fields);

#endif
