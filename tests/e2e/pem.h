/* pem: certificates and keys for the probes, read without a pool: nothing else runs then.
 *
 * Layer    tests.   Blocks   the process, for a file.   Memory   the heap, freed before they return.
 * Owner    the caller of what is parsed.   Errors   E_ABSENT no such file; those of tls.h. */
#ifndef HOLDFAST_TEST_PEM_H
#define HOLDFAST_TEST_PEM_H

#include "net/proto/tls.h"

#include <stdio.h>
#include <stdlib.h>

#define PEM_MAX 65536

static inline err pem_read(const char *path, uint8_t **at, size_t *len)
{
    *at = malloc(PEM_MAX);
    *len = 0;
    FILE *f = *at ? fopen(path, "rb") : NULL;
    if (!f)
        return trail(E_ABSENT, "%s", path);
    *len = fread(*at, 1, PEM_MAX, f);
    (void)fclose(f);
    return OK;
}

static inline err trust_read(const char *path, struct tls_trust **out)
{
    uint8_t *at = NULL;
    size_t len;
    err e = pem_read(path, &at, &len);
    if (e == OK)
        e = tls_trust_parse((struct bytes){at, len}, out);
    free(at);
    return e;
}

static inline err identity_read(const char *cert, const char *key, struct tls_identity **out)
{
    uint8_t *chain = NULL, *secret = NULL;
    size_t chain_len, secret_len;
    err e = pem_read(cert, &chain, &chain_len);
    if (e == OK)
        e = pem_read(key, &secret, &secret_len);
    if (e == OK)
        e = tls_identity_parse((struct bytes){chain, chain_len}, (struct secret){secret, secret_len}, out);
    free(chain);
    free(secret);
    return e;
}

#endif
