#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/format/http1.h"

#include <stdio.h>
#include <string.h>

#define BODY_BYTES_MAX 1000

static const struct {
    const char *name, *body, *wanted; /* wanted: content, then "." done, "+" more, or the status */
    size_t left;                      /* bytes of the next message */
} chunked[] = {
    {"one", "3\r\nabc\r\n0\r\n\r\n", "abc.", 0},
    {"two, and the next message", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", "abcde.", 3},
    {"empty", "0\r\n\r\n", ".", 0},
    {"zeroes", "000\r\n\r\n", ".", 0},
    {"hex digits", "0A\r\n0123456789\r\n0\r\n\r\n", "0123456789.", 0},
    {"lower hex", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789.", 0},
    {"extension", "1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n", "x.", 0},
    {"trailers", "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "x.", 0},
    {"cut size", "3", "+", 0},
    {"cut data", "3\r\nab", "ab+", 0},
    {"no last chunk", "3\r\nabc\r\n", "abc+", 0},
    {"no last line", "0\r\n", "+", 0},
    {"cut last line", "0\r\n\r", "+", 0},
    {"no size", "\r\nabc", "400", 0},
    {"size 0x", "0x3\r\nabc\r\n", "400", 0},
    {"size +", "+3\r\nabc\r\n", "400", 0},
    {"size -", "-3\r\nabc\r\n", "400", 0},
    {"size with a space before", " 3\r\nabc\r\n", "400", 0},
    {"size with a space behind", "3 \r\nabc\r\n", "400", 0},
    {"size with an underscore", "1_0\r\nabc\r\n", "400", 0},
    {"size overflow", "10000000000000000\r\n", "400", 0},
    {"size 2^64-1", "ffffffffffffffff\r\n", "413", 0},
    {"too large at once", "3e9\r\n", "413", 0},
    {"bare LF behind size", "3\nabc\r\n", "400", 0},
    {"bare CR behind size", "3\rabc\r\n", "400", 0},
    {"bare LF behind data", "3\r\nabc\n0\r\n\r\n", "400", 0},
    {"more data than size", "3\r\nabcd\r\n", "400", 0},
    {"less data than size", "4\r\nabc\r\n0\r\n\r\n", "400", 0},
    {"bare LF in an extension", "3;a\nabc\r\n", "400", 0},
    {"control in an extension", "3;\x01\r\nabc\r\n", "400", 0},
    {"bare LF at the end", "0\r\n\n", "400", 0},
    {"trailer without colon", "0\r\nA\r\n\r\n", "400", 0},
    {"trailer with a space before the colon", "0\r\nA : b\r\n\r\n", "400", 0},
    {"trailer folded", "0\r\nA: b\r\n c\r\n\r\n", "400", 0},
    {"trailer with a bare LF", "0\r\nA: b\n\r\n", "400", 0},
    {"trailer with no name", "0\r\n: b\r\n\r\n", "400", 0},
};

/* Feeds `body` in pieces of `step` bytes; tells content and end as the table does. Returns bytes used. */
static size_t feed(struct http1_body *b, struct bytes body, size_t step, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    size_t at = 0;
    enum http1_body_result r = HTTP1_BODY_MORE;
    while (at < body.len && r == HTTP1_BODY_MORE) {
        size_t used = 0;
        struct bytes data;
        r = http1_body_next(b, (struct bytes){body.at + at, size_min(step, body.len - at)}, &used, &data);
        text_add_bytes(&t, data);
        at += used;
        assert_true(used > 0 || r != HTTP1_BODY_MORE);
    }
    if (r == HTTP1_BODY_REFUSED) {
        t = text_over(out, cap);
        text_addf(&t, "%u", b->refused_status);
    } else {
        text_add(&t, r == HTTP1_BODY_DONE ? "." : "+");
    }
    return at;
}

static void chunked_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(chunked); i++) {
        struct bytes body = bytes_of(chunked[i].body);
        for (size_t step = 1; step <= body.len; step++) {
            struct http1_head h = {.framing = HTTP1_CHUNKED};
            struct http1_body b;
            char out[64];
            http1_body_start(&b, &h, BODY_BYTES_MAX);
            size_t used = feed(&b, body, step, out, sizeof out);
            if (strcmp(out, chunked[i].wanted) != 0)
                fail_msg("%s, by %zu: %s", chunked[i].name, step, out);
            if (strchr(out, '.') != NULL)
                assert_int_equal((int)(body.len - used), (int)chunked[i].left);
            assert_int_equal(http1_body_ended(&b), strchr(out, '.') != NULL);
        }
    }
}

static void chunk_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *first, *filler;
        unsigned times, wanted;
    } cases[] = {
        {"1;", "a", HTTP1_CHUNK_LINE_MAX - 2, 0},
        {"1;", "a", HTTP1_CHUNK_LINE_MAX + 1, 400},
        {"0", "0", HTTP1_CHUNK_LINE_MAX - 1, 0},
        {"0", "0", HTTP1_CHUNK_LINE_MAX + 2, 400},
        {"0\r\nA:", "b", HTTP1_TRAILER_BYTES_MAX - 2, 0},
        {"0\r\nA:", "b", HTTP1_TRAILER_BYTES_MAX - 1, 431},
        {"0\r\n", "A: b\r\n", HTTP1_TRAILER_BYTES_MAX / 6, 0},
        {"0\r\n", "A: b\r\n", HTTP1_TRAILER_BYTES_MAX / 6 + 1, 431},
        {"", "1\r\nx\r\n", 1000, 0},
        {"", "1\r\nx\r\n", 1001, 413},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1_head h = {.framing = HTTP1_CHUNKED};
        struct http1_body b;
        char out[64];
        http1_body_start(&b, &h, BODY_BYTES_MAX);
        (void)feed(&b, bytes_of(cases[i].first), 99, out, sizeof out);
        for (unsigned n = 0; n < cases[i].times; n++)
            (void)feed(&b, bytes_of(cases[i].filler), 99, out, sizeof out);
        if (b.refused_status != cases[i].wanted)
            fail_msg("case %zu: %u", i, b.refused_status);
    }
}

