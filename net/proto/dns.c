/* dns: what is known without asking, the cache, the search list. */
#include "net/proto/dns.h"

#include "board/rt/file.h"
#include "board/rt/log.h"
#include "board/rt/mem.h"
#include "board/rt/text.h"
#include "net/proto/dns_inside.h"

#include <stdlib.h>
#include <string.h>

#define RESOLV_PATH        "/etc/resolv.conf"
#define HOSTS_PATH         "/etc/hosts"
#define RESOLV_BYTES_MAX   (KIB(16) - 1)
#define HOSTS_BYTES_MAX    (KIB(256) - 1)
#define CHECK_MS           SECONDS(1) /* the files are looked at no more often */
#define FILE_MS            SECONDS(2) /* a disk that takes longer is not waited for */
#define LOCAL_TTL_S        60         /* of names that nobody was asked for */
#define TTL_S_MAX          300        /* a server's word is believed no longer */
#define NEGATIVE_TTL_S_MAX 10
#define PARTIAL_TTL_S      5 /* one family never answered */

struct cached {
    char name[DNS_NAME_MAX + 1]; /* as asked; empty: free */
    struct dns_found found;      /* count 0: it is not there */
    ms until;
};

struct watched { /* a file, read again when it changed */
    struct os_stat stat;
    bool there, known;
};

struct dns {
    struct dns_config config;
    bool from_files;
    struct lane lane;
    struct watched resolv, hosts;
    ms checked_at;
    unsigned preferred; /* the server that answered last */
    struct cached cache[DNS_CACHE_MAX];
};

/* --- cache --- */

static bool same_text(const char *a, const char *b)
{
    return bytes_equal_nocase(bytes_of(a), b);
}

static const struct cached *cache_find(const struct dns *d, const char *name)
{
    for (size_t i = 0; i < DNS_CACHE_MAX; i++)
        if (d->cache[i].name[0] && loop_now() < d->cache[i].until && same_text(d->cache[i].name, name))
            return &d->cache[i];
    return NULL;
}

/* The same name's, else the one that ends first (free ones ended long ago). */
static struct cached *cache_slot(struct dns *d, const char *name)
{
    struct cached *best = &d->cache[0];
    for (size_t i = 0; i < DNS_CACHE_MAX; i++) {
        if (same_text(d->cache[i].name, name))
            return &d->cache[i];
        if (d->cache[i].until < best->until)
            best = &d->cache[i];
    }
    return best;
}

static void cache_put(struct dns *d, const char *name, const struct dns_found *found)
{
    uint32_t most = found->count == 0 ? NEGATIVE_TTL_S_MAX : found->whole ? TTL_S_MAX : PARTIAL_TTL_S;
    uint32_t ttl_s = found->ttl_s < most ? found->ttl_s : most;
    if (ttl_s == 0 || strlen(name) > DNS_NAME_MAX)
        return;
    struct cached *c = cache_slot(d, name);
    *c = (struct cached){.found = *found, .until = loop_now() + SECONDS(ttl_s)};
    memcpy(c->name, name, strlen(name) + 1);
}

static void cache_clear(struct dns *d)
{
    memset(d->cache, 0, sizeof d->cache);
}

/* --- the files --- */

/* E_AGAIN: as it was. */
static err watch(struct dns *d, struct watched *w, const char *path, ms deadline)
{
    struct os_stat now;
    err e = file_stat(&d->lane, path, deadline, &now);
    if (e != OK && e != E_ABSENT)
        return e;
    bool there = e == OK;
    if (w->known && w->there == there && (!there || (now.modified_ms == w->stat.modified_ms && now.bytes == w->stat.bytes)))
        return E_AGAIN;
    *w = (struct watched){.stat = now, .there = there, .known = true};
    return OK;
}

