/* What a token endpoint answers, and what a platform's URL may be. The life of tokens is told in tests/sim/test_oauth2.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board/rt/text.h"
#include "net/api/oauth2_inside.h"

#include <string.h>

static const struct {
    const char *name, *answer;
    err want;
    const char *authorization;
    int64_t life_s;
} answers[] = {
    {"usual", "{\"access_token\":\"abc\",\"token_type\":\"Bearer\",\"expires_in\":3600}", OK, "Bearer abc", 3600},
    {"more fields", "{\"scope\":\"x\",\"a\":[1,{\"b\":2}],\"access_token\":\"a.b-c_d~e+f/g=\"}", OK, "Bearer a.b-c_d~e+f/g=", 60},
    {"no expires_in", "{\"access_token\":\"t\"}", OK, "Bearer t", 60},
    {"expires_in 0", "{\"access_token\":\"t\",\"expires_in\":0}", OK, "Bearer t", 60},
    {"expires_in 1", "{\"access_token\":\"t\",\"expires_in\":1}", OK, "Bearer t", 1},
    {"negative", "{\"access_token\":\"t\",\"expires_in\":-5}", OK, "Bearer t", 60},
    {"null", "{\"access_token\":\"t\",\"expires_in\":null}", OK, "Bearer t", 60},
    {"as a text", "{\"access_token\":\"t\",\"expires_in\":\"300\"}", OK, "Bearer t", 300},
    {"for ever", "{\"access_token\":\"t\",\"expires_in\":1e18}", OK, "Bearer t", 60},
    {"a year", "{\"access_token\":\"t\",\"expires_in\":31536000}", OK, "Bearer t", 86400},
    {"escaped", "{\"access_token\":\"\\u0061b\"}", OK, "Bearer ab", 60},
    {"empty token", "{\"access_token\":\"\"}", E_PROTOCOL, NULL, 0},
    {"no token", "{\"expires_in\":3600}", E_PROTOCOL, NULL, 0},
    {"a number", "{\"access_token\":7}", E_PROTOCOL, NULL, 0},
    {"null token", "{\"access_token\":null}", E_PROTOCOL, NULL, 0},
    {"a blank in it", "{\"access_token\":\"a b\"}", E_PROTOCOL, NULL, 0},
    {"the end of a line in it", "{\"access_token\":\"a\\r\\nx: y\"}", E_PROTOCOL, NULL, 0},
    {"a zero in it", "{\"access_token\":\"a\\u0000b\"}", E_PROTOCOL, NULL, 0},
    {"not ASCII", "{\"access_token\":\"\xc3\xa4\"}", E_PROTOCOL, NULL, 0},
    {"not JSON", "<html></html>", E_PROTOCOL, NULL, 0},
    {"cut", "{\"access_token\":\"abc\",", E_PROTOCOL, NULL, 0},
    {"a list", "[]", E_PROTOCOL, NULL, 0},
    {"nothing", "", E_PROTOCOL, NULL, 0},
    {"an error, RFC 6749 5.2", "{\"error\":\"invalid_grant\",\"error_description\":\"no\"}", E_PROTOCOL, NULL, 0},
};

static void answers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct oauth2_token *t = NULL;
        int64_t life_s = 0;
        err e = oauth2_read(bytes_of(answers[i].answer), &t, &life_s);
        if (e != answers[i].want || (t != NULL) != (e == OK))
            fail_msg("%s: %s", answers[i].name, err_name(e));
        if (e == OK && (strcmp(t->authorization, answers[i].authorization) != 0 || life_s != answers[i].life_s))
            fail_msg("%s: %s for %d s", answers[i].name, t->authorization, (int)life_s);
        oauth2_release(t);
        trail_clear();
    }
}

static void a_token_has_a_bound(void **state)
{
    (void)state;
    static char answer[OAUTH2_ANSWER_MAX];
    for (unsigned more = 0; more < 2; more++) {
        struct oauth2_token *t = NULL;
        int64_t life_s = 0;
        struct text out = text_over(answer, sizeof answer);
        text_add(&out, "{\"access_token\":\"");
        for (size_t i = 0; i < OAUTH2_TOKEN_MAX + more; i++)
            text_add(&out, "x");
        text_add(&out, "\"}");
        assert_int_equal(oauth2_read((struct bytes){(const uint8_t *)answer, out.len}, &t, &life_s), more ? E_RANGE : OK);
        oauth2_release(t);
    }
    trail_clear();
}

static const struct {
    const char *name, *answer, *word;
} errors[] = {
    {"RFC 6749, 5.2", "{\"error\":\"invalid_client\"}", "invalid_client"},
    {"other words", "{\"error\":\"no_such_thing\",\"x\":1}", "no_such_thing"},
    {"a sentence", "{\"error\":\"assertion eyJhbGciOi was wrong\"}", ""},
    {"upper case", "{\"error\":\"Bad\"}", ""},
    {"too long", "{\"error\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", ""},
    {"an object", "{\"error\":{\"code\":5}}", ""},
    {"no JSON", "Unauthorized", ""},
    {"nothing", "", ""},
};

static void only_words_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        char word[OAUTH2_WORD_MAX];
        oauth2_error_word(bytes_of(errors[i].answer), word);
        if (strcmp(word, errors[i].word) != 0)
            fail_msg("%s: \"%s\"", errors[i].name, word);
    }
}

static const struct {
    const char *name, *url;
    bool allow_plaintext;
    err want;
    const char *base; /* what paths are appended to */
} urls[] = {
    {"https", "https://api.obsyk.ai", false, OK, ""},
    {"a slash at the end is cut", "https://api.obsyk.ai/", false, OK, ""},
    {"slashes", "https://api.obsyk.ai///", false, OK, ""},
    {"a path", "https://x/base", false, OK, "/base"},
    {"a path and a slash", "https://x/base/v1/", false, OK, "/base/v1"},
    {"http", "http://api.obsyk.ai", false, E_INVALID, NULL},
    {"http, allowed", "http://api.obsyk.ai", true, OK, ""},
    {"http to this host", "http://localhost:8080", false, OK, ""},
    {"http to 127.0.0.1", "http://127.0.0.1:8080/x/", false, OK, "/x"},
    {"http to 127.8.9.1", "http://127.8.9.1", false, OK, ""},
    {"http to ::1", "http://[::1]:8080", false, OK, ""},
    {"http to a name that begins so", "http://localhost.example.com", false, E_INVALID, NULL},
    {"http to 10.0.0.1", "http://10.0.0.1", false, E_INVALID, NULL},
    {"http to 0.0.0.0", "http://0.0.0.0", false, E_INVALID, NULL},
    {"a query", "https://x/?a=b", false, E_INVALID, NULL},
    {"a fragment", "https://x/#a", false, E_INVALID, NULL},
    {"user info", "https://a:b@x/", false, E_INVALID, NULL},
    {"ftp", "ftp://x", true, E_INVALID, NULL},
    {"none", "", false, E_INVALID, NULL},
};

static void platforms_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct url u;
        err e = oauth2_platform(urls[i].url, urls[i].allow_plaintext, &u);
        if (e != urls[i].want || (e == OK && strcmp(u.path, urls[i].base) != 0))
            fail_msg("%s: %s, \"%s\"", urls[i].name, err_name(e), e == OK ? u.path : "");
        trail_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(a_token_has_a_bound),
        cmocka_unit_test(only_words_are_told),
        cmocka_unit_test(platforms_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
