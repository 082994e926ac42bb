#include "net/format/dns_message.h"

#include "net/format/dns_wire.h"

#include <string.h>

#define HEADER_BYTES           12 /* RFC 1035 4.1.1 */
#define CLASS_IN               1
#define FLAG_RESPONSE          0x8000u
#define FLAG_OPCODE            0x7800u
#define FLAG_AUTHORITATIVE     0x0400u
#define FLAG_TRUNCATED         0x0200u
#define FLAG_RECURSION_DESIRED 0x0100u
#define RCODE_MASK             0x000Fu

/* --- the query --- */

err dns_build_query(const struct dns_question *q, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t name[DNS_NAME_WIRE_MAX];
    size_t name_len = 0;
    *len = 0;
    TRY(dns_name_to_wire(q->name, name, &name_len));
    if (cap < HEADER_BYTES + name_len + 4)
        return E_RANGE;
    memset(out, 0, HEADER_BYTES);
    dns_store16(out, q->id);
    dns_store16(out + 2, FLAG_RECURSION_DESIRED);
    dns_store16(out + 4, 1); /* one question */
    memcpy(out + HEADER_BYTES, name, name_len);
    dns_store16(out + HEADER_BYTES + name_len, (unsigned)q->type);
    dns_store16(out + HEADER_BYTES + name_len + 2, CLASS_IN);
    *len = HEADER_BYTES + name_len + 4;
    return OK;
}

/* --- the answer --- */

struct record {
    char owner[DNS_NAME_TEXT_MAX];
    unsigned type, class;
    uint32_t ttl_s;
    size_t at, len; /* its data within the message */
};

static err read_record(struct dns_cursor *c, struct record *r)
{
    TRY(dns_read_name(c, r->owner));
    TRY(dns_read16(c, &r->type));
    TRY(dns_read16(c, &r->class));
    TRY(dns_read32(c, &r->ttl_s));
    unsigned len = 0;
    TRY(dns_read16(c, &len));
    if (len > c->message.len - c->at)
        return E_PROTOCOL;
    r->at = c->at;
    r->len = len;
    c->at += len;
    if (r->ttl_s > INT32_MAX)
        r->ttl_s = 0; /* RFC 2181 8 */
    return OK;
}

/* Is this the answer to our question, or somebody else's? RFC 5452 9.1 */
static err match_question(struct dns_cursor *c, const struct dns_question *q, unsigned questions)
{
    char name[DNS_NAME_TEXT_MAX];
    unsigned type = 0, class = 0;
    if (questions != 1)
        return E_AGAIN;
    TRY(dns_read_name(c, name));
    TRY(dns_read16(c, &type));
    TRY(dns_read16(c, &class));
    return type == (unsigned)q->type && class == CLASS_IN && dns_name_equal(name, q->name) ? OK : E_AGAIN;
}

static err add_address(const struct dns_cursor *c, const struct record *r, struct dns_reply *out)
{
    size_t wanted = r->type == DNS_A ? 4 : 16;
    if (r->len != wanted)
        return E_PROTOCOL;
    if (out->address_count == DNS_REPLY_ADDRESSES_MAX) {
        out->left_out++;
        return OK;
    }
    struct addr *a = &out->addresses[out->address_count++];
    a->kind = r->type == DNS_A ? ADDR_IPV4 : ADDR_IPV6;
    memcpy(a->ip, c->message.at + r->at, wanted);
    return OK;
}

static err add_service(const struct dns_cursor *c, const struct record *r, struct dns_reply *out)
{
    struct dns_cursor data = {.message = c->message, .at = r->at};
    struct dns_service s = {0};
    unsigned priority = 0, weight = 0, port = 0;
    TRY(dns_read16(&data, &priority));
    TRY(dns_read16(&data, &weight));
    TRY(dns_read16(&data, &port));
    TRY(dns_read_name(&data, s.target));
    if (data.at != r->at + r->len)
        return E_PROTOCOL;
    if (out->service_count == DNS_SERVICES_MAX) {
        out->left_out++;
        return OK;
    }
    s.priority = (uint16_t)priority;
    s.weight = (uint16_t)weight;
    s.port = (uint16_t)port;
    out->services[out->service_count++] = s;
    return OK;
}

