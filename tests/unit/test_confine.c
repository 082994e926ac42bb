/* What a confined process may not do any more, one line each; and what it still may. Each in a process of its own, from the
 * loop's thread and from one of the pool's. */
#include "tests/support/skip.h"
#include "tests/unit/check.h"
#include "tests/unit/child.h"

#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/pool.h"
#include "hal/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <linux/capability.h>

#define SOON   (loop_now() + SECONDS(60))
#define KILLED (-1) /* the whole process, by SIGSYS */

static char folder[64]; /* has ours/ (to write), others/ (to read) and secret/, each with a file; and link -> secret */
static uint16_t allowed_port, other_port;

static const char *at(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* --- what is tried: 0, or errno --- */
static int opened(const char *name, int flags)
{
    int fd = open(at(name), flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}
static int result(long failed)
{
    return failed < 0 ? errno : 0;
}
static int read_ours(void)
{
    return opened("ours/file", O_RDONLY);
}
static int write_ours(void)
{
    return opened("ours/file", O_RDWR | O_TRUNC);
}
static int make_rename_remove_ours(void)
{
    char from[128];
    int made = opened("ours/new", O_RDWR | O_CREAT | O_EXCL);
    (void)snprintf(from, sizeof from, "%s", at("ours/new"));
    return made ? made : result(rename(from, at("ours/renamed"))) ? errno : result(unlink(at("ours/renamed")));
}
static int make_folder_ours(void)
{
    return result(mkdir(at("ours/folder"), 0700)) ? errno : result(rmdir(at("ours/folder")));
}
static int read_others(void)
{
    return opened("others/file", O_RDONLY);
}
static int write_others(void)
{
    return opened("others/file", O_RDWR);
}
static int make_in_others(void)
{
    return opened("others/new", O_RDWR | O_CREAT);
}
static int remove_others(void)
{
    return result(unlink(at("others/file")));
}
static int read_secret(void)
{
    return opened("secret/file", O_RDONLY);
}
static int list_secret(void)
{
    return opened("secret", O_RDONLY | O_DIRECTORY);
}
static int read_through_link(void)
{
    return opened("others/link/file", O_RDONLY);
}
static int climb_out(void)
{
    return opened("ours/../secret/file", O_RDONLY);
}
static int make_device(void)
{
    return result(mknod(at("ours/device"), S_IFCHR | 0600, 0x103));
}
static int read_own_status(void)
{
    struct os_process p;
    return os_process(&p) == OK && p.rss_bytes > 0 ? 0 : EIO;
}
static int run_program(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    return result(execve("/bin/true", argv, NULL));
}
static int mount_something(void)
{
    return result(mount("none", at("ours"), "tmpfs", 0, NULL));
}
static int unmount_something(void)
{
    return result(umount2(at("ours"), MNT_DETACH));
}
static int trace_parent(void)
{
    return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
static int new_namespace(void)
{
    return result(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}
static int load_module(void)
{
    return result(syscall(SYS_init_module, NULL, 0UL, ""));
}
static int load_program(void)
{
    return result(syscall(SYS_bpf, 0, NULL, 0u));
}
static int begin_child(void)
{
    return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}
static int signal_parent(void)
{
    return result(kill(getppid(), 0));
}
static int become_other(void)
{
    return result(syscall(SYS_setuid, 65534));
}
static int set_clock(void)
{
    struct timespec t = {.tv_sec = 1};
    return result(clock_settime(CLOCK_REALTIME, &t));
}
static int executable_memory(void) /* not by mmap(), which musl makes say ENOMEM */
{
    long memory = syscall(SYS_mmap, NULL, 4096UL, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
    return memory == -1 ? errno : 0;
}
static int plain_memory(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? errno : result(munmap(memory, 4096));
}
static int socket_of(int domain, int type)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}
static int raw_socket(void)
{
    return socket_of(AF_INET, SOCK_RAW);
}
static int packet_socket(void)
{
    return socket_of(AF_PACKET, SOCK_DGRAM);
}
static int netlink_socket(void)
{
    return socket_of(AF_NETLINK, SOCK_RAW);
}
static int unix_socket(void)
{
    return socket_of(AF_UNIX, SOCK_STREAM);
}
static int udp_socket(void)
{
    return socket_of(AF_INET6, SOCK_DGRAM);
}
static int bind_to(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = result(bind(fd, (struct sockaddr *)&a, sizeof a));
    close(fd);
    return failed;
}
static int bind_allowed(void)
{
    return bind_to(allowed_port);
}
static int bind_other(void)
{
    return bind_to(other_port);
}
static int capabilities_back(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{.effective = ~0u, .permitted = ~0u}, {0}};
    return result(syscall(SYS_capset, &header, sets));
}
static int capability_by_exec(void) /* what an exec would give: nothing in the bounding set, and no_new_privs */
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 ? EPERM : 0;
}
static int core_dump(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE) == 0 ? EPERM : 0;
}

/* --- the table --- */
enum needs { ANY, FILES, PORTS, CALLS };
#define MOUNTING 8 /* in a process that may mount */
static const struct attempt {
    const char *name;
    int (*try_it)(void);
    int outcome;    /* 0, errno, KILLED */
    unsigned needs; /* enum needs, and MOUNTING */
} attempts[] = {
    {"read in a folder of ours", read_ours, 0, ANY},
    {"write in a folder of ours", write_ours, 0, ANY},
    {"make, rename and remove in a folder of ours", make_rename_remove_ours, 0, ANY},
    {"make a folder in a folder of ours", make_folder_ours, 0, ANY},
    {"read in a folder to read", read_others, 0, ANY},
    {"our own status", read_own_status, 0, ANY},
    {"a plain socket: Unix", unix_socket, 0, ANY},
    {"a plain socket: UDP", udp_socket, 0, ANY},
    {"memory", plain_memory, 0, ANY},
    {"listen on the allowed port", bind_allowed, 0, ANY},
    {"write in a folder to read", write_others, EACCES, FILES},
    {"make a file in a folder to read", make_in_others, EACCES, FILES},
    {"remove a file of a folder to read", remove_others, EACCES, FILES},
    {"read a path outside", read_secret, EACCES, FILES},
    {"list a folder outside", list_secret, EACCES, FILES},
    {"read a path outside through a link", read_through_link, EACCES, FILES},
    {"read a path outside by way of ..", climb_out, EACCES, FILES},
    {"listen on another port", bind_other, EACCES, PORTS},
    {"make a device", make_device, EPERM, CALLS},
    {"run a program", run_program, KILLED, CALLS},
    {"mount", mount_something, KILLED, CALLS},
    {"unmount", unmount_something, KILLED, CALLS},
    {"mount, where that is wanted, without the capability", mount_something, EPERM, CALLS | MOUNTING},
    {"unmount, where that is wanted, without the capability", unmount_something, EPERM, CALLS | MOUNTING},
    {"write in a folder to read, where mounts are wanted", write_others, 0, ANY | MOUNTING},
    {"listen on another port, where mounts are wanted", bind_other, EACCES, PORTS | MOUNTING},
    {"run a program, where mounts are wanted", run_program, KILLED, CALLS | MOUNTING},
    {"trace another process", trace_parent, KILLED, CALLS},
    {"a new namespace", new_namespace, KILLED, CALLS},
    {"load a kernel module", load_module, KILLED, CALLS},
    {"load a BPF program", load_program, KILLED, CALLS},
    {"begin another process", begin_child, EPERM, CALLS},
    {"signal another process", signal_parent, EPERM, CALLS},
    {"become another user", become_other, EPERM, CALLS},
    {"set the clock", set_clock, EPERM, CALLS},
    {"memory that can be executed", executable_memory, EPERM, CALLS},
    {"a raw socket", raw_socket, EPERM, CALLS},
    {"a packet socket", packet_socket, EPERM, CALLS},
    {"a netlink socket", netlink_socket, EPERM, CALLS},
    {"take a capability back", capabilities_back, EPERM, ANY},
    {"a new capability by exec", capability_by_exec, EPERM, ANY},
    {"a core dump", core_dump, EPERM, ANY},
};

/* --- one attempt, in a child --- */
static const struct attempt *current;
static bool on_pool;
static ms confine_ms = SECONDS(10);

static err confine_here(struct text *missing)
{
    char ours[128], others[128], absent[128];
    (void)snprintf(ours, sizeof ours, "%s", at("ours"));
    (void)snprintf(others, sizeof others, "%s", at("others"));
    (void)snprintf(absent, sizeof absent, "%s", at("others/absent"));
    const struct confine_path paths[] = {
        {ours, CONFINE_WRITE}, {others, CONFINE_READ}, {absent, CONFINE_READ}, {"/proc/self", CONFINE_READ}};
    const struct confine_options o = {.paths = paths,
                                      .path_count = COUNT_OF(paths),
                                      .tcp_ports = &allowed_port,
                                      .tcp_port_count = 1,
                                      .mounts = current && current->needs & MOUNTING,
                                      .deadline = loop_now() + confine_ms};
    return confine(&o, missing);
}

struct attempt_job {
    int outcome;
};

static err attempt_job(void *job)
{
    ((struct attempt_job *)job)->outcome = current->try_it();
    return OK;
}

static err attempt_body(void *arg)
{
    char words[1024];
    struct text missing = text_over(words, sizeof words);
    struct attempt_job j = {0};
    struct lane l;
    (void)arg;
    TRY(confine_here(&missing));
    if (!on_pool) {
        err_ignore(attempt_job(&j));
    } else {
        lane_open(&l, "attempt", TASK_BOARD, 1);
        TRY(lane_call(&l, attempt_job, &j, sizeof j, NULL, SOON));
        lane_close(&l);
    }
    if (j.outcome != current->outcome)
        (void)fprintf(stderr, "%s: %s, not %s\n", current->name, strerror(j.outcome),
                      current->outcome == KILLED ? "killed" : strerror(current->outcome));
    return j.outcome == current->outcome ? OK : E_INVALID;
}

static void attempt_child(void)
{
    err e = loop_run(attempt_body, NULL);
    char why[512];
    if (e != OK && e != E_INVALID)
        (void)fprintf(stderr, "%s\n", trail_text(e, why, sizeof why));
    _exit(e == OK ? 0 : 1);
}

/* --- what the kernel has --- */
static char lacking[1024];
static bool layers[CONFINE_LAYER_COUNT];

static err look_body(void *arg)
{
    (void)arg;
    char words[1024];
    struct text missing = text_over(words, sizeof words);
    TRY(confine_here(&missing));
    for (enum confine_layer l = 0; l < CONFINE_LAYER_COUNT; l++)
        (void)printf("%d", confine_holds(l));
    (void)printf(" %s", words);
    return fflush(stdout) == 0 ? OK : E_IO;
}

static void look_child(void)
{
    _exit(loop_run(look_body, NULL) == OK ? 0 : 1);
}

static bool is_there(enum needs needs)
{
    switch (needs) {
    case ANY:
        return true;
    case FILES:
        return layers[CONFINE_LANDLOCK];
    case PORTS:
        return layers[CONFINE_LANDLOCK] && !strstr(lacking, "Landlock");
    case CALLS:
        return layers[CONFINE_SECCOMP];
    }
    return false;
}

static void it_says_what_is_in_force(void **state)
{
    char said[CHILD_TEXT_MAX];
    (void)state;
    assert_int_equal(child_run(look_child, said), 0);
    for (size_t l = 0; l < CONFINE_LAYER_COUNT; l++)
        layers[l] = said[l] == '1';
    (void)snprintf(lacking, sizeof lacking, "%.900s", said + CONFINE_LAYER_COUNT + 1);
    assert_true(layers[CONFINE_CORE_DUMPS] && layers[CONFINE_NO_NEW_PRIVS] && layers[CONFINE_CAPABILITIES]);
    assert_int_equal(layers[CONFINE_LANDLOCK], strstr(lacking, "Landlock (") == NULL);
    assert_int_equal(layers[CONFINE_SECCOMP], strstr(lacking, "seccomp (") == NULL);
}

static void try_all(void)
{
    char said[CHILD_TEXT_MAX];
    unsigned wrong = 0, left_out = 0;
    for (size_t i = 0; i < COUNT_OF(attempts); i++) {
        current = &attempts[i];
        if (!is_there((enum needs)(current->needs & ~(unsigned)MOUNTING))) {
            left_out++;
            continue;
        }
        int ended = child_run(attempt_child, said), wanted = current->outcome == KILLED ? 1000 + SIGSYS : 0;
        if (ended != wanted)
            print_error("%s: ended with %d, not %d: %s\n", current->name, ended, wanted, said);
        wrong += ended != wanted;
    }
    assert_int_equal(wrong, 0);
    if (left_out > 0) {
        print_message("%u of %zu attempts left out\n", left_out, COUNT_OF(attempts));
        SKIP_BECAUSE(lacking);
    }
}

static void the_loop_is_confined(void **state)
{
    (void)state;
    on_pool = false;
    try_all();
}

static void so_is_the_pool(void **state)
{
    (void)state;
    on_pool = true;
    try_all();
}

/* --- a thread that is late --- */
static int late_pipe[2];

static err late_job(void *job)
{
    return read(late_pipe[0], job, 1) == 1 ? OK : E_IO;
}

static err is_bound(void *arg)
{
    (void)arg;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? OK : E_IO;
}

static err late_body(void *arg)
{
    char words[1024], unused = 0;
    struct text missing = text_over(words, sizeof words);
    struct lane l;
    (void)arg;
    lane_open(&l, "late", TASK_BOARD, 1);
    CHECK(pipe(late_pipe) == 0);
    TRY(lane_submit(&l, late_job, &unused, sizeof unused, NULL, SOON));
    AWAIT(pool_stats().busy == 1);
    confine_ms = 100;
    CHECK(confine_here(&missing) == E_TIMEOUT && !confine_holds(CONFINE_NO_NEW_PRIVS) && !confine_holds(CONFINE_SECCOMP));
    trail_clear();
    CHECK(write(late_pipe[1], "x", 1) == 1);
    TRY(lane_drain(&l, SOON));
    lane_close(&l);
    CHECK(os_offload_each(is_bound, NULL, SOON) == E_IO); /* the late one is free still */
    confine_ms = SECONDS(10);
    CHECK(confine_here(&missing) == OK && confine_holds(CONFINE_NO_NEW_PRIVS));
    CHECK(os_offload_each(is_bound, NULL, SOON) == OK && is_bound(NULL) == OK);
    return checks_failed == 0 ? OK : E_INVALID;
}

static void late_child(void)
{
    _exit(loop_run(late_body, NULL) == OK ? 0 : 1);
}

static void a_thread_that_is_late_is_confined_the_next_time(void **state)
{
    char said[CHILD_TEXT_MAX];
    (void)state;
    int ended = child_run(late_child, said);
    if (ended != 0)
        print_error("%s\n", said);
    assert_int_equal(ended, 0);
}

/* --- by name --- */
static const struct named {
    const char *path;
    enum confine_access access;
    bool allowed;
} named[] = {
    {"/ours", CONFINE_WRITE, true},
    {"/ours/below/it", CONFINE_WRITE, true},
    {"/ours", CONFINE_READ, true},
    {"/oursandmore", CONFINE_READ, false},
    {"/others/file", CONFINE_READ, true},
    {"/others/file", CONFINE_WRITE, false},
    {"/ours/../secret", CONFINE_READ, false},
    {"/ours/..", CONFINE_READ, false},
    {"/secret", CONFINE_READ, false},
    {"", CONFINE_READ, false},
};

static err named_body(void *arg)
{
    char words[1024];
    struct text missing = text_over(words, sizeof words);
    (void)arg;
    CHECK(confine_allows_path("/anything", CONFINE_WRITE) && confine_allows_port(1)); /* not in force yet */
    TRY(confine_here(&missing));
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", *named[i].path ? folder : "", named[i].path);
        if (confine_allows_path(path, named[i].access) != named[i].allowed) {
            (void)fprintf(stderr, "%s\n", path);
            checks_failed++;
        }
    }
    CHECK(confine_allows_port(allowed_port) && !confine_allows_port(other_port));
    return checks_failed == 0 ? OK : E_INVALID;
}

