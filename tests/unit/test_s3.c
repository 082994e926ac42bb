/* s3: what answers mean, which options are taken, dates, odd documents, and an upload of as many parts as there may be. What
 * happens over time is in tests/sim/test_s3.c; real servers are met in tests/e2e/test_s3.py. */
#include "net/api/s3/s3_internal.h"

#include "board/rt/buf.h"
#include "board/rt/mem.h"
#include "net/proto/http_server.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <string.h>

/* --- dates --- */

static const struct {
    const char *name, *text;
    int64_t http_s, iso_s; /* 0: not one of these */
} dates[] = {
    {"http", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777, 0},
    {"http, the last second", "Thu, 31 Dec 2099 23:59:59 GMT", 4102444799, 0},
    {"http, a leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228799, 0},
    {"http, another zone", "Sun, 06 Nov 1994 08:49:37 CET", 0, 0},
    {"http, no month", "Sun, 06 Nxv 1994 08:49:37 GMT", 0, 0},
    {"http, no day", "Thu, 30 Feb 2023 08:49:37 GMT", 0, 0},
    {"http, letters", "Sun, 06 Nov 1994 08:4x:37 GMT", 0, 0},
    {"http, before 1970", "Sun, 06 Nov 1904 08:49:37 GMT", 0, 0},
    {"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", 0, 0},
    {"iso, milliseconds", "2009-10-12T17:50:30.000Z", 0, 1255369830},
    {"iso, none", "2009-10-12T17:50:30Z", 0, 1255369830},
    {"iso, nanoseconds", "2024-02-29T00:00:00.123456789Z", 0, 1709164800},
    {"iso, no zone", "2009-10-12T17:50:30.000", 0, 0},
    {"iso, no T", "2009-10-12 17:50:30.000Z", 0, 0},
    {"iso, hour 24", "2009-10-12T24:50:30Z", 0, 0},
    {"short", "Z", 0, 0},
    {"nothing", "", 0, 0},
};

static void dates_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++)
        if (http1_date_read(bytes_of(dates[i].text)) != dates[i].http_s || s3_iso_date(dates[i].text) != dates[i].iso_s)
            fail_msg("%s: %lld, %lld", dates[i].name, (long long)http1_date_read(bytes_of(dates[i].text)),
                     (long long)s3_iso_date(dates[i].text));
}

/* --- what answers mean --- */

