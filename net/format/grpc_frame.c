#include "net/format/grpc_frame.h"

#include <string.h>

void grpc_deframe_start(struct grpc_deframer *d, uint32_t bytes_max)
{
    *d = (struct grpc_deframer){.bytes_max = bytes_max};
}

static err prefix_done(struct grpc_deframer *d, struct grpc_piece *piece)
{
    const uint8_t *p = d->prefix;
    uint32_t length = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] > 1)
        return E_PROTOCOL;
    if (p[0] == 1)
        return E_UNSUPPORTED;
    if (length > d->bytes_max)
        return E_RANGE;
    d->prefix_len = 0;
    d->left = length;
    d->inside = true;
    piece->begins = true;
    piece->length = length;
    return OK;
}

static void gather_prefix(struct grpc_deframer *d, struct bytes in, size_t *used)
{
    size_t n = size_min(GRPC_PREFIX_BYTES - d->prefix_len, in.len);
    if (n > 0)
        memcpy(d->prefix + d->prefix_len, in.at, n);
    d->prefix_len += (unsigned)n;
    *used = n;
}

err grpc_deframe(struct grpc_deframer *d, struct bytes in, size_t *used, struct grpc_piece *piece, bool *got)
{
    *used = 0;
    *got = false;
    *piece = (struct grpc_piece){0};
    if (d->error != OK)
        return d->error;
    if (!d->inside) {
        gather_prefix(d, in, used);
        if (d->prefix_len < GRPC_PREFIX_BYTES)
            return OK;
        d->error = prefix_done(d, piece);
        if (d->error != OK)
            return d->error;
    }
    size_t n = size_min(d->left, in.len - *used);
    if (n > 0)
        piece->data = (struct bytes){in.at + *used, n};
    *used += n;
    d->left -= (uint32_t)n;
    piece->ends = d->left == 0;
    d->inside = d->left > 0;
    *got = piece->begins || n > 0;
    return OK;
}

bool grpc_deframe_is_between(const struct grpc_deframer *d)
{
    return d->error == OK && !d->inside && d->prefix_len == 0;
}

void grpc_prefix(uint32_t length, uint8_t out[GRPC_PREFIX_BYTES])
{
    out[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        out[1 + i] = (uint8_t)(length >> (24 - 8 * i));
}
