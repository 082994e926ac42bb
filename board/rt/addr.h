/* addr: numeric addresses. No look-ups: names are net/proto/dns.h.
 *
 * Layer    rt.   Blocks   never.   Memory   the caller's.   Errors   E_INVALID with what was wrong in the trail. */
#ifndef HOLDFAST_ADDR_H
#define HOLDFAST_ADDR_H

#include "board/rt/err.h"

#define ADDR_PATH_MAX 108 /* sun_path, unix(7) */
#define ADDR_TEXT_MAX 128

enum addr_kind { ADDR_NONE, ADDR_IPV4, ADDR_IPV6, ADDR_UNIX };

struct addr {
    enum addr_kind kind;
    uint16_t port;  /* host order */
    uint32_t scope; /* IPv6 zone index, 0 none */
    uint8_t ip[16]; /* network order; the first 4 for IPv4 */
    char path[ADDR_PATH_MAX];
};

/* "127.0.0.1", "::1", "fe80::1%2" (numeric zone); no port. E_INVALID when it is not a numeric address. */
MUST_USE err addr_parse_ip(struct bytes text, struct addr *out);
/* "127.0.0.1:80", "[::1]:80", ":80" (all addresses, IPv6 dual), "unix:/path". */
MUST_USE err addr_parse(struct bytes text, struct addr *out);
const char *addr_text(const struct addr *a, char *out, size_t cap); /* the form addr_parse() reads; returns out */
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a); /* unix paths are */

#endif
