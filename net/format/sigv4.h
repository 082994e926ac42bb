/* sigv4: AWS Signature Version 4, header signing. Amazon S3 API reference, "Signature Calculations for the Authorization Header".
 *
 * Layer    format.                                  Blocks   never.
 * Owner    the caller; nothing is kept.             Memory   the stack, < 1 KiB; keys derived on the way are wiped.
 * Time     the caller's: the date is an argument.   Errors   none: what does not fit is cut, and struct text says so.
 *
 * What is signed is what is sent: the caller writes path and query once, with the two functions here, and uses them for both. A
 * path is encoded once and not normalised, as S3 wants it ("a/../b" is a key like any other). */
#ifndef HOLDFAST_SIGV4_H
#define HOLDFAST_SIGV4_H

#include "board/rt/text.h"
#include "net/format/sha256.h"

#define SIGV4_DATE_MAX          17 /* "20150830T123600Z" and the zero */
#define SIGV4_HASH_TEXT_MAX     (2 * SHA256_BYTES + 1)
#define SIGV4_AUTHORIZATION_MAX 768 /* an access key of 128 bytes, a region of 64 and ten field names fit */
#define SIGV4_EMPTY_HASH        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of no bytes */

struct sigv4_field {
    const char *name;  /* lower case */
    const char *value; /* without spaces at its ends, and without two in a row */
};
struct sigv4_request {
    const char *method;
    const char *path;                 /* as on the wire: begins with '/', from sigv4_put_path() */
    const char *query;                /* without '?', "" for none: from sigv4_put_param(), names in order of their bytes */
    const struct sigv4_field *fields; /* those that are signed, in order of their names (asserted): host, x-amz-date, … */
    size_t field_count;
    const char *payload_hash; /* lower-case hex, the value of x-amz-content-sha256 */
};
struct sigv4_key {
    const char *access_key, *secret_key, *region, *service;
};

/* The value of the Authorization field. date: x-amz-date's value, which must be among the fields. */
void sigv4_authorize(const struct sigv4_request *r, const struct sigv4_key *key, const char *date, struct text *out);
void sigv4_date(int64_t epoch_s, char out[SIGV4_DATE_MAX]); /* years 0 to 9999 */

/* UriEncode of the reference: all but letters, digits and -._~ as %XX; a path keeps its slashes. */
void sigv4_put_path(struct text *out, struct bytes path);
/* name=value, behind a '&' when there is something before it. */
void sigv4_put_param(struct text *out, const char *name, struct bytes value);

#endif
