/* webhook: tells somebody else's HTTP server: POST of a JSON document, or a plain GET as a sign of life.
 *
 * Layer    api.                                     Blocks   parks the fiber.
 * Owner    the caller.                              Memory   one connection and one 16 KiB buffer during a call; kept by nobody.
 * Errors   E_REMOTE any status but 2xx (the status and the first bytes of the answer are in the trail, unless they repeat the
 *          address); E_INVALID no URL; those of http_client.h. A 2xx is success whatever becomes of the rest of the answer.
 * Redirects are not followed: a webhook that moved should be told to the owner. TLS always verifies. Of the address only the host
 * is ever told: what is behind it may be a secret. */
#ifndef HOLDFAST_WEBHOOK_H
#define HOLDFAST_WEBHOOK_H

#include "net/proto/http_client.h"

struct webhook {
    const char *url; /* http or https; borrowed */
    struct dns *dns;
    struct tls_config *tls; /* of https; may be NULL for http */
};
MUST_USE err webhook_post_json(const struct webhook *w, struct bytes json, ms deadline);
MUST_USE err webhook_get(const struct webhook *w, ms deadline);

#endif
