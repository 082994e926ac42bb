/* json_read: cJSON's tree behind views; `struct json` is its node. */
#include "net/format/json_read.h"

#include "board/rt/mem.h"
#include "board/rt/utf8.h"

#include <cjson/cJSON.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: up to here each whole number is a double of its own */

static const cJSON *node(const struct json *v)
{
    return (const cJSON *)(const void *)v;
}

static const struct json *view(const cJSON *n)
{
    return (const struct json *)(const void *)n;
}

static unsigned line_of(struct bytes text, size_t at)
{
    unsigned line = 1;
    for (size_t i = 0; i < at && i < text.len; i++)
        line += text.at[i] == '\n';
    return line;
}

static size_t utf8_good(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t n = utf8_char((struct bytes){text.at + at, text.len - at});
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

static size_t space_after(struct bytes text, size_t at)
{
    while (at < text.len && memchr(" \t\r\n", text.at[at], 4))
        at++;
    return at;
}

err json_parse(struct bytes text, struct json **out, unsigned *line)
{
    *out = NULL;
    *line = 0;
    if (text.len > JSON_READ_BYTES_MAX)
        return E_RANGE;
    size_t good = utf8_good(text);
    *line = line_of(text, good);
    if (good < text.len || text.len == 0)
        return E_CORRUPT;
    uint64_t refused = mem_use(mem_task()).refusals;
    const char *end = (const char *)text.at;
    cJSON *root = cJSON_ParseWithLengthOpts((const char *)text.at, text.len, &end, false);
    size_t at = (size_t)(end - (const char *)text.at);
    *line = line_of(text, at);
    if (!root)
        return mem_use(mem_task()).refusals > refused ? E_BUDGET : E_CORRUPT;
    at = space_after(text, at);
    if (at < text.len) {
        *line = line_of(text, at);
        cJSON_Delete(root);
        return E_CORRUPT;
    }
    *out = (struct json *)(void *)root;
    return OK;
}

void json_free(struct json *document)
{
    cJSON_Delete((cJSON *)(void *)document);
}

enum json_kind json_kind_of(const struct json *v)
{
    static const struct {
        int cjson;
        enum json_kind kind;
    } kinds[] = {{cJSON_NULL, JSON_NULL},   {cJSON_True, JSON_BOOL},   {cJSON_False, JSON_BOOL},   {cJSON_Number, JSON_NUMBER},
                 {cJSON_String, JSON_TEXT}, {cJSON_Array, JSON_ARRAY}, {cJSON_Object, JSON_OBJECT}};
    for (size_t i = 0; v && i < COUNT_OF(kinds); i++)
        if ((node(v)->type & 0xFF) == kinds[i].cjson)
            return kinds[i].kind;
    return JSON_ABSENT;
}

const struct json *json_get(const struct json *object, const char *key)
{
    return json_kind_of(object) == JSON_OBJECT ? view(cJSON_GetObjectItemCaseSensitive(node(object), key)) : NULL;
}

const struct json *json_next(const struct json *array, const struct json *before)
{
    if (json_kind_of(array) != JSON_ARRAY)
        return NULL;
    return view(before ? node(before)->next : node(array)->child);
}

bool json_to_text(const struct json *v, char *out, size_t cap)
{
    size_t len = json_kind_of(v) == JSON_TEXT ? strlen(node(v)->valuestring) : cap;
    if (len >= cap)
        return false;
    memcpy(out, node(v)->valuestring, len + 1);
    return true;
}

static bool whole(const struct json *v, double *out)
{
    if (json_kind_of(v) != JSON_NUMBER)
        return false;
    *out = node(v)->valuedouble;
    return *out >= -WHOLE_MAX && *out <= WHOLE_MAX && *out == (double)(int64_t)*out;
}

bool json_to_u64(const struct json *v, uint64_t *out)
{
    double d = 0;
    if (!whole(v, &d) || d < 0)
        return false;
    *out = (uint64_t)d;
    return true;
}

bool json_to_i64(const struct json *v, int64_t *out)
{
    double d = 0;
    if (!whole(v, &d))
        return false;
    *out = (int64_t)d;
    return true;
}

bool json_to_bool(const struct json *v, bool *out)
{
    if (json_kind_of(v) != JSON_BOOL)
        return false;
    *out = cJSON_IsTrue(node(v));
    return true;
}

const char *json_text_at(const struct json *object, const char *key, char *out, size_t cap)
{
    out[0] = 0;
    (void)json_to_text(json_get(object, key), out, cap);
    return out;
}

uint64_t json_number_at(const struct json *object, const char *key)
{
    uint64_t n = 0;
    return json_to_u64(json_get(object, key), &n) ? n : 0;
}

bool json_is_true_at(const struct json *object, const char *key)
{
    bool is = false;
    return json_to_bool(json_get(object, key), &is) && is;
}
