/* oauth2: access tokens for one platform by the JWT bearer grant (RFC 6749, 7523), fetched when needed, kept, refreshed early.
 *
 * Layer    api.                                      Blocks   parks the fiber; signing runs on the pool.
 * Owner    the caller; what the options point to     Memory   the key, the token; while one is fetched a connection and
 *          outlives oauth2_close(). Tokens are                OAUTH2_ANSWER_MAX besides. All secrets are wiped.
 *          counted references.                       Time     lives are counted on the monotonic clock from before the request;
 * Threads  the loop's; any number of fibers.                  the wall clock is in the assertion only.
 * Errors   E_ABSENT no credentials yet; E_DENIED the platform refuses them (400, 401, 403); E_REMOTE another status;
 *          E_PROTOCOL an answer that is no token; E_RANGE one that is too large; those of web.h.
 *          The trail has the status and RFC 6749's error word, never other text of the answer.
 *
 * One fetch at a time: who comes while it runs waits for it, until its own deadline, or takes the token that still is valid. A
 * token is renewed before its end: by 300 s, or by a fifth of a life that is shorter than 1,500 s. When that fails the old one
 * serves until it ends. */
#ifndef HOLDFAST_OAUTH2_H
#define HOLDFAST_OAUTH2_H

#include "net/format/jwt.h"
#include "net/format/url.h"
#include "net/proto/dns.h"
#include "net/proto/tls.h"

#define OAUTH2_PATH           "/oauth/token" /* appended to the platform's URL */
#define OAUTH2_USER_AGENT     "obsyk-operator/1.0"
#define OAUTH2_ANSWER_MAX     KIB(16)
#define OAUTH2_TOKEN_MAX      KIB(8)
#define OAUTH2_MARGIN_S       300
#define OAUTH2_SHORT_LIFE_S   60          /* of a token whose answer does not tell: RFC 6749, 5.1 only recommends it */
#define OAUTH2_LIFE_S_MAX     86400       /* a longer life is taken for this */
#define OAUTH2_FETCH_MS_MAX   SECONDS(30) /* one exchange, whole */
#define OAUTH2_RENEW_MS_MAX   SECONDS(10) /* one that could wait, for a token is there */
#define OAUTH2_RENEW_PAUSE_MS SECONDS(15) /* from a renewal that failed to the next */

/* A platform's URL, checked: http or https, no query; http only to loopback unless allow_plaintext. out->path becomes what paths
 * are appended to: "" or "/base", without a slash at its end (by plain concatenation, which the original does, "https://x/" makes
 * "//oauth/token"). E_INVALID with what to do in the trail. */
MUST_USE err oauth2_platform(const char *platform_url, bool allow_plaintext, struct url *out);

struct oauth2_options {
    const char *platform_url; /* as configured: the assertion's audience; copied */
    struct dns *dns;
    struct tls_config *tls; /* of https; shared while open */
    bool allow_plaintext;   /* http to others than loopback */
    enum task task;         /* who is charged for the pool's work */
};

struct oauth2;
/* E_INVALID as oauth2_platform() has it; E_RANGE platform_url is longer than JWT_AUDIENCE_MAX. */
MUST_USE err oauth2_open(const struct oauth2_options *o, struct oauth2 **out);
/* No fiber may be inside, no token be held. NULL is fine. */
void oauth2_close(struct oauth2 *o);

/* Copies both. The same as before: nothing happens, the token stays. Others: the token is dropped, and a fetch that is under way
 * with the old ones stores nothing. E_RANGE client_id is empty or longer than JWT_CLIENT_ID_MAX. */
MUST_USE err oauth2_set_credentials(struct oauth2 *o, const char *client_id, const struct pem_key *key);

struct oauth2_token {    /* a secret, never logged */
    char *authorization; /* "Bearer …", the whole field */
    unsigned users;
};
MUST_USE err oauth2_take(struct oauth2 *o, ms deadline, struct oauth2_token **out);
/* The same without waiting or asking: E_AGAIN there is none that is valid. */
MUST_USE err oauth2_take_now(struct oauth2 *o, struct oauth2_token **out);
bool oauth2_is_due(const struct oauth2 *o);  /* oauth2_take() would ask the platform: call it, at leisure while one is valid */
void oauth2_release(struct oauth2_token *t); /* the last one wipes; NULL is fine */
/* The platform refused this token: the next take fetches another, unless another has come since. */
void oauth2_invalidate(struct oauth2 *o, const struct oauth2_token *t);

struct oauth2_state { /* for metrics and status */
    bool has_credentials, has_token, fetching;
    ms expires_at;            /* monotonic; 0: no token */
    int64_t expires_s;        /* the same by the wall clock as it is now; 0: no token */
    uint64_t fetched, failed; /* exchanges */
    unsigned last_status;     /* of the last answer; 0: there was none */
    err last_error;           /* of the last exchange */
};
struct oauth2_state oauth2_state(const struct oauth2 *o);

#endif
