/* Fuzzes the DNS answer parser: the first byte chooses what was asked. Names that come out must be names that could be asked. */
#include "net/format/dns_message.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dns_question questions[] = {
        {.id = 0x1234, .type = DNS_A, .name = "www.x"},
        {.id = 0x1234, .type = DNS_AAAA, .name = "www.x"},
        {.id = 0x1234, .type = DNS_SRV, .name = "_e._tcp.h"},
    };
    struct dns_reply a;
    if (size == 0)
        return 0;
    if (dns_parse_answer((struct bytes){data + 1, size - 1}, &questions[data[0] % 3], &a) != OK)
        return 0;
    ASSERT(a.address_count <= DNS_REPLY_ADDRESSES_MAX && a.service_count <= DNS_SERVICES_MAX && a.ttl_s <= INT32_MAX);
    for (unsigned i = 0; i < a.address_count; i++)
        ASSERT(a.addresses[i].kind == (data[0] % 3 == 0 ? ADDR_IPV4 : ADDR_IPV6));
    for (unsigned i = 0; i < a.service_count; i++)
        ASSERT(strcmp(a.services[i].target, ".") == 0 || dns_name_is_valid(a.services[i].target));
    return 0;
}
