/* talosconfig: the file by which talosctl, and we, reach Talos' API: contexts of endpoints and base64 PEM.
 *
 * Layer    format.   Blocks   never.   Owner   the caller, who closes.   Memory   the calling task's heap; keys are wiped.
 * Errors   E_CONFIG with line and what to do in the trail; E_UNSUPPORTED its CA or client certificate is Ed25519, as Talos makes
 *          them by default; E_BUDGET. Keys that we do not use are passed over. */
#ifndef HOLDFAST_TALOSCONFIG_H
#define HOLDFAST_TALOSCONFIG_H

#include "board/rt/err.h"
#include "board/rt/secret.h"

#define TALOSCONFIG_BYTES_MAX     KIB(64)
#define TALOSCONFIG_ENDPOINTS_MAX 8
#define TALOSCONFIG_NAME_MAX      64
#define TALOSCONFIG_ENDPOINT_MAX  256
#define TALOSCONFIG_PEM_MAX       KIB(16)

struct talosconfig {
    char context[TALOSCONFIG_NAME_MAX];
    char endpoints[TALOSCONFIG_ENDPOINTS_MAX][TALOSCONFIG_ENDPOINT_MAX]; /* "10.0.0.2", "node:50000" */
    unsigned endpoint_count;                                             /* at least 1 */
    struct secret ca_pem, cert_pem, key_pem;
};

/* context: NULL or "": the file's own `context`. */
MUST_USE err talosconfig_open(struct bytes yaml, const char *context, struct talosconfig **out);
void talosconfig_close(struct talosconfig *c); /* NULL is fine */

#endif
