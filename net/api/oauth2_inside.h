/* oauth2_inside: what oauth2.c (which token when) and oauth2_exchange.c (how one is got) share. Not for others.
 *
 * Layer    api.   Owner, Memory, Errors   as in oauth2.h.   Blocks   parks the fiber. */
#ifndef HOLDFAST_OAUTH2_INSIDE_H
#define HOLDFAST_OAUTH2_INSIDE_H

#include "board/rt/pool.h"
#include "board/rt/sync.h"
#include "net/api/oauth2.h"

struct oauth2 {
    struct url url; /* of the token endpoint */
    char audience[JWT_AUDIENCE_MAX];
    struct dns *dns;
    struct tls_config *tls;
    struct lane lane; /* signing */
    char client_id[JWT_CLIENT_ID_MAX];
    struct pem_key key;
    bool has_credentials;
    uint64_t generation; /* of the credentials */
    struct oauth2_token *token;
    ms expires_at, renew_at;
    /* the fetch under way, and the last one */
    bool fetching, flight_is_shared;
    uint64_t flights;
    err flight_error;
    char why[TRAIL_TEXT_MAX];
    struct waitq waiting;
    uint64_t fetched, failed;
    unsigned last_status;
    err last_error;
};

/* Signs, asks, reads. *life_s: 1..OAUTH2_LIFE_S_MAX. Sets o->last_status. */
MUST_USE err oauth2_exchange(struct oauth2 *o, ms deadline, struct oauth2_token **out, int64_t *life_s);
/* What an answer of 2xx says. `answer` is read only. */
MUST_USE err oauth2_read(struct bytes answer, struct oauth2_token **out, int64_t *life_s);
/* RFC 6749, 5.2: the error's word, "" when there is none that is one. */
#define OAUTH2_WORD_MAX 41
void oauth2_error_word(struct bytes answer, char out[OAUTH2_WORD_MAX]);

#endif
