/* One record of bucket "key": its revision, and its value read in pieces. */
#include "net/format/etcd_db_inside.h"
#include "net/format/pb.h"

#include <string.h>

static int64_t read_be64(const uint8_t *at)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | at[i];
    return (int64_t)v;
}

bool revision_parse(struct bytes key, struct revision *out)
{
    *out = (struct revision){0};
    if ((key.len != 17 && key.len != 18) || key.at[8] != '_' || (key.len == 18 && key.at[17] != 't'))
        return false;
    *out = (struct revision){read_be64(key.at), read_be64(key.at + 9), key.len == 18};
    return out->main >= 0 && out->sub >= 0;
}

/* --- the fingerprint: 8 bytes at a time through a bijection, so that keys of one length differ wherever one word does; then
 * Murmur3's finalizer (public domain), and the length. The seed keeps a database from being made for collisions. --- */

static uint64_t rotate_left(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t mix_word(uint64_t h, uint64_t word)
{
    word = rotate_left(word * UINT64_C(0x87c37b91114253d5), 31) * UINT64_C(0x4cf5ad432745937f);
    return rotate_left(h ^ word, 27) * 5 + 0x52dce729;
}

static void key_read(struct record_reader *r, struct bytes piece)
{
    uint64_t n = r->key_bytes;
    for (; piece.len > 0; piece.at++, piece.len--, n++) {
        if (n % 8 == 0 && piece.len >= 8) {
            uint64_t word = bbolt_u64(piece.at);
            r->fingerprint = mix_word(r->fingerprint, word ^ r->seed);
            piece.at += 7;
            piece.len -= 7;
            n += 7;
            continue;
        }
        r->word |= (uint64_t)*piece.at << 8 * (n % 8);
        if (n % 8 == 7) {
            r->fingerprint = mix_word(r->fingerprint, r->word ^ r->seed);
            r->word = 0;
        }
    }
    r->key_bytes = n;
}

static void key_end(struct record_reader *r)
{
    uint64_t h = mix_word(r->fingerprint, r->word ^ r->seed) ^ r->key_bytes;
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    r->fingerprint = h != 0 ? h : 1; /* 0 is a free place in the table */
    r->key_done = true;
}

/* --- the message --- */

void record_start(struct record_reader *r, uint64_t total, uint64_t seed)
{
    *r = (struct record_reader){.total = total, .seed = seed, .fingerprint = UINT64_C(0x9ae16a3b2f90404f)};
}

static void skip_begin(struct record_reader *r, uint64_t bytes)
{
    if (bytes > r->total - r->at) {
        r->state = RECORD_BAD;
        return;
    }
    r->skip = bytes;
    r->state = bytes > 0 ? RECORD_SKIP : RECORD_TAG;
    if (bytes == 0 && r->field == 1)
        r->state = RECORD_BAD; /* etcd knows no empty key */
}

static void tag_end(struct record_reader *r, uint64_t tag)
{
    static const uint8_t wires[7] = {0, PB_BYTES, PB_VARINT, PB_VARINT, PB_VARINT, PB_BYTES, PB_VARINT};
    unsigned wire = (unsigned)(tag & 7);
    uint64_t field = tag >> 3;
    bool known = field < COUNT_OF(wires);
    r->state = RECORD_BAD;
    if (field == 0 || field > PB_NUMBER_MAX || (known && wire != wires[field]) || (field == 1) == r->key_done)
        return;
    r->field = (uint32_t)field;
    if (wire == PB_VARINT)
        r->state = RECORD_NUMBER;
    else if (wire == PB_BYTES)
        r->state = RECORD_LENGTH;
    else if (wire == PB_FIXED64 || wire == PB_FIXED32)
        skip_begin(r, wire == PB_FIXED64 ? 8 : 4);
}

static void varint_byte(struct record_reader *r, uint8_t byte)
{
    r->at++;
    if (r->shift == 63 && byte > 1) { /* the tenth byte holds one bit */
        r->state = RECORD_BAD;
        return;
    }
    r->varint |= (uint64_t)(byte & 0x7f) << r->shift;
    r->shift += 7;
    if ((byte & 0x80) != 0)
        return;
    uint64_t value = r->varint;
    r->varint = 0;
    r->shift = 0;
    if (r->state == RECORD_TAG)
        tag_end(r, value);
    else if (r->state == RECORD_LENGTH)
        skip_begin(r, value);
    else
        r->state = RECORD_TAG;
}

static size_t skip_bytes(struct record_reader *r, struct bytes piece)
{
    size_t n = piece.len < r->skip ? piece.len : (size_t)r->skip;
    if (r->field == 1)
        key_read(r, (struct bytes){piece.at, n});
    r->skip -= n;
    r->at += n;
    if (r->skip > 0)
        return n;
    if (r->field == 1)
        key_end(r);
    r->state = RECORD_TAG;
    return n;
}

void record_read(struct record_reader *r, struct bytes piece)
{
    while (piece.len > 0 && r->state != RECORD_BAD) {
        size_t n = 1;
        if (r->state == RECORD_SKIP)
            n = skip_bytes(r, piece);
        else
            varint_byte(r, *piece.at);
        piece.at += n;
        piece.len -= n;
    }
}

bool record_good(const struct record_reader *r)
{
    return r->state == RECORD_TAG && r->shift == 0 && r->at == r->total && r->key_done;
}
