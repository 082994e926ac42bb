/* The device's sockets. Everything is non-blocking and close-on-exec. */
#include "board/rt/os_linux.h"

#include "board/rt/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union sock_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* --- addresses --- */

static socklen_t name_v4(const struct addr *a, union sock_name *out)
{
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(a->port);
    memcpy(&out->v4.sin_addr, a->ip, 4);
    return sizeof out->v4;
}

static socklen_t name_v6(const struct addr *a, union sock_name *out)
{
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    out->v6.sin6_scope_id = a->scope;
    memcpy(&out->v6.sin6_addr, a->ip, 16);
    return sizeof out->v6;
}

static socklen_t name_local(const struct addr *a, union sock_name *out)
{
    out->local.sun_family = AF_UNIX;
    memcpy(out->local.sun_path, a->path, strnlen(a->path, sizeof out->local.sun_path - 1));
    return sizeof out->local;
}

/* Length of the name; 0: no such kind. */
static socklen_t name_of(const struct addr *a, union sock_name *out)
{
    memset(out, 0, sizeof *out);
    switch (a->kind) {
    case ADDR_IPV4:
        return name_v4(a, out);
    case ADDR_IPV6:
        return name_v6(a, out);
    case ADDR_UNIX:
        return name_local(a, out);
    case ADDR_NONE:
        break;
    }
    return 0;
}

/* RFC 4291 2.5.5.2: an IPv4 address on a dual socket is ::ffff:a.b.c.d. */
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static struct addr addr_map(const struct addr *v4)
{
    struct addr out = {.kind = ADDR_IPV6, .port = v4->port};
    memcpy(out.ip, mapped_prefix, sizeof mapped_prefix);
    memcpy(out.ip + sizeof mapped_prefix, v4->ip, 4);
    return out;
}

static void addr_from_v6(const struct sockaddr_in6 *name, struct addr *out)
{
    const uint8_t *ip = name->sin6_addr.s6_addr;
    bool mapped = memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0;
    out->kind = mapped ? ADDR_IPV4 : ADDR_IPV6;
    out->port = ntohs(name->sin6_port);
    out->scope = mapped ? 0 : name->sin6_scope_id;
    memcpy(out->ip, mapped ? ip + sizeof mapped_prefix : ip, mapped ? 4 : 16);
}

static void addr_from(const union sock_name *name, socklen_t len, struct addr *out)
{
    *out = (struct addr){.kind = ADDR_NONE};
    if (len < sizeof(sa_family_t))
        return;
    if (name->any.sa_family == AF_INET) {
        out->kind = ADDR_IPV4;
        out->port = ntohs(name->v4.sin_port);
        memcpy(out->ip, &name->v4.sin_addr, 4);
    } else if (name->any.sa_family == AF_INET6) {
        addr_from_v6(&name->v6, out);
    } else if (name->any.sa_family == AF_UNIX) {
        size_t path_bytes = len - offsetof(struct sockaddr_un, sun_path);
        out->kind = ADDR_UNIX;
        memcpy(out->path, name->local.sun_path, size_min(path_bytes, ADDR_PATH_MAX - 1));
    }
}

/* --- making one --- */

static err option_set(int fd, int level, int option, int value)
{
    return os_err_or(setsockopt(fd, level, option, &value, sizeof value));
}

static err buffers_set(int fd)
{
    const struct profile *p = mem_profile();
    if (p != NULL && p->socket_receive_bytes > 0)
        TRY(option_set(fd, SOL_SOCKET, SO_RCVBUF, p->socket_receive_bytes));
    if (p != NULL && p->socket_send_bytes > 0)
        TRY(option_set(fd, SOL_SOCKET, SO_SNDBUF, p->socket_send_bytes));
    return OK;
}

static err socket_make(sa_family_t family, int type, os_fd *out)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return os_err(errno);
    err e = buffers_set(fd);
    if (e == OK && type == SOCK_STREAM && family != AF_UNIX)
        e = option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (e == OK)
        *out = fd;
    else
        close(fd);
    return e;
}

