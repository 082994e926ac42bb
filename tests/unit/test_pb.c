#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/hex.h"
#include "net/format/pb.h"

#include <stdio.h>
#include <string.h>

/* What is read, as text: "1=150 2='abc' 3:32=7", and "!" for an error. */
static const char *read_all(struct bytes message, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.wire == PB_BYTES)
            text_addf(&t, "%u='%.*s' ", f.number, (int)f.bytes.len, (const char *)f.bytes.at);
        else
            text_addf(&t, "%u%s=%llu ", f.number,
                      f.wire == PB_FIXED32   ? ":32"
                      : f.wire == PB_FIXED64 ? ":64"
                                             : "",
                      (unsigned long long)f.value);
    }
    if (r.error != OK)
        text_add(&t, r.error == E_PROTOCOL ? "!" : "?");
    return out;
}

static const struct {
    const char *name, *hex, *wanted;
} messages[] = {
    {"empty", "", ""},
    {"the guide's example", "089601", "1=150 "}, /* protobuf.dev/programming-guides/encoding */
    {"the guide's string", "120774657374696e67", "2='testing' "},
    {"empty string", "1200", "2='' "},
    {"fixed32", "1d07000000", "3:32=7 "},
    {"fixed64", "190700000000000000", "3:64=7 "},
    {"two fields", "08011002", "1=1 2=2 "},
    {"longest varint", "08ffffffffffffffffff01", "1=18446744073709551615 "},
    {"padded varint", "08818000", "1=1 "},
    {"varint beyond 64 bits", "08ffffffffffffffffff02", "!"},
    {"varint of 11 bytes",
     "0880808080808080808080"
     "00",
     "!"},
    {"cut varint", "0880", "!"},
    {"tag only", "08", "!"},
    {"field number 0", "0001", "!"},
    {"largest field number", "f8ffffff0f01", "536870911=1 "},
    {"field number too large", "808080801001", "!"},
    {"group start", "0b", "!"},
    {"group end", "0c", "!"},
    {"wire type 6", "0e", "!"},
    {"wire type 7", "0f", "!"},
    {"cut fixed32", "1d070000", "!"},
    {"cut fixed64", "1907000000000000", "!"},
    {"length beyond the end", "1203aabb", "!"},
    {"huge length", "12ffffffffffffffffff01", "!"},
    {"good then bad", "08010b", "1=1 !"},
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        uint8_t bytes[64];
        char out[128];
        size_t len = 0;
        assert_int_equal(hex_decode(bytes_of(messages[i].hex), bytes, sizeof bytes, &len), OK);
        if (strcmp(read_all((struct bytes){bytes, len}, out, sizeof out), messages[i].wanted) != 0)
            fail_msg("%s: %s", messages[i].name, out);
    }
}

static void every_cut_is_an_error_or_shorter(void **state)
{
    (void)state;
    static const uint8_t whole[] = "\x08\x96\x01\x12\x03"
                                   "abc"
                                   "\x1d\x07\x00\x00\x00";
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char out[128];
        bool between = len == 0 || len == 3 || len == 8;
        (void)read_all((struct bytes){whole, len}, out, sizeof out);
        assert_int_equal(strchr(out, '!') == NULL, between);
    }
}

static void typed_values(void **state)
{
    (void)state;
    uint8_t storage[128];
    struct bytes message;
    struct pb_field f;
    struct pb_writer w = pb_write_over(storage, sizeof storage);
    pb_put_u64(&w, 1, UINT64_MAX);
    pb_put_i64(&w, 2, -1);
    pb_put_sint(&w, 3, INT64_MIN);
    pb_put_sint(&w, 3, -1);
    pb_put_bool(&w, 4, true);
    pb_put_fixed32(&w, 5, 0x01020304);
    pb_put_fixed64(&w, 6, 0x0102030405060708);
    pb_put_text(&w, 7, "text");
    pb_put_bytes(&w, 8, (struct bytes){NULL, 0});
    assert_int_equal(pb_written(&w, &message), OK);
    struct pb_reader r = pb_read(message);
    assert_true(pb_next(&r, &f) && pb_u64(&r, &f) == UINT64_MAX);
    assert_true(pb_next(&r, &f) && pb_i64(&r, &f) == -1);
    assert_true(pb_next(&r, &f) && pb_sint(&r, &f) == INT64_MIN);
    assert_true(pb_next(&r, &f) && pb_sint(&r, &f) == -1 && f.value == 1);
    assert_true(pb_next(&r, &f) && pb_bool(&r, &f));
    assert_true(pb_next(&r, &f) && pb_fixed(&r, &f) == 0x01020304);
    assert_true(pb_next(&r, &f) && pb_fixed(&r, &f) == 0x0102030405060708);
    assert_true(pb_next(&r, &f) && bytes_equal_text(pb_bytes(&r, &f), "text"));
    assert_true(pb_next(&r, &f) && f.number == 8 && pb_bytes(&r, &f).len == 0);
    assert_false(pb_next(&r, &f));
    assert_int_equal(r.error, OK);
}

