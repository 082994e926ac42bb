/* x509_look: what a certificate is signed with, told without a library: what Mbed TLS does not know it cannot name either.
 *
 * Layer    format.   Blocks   never.   Memory   the calling task's heap, a certificate at a time, freed before return.
 * Errors   none: what cannot be read is not Ed25519; the library that is to use it will say what is wrong. */
#ifndef HOLDFAST_X509_LOOK_H
#define HOLDFAST_X509_LOOK_H

#include "board/rt/err.h"

/* One of the PEM's certificates has an Ed25519 (or Ed448) key or signature, RFC 8410. */
bool x509_pem_has_ed25519(struct bytes pem);
bool x509_der_has_ed25519(struct bytes der);

#endif
