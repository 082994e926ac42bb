/* resolv.conf(5) and hosts(5). */
#include "board/rt/text.h"
#include "net/proto/dns.h"
#include "net/proto/dns_inside.h"

#include <string.h>

_Static_assert(DNS_FOUND_MAX == DNS_ADDRESSES_MAX, "what is found is what is answered");

#define NDOTS_MAX     15 /* resolv.conf(5) caps all three */
#define TIMEOUT_S_MAX 30
#define ATTEMPTS_MAX  5

bool dns_is_literal(struct bytes text)
{
    bool digits = text.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == ':')
            return true;
        digits = digits && (text.at[i] == '.' || (text.at[i] >= '0' && text.at[i] <= '9'));
    }
    return digits;
}

/* --- lines and words --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes next_line(struct bytes *text)
{
    const uint8_t *end = text->len > 0 ? memchr(text->at, '\n', text->len) : NULL;
    struct bytes line = {text->at, end ? (size_t)(end - text->at) : text->len};
    size_t used = line.len + (end ? 1 : 0);
    text->at += used;
    text->len -= used;
    return line;
}

/* Empty at the end of the line. */
static struct bytes next_word(struct bytes *line)
{
    while (line->len > 0 && is_blank(line->at[0])) {
        line->at++;
        line->len--;
    }
    struct bytes word = {line->at, 0};
    while (word.len < line->len && !is_blank(line->at[word.len]))
        word.len++;
    line->at += word.len;
    line->len -= word.len;
    return word;
}

static struct bytes without_comment(struct bytes line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '#' || line.at[i] == ';')
            line.len = i;
    return line;
}

/* --- resolv.conf --- */

static void add_server(struct dns_config *c, struct bytes word)
{
    struct addr a;
    if (c->server_count < DNS_SERVERS_MAX && dns_is_literal(word) && addr_parse_ip(word, &a) == OK)
        c->servers[c->server_count++] = a;
}

/* The last `search` or `domain` line counts, resolv.conf(5). */
static void set_search(struct dns_config *c, struct bytes line)
{
    c->search_count = 0;
    for (struct bytes word = next_word(&line); word.len > 0; word = next_word(&line)) {
        if (c->search_count == DNS_SEARCH_MAX || word.len >= DNS_NAME_MAX)
            continue;
        char *name = c->search[c->search_count];
        memcpy(name, word.at, word.len);
        name[word.len] = 0;
        if (dns_is_host_name(name))
            c->search_count++;
    }
}

static void set_option(struct dns_config *c, struct bytes word)
{
    const struct {
        const char *name;
        unsigned *value, least, most;
    } all[] = {{"ndots:", &c->ndots, 0, NDOTS_MAX},
               {"timeout:", &c->timeout_s, 1, TIMEOUT_S_MAX},
               {"attempts:", &c->attempts, 1, ATTEMPTS_MAX}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        size_t len = strlen(all[i].name);
        uint64_t value;
        if (word.len <= len || memcmp(word.at, all[i].name, len) != 0)
            continue;
        if (text_to_u64((struct bytes){word.at + len, word.len - len}, &value))
            *all[i].value = value < all[i].least ? all[i].least : value > all[i].most ? all[i].most : (unsigned)value;
    }
}

static void read_line(struct dns_config *c, struct bytes line)
{
    struct bytes key = next_word(&line);
    if (bytes_equal_text(key, "nameserver"))
        add_server(c, next_word(&line));
    else if (bytes_equal_text(key, "search") || bytes_equal_text(key, "domain"))
        set_search(c, line);
    else if (bytes_equal_text(key, "options"))
        for (struct bytes word = next_word(&line); word.len > 0; word = next_word(&line))
            set_option(c, word);
}

err dns_config_parse(struct bytes resolv_conf, struct dns_config *out)
{
    *out = (struct dns_config){.ndots = 1, .timeout_s = 5, .attempts = 2};
    while (resolv_conf.len > 0)
        read_line(out, without_comment(next_line(&resolv_conf)));
    if (out->server_count == 0) /* "the name server on the local machine", resolv.conf(5) */
        out->servers[out->server_count++] = (struct addr){.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}};
    return OK;
}

/* --- hosts --- */

bool dns_same_name(struct bytes a, const char *b)
{
    size_t len = strlen(b);
    if (a.len > 0 && a.at[a.len - 1] == '.')
        a.len--;
    if (len > 0 && b[len - 1] == '.')
        len--;
    if (a.len != len)
        return false;
    char ended[DNS_NAME_MAX + 1];
    if (len >= sizeof ended)
        return false;
    memcpy(ended, b, len);
    ended[len] = 0;
    return bytes_equal_nocase(a, ended);
}

void dns_hosts_find(struct bytes hosts, const char *name, struct dns_found *out)
{
    *out = (struct dns_found){.whole = true};
    while (hosts.len > 0) {
        struct bytes line = without_comment(next_line(&hosts));
        struct addr a;
        struct bytes ip = next_word(&line);
        if (!dns_is_literal(ip) || addr_parse_ip(ip, &a) != OK)
            continue;
        for (struct bytes word = next_word(&line); word.len > 0; word = next_word(&line))
            if (dns_same_name(word, name))
                dns_found_add(out, a.ip, a.kind == ADDR_IPV4);
    }
}

/* --- what was found --- */

void dns_found_add(struct dns_found *f, const uint8_t *ip, bool is_ipv4)
{
    size_t len = is_ipv4 ? 4 : 16;
    for (unsigned i = 0; i < f->count; i++)
        if (f->at[i].is_ipv4 == is_ipv4 && memcmp(f->at[i].ip, ip, len) == 0)
            return;
    if (f->count == DNS_FOUND_MAX)
        return;
    struct dns_ip *to = &f->at[f->count++];
    *to = (struct dns_ip){.is_ipv4 = is_ipv4};
    memcpy(to->ip, ip, len);
}

/* The next one at or after `from` of that family; count when there is none. */
static unsigned next_of(const struct dns_found *f, unsigned from, bool is_ipv4)
{
    while (from < f->count && f->at[from].is_ipv4 != is_ipv4)
        from++;
    return from;
}

void dns_found_interleave(struct dns_found *f)
{
    struct dns_found old = *f;
    unsigned v6 = next_of(&old, 0, false), v4 = next_of(&old, 0, true);
    for (unsigned i = 0; i < old.count; i++) {
        bool take_v4 = v6 == old.count || (v4 < old.count && i % 2 == 1);
        unsigned *from = take_v4 ? &v4 : &v6;
        f->at[i] = old.at[*from];
        *from = next_of(&old, *from + 1, take_v4);
    }
}

bool dns_is_localhost(const char *name)
{
    static const char suffix[] = ".localhost";
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (dns_same_name((struct bytes){(const uint8_t *)name, len}, "localhost"))
        return true;
    return len > sizeof suffix - 1 &&
           dns_same_name((struct bytes){(const uint8_t *)name + len - (sizeof suffix - 1) + 1, sizeof suffix - 2}, "localhost") &&
           name[len - (sizeof suffix - 1)] == '.';
}
