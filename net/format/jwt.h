/* jwt: the assertion by which we ask for a token: a JSON Web Token (RFC 7519) for the bearer grant (RFC 7523), signed with ES256.
 *
 * Layer    format.                                 Blocks   never; a millisecond or more of computing: on the pool.
 * Owner    the caller, who wipes the text: who     Memory   one block of the calling task, wiped and freed.
 *          has it is us, for its five minutes.
 * Errors   E_RANGE client id or audience too long; E_INVALID the key; E_BUDGET.
 *
 * Header {"alg":"ES256","typ":"JWT"}; claims in this order: iss, sub, aud (a list of one), exp, iat, jti (a random UUIDv4). */
#ifndef HOLDFAST_JWT_H
#define HOLDFAST_JWT_H

#include "board/rt/text.h"
#include "net/format/pem_key.h"

#define JWT_CLIENT_ID_MAX 256 /* with the zero */
#define JWT_AUDIENCE_MAX  1300
#define JWT_LIFE_S        300
#define JWT_TEXT_MAX      KIB(16) /* of any assertion, with the zero, whatever has to be escaped */

struct jwt_claims {
    const char *client_id; /* issuer and subject */
    const char *audience;  /* the platform's URL, exactly as it is configured */
    int64_t issued_at_s;   /* seconds since 1970 */
};
/* Adds the assertion to `out`. */
MUST_USE err jwt_assertion(const struct jwt_claims *c, const struct pem_key *key, struct text *out);

/* A client id as a file or a Secret has it: blanks around it are none of it. `out` may lie where the text does.
 * E_INVALID nothing is left; E_RANGE too long. */
MUST_USE err jwt_client_id(struct bytes text, char out[JWT_CLIENT_ID_MAX]);

#endif
