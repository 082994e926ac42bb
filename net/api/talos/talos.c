/* talos: connection and calls. Methods, roles and metadata: Talos, api/machine/machine.proto and its authorizers. */
#include "net/api/talos/talos_internal.h"

#include "board/rt/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX KIB(16) /* a status is about 200 bytes, a member about 300 */
#define CONNECT_MS_MAX   SECONDS(10)
#define METHOD(name)     "/machine.MachineService/" #name

static const struct {
    const char *path, *name, *role, *roles;
} calls[] = {
#define X(name, role, roles) [TALOS_##name] = {METHOD(name), #name, role, roles},
    TALOS_CALLS(X)
#undef X
};

static const char *filled(const char *text)
{
    return text && *text ? text : NULL;
}

err talos_open(const struct talos_options *o, struct talos **out)
{
    *out = NULL;
    if (!filled(o->socket) == !filled(o->endpoint))
        return trail(E_CONFIG, "Talos' machine API is reached by its socket or by an endpoint; give one of them");
    if (!filled(o->socket) && !o->tls)
        return trail(E_CONFIG, "talos %s: an endpoint needs a talosconfig with ca, crt and key", o->endpoint);
    struct talos *t = calloc(1, sizeof *t);
    if (!t)
        return E_BUDGET;
    t->options = *o;
    t->options.socket = filled(o->socket);
    if (t->options.tls)
        (void)tls_config_share(t->options.tls);
    *out = t;
    return OK;
}

static void disconnect(struct talos *t)
{
    h2_close(t->h2);
    t->h2 = NULL;
}

void talos_close(struct talos *t)
{
    if (!t)
        return;
    disconnect(t);
    tls_config_release(t->options.tls);
    free(t);
}

const char *talos_peer(const struct talos *t)
{
    return t->options.socket ? t->options.socket : t->options.endpoint;
}

/* --- connecting --- */
static err dial_socket(struct talos *t, ms deadline, struct stream **out)
{
    struct addr to = {.kind = ADDR_UNIX};
    if (t->options.socket[0] != '/' || strlen(t->options.socket) >= sizeof to.path)
        return trail(E_CONFIG, "a socket's path starts with / and has 107 bytes at most");
    memcpy(to.path, t->options.socket, strlen(t->options.socket) + 1);
    err e = tcp_connect(&to, deadline, out);
    if (e == E_ABSENT)
        return trail(e, "no such socket: bind %s into the service, on a Talos node", TALOS_SOCKET);
    if (e == E_REFUSED)
        return trail(e, "nobody listens on the socket: does this node run Talos' machined?");
    return e;
}

/* "node", "node:50000", "10.0.0.2", "fd00::2", "[fd00::2]:50000", as talosctl takes them. */
err talos_host_read(const char *endpoint, struct talos_host *out)
{
    struct addr a;
    struct bytes all = bytes_of(endpoint);
    uint64_t port = TALOS_PORT;
    uint64_t mark = trail_mark();
    bool literal = addr_parse_ip(all, &a) == OK; /* fd00::2 has colons, and no port */
    trail_rewind(mark);
    const char *colon = literal ? NULL : strrchr(endpoint, ':');
    if (colon && colon[1] == 0)
        return trail(E_CONFIG, "endpoint \"%s\": a colon without a port; write HOST:PORT", endpoint);
    if (colon && strchr(colon, ']')) /* "[fd00::2]" */
        colon = NULL;
    if (colon && (!text_to_u64(bytes_of(colon + 1), &port) || port == 0 || port > UINT16_MAX))
        return trail(E_CONFIG, "endpoint \"%s\": its port is no number of 1 to 65535", endpoint);
    size_t len = colon ? (size_t)(colon - endpoint) : all.len;
    if (len >= 2 && endpoint[0] == '[' && endpoint[len - 1] == ']') {
        endpoint++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof out->name)
        return trail(E_CONFIG, "an endpoint is HOST or HOST:PORT");
    memcpy(out->name, endpoint, len);
    out->name[len] = 0;
    out->port = (uint16_t)port;
    bool is_ipv6 = strchr(out->name, ':') != NULL; /* in brackets: RFC 3986 3.2.2 */
    (void)snprintf(out->authority, sizeof out->authority, "%s%s%s:%u", is_ipv6 ? "[" : "", out->name, is_ipv6 ? "]" : "",
                   (unsigned)out->port);
    return OK;
}

