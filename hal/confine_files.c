/* confine_files: Landlock: which files may be used and which ports listened on. Numbers: linux/landlock.h; ours, since the
 * headers that we are built with may be older than the kernel we run on. */
#include "hal/confine_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444 /* the same on every architecture, since Linux 5.13 */
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#define CREATE_RULESET_VERSION 1u
enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

/*        right         bit  since ABI */
#define RIGHTS(X)                                                                                                                \
    X(EXECUTE, 0, 1)                                                                                                             \
    X(WRITE_FILE, 1, 1)                                                                                                          \
    X(READ_FILE, 2, 1)                                                                                                           \
    X(READ_DIR, 3, 1)                                                                                                            \
    X(REMOVE_DIR, 4, 1)                                                                                                          \
    X(REMOVE_FILE, 5, 1)                                                                                                         \
    X(MAKE_CHAR, 6, 1)                                                                                                           \
    X(MAKE_DIR, 7, 1)                                                                                                            \
    X(MAKE_REG, 8, 1)                                                                                                            \
    X(MAKE_SOCK, 9, 1)                                                                                                           \
    X(MAKE_FIFO, 10, 1)                                                                                                          \
    X(MAKE_BLOCK, 11, 1)                                                                                                         \
    X(MAKE_SYM, 12, 1)                                                                                                           \
    X(REFER, 13, 2)                                                                                                              \
    X(TRUNCATE, 14, 3)                                                                                                           \
    X(IOCTL_DEV, 15, 5)

enum {
#define X(right, bit, since) RIGHT_##right = 1 << (bit),
    RIGHTS(X)
#undef X
};
#define ABI_PORTS  4
#define ABI_SCOPES 6
#define BIND_TCP   1u
#define SCOPES     3u /* abstract Unix sockets and signals of processes outside */

#define FILE_READS   RIGHT_READ_FILE
#define FOLDER_READS (RIGHT_READ_FILE | RIGHT_READ_DIR)
#define FILE_WRITES  (RIGHT_READ_FILE | RIGHT_WRITE_FILE | RIGHT_TRUNCATE)
#define FOLDER_WRITES                                                                                                            \
    (FOLDER_READS | FILE_WRITES | RIGHT_REMOVE_DIR | RIGHT_REMOVE_FILE | RIGHT_MAKE_DIR | RIGHT_MAKE_REG | RIGHT_MAKE_SOCK |     \
     RIGHT_REFER)

struct ruleset_attributes {
    uint64_t files, ports, scoped;
};
struct path_attributes {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));
struct port_attributes {
    uint64_t allowed, port;
};

static const struct confine_options *remembered; /* what is asked by name later */
static bool files_in_force, ports_in_force;

static const struct right {
    uint64_t bit;
    int since;
} all_rights[] = {
#define X(right, bit, since) {RIGHT_##right, since},
    RIGHTS(X)
#undef X
};

static uint64_t rights_of(int abi)
{
    uint64_t all = 0;
    for (size_t i = 0; i < COUNT_OF(all_rights); i++)
        all |= abi >= all_rights[i].since ? all_rights[i].bit : 0;
    return all;
}

