/* zone_file: TZif (RFC 8536, RFC 9636). Version 1 has one block with 32-bit times; later ones a second with 64-bit times and,
 * behind it, the rule that holds after the last transition. */
#include "net/format/zone.h"

#include <string.h>

#define HEADER_BYTES 44
#define TYPE_BYTES   6                    /* 4 offset, 1 is-summer, 1 name */
#define KEPT_FROM_S  ((int64_t)946684800) /* 2000-01-01 */
#define OFFSET_MIN_S (-25 * 3600 + 1)     /* RFC 8536, 3.2: more than -25 h, less than 26 h */
#define OFFSET_MAX_S (26 * 3600 - 1)

static uint64_t big_endian(const uint8_t *at, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | at[i];
    return n;
}

static int64_t signed_time(const uint8_t *at, size_t bytes)
{
    return bytes == 8 ? (int64_t)big_endian(at, 8) : (int32_t)(uint32_t)big_endian(at, 4);
}

/* A block: its counts in the order of the header, and where its parts are. */
struct block {
    uint8_t version;
    size_t time_bytes;
    uint32_t utc_count, standard_count, leap_count, time_count, type_count, char_count;
    const uint8_t *times, *indexes, *types;
    size_t bytes; /* with the header */
};

static bool header_read(struct bytes in, size_t time_bytes, struct block *b)
{
    if (in.len < HEADER_BYTES || memcmp(in.at, "TZif", 4) != 0)
        return false;
    uint32_t *counts[] = {&b->utc_count, &b->standard_count, &b->leap_count, &b->time_count, &b->type_count, &b->char_count};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        *counts[i] = (uint32_t)big_endian(in.at + 20 + 4 * i, 4);
    b->version = in.at[4];
    b->time_bytes = time_bytes;
    uint64_t bytes = HEADER_BYTES + (uint64_t)b->time_count * (time_bytes + 1) + (uint64_t)b->type_count * TYPE_BYTES +
                     b->char_count + (uint64_t)b->leap_count * (time_bytes + 4) + b->standard_count + b->utc_count;
    if (bytes > in.len)
        return false;
    b->bytes = (size_t)bytes;
    b->times = in.at + HEADER_BYTES;
    b->indexes = b->times + b->time_count * time_bytes;
    b->types = b->indexes + b->time_count;
    return true;
}

/* The parts we use are whole and in order. Leap seconds are for clocks that count them: ours does not. */
static bool block_is_sound(const struct block *b)
{
    if (b->type_count == 0 || b->type_count > 256 || b->char_count == 0 || b->leap_count != 0)
        return false;
    for (uint32_t i = 0; i < b->type_count; i++) {
        int64_t offset = signed_time(b->types + i * TYPE_BYTES, 4);
        if (offset < OFFSET_MIN_S || offset > OFFSET_MAX_S || b->types[i * TYPE_BYTES + 4] > 1)
            return false;
    }
    for (uint32_t i = 0; i < b->time_count; i++) {
        const uint8_t *at = b->times + i * b->time_bytes;
        if (b->indexes[i] >= b->type_count)
            return false;
        if (i > 0 && signed_time(at, b->time_bytes) <= signed_time(at - b->time_bytes, b->time_bytes))
            return false;
    }
    return true;
}

static int32_t type_offset_s(const struct block *b, uint32_t type)
{
    return (int32_t)signed_time(b->types + type * TYPE_BYTES, 4);
}

static err transitions_read(const struct block *b, struct zone *out)
{
    int32_t offset = type_offset_s(b, 0); /* RFC 8536, 3.2: before the first transition */
    out->first_s = offset;
    for (uint32_t i = 0; i < b->time_count; i++) {
        int64_t at_s = signed_time(b->times + i * b->time_bytes, b->time_bytes);
        offset = type_offset_s(b, b->indexes[i]);
        if (at_s < KEPT_FROM_S) {
            out->first_s = offset;
            continue;
        }
        if (out->transition_count == ZONE_TRANSITIONS_MAX)
            return E_RANGE;
        out->transitions[out->transition_count].at_s = at_s;
        out->transitions[out->transition_count++].offset_s = offset;
    }
    out->standard_s = offset; /* until a rule says more */
    return OK;
}

/* A line feed, the rule or nothing, a line feed. */
static err footer_read(struct bytes in, struct zone *out)
{
    const uint8_t *end = in.len > 1 && in.at[0] == '\n' ? memchr(in.at + 1, '\n', in.len - 1) : NULL;
    if (!end)
        return E_INVALID;
    struct bytes text = {in.at + 1, (size_t)(end - in.at) - 1};
    struct zone rule;
    if (text.len == 0)
        return OK; /* nothing is known: the last offset stays */
    TRY(zone_from_posix(text, &rule));
    out->standard_s = rule.standard_s;
    out->summer_s = rule.summer_s;
    out->has_summer = rule.has_summer;
    out->begin = rule.begin;
    out->end = rule.end;
    return OK;
}

static err file_read(struct bytes tzif, struct zone *out)
{
    struct block b = {0};
    if (!header_read(tzif, 4, &b) || (b.version != 0 && (b.version < '2' || b.version > '4')))
        return E_INVALID;
    struct bytes rest = {tzif.at + b.bytes, tzif.len - b.bytes};
    bool has_second = b.version != 0;
    if (has_second) {
        uint8_t version = b.version;
        if (!header_read(rest, 8, &b) || b.version != version)
            return E_INVALID;
        rest = (struct bytes){rest.at + b.bytes, rest.len - b.bytes};
    }
    if (!block_is_sound(&b))
        return E_INVALID;
    TRY(transitions_read(&b, out));
    return has_second ? footer_read(rest, out) : OK;
}

err zone_from_file(struct bytes tzif, struct zone *out)
{
    *out = zone_utc;
    err e = tzif.len > ZONE_FILE_BYTES_MAX ? E_RANGE : file_read(tzif, out);
    if (e != OK)
        *out = zone_utc;
    return e;
}
