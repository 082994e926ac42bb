/* json_pick: of JSON (RFC 8259) of any size, fed in pieces, only the wanted fields, as a small tree. One pass, fixed memory.
 *
 * Layer    format.                                  Blocks   never.      Threads  any, one at a time a reader.
 * Owner    the caller owns the reader and its       Memory   the arena the caller gives, nothing else: wanted texts and nodes of
 *          arena; nodes are views into it.                   32 bytes. What is not wanted is checked and skipped, never copied.
 * Errors   E_CORRUPT no JSON (RFC 8259: UTF-8, escapes, numbers, depth PICK_DEPTH_MAX), or a wanted field of another kind; where
 *          and what is in json_pick_wrong(). E_BUDGET the wanted fields do not fit the arena; E_RANGE a key over 1 KiB that was
 *          wanted. After an error the reader is dead until json_pick_begin(). None of it depends on where pieces end.
 * Stack    some 3 KiB in json_pick_feed(), below the item function's.
 *
 * What a projection says is a static tree of struct pick_field. Values of PICK_KEYS, PICK_COUNT and PICK_PRESENT, and of all that
 * is not named, never leave the piece that was fed: the reader keeps no byte of them, also when a piece ends inside one, so that
 * the caller may wipe each piece after feeding it. null is the same as absent everywhere, items of lists too; but PICK_KEYS has
 * its key, and PICK_COUNT counts it. A key that is there twice: the last counts, in its place (as Go's decoder has it, but whole:
 * objects are not merged); in a PICK_MAP and PICK_KEYS, too; PICK_COUNT counts both. Half a pair of surrogates becomes U+FFFD
 * (Go, too). */
#ifndef HOLDFAST_JSON_PICK_H
#define HOLDFAST_JSON_PICK_H

#include "board/rt/err.h"

#define PICK_DEPTH_MAX  128 /* of nesting, also of what is skipped */
#define PICK_FIELDS_MAX 32  /* wanted keys of one object */

enum pick_what {
    PICK_SCALAR,  /* text, number or bool; a node with its text. Of an object or array: E_CORRUPT */
    PICK_OBJECT,  /* its `fields` */
    PICK_LIST,    /* an array: of objects by `fields`; fields NULL: of scalars */
    PICK_EACH,    /* the same, but each item is given to the item function as soon as it is whole, and forgotten then. One a
                     projection, not inside a list */
    PICK_MAP,     /* an object of scalars with keys of their own (labels): a node each */
    PICK_KEYS,    /* an object: a node for each key, without its value, whatever that is */
    PICK_COUNT,   /* an array or object: the number of its items */
    PICK_PRESENT, /* that it is there, and not null */
    PICK_ANY      /* an object, array or scalar of unknown shape, whole (small things: a condition list to be kept) */
};

struct pick_field {
    const char *key; /* NULL ends the list */
    enum pick_what what;
    const struct pick_field *fields;
};

enum pick_kind { PICK_IS_TEXT, PICK_IS_NUMBER, PICK_IS_TRUE, PICK_IS_FALSE, PICK_IS_OBJECT, PICK_IS_LIST, PICK_IS_MARK };

/* One value of the tree; its parts are json_pick.c's. */
struct pick_node;

/* One item of the PICK_EACH list. An error ends the feeding with it. The item is gone when this returns. */
typedef err json_pick_item(void *arg, const struct pick_node *item);

struct json_pick { /* caller-owned; all fields are json_pick's */
    uint64_t state[96];
};
struct json_pick_options {
    const struct pick_field *fields; /* of the top value, an object */
    void *arena;                     /* aligned for uint64_t */
    size_t arena_bytes;              /* at most 16 MiB */
    json_pick_item *item;            /* NULL: no PICK_EACH in it */
    void *arg;
};
void json_pick_open(struct json_pick *p, const struct json_pick_options *options);
/* A new document in the same arena; the old tree is gone, and zeroed: what is wanted may hold what must not stay. */
void json_pick_begin(struct json_pick *p);
/* Another projection from the next begin on; for streams whose kind is known only then. */
void json_pick_fields(struct json_pick *p, const struct pick_field *fields);
/* Feeds a piece. *used: the bytes taken: all of them, unless the top value ended before (*done), then up to its end; white
 * space before it is taken, what is behind it is not (the next document of a stream): after *done nothing is, until begin. */
MUST_USE err json_pick_feed(struct json_pick *p, struct bytes piece, size_t *used, bool *done);
/* The input has ended: E_CORRUPT when inside a value; OK between two. */
MUST_USE err json_pick_end(struct json_pick *p);
bool json_pick_inside(const struct json_pick *p); /* a document has begun and is not whole */
/* "byte 1234: metadata.labels: a text where an object belongs". No byte of any value is in it. Valid until begin. */
const char *json_pick_wrong(const struct json_pick *p);
size_t json_pick_peak(const struct json_pick *p); /* bytes of the arena that were in use at once, since open */
void json_pick_wipe(struct json_pick *p);         /* zeroes what of the arena was used, and the reader's state */

/* --- the tree; NULL is taken everywhere and is absent --- */
const struct pick_node *json_pick_root(
    const struct json_pick *p); /* when done; in an item function: what of it is whole so far */
/* "metadata.name", names separated by dots (no key of ours has one). NULL: absent. */
const struct pick_node *pick_at(const struct pick_node *object, const char *path);
const struct pick_node *pick_first(
    const struct pick_node *parent); /* child of an object, list, map or keys, in order of the text */
const struct pick_node *pick_next(const struct pick_node *n);
enum pick_kind pick_kind_of(const struct pick_node *n); /* not of NULL */
struct bytes pick_key(const struct pick_node *n);       /* of a map's, keys' or object's child; unescaped */
struct bytes pick_text(const struct pick_node *n);      /* unescaped; of a number as written; empty for others and NULL */
uint64_t pick_count(const struct pick_node *n);         /* of PICK_COUNT; the children of others; 0 for NULL */
bool pick_is_true(const struct pick_node *n);
bool pick_to_i64(const struct pick_node *n, int64_t *out); /* false: absent or no whole number that fits */
struct bytes pick_text_at(const struct pick_node *object, const char *path);

#endif
