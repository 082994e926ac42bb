#include "hal/mount_table.h"

#include "board/rt/text.h"

#include <string.h>

#define NFS_PORT           2049 /* IANA nfs */
#define TIMEOUT_DS_DEFAULT 100
#define RETRIES_DEFAULT    2

/* The next word of the line; false: there is none. */
static bool word(struct bytes *rest, struct bytes *out)
{
    while (rest->len > 0 && rest->at[0] == ' ')
        *rest = (struct bytes){rest->at + 1, rest->len - 1};
    const uint8_t *end = rest->len ? memchr(rest->at, ' ', rest->len) : NULL;
    *out = (struct bytes){rest->at, end ? (size_t)(end - rest->at) : rest->len};
    *rest = (struct bytes){rest->at + out->len, rest->len - out->len};
    return out->len > 0;
}

static bool is_octal(uint8_t c)
{
    return c >= '0' && c <= '7';
}

/* Space, tab, newline and backslash are told as \ooo. */
static void unescape(struct bytes in, struct text *out)
{
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.at[i];
        if (c == '\\' && in.len - i > 3 && is_octal(in.at[i + 1]) && is_octal(in.at[i + 2]) && is_octal(in.at[i + 3])) {
            c = (uint8_t)((in.at[i + 1] - '0') << 6 | (in.at[i + 2] - '0') << 3 | (in.at[i + 3] - '0'));
            i += 3;
        }
        text_add_bytes(out, (struct bytes){&c, 1});
    }
}

static size_t without_slashes(const char *path, size_t len)
{
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

static bool is_path(struct bytes point, const char *path)
{
    char storage[OS_PATH_MAX];
    struct text t = text_over(storage, sizeof storage);
    unescape(point, &t);
    return !t.cut && t.len == without_slashes(path, strlen(path)) && memcmp(storage, path, t.len) == 0;
}

/* 36 35 98:0 /root /mnt rw,noatime master:1 - nfs4 nas:/x rw: the fields between the sixth and "-" are as many as there are. */
bool mount_line_is_of(struct bytes line, const char *path, struct mount_state *out)
{
    struct bytes w;
    for (int i = 0; i < 5; i++)
        if (!word(&line, &w))
            return false;
    if (!is_path(w, path))
        return false;
    do {
        if (!word(&line, &w))
            return false;
    } while (!bytes_equal_text(w, "-"));
    struct bytes type, source;
    if (!word(&line, &type) || !word(&line, &source))
        return false;
    struct text t = text_over(out->type, sizeof out->type), s = text_over(out->source, sizeof out->source);
    unescape(type, &t);
    unescape(source, &s);
    out->mounted = true;
    return true;
}

err mount_source(const struct mount_nfs *m, char out[MOUNT_SOURCE_MAX])
{
    struct text t = text_over(out, MOUNT_SOURCE_MAX);
    bool brackets = strchr(m->server, ':') && m->server[0] != '[';
    text_addf(&t, brackets ? "[%s]:" : "%s:", m->server);
    text_add_bytes(&t, (struct bytes){(const uint8_t *)m->export, without_slashes(m->export, strlen(m->export))});
    return t.cut ? trail(E_RANGE, "server and export have %d characters at most together", MOUNT_SOURCE_MAX - 2) : OK;
}

/* The address alone, as the kernel reads it: no port, no brackets; a zone after %. */
static err address_only(const struct addr *at, char out[ADDR_TEXT_MAX])
{
    addr_text(at, out, ADDR_TEXT_MAX);
    char *colon = strrchr(out, ':');
    if ((at->kind != ADDR_IPV4 && at->kind != ADDR_IPV6) || !colon)
        return trail(E_INVALID, "an NFS server has an IP address");
    *colon = 0;
    if (at->kind == ADDR_IPV6) { /* [fd00::1] */
        size_t len = strlen(out);
        memmove(out, out + 1, len - 2);
        out[len - 2] = 0;
    }
    return OK;
}

err mount_options(const struct mount_nfs *m, char out[MOUNT_OPTIONS_MAX])
{
    char address[ADDR_TEXT_MAX];
    struct text t = text_over(out, MOUNT_OPTIONS_MAX);
    TRY(address_only(&m->at, address));
    text_addf(&t, "vers=4.%u,proto=%s,port=%u,soft,timeo=%u,retrans=%u,addr=%s", m->version_minor,
              m->at.kind == ADDR_IPV6 ? "tcp6" : "tcp", m->at.port ? m->at.port : NFS_PORT,
              m->timeout_ds ? m->timeout_ds : TIMEOUT_DS_DEFAULT, m->retries ? m->retries : RETRIES_DEFAULT, address);
    return t.cut ? E_RANGE : OK;
}

/* --- RFC 5531: record marking (section 11), call and reply (section 9) --- */
enum { CALL = 0, REPLY = 1, RPC_VERSION = 2, NFS_PROGRAM = 100003, NFS_VERSION = 4, PROC_NULL = 0, AUTH_NONE = 0 };
enum { ACCEPTED = 0, SUCCESS = 0, PROG_UNAVAIL = 1, PROG_MISMATCH = 2 };
#define LAST_FRAGMENT 0x80000000u

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void mount_call(uint32_t xid, uint8_t out[MOUNT_CALL_BYTES])
{
    const uint32_t words[MOUNT_CALL_BYTES / 4] = {LAST_FRAGMENT | (MOUNT_CALL_BYTES - 4),
                                                  xid,
                                                  CALL,
                                                  RPC_VERSION,
                                                  NFS_PROGRAM,
                                                  NFS_VERSION,
                                                  PROC_NULL,
                                                  AUTH_NONE,
                                                  0,
                                                  AUTH_NONE,
                                                  0};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        put_u32(out + 4 * i, words[i]);
}

err mount_answer_length(const uint8_t mark[MOUNT_MARK_BYTES], size_t *len)
{
    uint32_t word = get_u32(mark);
    *len = word & ~LAST_FRAGMENT;
    return word & LAST_FRAGMENT ? OK : trail(E_PROTOCOL, "what answers is no NFS server");
}

/* Mark, xid, REPLY, ACCEPTED, an empty verifier of two words, what came of it. */
err mount_answer(uint32_t xid, const uint8_t in[MOUNT_ANSWER_BYTES])
{
    if (!(get_u32(in) & LAST_FRAGMENT) || get_u32(in + 4) != xid || get_u32(in + 8) != REPLY)
        return trail(E_PROTOCOL, "what answers is no NFS server");
    if (get_u32(in + 12) != ACCEPTED)
        return trail(E_DENIED, "the server refuses our calls");
    uint32_t result = get_u32(in + 24);
    if (result == PROG_UNAVAIL || result == PROG_MISMATCH)
        return trail(E_UNSUPPORTED, "the server has no NFSv4");
    return result == SUCCESS ? OK : trail(E_REMOTE, "the server answers with RPC error %u", result);
}
