#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/format/dns_message.h"
#include "net/format/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers are written as: two hex digits a byte, 'text' as its bytes, spaces between. */
static struct bytes wire(const char *script, uint8_t *out, size_t cap)
{
    size_t len = 0;
    for (const char *s = script; *s != 0; s++) {
        assert_true(len < cap);
        if (*s == ' ')
            continue;
        if (*s == '\'') {
            for (s++; *s != '\''; s++)
                out[len++] = (uint8_t)*s;
            continue;
        }
        out[len++] = (uint8_t)(hex_digit((uint8_t)s[0]) << 4 | hex_digit((uint8_t)s[1]));
        s++;
    }
    return (struct bytes){out, len};
}

#define FLAGS_OK          "8180 "
#define QUESTION          "03 'www' 01 'x' 00 0001 0001 " /* at byte 12; 11 bytes; answers begin at byte 23 */
#define HEAD(counts)      "1234 " FLAGS_OK "0001 " counts QUESTION
#define A_RECORD(ttl, ip) "c00c 0001 0001 " ttl " 0004 " ip " "

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253                                                                                                                 \
    LABEL_63 "." LABEL_63 "." LABEL_63 "."                                                                                       \
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABEL_61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define WIRE_192 "3f '" LABEL_63 "' 3f '" LABEL_63 "' 3f '" LABEL_63 "' "
#define ALIAS    "c00c 0005 0001 00000005 0002 c00c "

