/* json_write: JSON (RFC 8259) into a struct text, for `-o json`, logs and small request bodies.
 *
 * Layer    format.                                  Blocks   never.
 * Owner    the caller; the text outlives the        Memory   the caller's text; what does not fit is cut, and
 *          writer.                                           json_done() is then false.
 * Errors   wrong order (a value without a key, an end that does not match, depth > JSON_DEPTH_MAX) is our bug, asserted.
 *          Bytes that are no UTF-8 are written as U+FFFD each: the result is always valid JSON. */
#ifndef HOLDFAST_JSON_WRITE_H
#define HOLDFAST_JSON_WRITE_H

#include "board/rt/text.h"

#define JSON_DEPTH_MAX 32

struct json_writer {
    struct text *out;
    unsigned depth;
    uint32_t in_object; /* bit d: level d+1 is an object */
    uint32_t has_items; /* bit d: level d+1 has one already */
    bool keyed;         /* a key waits for its value */
    bool complete;      /* the top value was written */
    bool as_go;         /* texts as Go's encoding/json has them */
};

struct json_writer json_write_to(struct text *out);
/* The same values, escaped byte for byte as Go's encoding/json (1.22 and later) does: < > & U+2028 U+2029 as \u003c …, bytes that
 * are no UTF-8 as \ufffd. */
struct json_writer json_write_as_go(struct text *out);
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_bytes(struct json_writer *w, struct bytes key);
void json_text(struct json_writer *w, const char *value); /* NULL writes null */
void json_bytes(struct json_writer *w, struct bytes value);
void json_u64(struct json_writer *w, uint64_t value);
void json_i64(struct json_writer *w, int64_t value);
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_raw(struct json_writer *w, struct bytes value); /* one JSON value that is written already; not looked at */
/* key and value in one call */
void json_put_text(struct json_writer *w, const char *key, const char *value);
void json_put_u64(struct json_writer *w, const char *key, uint64_t value);
void json_put_i64(struct json_writer *w, const char *key, int64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
bool json_done(const struct json_writer *w); /* one whole value, nothing cut */

#endif