static err resolv_read(struct dns *d, ms deadline)
{
    struct buf *b = NULL;
    if (d->resolv.there)
        TRY(file_read_small(&d->lane, RESOLV_PATH, RESOLV_BYTES_MAX, deadline, &b));
    struct dns_config *fresh = malloc(sizeof *fresh);
    err e = fresh ? dns_config_parse(b ? (struct bytes){b->at, b->len} : (struct bytes){NULL, 0}, fresh) : E_BUDGET;
    if (e == OK) {
        memcpy(fresh->hosts_path, HOSTS_PATH, sizeof HOSTS_PATH);
        d->config = *fresh;
        d->preferred = 0;
    }
    free(fresh);
    buf_release(b);
    return e;
}

/* A file that cannot be read leaves what was known; only with nothing known is it an error. */
static err refresh(struct dns *d, ms deadline)
{
    if (d->checked_at != 0 && loop_now() < d->checked_at + CHECK_MS)
        return OK;
    bool first = d->checked_at == 0;
    d->checked_at = first ? 0 : loop_now();
    deadline = ms_min(deadline, loop_now() + FILE_MS);
    err e = d->from_files ? watch(d, &d->resolv, RESOLV_PATH, deadline) : E_AGAIN;
    if (e == OK) {
        cache_clear(d);
        e = resolv_read(d, deadline);
        d->resolv.known = e == OK;
    }
    if (e != OK && e != E_AGAIN && (e == E_CANCELED || d->config.server_count == 0))
        return e;
    e = d->config.hosts_path[0] ? watch(d, &d->hosts, d->config.hosts_path, deadline) : E_AGAIN;
    if (e == OK)
        cache_clear(d);
    d->checked_at = loop_now();
    return e == E_CANCELED ? e : OK;
}

/* A hosts file that cannot be read is told and passed over: the servers may know. */
static err hosts_lookup(struct dns *d, const char *name, ms deadline, struct dns_found *out)
{
    struct buf *b = NULL;
    *out = (struct dns_found){.count = 0};
    if (!d->hosts.there)
        return OK;
    size_t bytes_max = size_min(HOSTS_BYTES_MAX, (size_t)d->hosts.stat.bytes + KIB(1));
    err e = file_read_small(&d->lane, d->config.hosts_path, bytes_max, ms_min(deadline, loop_now() + FILE_MS), &b);
    if (e == E_CANCELED)
        return e;
    if (e != OK) {
        log_warn("hosts file passed over", F_ERR(e));
        return OK;
    }
    dns_hosts_find((struct bytes){b->at, b->len}, name, out);
    out->ttl_s = LOCAL_TTL_S;
    buf_release(b);
    return OK;
}

/* --- asking --- */

/* The index-th name to ask for: the name itself and each search domain behind it, in resolv.conf(5)'s order. False: no more;
 * out[0] == 0: too long, skip it. */
static bool candidate(const struct dns_config *c, const char *name, unsigned index, char out[DNS_NAME_MAX + 1])
{
    unsigned dots = 0;
    size_t len = strlen(name);
    for (const char *at = name; *at; at++)
        dots += *at == '.';
    bool absolute = len > 0 && name[len - 1] == '.';
    unsigned domains = absolute ? 0 : c->search_count, plain = dots >= c->ndots ? 0 : domains;
    if (index > domains)
        return false;
    struct text t = text_over(out, DNS_NAME_MAX + 1);
    text_add(&t, name);
    if (index != plain)
        text_addf(&t, ".%s", c->search[index < plain ? index : index - 1]);
    if (t.cut)
        out[0] = 0;
    return true;
}

static err ask_one(struct dns *d, const char *name, ms deadline, struct dns_found *out)
{
    struct dns_asking how = {.servers = d->config.servers,
                             .server_count = d->config.server_count,
                             .first = d->preferred,
                             .timeout_s = d->config.timeout_s,
                             .attempts = d->config.attempts};
    err e = dns_ask(&how, name, deadline, out);
    if (e == OK || e == E_ABSENT)
        d->preferred = out->by;
    return e;
}

