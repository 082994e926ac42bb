/* grpc_frame: the length-prefixed messages inside a gRPC stream, in and out. Pure and incremental.
 *
 * Layer    format.                                    Blocks   never.
 * Owner    the caller; data views point into `in`.    Memory   struct grpc_deframer, no message is gathered here.
 * Errors   E_PROTOCOL a flag byte other than 0 and 1; E_UNSUPPORTED a compressed message (we send no grpc-accept-encoding);
 *          E_RANGE a message longer than bytes_max. Sticky: the stream is to be reset.
 * Source   grpc/doc/PROTOCOL-HTTP2.md: Length-Prefixed-Message = Compressed-Flag (1 byte) Message-Length (4, big-endian) Message.
 */
#ifndef HOLDFAST_GRPC_FRAME_H
#define HOLDFAST_GRPC_FRAME_H

#include "board/rt/err.h"

#define GRPC_PREFIX_BYTES 5

struct grpc_deframer {
    uint8_t prefix[GRPC_PREFIX_BYTES];
    unsigned prefix_len; /* of the prefix being gathered */
    bool inside;         /* a message: `left` bytes of it are to come */
    uint32_t left;
    uint32_t bytes_max;
    err error;
};

struct grpc_piece {
    bool begins;     /* a message of `length` bytes begins with this piece */
    bool ends;       /* and this piece is its last; both for a message within one piece, also an empty one */
    uint32_t length; /* of the whole message; valid when begins */
    struct bytes data;
};

void grpc_deframe_start(struct grpc_deframer *d, uint32_t bytes_max);
/* Consumes *used bytes of `in` and gives at most one piece; *got tells whether there is one. Call until *used is in.len and
 * !*got. */
MUST_USE err grpc_deframe(struct grpc_deframer *d, struct bytes in, size_t *used, struct grpc_piece *piece, bool *got);
bool grpc_deframe_is_between(const struct grpc_deframer *d);       /* the stream may end here: no message or prefix is cut */
void grpc_prefix(uint32_t length, uint8_t out[GRPC_PREFIX_BYTES]); /* uncompressed */

#endif
