/* The device's world on kernels and file systems that lack a call: each is refused by a seccomp filter, in a child of its own. */
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "tests/unit/child.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/support/skip.h"
#include <cmocka.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum { ANY = -1, NO_FILTERS = 77 };

/* From now on `call` says error; with first >= 0 only where its first argument is that. */
static void refuse(long call, long first, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])), /* the low half: both machines are little */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)first, 0, first == ANY ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(code), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(NO_FILTERS);
}

static void expect_good(void (*run)(void))
{
    char said[CHILD_TEXT_MAX];
    int ended = child_run(run, said);
    if (ended == NO_FILTERS)
        SKIP_BECAUSE("no seccomp filters here (emulation)");
    if (ended != 0)
        fail_msg("ended %d: %s", ended, said);
}

/* --- rename without RENAME_NOREPLACE: NFS says EINVAL, old kernels ENOSYS --- */

static char folder[] = "/tmp/test_os_old-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][OS_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];
    snprintf(path, OS_PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *content)
{
    FILE *f = fopen(in_folder(name), "we");
    ASSERT(f != NULL && fputs(content, f) >= 0 && fclose(f) == 0);
}

static bool holds(const char *name, const char *content)
{
    char got[32] = "";
    FILE *f = fopen(in_folder(name), "re");
    if (f == NULL)
        return false;
    bool same = fgets(got, sizeof got, f) != NULL && strcmp(got, content) == 0;
    fclose(f);
    return same;
}

static bool is_there(const char *name)
{
    struct stat s;
    return stat(in_folder(name), &s) == 0;
}