static const struct {
    const char *name, *message, *wanted;
} answers[] = {
    {"one address", HEAD("0001 0000 0000 ") A_RECORD("0000003c", "01020304"), "rcode=0 ttl=60 1.2.3.4"},
    {"two, least TTL", HEAD("0002 0000 0000 ") A_RECORD("0000003c", "01020304") A_RECORD("0000000a", "01020305"),
     "rcode=0 ttl=10 1.2.3.4 1.2.3.5"},
    {"name spelt out, other case", HEAD("0001 0000 0000 ") "03 'WwW' 01 'X' 00 0001 0001 00000001 0004 7f000001",
     "rcode=0 ttl=1 127.0.0.1"},
    {"question in other case", "1234 8180 0001 0001 0000 0000 03 'WWW' 01 'X' 00 0001 0001 " A_RECORD("00000001", "7f000001"),
     "rcode=0 ttl=1 127.0.0.1"},
    {"alias",
     HEAD("0002 0000 0000 ") "c00c 0005 0001 00000005 0004 01 'y' c010 " /* y.x at byte 35 */
                             "c023 0001 0001 0000003c 0004 01020304",
     "rcode=0 ttl=5 1.2.3.4"},
    {"alias without address", HEAD("0001 0000 0000 ") "c00c 0005 0001 00000005 0004 01 'y' c010", "rcode=0 ttl=5"},
    {"other name's address", HEAD("0001 0000 0000 ") "01 'z' 00 0001 0001 0000003c 0004 01020304", "rcode=0 ttl=0"},
    {"other type beside it", HEAD("0002 0000 0000 ") "c00c 0010 0001 00000001 0002 01 'a' " A_RECORD("0000003c", "01020304"),
     "rcode=0 ttl=60 1.2.3.4"},
    {"other class", HEAD("0001 0000 0000 ") "c00c 0001 0003 0000003c 0004 01020304", "rcode=0 ttl=0"},
    {"TTL with the top bit", HEAD("0001 0000 0000 ") A_RECORD("80000000", "01020304"), "rcode=0 ttl=0 1.2.3.4"},
    {"no such name, SOA",
     "1234 8183 0001 0000 0001 0000 " QUESTION "c010 0006 0001 0000012c 0016 00 00 00000001 00000002 00000003 00000004 0000001e",
     "rcode=3 ttl=30"},
    {"no such record", HEAD("0000 0000 0000 "), "rcode=0 ttl=0"},
    {"refused without question", "1234 8105 0000 0000 0000 0000", "rcode=5 ttl=0"},
    {"truncated", "1234 8380 0001 0005 0000 0000 " QUESTION, "rcode=0 ttl=0 truncated"},

    {"other id", "1235 8180 0001 0001 0000 0000 " QUESTION A_RECORD("0000003c", "01020304"), "E_AGAIN"},
    {"a query", "1234 0100 0001 0000 0000 0000 " QUESTION, "E_AGAIN"},
    {"other opcode", "1234 a180 0001 0000 0000 0000 " QUESTION, "E_AGAIN"},
    {"other name", "1234 8180 0001 0000 0000 0000 03 'wwv' 01 'x' 00 0001 0001", "E_AGAIN"},
    {"longer name", "1234 8180 0001 0000 0000 0000 03 'www' 02 'xx' 00 0001 0001", "E_AGAIN"},
    {"other type", "1234 8180 0001 0000 0000 0000 03 'www' 01 'x' 00 001c 0001", "E_AGAIN"},
    {"no question", "1234 8180 0000 0000 0000 0000", "E_AGAIN"},
    {"two questions", "1234 8180 0002 0000 0000 0000 " QUESTION QUESTION, "E_AGAIN"},
    {"empty", "", "E_PROTOCOL"},
    {"cut header", "1234 8180 0001 0000 0000 00", "E_PROTOCOL"},
    {"cut question", "1234 8180 0001 0000 0000 0000 03 'ww'", "E_PROTOCOL"},
    {"fewer answers than told", HEAD("0002 0000 0000 ") A_RECORD("0000003c", "01020304"), "E_PROTOCOL"},
    {"address of 3 bytes", HEAD("0001 0000 0000 ") "c00c 0001 0001 0000003c 0003 010203", "E_PROTOCOL"},
    {"address of 5 bytes", HEAD("0001 0000 0000 ") "c00c 0001 0001 0000003c 0005 0102030405", "E_PROTOCOL"},
    {"data beyond the end", HEAD("0001 0000 0000 ") "c00c 0001 0001 0000003c 0005 01020304", "E_PROTOCOL"},
    {"pointer to itself", HEAD("0001 0000 0000 ") "c017 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"pointer forward", HEAD("0001 0000 0000 ") "c019 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"pointer beyond the end", HEAD("0001 0000 0000 ") "ffff 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"label then pointer to that label", HEAD("0001 0000 0000 ") "01 'a' c017 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"half a pointer", HEAD("0001 0000 0000 ") "c0", "E_PROTOCOL"},
    {"label type 01", HEAD("0001 0000 0000 ") "41 'a' 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"label type 10", HEAD("0001 0000 0000 ") "81 'a' 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"dot in a label", HEAD("0001 0000 0000 ") "03 'a.b' 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"zero in a label", HEAD("0001 0000 0000 ") "01 00 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"alias data too long", HEAD("0001 0000 0000 ") "c00c 0005 0001 00000005 0005 01 'y' c010 00", "E_PROTOCOL"},
    {"alias data too short", HEAD("0001 0000 0000 ") "c00c 0005 0001 00000005 0003 01 'y' c010", "E_PROTOCOL"},
    {"aliases in a ring",
     HEAD("0009 0000 0000 ") "c00c 0005 0001 00000005 0002 c00c c00c 0005 0001 00000005 0002 c00c "
                             "c00c 0005 0001 00000005 0002 c00c c00c 0005 0001 00000005 0002 c00c c00c 0005 0001 00000005 0002 "
                             "c00c "
                             "c00c 0005 0001 00000005 0002 c00c c00c 0005 0001 00000005 0002 c00c c00c 0005 0001 00000005 0002 "
                             "c00c "
                             "c00c 0005 0001 00000005 0002 c00c",
     "E_PROTOCOL"},
    {"8 aliases", HEAD("0009 0000 0000 ") ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS A_RECORD("0000003c", "01020304"),
     "rcode=0 ttl=5 1.2.3.4"},
    {"9 aliases", HEAD("000a 0000 0000 ") ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS ALIAS A_RECORD("0000003c", "01020304"),
     "E_PROTOCOL"},
    {"longest name", HEAD("0001 0000 0000 ") WIRE_192 "3d '" LABEL_61 "' 00 0001 0001 0000003c 0004 01020304", "rcode=0 ttl=0"},
    {"name too long", HEAD("0001 0000 0000 ") WIRE_192 "3e 'a" LABEL_61 "' 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"label of 65", HEAD("0001 0000 0000 ") "41 'aa" LABEL_63 "' 00 0001 0001 0000003c 0004 01020304", "E_PROTOCOL"},
    {"all of a label", HEAD("0001 0000 0000 ") "08 '09AZaz-_' 00 0001 0001 0000003c 0004 01020304", "rcode=0 ttl=0"},
    {"largest TTL", HEAD("0001 0000 0000 ") A_RECORD("7fffffff", "01020304"), "rcode=0 ttl=2147483647 1.2.3.4"},
    {"SOA beside an address",
     "1234 8180 0001 0001 0001 0000 " QUESTION A_RECORD(
         "0000003c", "01020304") "c010 0006 0001 0000012c 0016 00 00 00000001 00000002 00000003 00000004 0000001e",
     "rcode=0 ttl=60 1.2.3.4"},
    {"name server in the authority", "1234 8180 0001 0000 0001 0000 " QUESTION "c010 0002 0001 0000012c 0002 c00c",
     "rcode=0 ttl=0"},
    {"SOA of another class",
     "1234 8183 0001 0000 0001 0000 " QUESTION "c010 0006 0003 0000012c 0016 00 00 00000001 00000002 00000003 00000004 0000001e",
     "rcode=3 ttl=0"},
    {"SOA whose own TTL is less",
     "1234 8183 0001 0000 0001 0000 " QUESTION "c010 0006 0001 00000007 0016 00 00 00000001 00000002 00000003 00000004 0000001e",
     "rcode=3 ttl=7"},
    {"129 records", HEAD("0081 0000 0000 "), "E_PROTOCOL"},
    {"SOA too short", "1234 8183 0001 0000 0001 0000 " QUESTION "c010 0006 0001 0000012c 0003 000000", "E_PROTOCOL"},
};

static const char *told(err e, const struct dns_reply *a, char *out, size_t cap)
{
    struct text t = text_over(out, cap);
    if (e != OK) {
        text_add(&t, err_name(e));
        return out;
    }
    text_addf(&t, "rcode=%u ttl=%u", a->rcode, a->ttl_s);
    for (unsigned i = 0; i < a->address_count; i++) {
        const uint8_t *ip = a->addresses[i].ip;
        assert_int_equal(a->addresses[i].kind, ADDR_IPV4);
        text_addf(&t, " %u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
    }
    text_add(&t, a->truncated ? " truncated" : "");
    return out;
}

static const struct dns_question www = {.id = 0x1234, .type = DNS_A, .name = "www.x."};

static void parses_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        uint8_t storage[1024];
        struct bytes message = wire(answers[i].message, storage, sizeof storage);
        struct dns_reply a;
        char out[256];
        uint8_t *exact = malloc(message.len + 1); /* so that the sanitizer sees a read beyond it */
        assert_non_null(exact);
        memcpy(exact, message.at, message.len);
        if (strcmp(told(dns_parse_answer((struct bytes){exact, message.len}, &www, &a), &a, out, sizeof out),
                   answers[i].wanted) != 0)
            fail_msg("%s: %s", answers[i].name, out);
        free(exact);
    }
}

