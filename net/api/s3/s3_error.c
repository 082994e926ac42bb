/* s3_error: what S3's answers mean. Amazon S3 API reference, "Error responses"; what other servers add stands beside it. */
#include "net/api/s3/s3_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/*    code                            error          again        words: what it is, and what to do */
#define S3_CODE_TABLE(X)                                                                                                         \
    X("NoSuchKey", E_ABSENT, GIVE_UP, "no such key")                                                                             \
    X("NoSuchBucket", E_ABSENT, GIVE_UP, "no such bucket: create it, or correct its name")                                       \
    X("NoSuchUpload", E_ABSENT, GIVE_UP, "no such upload")                                                                       \
    X("AccessDenied", E_DENIED, GIVE_UP, "the policy of this access key does not allow it")                                      \
    X("AllAccessDisabled", E_DENIED, GIVE_UP, "access to the bucket is disabled")                                                \
    X("AccountProblem", E_DENIED, GIVE_UP, "the account has a problem: ask the provider")                                        \
    X("XAdminUserNotFound", E_DENIED, AGAIN_CREDENTIALS, "the server does not know the access key") /* versitygw */              \
    X("NotSignedUp", E_DENIED, AGAIN_CREDENTIALS, "the server does not know the access key")        /* s3s */                    \
    X("InvalidAccessKeyId", E_DENIED, AGAIN_CREDENTIALS, "the server does not know the access key")                              \
    X("SignatureDoesNotMatch", E_DENIED, AGAIN_CREDENTIALS, "check the secret key and the region")                               \
    X("ExpiredToken", E_DENIED, AGAIN_CREDENTIALS, "the session token has expired: renew it")                                    \
    X("TokenRefreshRequired", E_DENIED, AGAIN_CREDENTIALS, "the session token must be renewed")                                  \
    X("InvalidToken", E_DENIED, AGAIN_CREDENTIALS, "the session token is not valid, or not of this access key")                  \
    X("RequestTimeTooSkewed", E_DENIED, AGAIN_SKEWED, "our clock and the server's differ too much: set the clock")               \
    X("PreconditionFailed", E_EXISTS, GIVE_UP, "a condition failed")                                                             \
    X("ConditionalRequestConflict", E_EXISTS, GIVE_UP, "another write of the same key was under way")                            \
    X("NotImplemented", E_UNSUPPORTED, GIVE_UP, "the server does not do this")                                                   \
    X("MethodNotAllowed", E_UNSUPPORTED, GIVE_UP, "the server does not do this: check the endpoint and `addressing`")            \
    X("EntityTooLarge", E_RANGE, GIVE_UP, "too large for the server")                                                            \
    X("EntityTooSmall", E_RANGE, GIVE_UP, "a part is too small for the server")                                                  \
    X("KeyTooLongError", E_RANGE, GIVE_UP, "the key is too long for the server")                                                 \
    X("InvalidRange", E_RANGE, GIVE_UP, "beyond the object's end")                                                               \
    X("InvalidPart", E_CORRUPT, GIVE_UP, "a part is not what was sent, or is lost")                                              \
    X("InvalidPartOrder", E_CORRUPT, GIVE_UP, "the parts are out of order")                                                      \
    X("BadDigest", E_CORRUPT, AGAIN, "what arrived is not what was sent")                                                        \
    X("XAmzContentSHA256Mismatch", E_CORRUPT, AGAIN, "what arrived is not what was sent")                                        \
    X("IncompleteBody", E_REMOTE, AGAIN, "the body did not arrive whole")                                                        \
    X("RequestTimeout", E_TIMEOUT, AGAIN, "the body did not arrive in the server's time")                                        \
    X("SlowDown", E_REMOTE, AGAIN, "too many requests for the server")                                                           \
    X("ServiceUnavailable", E_REMOTE, AGAIN, "the server is not available")                                                      \
    X("InternalError", E_REMOTE, AGAIN, "the server failed")                                                                     \
    X("OperationAborted", E_REMOTE, AGAIN, "another operation on it is under way")                                               \
    X("PermanentRedirect", E_INVALID, GIVE_UP, "another endpoint has this bucket: set the region or the endpoint")               \
    X("TemporaryRedirect", E_INVALID, GIVE_UP, "another endpoint has this bucket: set the region or the endpoint")               \
    X("AuthorizationHeaderMalformed", E_INVALID, GIVE_UP, "the region is wrong")                                                 \
    X("IllegalLocationConstraintException", E_INVALID, GIVE_UP, "the region is wrong")                                           \
    X("InvalidBucketName", E_INVALID, GIVE_UP, "that is not the name of a bucket")                                               \
    X("QuotaExceeded", E_NOSPACE, GIVE_UP, "the quota is used up")                                                               \
    X("XMinioStorageFull", E_NOSPACE, GIVE_UP, "the server's disks are full") /* MinIO */