static err dial_host(struct talos *t, const struct talos_host *host, ms deadline, struct stream **out)
{
    TRY(dns_connect(t->options.dns, host->name, host->port, deadline, out));
    TRY(tls_connect(t->options.tls, *out, host->name, deadline, out));
    const char *chosen = tls_alpn(*out);
    if (chosen && strcmp(chosen, "h2") == 0)
        return OK;
    stream_close(*out);
    return trail(E_PROTOCOL, "the server does not speak HTTP/2 here (no ALPN h2): is this Talos' API port?");
}

static err dial(struct talos *t, ms deadline)
{
    struct stream *s = NULL;
    struct talos_host host = {.authority = "localhost"};
    bool local = t->options.socket != NULL;
    size_t window = t->options.window_bytes ? t->options.window_bytes : TALOS_WINDOW_BYTES;
    if (!local)
        TRY(talos_host_read(t->options.endpoint, &host));
    TRY(local ? dial_socket(t, deadline, &s) : dial_host(t, &host, deadline, &s));
    return h2_open(s, local ? "http" : "https", host.authority, window, deadline, &t->h2);
}

err talos_connect(struct talos *t, ms deadline, struct talos_status *out)
{
    disconnect(t);
    ms until = ms_min(deadline, loop_now() + CONNECT_MS_MAX);
    err e = dial(t, until);
    if (e != OK)
        return trail(e, "connecting to Talos at %s", talos_peer(t));
    e = talos_status(t, until, out);
    if (e != OK)
        disconnect(t);
    return e;
}

/* --- calls --- */
static err denied(const struct talos *t, enum talos_call which, err e)
{
    if (t->options.socket)
        return trail(e, "%s was asked for as %s; Talos 1.14 lets extension services (ext-*) only use the socket",
                     calls[which].name, calls[which].role);
    return trail(e, "%s needs a client certificate of %s", calls[which].name, calls[which].roles);
}

err talos_failed(const struct talos *t, enum talos_call which, err e)
{
    if (e == E_DENIED)
        e = denied(t, which, e);
    else if (e == E_UNSUPPORTED)
        e = trail(e, "run %s on a control plane node", calls[which].name);
    else if (e == E_TIMEOUT)
        e = trail(e, "no answer to %s", calls[which].name);
    return trail(e, "talos %s", talos_peer(t));
}

err talos_start(struct talos *t, enum talos_call which, ms deadline, struct grpc_call **out)
{
    struct h2_header role = {"talos-role", calls[which].role};
    if (!t->h2)
        return trail(E_INVALID, "%s: not connected", calls[which].name);
    return grpc_start(t->h2, calls[which].path, &role, t->options.socket ? 1 : 0, (struct bytes){0}, deadline, out);
}

err talos_unary(struct talos *t, enum talos_call which, ms deadline, struct buf **out)
{
    struct h2_header role = {"talos-role", calls[which].role};
    struct buf *answer = NULL;
    *out = NULL;
    if (!t->h2)
        return trail(E_INVALID, "%s: not connected", calls[which].name);
    TRY(buf_wait(ANSWER_BYTES_MAX, deadline, &answer));
    err e = grpc_unary(t->h2, calls[which].path, &role, t->options.socket ? 1 : 0, (struct bytes){0}, answer->at, answer->cap,
                       deadline, &answer->len);
    if (e != OK) {
        buf_release(answer);
        return talos_failed(t, which, e);
    }
    *out = answer;
    return OK;
}
