/* url: http and https addresses as people write them in a configuration.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.
 * Errors   E_INVALID with what is wrong in the trail: another scheme, user info, an empty host, a port out of 1..65535, a
 * fragment. */
#ifndef HOLDFAST_URL_H
#define HOLDFAST_URL_H

#include "board/rt/err.h"

#define URL_HOST_MAX 256 /* with the zero; RFC 1035 §2.3.4 allows 253 bytes of name */
#define URL_PATH_MAX 1024

struct url { /* RFC 3986, the parts we use */
    bool tls;
    char host[URL_HOST_MAX]; /* name or literal, IPv6 without brackets */
    uint16_t port;           /* 80 and 443 unless told */
    bool port_told;
    char path[URL_PATH_MAX]; /* with query; "/" when empty */
};

MUST_USE err url_parse(const char *text, struct url *out);
/* "host:port", brackets around IPv6, the port left out where it is the scheme's: a Host or :authority field. */
#define URL_AUTHORITY_MAX (URL_HOST_MAX + 8)
void url_authority(const struct url *u, char *out, size_t cap);

/* This machine itself: localhost, 127.0.0.0/8 or ::1 (RFC 6761 §6.3, RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
bool url_is_loopback(const struct url *u);

#endif
