/* tls: TLS 1.2 and 1.3, client and server, over any byte stream. Verification is always on; there is no switch.
 *
 * Layer    proto; Mbed TLS's TLS is in its two files only.     Blocks   parks the fiber; handshakes compute on the pool, so does
 *                                                                       parsing where a lane is given.
 * Owner    trust, identity and config are counted references;  Memory   the current task's heap: a client 117 KB (1.2) or 121 KB
 *          a stream keeps its config alive.                             (1.3) at work, 19 or 23 KB at rest with CA, settings and
 *                                                                       session state: record buffers are given back then. A
 *                                                                       server's stream at rest 3.4 or 7.7 KB. Tests print it.
 * Errors   E_CERT_UNTRUSTED, E_CERT_NAME, E_CERT_TIME the peer's certificate; E_CERT_WANTED it wants ours or refuses it;
 *          E_CLOSED it vanished without close_notify; E_TLS the rest, with Mbed TLS's words in the trail;
 *          E_INVALID unreadable PEM.
 * Ciphers  AES-GCM first where the CPU has AES instructions, else ChaCha20-Poly1305 first. Groups X25519, P-256, P-384. */
#ifndef HOLDFAST_TLS_H
#define HOLDFAST_TLS_H

#include "board/rt/file.h"
#include "board/rt/secret.h"
#include "net/proto/stream.h"

struct tls_trust;    /* a parsed CA bundle, shared */
struct tls_identity; /* our certificate chain and its key */
struct tls_config;   /* one side's settings */

#define TLS_PEM_BYTES_MAX KIB(512)
#define TLS_FILE_BYTES_MAX                                                                                                       \
    KIB(255) /* a CA bundle in a file; the system's is about 215 KiB, and takes as much of the heap as tests print */

/* PEM (or one DER) certificates. Those of a bundle that cannot be parsed are skipped and counted; none at all is E_INVALID. */
MUST_USE err tls_trust_parse(struct bytes pem, struct tls_trust **out);
/* The same as a job of the lane, charged to its task: a bundle takes milliseconds to parse. Parks the fiber until the job has
 * ended, however long it waits for a thread; a cancel takes it back while it is queued. */
MUST_USE err tls_trust_parse_on(struct lane *l, struct bytes pem, struct tls_trust **out);
/* A file of PEM certificates, or one in DER, read and parsed on the lane. E_RANGE: larger than TLS_FILE_BYTES_MAX. */
MUST_USE err tls_trust_file(struct lane *files, const char *path, ms deadline, struct tls_trust **out);
/* The system's bundle: the first there of the usual places. E_ABSENT: none of them is there. */
MUST_USE err tls_trust_system(struct lane *files, ms deadline, struct tls_trust **out);
void tls_trust_release(struct tls_trust *t);

/* PEM chain (leaf first) and PEM key: PKCS#1, SEC1 or PKCS#8, unencrypted. E_INVALID when they do not belong together. */
MUST_USE err tls_identity_parse(struct bytes chain_pem, struct secret key_pem, struct tls_identity **out);
/* The same as a job of the lane, as above; key_pem must stay until it returns. */
MUST_USE err tls_identity_parse_on(struct lane *l, struct bytes chain_pem, struct secret key_pem, struct tls_identity **out);
/* When the leaf stops being valid, seconds since 1970. */
int64_t tls_identity_expires_s(const struct tls_identity *i);
void tls_identity_release(struct tls_identity *i);

enum tls_version { TLS_ANY, TLS_1_2, TLS_1_3 };

struct tls_options {
    bool server;
    struct tls_trust *trust;       /* client: required. server: clients must show a certificate by it; NULL: none is asked for */
    struct tls_identity *identity; /* server: required. client: shown when asked for; NULL: none */
    enum tls_version least;        /* TLS_ANY: 1.2 */
    enum tls_version most;         /* TLS_ANY: the newest we speak */
    const char *const *alpn;       /* NULL-ended, static; NULL: none. The peer's choice: tls_alpn() */
};
/* Takes references to trust and identity. */
MUST_USE err tls_config_open(const struct tls_options *options, struct tls_config **out);
struct tls_config *tls_config_share(struct tls_config *c); /* one more reference */
void tls_config_release(struct tls_config *c);

/* Handshake over `under`, which the new stream owns from now on, also on error. host: the name or IP literal the certificate must
 * be for (SNI is sent for names only). */
MUST_USE err tls_connect(struct tls_config *c, struct stream *under, const char *host, ms deadline, struct stream **out);
MUST_USE err tls_accept(struct tls_config *c, struct stream *under, ms deadline, struct stream **out);

const char *tls_alpn(const struct stream *s);         /* "h2", or NULL */
const char *tls_version_text(const struct stream *s); /* "TLSv1.3" */
const char *tls_cipher_text(const struct stream *s);
int64_t tls_peer_expires_s(const struct stream *s); /* when the peer's leaf stops being valid; 0: it showed none */

#endif
