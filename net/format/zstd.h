/* zstd: compressing and decompressing streams (RFC 8878) in memory that is fixed when they are opened.
 *
 * Layer    format. The one place that knows zstd.   Blocks   never; large streams belong on the pool.
 * Owner    the caller closes. Not shared: one       Memory   one block of zstd_encoder_bytes() or zstd_decoder_bytes() of
 *          thread at a time, any thread.                     the opening task's heap; nothing is allocated later.
 * Errors   E_BUDGET no memory for the block; E_RANGE a frame needs a larger window than was opened for: the window is told;
 *          E_CORRUPT damage, with zstd's words; E_UNSUPPORTED a dictionary is wanted, or a bit that has no meaning yet.
 *          After an error only close() is of use.
 *
 * Both calls take from *in what they can, moving it, and write to out[0..cap): *made says how much. To go on, call again with
 * more input or more room; with nothing of either they do nothing. No byte is kept back beyond what the format needs. */
#ifndef HOLDFAST_ZSTD_H
#define HOLDFAST_ZSTD_H

#include "board/rt/err.h"

#define ZSTD_LEVEL_MIN      1
#define ZSTD_LEVEL_MAX      3 /* the strategies of higher levels are not built in */
#define ZSTD_WINDOW_LOG_MIN 10
#define ZSTD_ENCODE_LOG_MAX 20 /* a window of 1 MiB */
#define ZSTD_DECODE_LOG_MAX 27 /* 128 MiB, what `zstd -d` itself takes without --long; `zstd -3` writes 21 */

struct zstd_encoder;
size_t zstd_encoder_bytes(int level, unsigned window_log);
/* One frame with a checksum of the content (XXH64). Bounds as above, asserted. */
MUST_USE err zstd_encoder_open(int level, unsigned window_log, struct zstd_encoder **out);
/* `end`: nothing comes after *in; it then stays true, and *in only shrinks. *done: all is written, the frame is whole.
 */
MUST_USE err zstd_encode(struct zstd_encoder *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);
void zstd_encoder_close(struct zstd_encoder *z); /* NULL is fine */

struct zstd_decoder;
size_t zstd_decoder_bytes(unsigned window_log_max);
MUST_USE err zstd_decoder_open(unsigned window_log_max, struct zstd_decoder **out);
/* Frames in a row are one stream; skippable frames are skipped. With `end`, *done: all of *in is used and written, and the stream
 * ended where a frame does; one that ends inside a frame, or has none, is E_CORRUPT. Same shape as zstd_encode(). */
MUST_USE err zstd_decode(struct zstd_decoder *z, struct bytes *in, uint8_t *out, size_t cap, size_t *made, bool end, bool *done);
bool zstd_decoder_is_between_frames(const struct zstd_decoder *z); /* true before the first one too */
void zstd_decoder_close(struct zstd_decoder *z);                   /* NULL is fine */

#endif
