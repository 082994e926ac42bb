#include "board/rt/addr.h"
#include "board/rt/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    const char *want; /* with port 0, as addr_text() writes it; NULL: refused */
} ips[] = {
    {"127.0.0.1", "127.0.0.1:0"},
    {"0.0.0.0", "0.0.0.0:0"},
    {"255.255.255.255", "255.255.255.255:0"},
    {"::1", "[::1]:0"},
    {"::", "[::]:0"},
    {"1::", "[1::]:0"},
    {"2001:DB8::A", "[2001:db8::a]:0"},
    {"2001:db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]:0"},
    {"2001:0db8:0000:0000:0000:0000:0000:0001", "[2001:db8::1]:0"},
    {"1:0:2:3:4:5:6:7", "[1:0:2:3:4:5:6:7]:0"},
    {"1:2:3:4:5:6:7::", "[1:2:3:4:5:6:7:0]:0"},
    {"::2:3:4:5:6:7:8", "[0:2:3:4:5:6:7:8]:0"},
    {"0:0:1:0:0:0:1:0", "[0:0:1::1:0]:0"},
    {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]:0"},
    {"::ffff:c000:201", "[::ffff:192.0.2.1]:0"},
    {"64:ff9b::192.0.2.33", "[64:ff9b::c000:221]:0"},
    {"1:2:3:4:5:6:1.2.3.4", "[1:2:3:4:5:6:102:304]:0"},
    {"fe80::1%2", "[fe80::1%2]:0"},
    {"fe80::1%4294967295", "[fe80::1%4294967295]:0"},
    {"", NULL},
    {"localhost", NULL},
    {"127.0.0.1 ", NULL},
    {" 127.0.0.1", NULL},
    {"127.0.0", NULL},
    {"127.1", NULL},
    {"127.0.0.1.", NULL},
    {"127.0.0.1:80", NULL},
    {"127.0.0.256", NULL},
    {"127.0.0.01", NULL},
    {"0127.0.0.1", NULL},
    {"0x7f.0.0.1", NULL},
    {"1.2..3", NULL},
    {"1.2.3.-4", NULL},
    {"2130706433", NULL},
    {":", NULL},
    {":::", NULL},
    {":1", NULL},
    {"1:", NULL},
    {"1::2::3", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"1:2:3:4:5:6:7:8::", NULL},
    {"::1:2:3:4:5:6:7:8", NULL},
    {"12345::", NULL},
    {"g::", NULL},
    {"1:2:3:4:5:6:7:1.2.3.4", NULL},
    {"::1.2.3", NULL},
    {"::1.2.3.4:5", NULL},
    {"[::1]", NULL},
    {"fe80::1%", NULL},
    {"fe80::1%0", NULL},
    {"fe80::1%01", NULL},
    {"fe80::1%eth0", NULL},
    {"fe80::1%4294967296", NULL},
    {"127.0.0.1%1", NULL},
};

static const struct {
    const char *text, *want;
} addresses[] = {
    {"127.0.0.1:80", "127.0.0.1:80"},
    {"127.0.0.1:0", "127.0.0.1:0"},
    {"127.0.0.1:65535", "127.0.0.1:65535"},
    {"[::1]:80", "[::1]:80"},
    {"[fe80::1%3]:2379", "[fe80::1%3]:2379"},
    {":80", "[::]:80"},
    {"unix:/run/x.sock", "unix:/run/x.sock"},
    {"unix:/", "unix:/"},
    {"", NULL},
    {":", NULL},
    {"80", NULL},
    {"127.0.0.1", NULL},
    {"127.0.0.1:", NULL},
    {"127.0.0.1:65536", NULL},
    {"127.0.0.1:080", NULL},
    {"127.0.0.1:80 ", NULL},
    {"127.0.0.1:+80", NULL},
    {"127.0.0.1:8a", NULL},
    {"127.0.0.1:00000", NULL},
    {"127.0.0.1:123456", NULL},
    {"::1:80", NULL},
    {"[::1]", NULL},
    {"[::1:80", NULL},
    {"[]:80", NULL},
    {"[127.0.0.1]:80", NULL},
    {"localhost:80", NULL},
    {"*:80", NULL},
    {"unix:", NULL},
    {"unix:run/x.sock", NULL},
    {"unix://", "unix://"},
    {"UNIX:/run/x.sock", NULL},
};

static void check(const char *text, const char *want, err (*parse)(struct bytes, struct addr *))
{
    struct addr a = {.kind = ADDR_NONE, .port = 4711};
    char out[ADDR_TEXT_MAX];
    err e = parse(bytes_of(text), &a);
    if (e != (want != NULL ? OK : E_INVALID))
        fail_msg("\"%s\": %s", text, err_name(e));
    else if (want != NULL)
        assert_string_equal(addr_text(&a, out, sizeof out), want);
    else
        assert_true(a.kind == ADDR_NONE && a.port == 4711); /* a refused text changes nothing */
}

static void numeric_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ips); i++)
        check(ips[i].text, ips[i].want, addr_parse_ip);
}

static void addresses_with_ports(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++)
        check(addresses[i].text, addresses[i].want, addr_parse);
}

