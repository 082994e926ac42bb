/* Fuzzes zstd streams: the first byte chooses. Even: the rest is decompressed at once and in steps, which must tell the same;
 * odd: it is compressed in steps and must return. */
#include "net/format/zstd.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define WINDOW_LOG 17
#define OUT_MAX    KIB(256) /* a few bytes can become any number: no more of them is looked at */

static uint8_t whole[OUT_MAX], slow[OUT_MAX], packed[OUT_MAX];

struct result {
    err e;
    bool done, between;
    size_t len;
};

static struct result decode_by(struct bytes in, size_t in_step, size_t out_step, uint8_t *out)
{
    struct result r = {.e = OK};
    struct zstd_decoder *z = NULL;
    err opened = zstd_decoder_open(WINDOW_LOG, &z);
    ASSERT(opened == OK);
    while (r.e == OK && !r.done && r.len < OUT_MAX) {
        struct bytes piece = {in.at, size_min(in_step, in.len)};
        size_t made = 0, given = piece.len, room = size_min(out_step, OUT_MAX - r.len);
        r.e = zstd_decode(z, &piece, out + r.len, room, &made, given == in.len, &r.done);
        ASSERT(made <= room && piece.len <= given && piece.at + piece.len == in.at + given);
        ASSERT(r.e != OK || r.done || made > 0 || piece.len < given);
        in = (struct bytes){in.at + (given - piece.len), in.len - (given - piece.len)};
        r.len += made;
    }
    r.between = zstd_decoder_is_between_frames(z);
    ASSERT(!r.done || r.between);
    zstd_decoder_close(z);
    trail_clear();
    return r;
}

static void decode_try(struct bytes in, size_t step)
{
    struct result a = decode_by(in, size_max(in.len, 1), OUT_MAX, whole),
                  b = decode_by(in, step, size_min(OUT_MAX, step * 64), slow);
    ASSERT(a.e != E_BUDGET && a.e != E_USAGE);
    bool one = a.e == OK && a.done, other = b.e == OK && b.done;
    if (one && other)
        ASSERT(b.len == a.len && memcmp(whole, slow, a.len) == 0);
    else if (one || other) /* libzstd takes an empty RLE block in one way and not in the other: then nothing came of either */
        ASSERT(a.len == 0 && b.len == 0);
}

static void encode_try(struct bytes in, int level, size_t step)
{
    struct zstd_encoder *z = NULL;
    size_t total = 0;
    bool done = false;
    err opened = zstd_encoder_open(level, WINDOW_LOG, &z);
    ASSERT(opened == OK);
    for (struct bytes rest = in; !done;) {
        struct bytes piece = {rest.at, size_min(step, rest.len)};
        size_t made = 0, given = piece.len;
        err e = zstd_encode(z, &piece, packed + total, size_min(step, OUT_MAX - total), &made, given == rest.len, &done);
        ASSERT(e == OK && (done || made > 0 || piece.len < given));
        rest = (struct bytes){rest.at + (given - piece.len), rest.len - (given - piece.len)};
        total += made;
    }
    zstd_encoder_close(z);
    struct result r = decode_by((struct bytes){packed, total}, step, OUT_MAX, whole);
    ASSERT(r.e == OK && r.done && r.len == in.len && (in.len == 0 || memcmp(whole, in.at, in.len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > KIB(64))
        return 0;
    struct bytes in = {data + 1, size - 1};
    size_t step = (size_t)(data[0] >> 3) + 1;
    if ((data[0] & 1) == 0)
        decode_try(in, step);
    else
        encode_try(in, 1 + (data[0] >> 1) % 3, step);
    return 0;
}
