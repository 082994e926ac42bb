/* Fuzzes the gRPC deframer: the first byte chooses the step. Messages must come whole, in their told length, whatever the steps.
 */
#include "net/format/grpc_frame.h"

#include "tests/fuzz/fuzz.h"

struct sum { /* what came out, so far */
    uint64_t messages, bytes, ends, hash;
    uint32_t left;
};

static void add_piece(struct sum *s, const struct grpc_piece *p)
{
    if (p->begins) {
        ASSERT(s->left == 0);
        s->messages++;
        s->left = p->length;
    }
    ASSERT(p->data.len <= s->left);
    s->left -= (uint32_t)p->data.len;
    ASSERT(p->ends == (s->left == 0));
    s->ends += p->ends ? 1 : 0;
    s->bytes += p->data.len;
    for (size_t i = 0; i < p->data.len; i++)
        s->hash = s->hash * 31 + p->data.at[i];
}

static err feed(struct grpc_deframer *d, struct bytes in, struct sum *s)
{
    bool got = true;
    while (in.len > 0 || got) {
        size_t used = 0;
        struct grpc_piece p;
        TRY(grpc_deframe(d, in, &used, &p, &got));
        ASSERT(used <= in.len && (used > 0 || !got));
        if (got)
            add_piece(s, &p);
        if (used > 0)
            in = (struct bytes){in.at + used, in.len - used};
    }
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = (size_t)data[0] % 32 + 1;
    struct bytes in = {data + 1, size - 1};
    struct grpc_deframer whole, slow;
    struct sum sum_whole = {0}, sum_slow = {0};
    grpc_deframe_start(&whole, 1000);
    grpc_deframe_start(&slow, 1000);
    err e = feed(&whole, in, &sum_whole), e_slow = OK;
    for (size_t at = 0; at < in.len && e_slow == OK; at += step)
        e_slow = feed(&slow, (struct bytes){in.at + at, size_min(step, in.len - at)}, &sum_slow);
    ASSERT(e == e_slow && sum_whole.messages == sum_slow.messages && sum_whole.bytes == sum_slow.bytes);
    ASSERT(sum_whole.hash == sum_slow.hash && sum_whole.ends == sum_slow.ends);
    ASSERT(grpc_deframe_is_between(&whole) == grpc_deframe_is_between(&slow));
    return 0;
}
