/* confine_calls: the seccomp filter: which system calls there are from now on. One table; what it does not name is EPERM. */
#include "hal/confine_inside.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

/* Numbers that the headers may be too old for; the same on every architecture. */
#ifndef __NR_clone3
#define __NR_clone3 435
#endif
#ifndef __NR_faccessat2
#define __NR_faccessat2 439
#endif
#ifndef __NR_epoll_pwait2
#define __NR_epoll_pwait2 441
#endif
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif

enum rule {
    ALLOWED,
    NEVER,          /* could not be meant: ends the process */
    FOR_CHILDREN,   /* allowed where agents start helpers; execve is NEVER else, the others EPERM */
    FOR_POWER,      /* PID 1 of a machine switches it off */
    FOR_MOUNTS,     /* allowed where we mount; else NEVER */
    NOT_EXECUTABLE, /* memory without PROT_EXEC in the third argument */
    PLAIN_SOCKET,   /* IPv4, IPv6 and Unix; streams and datagrams */
};

/* The frequent ones first: the filter is read from the top. Those of x86 alone are older forms of others here. */
#ifdef __x86_64__
#define OLD_CALLS(X)                                                                                                             \
    X(open, ALLOWED)                                                                                                             \
    X(stat, ALLOWED)                                                                                                             \
    X(lstat, ALLOWED)                                                                                                            \
    X(poll, ALLOWED)                                                                                                             \
    X(epoll_wait, ALLOWED)                                                                                                       \
    X(access, ALLOWED)                                                                                                           \
    X(rename, ALLOWED)                                                                                                           \
    X(mkdir, ALLOWED)                                                                                                            \
    X(rmdir, ALLOWED)                                                                                                            \
    X(unlink, ALLOWED)                                                                                                           \
    X(link, ALLOWED)                                                                                                             \
    X(readlink, ALLOWED)                                                                                                         \
    X(chmod, ALLOWED)                                                                                                            \
    X(pause, ALLOWED)                                                                                                            \
    X(dup2, ALLOWED)                                                                                                             \
    X(pipe, ALLOWED)                                                                                                             \
    X(select, ALLOWED)                                                                                                           \
    X(time, ALLOWED)                                                                                                             \
    X(getdents, ALLOWED)                                                                                                         \
    X(getrlimit, ALLOWED)                                                                                                        \
    X(arch_prctl, ALLOWED)                                                                                                       \
    X(fork, FOR_CHILDREN)                                                                                                        \
    X(vfork, FOR_CHILDREN)                                                                                                       \
    X(iopl, NEVER)                                                                                                               \
    X(ioperm, NEVER)
#else
#define OLD_CALLS(X)
#endif

