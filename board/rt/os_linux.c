/* The device's world: clocks, randomness, waiting and signals. Sockets, files, threads and children are in os_linux_*.c.
 *
 * Signals are blocked and read from a signalfd, so that no handler ever runs on a fiber's small stack. */
#include "board/rt/os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef OS_WALL_FLOOR_S
#error "OS_WALL_FLOOR_S: the commit's time, in seconds since 1970, comes from the Makefile"
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* the same on every architecture: linux/Documentation, since 5.11 */
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_MARK_CLOEXEC (1u << 2) /* linux/close_range.h */

#define EVENTS_MAX   64
#define TOKEN_POKE   UINT64_MAX
#define TOKEN_SIGNAL (UINT64_MAX - 1)

static const int signals_taken[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGWINCH, SIGUSR1};

static struct {
    bool booted;
    int epoll, event, signal;
    unsigned signals; /* bits by index in signals_taken */
    bool no_pwait2;   /* the kernel or its emulation is older than 5.11 */
    atomic_bool poked;
} world;

/* --- clocks and randomness --- */

static int64_t clock_ns(clockid_t which)
{
    struct timespec t;
    ASSERT(clock_gettime(which, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

ms os_mono(void)
{
    return os_mono_ns() / 1000000;
}

/* Not CLOCK_MONOTONIC, which stands still while the machine sleeps: a lease that others count on would be believed for as long.
 */
int64_t os_mono_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t os_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static const int64_t wall_floor_ms = (int64_t)OS_WALL_FLOOR_S * 1000;

int64_t os_wall_ms(void)
{
    int64_t now_ms = clock_ns(CLOCK_REALTIME) / 1000000;
    return now_ms < wall_floor_ms ? wall_floor_ms : now_ms;
}

bool os_wall_is_trusted(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000 >= wall_floor_ms;
}

void os_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        len -= (size_t)got;
    }
}

/* --- boot --- */

/* A missing 0, 1 or 2 (PID 1 may start so) would be taken by the next open and then written to as if it were stderr. What holds
 * its place can neither be read nor written, and says EBADF as a closed one does (open(2), O_PATH): lost output is to be missed.
 */
static err standard_fds_hold(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int held = fcntl(fd, F_GETFD) < 0 ? open("/", O_PATH) : fd; /* the lowest free number is the one given */
        if (held != fd)
            return os_err(errno);
    }
    return OK;
}

static err signals_block(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    for (size_t i = 0; i < COUNT_OF(signals_taken); i++)
        sigaddset(&mask, signals_taken[i]);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return os_err(errno);
    if (signal(SIGCHLD, SIG_DFL) == SIG_ERR) /* a parent that ignored it would have the kernel reap our children: waitpid(2) */
        return os_err(errno);
    world.signal = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    return os_err_or(world.signal);
}

static err watch_inner(int fd, uint32_t events, uint64_t token)
{
    struct epoll_event e = {.events = events, .data.u64 = token};
    return os_err_or(epoll_ctl(world.epoll, EPOLL_CTL_ADD, fd, &e));
}

err os_boot(void)
{
    if (world.booted)
        return OK;
    TRY(standard_fds_hold());
    /* What a parent left open is not for our children either. Older kernels refuse; our own descriptors are marked anyway. */
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_MARK_CLOEXEC);
    TRY(signals_block());
    world.epoll = epoll_create1(EPOLL_CLOEXEC);
    TRY(os_err_or(world.epoll));
    world.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    TRY(os_err_or(world.event));
    TRY(watch_inner(world.event, EPOLLIN | EPOLLET, TOKEN_POKE));
    TRY(watch_inner(world.signal, EPOLLIN, TOKEN_SIGNAL));
    world.booted = true;
    return OK;
}

/* --- waiting --- */

err os_watch(os_fd fd, uint64_t token)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = token};
    if (epoll_ctl(world.epoll, EPOLL_CTL_ADD, fd, &e) == 0)
        return OK;
    if (errno != EEXIST)
        return os_err(errno);
    return os_err_or(epoll_ctl(world.epoll, EPOLL_CTL_MOD, fd, &e));
}

err os_ignore(os_fd fd, uint64_t token)
{
    struct epoll_event e = {.events = EPOLLET, .data.u64 = token};
    return os_err_or(epoll_ctl(world.epoll, EPOLL_CTL_MOD, fd, &e));
}

void os_poke(void)
{
    if (atomic_exchange(&world.poked, true))
        return; /* one is on its way */
    int saved = errno;
    uint64_t one = 1;
    /* Edge-triggered and never read: each write is an edge. It cannot fill up in 2^64 pokes. */
    ssize_t put = write(world.event, &one, sizeof one);
    (void)put;
    errno = saved;
}

static void signals_collect(void)
{
    struct signalfd_siginfo info;
    while (read(world.signal, &info, sizeof info) == (ssize_t)sizeof info)
        for (size_t i = 0; i < COUNT_OF(signals_taken); i++)
            if (signals_taken[i] == (int)info.ssi_signo)
                world.signals |= 1u << i;
}

bool os_signal_take(int *signal_number)
{
    for (size_t i = 0; i < COUNT_OF(signals_taken); i++)
        if (world.signals & 1u << i) {
            world.signals &= ~(1u << i);
            *signal_number = signals_taken[i];
            return true;
        }
    return false;
}

static int wait_rounded(struct epoll_event *events, int max, int64_t left_ns)
{
    int64_t left_ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
    return epoll_wait(world.epoll, events, max, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
}

/* One sleep; < 0 and EINTR when a stop and continue ended it. */
static int wait_once(struct epoll_event *events, int max, ms until)
{
    if (until > INT64_MAX / 1000000)
        return epoll_wait(world.epoll, events, max, -1);
    int64_t left_ns = until * 1000000 - os_mono_ns();
    if (left_ns <= 0)
        return epoll_wait(world.epoll, events, max, 0);
    if (!world.no_pwait2) {
        struct timespec left = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
        int n = (int)syscall(SYS_epoll_pwait2, world.epoll, events, max, &left, NULL, (size_t)0);
        if (n >= 0 || errno != ENOSYS)
            return n;
        world.no_pwait2 = true;
    }
    return wait_rounded(events, max, left_ns);
}

static unsigned ready_bits(uint32_t events)
{
    unsigned ready = 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        ready |= OS_READABLE;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        ready |= OS_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        ready |= OS_HANGUP;
    return ready;
}

/* Ours are used up here; the others are told. */
static size_t events_tell(const struct epoll_event *events, int count, struct os_event *out)
{
    size_t told = 0;
    for (int i = 0; i < count; i++) {
        uint64_t token = events[i].data.u64;
        if (token == TOKEN_POKE)
            (void)atomic_exchange(&world.poked, false); /* before the caller looks at what the poker left */
        else if (token == TOKEN_SIGNAL)
            signals_collect();
        else
            out[told++] = (struct os_event){.token = token, .ready = ready_bits(events[i].events)};
    }
    return told;
}

size_t os_wait(ms until, struct os_event *out, size_t max)
{
    struct epoll_event events[EVENTS_MAX];
    int count;
    ASSERT(max > 0);
    do
        count = wait_once(events, (int)size_min(max, EVENTS_MAX), until);
    while (count < 0 && errno == EINTR);
    ASSERT(count >= 0);
    return events_tell(events, count, out);
}