static const struct {
    const char *name;
    unsigned status;
    const char *code, *message, *region;
    bool conditional;
    err wanted;
    enum s3_again again;
    const char *words;
} answers[] = {
    {"no key", 404, "NoSuchKey", "", "", false, E_ABSENT, S3_GIVE_UP, "404 NoSuchKey: no such key"},
    {"no bucket", 404, "NoSuchBucket", "", "", false, E_ABSENT, S3_GIVE_UP, "no such bucket"},
    {"404 of HEAD", 404, "", "", "", false, E_ABSENT, S3_GIVE_UP, "404: no such key, or no such bucket"},
    {"denied", 403, "AccessDenied", "", "", false, E_DENIED, S3_GIVE_UP, "policy"},
    {"unknown key, Amazon", 403, "InvalidAccessKeyId", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS,
     "does not know the access key"},
    {"unknown key, versitygw", 404, "XAdminUserNotFound", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS,
     "does not know the access key"},
    {"unknown key, s3s", 403, "NotSignedUp", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS, "does not know the access key"},
    {"signature", 403, "SignatureDoesNotMatch", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS, "check the secret key"},
    {"expired, 400", 400, "ExpiredToken", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS, "renew"},
    {"expired, 403", 403, "ExpiredToken", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS, "renew"},
    {"403 of HEAD", 403, "", "", "", false, E_DENIED, S3_AGAIN_CREDENTIALS, "not told why"},
    {"clock", 403, "RequestTimeTooSkewed", "", "", false, E_DENIED, S3_AGAIN_SKEWED, "clock"},
    {"exists", 412, "PreconditionFailed", "", "", true, E_EXISTS, S3_GIVE_UP, "there already"},
    {"412 without code", 412, "", "", "", true, E_EXISTS, S3_GIVE_UP, "there already"},
    {"conflict", 409, "ConditionalRequestConflict", "", "", true, E_EXISTS, S3_GIVE_UP, "another write"},
    {"409 of no condition", 409, "OperationAborted", "", "", true, E_REMOTE, S3_AGAIN, "under way"},
    {"no conditions: 501", 501, "NotImplemented", "", "", true, E_UNSUPPORTED, S3_GIVE_UP, "conditional"},
    {"no conditions: 400", 400, "InvalidArgument", "Unsupported header If-None-Match", "", true, E_UNSUPPORTED, S3_GIVE_UP,
     "conditional"},
    {"another argument", 400, "InvalidArgument", "part number", "", true, E_REMOTE, S3_AGAIN_CREDENTIALS,
     "InvalidArgument: part number"},
    {"501 otherwise", 501, "NotImplemented", "", "", false, E_UNSUPPORTED, S3_GIVE_UP, "does not do this"},
    {"too large", 400, "EntityTooLarge", "", "", false, E_RANGE, S3_GIVE_UP, "too large"},
    {"413", 413, "", "", "", false, E_RANGE, S3_GIVE_UP, "too large"},
    {"range", 416, "InvalidRange", "", "", false, E_RANGE, S3_GIVE_UP, "beyond"},
    {"part", 400, "InvalidPart", "", "", false, E_CORRUPT, S3_GIVE_UP, "part"},
    {"hash", 400, "XAmzContentSHA256Mismatch", "", "", false, E_CORRUPT, S3_AGAIN, "not what was sent"},
    {"slow down", 503, "SlowDown", "", "", false, E_REMOTE, S3_AGAIN, "too many requests"},
    {"429", 429, "", "", "", false, E_REMOTE, S3_AGAIN, "too many requests"},
    {"500", 500, "InternalError", "", "", false, E_REMOTE, S3_AGAIN, "the server failed"},
    {"a proxy's 502", 502, "", "", "", false, E_REMOTE, S3_AGAIN, "502: the server failed"},
    {"a late error", 200, "InternalError", "", "", false, E_REMOTE, S3_AGAIN, "200 InternalError"},
    {"their timeout", 400, "RequestTimeout", "", "", false, E_TIMEOUT, S3_AGAIN, "in the server's time"},
    {"region by header", 301, "PermanentRedirect", "", "eu-west-1", false, E_INVALID, S3_GIVE_UP, "region eu-west-1, set that"},
    {"region of HEAD", 301, "", "", "eu-west-1", false, E_INVALID, S3_GIVE_UP, "region eu-west-1, set that"},
    {"region in the body", 400, "AuthorizationHeaderMalformed", "", "eu-west-1", false, E_INVALID, S3_GIVE_UP,
     "region eu-west-1, set that"},
    {"another endpoint", 307, "TemporaryRedirect", "", "", false, E_INVALID, S3_GIVE_UP, "endpoint"},
    {"quota", 403, "QuotaExceeded", "", "", false, E_NOSPACE, S3_GIVE_UP, "quota"},
    {"507", 507, "", "", "", false, E_NOSPACE, S3_GIVE_UP, "full"},
    {"an unknown code", 418, "Teapot", "short and stout", "", false, E_REMOTE, S3_GIVE_UP, "418 Teapot: short and stout"},
};

static void answers_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct s3_call call = {.if_none_match = answers[i].conditional, .answer = {.status = answers[i].status}};
        enum s3_again again;
        char text[512];
        s3_answer_field(&call.answer, "Code", answers[i].code);
        s3_answer_field(&call.answer, "Message", answers[i].message);
        s3_answer_field(&call.answer, "Region", answers[i].region);
        err e = s3_answer_error(&call, &again);
        trail_text(e, text, sizeof text);
        if (e != answers[i].wanted || again != answers[i].again || !strstr(text, answers[i].words))
            fail_msg("%s: %s, %d: %s", answers[i].name, err_name(e), again, text);
        trail_clear();
    }
}

/* What somebody else wrote is cut, and made harmless; a code that is no word is none. */
static void answers_are_harmless(void **state)
{
    struct s3_call call = {.answer = {.status = 400}};
    enum s3_again again;
    char text[512], message[300];
    (void)state;
    memset(message, 'm', sizeof message - 1);
    message[sizeof message - 1] = 0;
    memcpy(message, "\x1b[0m\n", 5);
    s3_answer_field(&call.answer, "Code", "<b>\n");
    assert_string_equal(call.answer.code, "");
    s3_answer_field(&call.answer, "Code", "Odd");
    s3_answer_field(&call.answer, "Message", message);
    s3_answer_field(&call.answer, "Region", "a region");
    assert_string_equal(call.answer.region, "");
    err e = s3_answer_error(&call, &again);
    trail_text(e, text, sizeof text);
    assert_non_null(strstr(text, "Odd:  [0m mm"));
    assert_null(strchr(text, '\x1b'));
    assert_true(strlen(text) < 120);
    trail_clear();
}

