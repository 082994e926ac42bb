/* tls_files: certificate authorities from a file of the owner's, or the system's. */
#include "net/proto/tls.h"

/* In the order of how common they are: Debian and Talos, Fedora, SUSE, Alpine. */
static const char *const system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                             "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

err tls_trust_file(struct lane *files, const char *path, ms deadline, struct tls_trust **out)
{
    struct buf *pem = NULL;
    *out = NULL;
    err e = file_read_small(files, path, TLS_FILE_BYTES_MAX, deadline, &pem);
    if (e == E_RANGE)
        return trail(e, "a CA file may have %zu KiB: name one with the authorities that are needed", TLS_FILE_BYTES_MAX / KIB(1));
    TRY(e);
    e = tls_trust_parse_on(files, (struct bytes){pem->at, pem->len}, out);
    buf_release(pem);
    return e == OK ? OK : trail(e, "%s", path);
}

err tls_trust_system(struct lane *files, ms deadline, struct tls_trust **out)
{
    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(system_bundles); i++) {
        uint64_t mark = trail_mark();
        err e = tls_trust_file(files, system_bundles[i], deadline, out);
        if (e != E_ABSENT)
            return e;
        trail_rewind(mark);
    }
    return trail(E_ABSENT, "no CA bundle in the usual places, first %s; name one with `ca`", system_bundles[0]);
}
