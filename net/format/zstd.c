#define ZSTD_STATIC_LINKING_ONLY /* contexts in a block of ours, and how large they become */
#include "net/format/zstd.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* The library's context follows the struct in the same block, aligned as it asks (zstd.h: 8). */
#define CONTEXT_ALIGN 64

struct zstd_encoder {
    ZSTD_CCtx *context;
    bool ending, done;
};

struct zstd_decoder {
    ZSTD_DCtx *context;
    unsigned window_log_max;
    bool any, between, flushed;             /* a frame began; none is open; nothing waits for room */
    uint8_t head[ZSTD_FRAMEHEADERSIZE_MAX]; /* of the open frame, to tell its window */
    size_t head_len;
    uint64_t made; /* of its content */
};

#define ENCODER_HEAD_BYTES size_round_up(sizeof(struct zstd_encoder), CONTEXT_ALIGN)
#define DECODER_HEAD_BYTES size_round_up(sizeof(struct zstd_decoder), CONTEXT_ALIGN)

/* The library's own numbers for an unknown length, with the window asked for: windows of 2^19 (level 1) to 2^21 (level 3) are
 * what they are made for, so hash tables of a smaller window shrink with it. */
static ZSTD_compressionParameters parameters_of(int level, unsigned window_log)
{
    ASSERT(level >= ZSTD_LEVEL_MIN && level <= ZSTD_LEVEL_MAX);
    ASSERT(window_log >= ZSTD_WINDOW_LOG_MIN && window_log <= ZSTD_ENCODE_LOG_MAX);
    ZSTD_compressionParameters p = ZSTD_getCParams(level, 0, 0);
    p.windowLog = window_log;
    p = ZSTD_adjustCParams(p, 0, 0);
    ASSERT(p.strategy == ZSTD_fast || p.strategy == ZSTD_dfast);
    return p;
}

size_t zstd_encoder_bytes(int level, unsigned window_log)
{
    size_t context = ZSTD_estimateCStreamSize_usingCParams(parameters_of(level, window_log));
    ASSERT(!ZSTD_isError(context));
    return ENCODER_HEAD_BYTES + context;
}

static err encoder_set(ZSTD_CCtx *context, int level, unsigned window_log)
{
    ZSTD_compressionParameters p = parameters_of(level, window_log);
    const struct {
        ZSTD_cParameter name;
        int value;
    } all[] = {
        {ZSTD_c_windowLog, (int)p.windowLog}, {ZSTD_c_hashLog, (int)p.hashLog},   {ZSTD_c_chainLog, (int)p.chainLog},
        {ZSTD_c_searchLog, (int)p.searchLog}, {ZSTD_c_minMatch, (int)p.minMatch}, {ZSTD_c_targetLength, (int)p.targetLength},
        {ZSTD_c_strategy, (int)p.strategy},   {ZSTD_c_checksumFlag, 1},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        size_t r = ZSTD_CCtx_setParameter(context, all[i].name, all[i].value);
        if (ZSTD_isError(r))
            return trail(E_UNSUPPORTED, "preparing to compress: %s", ZSTD_getErrorName(r));
    }
    return OK;
}

err zstd_encoder_open(int level, unsigned window_log, struct zstd_encoder **out)
{
    size_t bytes = zstd_encoder_bytes(level, window_log);
    struct zstd_encoder *z = aligned_alloc(CONTEXT_ALIGN, size_round_up(bytes, CONTEXT_ALIGN));
    *out = NULL;
    if (z == NULL)
        return trail(E_BUDGET, "compressing wants %zu KiB", bytes / 1024);
    *z = (struct zstd_encoder){.context = ZSTD_initStaticCCtx((uint8_t *)z + ENCODER_HEAD_BYTES, bytes - ENCODER_HEAD_BYTES)};
    ASSERT(z->context != NULL); /* the library's own estimate */
    err e = encoder_set(z->context, level, window_log);
    if (e != OK) {
        zstd_encoder_close(z);
        return e;
    }
    *out = z;
    return OK;
}