static void spans_are_not_read_past_their_end(void **state)
{
    (void)state;
    struct addr a;
    for (size_t i = 0; i < COUNT_OF(addresses); i++)
        for (size_t len = 0; len <= strlen(addresses[i].text); len++) {
            uint8_t *exact = malloc(len + 1); /* the sanitizer sees a byte too many */
            assert_non_null(exact);
            memcpy(exact + 1, addresses[i].text, len);
            struct bytes span = {exact + 1, len};
            err e = addr_parse(span, &a), f = addr_parse_ip(span, &a);
            assert_true((e == OK || e == E_INVALID) && (f == OK || f == E_INVALID));
            free(exact);
        }
    assert_int_equal(addr_parse((struct bytes){NULL, 0}, &a), E_INVALID);
    assert_int_equal(addr_parse_ip((struct bytes){NULL, 0}, &a), E_INVALID);
    assert_int_equal(addr_parse_ip((struct bytes){(const uint8_t *)"1.2.3.4\0", 8}, &a), E_INVALID);
}

static void paths_have_a_limit(void **state)
{
    (void)state;
    char text[5 + ADDR_PATH_MAX + 1] = "unix:/", out[ADDR_TEXT_MAX];
    struct addr a;
    memset(text + 6, 'p', ADDR_PATH_MAX - 1);
    text[5 + ADDR_PATH_MAX - 1] = 0;
    assert_int_equal(addr_parse(bytes_of(text), &a), OK);
    assert_string_equal(addr_text(&a, out, sizeof out), text);
    text[5 + ADDR_PATH_MAX - 1] = 'p';
    assert_int_equal(addr_parse(bytes_of(text), &a), E_INVALID);
    assert_int_equal(addr_parse((struct bytes){(const uint8_t *)"unix:/a\0b", 9}, &a), E_INVALID);
}

/* Random addresses with many zero groups, so that every place and length of "::" comes up. */
static struct addr random_addr(unsigned short seed[3])
{
    struct addr a = {.kind = nrand48(seed) % 4 == 0 ? ADDR_IPV4 : ADDR_IPV6, .port = (uint16_t)nrand48(seed)};
    size_t len = a.kind == ADDR_IPV4 ? 4 : 16;
    for (size_t i = 0; i < len; i++)
        a.ip[i] = nrand48(seed) % 3 != 0 ? 0 : (uint8_t)nrand48(seed);
    if (a.kind == ADDR_IPV6 && nrand48(seed) % 8 == 0)
        memcpy(a.ip, (const uint8_t[12]){[10] = 0xff, [11] = 0xff}, 12);
    if (a.kind == ADDR_IPV6 && nrand48(seed) % 4 == 0)
        a.scope = (uint32_t)nrand48(seed);
    return a;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    unsigned short seed[3] = {1, 2, 3};
    for (int i = 0; i < 5000; i++) {
        struct addr a = random_addr(seed), b;
        char out[ADDR_TEXT_MAX];
        addr_text(&a, out, sizeof out);
        if (addr_parse(bytes_of(out), &b) != OK || !addr_equal(&a, &b))
            fail_msg("%s is not read back (round %d)", out, i);
    }
}

static const struct {
    const char *text;
    bool loopback;
} loopbacks[] = {
    {"127.0.0.1:1", true}, {"127.255.0.9:1", true}, {"128.0.0.1:1", false},         {"[::1]:1", true},
    {"[::2]:1", false},    {"[::]:1", false},       {"[::ffff:127.0.0.1]:1", true}, {"[::ffff:10.0.0.1]:1", false},
    {"0.0.0.0:1", false},  {"unix:/x", true},
};

static void loopback_is_recognised(void **state)
{
    (void)state;
    const struct addr none = {.kind = ADDR_NONE};
    assert_false(addr_is_loopback(&none));
    for (size_t i = 0; i < COUNT_OF(loopbacks); i++) {
        struct addr a;
        assert_int_equal(addr_parse(bytes_of(loopbacks[i].text), &a), OK);
        if (addr_is_loopback(&a) != loopbacks[i].loopback)
            fail_msg("%s", loopbacks[i].text);
    }
}

static void each_part_makes_a_difference(void **state)
{
    (void)state;
    static const char *const different[] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1",  "[::1]:1", "[::1%1]:1",
                                            "[::1%2]:1",   "[::2]:1",     "[7f00:1::]:1", "unix:/a", "unix:/b"};
    for (size_t i = 0; i < COUNT_OF(different); i++)
        for (size_t k = 0; k < COUNT_OF(different); k++) {
            struct addr a, b;
            assert_int_equal(addr_parse(bytes_of(different[i]), &a), OK);
            assert_int_equal(addr_parse(bytes_of(different[k]), &b), OK);
            if (addr_equal(&a, &b) != (i == k))
                fail_msg("%s and %s", different[i], different[k]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses),
        cmocka_unit_test(addresses_with_ports),
        cmocka_unit_test(spans_are_not_read_past_their_end),
        cmocka_unit_test(paths_have_a_limit),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(loopback_is_recognised),
        cmocka_unit_test(each_part_makes_a_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
