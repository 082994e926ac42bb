/* dns: names to addresses, without a thread and without blocking: resolv.conf, hosts, search list, A and AAAA over UDP, TCP when
 * truncated.
 *
 * Layer    proto.                                 Blocks   parks the fiber; files are read on the pool.
 * Owner    the caller owns struct dns_answer.     Memory   one 4 KiB buffer a query; a small fixed cache (DNS_CACHE_MAX names).
 * Time     a deadline a call; each server gets `timeout` (5 s, resolv.conf(5)) of it, but a dead first server costs at most 1 s
 * before the second is asked as well. Errors   E_NAME no such name (says so) or no server answered (names them); E_INVALID not a
 * host name; E_TIMEOUT. */
#ifndef HOLDFAST_DNS_H
#define HOLDFAST_DNS_H

#include "board/rt/pool.h"
#include "net/proto/stream.h"

#define DNS_ADDRESSES_MAX 16
#define DNS_SERVERS_MAX   3   /* resolv.conf(5) MAXNS */
#define DNS_SEARCH_MAX    6   /* resolv.conf(5) */
#define DNS_NAME_MAX      254 /* RFC 1035 §2.3.4, with the zero */
#define DNS_CACHE_MAX     32

struct dns_answer {
    struct addr addresses[DNS_ADDRESSES_MAX]; /* port 0 */
    unsigned count;
    uint32_t ttl_s; /* the smallest */
};

struct dns_config { /* what resolv.conf and hosts said; a test fills it by hand */
    struct addr servers[DNS_SERVERS_MAX];
    unsigned server_count;
    char search[DNS_SEARCH_MAX][DNS_NAME_MAX];
    unsigned search_count;
    unsigned ndots, timeout_s, attempts;
    char hosts_path[64];
};
MUST_USE err dns_config_parse(struct bytes resolv_conf, struct dns_config *out);

struct dns; /* one a process is enough; reads /etc/resolv.conf and /etc/hosts again when they change */
MUST_USE err dns_open(struct dns **out);                                       /* from the usual files */
MUST_USE err dns_open_with(const struct dns_config *config, struct dns **out); /* fixed */
void dns_close(struct dns *d);
/* Numeric addresses, "localhost" and hosts-file names are answered without asking anybody. IPv6 and IPv4 both. */
MUST_USE err dns_lookup(struct dns *d, const char *name, ms deadline, struct dns_answer *out);

/* Looks up and connects: addresses in turn (IPv6 first, 250 ms head start each, RFC 8305), the first that connects wins. The
 * errors of all addresses are in the trail. */
MUST_USE err dns_connect(struct dns *d, const char *host, uint16_t port, ms deadline, struct stream **out);

#endif
