/* Any bytes as a talosconfig, whose first context is chosen by the file or is "lab"; and as a certificate. */
#include "tests/fuzz/fuzz.h"

#include "net/format/talosconfig.h"
#include "net/format/x509_look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talosconfig *c = NULL;
    err e = talosconfig_open((struct bytes){data, size}, size % 2 ? "lab" : NULL, &c);
    ASSERT((e == OK) == (c != NULL));
    ASSERT(!c || (c->endpoint_count > 0 && c->ca_pem.len > 0 && c->cert_pem.len > 0 && c->key_pem.len > 0));
    talosconfig_close(c);
    (void)x509_der_has_ed25519((struct bytes){data, size});
    (void)x509_pem_has_ed25519((struct bytes){data, size});
    trail_clear();
    return 0;
}
