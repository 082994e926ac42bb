/* dns_wire: names and numbers as RFC 1035 writes them. For net/format/dns_*.c only.
 *
 * Layer    format.   Blocks   never.   Memory   the caller's.
 * Errors   E_PROTOCOL the message ends early, or a name loops, is too long or has bytes no host name has; E_INVALID a text. */
#ifndef HOLDFAST_DNS_WIRE_H
#define HOLDFAST_DNS_WIRE_H

#include "net/format/dns_message.h"

#define DNS_NAME_WIRE_MAX 255 /* RFC 1035 2.3.4 */

struct dns_cursor {
    struct bytes message;
    size_t at; /* <= message.len */
};

MUST_USE err dns_read16(struct dns_cursor *c, unsigned *out);
MUST_USE err dns_read32(struct dns_cursor *c, uint32_t *out);
/* As text without the last dot, "." for the root. A pointer may only point before itself (so it ends), RFC 1035 4.1.4. */
MUST_USE err dns_read_name(struct dns_cursor *c, char out[DNS_NAME_TEXT_MAX]);
MUST_USE err dns_name_to_wire(const char *name, uint8_t out[DNS_NAME_WIRE_MAX], size_t *len);
void dns_store16(uint8_t *at, unsigned value);

#endif
