/* kube_link: connections: one for all over HTTP/2, one an exchange over HTTP/1.1; made by one fiber at a time, with back-off. */
#include "net/api/kube/kube_internal.h"

#include "board/rt/log.h"
#include "board/rt/os.h"

#include <string.h>

#define PAUSE_MS    200
#define FRESH_MS    SECONDS(10) /* settings that are older are read again before a connection */
#define DOUBT_MS    SECONDS(5)
#define DOUBLED_MAX 12

ms kube_pause(unsigned failures, ms most)
{
    uint32_t random;
    ms base = (ms)PAUSE_MS << (failures < DOUBLED_MAX ? failures : DOUBLED_MAX);
    base = ms_min(base, most);
    os_random(&random, sizeof random);
    return base / 2 + (ms)(random % (uint32_t)(base / 2 + 1));
}

/* --- making one --- */

static err settings_refresh(struct kube *k, ms deadline)
{
    struct kube_settings fresh;
    if (!k->stale && loop_now() < k->read_at + FRESH_MS)
        return OK;
    uint64_t mark = trail_mark();
    err e = kube_settings_read(k, deadline, &fresh);
    if (e != OK && e != E_CANCELED && k->settings.server[0]) {
        log_warn("the API server's settings cannot be read anew, the old ones are used", F_ERR(e));
        trail_rewind(mark);
        return OK;
    }
    TRY(e);
    kube_settings_wipe(&k->settings);
    k->settings = fresh;
    k->token_version++;
    k->read_at = loop_now();
    k->stale = false;
    return OK;
}

static err secured(struct kube *k, struct stream **s, ms deadline)
{
    struct stream *under = *s;
    struct tls_config *tls = tls_config_share(k->settings.tls); /* the settings may be read anew meanwhile */
    *s = NULL;
    err e = tls_connect(tls, under, k->settings.server_name, deadline, s);
    tls_config_release(tls);
    return e;
}

static err web_make(struct kube *k, ms deadline, struct web **out)
{
    struct stream *s = NULL;
    bool tls = k->settings.url.tls;
    TRY(dns_connect(k->dns, k->settings.url.host, k->settings.url.port, deadline, &s));
    if (tls)
        TRY(secured(k, &s, deadline));
    const char *spoken = tls ? tls_alpn(s) : NULL;
    struct web_over how = {.authority = k->settings.authority,
                           .h2 = spoken && strcmp(spoken, "h2") == 0,
                           .tls = tls,
                           .window_bytes = KUBE_WINDOW_BYTES};
    return web_over(s, &how, deadline, out);
}

static void failed(struct kube *k, err e)
{
    k->stats.connect_failures++;
    k->failed = e;
    k->stale = true; /* the reason may lie in a file that is right by then */
    k->not_before = loop_now() + kube_pause(k->failures++, KUBE_BACKOFF_MS_MAX);
    trail_take(e, k->why, sizeof k->why);
}

static err link_make(struct kube *k, struct kube_link *l, ms deadline)
{
    struct web *web = NULL;
    ms until = ms_min(deadline, loop_now() + KUBE_CONNECT_MS);
    k->connecting = true;
    err e = settings_refresh(k, until);
    if (e == OK)
        e = web_make(k, until, &web);
    k->connecting = false;
    waitq_wake_all(&k->waiting);
    if (e == E_CANCELED)
        return e;
    if (e != OK) {
        failed(k, e);
        return trail(e, "%s", k->why);
    }
    *l = (struct kube_link){.web = web, .heard_at = loop_now()};
    k->stats.connects++;
    k->stats.h2 = web_is_h2(web);
    k->failures = 0;
    if (k->bell)
        web_hang(web, k->bell);
    return OK;
}

/* --- finding one --- */

static void link_free(struct kube_link *l)
{
    struct web *web = l->web;
    *l = (struct kube_link){.web = NULL};
    web_close(web);
}

static void sweep(struct kube *k)
{
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++) {
        struct kube_link *l = &k->links[i];
        if (l->web && !web_usable(l->web))
            l->dead = true;
        if (l->web && l->dead && l->users == 0)
            link_free(l);
    }
}

static struct kube_link *link_ready(struct kube *k)
{
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++) {
        struct kube_link *l = &k->links[i];
        if (l->web && !l->dead && (web_is_h2(l->web) || l->users == 0))
            return l;
    }
    return NULL;
}

static struct kube_link *link_slot(struct kube *k, bool watch)
{
    unsigned most = k->connections_max - (watch && k->connections_max > KUBE_LINKS_SPARE ? KUBE_LINKS_SPARE : 0);
    for (unsigned i = 0, used = 0; i < KUBE_CONNECTIONS && used < most; i++)
        if (k->links[i].web)
            used++;
        else
            return &k->links[i];
    return NULL;
}

static err wait_turn(struct kube *k, ms deadline)
{
    if (k->connecting)
        return waitq_wait(&k->waiting, deadline);
    if (k->not_before >= deadline)
        return trail(E_UNREACHABLE, "%s: trying again in %lld s", k->why, (long long)(k->not_before - loop_now()) / 1000);
    return fiber_sleep(k->not_before);
}

err kube_link_take(struct kube *k, bool watch, ms deadline, struct kube_link **out)
{
    for (;;) {
        sweep(k);
        *out = link_ready(k);
        if (*out)
            break;
        if (k->connecting || loop_now() < k->not_before) {
            TRY(wait_turn(k, deadline));
            continue;
        }
        struct kube_link *l = link_slot(k, watch);
        if (!l)
            return trail(E_BUDGET, "%s speaks HTTP/1.1, and all of %u connections are in use", k->settings.server,
                         k->connections_max);
        TRY(link_make(k, l, deadline));
    }
    (*out)->users++;
    return OK;
}

void kube_link_give(struct kube *k, struct kube_link *l)
{
    ASSERT(l->users > 0);
    l->users--;
    sweep(k);
}

void kube_link_doubt(struct kube *k, struct kube_link *l, ms deadline)
{
    uint64_t mark = trail_mark();
    if (!l->web || l->dead)
        return;
    l->users++; /* it stays while we wait */
    err e = web_is_h2(l->web) ? web_ping(l->web, ms_min(deadline, loop_now() + DOUBT_MS)) : E_UNSUPPORTED;
    if (e == OK)
        l->heard_at = loop_now();
    else if (e != E_CANCELED) {
        l->dead = true;
        log_warn("the API server's connection is silent, another one is made", F("server", k->settings.server));
    }
    trail_rewind(mark);
    kube_link_give(k, l);
}

void kube_links_retire(struct kube *k)
{
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++)
        k->links[i].dead = k->links[i].web != NULL;
    sweep(k);
}

void kube_links_close(struct kube *k)
{
    for (unsigned i = 0; i < KUBE_CONNECTIONS; i++) {
        ASSERT(k->links[i].users == 0);
        if (k->links[i].web)
            link_free(&k->links[i]);
    }
}
