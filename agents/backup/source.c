/* source: from configured paths to an etcd client. */
#include "agents/backup/backup_internal.h"

#include "board/rt/text.h"

#define PEM_FILE_BYTES_MAX KIB(200)

static err read_pem(struct backup *b, const char *path, ms deadline, struct buf **out)
{
    return file_read_small(&b->files, path, PEM_FILE_BYTES_MAX, deadline, out);
}

static err load_trust(struct backup *b, ms deadline, struct tls_trust **out)
{
    const char *path = b->config->backup.ca;
    if (!path[0])
        return tls_trust_system(&b->files, deadline, out);
    struct buf *pem = NULL;
    TRY(read_pem(b, path, deadline, &pem));
    err e = tls_trust_parse_on(&b->files, (struct bytes){pem->at, pem->len}, out);
    buf_release(pem);
    return e == OK ? OK : trail(e, "backup.etcd.ca %s", path);
}

static err load_identity(struct backup *b, ms deadline, struct tls_identity **out)
{
    const char *cert_path = b->config->backup.cert, *key_path = b->config->backup.key;
    struct buf *cert = NULL, *key = NULL;
    *out = NULL;
    if (!cert_path[0])
        return OK;
    err e = read_pem(b, cert_path, deadline, &cert);
    if (e == OK)
        e = read_pem(b, key_path, deadline, &key);
    if (e == OK) {
        e = tls_identity_parse_on(&b->files, (struct bytes){cert->at, cert->len}, (struct secret){key->at, key->len}, out);
        if (e != OK)
            e = trail(trail(e, "with backup.etcd.key %s", key_path), "backup.etcd.cert %s", cert_path);
    }
    if (key)
        wipe(key->at, key->len);
    buf_release(key);
    buf_release(cert);
    return e;
}

static bool wants_tls(const struct config *c)
{
    for (unsigned i = 0; i < c->backup.endpoint_count; i++)
        if (bytes_equal_text((struct bytes){(const uint8_t *)c->backup.endpoints[i], 8}, "https://"))
            return true;
    return false;
}

static err load_tls(struct backup *b, ms deadline, struct tls_config **out)
{
    static const char *const alpn[] = {"h2", NULL};
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    *out = NULL;
    if (!wants_tls(b->config))
        return OK;
    err e = load_trust(b, deadline, &trust);
    if (e == OK)
        e = load_identity(b, deadline, &identity);
    if (e == OK)
        e = tls_config_open(&(struct tls_options){.trust = trust, .identity = identity, .least = TLS_1_2, .alpn = alpn}, out);
    tls_identity_release(identity);
    tls_trust_release(trust);
    return e;
}

err backup_source_open(struct backup *b, ms deadline, struct etcd **out)
{
    struct etcd_options options = {.endpoint_count = b->config->backup.endpoint_count, .dns = b->options.dns};
    for (unsigned i = 0; i < options.endpoint_count; i++)
        options.endpoints[i] = b->config->backup.endpoints[i];
    TRY(load_tls(b, deadline, &options.tls));
    err e = etcd_open(&options, out);
    tls_config_release(options.tls); /* the client has its own reference */
    return e;
}
