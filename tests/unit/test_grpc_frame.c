#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/grpc_frame.h"

#include <string.h>

static const struct {
    const char *name, *in;
    size_t len;
    const char *wanted; /* [length:content] a message, then "." between messages, "+" inside one, or the error */
} streams[] = {
    {"nothing", "", 0, "."},
    {"one", "\0\0\0\0\3abc", 8, "[3:abc]."},
    {"empty message", "\0\0\0\0\0", 5, "[0:]."},
    {"two empty ones", "\0\0\0\0\0\0\0\0\0\0", 10, "[0:][0:]."},
    {"several", "\0\0\0\0\1a\0\0\0\0\0\0\0\0\0\2bc", 18, "[1:a][0:][2:bc]."},
    {"cut message", "\0\0\0\0\3ab", 7, "[3:ab+"},
    {"cut prefix", "\0\0\0\0", 4, "+"},
    {"largest",
     "\0\0\0\0\12"
     "0123456789",
     15, "[10:0123456789]."},
    {"too large", "\0\0\0\0\13", 5, "E_RANGE"},
    {"much too large", "\0\xff\xff\xff\xff", 5, "E_RANGE"},
    {"compressed", "\1\0\0\0\1a", 6, "E_UNSUPPORTED"},
    {"flag 2", "\2\0\0\0\1a", 6, "E_PROTOCOL"},
    {"good, then flag 2", "\0\0\0\0\1a\2\0\0\0\1", 11, "E_PROTOCOL"},
};

static void feed(struct grpc_deframer *d, struct bytes in, struct text *t)
{
    struct grpc_piece p;
    bool got = true;
    while (in.len > 0 || got) {
        size_t used = 0;
        err e = grpc_deframe(d, in, &used, &p, &got);
        if (e != OK) {
            *t = text_over(t->at, t->cap);
            text_add(t, err_name(e));
            return;
        }
        assert_true(used > 0 || !got);
        if (got && p.begins)
            text_addf(t, "[%u:", p.length);
        text_add_bytes(t, p.data);
        text_add(t, got && p.ends ? "]" : "");
        in = (struct bytes){in.at + used, in.len - used};
    }
}

static void deframes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        for (size_t step = 1; step <= size_max(streams[i].len, 1); step++) {
            struct grpc_deframer d;
            char out[64];
            struct text t = text_over(out, sizeof out);
            grpc_deframe_start(&d, 10);
            for (size_t at = 0; at < streams[i].len && d.error == OK; at += step)
                feed(&d, (struct bytes){(const uint8_t *)streams[i].in + at, size_min(step, streams[i].len - at)}, &t);
            if (d.error == OK)
                text_add(&t, grpc_deframe_is_between(&d) ? "." : "+");
            if (strcmp(out, streams[i].wanted) != 0)
                fail_msg("%s, by %zu: %s", streams[i].name, step, out);
        }
    }
}

static void errors_stick(void **state)
{
    (void)state;
    struct grpc_deframer d;
    struct grpc_piece p;
    size_t used = 0;
    bool got = true;
    static const uint8_t bad[] = {7, 0, 0, 0, 0}, good[] = {0, 0, 0, 0, 0};
    grpc_deframe_start(&d, 10);
    assert_int_equal(grpc_deframe(&d, (struct bytes){bad, 5}, &used, &p, &got), E_PROTOCOL);
    assert_int_equal(grpc_deframe(&d, (struct bytes){good, 5}, &used, &p, &got), E_PROTOCOL);
    assert_false(got);
    assert_false(grpc_deframe_is_between(&d));
}

static void prefixes(void **state)
{
    (void)state;
    uint8_t out[GRPC_PREFIX_BYTES];
    grpc_prefix(0x01020304, out);
    assert_memory_equal(out, "\0\1\2\3\4", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(deframes), cmocka_unit_test(errors_stick), cmocka_unit_test(prefixes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