static void plain_bodies(void **state)
{
    (void)state;
    struct http1_head h = {.framing = HTTP1_LENGTH, .length = 5};
    struct http1_body b;
    char out[64];
    http1_body_start(&b, &h, 5);
    assert_int_equal((int)feed(&b, bytes_of("abc"), 99, out, sizeof out), 3);
    assert_string_equal(out, "abc+");
    assert_false(http1_body_ended(&b));
    assert_int_equal((int)feed(&b, bytes_of("deGET"), 99, out, sizeof out), 2);
    assert_string_equal(out, "de.");
    assert_true(http1_body_ended(&b) && b.total == 5);

    h = (struct http1_head){.framing = HTTP1_UNTIL_CLOSE};
    http1_body_start(&b, &h, 5);
    assert_int_equal((int)feed(&b, bytes_of("abcde"), 2, out, sizeof out), 5);
    assert_string_equal(out, "abcde+");
    assert_true(http1_body_ended(&b));
    (void)feed(&b, bytes_of("f"), 1, out, sizeof out);
    assert_string_equal(out, "413");
    assert_false(http1_body_ended(&b));

    size_t used = 9;
    struct bytes data;
    h = (struct http1_head){.framing = HTTP1_NO_BODY};
    http1_body_start(&b, &h, 5);
    assert_int_equal(http1_body_next(&b, bytes_of("x"), &used, &data), HTTP1_BODY_DONE);
    assert_true(used == 0 && data.len == 0);
    h = (struct http1_head){.framing = HTTP1_LENGTH, .length = 6};
    http1_body_start(&b, &h, 5);
    assert_int_equal(http1_body_next(&b, bytes_of("x"), &used, &data), HTTP1_BODY_REFUSED);
}

static const struct {
    int64_t epoch_s;
    const char *text;
} dates[] = {
    {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110 5.6.7 */
    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
    {1709251199, "Thu, 29 Feb 2024 23:59:59 GMT"},
    {1709251200, "Fri, 01 Mar 2024 00:00:00 GMT"},
    {1767225599, "Wed, 31 Dec 2025 23:59:59 GMT"},
    {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
    {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
};

static void writes(void **state)
{
    (void)state;
    char out[256], chunk[HTTP1_CHUNK_HEAD_MAX], date[HTTP1_DATE_MAX];
    struct text t = text_over(out, sizeof out);
    http1_put_request_line(&t, HTTP1_POST, bytes_of("/a?b"));
    http1_put_field_text(&t, "Host", "h");
    http1_put_field_u64(&t, "Content-Length", UINT64_MAX);
    http1_put_end(&t);
    assert_string_equal(out, "POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n");
    t = text_over(out, sizeof out);
    http1_put_status_line(&t, 404);
    http1_put_status_line(&t, 599);
    assert_string_equal(out, "HTTP/1.1 404 Not Found\r\nHTTP/1.1 599 \r\n");
    assert_int_equal((int)http1_chunk_head(0xabc, chunk), 5);
    assert_string_equal(chunk, "abc\r\n");
    assert_int_equal((int)http1_chunk_head(SIZE_MAX, chunk), 18);
    assert_false(http1_value_is_valid(bytes_of("a\r\nb")));
    assert_true(http1_value_is_valid(bytes_of("a\tb \xff")));
    assert_false(http1_target_is_valid(bytes_of("/a b")));
    assert_false(http1_target_is_valid(bytes_of("")));
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        http1_date(dates[i].epoch_s, date);
        assert_string_equal(date, dates[i].text);
        if (dates[i].epoch_s >= 0 && dates[i].epoch_s < INT64_MAX)
            assert_true(http1_date_read(bytes_of(date)) == dates[i].epoch_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(chunk_bounds),
        cmocka_unit_test(plain_bodies),
        cmocka_unit_test(writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
