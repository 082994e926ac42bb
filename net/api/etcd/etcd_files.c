/* etcd_files: from paths to a client. */
#include "net/api/etcd/etcd_files.h"

#include <string.h>

static err read_pem(const struct etcd_files *f, const char *path, ms deadline, struct buf **out)
{
    return file_read_small(f->lane, path, TLS_FILE_BYTES_MAX, deadline, out);
}

static err load_trust(const struct etcd_files *f, ms deadline, struct tls_trust **out)
{
    const char *path = f->ca;
    if (!path[0])
        return tls_trust_system(f->lane, deadline, out);
    err e = tls_trust_file(f->lane, path, deadline, out);
    return e == OK ? OK : trail(e, "backup.etcd.ca");
}

static err load_identity(const struct etcd_files *f, ms deadline, struct tls_identity **out)
{
    const char *cert_path = f->cert, *key_path = f->key;
    struct buf *cert = NULL, *key = NULL;
    *out = NULL;
    if (!cert_path[0])
        return OK;
    err e = read_pem(f, cert_path, deadline, &cert);
    if (e == OK)
        e = read_pem(f, key_path, deadline, &key);
    if (e == OK) {
        e = tls_identity_parse_on(f->lane, (struct bytes){cert->at, cert->len}, (struct secret){key->at, key->len}, out);
        if (e != OK)
            e = trail(trail(e, "with backup.etcd.key %s", key_path), "backup.etcd.cert %s", cert_path);
    }
    if (key)
        wipe(key->at, key->len);
    buf_release(key);
    buf_release(cert);
    return e;
}

static bool wants_tls(const struct etcd_files *f)
{
    for (unsigned i = 0; i < f->endpoint_count; i++)
        if (strncmp(f->endpoints[i], "https://", strlen("https://")) == 0)
            return true;
    return false;
}

static err load_tls(const struct etcd_files *f, ms deadline, struct tls_config **out, int64_t *expires_s)
{
    static const char *const alpn[] = {"h2", NULL};
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    *out = NULL;
    if (!wants_tls(f))
        return OK;
    err e = load_trust(f, deadline, &trust);
    if (e == OK)
        e = load_identity(f, deadline, &identity);
    if (e == OK)
        e = tls_config_open(&(struct tls_options){.trust = trust, .identity = identity, .least = TLS_1_2, .alpn = alpn}, out);
    if (e == OK && identity && expires_s)
        *expires_s = tls_identity_expires_s(identity);
    tls_identity_release(identity);
    tls_trust_release(trust);
    return e;
}

err etcd_files_open(const struct etcd_files *f, ms deadline, struct etcd **out, int64_t *expires_s)
{
    struct etcd_options options = {.endpoint_count = f->endpoint_count, .dns = f->dns, .window_bytes = f->window_bytes};
    *out = NULL;
    if (expires_s)
        *expires_s = 0;
    for (unsigned i = 0; i < options.endpoint_count && i < ETCD_ENDPOINTS_MAX; i++)
        options.endpoints[i] = f->endpoints[i];
    TRY(load_tls(f, deadline, &options.tls, expires_s));
    err e = etcd_open(&options, out);
    tls_config_release(options.tls); /* the client has its own reference */
    return e;
}
