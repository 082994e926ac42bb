/* talos_tls: from a talosconfig to settings of TLS. */
#include "net/api/talos/talos.h"

static struct bytes view(struct secret s)
{
    return (struct bytes){s.at, s.len};
}

err talos_tls_open(struct lane *l, const struct talosconfig *c, struct tls_config **out)
{
    static const char *const alpn[] = {"h2", NULL};
    struct tls_options o = {.least = TLS_1_2, .alpn = alpn};
    *out = NULL;
    err e = trail(tls_trust_parse_on(l, view(c->ca_pem), &o.trust), "ca");
    if (e == OK)
        e = trail(tls_identity_parse_on(l, view(c->cert_pem), c->key_pem, &o.identity), "crt and key");
    if (e == OK)
        e = tls_config_open(&o, out);
    tls_identity_release(o.identity);
    tls_trust_release(o.trust);
    return e == OK ? OK : trail(e, "talosconfig, context \"%s\"", c->context);
}
