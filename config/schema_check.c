/* schema_check: what the texts of a configuration may be. */
#include "config/schema_check.h"

#include "config/config.h"
#include "net/format/url.h"

#include <string.h>

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

const char *check_name(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!is_name_char(value.at[i]))
            return "is not a name; use a-z, 0-9 and -, at most 32 of them";
    return NULL;
}

static bool is_host_char(uint8_t c, bool ipv6)
{
    uint8_t lower = c | 0x20;
    if (ipv6)
        return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f') || c == ':' || c == '.';
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_port(struct bytes text)
{
    uint64_t port;
    return text.len <= 5 && text_to_u64(text, &port) && port >= 1 && port <= UINT16_MAX;
}

/* RFC 3986 authority without user information: HOST, HOST:PORT, [IPV6], [IPV6]:PORT. */
static bool is_authority(struct bytes a)
{
    bool ipv6 = a.len > 0 && a.at[0] == '[';
    size_t start = ipv6 ? 1 : 0, end = start;
    while (end < a.len && is_host_char(a.at[end], ipv6))
        end++;
    if (end == start || (ipv6 && (end == a.len || a.at[end] != ']')))
        return false;
    end += ipv6 ? 1 : 0;
    if (end == a.len)
        return true;
    return a.at[end] == ':' && is_port((struct bytes){a.at + end + 1, a.len - end - 1});
}

const char *check_endpoint(struct bytes value)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t length = strlen(schemes[i]);
        if (value.len < length || memcmp(value.at, schemes[i], length) != 0)
            continue;
        struct bytes rest = {value.at + length, value.len - length};
        if (rest.len > 0 && rest.at[rest.len - 1] == '/')
            rest.len--;
        if (is_authority(rest))
            return NULL;
    }
    return "is not an endpoint; write it like https://10.0.0.2:2379";
}

const char *check_url(struct bytes value)
{
    char text[CONFIG_URL_MAX];
    struct url url;
    if (value.len >= sizeof text) /* told as too long */
        return NULL;
    memcpy(text, value.at, value.len);
    text[value.len] = 0;
    if (url_parse(text, &url) == OK)
        return NULL;
    trail_clear(); /* not its words: a token may be in them */
    return "is not a URL without user and password; write it like https://hooks.lan/path";
}

/* An S3 server's: as an etcd endpoint, but with another example. */
const char *check_s3_endpoint(struct bytes value)
{
    return check_endpoint(value) ? "is not a server's URL without a path; write it like https://s3.lan:9000" : NULL;
}

/* Amazon's rule for bucket names, without those about words. */
const char *check_bucket(struct bytes value)
{
    bool good = value.len >= 3;
    for (size_t i = 0; i < value.len; i++)
        good = good && (is_name_char(value.at[i]) || value.at[i] == '.' || value.at[i] == '_');
    return good ? NULL : "is not a bucket's name; use 3 to 63 of a-z, 0-9, - and .";
}

const char *check_prefix(struct bytes value)
{
    bool good = value.len > 0 && value.at[0] != '/';
    for (size_t i = 0; i < value.len; i++)
        good = good && value.at[i] > ' ' && value.at[i] < 0x7F;
    return good ? NULL : "is not a prefix of keys; write it like clusters/home/";
}

const char *check_region(struct bytes value)
{
    bool good = value.len > 0;
    for (size_t i = 0; i < value.len; i++)
        good = good && is_name_char(value.at[i] | 0x20);
    return good ? NULL : "is not a region; write it like eu-central-1";
}

const char *check_server(struct bytes value)
{
    bool ipv6 = value.len > 0 && memchr(value.at, ':', value.len), good = value.len > 0;
    for (size_t i = 0; i < value.len; i++)
        good = good && is_host_char(value.at[i], ipv6);
    return good ? NULL : "is not a server; write its name or address, without a port";
}

static bool is_word_char(uint8_t c)
{
    return is_name_char(c | 0x20) || c == '.' || c == '_' || c == ':';
}

const char *check_platform_url(struct bytes value)
{
    return check_url(value) ? "is not a URL without user and password; write it like https://api.example.com" : NULL;
}

const char *check_cluster_name(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < ' ')
            return "is not a name; use no control characters";
    return value.len > 0 ? NULL : "is empty; write what the platform shall call the cluster";
}

const char *check_cluster_uid(struct bytes value)
{
    bool good = value.len > 0;
    for (size_t i = 0; i < value.len; i++)
        good = good && is_word_char(value.at[i]);
    return good ? NULL : "is not a UID; write it as metadata.uid of a namespace has it, or remove the key";
}

const char *check_kind(struct bytes value)
{
    for (const char *const *kind = config_ingest_kinds; *kind; kind++)
        if (bytes_equal_text(value, *kind))
            return NULL;
    return "is not one of the 20 kinds; write them like Pod, Service, PersistentVolumeClaim";
}
