/* Addresses as people write them: what is taken, what is refused, and that a password never gets into the trail. */
#include "net/format/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct good {
    const char *text, *host, *path, *authority;
    uint16_t port;
    bool tls;
};
static const struct good good[] = {
    {"http://nas", "nas", "/", "nas", 80, false},
    {"https://nas", "nas", "/", "nas", 443, true},
    {"https://127.0.0.1:2379", "127.0.0.1", "/", "127.0.0.1:2379", 2379, true},
    {"http://[::1]:2379/", "::1", "/", "[::1]:2379", 2379, false},
    {"https://[fe80::1%eth0]", "fe80::1%eth0", "/", "[fe80::1%eth0]", 443, true},
    {"http://a.b-c_d.e:80/x?y=z%20w", "a.b-c_d.e", "/x?y=z%20w", "a.b-c_d.e", 80, false},
    {"http://h?q", "h", "/?q", "h", 80, false},
    {"https://h:65535/@/:", "h", "/@/:", "h:65535", 65535, true},
    {"https://H.Example:80", "H.Example", "/", "H.Example:80", 80, true},
};

static void what_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct url u;
        char authority[URL_AUTHORITY_MAX];
        print_message("%s\n", good[i].text);
        assert_int_equal(url_parse(good[i].text, &u), OK);
        url_authority(&u, authority, sizeof authority);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.path, good[i].path);
        assert_string_equal(authority, good[i].authority);
        assert_int_equal(u.port, good[i].port);
        assert_int_equal(u.tls, good[i].tls);
    }
}

struct bad {
    const char *text, *words;
};
static const struct bad bad[] = {
    {"", "does not start with"},
    {"nas", "does not start with"},
    {"nas:2379", "\"nas:2379\" does not start with"},
    {"ftp://nas", "does not start with"},
    {"http:/nas", "does not start with"},
    {"http://", "has no host"},
    {"http://:80", "has no host"},
    {"http:///x", "has no host"},
    {"http://[]", "has no host"},
    {"http://[::1", "lacks its ]"},
    {"http://[nas]", "only an IPv6 address"},
    {"http://[::1]x", "is followed by"},
    {"http://[::1]]", "is followed by"},
    {"http://[::g z]", "has a character"},
    {"http://na s", "has a character"},
    {"http://nas%20", "has a character"},
    {"http://nas\\x", "has a character"},
    {"http://nas:", "is not 1..65535"},
    {"http://nas:0", "is not 1..65535"},
    {"http://nas:65536", "is not 1..65535"},
    {"http://nas:+80", "is not 1..65535"},
    {"http://nas:80x/", "is not 1..65535"},
    {"http://nas:99999999999999999999", "is not 1..65535"},
    {"http://nas/#top", "fragment"},
    {"http://nas#top", "fragment"},
    {"http://nas/a b", "needs %-encoding"},
    {"http://nas/\xc3\xa4", "needs %-encoding"},
    {"http://nas/\x01", "needs %-encoding"},
    {"http://root:hunter2@nas", "user names"},
    {"http://hunter2@nas", "user names"},
    {"http://root:hunter2@[::1]:80/x", "user names"},
    {"etcd://root:hunter2@nas", "does not start with"},
    {"root:hunter2@nas", "user names"},
};

static void what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct url u;
        char words[400];
        print_message("%s\n", bad[i].text);
        trail_clear();
        assert_int_equal(url_parse(bad[i].text, &u), E_INVALID);
        trail_text(E_INVALID, words, sizeof words);
        assert_non_null(strstr(words, bad[i].words));
        assert_null(strstr(words, "hunter2"));
    }
}

/* Each bound at its edge: the longest that fits, and one more. */
static void bounds(void **state)
{
    (void)state;
    char text[URL_PATH_MAX + 64];
    struct url u;
    for (int over = 0; over < 2; over++) {
        (void)snprintf(text, sizeof text, "http://%0*d", URL_HOST_MAX - 1 + over, 7);
        assert_int_equal(url_parse(text, &u), over ? E_INVALID : OK);
        (void)snprintf(text, sizeof text, "https://h/%0*d", URL_PATH_MAX - 3 + over, 7);
        assert_int_equal(url_parse(text, &u), over ? E_INVALID : OK);
    }
    trail_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_taken), cmocka_unit_test(what_is_refused),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
