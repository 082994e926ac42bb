/* url: a strict reader; what it does not know it refuses by name. */
#include "net/format/url.h"

#include "board/rt/addr.h"
#include "board/rt/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PORT_HTTP  80  /* RFC 9110 §4.2.1 */
#define PORT_HTTPS 443 /* RFC 9110 §4.2.2 */

static err scheme(const char **at, struct url *out)
{
    out->tls = strncmp(*at, "https://", 8) == 0;
    if (!out->tls && strncmp(*at, "http://", 7) != 0)
        return trail(E_INVALID, "\"%.*s\" does not start with http:// or https://", (int)size_min(strcspn(*at, "/?#@"), 40), *at);
    *at += out->tls ? 8 : 7;
    return OK;
}

/* In brackets an IPv6 literal with its zone (RFC 3986 §3.2.2, RFC 6874), else a name or an IPv4 literal. */
static bool host_char(char c, bool bracket)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
           (bracket && (c == ':' || c == '%'));
}

/* Before anything of it is told: what stands before an @ may be a password. */
static err no_user(const char *at)
{
    return at[strcspn(at, "/?#@")] == '@' ? trail(E_INVALID, "user names in addresses are not supported") : OK;
}

static err host(const char **at, struct url *out)
{
    bool bracket = **at == '[';
    const char *from = *at + bracket;
    size_t len = strcspn(from, bracket ? "]" : ":/?#@");
    if (len == 0 || len >= sizeof out->host)
        return trail(E_INVALID, "\"%.60s\" has no host, or one of %zu bytes", *at, len);
    for (size_t i = 0; i < len; i++)
        if (!host_char(from[i], bracket))
            return trail(E_INVALID, "host \"%.*s\" has a character that no host has", (int)size_min(len, 60), from);
    memcpy(out->host, from, len);
    out->host[len] = 0;
    *at = from + len;
    if (bracket && *(*at)++ != ']')
        return trail(E_INVALID, "host \"%.60s\" lacks its ]", from);
    if (bracket && !strchr(out->host, ':'))
        return trail(E_INVALID, "\"[%s]\": only an IPv6 address goes into brackets", out->host);
    return **at && !strchr(":/?#", **at) ? trail(E_INVALID, "host \"%s\" is followed by \"%.20s\"", out->host, *at) : OK;
}

static err port(const char **at, struct url *out)
{
    out->port = out->tls ? PORT_HTTPS : PORT_HTTP;
    if (**at != ':')
        return OK;
    size_t len = strcspn(*at + 1, "/?#@");
    uint64_t number = 0;
    if (!text_to_u64((struct bytes){(const uint8_t *)*at + 1, len}, &number) || number == 0 || number > UINT16_MAX)
        return trail(E_INVALID, "port \"%.*s\" is not 1..65535", (int)size_min(len, 20), *at + 1);
    out->port = (uint16_t)number;
    out->port_told = true;
    *at += 1 + len;
    return OK;
}

err url_parse(const char *text, struct url *out)
{
    *out = (struct url){0};
    const char *at = text;
    TRY(no_user(at)); /* without a scheme too */
    TRY(scheme(&at, out));
    TRY(no_user(at));
    TRY(host(&at, out));
    TRY(port(&at, out));
    if (strchr(at, '#'))
        return trail(E_INVALID, "an address has no #fragment here");
    size_t len = strlen(at);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] <= 0x20 || (unsigned char)at[i] >= 0x7f)
            return trail(E_INVALID, "the path has a space or a character that needs %%-encoding");
    if (len + 2 > sizeof out->path)
        return trail(E_INVALID, "a path of %zu bytes, more than %d", len, URL_PATH_MAX - 2);
    (void)snprintf(out->path, sizeof out->path, "%s%s", *at == '/' ? "" : "/", at);
    return OK;
}

void url_authority(const struct url *u, char *out, size_t cap)
{
    bool six = strchr(u->host, ':') != NULL;
    char number[8] = "";
    if (u->port != (u->tls ? PORT_HTTPS : PORT_HTTP))
        (void)snprintf(number, sizeof number, ":%u", (unsigned)u->port);
    (void)snprintf(out, cap, six ? "[%s]%s" : "%s%s", u->host, number);
}

bool url_is_loopback(const struct url *u)
{
    struct addr a;
    if (strcasecmp(u->host, "localhost") == 0 || strcmp(u->host, "::1") == 0)
        return true;
    bool literal = strncmp(u->host, "127.", 4) == 0 && addr_parse_ip(bytes_of(u->host), &a) == OK;
    trail_clear();
    return literal;
}