static void clear_folder(void)
{
    static const char *const names[] = {"from", "to"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        (void)unlink(in_folder(names[i]));
}

static void rename_moves(int refusal)
{
    refuse(SYS_renameat2, ANY, refusal);
    clear_folder();
    put("from", "new");
    ASSERT(os_rename_new(in_folder("from"), in_folder("to")) == OK);
    ASSERT(holds("to", "new") && !is_there("from"));
    put("from", "newer");
    ASSERT(os_rename_new(in_folder("from"), in_folder("to")) == E_EXISTS);
    ASSERT(holds("to", "new") && holds("from", "newer"));
    ASSERT(unlink(in_folder("to")) == 0 && link(in_folder("from"), in_folder("to")) == 0);
    ASSERT(os_rename_new(in_folder("from"), in_folder("to")) == OK); /* a repeated link(2) of ours over NFS */
    ASSERT(holds("to", "newer") && !is_there("from"));
    ASSERT(os_rename_new(in_folder("none"), in_folder("to2")) == E_ABSENT);
}

static void rename_on_nfs(void)
{
    rename_moves(EINVAL);
}

static void rename_on_an_old_kernel(void)
{
    rename_moves(ENOSYS);
}

static void rename_without_links(void)
{
    refuse(SYS_renameat2, ANY, EINVAL);
#ifdef SYS_link
    refuse(SYS_link, ANY, EPERM);
#endif
    refuse(SYS_linkat, ANY, EPERM);
    clear_folder();
    put("from", "new");
    put("to", "old");
    ASSERT(os_rename_new(in_folder("from"), in_folder("to")) == E_EXISTS);
    ASSERT(holds("to", "old") && holds("from", "new"));
    ASSERT(unlink(in_folder("to")) == 0);
    ASSERT(os_rename_new(in_folder("from"), in_folder("to")) == OK);
    ASSERT(holds("to", "new") && !is_there("from"));
    ASSERT(os_rename_new(in_folder("none"), in_folder("to2")) == E_ABSENT);
}

static void a_rename_never_replaces(void **state)
{
    (void)state;
    expect_good(rename_on_nfs);
    expect_good(rename_on_an_old_kernel);
    expect_good(rename_without_links);
}

/* --- waiting without epoll_pwait2: before Linux 5.11 --- */

static void wait_on_an_old_kernel(void)
{
    struct os_event events[4];
    refuse(SYS_epoll_pwait2, ANY, ENOSYS);
    refuse(SYS_close_range, ANY, ENOSYS);
    ASSERT(os_boot() == OK);
    for (ms span = 0; span < 5; span++) {
        ms until = os_mono() + span;
        ASSERT(os_wait(until, events, COUNT_OF(events)) == 0);
        ASSERT(os_mono() >= until && os_mono() < until + SECONDS(2));
    }
    ASSERT(kill(getpid(), SIGHUP) == 0);
    ASSERT(os_wait(os_mono() + SECONDS(10), events, COUNT_OF(events)) == 0);
    int n = 0;
    ASSERT(os_signal_take(&n) && n == SIGHUP);
    os_poke();
    ms before = os_mono();
    ASSERT(os_wait(before + SECONDS(10), events, COUNT_OF(events)) == 0 && os_mono() < before + SECONDS(5));
}

static void waits_end_in_time(void **state)
{
    (void)state;
    expect_good(wait_on_an_old_kernel);
}

/* --- no IPv6: ipv6.disable=1 --- */

static void sockets_without_ipv6(void)
{
    struct addr all = {.kind = ADDR_IPV6}, bound, one = {.kind = ADDR_IPV6, .ip = {[15] = 1}, .port = 1};
    struct addr local = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, from;
    os_fd listener, client, udp, other, none;
    char text[8];
    size_t got;
    refuse(SYS_socket, AF_INET6, EAFNOSUPPORT);
    ASSERT(os_boot() == OK);
    ASSERT(os_listen(&all, 8, &listener, &bound) == OK && bound.kind == ADDR_IPV4 && bound.port != 0);
    local.port = bound.port;
    ASSERT(os_connect(&local, &client) == OK);
    ASSERT(os_connect(&one, &none) == E_UNSUPPORTED && none == -1);
    ASSERT(os_listen(&one, 8, &none, NULL) == E_UNSUPPORTED && none == -1);
    local.port = 0;
    ASSERT(os_udp(NULL, &udp) == OK && os_udp(&local, &other) == OK);
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    ASSERT(getsockname(other, (struct sockaddr *)&name, &len) == 0);
    uint8_t port[2];
    memcpy(port, (uint8_t *)&name + 2, sizeof port); /* sin_port */
    local.port = (uint16_t)(port[0] << 8 | port[1]);
    ASSERT(os_send_to(udp, "ping", 4, &local) == OK);
    err e = E_AGAIN;
    for (int i = 0; i < 1000 && e == E_AGAIN; i++, usleep(1000))
        e = os_recv_from(other, text, sizeof text, &got, &from);
    ASSERT(e == OK && got == 4 && from.kind == ADDR_IPV4);
    ASSERT(os_send_to(udp, "ping", 4, &one) != OK);
}

static void all_addresses_are_then_all_of_ipv4(void **state)
{
    (void)state;
    expect_good(sockets_without_ipv6);
}

/* --- no pidfd: before Linux 5.3 --- */

static void spawn_without_pidfd(void)
{
    static const char *const argv[] = {"/bin/sleep", "100", NULL};
    os_fd exited, output;
    int pid;
    refuse(SYS_pidfd_open, ANY, ENOSYS);
    ASSERT(os_boot() == OK);
    ASSERT(os_spawn(argv, NULL, &pid, &exited, &output) == E_UNSUPPORTED && exited == -1 && output == -1);
    ASSERT(waitpid(-1, NULL, 0) == -1 && errno == ECHILD); /* it was not left behind */
}

static void a_child_that_cannot_be_watched_is_ended(void **state)
{
    (void)state;
    expect_good(spawn_without_pidfd);
}

static int make(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && mem_boot(&profile_edge16, MEM_LAZY) == OK ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    clear_folder();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rename_never_replaces),
        cmocka_unit_test(waits_end_in_time),
        cmocka_unit_test(all_addresses_are_then_all_of_ipv4),
        cmocka_unit_test(a_child_that_cannot_be_watched_is_ended),
    };
    return cmocka_run_group_tests_name("os on old kernels", tests, make, unmake);
}