static void wrong_wire_type_is_sticky(void **state)
{
    (void)state;
    struct pb_field f;
    struct pb_reader r = pb_read(bytes_of("\x08\x01\x12\x01x"));
    assert_true(pb_next(&r, &f));
    assert_int_equal((int)pb_bytes(&r, &f).len, 0);
    assert_int_equal(r.error, E_PROTOCOL);
    assert_false(pb_next(&r, &f));
    r = pb_read(bytes_of("\x12\x01x"));
    assert_true(pb_next(&r, &f));
    assert_int_equal((int)pb_u64(&r, &f), 0);
    assert_int_equal(r.error, E_PROTOCOL);
}

/* Nested messages around the length where the length itself grows: 127, 128, 16383, 16384. */
static void nested(void **state)
{
    (void)state;
    static uint8_t storage[20000], filler[16384];
    static const size_t sizes[] = {0, 1, 100, 120, 124, 125, 126, 127, 128, 16377, 16378, 16379, 16380, 16381, 16384};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct pb_field outer, inner;
        struct bytes message;
        struct pb_writer w = pb_write_over(storage, sizeof storage);
        size_t mark = pb_begin(&w, 1), deeper = pb_begin(&w, 2);
        pb_put_bytes(&w, 3, (struct bytes){filler, sizes[i]});
        pb_end(&w, deeper);
        pb_end(&w, mark);
        pb_put_u64(&w, 4, 5);
        assert_int_equal(pb_written(&w, &message), OK);
        struct pb_reader r = pb_read(message);
        assert_true(pb_next(&r, &outer) && outer.number == 1);
        struct pb_reader in = pb_read(pb_bytes(&r, &outer));
        assert_true(pb_next(&in, &inner) && inner.number == 2 && in.rest.len == 0);
        in = pb_read(pb_bytes(&in, &inner));
        assert_true(pb_next(&in, &inner) && inner.number == 3 && inner.bytes.len == sizes[i] && in.rest.len == 0);
        assert_true(pb_next(&r, &outer) && outer.number == 4 && pb_u64(&r, &outer) == 5);
    }
}

static void no_room_is_an_overflow(void **state)
{
    (void)state;
    static const uint8_t data[200];
    for (size_t cap = 0; cap < 216; cap++) {
        uint8_t storage[216];
        struct bytes message;
        struct pb_writer w = pb_write_over(storage, cap);
        size_t mark = pb_begin(&w, 1);                  /* 1 + 2 (length) */
        pb_put_bytes(&w, 2, (struct bytes){data, 200}); /* 1 + 2 + 200 */
        pb_put_fixed32(&w, 3, 1);                       /* 1 + 4 */
        pb_end(&w, mark);
        assert_int_equal(pb_written(&w, &message), cap < 211 ? E_RANGE : OK);
    }
}

static void test_text_is_cut_to_fit(void **state)
{
    static const uint8_t message[] = {0x12, 5, 'h', 'e', 'l', 'l', 'o'}, short_one[] = {0x12, 5, 'h'};
    static const struct {
        size_t cap;
        const char *wanted;
    } cases[] = {{6, "hello"}, {5, "hell"}, {1, ""}};
    struct pb_field f;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[8] = "xxxxxxx";
        struct pb_reader r = pb_read((struct bytes){message, sizeof message});
        assert_true(pb_next(&r, &f));
        pb_text(&r, &f, out, cases[i].cap);
        assert_string_equal(out, cases[i].wanted);
        assert_int_equal(r.error, OK);
    }
    struct pb_reader r = pb_read((struct bytes){short_one, sizeof short_one});
    assert_false(pb_next(&r, &f));
    assert_int_equal(r.error, E_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(every_cut_is_an_error_or_shorter),
        cmocka_unit_test(typed_values),
        cmocka_unit_test(wrong_wire_type_is_sticky),
        cmocka_unit_test(test_text_is_cut_to_fit),
        cmocka_unit_test(nested),
        cmocka_unit_test(no_room_is_an_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