err os_connect(const struct addr *to, os_fd *out)
{
    union sock_name name;
    socklen_t len = name_of(to, &name);
    int fd = -1;
    *out = -1;
    if (len == 0)
        return E_INVALID;
    TRY(socket_make(name.any.sa_family, SOCK_STREAM, &fd));
    if (connect(fd, &name.any, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        err e = os_err(errno);
        close(fd);
        return e;
    }
    *out = fd;
    return OK;
}

err os_connect_result(os_fd fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    union sock_name peer;
    socklen_t peer_len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return os_err(errno);
    if (error != 0)
        return os_err(error);
    if (getpeername(fd, &peer.any, &peer_len) == 0)
        return OK;
    return errno == ENOTCONN ? E_AGAIN : os_err(errno);
}

static err listener_prepare(int fd, const struct addr *at, const union sock_name *name)
{
    if (at->kind == ADDR_UNIX) /* the file's mode; nobody else may connect */
        return os_err_or(fchmod(fd, S_IRUSR | S_IWUSR));
    TRY(option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    if (at->kind == ADDR_IPV6)
        TRY(option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !IN6_IS_ADDR_UNSPECIFIED(&name->v6.sin6_addr)));
    return OK;
}

/* A socket file that nobody answers behind was left by a process that is gone. */
static bool is_left_over(const union sock_name *name, socklen_t len)
{
    int fd = -1;
    if (name->any.sa_family != AF_UNIX || socket_make(AF_UNIX, SOCK_STREAM, &fd) != OK)
        return false;
    bool refused = connect(fd, &name->any, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static err listener_bind(int fd, const struct addr *at, const union sock_name *name, socklen_t len)
{
    if (bind(fd, &name->any, len) == 0)
        return OK;
    err e = os_err(errno);
    if (!is_left_over(name, len) || unlink(at->path) != 0)
        return e;
    return os_err_or(bind(fd, &name->any, len));
}

static err listen_start(const struct addr *at, int backlog, os_fd *out, struct addr *bound)
{
    union sock_name name;
    socklen_t len = name_of(at, &name);
    int fd = -1;
    if (len == 0)
        return E_INVALID;
    TRY(socket_make(name.any.sa_family, SOCK_STREAM, &fd));
    err e = listener_prepare(fd, at, &name);
    if (e == OK)
        e = listener_bind(fd, at, &name, len);
    if (e == OK)
        e = os_err_or(listen(fd, backlog));
    len = sizeof name;
    if (e == OK)
        e = os_err_or(getsockname(fd, &name.any, &len));
    if (e != OK) {
        close(fd);
        return e;
    }
    if (bound != NULL)
        addr_from(&name, len, bound);
    *out = fd;
    return OK;
}

static bool addr_is_any_v6(const struct addr *a)
{
    static const uint8_t zero[16];
    return a->kind == ADDR_IPV6 && memcmp(a->ip, zero, sizeof zero) == 0;
}

err os_listen(const struct addr *at, int backlog, os_fd *out, struct addr *bound)
{
    *out = -1;
    err e = listen_start(at, backlog, out, bound);
    if ((e == E_UNSUPPORTED || e == E_UNREACHABLE) && addr_is_any_v6(at)) { /* ipv6.disable=1: "all" is then all of IPv4 */
        struct addr v4 = {.kind = ADDR_IPV4, .port = at->port};
        e = listen_start(&v4, backlog, out, bound);
    }
    return e;
}

/* accept(2): these belong to one connection that failed before it was taken; the next one may be good. */
static bool accept_may_go_on(int error)
{
    static const int passing[] = {EINTR,     ECONNABORTED, ENETDOWN,     EPROTO,     ENOPROTOOPT,
                                  EHOSTDOWN, ENONET,       EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH};
    for (size_t i = 0; i < COUNT_OF(passing); i++)
        if (passing[i] == error)
            return true;
    return false;
}

err os_accept(os_fd listener, os_fd *out, struct addr *peer)
{
    union sock_name name;
    socklen_t len;
    int fd;
    *out = -1;
    do { /* bounded by the backlog: each round takes one away */
        len = sizeof name;
        memset(&name, 0, sizeof name);
        fd = accept4(listener, &name.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && accept_may_go_on(errno));
    if (fd < 0)
        return os_err(errno);
    if (name.any.sa_family != AF_UNIX)
        (void)option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* fails when the peer has reset it; the first read says so */
    if (peer != NULL)
        addr_from(&name, len, peer);
    *out = fd;
    return OK;
}

/* --- bytes --- */

bool os_holds(os_fd fd)
{
    char byte;
    return recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* read(2), not recv(2): the output of a child is a pipe. */
err os_recv(os_fd fd, void *into, size_t cap, size_t *got)
{
    ssize_t n;
    *got = 0;
    do
        n = read(fd, into, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return os_err(errno);
    *got = (size_t)n;
    return OK;
}

err os_send(os_fd fd, const void *from, size_t len, size_t *sent)
{
    ssize_t n;
    *sent = 0;
    do
        n = send(fd, from, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return os_err(errno);
    *sent = (size_t)n;
    return OK;
}

err os_shutdown_send(os_fd fd)
{
    return os_err_or(shutdown(fd, SHUT_WR));
}

void os_close(os_fd fd)
{
    if (fd >= 0)
        close(fd); /* close(2): never again after EINTR */
}

/* --- datagrams --- */

static err udp_bind(const struct addr *local, os_fd *out)
{
    union sock_name name;
    socklen_t len = name_of(local, &name);
    int fd = -1;
    if (len == 0 || local->kind == ADDR_UNIX)
        return E_INVALID;
    TRY(socket_make(name.any.sa_family, SOCK_DGRAM, &fd));
    err e = OK;
    if (local->kind == ADDR_IPV6)
        e = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !addr_is_any_v6(local));
    if (e == OK)
        e = os_err_or(bind(fd, &name.any, len));
    if (e == OK)
        *out = fd;
    else
        close(fd);
    return e;
}

err os_udp(const struct addr *local, os_fd *out)
{
    *out = -1;
    if (local != NULL && local->kind != ADDR_NONE)
        return udp_bind(local, out);
    struct addr any = {.kind = ADDR_IPV6};
    err e = udp_bind(&any, out);
    any.kind = ADDR_IPV4;
    return e == E_UNSUPPORTED || e == E_UNREACHABLE ? udp_bind(&any, out) : e;
}

err os_send_to(os_fd fd, const void *from, size_t len, const struct addr *to)
{
    union sock_name name;
    int domain = 0;
    socklen_t name_len = sizeof domain;
    ssize_t n;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &name_len) != 0)
        return os_err(errno);
    struct addr mapped = to->kind == ADDR_IPV4 && domain == AF_INET6 ? addr_map(to) : *to;
    name_len = name_of(&mapped, &name);
    if (name_len == 0)
        return E_INVALID;
    do
        n = sendto(fd, from, len, MSG_NOSIGNAL, &name.any, name_len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? os_err(errno) : OK;
}

err os_recv_from(os_fd fd, void *into, size_t cap, size_t *got, struct addr *from)
{
    union sock_name name = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof name;
    ssize_t n;
    *got = 0;
    do
        n = recvfrom(fd, into, cap, 0, &name.any, &len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return os_err(errno);
    if (from != NULL)
        addr_from(&name, len, from);
    *got = (size_t)n;
    return OK;
}
