/* Fuzzes the response parser and the body decoder: the first byte chooses the step, the second the method that was asked. */
#include "net/format/http1.h"

#include "tests/fuzz/fuzz.h"

static const struct http1_limits limits = {.line_bytes_max = 256, .head_bytes_max = 2048, .body_bytes_max = 4096};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t step = (size_t)data[0] % 64 + 1;
    enum http1_method asked = (enum http1_method)(data[1] % HTTP1_METHOD_COUNT);
    struct bytes in = {data + 2, size - 2};
    struct http1_head whole = {0}, slow = {0};
    enum http1_result r = http1_parse_response(&whole, in, &limits, asked), r_slow = HTTP1_NEED_MORE;
    for (size_t n = 0; r_slow == HTTP1_NEED_MORE && n < in.len;) {
        n = size_min(n + step, in.len);
        r_slow = http1_parse_response(&slow, (struct bytes){in.at, n}, &limits, asked);
    }
    ASSERT(r == r_slow && whole.refused_status == slow.refused_status && whole.head_bytes == slow.head_bytes);
    if (r != HTTP1_READY)
        return 0;
    ASSERT(whole.status >= 100 && whole.status <= 599);
    ASSERT(whole.framing != HTTP1_UNTIL_CLOSE || !whole.keep_alive);
    ASSERT(asked != HTTP1_HEAD || whole.framing == HTTP1_NO_BODY);
    fuzz_is_within(whole.reason, in);
    fuzz_body(&whole, (struct bytes){in.at + whole.head_bytes, in.len - whole.head_bytes}, step, limits.body_bytes_max);
    return 0;
}