/* --- options --- */

static err no_credentials(void *arg, struct s3_credentials *out)
{
    (void)arg;
    (void)out;
    return trail(E_ABSENT, "reading /the/keys");
}

static const struct {
    const char *name, *endpoint, *bucket;
    enum s3_addressing addressing;
    err wanted;
    const char *words;
} opens[] = {
    {"path", "http://localhost:9000", "backups", S3_PATH, OK, ""},
    {"virtual", "http://localhost:9000/", "backups", S3_VIRTUAL, OK, ""},
    {"an address, path", "http://[::1]:9000", "backups", S3_PATH, OK, ""},
    {"an address, virtual", "http://127.0.0.1:9000", "backups", S3_VIRTUAL, E_INVALID, "use path"},
    {"no URL", "localhost", "backups", S3_PATH, E_INVALID, "the endpoint"},
    {"a path", "http://localhost/backups", "backups", S3_PATH, E_INVALID, "has a path"},
    {"https without TLS", "https://localhost", "backups", S3_PATH, E_INVALID, "without TLS"},
    {"no bucket", "http://localhost", "", S3_PATH, E_INVALID, "not the name of a bucket"},
    {"a short bucket", "http://localhost", "ab", S3_PATH, E_INVALID, "not the name of a bucket"},
    {"a path for a bucket", "http://localhost", "a/b", S3_PATH, E_INVALID, "not the name of a bucket"},
    {"dots", "http://localhost", "...", S3_PATH, E_INVALID, "not the name of a bucket"},
    {"a long bucket", "http://localhost", "0123456789012345678901234567890123456789012345678901234567890123", S3_PATH, E_INVALID,
     "not the name of a bucket"},
};

static err options_run(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT_OF(opens); i++) {
        struct s3_options o = {.endpoint = opens[i].endpoint, .bucket = opens[i].bucket, .addressing = opens[i].addressing};
        struct s3 *c = NULL;
        char text[512];
        o.credentials = no_credentials;
        err e = s3_open(&o, &c);
        trail_take(e, text, sizeof text);
        if (e != opens[i].wanted || !strstr(text, opens[i].words))
            print_error("%s: %s: %s\n", opens[i].name, err_name(e), text);
        CHECK(e == opens[i].wanted && strstr(text, opens[i].words) && (e == OK) == (c != NULL));
        s3_close(c);
    }
    s3_close(NULL);
    return OK;
}

static void options_are_checked(void **state)
{
    (void)state;
    fibers_run(options_run, NULL, OK);
}

/* --- a server that says what the test wants --- */

#define UPLOAD_ID "2~an-upload_id/with+odd=characters"

static struct {
    const char *document; /* of every GET */
    unsigned parts, parts_wanted, part_bytes;
    uint64_t bytes, completed_bytes;
    char etag[S3_ETAG_MAX]; /* of every part, "%u" in it: its number */
} peer;

static err body_drop(struct http_exchange *x, uint64_t *bytes)
{
    static uint8_t piece[KIB(16)];
    size_t got = 1;
    while (got > 0) {
        TRY(http_read_body(x, piece, sizeof piece, &got));
        *bytes += got;
    }
    return OK;
}

static err part_take(struct http_exchange *x)
{
    char etag[S3_ETAG_MAX + 12];
    TRY(body_drop(x, &peer.bytes));
    (void)snprintf(etag, sizeof etag, peer.etag, ++peer.parts); /* NOLINT: a format of the test's own */
    TRY(http_add_header(x, "etag", etag));
    return http_answer(x, 200, NULL, (struct bytes){NULL, 0});
}

static err posted(struct http_exchange *x)
{
    static const char begun[] =
        "<InitiateMultipartUploadResult><UploadId>" UPLOAD_ID "</UploadId></InitiateMultipartUploadResult>",
                      done[] = "<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>";
    bool opens_one = bytes_equal_text(http_request_of(x)->query, "uploads=");
    TRY(body_drop(x, &peer.completed_bytes));
    return http_answer(x, 200, "application/xml", bytes_of(opens_one ? begun : done));
}

static err handle(void *arg, struct http_exchange *x)
{
    (void)arg;
    enum http1_method method = http_request_of(x)->method;
    if (method == HTTP1_PUT)
        return part_take(x);
    if (method == HTTP1_POST)
        return posted(x);
    if (method == HTTP1_GET)
        return http_answer(x, 200, "application/xml", bytes_of(peer.document));
    TRY(http_start(x, 200, NULL, (int64_t)peer.bytes));
    return http_finish(x);
}

