/* dns_message: one DNS question as bytes, and its answer out of bytes. Pure and strict.
 *
 * Layer    format.                              Blocks   never.
 * Owner    the caller; nothing points into      Memory   struct dns_reply, about 3 KiB; no more than the bounds below
 *          the message afterwards.                       however long the message is.
 * Errors   query: E_INVALID not a name, E_RANGE it does not fit. answer: E_AGAIN it answers another question (id, name or type:
 *          keep waiting, it may be forged), E_PROTOCOL malformed. An rcode is not an error here: see struct dns_reply.
 * Source   RFC 1035 4 (format), RFC 2782 (SRV), RFC 2308 5 (TTL of negative answers), RFC 4343 (case), RFC 5452 9.1 (matching).
 */
#ifndef HOLDFAST_DNS_MESSAGE_H
#define HOLDFAST_DNS_MESSAGE_H

#include "board/rt/addr.h"
#include "board/rt/err.h"

#define DNS_NAME_TEXT_MAX       254 /* 253 characters and the zero: 255 bytes on the wire, RFC 1035 2.3.4 */
#define DNS_LABEL_MAX           63
#define DNS_QUERY_MAX           272 /* header, name, type, class */
#define DNS_UDP_MAX             512 /* RFC 1035 4.2.1; we send no EDNS */
#define DNS_REPLY_ADDRESSES_MAX 16  /* more are left out and counted */
#define DNS_SERVICES_MAX        8
#define DNS_ALIASES_MAX         8   /* CNAMEs followed within one answer */
#define DNS_RECORDS_MAX         128 /* in one message; more are E_PROTOCOL */

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_AAAA = 28, DNS_SRV = 33 };
enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };

struct dns_question {
    uint16_t id;                  /* from os_random(), new for each query */
    enum dns_type type;           /* A, AAAA or SRV */
    char name[DNS_NAME_TEXT_MAX]; /* "etcd.example.org", a trailing dot is allowed; letters, digits, '-', '_' */
};

struct dns_service {
    uint16_t priority, weight, port;
    char target[DNS_NAME_TEXT_MAX]; /* "." means: decidedly not available here (RFC 2782) */
};

struct dns_reply {
    unsigned rcode; /* enum dns_rcode; others are passed on */
    bool truncated; /* TC: nothing else was read, ask again over TCP */
    bool authoritative;
    uint32_t ttl_s;                                  /* least along the chain; of a negative answer the SOA's, 0 without one */
    unsigned address_count, service_count, left_out; /* all 0 with rcode 0: the name has no such record */
    struct addr addresses[DNS_REPLY_ADDRESSES_MAX];  /* port 0 */
    struct dns_service services[DNS_SERVICES_MAX];
};

bool dns_name_is_valid(const char *name);
bool dns_name_equal(const char *a, const char *b); /* case-insensitive, a trailing dot does not count */
/* The query with RD set. For TCP put its length in front (2 bytes, big-endian, RFC 1035 4.2.2). */
MUST_USE err dns_build_query(const struct dns_question *q, uint8_t *out, size_t cap, size_t *len);
MUST_USE err dns_parse_answer(struct bytes message, const struct dns_question *q, struct dns_reply *out);

#endif
