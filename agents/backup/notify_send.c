/* notify_send: one attempt. The CA is read anew for each, so that a replaced one is used. */
#include "agents/backup/notify_internal.h"

#include "net/api/webhook/webhook.h"

#include <stdio.h>
#include <string.h>

void notify_shown(const char *url, char out[NOTIFY_SHOWN_MAX])
{
    struct url u;
    uint64_t mark = trail_mark();
    (void)snprintf(out, NOTIFY_SHOWN_MAX, "an unreadable URL");
    if (url_parse(url, &u) == OK) {
        size_t scheme = u.tls ? sizeof "https://" - 1 : sizeof "http://" - 1;
        memcpy(out, u.tls ? "https://" : "http://", scheme);
        url_authority(&u, out + scheme, NOTIFY_SHOWN_MAX - scheme);
    }
    trail_rewind(mark);
}

static err load_trust(struct notify *n, ms deadline, struct tls_trust **out)
{
    const char *path = n->config->notify.ca;
    if (!path[0])
        return tls_trust_system(&n->files, deadline, out);
    err e = tls_trust_file(&n->files, path, deadline, out);
    return e == OK ? OK : trail(e, "notify.ca");
}

static err load_tls(struct notify *n, const char *url, ms deadline, struct tls_config **out)
{
    struct tls_trust *trust = NULL;
    *out = NULL;
    if (strncmp(url, "https://", 8) != 0)
        return OK;
    TRY(load_trust(n, deadline, &trust));
    err e = tls_config_open(&(struct tls_options){.trust = trust, .least = TLS_1_2}, out);
    tls_trust_release(trust);
    return e;
}

err notify_send(struct notify *n, const char *url, struct bytes json, ms deadline)
{
    struct webhook w = {.url = url, .dns = n->dns};
    TRY(load_tls(n, url, deadline, &w.tls));
    err e = json.len > 0 ? webhook_post_json(&w, json, deadline) : webhook_get(&w, deadline);
    tls_config_release(w.tls);
    return e;
}