/* clang-format off */
#define CALLS(X)                                                                                                                 \
    X(read, ALLOWED) X(write, ALLOWED) X(futex, ALLOWED) X(epoll_pwait2, ALLOWED) X(epoll_pwait, ALLOWED)                        \
    X(recvfrom, ALLOWED) X(sendto, ALLOWED) X(pwrite64, ALLOWED) X(pread64, ALLOWED) X(clock_gettime, ALLOWED)                   \
    X(pwritev2, ALLOWED) X(preadv2, ALLOWED) X(readv, ALLOWED) X(writev, ALLOWED) X(recvmsg, ALLOWED) X(sendmsg, ALLOWED) X(close, ALLOWED)                               \
    X(sync_file_range, ALLOWED) X(getrandom, ALLOWED) X(epoll_ctl, ALLOWED) X(accept4, ALLOWED) X(accept, ALLOWED)               \
    /* sockets */                                                                                                                \
    X(socket, PLAIN_SOCKET) X(connect, ALLOWED) X(bind, ALLOWED) X(listen, ALLOWED) X(shutdown, ALLOWED)                         \
    X(getsockname, ALLOWED) X(getpeername, ALLOWED) X(setsockopt, ALLOWED) X(getsockopt, ALLOWED)                                \
    /* files */                                                                                                                  \
    X(openat, ALLOWED) X(fstat, ALLOWED) X(newfstatat, ALLOWED) X(statx, ALLOWED) X(lseek, ALLOWED) X(fcntl, ALLOWED)            \
    X(flock, ALLOWED) X(ftruncate, ALLOWED) X(fallocate, ALLOWED) X(fsync, ALLOWED) X(fdatasync, ALLOWED)                        \
    X(statfs, ALLOWED) X(fstatfs, ALLOWED) X(getdents64, ALLOWED) X(renameat, ALLOWED) X(renameat2, ALLOWED)                     \
    X(linkat, ALLOWED) X(unlinkat, ALLOWED) X(mkdirat, ALLOWED) X(readlinkat, ALLOWED) X(faccessat, ALLOWED)                     \
    X(faccessat2, ALLOWED) X(fchmod, ALLOWED) X(fchmodat, ALLOWED) X(fadvise64, ALLOWED) X(getcwd, ALLOWED)                      \
    X(umask, ALLOWED) X(utimensat, ALLOWED) X(dup, ALLOWED) X(dup3, ALLOWED) X(pipe2, ALLOWED) X(eventfd2, ALLOWED)              \
    X(ppoll, ALLOWED) X(pselect6, ALLOWED) X(sync, FOR_POWER)                                                                    \
    /* memory: nothing maps after start but what a library may */                                                                \
    X(mmap, NOT_EXECUTABLE) X(mprotect, NOT_EXECUTABLE) X(munmap, ALLOWED) X(madvise, ALLOWED) X(mremap, ALLOWED)                \
    X(brk, ALLOWED)                                                                                                              \
    /* time, signals, ourselves */                                                                                               \
    X(clock_getres, ALLOWED) X(clock_nanosleep, ALLOWED) X(nanosleep, ALLOWED) X(gettimeofday, ALLOWED)                          \
    X(rt_sigaction, ALLOWED) X(rt_sigprocmask, ALLOWED) X(rt_sigreturn, ALLOWED) X(sigaltstack, ALLOWED)                         \
    X(rt_sigtimedwait, ALLOWED) X(tkill, ALLOWED) X(tgkill, ALLOWED) X(restart_syscall, ALLOWED) X(exit, ALLOWED)                \
    X(exit_group, ALLOWED) X(getpid, ALLOWED) X(gettid, ALLOWED) X(getppid, ALLOWED) X(getuid, ALLOWED)                          \
    X(geteuid, ALLOWED) X(getgid, ALLOWED) X(getegid, ALLOWED) X(getrusage, ALLOWED) X(prlimit64, ALLOWED)                       \
    X(prctl, ALLOWED) X(capget, ALLOWED) X(capset, ALLOWED) X(uname, ALLOWED) X(sysinfo, ALLOWED)                                \
    X(sched_yield, ALLOWED) X(sched_getaffinity, ALLOWED) X(set_robust_list, ALLOWED) X(membarrier, ALLOWED)                     \
    X(set_tid_address, ALLOWED) X(seccomp, ALLOWED) X(landlock_create_ruleset, ALLOWED) X(landlock_add_rule, ALLOWED)            \
    X(landlock_restrict_self, ALLOWED) X(waitid, ALLOWED) X(wait4, ALLOWED)                                                      \
    X(clone, FOR_CHILDREN) X(clone3, FOR_CHILDREN) X(pidfd_open, FOR_CHILDREN) X(kill, FOR_CHILDREN)                             \
    X(setpgid, FOR_CHILDREN) X(execve, FOR_CHILDREN)                                                                             \
    X(reboot, FOR_POWER)                                                                                                         \
    /* never */                                                                                                                  \
    X(execveat, NEVER) X(ptrace, NEVER) X(process_vm_readv, NEVER) X(process_vm_writev, NEVER) X(mount, FOR_MOUNTS)                   \
    X(umount2, FOR_MOUNTS) X(pivot_root, NEVER) X(chroot, NEVER) X(move_mount, NEVER) X(open_tree, NEVER) X(fsopen, NEVER)            \
    X(fsmount, NEVER) X(mount_setattr, NEVER) X(bpf, NEVER) X(perf_event_open, NEVER) X(userfaultfd, NEVER)                      \
    X(init_module, NEVER) X(finit_module, NEVER) X(delete_module, NEVER) X(kexec_load, NEVER) X(unshare, NEVER)                  \
    X(setns, NEVER) X(swapon, NEVER) X(swapoff, NEVER) X(keyctl, NEVER) X(add_key, NEVER) X(request_key, NEVER)                  \
    X(acct, NEVER) X(quotactl, NEVER) X(personality, NEVER)
/* clang-format on */

