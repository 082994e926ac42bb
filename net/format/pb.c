#include "net/format/pb.h"

#include "board/rt/text.h"

#include <string.h>

/* --- reading --- */

struct pb_reader pb_read(struct bytes message)
{
    return (struct pb_reader){.rest = message};
}

err pb_varint(struct bytes in, uint64_t *value, size_t *used)
{
    uint64_t v = 0;
    for (size_t i = 0; i < in.len && i < PB_VARINT_MAX; i++) {
        uint8_t byte = in.at[i];
        if (i == PB_VARINT_MAX - 1 && byte > 1)
            return E_PROTOCOL; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *value = v;
            *used = i + 1;
            return OK;
        }
    }
    return E_PROTOCOL; /* cut, or an eleventh byte */
}

static void skip(struct bytes *b, size_t n)
{
    if (n > 0)
        *b = (struct bytes){b->at + n, b->len - n};
}

static err take_varint(struct bytes *rest, uint64_t *value)
{
    size_t used = 0;
    TRY(pb_varint(*rest, value, &used));
    skip(rest, used);
    return OK;
}

static err take_fixed(struct bytes *rest, unsigned width, uint64_t *value)
{
    if (rest->len < width)
        return E_PROTOCOL;
    for (unsigned i = 0; i < width; i++)
        *value |= (uint64_t)rest->at[i] << (8 * i);
    skip(rest, width);
    return OK;
}

static err take_bytes(struct bytes *rest, struct bytes *out)
{
    uint64_t len = 0;
    TRY(take_varint(rest, &len));
    if (len > rest->len)
        return E_PROTOCOL;
    *out = (struct bytes){rest->at, (size_t)len};
    skip(rest, (size_t)len);
    return OK;
}

static err take_field(struct bytes *rest, struct pb_field *out)
{
    uint64_t tag = 0;
    TRY(take_varint(rest, &tag));
    if (tag >> 3 == 0 || tag >> 3 > PB_NUMBER_MAX)
        return E_PROTOCOL;
    out->number = (uint32_t)(tag >> 3);
    out->wire = (enum pb_wire)(tag & 7);
    switch (out->wire) {
    case PB_VARINT:
        return take_varint(rest, &out->value);
    case PB_FIXED64:
        return take_fixed(rest, 8, &out->value);
    case PB_BYTES:
        return take_bytes(rest, &out->bytes);
    case PB_FIXED32:
        return take_fixed(rest, 4, &out->value);
    default: /* 3, 4: groups; 6, 7: not assigned */
        return E_PROTOCOL;
    }
}

bool pb_next(struct pb_reader *r, struct pb_field *out)
{
    *out = (struct pb_field){0};
    if (r->error != OK || r->rest.len == 0)
        return false;
    r->error = take_field(&r->rest, out);
    return r->error == OK;
}

static uint64_t value_as(struct pb_reader *r, const struct pb_field *f, bool fits)
{
    if (fits)
        return f->value;
    if (r->error == OK)
        r->error = E_PROTOCOL;
    return 0;
}

uint64_t pb_u64(struct pb_reader *r, const struct pb_field *f)
{
    return value_as(r, f, f->wire == PB_VARINT);
}

int64_t pb_i64(struct pb_reader *r, const struct pb_field *f)
{
    return (int64_t)pb_u64(r, f);
}

int64_t pb_sint(struct pb_reader *r, const struct pb_field *f)
{
    uint64_t v = pb_u64(r, f);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

bool pb_bool(struct pb_reader *r, const struct pb_field *f)
{
    return pb_u64(r, f) != 0;
}

uint64_t pb_fixed(struct pb_reader *r, const struct pb_field *f)
{
    return value_as(r, f, f->wire == PB_FIXED32 || f->wire == PB_FIXED64);
}

struct bytes pb_bytes(struct pb_reader *r, const struct pb_field *f)
{
    (void)value_as(r, f, f->wire == PB_BYTES);
    return f->bytes;
}

void pb_text(struct pb_reader *r, const struct pb_field *f, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    text_add_bytes(&t, pb_bytes(r, f));
}

/* --- writing --- */

struct pb_writer pb_write_over(void *storage, size_t cap)
{
    return (struct pb_writer){.at = storage, .cap = cap};
}

static uint8_t *make_room(struct pb_writer *w, size_t n)
{
    if (w->overflow || n > w->cap - w->len) {
        w->overflow = true;
        return NULL;
    }
    w->len += n;
    return w->at + w->len - n;
}

static size_t varint_bytes(uint64_t value)
{
    size_t n = 1;
    for (; value >= 0x80; value >>= 7)
        n++;
    return n;
}

static void store_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
}

static void put_varint(struct pb_writer *w, uint64_t value)
{
    uint8_t *at = make_room(w, varint_bytes(value));
    if (at != NULL)
        store_varint(at, value);
}

static void put_tag(struct pb_writer *w, uint32_t number, enum pb_wire wire)
{
    ASSERT(number > 0 && number <= PB_NUMBER_MAX);
    put_varint(w, (uint64_t)number << 3 | (unsigned)wire);
}

static void put_fixed(struct pb_writer *w, uint64_t value, unsigned width)
{
    uint8_t *at = make_room(w, width);
    for (unsigned i = 0; at != NULL && i < width; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void pb_put_u64(struct pb_writer *w, uint32_t number, uint64_t value)
{
    put_tag(w, number, PB_VARINT);
    put_varint(w, value);
}

void pb_put_i64(struct pb_writer *w, uint32_t number, int64_t value)
{
    pb_put_u64(w, number, (uint64_t)value);
}

void pb_put_sint(struct pb_writer *w, uint32_t number, int64_t value)
{
    pb_put_u64(w, number, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void pb_put_bool(struct pb_writer *w, uint32_t number, bool value)
{
    pb_put_u64(w, number, value ? 1 : 0);
}

void pb_put_fixed32(struct pb_writer *w, uint32_t number, uint32_t value)
{
    put_tag(w, number, PB_FIXED32);
    put_fixed(w, value, 4);
}

void pb_put_fixed64(struct pb_writer *w, uint32_t number, uint64_t value)
{
    put_tag(w, number, PB_FIXED64);
    put_fixed(w, value, 8);
}

void pb_put_bytes(struct pb_writer *w, uint32_t number, struct bytes value)
{
    put_tag(w, number, PB_BYTES);
    put_varint(w, value.len);
    uint8_t *at = make_room(w, value.len);
    if (at != NULL && value.len > 0)
        memcpy(at, value.at, value.len);
}

void pb_put_text(struct pb_writer *w, uint32_t number, const char *value)
{
    pb_put_bytes(w, number, (struct bytes){(const uint8_t *)value, strlen(value)});
}

size_t pb_begin(struct pb_writer *w, uint32_t number)
{
    put_tag(w, number, PB_BYTES);
    (void)make_room(w, 1); /* the length of most fits in one byte; pb_end() moves the others */
    return w->len;
}

void pb_end(struct pb_writer *w, size_t mark)
{
    if (w->overflow)
        return;
    ASSERT(mark >= 1 && mark <= w->len);
    size_t len = w->len - mark, extra = varint_bytes(len) - 1;
    if (extra > 0 && make_room(w, extra) == NULL)
        return;
    memmove(w->at + mark + extra, w->at + mark, len);
    store_varint(w->at + mark - 1, len);
}

err pb_written(const struct pb_writer *w, struct bytes *out)
{
    if (w->overflow)
        return E_RANGE;
    *out = (struct bytes){w->at, w->len};
    return OK;
}
