/* confine: what the process gives up once it knows what it needs. Never to be had back.
 *
 * Layer    hal.                                    Blocks   parks the fiber while the paths are looked up on the pool; then the
 * Owner    the caller; lists are read before                loop thread for a moment, while each pool thread does its part.
 *          return.                                 Memory   static: copies of the paths, one descriptor of /proc/self.
 * Errors   E_TIMEOUT, E_BUSY a path or a pool thread hangs in the kernel: nothing can be relied on yet, call again later; what
 *          is done stays done. E_IO something that exists here was refused: nothing is half-believed, end the process.
 *
 * In this order: no core dumps (PR_SET_DUMPABLE 0, RLIMIT_CORE 0), no_new_privs, every capability but the kept ones out of all
 * five sets, Landlock (the ABI that is there: files from ABI 1, TCP bind from ABI 4, signals and abstract sockets from ABI 6), a
 * seccomp allow-list (made for this machine; anything else is EPERM; what could never be meant (execve, ptrace, mount, bpf,
 * module loading, namespaces) ends the process). Where the kernel lacks one, that is told in `missing` (once, as a line of the
 * log) and the rest goes on. A process that may not change its bounding set (no CAP_SETPCAP) keeps it; no_new_privs makes it
 * useless. */
#ifndef HOLDFAST_CONFINE_H
#define HOLDFAST_CONFINE_H

#include "board/rt/err.h"
#include "board/rt/text.h"

enum confine_access {
    CONFINE_READ,
    CONFINE_WRITE /* read, write, make, rename, remove below it;
              on NFS and the like also below the folder above its mount, which may come and go */
};
struct confine_path {
    const char *path; /* a file or folder; absent: the nearest folder above that is there, but never / itself */
    enum confine_access access;
};
#define CONFINE_PATHS_MAX 96
#define CONFINE_PORTS_MAX 8

struct confine_options {
    const struct confine_path *paths;
    size_t path_count;
    const uint16_t *tcp_ports; /* that may yet be listened on; with count 0: none. Connecting is not limited */
    size_t tcp_port_count;
    uint64_t capabilities;      /* bit CAP_x: kept, if held */
    uint64_t capabilities_else; /* kept when a CONFINE_WRITE path is not ours to write without: for CAP_DAC_OVERRIDE */
    bool children;              /* execve is allowed (agents that start helpers); false today */
    bool mounts; /* mount and umount2 are allowed, for which CAP_SYS_ADMIN is to be kept too. Landlock then leaves files alone: it
                    would forbid both */
    ms deadline;
};
/* `missing` (1 KiB): "" when all five hold; else what the kernel lacks, in words. */
MUST_USE err confine(const struct confine_options *o, struct text *missing);
/* May this be used after confine()? For a reload: a new configuration must not need what was given up. By name: a symbolic link
 * below an allowed folder that leads out of it is only found when it is used. True while Landlock is not in force. */
bool confine_allows_path(const char *path, enum confine_access access);
bool confine_allows_port(uint16_t tcp_port);
bool confine_allows_mounts(void); /* false: a mount would end the process */

/*        layer         what it is called in holdfast_confinement */
#define CONFINE_LAYERS(X)                                                                                                        \
    X(CORE_DUMPS, "core_dumps")                                                                                                  \
    X(NO_NEW_PRIVS, "no_new_privs")                                                                                              \
    X(CAPABILITIES, "capabilities")                                                                                              \
    X(LANDLOCK, "landlock")                                                                                                      \
    X(SECCOMP, "seccomp")
enum confine_layer {
#define X(layer, name) CONFINE_##layer,
    CONFINE_LAYERS(X)
#undef X
        CONFINE_LAYER_COUNT
};
const char *confine_layer_name(enum confine_layer l); /* static */
bool confine_holds(enum confine_layer l);             /* in force */

#endif