static const struct call {
    uint32_t number;
    uint8_t rule;
} calls[] = {
#define X(name, rule) {__NR_##name, rule},
    CALLS(X) OLD_CALLS(X)
#undef X
};

#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif
#define X32_BIT           0x40000000u /* __X32_SYSCALL_BIT: the same calls by other numbers */
#define INSTRUCTIONS_EACH 12          /* of the longest rule */
#define INSTRUCTIONS_MAX  (COUNT_OF(calls) * 3 + 6 * INSTRUCTIONS_EACH)
_Static_assert(INSTRUCTIONS_MAX < BPF_MAXINSNS, "the kernel takes 4096");

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short len;
};

static void put(struct program *p, unsigned code, uint32_t value, unsigned if_true, unsigned if_false)
{
    ASSERT(p->len < INSTRUCTIONS_MAX);
    p->code[p->len++] = (struct sock_filter){(uint16_t)code, (uint8_t)if_true, (uint8_t)if_false, value};
}

static void put_load(struct program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The lower half of an argument: those we look at are int. Both architectures are little endian. */
static void put_argument(struct program *p, unsigned index)
{
    put_load(p, offsetof(struct seccomp_data, args) + index * sizeof(uint64_t));
}

static void put_end(struct program *p, uint32_t what)
{
    put(p, BPF_RET | BPF_K, what, 0, 0);
}

static const uint32_t refuse = SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA);

static void put_not_executable(struct program *p, uint32_t number)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4);
    put_argument(p, 2);
    put(p, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
    put_end(p, refuse);
    put_end(p, SECCOMP_RET_ALLOW);
}

static void put_plain_socket(struct program *p, uint32_t number)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 10);
    put_argument(p, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    put_end(p, refuse);
    put_argument(p, 1);
    put(p, BPF_ALU | BPF_AND | BPF_K, 0xF, 0, 0);        /* without SOCK_NONBLOCK and SOCK_CLOEXEC: SOCK_TYPE_MASK, linux/net.h */
    put(p, BPF_JMP | BPF_JGT | BPF_K, SOCK_DGRAM, 1, 0); /* SOCK_STREAM 1, SOCK_DGRAM 2 */
    put_end(p, SECCOMP_RET_ALLOW);
    put_end(p, refuse);
}

static void put_simple(struct program *p, uint32_t number, uint32_t what)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    put_end(p, what);
}

static void put_call(struct program *p, const struct call *c, const struct confine_calls *wanted)
{
    switch ((enum rule)c->rule) {
    case ALLOWED:
        put_simple(p, c->number, SECCOMP_RET_ALLOW);
        break;
    case NEVER:
        put_simple(p, c->number, SECCOMP_RET_KILL_PROCESS);
        break;
    case FOR_CHILDREN:
        if (wanted->children || c->number == __NR_execve)
            put_simple(p, c->number, wanted->children ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
        break;
    case FOR_POWER:
        put_simple(p, c->number, wanted->power ? SECCOMP_RET_ALLOW : refuse);
        break;
    case FOR_MOUNTS:
        put_simple(p, c->number, wanted->mounts ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
        break;
    case NOT_EXECUTABLE:
        put_not_executable(p, c->number);
        break;
    case PLAIN_SOCKET:
        put_plain_socket(p, c->number);
        break;
    }
}

static void program_make(struct program *p, const struct confine_calls *wanted)
{
    p->len = 0;
    put_load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    put_end(p, SECCOMP_RET_KILL_PROCESS);
    put_load(p, offsetof(struct seccomp_data, nr));
    if (ARCHITECTURE == AUDIT_ARCH_X86_64) {
        put(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
        put_end(p, SECCOMP_RET_KILL_PROCESS);
    }
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        put_call(p, &calls[i], wanted);
    put_end(p, refuse);
}

err confine_calls(const struct confine_calls *wanted, struct text *why)
{
    static struct program program; /* 4 KiB */
    program_make(&program, wanted);
    struct sock_fprog filter = {.len = program.len, .filter = program.code};
    long failed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (failed == 0)
        return OK;
    if (failed > 0)
        return trail(E_IO, "giving up privileges: seccomp: thread %ld has another filter", failed);
    if (errno != ENOSYS && errno != EINVAL)
        return trail(E_IO, "giving up privileges: seccomp: %s", strerror(errno));
    text_add(why, strerror(errno));
    return E_ABSENT;
}