struct chain {
    char name[DNS_NAME_TEXT_MAX]; /* whose records we want now */
    unsigned aliases;
    bool has_ttl;
};

static void lower_ttl(struct chain *chain, struct dns_reply *out, uint32_t ttl_s)
{
    if (!chain->has_ttl || ttl_s < out->ttl_s)
        out->ttl_s = ttl_s;
    chain->has_ttl = true;
}

static err follow_alias(const struct dns_cursor *c, const struct record *r, struct chain *chain)
{
    struct dns_cursor data = {.message = c->message, .at = r->at};
    if (++chain->aliases > DNS_ALIASES_MAX)
        return E_PROTOCOL;
    TRY(dns_read_name(&data, chain->name));
    return data.at == r->at + r->len ? OK : E_PROTOCOL;
}

/* Records of other names and types are passed over. Servers send a chain in order (RFC 1034 4.3.2 builds it so). */
static err use_record(const struct dns_cursor *c, const struct record *r, const struct dns_question *q, struct chain *chain,
                      struct dns_reply *out)
{
    if (r->class != CLASS_IN || !dns_name_equal(r->owner, chain->name))
        return OK;
    bool is_wanted = r->type == (unsigned)q->type;
    if (!is_wanted && r->type != DNS_CNAME)
        return OK;
    lower_ttl(chain, out, r->ttl_s);
    if (!is_wanted)
        return follow_alias(c, r, chain);
    return r->type == DNS_SRV ? add_service(c, r, out) : add_address(c, r, out);
}

/* RFC 2308 5: a negative answer is kept for the lesser of the SOA's own TTL and its last field. */
static err use_authority(const struct dns_cursor *c, const struct record *r, struct chain *chain, struct dns_reply *out)
{
    struct dns_cursor data = {.message = c->message, .at = r->at + r->len - 4};
    uint32_t least_s = 0;
    if (r->type != DNS_SOA || r->class != CLASS_IN || out->address_count + out->service_count > 0)
        return OK;
    if (r->len < 22) /* two names of a byte, five numbers: RFC 1035 3.3.13 */
        return E_PROTOCOL;
    TRY(dns_read32(&data, &least_s));
    lower_ttl(chain, out, least_s < r->ttl_s ? least_s : r->ttl_s);
    return OK;
}

static err read_records(struct dns_cursor *c, const struct dns_question *q, unsigned answers, unsigned authorities,
                        struct dns_reply *out)
{
    struct chain chain = {0};
    struct record r;
    if (answers + authorities > DNS_RECORDS_MAX)
        return E_PROTOCOL;
    memcpy(chain.name, q->name, sizeof chain.name);
    for (unsigned i = 0; i < answers + authorities; i++) {
        TRY(read_record(c, &r));
        TRY(i < answers ? use_record(c, &r, q, &chain, out) : use_authority(c, &r, &chain, out));
    }
    return OK;
}

err dns_parse_answer(struct bytes message, const struct dns_question *q, struct dns_reply *out)
{
    struct dns_cursor c = {.message = message};
    unsigned id = 0, flags = 0, questions = 0, answers = 0, authorities = 0, more = 0;
    memset(out, 0, sizeof *out);
    TRY(dns_read16(&c, &id));
    TRY(dns_read16(&c, &flags));
    TRY(dns_read16(&c, &questions));
    TRY(dns_read16(&c, &answers));
    TRY(dns_read16(&c, &authorities));
    TRY(dns_read16(&c, &more));
    if (id != q->id || (flags & FLAG_RESPONSE) == 0 || (flags & FLAG_OPCODE) != 0)
        return E_AGAIN;
    out->rcode = flags & RCODE_MASK;
    out->truncated = (flags & FLAG_TRUNCATED) != 0;
    out->authoritative = (flags & FLAG_AUTHORITATIVE) != 0;
    if (questions == 0 && out->rcode != DNS_NOERROR)
        return OK; /* some servers refuse without repeating the question; the id matched */
    TRY(match_question(&c, q, questions));
    if (out->truncated)
        return OK;
    return read_records(&c, q, answers, authorities, out);
}
