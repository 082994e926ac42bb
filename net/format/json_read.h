/* json_read: small JSON documents (RFC 8259), whole: records, answers of peers. Large ones are read as a stream, not here.
 *
 * Layer    format. The one place that knows cJSON.   Blocks   never.      Threads  the loop's.
 * Owner    the caller frees the document; values     Memory   the calling task's heap, some 80 bytes a value; freed as a whole.
 *          are views into it.
 * Errors   E_RANGE more than JSON_READ_BYTES_MAX; E_CORRUPT no JSON, or deeper than 32, or not UTF-8, or more after the value:
 *          the line is told; E_BUDGET no memory for it.
 *
 * A key that is there twice: the first counts. Numbers beyond 2^53 are not whole any more, and refused by the readers. */
#ifndef HOLDFAST_JSON_READ_H
#define HOLDFAST_JSON_READ_H

#include "board/rt/err.h"

#define JSON_READ_BYTES_MAX KIB(256)

enum json_kind { JSON_ABSENT, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

struct json; /* one value */
MUST_USE err json_parse(struct bytes text, struct json **out, unsigned *line);
void json_free(struct json *document); /* NULL is fine */

enum json_kind json_kind_of(const struct json *v); /* NULL: JSON_ABSENT */
/* NULL: there is no such key, or `object` is none. Case matters. */
const struct json *json_get(const struct json *object, const char *key);
/* The items of an array in turn: after NULL comes the first, after the last NULL. */
const struct json *json_next(const struct json *array, const struct json *before);

/* False: of another kind, or it does not fit. */
bool json_to_text(const struct json *v, char *out, size_t cap);
bool json_to_u64(const struct json *v, uint64_t *out);
bool json_to_i64(const struct json *v, int64_t *out);
bool json_to_bool(const struct json *v, bool *out);
/* Of an object's value, for printing: "", 0 and false where it is not there, or not so. */
const char *json_text_at(const struct json *object, const char *key, char *out, size_t cap);
uint64_t json_number_at(const struct json *object, const char *key);
bool json_is_true_at(const struct json *object, const char *key);

#endif
