/* Fuzzes the request parser and the body decoder: the first byte chooses the step in which the rest arrives. What is told must
 * not depend on the steps, views must lie within the buffer, and what follows a READY head must decode without leaving its
 * bounds. */
#include "net/format/http1.h"

#include "tests/fuzz/fuzz.h"

static const struct http1_limits limits = {.line_bytes_max = 256, .head_bytes_max = 2048, .body_bytes_max = 4096};

static void check_views(const struct http1_head *h, struct bytes in)
{
    fuzz_is_within(h->target, in);
    fuzz_is_within(h->query, in);
    fuzz_is_within(h->host, in);
    for (unsigned i = 0; i < h->field_count; i++) {
        fuzz_is_within(h->fields[i].name, in);
        fuzz_is_within(h->fields[i].value, in);
        ASSERT(h->fields[i].name.len > 0 && http1_value_is_valid(h->fields[i].value));
    }
    ASSERT(h->path.len > 0 || h->method == HTTP1_CONNECT);
    ASSERT(h->framing != HTTP1_UNTIL_CLOSE);
    ASSERT(h->framing != HTTP1_LENGTH || h->length <= limits.body_bytes_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = (size_t)data[0] % 64 + 1;
    struct bytes in = {data + 1, size - 1};
    struct http1_head whole = {0}, slow = {0};
    enum http1_result r = http1_parse_request(&whole, in, &limits), r_slow = HTTP1_NEED_MORE;
    for (size_t n = 0; r_slow == HTTP1_NEED_MORE && n < in.len;) {
        n = size_min(n + step, in.len);
        r_slow = http1_parse_request(&slow, (struct bytes){in.at, n}, &limits);
    }
    ASSERT(r == r_slow && whole.refused_status == slow.refused_status && whole.head_bytes == slow.head_bytes);
    ASSERT((r == HTTP1_REFUSED) == (whole.refused_status >= 400 && whole.why != NULL));
    if (r == HTTP1_READY) {
        check_views(&whole, in);
        fuzz_body(&whole, (struct bytes){in.at + whole.head_bytes, in.len - whole.head_bytes}, step, limits.body_bytes_max);
    }
    return 0;
}