static err keys(void *arg, struct s3_credentials *out)
{
    (void)arg;
    (void)snprintf(out->access_key, sizeof out->access_key, "AK");
    (void)snprintf(out->secret_key, sizeof out->secret_key, "SK");
    return OK;
}

/* Runs body with a client of that server. */
static err with_server(err (*body)(struct s3 *c))
{
    static const struct dns_config numeric = {.ndots = 1, .timeout_s = 1, .attempts = 1};
    struct http_server_options o = {.name = "s3", .task = TASK_METRICS, .handle = handle};
    struct http_server *server = NULL;
    struct s3_options options = {.bucket = "backups", .credentials = keys};
    struct s3 *c = NULL;
    char url[64], where[ADDR_TEXT_MAX];
    o.limits.body_bytes = MIB(16);
    TRY(addr_parse(bytes_of("127.0.0.1:0"), &o.at));
    TRY(dns_open_with(&numeric, &options.dns));
    err e = http_server_start(&o, &server);
    if (e == OK) {
        (void)snprintf(url, sizeof url, "http://%s", addr_text(http_server_address(server), where, sizeof where));
        options.endpoint = url;
        e = s3_open(&options, &c);
    }
    if (e == OK)
        e = body(c);
    s3_close(c);
    http_server_stop(server, loop_now() + SECONDS(1));
    dns_close(options.dns);
    return e;
}

/* --- as many parts as there may be --- */

static err parts_send(struct s3_upload *u)
{
    ms deadline = loop_now() + SECONDS(100);
    for (unsigned i = 1; i <= peer.parts_wanted; i++)
        TRY(s3_upload_part(u, i, bytes_of("x"), deadline));
    CHECK(s3_upload_part(u, peer.parts_wanted, bytes_of("x"), deadline) == E_INVALID);
    CHECK(s3_upload_part(u, peer.parts_wanted + 1, bytes_of(""), deadline) == E_INVALID);
    if (peer.parts_wanted == S3_PARTS_MAX)
        CHECK(s3_upload_part(u, S3_PARTS_MAX + 1, bytes_of("x"), deadline) == E_RANGE);
    trail_clear();
    return OK;
}

static err parts_run(struct s3 *c)
{
    struct s3_upload *u = NULL;
    struct s3_object o;
    TRY(s3_upload_open(c, "k", NULL, loop_now() + SECONDS(10), &u));
    CHECK(strcmp(s3_upload_id(u), UPLOAD_ID) == 0);
    size_t before = mem_use(TASK_BOARD).used_bytes;
    err e = parts_send(u);
    size_t grown = mem_use(TASK_BOARD).used_bytes - before;
    if (e == OK)
        e = s3_upload_complete(u, true, loop_now() + SECONDS(20), &o);
    CHECK(e != OK || (o.bytes == peer.parts_wanted && o.confirmed));
    print_message("%u parts with ETags of %zu bytes: %zu bytes of heap, a document of %llu\n", peer.parts, strlen(peer.etag) + 2,
                  grown, (unsigned long long)peer.completed_bytes);
    CHECK(grown < peer.parts * (peer.part_bytes + 1) + KIB(4)); /* blocks have a header and an end that is not used */
    s3_upload_close(u);
    return e;
}

static const struct shape {
    const char *etag;
    unsigned parts, each_bytes;
} shapes[] = {{"\"0123456789abcdef01234567%08x\"", S3_PARTS_MAX, 17},
              {"an-etag-of-another-shape-that-is-as-long-as-one-can-be&<>%06u", 1000, 65},
              {"\"0123456789ABCDEF01234567%08X\"", 300, 35}};

static err all_parts(void *arg)
{
    const struct shape *shape = arg;
    memset(&peer, 0, sizeof peer);
    peer.parts_wanted = shape->parts;
    peer.part_bytes = shape->each_bytes;
    (void)snprintf(peer.etag, sizeof peer.etag, "%s", shape->etag);
    TRY(with_server(parts_run));
    CHECK(peer.parts == shape->parts);
    /* <Part><PartNumber>n</PartNumber><ETag>…</ETag></Part>: each at least 60 bytes and its ETag */
    CHECK(peer.completed_bytes > peer.parts * 80u && peer.completed_bytes < peer.parts * 200u);
    return OK;
}

static void many_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        fibers_run(all_parts, (void *)(uintptr_t)&shapes[i], OK);
}

/* --- odd lists --- */

