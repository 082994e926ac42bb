/* dns_inside: what the files of dns share. For net/proto/dns*.c only.
 *
 * Layer    proto.                        Blocks   dns_ask() parks the fiber; the rest never.
 * Owner    the caller.                   Memory   dns_ask(): one 4 KiB buffer and about 5 KiB of heap while it runs.
 * Time     a deadline a call.            Errors   dns_ask(): E_ABSENT the name is not there or has no address (ttl_s says for how
 * long that may be believed); E_NAME no server gave an answer; E_INVALID no host name; E_TIMEOUT, E_CANCELED, E_BUDGET. */
#ifndef HOLDFAST_DNS_INSIDE_H
#define HOLDFAST_DNS_INSIDE_H

#include "board/rt/addr.h"
#include "board/rt/err.h"

#define DNS_FOUND_MAX 16 /* = DNS_ADDRESSES_MAX and DNS_REPLY_ADDRESSES_MAX, asserted */
#define DNS_PORT      53

struct dns_ip { /* struct addr has room for a path; what is kept has not */
    uint8_t ip[16];
    bool is_ipv4;
};

struct dns_found {
    struct dns_ip at[DNS_FOUND_MAX];
    unsigned count;
    uint32_t ttl_s;
    bool whole;  /* both families were answered */
    unsigned by; /* index of the server that answered last */
};

struct dns_asking {
    const struct addr *servers;   /* port 0: DNS_PORT; copied */
    unsigned server_count, first; /* first: who is asked first */
    unsigned timeout_s, attempts;
};
MUST_USE err dns_ask(const struct dns_asking *how, const char *name, ms deadline, struct dns_found *out);
bool dns_is_host_name(const char *name);
/* A colon, or nothing but digits and dots: an address or a mistake, never a name. (Asked before addr_parse_ip(), which tells the
 * trail of each text that is none.) */
bool dns_is_literal(struct bytes text);

/* Adds an address unless it is full or has it. */
void dns_found_add(struct dns_found *f, const uint8_t *ip, bool is_ipv4);
/* IPv6 first, then by turns, RFC 8305 4. */
void dns_found_interleave(struct dns_found *f);
/* The addresses that a hosts(5) text gives the name, in the file's order. */
void dns_hosts_find(struct bytes hosts, const char *name, struct dns_found *out);
/* The same host name? Case-insensitive, one trailing dot on either side does not count. */
bool dns_same_name(struct bytes a, const char *b);
/* "localhost" and what ends in ".localhost", RFC 6761 6.3. */
bool dns_is_localhost(const char *name);

#endif