static void every_cut_is_an_error(void **state)
{
    (void)state;
    uint8_t storage[1024];
    struct bytes m = wire(answers[4].message, storage, sizeof storage);
    for (size_t len = 0; len < m.len; len++) {
        struct dns_reply a;
        assert_int_equal(dns_parse_answer((struct bytes){m.at, len}, &www, &a), E_PROTOCOL);
    }
}

static void too_many_are_left_out(void **state)
{
    (void)state;
    static char script[8192];
    static uint8_t storage[4096];
    struct dns_reply a;
    struct text t = text_over(script, sizeof script);
    text_add(&t, HEAD("0080 0000 0000 ")); /* DNS_RECORDS_MAX */
    for (unsigned i = 0; i < DNS_RECORDS_MAX; i++)
        text_addf(&t, A_RECORD("0000003c", "010203%02x"), i);
    assert_int_equal(dns_parse_answer(wire(script, storage, sizeof storage), &www, &a), OK);
    assert_int_equal(a.address_count, DNS_REPLY_ADDRESSES_MAX);
    assert_int_equal(a.left_out, DNS_RECORDS_MAX - DNS_REPLY_ADDRESSES_MAX);
    assert_int_equal(a.addresses[DNS_REPLY_ADDRESSES_MAX - 1].ip[3], DNS_REPLY_ADDRESSES_MAX - 1);
}