/* Where there is no code that is known: answers to HEAD have none, proxies have others. The first row that fits. */
/*    from to   error          again        words */
#define S3_STATUS_TABLE(X)                                                                                                       \
    X(200, 299, E_PROTOCOL, AGAIN, "an answer that is none of S3's")                                                             \
    X(300, 399, E_INVALID, GIVE_UP, "another endpoint has this bucket: set the region or the endpoint")                          \
    X(400, 400, E_REMOTE, AGAIN_CREDENTIALS, "not told why: check region, keys and endpoint")                                    \
    X(401, 403, E_DENIED, AGAIN_CREDENTIALS, "not told why: check keys, policy and region")                                      \
    X(404, 404, E_ABSENT, GIVE_UP, "no such key, or no such bucket")                                                             \
    X(408, 408, E_TIMEOUT, AGAIN, "the request did not arrive in the server's time")                                             \
    X(409, 409, E_REMOTE, AGAIN, "another operation on it is under way")                                                         \
    X(412, 412, E_EXISTS, GIVE_UP, "a condition failed")                                                                         \
    X(413, 413, E_RANGE, GIVE_UP, "too large for the server")                                                                    \
    X(416, 416, E_RANGE, GIVE_UP, "beyond the object's end")                                                                     \
    X(417, 417, E_REMOTE, AGAIN, "the server does not tell beforehand whether it wants a body")                                  \
    X(429, 429, E_REMOTE, AGAIN, "too many requests for the server")                                                             \
    X(501, 501, E_UNSUPPORTED, GIVE_UP, "the server does not do this")                                                           \
    X(507, 507, E_NOSPACE, GIVE_UP, "the server's disks are full")                                                               \
    X(500, 599, E_REMOTE, AGAIN, "the server failed")                                                                            \
    X(0, 999, E_REMOTE, GIVE_UP, "an answer that is none of S3's")

struct meaning {
    const char *code; /* NULL: of a status */
    unsigned from, to;
    err error;
    enum s3_again again;
    const char *words;
};

static const struct meaning meanings[] = {
#define X(code, error, again, words) {code, 0, 999, error, S3_##again, words},
    S3_CODE_TABLE(X)
#undef X
#define X(from, to, error, again, words) {NULL, from, to, error, S3_##again, words},
        S3_STATUS_TABLE(X)
#undef X
};

static const struct meaning *meaning_of(const struct s3_answer *a)
{
    const struct meaning *m = meanings;
    while (m->code ? strcmp(m->code, a->code) != 0 : a->status < m->from || a->status > m->to)
        m++;
    return m;
}

/* --- what an answer has --- */

static void number_field(const struct http1_head *h, const char *name, int64_t *out)
{
    struct bytes value;
    uint64_t n;
    if (http1_find(h, name, &value) && text_to_u64(value, &n) && n <= INT32_MAX)
        *out = (int64_t)n;
}

/* A word that somebody else wrote, for people to read. */
static void shown(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; n < cap - 1 && text[n]; n++)
        out[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : ' ';
    out[n] = 0;
}

static bool is_word(const char *text)
{
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
            return false;
    return true;
}

void s3_answer_head(struct s3_answer *a, const struct http1_head *h)
{
    struct bytes value;
    *a = (struct s3_answer){.status = h->status, .retry_after_s = -1};
    number_field(h, "retry-after", &a->retry_after_s); /* its other form, a date, S3 does not use */
    if (http1_find(h, "date", &value))
        a->date_s = http1_date_read(value);
    if (http1_find(h, "x-amz-bucket-region", &value) && (!s3_copy(a->region, sizeof a->region, value) || !is_word(a->region)))
        *a->region = 0;
}

void s3_answer_field(struct s3_answer *a, const char *name, const char *text)
{
    if (strcmp(name, "Code") == 0 && is_word(text))
        shown(a->code, sizeof a->code, text);
    else if (strcmp(name, "Message") == 0)
        shown(a->message, sizeof a->message, text);
    else if ((strcmp(name, "Region") == 0) && is_word(text))
        shown(a->region, sizeof a->region, text);
}

/* --- what it means --- */

/* S3's answer to a condition that it does not do: 501, by others 400 with words about the field. */
static bool refuses_condition(const struct s3_call *call)
{
    const struct s3_answer *a = &call->answer;
    bool argument = strcmp(a->code, "InvalidArgument") == 0 || strcmp(a->code, "InvalidRequest") == 0;
    return a->status == 501 || strcmp(a->code, "NotImplemented") == 0 || (argument && strcasestr(a->message, "none-match"));
}

static err condition_error(const struct s3_call *call, enum s3_again *again)
{
    const struct s3_answer *a = &call->answer;
    *again = S3_GIVE_UP;
    if (refuses_condition(call))
        return trail(E_UNSUPPORTED, "answered %u %s: the server does no conditional writes", a->status, a->code);
    if (a->status == 412)
        return trail(E_EXISTS, "answered 412: the key is there already");
    if (a->status == 409 && strcmp(a->code, "OperationAborted") != 0)
        return trail(E_EXISTS, "answered 409 %s: another write of the same key was under way", a->code);
    return OK;
}

err s3_answer_error(const struct s3_call *call, enum s3_again *again)
{
    const struct s3_answer *a = &call->answer;
    const struct meaning *m = meaning_of(a);
    if (call->if_none_match)
        TRY(condition_error(call, again));
    *again = m->again;
    if (m->error == E_INVALID && *a->region)
        return trail(m->error, "answered %u %s: the bucket is in region %s, set that", a->status, a->code, a->region);
    if (!m->code && *a->code) /* its own words are all there is to know; they are cut below the length of a token or signature */
        return trail(m->error, "answered %u %s: %.60s", a->status, a->code, a->message);
    return trail(m->error, "answered %u%s%s: %s", a->status, *a->code ? " " : "", a->code, m->words);
}
