/* mount: NFS mounted by the hub itself, and what is mounted where, told without touching it.
 *
 * Layer    hal.                                  Blocks   parks the fiber; the kernel is asked on the lane, so that a dead server
 * Owner    the caller; nothing is kept.                   costs a written-off thread, never the process.
 * Memory   one job each.
 * Errors   each says what to do. E_DENIED no CAP_SYS_ADMIN, or Landlock: mount it outside and give mount: false; E_UNSUPPORTED
 *          this kernel has no NFSv4; E_BUSY something else is mounted there, or the lane is stuck; E_ABSENT the server has no
 *          such export; E_UNREACHABLE, E_REFUSED, E_TIMEOUT the server.
 *
 * Soft: with a server that is gone a request ends in E_IO after timeo x (retrans + 1), or a few times that. One that is stuck
 * while its kernel still answers TCP holds requests without end (linux, net/sunrpc/clnt.c, rpc_check_timeout()); the lane's
 * deadline gives them up, mount_remove() frees them. Out of reach it is the one or the other; and once the kernel itself asks
 * whether its session lives (fs/nfs/nfs4state.c), what waits for that is held until the server is back, or the process ends
 * (tests/e2e/test_nfs.py). version_minor 1: ganesha before 6.2 fails reads over 4.2. Mounted nosuid, nodev, noexec. A mount
 * outlives its server's absence; it is made once, before the process is confined. */
#ifndef HOLDFAST_MOUNT_H
#define HOLDFAST_MOUNT_H

#include "board/rt/addr.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"
#include "net/proto/dns.h"

#define MOUNT_SOURCE_MAX 400 /* "server:/export" */
#define MOUNT_TYPE_MAX   32

struct mount_nfs {
    const char *server;     /* name or literal as configured: with export, the source that mountinfo shows */
    struct addr at;         /* where it answers: mount_server(). Port 0: 2049 */
    const char *export;     /* "/x" */
    const char *path;       /* absolute, plain, through no link; made when it is not there */
    unsigned version_minor; /* 4.x: 0 to 2 */
    unsigned timeout_ds;    /* timeo, tenths of a second, 0: 100 */
    unsigned retries;       /* retrans, 0: 2 */
};

struct mount_state {
    bool mounted;
    char type[MOUNT_TYPE_MAX];     /* "nfs4"; of the topmost when several are stacked */
    char source[MOUNT_SOURCE_MAX]; /* "nas:/x" */
};

/* A NULL call over TCP, without the kernel's NFS: is there a server of NFSv4 that answers? Port 0: 2049. E_TIMEOUT also when its
 * kernel takes the connection and nobody behind it says a word: a mount would then hang. E_UNSUPPORTED: it has no NFSv4. */
MUST_USE err mount_knock(const struct addr *at, ms deadline);
/* Where the server of that name answers: its addresses are knocked at in turn, each with its share of the time. The error is that
 * of the last. Port 0: 2049. */
MUST_USE err mount_server(struct dns *d, const char *name, uint16_t port, ms deadline, struct addr *out);
/* E_INVALID names where a path leads that is by links, or not written plainly: what is mounted there has another name in the
 * kernel's list. OK too when nothing is there. */
MUST_USE err mount_path_check(struct lane *l, const char *path, ms deadline);
/* OK and *ours: mounted by this call; OK and not: it was mounted already, from the same source, as NFS. */
MUST_USE err mount_nfs(struct lane *l, const struct mount_nfs *m, ms deadline, bool *ours);
/* By force: what waits for the server gets E_IO, all but what waits for its session. What is still in use after a second is
 * detached. E_ABSENT: not mounted. E_TIMEOUT: it is gone from the path, and the kernel still waits for a stuck server to end the
 * session: the lane is free when that is back. */
MUST_USE err mount_remove(struct lane *l, const char *path, ms deadline);
/* From /proc/self/mountinfo alone; the path itself is never looked at. */
MUST_USE err mount_look(struct lane *l, const char *path, ms deadline, struct mount_state *out);

#endif
