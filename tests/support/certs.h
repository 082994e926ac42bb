/* certs: throwaway CAs, certificates and keys, made by the openssl command line when a test starts. None is committed.
 *
 * Layer    tests.   Owner   static.   Blocks   runs a shell.   Memory   static.
 * Errors   false: no openssl here.
 *
 * CERTS=FOLDER keeps them there and takes them from there the next time: a simulated run is repeated with the same bytes. */
#ifndef HOLDFAST_TEST_CERTS_H
#define HOLDFAST_TEST_CERTS_H

#include "board/rt/base.h"
#include "board/rt/secret.h"

/*        file           what */
#define CERT_TABLE(X)                                                                                                            \
    X(CA, "ca.pem") /* signs all but the stranger */                                                                             \
    X(OTHER_CA, "other_ca.pem")                                                                                                  \
    X(SERVER, "server.pem")     /* etcd.test, 10.0.0.1, fd00::1 */                                                               \
    X(SERVER_KEY, "server.key") /* SEC1 */                                                                                       \
    X(SERVER_PKCS8, "server.p8")                                                                                                 \
    X(RSA, "rsa.pem")     /* the same names */                                                                                   \
    X(RSA_KEY, "rsa.key") /* PKCS#1 */                                                                                           \
    X(RSA_PKCS8, "rsa.p8")                                                                                                       \
    X(RSA_LOCKED, "rsa.locked") /* encrypted */                                                                                  \
    X(ENDED, "ended.pem")       /* the server's key; valid until now */                                                          \
    X(CLIENT, "client.pem")                                                                                                      \
    X(CLIENT_KEY, "client.key")                                                                                                  \
    X(STRANGER, "stranger.pem") /* the client's key, by the other CA */                                                          \
    X(NEXT, "next.pem")         /* the server's successor: another serial and key */                                             \
    X(NEXT_KEY, "next.key")                                                                                                      \
    X(LONG_CHAIN, "long.pem") /* the server's, behind it 8 that do not belong */

enum cert {
#define X(id, file) CERT_##id,
    CERT_TABLE(X)
#undef X
        CERT_COUNT
};
bool certs_make(void); /* once a program; idempotent */
struct bytes cert(enum cert which);
struct secret cert_key(enum cert which);

#endif
