/* os: the world. The only questions the program asks of the kernel: time, randomness, waiting, sockets, files, threads, signals.
 * Implemented twice and chosen by the linker: board/rt/os_linux*.c for the device, tests/sim for the simulated world.
 *
 * Layer    rt; called by board/rt, and by pool jobs of any layer (the os_file_* calls).
 * Owner    handles belong to the opener.        Blocks   os_wait() and os_file_*; nothing else.
 * Memory   none.                                Time     monotonic milliseconds; wall clock only from os_wall_ms().
 * Threads  os_mono*, os_wall_ms, os_random, os_poke, os_file_*: any. The rest: the loop thread.
 * Errors   errno mapped once (os_err): E_AGAIN would block, E_RESET, E_CLOSED (EPIPE), E_REFUSED, E_UNREACHABLE, E_DENIED,
 * E_ABSENT, E_EXISTS, E_NOSPACE (also EDQUOT), E_READONLY, E_IO, E_BUDGET (ENOMEM, EMFILE, ENFILE, ENOBUFS), E_INVALID, E_BUSY.
 */
#ifndef HOLDFAST_OS_H
#define HOLDFAST_OS_H

#include "board/rt/addr.h"
#include "board/rt/err.h"

typedef int os_fd; /* -1: none */

/* --- time and randomness --- */
/* CLOCK_BOOTTIME: it goes on while the machine sleeps, which so is to us what a stop of the process is. A sleep in the kernel
 * does not: os_wait() may come back that much later than `until`. */
ms os_mono(void);
int64_t os_mono_ns(void);       /* the same clock, finer; for measuring only */
int64_t os_thread_cpu_ns(void); /* CPU time of the calling thread; the sim: virtual work */
/* Milliseconds since 1970 UTC, never below the build's floor (OS_WALL_FLOOR_S, the commit's time): boards boot at 1970. */
int64_t os_wall_ms(void);
bool os_wall_is_trusted(void);         /* false while the kernel's clock is below the floor */
void os_random(void *out, size_t len); /* getrandom(2); the sim: seeded */

/* --- waiting --- */
enum os_ready { OS_READABLE = 1, OS_WRITABLE = 2, OS_HANGUP = 4 };
struct os_event {
    uint64_t token; /* as given to os_watch(); holds slot and generation, so that a stale event is recognised */
    unsigned ready; /* enum os_ready bits */
};
MUST_USE err os_boot(void); /* epoll, eventfd, signals; idempotent */
/* Edge-triggered, both directions, from now until os_close(). On a watched one again: what it is ready for now is told anew. */
MUST_USE err os_watch(os_fd fd, uint64_t token);
/* Nothing of a watched one is told, but perhaps a hang-up, until os_watch() again: each packet would wake os_wait(). */
MUST_USE err os_ignore(os_fd fd, uint64_t token);
/* Sleeps until an event, a finished offload, a signal, os_poke() or `until`. Returns the number of events, <= max. */
size_t os_wait(ms until, struct os_event *out, size_t max);
void os_poke(void); /* makes os_wait() return; any thread, async-signal-safe */

/* --- signals: SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGWINCH, SIGUSR1 are collected; SIGPIPE is ignored --- */
bool os_signal_take(int *signal_number); /* next one that arrived; false: none */

/* --- offload: runs work on one of the pool's threads, then hands it back to the loop --- */
struct os_work {
    void (*run)(struct os_work *w); /* on a pool thread */
    struct os_work *next, *follow;  /* the world's own */
    bool done;                      /* the world's own */
};
MUST_USE err os_offload_boot(unsigned threads, size_t stack_bytes,
                             void *stacks); /* stacks: threads x stack_bytes from mem_map() */
void os_offload(struct os_work *w);         /* w stays valid until it came back from os_offload_done() */
/* w runs right after `before`, on the same thread, and is told after it. `before` has nothing behind it yet. False: it has ended
 * already, so w is not taken; offload it when `before` was told. Once `before` is told, before->follow says whether w began. */
MUST_USE bool os_offload_after(struct os_work *before, struct os_work *w);
/* Takes back what hangs behind `first` and has not begun: from the work that runs now on, nothing follows. Loop thread. */
void os_offload_cut(struct os_work *first);
struct os_work *os_offload_done(void); /* next finished one; NULL: none. After os_wait(), or at any time. */
/* Runs run(arg) once on each of the pool's threads, all of them at a time when none does anything else, and returns when all
 * have. For what the kernel keeps per thread (capabilities, Landlock). From the loop thread, which waits: at start only. The
 * first error; E_TIMEOUT when a thread did not come to it. The sim: OK, and nothing runs. */
MUST_USE err os_offload_each(err (*run)(void *arg), void *arg, ms deadline);
/* Stops idle threads and waits for them until `deadline`; returns how many are stuck in the kernel. */
unsigned os_offload_stop(ms deadline);

/* --- sockets: all non-blocking and close-on-exec, SO_RCVBUF/SO_SNDBUF from the profile, TCP_NODELAY --- */
MUST_USE err os_connect(const struct addr *to, os_fd *out);                                 /* started; writable when decided */
MUST_USE err os_connect_result(os_fd fd);                                                   /* OK, E_AGAIN, or why it failed */
MUST_USE err os_listen(const struct addr *at, int backlog, os_fd *out, struct addr *bound); /* port 0: chosen, told in *bound */
MUST_USE err os_accept(os_fd listener, os_fd *out, struct addr *peer);
bool os_holds(os_fd fd);                                             /* bytes have come and are not read yet */
MUST_USE err os_recv(os_fd fd, void *into, size_t cap, size_t *got); /* OK with *got 0: end of stream */
MUST_USE err os_send(os_fd fd, const void *from, size_t len, size_t *sent);
MUST_USE err os_shutdown_send(os_fd fd);
MUST_USE err os_udp(const struct addr *local, os_fd *out); /* NONE kind: any IPv4 and IPv6 */
MUST_USE err os_send_to(os_fd fd, const void *from, size_t len, const struct addr *to);
MUST_USE err os_recv_from(os_fd fd, void *into, size_t cap, size_t *got, struct addr *from);
void os_close(os_fd fd); /* -1 is fine */