err zstd_encode(struct zstd_encoder *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    ZSTD_inBuffer from = {in->at, in->len, 0};
    ZSTD_outBuffer to = {out, cap, 0};
    ASSERT(!z->ending || end);
    z->ending = end;
    for (bool more = !z->done; more;) {
        size_t left = ZSTD_compressStream2(z->context, &to, &from, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return trail(E_UNSUPPORTED, "compressing: %s", ZSTD_getErrorName(left));
        z->done = end && left == 0;
        more = !z->done && to.pos < to.size && (end || from.pos < from.size);
    }
    *in = bytes_after(*in, from.pos);
    *made = to.pos;
    *done = z->done;
    return OK;
}

void zstd_encoder_close(struct zstd_encoder *z)
{
    free(z);
}

/* --- decompressing --- */

size_t zstd_decoder_bytes(unsigned window_log_max)
{
    ASSERT(window_log_max >= ZSTD_WINDOW_LOG_MIN && window_log_max <= ZSTD_DECODE_LOG_MAX);
    return DECODER_HEAD_BYTES + ZSTD_estimateDStreamSize((size_t)1 << window_log_max);
}

err zstd_decoder_open(unsigned window_log_max, struct zstd_decoder **out)
{
    size_t bytes = zstd_decoder_bytes(window_log_max);
    struct zstd_decoder *z = aligned_alloc(CONTEXT_ALIGN, size_round_up(bytes, CONTEXT_ALIGN));
    *out = NULL;
    if (z == NULL)
        return trail(E_BUDGET, "decompressing wants %zu KiB", bytes / 1024);
    *z = (struct zstd_decoder){.window_log_max = window_log_max, .between = true, .flushed = true};
    z->context = ZSTD_initStaticDCtx((uint8_t *)z + DECODER_HEAD_BYTES, bytes - DECODER_HEAD_BYTES);
    ASSERT(z->context != NULL); /* the library's own estimate */
    size_t r = ZSTD_DCtx_setParameter(z->context, ZSTD_d_windowLogMax, (int)window_log_max);
    ASSERT(!ZSTD_isError(r)); /* the bound is asserted above */
    *out = z;
    return OK;
}

static err window_tell(const struct zstd_decoder *z)
{
    ZSTD_frameHeader h = {0};
    if (ZSTD_getFrameHeader(&h, z->head, z->head_len) != 0)
        return trail(E_RANGE, "decompressing: the window is larger than %u KiB", 1u << (z->window_log_max - 10));
    return trail(E_RANGE,
                 "decompressing: a window of %llu KiB is wanted, %u KiB is the most here; compress with `zstd --long=%u` or less",
                 (h.windowSize + 1023) / 1024, 1u << (z->window_log_max - 10), z->window_log_max);
}

static err decoder_tell(const struct zstd_decoder *z, size_t r)
{
    switch ((int)ZSTD_getErrorCode(r)) {
    case ZSTD_error_frameParameter_windowTooLarge:
        return window_tell(z);
    case ZSTD_error_prefix_unknown:
        return trail(E_CORRUPT, "decompressing: %s", z->any ? "something else follows the zstd frames" : "this is no zstd file");
    case ZSTD_error_dictionary_wrong:
        return trail(E_UNSUPPORTED, "decompressing: a dictionary is wanted");
    case ZSTD_error_frameParameter_unsupported:
        return trail(E_UNSUPPORTED, "decompressing: %s", ZSTD_getErrorName(r));
    default:
        return trail(E_CORRUPT, "decompressing: %s", ZSTD_getErrorName(r));
    }
}

/* Read in steps, the library takes a frame whose last block is empty for whole, however much it should hold. */
static err frame_end(struct zstd_decoder *z)
{
    ZSTD_frameHeader h = {0};
    uint64_t made = z->made;
    bool known = ZSTD_getFrameHeader(&h, z->head, z->head_len) == 0 && h.frameType == ZSTD_frame &&
                 h.frameContentSize != ZSTD_CONTENTSIZE_UNKNOWN;
    z->head_len = 0;
    z->made = 0;
    return !known || made == h.frameContentSize ? OK : trail(E_CORRUPT, "decompressing: less content than the frame tells");
}

/* One call of the library: up to the end of a frame, of the input or of the room. */
static err decode_some(struct zstd_decoder *z, ZSTD_inBuffer *from, ZSTD_outBuffer *to)
{
    size_t kept = z->head_len, begin = from->pos, full = to->pos;
    for (size_t i = begin; i < from->size && z->head_len < sizeof z->head; i++)
        z->head[z->head_len++] = ((const uint8_t *)from->src)[i];
    size_t r = ZSTD_decompressStream(z->context, to, from);
    if (ZSTD_isError(r))
        return decoder_tell(z, r);
    z->between = r == 0;
    z->any = true;
    z->flushed = r == 0 || to->pos < to->size;
    z->made += to->pos - full;
    if (r == 0)
        return frame_end(z);
    z->head_len = size_min(sizeof z->head, kept + (from->pos - begin));
    return OK;
}

err zstd_decode(struct zstd_decoder *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done)
{
    ZSTD_inBuffer from = {in->at, in->len, 0};
    ZSTD_outBuffer to = {out, cap, 0};
    err e = OK;
    while (e == OK && to.pos < to.size && (from.pos < from.size || !z->flushed))
        e = decode_some(z, &from, &to);
    *in = bytes_after(*in, from.pos);
    *made = e == OK ? to.pos : 0;
    *done = e == OK && end && from.pos == from.size && z->flushed && z->any && z->between;
    if (e == OK && end && from.pos == from.size && z->flushed && !*done)
        return trail(E_CORRUPT, "decompressing: %s", z->any ? "cut off inside a frame" : "nothing there, not even a frame");
    return e;
}

bool zstd_decoder_is_between_frames(const struct zstd_decoder *z)
{
    return z->between;
}

void zstd_decoder_close(struct zstd_decoder *z)
{
    free(z);
}