static void six_and_services(void **state)
{
    (void)state;
    uint8_t storage[1024];
    struct dns_reply a;
    struct dns_question q = {.id = 1, .type = DNS_AAAA, .name = "h"};
    struct bytes m = wire("0001 8580 0001 0001 0000 0000 01 'h' 00 001c 0001 c00c 001c 0001 00000007 0010 "
                          "20010db8 00000000 00000000 00000001",
                          storage, sizeof storage);
    assert_int_equal(dns_parse_answer(m, &q, &a), OK);
    assert_true(a.authoritative && a.address_count == 1 && a.addresses[0].kind == ADDR_IPV6 && a.addresses[0].ip[15] == 1);

    q = (struct dns_question){.id = 1, .type = DNS_SRV, .name = "_e._tcp.h"};
    m = wire("0001 8180 0001 0002 0000 0000 02 '_e' 04 '_tcp' 01 'h' 00 0021 0001 "
             "c00c 0021 0001 00000007 000a 0001 0002 094b 01 'a' c014 "
             "c00c 0021 0001 00000007 0007 0000 0000 0000 00",
             storage, sizeof storage);
    assert_int_equal(dns_parse_answer(m, &q, &a), OK);
    assert_int_equal(a.service_count, 2);
    assert_true(a.services[0].priority == 1 && a.services[0].weight == 2 && a.services[0].port == 2379);
    assert_string_equal(a.services[0].target, "a.h");
    assert_string_equal(a.services[1].target, ".");
}

static const struct {
    const char *name;
    bool is_valid;
} names[] = {
    {"a", true},           {"a.b", true},         {"a.b.", true},       {"_etcd-server._tcp.x", true},
    {"1", true},           {NAME_253, true},      {NAME_253 ".", true}, {"", false},
    {".", false},          {"a..b", false},       {".a", false},        {"a b", false},
    {"a/b", false},        {LABEL_63 "a", false}, {"a..", false},       {"a\xff", false},
    {NAME_253 "a", false},
};

static void names_and_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (dns_name_is_valid(names[i].name) != names[i].is_valid)
            fail_msg("%s", names[i].name);
    uint8_t out[DNS_QUERY_MAX], wanted[64];
    size_t len = 0;
    struct bytes w = wire("1234 0100 0001 0000 0000 0000 " QUESTION, wanted, sizeof wanted);
    assert_int_equal(dns_build_query(&www, out, sizeof out, &len), OK);
    assert_int_equal((int)len, (int)w.len);
    assert_memory_equal(out, w.at, w.len);
    assert_int_equal(dns_build_query(&www, out, w.len, &len), OK);
    assert_int_equal(dns_build_query(&www, out, w.len - 1, &len), E_RANGE);
    struct dns_question longest = {.type = DNS_A, .name = NAME_253}, bad = {.type = DNS_A, .name = "a..b"};
    assert_int_equal(dns_build_query(&longest, out, sizeof out, &len), OK);
    assert_int_equal(dns_build_query(&bad, out, sizeof out, &len), E_INVALID);
    assert_true(dns_name_equal("AZ.b", "az.B."));
    assert_false(dns_name_equal("a-", "a\r"));
    assert_false(dns_name_equal("a.b", "a.c"));
    assert_false(dns_name_equal("a", "a.b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_answers),   cmocka_unit_test(every_cut_is_an_error), cmocka_unit_test(too_many_are_left_out),
        cmocka_unit_test(six_and_services), cmocka_unit_test(names_and_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
