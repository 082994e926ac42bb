/* dns_zone: what the tests' DNS servers know, and answers made of it by hand (not by the code under test).
 *
 * Layer    tests.   Blocks   never.   Memory   the caller's.   Owner   static.   Errors   none. */
#ifndef HOLDFAST_TEST_DNS_ZONE_H
#define HOLDFAST_TEST_DNS_ZONE_H

#include "board/rt/addr.h"
#include "board/rt/text.h"

#include <string.h>

static const struct zone_record {
    const char *name;
    const char *v4, *v6; /* NULL: no such record */
    unsigned v4_times;   /* so many, counting up the last byte */
    uint32_t ttl_s;
} zone[] = {{"both.test", "10.0.0.1", "fd00::1", 1, 60},  {"four.test", "10.0.0.4", NULL, 1, 60},
            {"six.test", NULL, "fd00::6", 1, 60},         {"empty.test", NULL, NULL, 0, 60},
            {"many.test", "10.0.1.1", "fd00::1", 12, 60}, {"brief.test", "10.0.0.9", NULL, 1, 0},
            {"host.corp.test", "10.1.1.1", NULL, 1, 60},  {"a.b.corp.test", "10.1.1.2", NULL, 1, 60}};

static inline size_t put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
    return 2;
}

static inline size_t put_record(uint8_t *at, unsigned type, uint32_t ttl_s, const uint8_t *ip, size_t ip_len)
{
    size_t n = put16(at, 0xC00C);
    n += put16(at + n, type);
    n += put16(at + n, 1);
    n += put16(at + n, ttl_s >> 16);
    n += put16(at + n, ttl_s & 0xFFFF);
    n += put16(at + n, (unsigned)ip_len);
    memcpy(at + n, ip, ip_len);
    return n + ip_len;
}

static inline size_t question_read(const uint8_t *query, size_t len, char *name, unsigned *type)
{
    size_t at = 12, out = 0;
    while (at < len && query[at] != 0) {
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, query + at + 1, query[at]);
        out += query[at];
        at += query[at] + 1u;
    }
    name[out] = 0;
    *type = query[at + 2];
    return at + 5;
}

static inline size_t answer_make(const uint8_t *query, size_t len, bool truncated, const char *evil, unsigned rcode, uint8_t *out)
{
    char name[256];
    unsigned type = 0, count = 0;
    size_t n = question_read(query, len, name, &type);
    memcpy(out, query, n);
    const struct zone_record *z = NULL;
    for (size_t i = 0; i < COUNT_OF(zone); i++)
        if (strcasecmp(zone[i].name, name) == 0)
            z = &zone[i];
    const char *ip_text = evil ? (type == 1 ? evil : NULL) : z ? (type == 1 ? z->v4 : z->v6) : NULL;
    struct addr a;
    if (!truncated && rcode == 0 && ip_text && addr_parse_ip(bytes_of(ip_text), &a) == OK)
        for (unsigned times = type == 1 && !evil ? z->v4_times : 1; count < times; count++) {
            n += put_record(out + n, type, evil ? 3600 : z->ttl_s, a.ip, type == 1 ? 4 : 16);
            a.ip[3]++;
        }
    put16(out + 2, 0x8180u | (truncated ? 0x0200u : 0) | (rcode ? rcode : z || evil ? 0 : 3u));
    put16(out + 6, count);
    return n;
}

#endif