/* --- the rules --- */
/* The path, or the nearest folder above it; false: none but /. */
static bool open_nearest(const char *path, int *fd)
{
    char at[OS_PATH_MAX];
    (void)snprintf(at, sizeof at, "%s", path);
    for (;;) {
        *fd = open(at, O_PATH | O_CLOEXEC);
        if (*fd >= 0)
            return strcmp(at, "/") != 0 || strcmp(path, "/") == 0;
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return false;
        *slash = 0;
    }
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* By the modes alone: which is what root without CAP_DAC_OVERRIDE has. */
static bool is_foreign(const struct stat *s)
{
    mode_t mine = s->st_uid == geteuid() ? S_IWUSR : s->st_gid == getegid() ? S_IWGRP : S_IWOTH;
    return (s->st_mode & mine) == 0;
}

/* statfs(2): those whose mounts come and go while we run. */
static bool is_remote(int fd)
{
    static const uint32_t types[] = {0x6969 /* NFS */,      0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB2 */,
                                     0x65735546 /* FUSE */, 0x01021997 /* 9p */,   0x00C36400 /* Ceph */};
    struct statfs s;
    if (fstatfs(fd, &s) != 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if ((uint32_t)s.f_type == types[i])
            return true;
    return false;
}

/* The folder above the mount that `path` lies on: what is mounted there later is another one for Landlock, which looks at the
 * folders above a mount and not at the one it hides. -1: it is /. */
static int open_above_mount(const char *path)
{
    char at[OS_PATH_MAX];
    struct stat here, above;
    (void)snprintf(at, sizeof at, "%s", path);
    if (stat(at, &here) != 0)
        return -1;
    for (;;) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return -1;
        *slash = 0;
        if (stat(at, &above) != 0 || above.st_dev != here.st_dev)
            return open(at, O_PATH | O_CLOEXEC);
    }
}

static err rule_add(struct confine_files *f, const struct confine_path *p, int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return OK; /* it went away */
    if (p->access == CONFINE_WRITE && is_foreign(&s))
        f->foreign = true;
    if (f->abi == 0 || f->open)
        return OK;
    uint64_t file = p->access == CONFINE_WRITE ? FILE_WRITES : FILE_READS;
    uint64_t folder = p->access == CONFINE_WRITE ? FOLDER_WRITES : FOLDER_READS;
    struct path_attributes a = {.allowed = (S_ISDIR(s.st_mode) ? folder : file) & rights_of(f->abi), .parent = fd};
    if (syscall(SYS_landlock_add_rule, f->ruleset, RULE_PATH_BENEATH, &a, 0u) == 0)
        return OK;
    return trail(E_IO, "giving up privileges: a Landlock rule for %s: %s", p->path, strerror(errno));
}

static err paths_add(struct confine_files *f, const struct confine_options *o)
{
    for (size_t i = 0; i < o->path_count; i++) {
        int fd = -1;
        err e = open_nearest(o->paths[i].path, &fd) ? rule_add(f, &o->paths[i], fd) : OK;
        int above =
            e == OK && fd >= 0 && o->paths[i].access == CONFINE_WRITE && is_remote(fd) ? open_above_mount(o->paths[i].path) : -1;
        if (above >= 0)
            e = rule_add(f, &o->paths[i], above);
        close_if_open(above);
        close_if_open(fd);
        TRY(e);
    }
    return OK;
}

/* Its folder is a new one for Landlock whenever the kernel forgets it and makes it again; as long as it is open it is not
 * forgotten. */
static void process_folder_pin(void)
{
    static int pinned = -1;
    if (pinned < 0)
        pinned = open("/proc/self", O_PATH | O_CLOEXEC);
}

static err ports_add(const struct confine_files *f, const struct confine_options *o)
{
    for (size_t i = 0; f->abi >= ABI_PORTS && i < o->tcp_port_count; i++) {
        struct port_attributes a = {.allowed = BIND_TCP, .port = o->tcp_ports[i]};
        if (syscall(SYS_landlock_add_rule, f->ruleset, RULE_NET_PORT, &a, 0u) != 0)
            return trail(E_IO, "giving up privileges: a Landlock rule for port %u: %s", o->tcp_ports[i], strerror(errno));
    }
    return OK;
}

static err ruleset_make(const struct confine_options *o, struct confine_files *f)
{
    struct ruleset_attributes a = {
        .files = f->open ? 0 : rights_of(f->abi) & ~(uint64_t)(o->children ? RIGHT_EXECUTE : 0),
        .ports = f->abi >= ABI_PORTS ? BIND_TCP : 0,
        .scoped = f->abi >= ABI_SCOPES ? SCOPES : 0,
    };
    size_t bytes = f->abi >= ABI_SCOPES ? sizeof a : f->abi >= ABI_PORTS ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    f->ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, bytes, 0u);
    return f->ruleset >= 0 ? OK : trail(E_IO, "giving up privileges: a Landlock ruleset: %s", strerror(errno));
}

err confine_files_make(const struct confine_options *o, struct confine_files *f)
{
    if (f->ruleset >= 0)
        close(f->ruleset);
    *f = (struct confine_files){.ruleset = -1};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
    f->abi = abi > 0 ? (int)abi : 0;
    f->open = o->mounts;
    if (abi <= 0) {
        (void)snprintf(f->why, sizeof f->why, "%s", strerror(errno));
    } else if (f->open && abi < ABI_PORTS) { /* a ruleset of nothing is refused */
        (void)snprintf(f->why, sizeof f->why, "it forbids mounting");
        f->abi = 0;
    } else {
        TRY(ruleset_make(o, f));
    }
    process_folder_pin();
    TRY(paths_add(f, o));
    return ports_add(f, o);
}

err confine_files_enter(const struct confine_files *f)
{
    if (f->abi == 0)
        return OK;
    if (syscall(SYS_landlock_restrict_self, f->ruleset, 0u) != 0)
        return trail(E_IO, "giving up privileges: Landlock: %s", strerror(errno));
    files_in_force = !f->open;
    ports_in_force = true;
    return OK;
}

/* --- what may be used --- */
void confine_files_remember(const struct confine_options *o)
{
    remembered = o;
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    return strncmp(path, folder, len) == 0 && (path[len] == 0 || path[len] == '/' || folder[len - 1] == '/');
}

bool confine_allows_path(const char *path, enum confine_access access)
{
    if (!files_in_force)
        return true;
    size_t len = strlen(path);
    bool climbs = strstr(path, "/../") || (len >= 3 && strcmp(path + len - 3, "/..") == 0);
    for (size_t i = 0; i < remembered->path_count; i++) {
        const struct confine_path *p = &remembered->paths[i];
        if (p->access >= access && (strcmp(path, p->path) == 0 || (!climbs && is_below(path, p->path))))
            return true;
    }
    return false;
}

bool confine_allows_port(uint16_t tcp_port)
{
    if (!ports_in_force)
        return true;
    for (size_t i = 0; i < remembered->tcp_port_count; i++)
        if (remembered->tcp_ports[i] == tcp_port)
            return true;
    return false;
}
