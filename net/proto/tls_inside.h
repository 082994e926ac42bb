/* tls_inside: what tls*.c share beyond tls.h. Not for others; no type of Mbed TLS is named here.
 *
 * Layer    proto, private.   Blocks   never.   Owner, Memory   as tls.h says; pointers are looked through during the call only,
 *                                                              but tls_config_native()'s, which lives as long as the config.
 * Threads  any.              Errors   those of tls.h, with the library's words in the trail; E_BUDGET memory was refused. */
#ifndef HOLDFAST_TLS_INSIDE_H
#define HOLDFAST_TLS_INSIDE_H

#include "net/proto/tls.h"

#define TLS_ALERT_HANDSHAKE 40 /* handshake_failure, RFC 8446 §6.2 */
#define TLS_RECORD_POINTERS 10 /* the first half points into the incoming buffer, the rest into the outgoing one */

/* The library's settings: an mbedtls_ssl_config. */
const void *tls_config_native(const struct tls_config *c);

/* Seconds since 1970 of an mbedtls_x509_time. */
int64_t tls_time_s(const void *time);

/* e, or E_BUDGET when the library's code says so, with what it was doing. */
err tls_library_error(err e, int code, const char *doing);
/* The library takes a failed allocation for an unreadable or untrusted certificate here and there: e, or E_BUDGET when the
 * task was refused memory since it counted refusals_before. */
err tls_blame_memory(err e, uint64_t refusals_before);
/* What a failed call on ssl, an mbedtls_ssl_context of these settings, means. established: its handshake is behind us.
 * peer: subject of the certificate it showed. */
err tls_error(const struct tls_config *c, const void *ssl, bool established, const char *peer, int code);

/* --- tls_records.c: the library's two record buffers are given back while a stream rests --- */
struct tls_records {                     /* what is needed of them until they are taken back; zeroed at first */
    size_t offsets[TLS_RECORD_POINTERS]; /* where the pointers into them stood */
    uint8_t in_counter[8];               /* of incoming records */
};
/* ssl: an mbedtls_ssl_context between records; while there is half a one nothing is given back. */
void tls_records_give_back(struct tls_records *r, void *ssl);
/* OK also when they are there. E_BUDGET: they are not, and it may be tried again. */
MUST_USE err tls_records_take_back(const struct tls_records *r, void *ssl);

#endif
