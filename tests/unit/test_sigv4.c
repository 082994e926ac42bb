/* sigv4: the published examples, bit for bit, and what is encoded how. */
#include "net/format/sigv4.h"

#include "tests/unit/check.h"

#include <string.h>

#define HOST      "examplebucket.s3.amazonaws.com"
#define FIELDS_IN 8
#define MAY_24    "20130524T000000Z"
#define AUGUST_30 "20150830T123600Z"

/* Amazon S3 API reference, "Examples: Signature Calculations"; the AWS SigV4 test suite's requests; AWS General Reference (IAM).
 * The secrets are published with them. */
static const struct sigv4_key s3_key = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"},
                              suite_key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"},
                              iam_key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam"};

static const struct {
    const char *name, *method, *path, *query, *date;
    const struct sigv4_key *key;
    struct sigv4_field fields[FIELDS_IN];
    const char *payload_hash, *signature;
} examples[] = {
    {"S3 get with a range",
     "GET",
     "/test.txt",
     "",
     MAY_24,
     &s3_key,
     {{"host", HOST}, {"range", "bytes=0-9"}, {"x-amz-content-sha256", SIGV4_EMPTY_HASH}, {"x-amz-date", MAY_24}},
     SIGV4_EMPTY_HASH,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"S3 put",
     "PUT",
     "/test%24file.text",
     "",
     MAY_24,
     &s3_key,
     {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
      {"host", HOST},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
      {"x-amz-date", MAY_24},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"S3 lifecycle: a parameter without value",
     "GET",
     "/",
     "lifecycle=",
     MAY_24,
     &s3_key,
     {{"host", HOST}, {"x-amz-content-sha256", SIGV4_EMPTY_HASH}, {"x-amz-date", MAY_24}},
     SIGV4_EMPTY_HASH,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"S3 list",
     "GET",
     "/",
     "max-keys=2&prefix=J",
     MAY_24,
     &s3_key,
     {{"host", HOST}, {"x-amz-content-sha256", SIGV4_EMPTY_HASH}, {"x-amz-date", MAY_24}},
     SIGV4_EMPTY_HASH,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"suite: get-vanilla",
     "GET",
     "/",
     "",
     AUGUST_30,
     &suite_key,
     {{"host", "example.amazonaws.com"}, {"x-amz-date", AUGUST_30}},
     SIGV4_EMPTY_HASH,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"suite: get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param1=value1&Param2=value2",
     AUGUST_30,
     &suite_key,
     {{"host", "example.amazonaws.com"}, {"x-amz-date", AUGUST_30}},
     SIGV4_EMPTY_HASH,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"suite: post-vanilla",
     "POST",
     "/",
     "",
     AUGUST_30,
     &suite_key,
     {{"host", "example.amazonaws.com"}, {"x-amz-date", AUGUST_30}},
     SIGV4_EMPTY_HASH,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"IAM: ListUsers",
     "GET",
     "/",
     "Action=ListUsers&Version=2010-05-08",
     AUGUST_30,
     &iam_key,
     {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
      {"host", "iam.amazonaws.com"},
      {"x-amz-date", AUGUST_30}},
     SIGV4_EMPTY_HASH,
     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
};

static void published_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        char got[SIGV4_AUTHORIZATION_MAX], wanted[SIGV4_AUTHORIZATION_MAX];
        struct text t = text_over(got, sizeof got), w = text_over(wanted, sizeof wanted);
        struct sigv4_request r = {examples[i].method,      examples[i].path, examples[i].query, examples[i].fields, 0,
                                  examples[i].payload_hash};
        text_addf(&w, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=", examples[i].key->access_key,
                  examples[i].date, examples[i].key->region, examples[i].key->service);
        while (r.field_count < FIELDS_IN && examples[i].fields[r.field_count].name) {
            text_addf(&w, "%s%s", r.field_count > 0 ? ";" : "", examples[i].fields[r.field_count].name);
            r.field_count++;
        }
        text_addf(&w, ", Signature=%s", examples[i].signature);
        sigv4_authorize(&r, examples[i].key, examples[i].date, &t);
        if (t.cut || strcmp(got, wanted) != 0)
            fail_msg("%s: %s", examples[i].name, got);
    }
}

/* A place that is too small, a region, a secret: what cannot be signed whole is not sent. */
static void too_long_is_told(void **state)
{
    char small[64], large[2048], filler[300];
    struct sigv4_request r = {"GET", "/", "", examples[4].fields, 2, SIGV4_EMPTY_HASH};
    const struct sigv4_key keys[] = {s3_key, {"a", "b", filler, "s3"}, {"a", filler, "us-east-1", "s3"}};
    (void)state;
    memset(filler, 'r', sizeof filler - 1);
    filler[sizeof filler - 1] = 0;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct text t = i == 0 ? text_over(small, sizeof small) : text_over(large, sizeof large);
        sigv4_authorize(&r, &keys[i], AUGUST_30, &t);
        assert_true(t.cut);
    }
}

static const struct {
    const char *name, *raw, *path, *param;
} encoded[] = {
    {"plain", "snapshots/etcd-1.db", "snapshots/etcd-1.db", "p=snapshots%2Fetcd-1.db"},
    {"unreserved", "AZaz09-._~", "AZaz09-._~", "p=AZaz09-._~"},
    {"reserved", "a b+c&d=e?f#g:h@i$j", "a%20b%2Bc%26d%3De%3Ff%23g%3Ah%40i%24j", "p=a%20b%2Bc%26d%3De%3Ff%23g%3Ah%40i%24j"},
    {"beyond ASCII", "\xc3\xa9\xff", "%C3%A9%FF", "p=%C3%A9%FF"},
    {"not normalised", "a/../b//c/.", "a/../b//c/.", "p=a%2F..%2Fb%2F%2Fc%2F."},
    {"percent and control", "100%\x01\x7f", "100%25%01%7F", "p=100%25%01%7F"},
    {"nothing", "", "", "p="},
};

static void encoding(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(encoded); i++) {
        char path[128], param[128];
        struct text p = text_over(path, sizeof path), q = text_over(param, sizeof param);
        sigv4_put_path(&p, bytes_of(encoded[i].raw));
        sigv4_put_param(&q, "p", bytes_of(encoded[i].raw));
        if (strcmp(path, encoded[i].path) != 0 || strcmp(param, encoded[i].param) != 0)
            fail_msg("%s: %s, %s", encoded[i].name, path, param);
        sigv4_put_param(&q, "q", bytes_of("1"));
        assert_string_equal(param + strlen(encoded[i].param), "&q=1");
    }
}

static const struct {
    int64_t epoch_s;
    const char *text;
} dates[] = {{0, "19700101T000000Z"},          {1440938160, AUGUST_30},           {1369353600, MAY_24},
             {951782399, "20000228T235959Z"},  {951868800, "20000301T000000Z"},   {-1, "19691231T235959Z"},
             {4102444800, "21000101T000000Z"}, {253402300799, "99991231T235959Z"}};

static void dates_as_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        char out[SIGV4_DATE_MAX];
        sigv4_date(dates[i].epoch_s, out);
        assert_string_equal(out, dates[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_examples), cmocka_unit_test(too_long_is_told),
                                       cmocka_unit_test(encoding), cmocka_unit_test(dates_as_signed)};
    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
