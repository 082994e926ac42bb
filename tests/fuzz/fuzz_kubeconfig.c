/* Any bytes as a kubeconfig, whose context is chosen by the file or is "lab". */
#include "tests/fuzz/fuzz.h"

#include "net/format/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kubeconfig *c = NULL;
    err e = kubeconfig_open((struct bytes){data, size}, "/etc/kube/config", size % 2 ? "lab" : NULL, &c);
    ASSERT((e == OK) == (c != NULL));
    ASSERT(!c || (*c->context && *c->cluster && *c->server));
    ASSERT(!c || (c->cert.data.at || *c->cert.path) == (c->key.data.at || *c->key.path));
    kubeconfig_close(c);
    trail_clear();
    return 0;
}
