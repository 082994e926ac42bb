#include "net/format/json_write.h"

#include "board/rt/utf8.h"

#include <string.h>

struct json_writer json_write_to(struct text *out)
{
    return (struct json_writer){.out = out};
}

struct json_writer json_write_as_go(struct text *out)
{
    return (struct json_writer){.out = out, .as_go = true};
}

static uint32_t level_bit(const struct json_writer *w)
{
    return 1u << (w->depth - 1);
}

static bool in_object(const struct json_writer *w)
{
    return w->depth > 0 && (w->in_object & level_bit(w)) != 0;
}

static void separate(struct json_writer *w)
{
    if (w->depth == 0)
        return;
    if ((w->has_items & level_bit(w)) != 0)
        text_add_char(w->out, ',');
    w->has_items |= level_bit(w);
}

/* Before any value. */
static void begin_value(struct json_writer *w)
{
    ASSERT(!w->complete);
    ASSERT(in_object(w) == w->keyed);
    if (!w->keyed)
        separate(w);
    w->keyed = false;
    w->complete = w->depth == 0;
}

#define BIT(c) ((uint64_t)1 << ((c) % 64))

/* Which bytes stand for themselves, a bit each: in Go's form, and else. */
static const uint64_t plain[2][4] = {
    {~(uint64_t)UINT32_MAX & ~BIT('"'), ~BIT('\\')},
    {~(uint64_t)UINT32_MAX & ~(BIT('"') | BIT('<') | BIT('>') | BIT('&')), ~BIT('\\')},
};

static void put_escaped(struct text *t, uint8_t c)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* RFC 8259 7: byte, letter */
    static const char hex[] = "0123456789abcdef";
    for (const char *s = short_forms; *s != 0; s += 2) {
        if ((uint8_t)*s == c) {
            text_add_bytes(t, (struct bytes){(const uint8_t[]){'\\', (uint8_t)s[1]}, 2});
            return;
        }
    }
    text_add(t, "\\u00");
    text_add_char(t, hex[c >> 4]);
    text_add_char(t, hex[c & 0xF]);
}

/* What is not plain ASCII; how many bytes it was. */
static size_t put_character(struct json_writer *w, struct bytes value)
{
    size_t n = utf8_char(value);
    if (n == 0)
        text_add(w->out, w->as_go ? "\\ufffd" : "\xEF\xBF\xBD"); /* U+FFFD */
    else if (n == 1)
        put_escaped(w->out, value.at[0]);
    else if (w->as_go && n == 3 && value.at[0] == 0xE2 && value.at[1] == 0x80 && (value.at[2] & 0xFE) == 0xA8)
        text_add(w->out, value.at[2] == 0xA8 ? "\\u2028" : "\\u2029"); /* line ends to JavaScript */
    else
        text_add_bytes(w->out, (struct bytes){value.at, n});
    return size_max(n, 1);
}

/* The plain bytes it begins with, and how many they are, in one go: texts are short, and there are many of them. */
static size_t put_plain(struct json_writer *w, struct bytes value)
{
    struct text *t = w->out;
    const uint64_t *is_plain = plain[w->as_go];
    size_t n = 0, most = size_min(value.len, t->cap - 1 - t->len);
    for (char *to = t->at + t->len; n < most && (is_plain[value.at[n] / 64] >> value.at[n] % 64 & 1) != 0; n++)
        to[n] = (char)value.at[n];
    t->len += n;
    t->at[t->len] = 0;
    return n;
}

static void put_string(struct json_writer *w, struct bytes value)
{
    text_add_char(w->out, '"');
    while (value.len > 0 && !w->out->cut) {
        value = bytes_after(value, put_plain(w, value));
        if (value.len > 0)
            value = bytes_after(value, put_character(w, value));
    }
    text_add_char(w->out, '"');
}

static void open_level(struct json_writer *w, char bracket, bool is_object)
{
    begin_value(w);
    ASSERT(w->depth < JSON_DEPTH_MAX);
    w->complete = false;
    w->depth++;
    w->has_items &= ~level_bit(w);
    w->in_object = is_object ? w->in_object | level_bit(w) : w->in_object & ~level_bit(w);
    text_add_char(w->out, bracket);
}

static void close_level(struct json_writer *w, char bracket, bool is_object)
{
    ASSERT(w->depth > 0 && !w->keyed && in_object(w) == is_object);
    text_add_char(w->out, bracket);
    w->depth--;
    w->complete = w->depth == 0;
}

void json_object(struct json_writer *w)
{
    open_level(w, '{', true);
}

void json_object_end(struct json_writer *w)
{
    close_level(w, '}', true);
}

void json_array(struct json_writer *w)
{
    open_level(w, '[', false);
}

void json_array_end(struct json_writer *w)
{
    close_level(w, ']', false);
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_bytes(w, bytes_of(key));
}

void json_key_bytes(struct json_writer *w, struct bytes key)
{
    ASSERT(in_object(w) && !w->keyed);
    separate(w);
    put_string(w, key);
    text_add_char(w->out, ':');
    w->keyed = true;
}

void json_bytes(struct json_writer *w, struct bytes value)
{
    begin_value(w);
    put_string(w, value);
}

void json_text(struct json_writer *w, const char *value)
{
    if (value == NULL)
        json_null(w);
    else
        json_bytes(w, bytes_of(value));
}

void json_u64(struct json_writer *w, uint64_t value)
{
    begin_value(w);
    text_add_u64(w->out, value, 1);
}

void json_i64(struct json_writer *w, int64_t value)
{
    begin_value(w);
    if (value < 0)
        text_add_char(w->out, '-');
    text_add_u64(w->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

void json_bool(struct json_writer *w, bool value)
{
    begin_value(w);
    text_add(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    begin_value(w);
    text_add(w->out, "null");
}

void json_raw(struct json_writer *w, struct bytes value)
{
    begin_value(w);
    text_add_bytes(w->out, value);
}

void json_put_text(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_text(w, value);
}

void json_put_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_u64(w, value);
}

void json_put_i64(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_i64(w, value);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

bool json_done(const struct json_writer *w)
{
    return w->complete && !w->out->cut;
}
