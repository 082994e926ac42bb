/* confine: what the process gives up once it knows what it needs. Never to be had back.
 *
 * Layer    hal.                                    Blocks   a moment: runs on the loop thread and once on each pool thread.
 * Owner    the caller; lists are read before       Memory   none kept.
 *          return.                                 Errors   E_IO something that exists here was refused; nothing is
 * half-believed: the caller ends the process.
 *
 * In this order: no core dumps (PR_SET_DUMPABLE 0, RLIMIT_CORE 0), no_new_privs, every capability but the kept ones out of all
 * five sets, Landlock (the ABI that is there: files from ABI 1, TCP bind from ABI 4), a seccomp allow-list (made for this
 * machine; anything else is EPERM; what could never be meant (execve, ptrace, mount, bpf, module loading, namespaces) ends the
 * process). Where the kernel lacks one, that is told in `missing` (once, as a line of the log) and the rest goes on. */
#ifndef HOLDFAST_CONFINE_H
#define HOLDFAST_CONFINE_H

#include "board/rt/err.h"
#include "board/rt/text.h"

enum confine_access { CONFINE_READ, CONFINE_WRITE /* read, write, make, rename, remove below it */ };
struct confine_path {
    const char *path; /* a file or folder; absent: the nearest folder above that is there */
    enum confine_access access;
};
#define CONFINE_PATHS_MAX 64
#define CONFINE_PORTS_MAX 8

struct confine_options {
    const struct confine_path *paths;
    size_t path_count;
    const uint16_t *tcp_ports; /* that may yet be listened on; with count 0: none. Connecting is not limited */
    size_t tcp_port_count;
    uint64_t capabilities; /* bit CAP_x: kept */
    bool children;         /* execve is allowed (agents that start helpers); false today */
    ms deadline;
};
/* `missing` (1 KiB): "" when all five hold; else what the kernel lacks, in words. */
MUST_USE err confine(const struct confine_options *o, struct text *missing);
/* May this be used after confine()? For a reload: a new configuration must not need what was given up. */
bool confine_allows_path(const char *path, enum confine_access access);
bool confine_allows_port(uint16_t tcp_port);

#endif