/* --- files: may block; from pool threads only (the sim runs them at once and charges virtual time) --- */
enum os_open {
    OS_READ,
    OS_CREATE_NEW, /* O_EXCL, read and write, 0600 */
    OS_WRITE,      /* existing, read and write */
    OS_CREATE,     /* read and write, made 0600 when it is not there */
};
enum os_kind { OS_FILE, OS_FOLDER, OS_OTHER };
struct os_stat {
    enum os_kind kind;
    uint64_t bytes;
    int64_t modified_ms;    /* wall clock */
    unsigned mode;          /* permission bits: 0640 */
    uint64_t device, inode; /* the same two: the same file or folder, by whatever path; 0, 0: not told */
};
#define OS_NAME_MAX 256 /* NAME_MAX + 1 */
#define OS_PATH_MAX 512 /* ours; longer ones are E_RANGE */
MUST_USE err os_file_open(const char *path, enum os_open how, os_fd *out);
MUST_USE err os_file_read(os_fd fd, uint64_t at, void *into, size_t cap, size_t *got); /* short only at the end */
MUST_USE err os_file_write(os_fd fd, uint64_t at, const void *from, size_t len);       /* all of it, or an error */
/* Starts writing these bytes to the disk without waiting for it: sync_file_range(2), SYNC_FILE_RANGE_WRITE. What was pushed some
 * MiB before leaves the page cache: the file is not for reading soon, and its pages count as our memory in a cgroup. A hint. */
void os_file_push(os_fd fd, uint64_t at, uint64_t len);
MUST_USE err os_file_sync(os_fd fd); /* fdatasync(2) + metadata needed to read it back */
MUST_USE err os_file_stat(os_fd fd, struct os_stat *out);
MUST_USE err os_file_truncate(os_fd fd, uint64_t bytes); /* ftruncate(2), shorter or longer; as durable as a write */
MUST_USE err os_file_lock(os_fd fd); /* flock(2) LOCK_EX | LOCK_NB; E_BUSY. Ends with the descriptor or process */
/* F_OFD_SETLK, F_WRLCK, not waiting: E_BUSY when anybody, also by POSIX fcntl(2) locks as SQLite's own, holds a part of it. */
MUST_USE err os_file_lock_range(os_fd fd, uint64_t at, uint64_t bytes);
void os_file_close(os_fd fd);
MUST_USE err os_stat_path(const char *path, struct os_stat *out);
MUST_USE err os_stat_name(const char *path, struct os_stat *out); /* lstat(2): a symbolic link is OS_OTHER */
/* E_EXISTS when `to` is there: RENAME_NOREPLACE, else link+unlink, else, where there are no links, a look before the rename. */
MUST_USE err os_rename_new(const char *from, const char *to);
MUST_USE err os_rename_over(const char *from, const char *to);
MUST_USE err os_unlink(const char *path);
MUST_USE err os_rmdir(const char *path);                                              /* E_EXISTS: something is in it */
MUST_USE err os_mkdir(const char *path);                                              /* 0700; E_EXISTS */
MUST_USE err os_sync_folder(const char *path);                                        /* fsync of the folder */
MUST_USE err os_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes); /* statvfs(3), free to us */
/* Names in the folder, "." and ".." left out, in no order. Starts with *cursor 0; OK with name[0] == 0 at the end. */
MUST_USE err os_list(const char *path, uint64_t *cursor, char name[OS_NAME_MAX]);

/* --- mounts: may block; from pool threads only; the sim: E_UNSUPPORTED --- */
/* mount(2) with nosuid, nodev, noexec. E_DENIED: we may not mount (no CAP_SYS_ADMIN, or confined); E_REMOTE: the server does not
 * let us (EACCES); E_UNSUPPORTED: this kernel has no such file system; E_ABSENT: the server has no such export. */
MUST_USE err os_mount(const char *source, const char *path, const char *type, const char *options);
/* umount2(2), MNT_FORCE and MNT_DETACH: gone at once, also when nobody answers behind it. E_INVALID: nothing is mounted there. */
MUST_USE err os_unmount(const char *path);

/* --- child processes: the loop thread only; the sim: E_UNSUPPORTED, false and no child --- */
/* Leads its own process group; stdin is /dev/null, *output reads its stdout and stderr, *exited (a pidfd) turns readable at its
 * end. */
MUST_USE err os_spawn(const char *const argv[], const char *const envp[], int *pid, os_fd *exited, os_fd *output);
void os_kill_group(int pid, bool at_once); /* SIGTERM, or SIGKILL */
/* A child that ended and was not reaped, any; false: none. It stays a zombie. */
bool os_child_ended(int *pid);
MUST_USE err os_child_reap(int pid, int *status); /* exit code or 128 + signal; E_AGAIN it runs; E_ABSENT no such child */
bool os_reaps_orphans(void);                      /* PID 1, or a child subreaper: prctl(2) */

/* --- this process --- */
struct os_process {
    int64_t cpu_ms;                                                    /* user + system */
    uint64_t virtual_bytes, rss_bytes, rss_anon_bytes, rss_file_bytes; /* /proc/self/status */
    uint64_t open_fds, max_fds;
    int64_t started_wall_ms;
};
MUST_USE err os_process(struct os_process *out);
void os_host_name(char *out, size_t cap); /* gethostname(2), cut to fit; "unknown" where there is none */

#endif
