/* kubeconfig: the file by which kubectl, and we, reach a Kubernetes API server: one context of it.
 *
 * Layer    format.   Blocks   never.   Owner   the caller, who closes.   Memory   the calling task's heap, some 8 KiB beside its
 * keys, which are wiped.
 * Errors   E_CONFIG with file, line, field and what to do in the trail; E_UNSUPPORTED what we never do: exec plugins,
 *          auth-provider, user and password, insecure-skip-tls-verify, proxy-url; E_BUDGET. Only what the chosen context names is
 *          judged; keys that we do not use are passed over. */
#ifndef HOLDFAST_KUBECONFIG_H
#define HOLDFAST_KUBECONFIG_H

#include "board/rt/err.h"
#include "board/rt/secret.h"

#define KUBECONFIG_BYTES_MAX KIB(255) /* with its zero in the largest buffer */
#define KUBECONFIG_NAME_MAX  256      /* of a context, cluster or user */
#define KUBECONFIG_PATH_MAX  512
#define KUBECONFIG_URL_MAX   512
#define KUBECONFIG_DATA_MAX  KIB(64) /* of a -data value, decoded, and of a token */

/* A value that is in the file, or in one that it names. */
struct kubeconfig_value {
    struct secret data;             /* at NULL: not in the file */
    char path[KUBECONFIG_PATH_MAX]; /* "": none. Beside the kubeconfig unless absolute. -data wins over it, as kubectl has it */
};

struct kubeconfig {
    char context[KUBECONFIG_NAME_MAX], cluster[KUBECONFIG_NAME_MAX];
    char user[KUBECONFIG_NAME_MAX];            /* "": none, then no credentials */
    char name_space[KUBECONFIG_NAME_MAX];      /* "": not told */
    char server[KUBECONFIG_URL_MAX];           /* "https://10.0.0.2:6443"; http only to loopback */
    char tls_server_name[KUBECONFIG_NAME_MAX]; /* "": the server's */
    struct kubeconfig_value ca;                /* neither: the system's */
    struct kubeconfig_value cert, key;         /* both or neither */
    struct kubeconfig_value token;             /* path: tokenFile, which wins over token, as kubectl has it */
};

/* path: of the file, for its folder and in errors. context: NULL or "": the file's current-context. */
MUST_USE err kubeconfig_open(struct bytes yaml, const char *path, const char *context, struct kubeconfig **out);
void kubeconfig_close(struct kubeconfig *c); /* NULL is fine */

/* An API server's address: https, or http to loopback. E_CONFIG. A path is kept ("https://proxy/k8s/clusters/c-1"). */
struct url;
MUST_USE err kubeconfig_server(const char *text, struct url *out);

#endif
