/* Fuzzes the XML reader: the first byte chooses the step. Whole and in steps the same is read: names, depths, text, the refusal.
 */
#include "net/format/xml_read.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define FNV_PRIME 1099511628211u /* FNV-1a, 64 bits */

struct seen {
    uint64_t sum; /* of everything that was told; text as if in one piece */
    unsigned opened, closed, line;
    bool good;
    const char *why;
};

static void mix(struct seen *s, const void *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        s->sum = (s->sum ^ ((const uint8_t *)from)[i]) * FNV_PRIME;
}

static void see(struct seen *s, const struct xml_read *x, enum xml_event event)
{
    ASSERT(x->depth >= 1 && x->depth <= XML_DEPTH_MAX);
    if (event == XML_TEXT) {
        ASSERT(x->text.len > 0);
        mix(s, x->text.at, x->text.len);
        return;
    }
    ASSERT(strlen(x->name) > 0 && strlen(x->name) < XML_NAME_MAX);
    mix(s, event == XML_OPEN ? "<" : ">", 1);
    mix(s, x->name, strlen(x->name));
    s->opened += event == XML_OPEN;
    s->closed += event == XML_CLOSE;
    ASSERT(s->closed <= s->opened && s->opened - s->closed <= XML_DEPTH_MAX);
}

static struct seen read_by(struct bytes in, size_t step)
{
    struct seen s = {.sum = 1};
    struct xml_read x;
    enum xml_event event = XML_MORE;
    xml_start(&x);
    for (size_t at = 0; at < in.len && event != XML_REFUSED; at += step) {
        xml_feed(&x, (struct bytes){in.at + at, size_min(step, in.len - at)});
        while ((event = xml_next(&x)) != XML_MORE && event != XML_REFUSED)
            see(&s, &x, event);
    }
    s.good = event != XML_REFUSED && xml_end(&x);
    s.line = x.line;
    s.why = x.why;
    ASSERT(s.good || s.why);
    ASSERT(!s.good || (s.opened == s.closed && s.opened > 0));
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct bytes in = {data + 1, size - 1};
    struct seen whole = read_by(in, size_max(in.len, 1)), slow = read_by(in, (size_t)data[0] % 32 + 1);
    ASSERT(whole.good == slow.good && whole.line == slow.line && whole.why == slow.why);
    ASSERT(whole.opened == slow.opened && whole.closed == slow.closed && whole.sum == slow.sum);
    return 0;
}