static void named_child(void)
{
    _exit(loop_run(named_body, NULL) == OK ? 0 : 1);
}

static void what_was_given_up_is_known_by_name(void **state)
{
    char said[CHILD_TEXT_MAX];
    (void)state;
    if (!layers[CONFINE_LANDLOCK])
        SKIP_BECAUSE(lacking);
    int ended = child_run(named_child, said);
    if (ended != 0)
        print_error("%s\n", said);
    assert_int_equal(ended, 0);
}

/* --- what is there --- */
static void make_file(const char *name)
{
    int fd = open(at(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static int make_folders(void **state)
{
    static const char *const names[] = {"ours", "others", "secret"};
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/holdfast-confine-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char file[32];
        assert_int_equal(mkdir(at(names[i]), 0700), 0);
        (void)snprintf(file, sizeof file, "%s/file", names[i]);
        make_file(file);
    }
    assert_int_equal(symlink("../secret", at("others/link")), 0);
    allowed_port = free_port();
    do
        other_port = free_port();
    while (other_port == allowed_port);
    return 0;
}

static int remove_folders(void **state)
{
    static const char *const names[] = {"others/link", "ours/file", "others/file", "secret/file", "ours", "others", "secret", ""};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (remove(at(names[i])) != 0)
            return 1;
    return 0;
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_is_in_force),
        cmocka_unit_test(the_loop_is_confined),
        cmocka_unit_test(so_is_the_pool),
        cmocka_unit_test(a_thread_that_is_late_is_confined_the_next_time),
        cmocka_unit_test(what_was_given_up_is_known_by_name),
    };
    return cmocka_run_group_tests_name("confine", tests, make_folders, remove_folders);
}