#define LIST(inside) "<ListBucketResult>" inside "</ListBucketResult>"
#define ITEM(key)    "<Contents><Key>" key "</Key><Size>1</Size></Contents>"
#define TRUNCATED    "<IsTruncated>true</IsTruncated>"
#define KEY_16       "0123456789abcdef"
#define KEY_256      KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16 KEY_16
#define KEY_1024     KEY_256 KEY_256 KEY_256 KEY_256

static const struct {
    const char *name, *document;
    err wanted;
    const char *keys, *words; /* keys with ';' behind each; words in the trail */
} lists[] = {
    {"none", LIST("<IsTruncated>false</IsTruncated>"), OK, "", ""},
    {"a prefix of names",
     "<s:ListBucketResult xmlns:s='u'><s:Contents><s:Size>1</s:Size><s:Key>a</s:Key></s:Contents></s:ListBucketResult>", OK, "a;",
     ""},
    {"keys as they are", LIST(ITEM("a%41+&amp;&#32;&lt;b&gt; ")), OK, "a%41+& <b> ;", ""},
    {"a control character", LIST(ITEM("a&#x1;b")), OK, "a\001b;", ""},
    {"the longest key", LIST(ITEM(KEY_1024)), OK, KEY_1024 ";", ""},
    {"a key that is too long", LIST(ITEM("a") ITEM(KEY_1024 "x")), E_PROTOCOL, "a;", "a key of 0 or more than 1024 bytes"},
    {"an empty key", LIST(ITEM("")), E_PROTOCOL, "", "a key of 0"},
    {"no key", LIST("<Contents><Size>1</Size></Contents>"), E_PROTOCOL, "", "without key"},
    {"no size", LIST("<Contents><Key>a</Key></Contents>"), E_PROTOCOL, "", "without size"},
    {"a size that is none", LIST("<Contents><Key>a</Key><Size>-1</Size></Contents>"), E_PROTOCOL, "", "without size"},
    {"an owner with a key", LIST("<Contents><Key>a</Key><Owner><Key>b</Key></Owner><Size>1</Size></Contents>"), OK, "a;", ""},
    {"common prefixes", LIST("<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>" ITEM("a")), OK, "a;", ""},
    {"twice the same", LIST(ITEM("a") ITEM("a")), E_PROTOCOL, "a;", "the same entry twice"},
    {"no end", LIST(TRUNCATED), E_PROTOCOL, "", "gives nothing"},
    {"the same page for ever", LIST(ITEM("a") TRUNCATED), E_PROTOCOL, "a;", "the same entry twice"},
    {"another document", "<html><body>Welcome</body></html>", OK, "", ""},
    {"no XML", "Welcome", E_PROTOCOL, "", "outside of the root"},
    {"a DTD", "<!DOCTYPE x>" LIST(""), E_PROTOCOL, "", "document type"},
    {"a wall of text", LIST("<NextContinuationToken>" KEY_1024 KEY_1024 "</NextContinuationToken>"), E_PROTOCOL, "",
     "more than 2047 bytes"},
};

static char listed[KIB(4)];

static err key_see(void *arg, const struct s3_item *item)
{
    size_t len = strlen(listed);
    (void)arg;
    (void)snprintf(listed + len, sizeof listed - len, "%s;", item->key);
    return OK;
}

static err lists_run(struct s3 *c)
{
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        char text[1024];
        peer.document = lists[i].document;
        *listed = 0;
        err e = s3_list(c, "", "", SECONDS(10), key_see, NULL);
        trail_take(e, text, sizeof text);
        bool good = e == lists[i].wanted && strcmp(listed, lists[i].keys) == 0 && strstr(text, lists[i].words);
        if (!good)
            print_error("%s: %s, %.60s: %s\n", lists[i].name, err_name(e), listed, text);
        CHECK(good);
    }
    return OK;
}

static err lists_all(void *arg)
{
    (void)arg;
    return with_server(lists_run);
}

static void odd_lists(void **state)
{
    (void)state;
    fibers_run(lists_all, NULL, OK);
}

static int boot(void **state)
{
    static struct profile p;
    (void)state;
    p = profile_hub32;
    p.task[TASK_BOARD].heap_bytes = MIB(2);
    p.total_bytes += MIB(2);
    p.task[TASK_BOARD].connections = 8;
    return mem_boot(&p, MEM_LAZY) == OK && buf_boot() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read),      cmocka_unit_test(answers_mean), cmocka_unit_test(answers_are_harmless),
        cmocka_unit_test(options_are_checked), cmocka_unit_test(odd_lists),    cmocka_unit_test(many_parts)};
    print_message("struct s3: %zu bytes\n", sizeof(struct s3));
    return cmocka_run_group_tests_name("s3", tests, boot, NULL);
}