static err ask_all(struct dns *d, const char *name, ms deadline, struct dns_found *out)
{
    char asked[DNS_NAME_MAX + 1], list[TRAIL_TEXT_MAX];
    struct text t = text_over(list, sizeof list);
    err worst = E_ABSENT;
    uint32_t ttl_s = UINT32_MAX;
    for (unsigned i = 0; candidate(&d->config, name, i, asked); i++) {
        if (!dns_is_host_name(asked))
            continue;
        err e = ask_one(d, asked, deadline, out);
        if (e == OK || (e != E_ABSENT && e != E_NAME))
            return e;
        if (e == E_NAME)
            worst = e;
        ttl_s = out->ttl_s < ttl_s ? out->ttl_s : ttl_s;
        text_addf(&t, "%s%s", t.len > 0 ? ", " : "", asked);
    }
    if (t.len == 0)
        return trail(E_INVALID, "\"%.64s\" is not a host name", name);
    *out = (struct dns_found){.whole = true, .ttl_s = worst == E_ABSENT ? ttl_s : 0};
    cache_put(d, name, out);
    return trail(E_NAME, worst == E_ABSENT ? "no such name: %s" : "asked for %s", list);
}

/* --- look-ups --- */

static void answer_add(struct dns_answer *out, const uint8_t *ip, bool is_ipv4)
{
    struct addr *a = &out->addresses[out->count++];
    *a = (struct addr){.kind = is_ipv4 ? ADDR_IPV4 : ADDR_IPV6};
    memcpy(a->ip, ip, is_ipv4 ? 4 : 16);
}

static err answer_found(const struct dns_found *found, struct dns_answer *out)
{
    for (unsigned i = 0; i < found->count; i++)
        answer_add(out, found->at[i].ip, found->at[i].is_ipv4);
    out->ttl_s = found->ttl_s;
    return OK;
}

static err lookup_literal(const char *name, struct dns_answer *out)
{
    TRY(addr_parse_ip(bytes_of(name), &out->addresses[0]));
    out->count = 1;
    return OK;
}

static void lookup_localhost(struct dns_answer *out)
{
    static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    answer_add(out, v6, false);
    answer_add(out, v4, true);
}

static err lookup_remote(struct dns *d, const char *name, ms deadline, struct dns_answer *out)
{
    struct dns_found found;
    TRY(refresh(d, deadline));
    const struct cached *c = cache_find(d, name);
    if (c && c->found.count == 0)
        return trail(E_NAME, "no such name: %s (asked for a moment ago)", name);
    if (c)
        return answer_found(&c->found, out);
    TRY(hosts_lookup(d, name, deadline, &found));
    if (found.count == 0)
        TRY(ask_all(d, name, deadline, &found));
    cache_put(d, name, &found);
    return answer_found(&found, out);
}

err dns_lookup(struct dns *d, const char *name, ms deadline, struct dns_answer *out)
{
    *out = (struct dns_answer){.ttl_s = LOCAL_TTL_S};
    if (dns_is_literal(bytes_of(name)))
        return lookup_literal(name, out);
    if (!dns_is_host_name(name))
        return trail(E_INVALID, "\"%.64s\" is not a host name", name);
    if (!dns_is_localhost(name))
        return trail(lookup_remote(d, name, deadline, out), "looking up %s", name);
    lookup_localhost(out);
    return OK;
}

/* --- opening --- */

static struct dns *dns_new(void)
{
    struct dns *d = calloc(1, sizeof *d);
    if (d)
        lane_open(&d->lane, "dns files", mem_task(), 1);
    return d;
}

err dns_open(struct dns **out)
{
    *out = dns_new();
    if (!*out)
        return E_BUDGET;
    (*out)->from_files = true;
    return OK;
}

err dns_open_with(const struct dns_config *config, struct dns **out)
{
    *out = dns_new();
    if (!*out)
        return E_BUDGET;
    (*out)->config = *config;
    return OK;
}

void dns_close(struct dns *d)
{
    if (!d)
        return;
    lane_close(&d->lane);
    free(d);
}
