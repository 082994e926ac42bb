/* fuzz: what the fuzz targets share. Everything is asserted; nothing is returned.
 *
 * Layer    tests.   Blocks   never.   Memory   the caller's.   Errors   none: a finding ends the process. */
#ifndef HOLDFAST_FUZZ_H
#define HOLDFAST_FUZZ_H

#include "net/format/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_is_within(struct bytes view, struct bytes whole)
{
    if (view.len > 0 && view.at[0] == '/' && view.len == 1)
        return; /* the path we supply ourselves */
    ASSERT(view.len == 0 || (view.at >= whole.at && view.at + view.len <= whole.at + whole.len));
}

/* Feeds a body in steps and at once: both must tell the same, and use up the same bytes. */
static inline enum http1_body_result fuzz_body_by(const struct http1_head *h, struct bytes in, size_t step, struct http1_body *b,
                                                  uint64_t bytes_max, size_t *at)
{
    enum http1_body_result r = HTTP1_BODY_MORE;
    http1_body_start(b, h, bytes_max);
    *at = 0;
    do {
        size_t used = 0;
        struct bytes data, piece = {in.len > 0 ? in.at + *at : in.at, size_min(step, in.len - *at)};
        r = http1_body_next(b, piece, &used, &data);
        ASSERT(used <= piece.len && (used > 0 || piece.len == 0 || r != HTTP1_BODY_MORE));
        ASSERT(data.len == 0 || (data.at >= piece.at && data.at + data.len <= piece.at + used));
        *at += used;
    } while (r == HTTP1_BODY_MORE && *at < in.len);
    ASSERT(b->total <= bytes_max);
    return r;
}

static inline void fuzz_body(const struct http1_head *h, struct bytes in, size_t step, uint64_t bytes_max)
{
    struct http1_body whole, slow;
    size_t at = 0, at_slow = 0;
    enum http1_body_result r = fuzz_body_by(h, in, size_max(in.len, 1), &whole, bytes_max, &at);
    enum http1_body_result r_slow = fuzz_body_by(h, in, step, &slow, bytes_max, &at_slow);
    ASSERT(r == r_slow && whole.refused_status == slow.refused_status);
    ASSERT(r == HTTP1_BODY_REFUSED || (at == at_slow && whole.total == slow.total));
    ASSERT(http1_body_ended(&whole) == http1_body_ended(&slow));
}

#endif
