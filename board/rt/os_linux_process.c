/* The device's process: what it costs, and its children. */
#include "board/rt/os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* the same on every architecture, since Linux 5.3 */
#endif

/* --- ourselves --- */

static err proc_read(const char *path, char *out, size_t cap)
{
    os_fd fd;
    size_t got;
    TRY(os_file_open(path, OS_READ, &fd));
    err e = os_file_read(fd, 0, out, cap - 1, &got);
    os_file_close(fd);
    out[e == OK ? got : 0] = 0;
    return e;
}

/* "VmRSS:\t    1234 kB" */
static uint64_t status_bytes(const char *status, const char *key)
{
    const char *at = strstr(status, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10) * 1024;
}

static uint64_t open_fds_count(void)
{
    char name[OS_NAME_MAX];
    uint64_t cursor = 0, count = 0;
    while (os_list("/proc/self/fd", &cursor, name) == OK && name[0] != 0)
        count++;
    return count > 0 ? count - 1 : 0; /* the listing's own */
}

static int64_t clock_ms(clockid_t which)
{
    struct timespec t = {0};
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* proc(5): field 22 of stat, in clock ticks since boot; the name in field 2 may hold spaces and brackets. */
static int64_t started_wall_ms(void)
{
    static int64_t started_ms; /* told once, so that a clock set later does not move it much */
    char stat[512];
    if (started_ms != 0 || proc_read("/proc/self/stat", stat, sizeof stat) != OK)
        return started_ms;
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    int64_t since_boot_ms = (int64_t)strtoull(at + 1, NULL, 10) * 1000 / sysconf(_SC_CLK_TCK);
    started_ms = os_wall_ms() - (clock_ms(CLOCK_BOOTTIME) - since_boot_ms);
    return started_ms;
}

err os_process(struct os_process *out)
{
    char status[2048];
    struct rlimit files;
    *out = (struct os_process){0};
    TRY(proc_read("/proc/self/status", status, sizeof status));
    out->cpu_ms = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    out->virtual_bytes = status_bytes(status, "VmSize:");
    out->rss_bytes = status_bytes(status, "VmRSS:");
    out->rss_anon_bytes = status_bytes(status, "RssAnon:");
    out->rss_file_bytes = status_bytes(status, "RssFile:");
    out->open_fds = open_fds_count();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        out->max_fds = files.rlim_cur;
    out->started_wall_ms = started_wall_ms();
    return OK;
}

void os_host_name(char *out, size_t cap)
{
    if (gethostname(out, cap) != 0 || out[0] == 0)
        (void)snprintf(out, cap, "unknown");
    out[cap - 1] = 0; /* a cut one may lack it, gethostname(2) */
}

/* --- children --- */

static int actions_fill(posix_spawn_file_actions_t *actions, int output)
{
    int failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(actions, output, 2);
    return failed;
}

/* Its own group, no blocked signal, none ignored. */
static int attributes_fill(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setpgroup(attributes, 0);
    if (failed == 0)
        failed = posix_spawnattr_setsigmask(attributes, &none);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (failed == 0)
        failed = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return failed;
}

static err child_start(const char *const argv[], const char *const envp[], int output, int *pid)
{
    static const char *const empty[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0)
        return os_err(failed);
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        failed = actions_fill(&actions, output);
        if (failed == 0)
            failed = attributes_fill(&attributes);
        if (failed == 0) /* POSIX keeps the arguments unchanged; the missing const is history */
            failed = posix_spawn(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
                                 (char *const *)(uintptr_t)(envp != NULL ? envp : empty));
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return os_err(failed);
}

static err child_watch(int pid, os_fd *exited)
{
    *exited = (int)syscall(SYS_pidfd_open, pid, 0u);
    if (*exited >= 0)
        return OK;
    err e = os_err(errno);
    os_kill_group(pid, true);
    (void)waitpid(pid, NULL, 0); /* short: it was killed before it could do anything that sticks */
    return e;
}

err os_spawn(const char *const argv[], const char *const envp[], int *pid, os_fd *exited, os_fd *output)
{
    int ends[2];
    *exited = *output = -1;
    *pid = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return os_err(errno);
    err e = os_err_or(fcntl(ends[0], F_SETFL, O_NONBLOCK)); /* our end only: a child's printf expects to block */
    if (e == OK)
        e = child_start(argv, envp, ends[1], pid);
    close(ends[1]);
    if (e == OK)
        e = child_watch(*pid, exited);
    if (e == OK)
        *output = ends[0];
    else
        close(ends[0]);
    return e;
}

void os_kill_group(int pid, bool at_once)
{
    ASSERT(pid > 1);
    (void)kill(-pid, at_once ? SIGKILL : SIGTERM); /* ESRCH: all ended already */
}

bool os_child_ended(int *pid)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return false;
    *pid = info.si_pid;
    return true;
}

err os_child_reap(int pid, int *status)
{
    int raw = 0;
    pid_t got;
    do
        got = waitpid(pid, &raw, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 ? E_AGAIN : os_err(errno);
    *status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    return OK;
}

bool os_reaps_orphans(void)
{
    int subreaper = 0;
    return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper != 0);
}
