/* The device's world against the real kernel: clocks, waiting, pokes, signals, sockets, files, threads. Loopback only. */
#include "board/rt/mem.h"
#include "board/rt/os.h"
#include "board/rt/os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOT_ALLOWED 77 /* of a child's exit code */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* linux/sched.h */
#endif

static char folder[] = "/tmp/test_os-XXXXXX";

static const char *at(const char *name)
{
    static char paths[4][OS_PATH_MAX];
    static unsigned turn;
    char *out = paths[turn++ % COUNT_OF(paths)];
    snprintf(out, OS_PATH_MAX, "%s/%s", folder, name);
    return out;
}

/* --- time and waiting --- */

static void the_wall_clock_never_reads_below_the_floor(void **state)
{
    (void)state;
    assert_true(os_wall_ms() >= (int64_t)OS_WALL_FLOOR_S * 1000);
    int64_t before_ns = os_mono_ns();
    ms now = os_mono();
    assert_true(now >= before_ns / 1000000 && now <= os_mono_ns() / 1000000);
}

/* In a time namespace where the machine has slept for 1,000 s: whether our clock has gone on. Its children are in it, not itself.
 */
static int slept(void)
{
    static const char offset[] = "boottime 1000 0\n";
    struct timespec awake;
    int fd = -1, status = 1;
    if (unshare(CLONE_NEWTIME) != 0 || (fd = open("/proc/self/timens_offsets", O_WRONLY)) < 0 ||
        write(fd, offset, sizeof offset - 1) != (ssize_t)sizeof offset - 1)
        return NOT_ALLOWED;
    pid_t child = fork();
    if (child == 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &awake);
        _exit(os_mono() - awake.tv_sec * 1000 < SECONDS(1000) || os_mono_ns() / 1000000 - awake.tv_sec * 1000 < SECONDS(1000));
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void the_clock_goes_on_while_the_machine_sleeps(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(slept());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_ALLOWED)
        skip(); /* not root, or a kernel before 5.6 */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[4096] = {0}, b[4096] = {0};
    os_random(a, sizeof a);
    os_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    os_random(NULL, 0);
}

static void a_wait_ends_at_its_time_and_not_before(void **state)
{
    (void)state;
    static const ms spans[] = {0, 1, 2, 7, 20};
    struct os_event events[4];
    for (size_t i = 0; i < COUNT_OF(spans); i++) {
        ms until = os_mono() + spans[i];
        assert_int_equal(os_wait(until, events, COUNT_OF(events)), 0);
        assert_true(os_mono() >= until);
        assert_true(os_mono() <= until + SECONDS(10)); /* a loaded machine is late, not for ever */
    }
    assert_int_equal(os_wait(0, events, COUNT_OF(events)), 0); /* long past */
}

static void *poke_later(void *arg)
{
    struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
    atomic_store((atomic_bool *)arg, true);
    os_poke();
    os_poke();
    return NULL;
}

static void a_poke_ends_a_wait_once(void **state)
{
    (void)state;
    struct os_event events[4];
    for (int i = 0; i < 20; i++) {
        atomic_bool told = false;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, poke_later, &told), 0);
        assert_int_equal(os_wait(os_mono() + SECONDS(10), events, COUNT_OF(events)), 0);
        assert_true(atomic_load(&told));
        pthread_join(thread, NULL);
        (void)os_wait(0, events, COUNT_OF(events)); /* the second poke may have been a new one */
        ms until = os_mono() + 3;
        assert_int_equal(os_wait(until, events, COUNT_OF(events)), 0);
        assert_true(os_mono() >= until); /* nothing left of it */
    }
}

static void a_poke_before_the_wait_is_not_lost(void **state)
{
    (void)state;
    struct os_event events[4];
    for (int i = 0; i < 100; i++) {
        os_poke();
        ms before = os_mono();
        (void)os_wait(before + SECONDS(10), events, COUNT_OF(events));
        assert_true(os_mono() < before + SECONDS(5));
    }
}

static void signals_are_collected_each_once(void **state)
{
    (void)state;
    static const int sent[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGWINCH, SIGUSR1};
    struct os_event events[4];
    int n, seen = 0;
    assert_false(os_signal_take(&n));
    for (size_t i = 0; i < COUNT_OF(sent); i++)
        assert_int_equal(kill(getpid(), sent[i]), 0);
    assert_int_equal(os_wait(os_mono() + SECONDS(5), events, COUNT_OF(events)), 0);
    while (os_signal_take(&n)) {
        bool ours = false;
        for (size_t i = 0; i < COUNT_OF(sent); i++)
            ours = ours || sent[i] == n;
        assert_true(ours);
        seen++;
    }
    assert_int_equal(seen, COUNT_OF(sent));
    assert_int_equal(kill(getpid(), SIGPIPE), 0); /* ignored */
}

/* --- sockets --- */

struct pair_case {
    const char *name;
    enum addr_kind kind;
    uint8_t ip[16];
};
static const struct pair_case pair_cases[] = {
    {"IPv4", ADDR_IPV4, {127, 0, 0, 1}},
    {"IPv6", ADDR_IPV6, {[15] = 1}},
    {"unix", ADDR_UNIX, {0}},
};

static struct addr addr_of(const struct pair_case *c)
{
    struct addr a = {.kind = c->kind};
    memcpy(a.ip, c->ip, sizeof a.ip);
    if (c->kind == ADDR_UNIX)
        snprintf(a.path, sizeof a.path, "%s/sock", folder);
    return a;
}

/* Waits for the token to be ready for all of `bits`. */
static void wait_ready(uint64_t token, unsigned bits)
{
    struct os_event events[8];
    ms until = os_mono() + SECONDS(5);
    unsigned ready = 0;
    while ((ready & bits) != bits && os_mono() < until) {
        size_t n = os_wait(until, events, COUNT_OF(events));
        for (size_t i = 0; i < n; i++)
            if (events[i].token == token)
                ready |= events[i].ready;
    }
    assert_int_equal(ready & bits, bits);
}

static void exchange(os_fd client, os_fd server)
{
    char text[16];
    size_t n;
    assert_int_equal(os_recv(server, text, sizeof text, &n), E_AGAIN);
    assert_int_equal(os_send(client, "hello", 5, &n), OK);
    assert_int_equal(n, 5);
    wait_ready(3, OS_READABLE);
    assert_int_equal(os_recv(server, text, sizeof text, &n), OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(os_shutdown_send(client), OK);
    wait_ready(3, OS_READABLE | OS_HANGUP);
    assert_int_equal(os_recv(server, text, sizeof text, &n), OK);
    assert_int_equal(n, 0);
}

static void pair_check(const struct pair_case *c)
{
    struct addr where = addr_of(c), bound, peer;
    os_fd listener, client, server;
    err e = os_listen(&where, 4, &listener, &bound);
    if (c->kind == ADDR_IPV6 && e == E_UNREACHABLE) {
        print_message("no IPv6 here\n");
        return;
    }
    assert_int_equal(e, OK);
    assert_int_equal(bound.kind, c->kind);
    assert_int_equal(os_watch(listener, 1), OK);
    assert_int_equal(os_accept(listener, &server, &peer), E_AGAIN);
    assert_int_equal(os_connect(&bound, &client), OK);
    assert_int_equal(os_watch(client, 2), OK);
    wait_ready(2, OS_WRITABLE);
    assert_int_equal(os_connect_result(client), OK);
    assert_int_equal(os_accept(listener, &server, &peer), OK);
    assert_int_equal(peer.kind, c->kind);
    assert_int_equal(os_watch(server, 3), OK);
    exchange(client, server);
    os_close(server);
    os_close(client);
    os_close(listener);
    if (c->kind == ADDR_UNIX)
        assert_int_equal(os_unlink(where.path), OK);
}

static void bytes_go_over_every_kind_of_socket(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pair_cases); i++) {
        print_message("%s\n", pair_cases[i].name);
        pair_check(&pair_cases[i]);
    }
}

static void listening_on_all_addresses_takes_both_families(void **state)
{
    (void)state;
    struct addr all = {.kind = ADDR_IPV6}, bound, peer;
    os_fd listener, client, server;
    assert_int_equal(os_listen(&all, 4, &listener, &bound), OK);
    struct addr v4 = {.kind = ADDR_IPV4, .port = bound.port, .ip = {127, 0, 0, 1}};
    assert_int_equal(os_watch(listener, 1), OK);
    assert_int_equal(os_connect(&v4, &client), OK);
    wait_ready(1, OS_READABLE);
    assert_int_equal(os_accept(listener, &server, &peer), OK);
    assert_int_equal(peer.kind, ADDR_IPV4); /* not ::ffff:127.0.0.1 */
    assert_memory_equal(peer.ip, v4.ip, 4);
    os_close(server);
    os_close(client);
    os_close(listener);
}

static void a_second_watch_tells_anew(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    size_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(os_watch(ends[0], 7), OK);
    assert_int_equal(os_send(ends[1], "ab", 2, &n), OK);
    wait_ready(7, OS_READABLE);
    assert_int_equal(os_recv(ends[0], &byte, 1, &n), OK);
    struct os_event events[4];
    assert_int_equal(os_wait(os_mono() + 2, events, COUNT_OF(events)), 0); /* the edge is used up */
    assert_int_equal(os_watch(ends[0], 7), OK);
    wait_ready(7, OS_READABLE);
    os_close(ends[0]);
    os_close(ends[1]);
}

static void what_is_ignored_is_told_when_asked_again(void **state)
{
    (void)state;
    int ends[2];
    struct os_event events[4];
    size_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(os_watch(ends[0], 7), OK);
    wait_ready(7, OS_WRITABLE);
    assert_int_equal(os_ignore(ends[0], 7), OK);
    assert_false(os_holds(ends[0]));
    assert_int_equal(os_send(ends[1], "ab", 2, &n), OK);
    assert_true(os_holds(ends[0]));
    assert_int_equal(os_wait(os_mono() + 2, events, COUNT_OF(events)), 0);
    assert_int_equal(os_watch(ends[0], 7), OK);
    wait_ready(7, OS_READABLE);
    os_close(ends[0]);
    os_close(ends[1]);
}

static void datagrams_cross_families(void **state)
{
    (void)state;
    struct addr v4 = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, from;
    os_fd server, client;
    char text[8];
    size_t n;
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    assert_int_equal(os_udp(&v4, &server), OK);
    assert_int_equal(getsockname(server, (void *)&name, &len), 0);
    v4.port = (uint16_t)(((uint8_t *)&name)[2] << 8 | ((uint8_t *)&name)[3]);
    assert_int_equal(os_udp(&(struct addr){.kind = ADDR_NONE}, &client), OK);
    assert_int_equal(os_watch(server, 1), OK);
    assert_int_equal(os_send_to(client, "ask", 3, &v4), OK);
    wait_ready(1, OS_READABLE);
    assert_int_equal(os_recv_from(server, text, sizeof text, &n, &from), OK);
    assert_int_equal(n, 3);
    assert_int_equal(from.kind, ADDR_IPV4);
    assert_int_equal(os_watch(client, 2), OK);
    assert_int_equal(os_send_to(server, "told", 4, &from), OK);
    wait_ready(2, OS_READABLE);
    assert_int_equal(os_recv_from(client, text, sizeof text, &n, &from), OK);
    assert_int_equal(n, 4);
    assert_int_equal(from.kind, ADDR_IPV4);
    assert_int_equal(from.port, v4.port);
    assert_int_equal(os_recv_from(client, text, sizeof text, &n, &from), E_AGAIN);
    os_close(server);
    os_close(client);
}

static void a_refused_connect_says_so(void **state)
{
    (void)state;
    struct addr at_loopback = {.kind = ADDR_IPV4, .ip = {127, 0, 0, 1}}, bound;
    struct addr no_path = {.kind = ADDR_UNIX, .path = "/nonexistent/sock"}, nothing = {.kind = ADDR_NONE};
    os_fd listener, client;
    assert_int_equal(os_listen(&at_loopback, 4, &listener, &bound), OK);
    os_close(listener);
    assert_int_equal(os_connect(&bound, &client), OK);
    assert_int_equal(os_watch(client, 1), OK);
    wait_ready(1, OS_WRITABLE | OS_HANGUP);
    assert_int_equal(os_connect_result(client), E_REFUSED);
    os_close(client);
    assert_int_equal(os_connect(&no_path, &client), E_ABSENT);
    assert_int_equal(client, -1);
    assert_int_equal(os_connect(&nothing, &client), E_INVALID);
    os_close(-1);
}

/* --- files --- */

static void files_are_made_truncated_and_locked_in_part(void **state)
{
    (void)state;
    os_fd one, other;
    struct os_stat stat;
    char text[8] = "";
    size_t n;
    struct flock posix = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
    assert_int_equal(os_file_open(at("m"), OS_WRITE, &one), E_ABSENT);
    assert_int_equal(os_file_open(at("m"), OS_CREATE, &one), OK);
    assert_int_equal(os_file_write(one, 0, "abcdef", 6), OK);
    assert_int_equal(os_file_open(at("m"), OS_CREATE, &other), OK); /* what is there stays */
    assert_int_equal(os_file_truncate(other, 3), OK);
    assert_int_equal(os_file_truncate(other, 5), OK);
    assert_int_equal(os_file_read(one, 0, text, sizeof text, &n), OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "abc\0\0", 5);
    assert_true(os_file_stat(one, &stat) == OK && stat.bytes == 5);
    assert_int_equal(os_file_lock_range(one, 100, 10), OK);
    assert_int_equal(os_file_lock_range(other, 109, 10), E_BUSY);
    assert_int_equal(os_file_lock_range(other, 110, 10), OK);
    assert_int_equal(fcntl(other, F_SETLK, &posix), -1); /* as the stock sqlite3 would */
    os_file_close(one);
    assert_int_equal(os_file_lock_range(other, 100, 10), OK);
    os_file_close(other);
    assert_int_equal(os_file_open(at("m"), OS_READ, &one), OK);
    assert_int_equal(os_file_truncate(one, 0), E_INVALID);
    os_file_close(one);
    assert_int_equal(os_unlink(at("m")), OK);
}

static void files_are_written_read_and_renamed(void **state)
{
    (void)state;
    os_fd fd, other;
    char text[32];
    size_t n;
    struct os_stat stat;
    assert_int_equal(os_file_open(at("a"), OS_READ, &fd), E_ABSENT);
    assert_int_equal(os_file_open(at("a"), OS_CREATE_NEW, &fd), OK);
    assert_int_equal(os_file_open(at("a"), OS_CREATE_NEW, &other), E_EXISTS);
    assert_int_equal(os_file_write(fd, 2, "cdef", 4), OK);
    assert_int_equal(os_file_write(fd, 0, "ab", 2), OK);
    os_file_push(fd, 0, 6);
    assert_int_equal(os_file_sync(fd), OK);
    assert_int_equal(os_file_read(fd, 1, text, sizeof text, &n), OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "bcdef", 5);
    assert_int_equal(os_file_stat(fd, &stat), OK);
    assert_int_equal(stat.kind, OS_FILE);
    assert_int_equal(stat.bytes, 6);
    assert_true(llabs((long long)(os_wall_ms() - stat.modified_ms)) < 60000);
    os_file_close(fd);
    assert_int_equal(os_rename_new(at("a"), at("b")), OK);
    assert_int_equal(os_file_open(at("c"), OS_CREATE_NEW, &fd), OK);
    os_file_close(fd);
    assert_int_equal(os_rename_new(at("c"), at("b")), E_EXISTS);
    assert_int_equal(os_stat_path(at("b"), &stat), OK);
    assert_int_equal(stat.bytes, 6);
    assert_int_equal(os_rename_over(at("c"), at("b")), OK);
    assert_int_equal(os_stat_path(at("b"), &stat), OK);
    assert_int_equal(stat.bytes, 0);
    assert_int_equal(os_sync_folder(folder), OK);
    assert_int_equal(os_unlink(at("b")), OK);
    assert_int_equal(os_unlink(at("b")), E_ABSENT);
}

static void a_lock_is_for_one(void **state)
{
    (void)state;
    os_fd one, other;
    assert_int_equal(os_file_open(at("lock"), OS_CREATE_NEW, &one), OK);
    assert_int_equal(os_file_open(at("lock"), OS_WRITE, &other), OK);
    assert_int_equal(os_file_lock(one), OK);
    assert_int_equal(os_file_lock(other), E_BUSY);
    os_file_close(one);
    assert_int_equal(os_file_lock(other), OK);
    os_file_close(other);
    assert_int_equal(os_unlink(at("lock")), OK);
}

#define NAMES 1000

static void a_folder_of_a_thousand_names_is_told_whole(void **state)
{
    (void)state;
    static bool seen[NAMES];
    char name[OS_NAME_MAX];
    uint64_t cursor = 0;
    unsigned count = 0;
    os_fd fd;
    assert_int_equal(os_mkdir(at("many")), OK);
    assert_int_equal(os_mkdir(at("many")), E_EXISTS);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        assert_int_equal(os_file_open(at(name), OS_CREATE_NEW, &fd), OK);
        os_file_close(fd);
    }
    while (os_list(at("many"), &cursor, name) == OK && name[0] != 0) {
        int i = atoi(name);
        assert_true(i >= 0 && i < NAMES);
        assert_false(seen[i]);
        seen[i] = true;
        count++;
    }
    assert_int_equal(count, NAMES);
    cursor = 0;
    assert_int_equal(os_list(at("none"), &cursor, name), E_ABSENT);
    uint64_t free_bytes, total_bytes;
    assert_int_equal(os_space(folder, &free_bytes, &total_bytes), OK);
    assert_true(free_bytes <= total_bytes && total_bytes > 0);
}

/* --- threads --- */

#define WORKS 200
static struct counted {
    struct os_work work;
    int input, output;
} works[WORKS];

static void double_it(struct os_work *w)
{
    struct counted *c = CONTAINER_OF(w, struct counted, work);
    c->output = 2 * c->input;
}

static void work_comes_back_done(void **state)
{
    (void)state;
    struct os_event events[4];
    unsigned back = 0;
    void *stacks = mem_map(3 * mem_profile()->pool_stack_bytes);
    assert_non_null(stacks);
    for (int round = 0; round < 2; round++) { /* a stopped pool can be started again */
        assert_int_equal(os_offload_boot(3, mem_profile()->pool_stack_bytes, stacks), OK);
        for (int i = 0; i < WORKS; i++) {
            works[i] = (struct counted){.work.run = double_it, .input = i};
            os_offload(&works[i].work);
        }
        for (back = 0; back < WORKS;) {
            struct os_work *w = os_offload_done();
            if (w == NULL) {
                (void)os_wait(os_mono() + SECONDS(5), events, COUNT_OF(events));
                continue;
            }
            struct counted *c = CONTAINER_OF(w, struct counted, work);
            assert_true(w->done);
            assert_int_equal(c->output, 2 * c->input);
            c->input = -1;
            back++;
        }
        for (int i = 0; i < WORKS; i++)
            assert_int_equal(works[i].input, -1);
        assert_null(os_offload_done());
        assert_int_equal(os_offload_stop(os_mono() + SECONDS(5)), 0);
    }
}

static pthread_mutex_t visits_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned visits;
static pthread_t visitors[8];

static err visit(void *arg)
{
    pthread_mutex_lock(&visits_lock);
    visitors[visits++] = pthread_self();
    bool fails = arg != NULL && visits == 2;
    pthread_mutex_unlock(&visits_lock);
    return fails ? E_IO : OK;
}

static int stick_pipe[2];
static atomic_bool has_stuck;

static void stick(struct os_work *w)
{
    char byte;
    (void)w;
    atomic_store(&has_stuck, true);
    if (read(stick_pipe[0], &byte, 1) != 1)
        abort();
}

static void each_thread_runs_it_once(void **state)
{
    (void)state;
    static struct os_work stuck = {.run = stick};
    assert_int_equal(pipe(stick_pipe), 0);
    void *stacks = mem_map(3 * mem_profile()->pool_stack_bytes);
    assert_int_equal(os_offload_boot(3, mem_profile()->pool_stack_bytes, stacks), OK);
    assert_int_equal(os_offload_each(visit, NULL, os_mono() + SECONDS(5)), OK);
    assert_int_equal(visits, 3);
    for (int i = 0; i < 3; i++)
        assert_true(!pthread_equal(visitors[i], visitors[(i + 1) % 3]) && !pthread_equal(visitors[i], pthread_self()));
    visits = 0;
    assert_int_equal(os_offload_each(visit, &visits, os_mono() + SECONDS(5)), E_IO); /* the first error, and all ran */
    assert_int_equal(visits, 3);
    os_offload(&stuck);
    for (int i = 0; i < 20000 && !atomic_load(&has_stuck); i++)
        usleep(1000);
    assert_true(has_stuck);
    for (ms span = 300; visits != 2 && span < SECONDS(60); span *= 4) { /* the other two have to have run by then */
        visits = 0;
        assert_int_equal(os_offload_each(visit, NULL, os_mono() + span), E_TIMEOUT);
        trail_clear();
    }
    assert_int_equal(visits, 2);
    assert_int_equal(write(stick_pipe[1], "x", 1), 1);
    assert_int_equal(os_offload_stop(os_mono() + SECONDS(5)), 0);
    assert_int_equal(visits, 2); /* who is late does not run it later */
    assert_ptr_equal(os_offload_done(), &stuck);
    close(stick_pipe[0]);
    close(stick_pipe[1]);
}

static void the_process_knows_its_cost(void **state)
{
    (void)state;
    struct os_process p, q;
    char name[64], theirs[64] = "", short_name[2];
    os_host_name(name, sizeof name);
    assert_int_equal(gethostname(theirs, sizeof theirs - 1), 0);
    assert_string_equal(name, theirs[0] ? theirs : "unknown");
    os_host_name(short_name, sizeof short_name);
    assert_true(strlen(short_name) == 1);
    assert_int_equal(os_process(&p), OK);
    assert_true(p.virtual_bytes >= p.rss_bytes);
    assert_true(p.rss_bytes > 0 && p.rss_anon_bytes + p.rss_file_bytes <= p.rss_bytes * 2 && p.rss_file_bytes > 0);
    assert_true(p.open_fds >= 3 && p.open_fds <= p.max_fds);
    assert_true(llabs((long long)(os_wall_ms() - p.started_wall_ms)) < 3600000);
    os_fd fd;
    assert_int_equal(os_file_open("/dev/null", OS_READ, &fd), OK);
    assert_int_equal(os_process(&q), OK);
    assert_int_equal(q.open_fds, p.open_fds + 1);
    os_file_close(fd);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int folder_remove(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void the_kernels_words_are_ours(void **state)
{
    static const struct {
        int number;
        err error;
    } rows[] = {{0, OK}, {EAGAIN, E_AGAIN}, {EDQUOT, E_NOSPACE}, {EROFS, E_READONLY}, {ENOLCK, E_UNSUPPORTED}, {EILSEQ, E_IO}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(os_err(rows[i].number), rows[i].error);
}

int main(void)
{
    if (mem_boot(&profile_hub32, MEM_LAZY) != OK || os_boot() != OK || os_boot() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernels_words_are_ours),
        cmocka_unit_test(the_wall_clock_never_reads_below_the_floor),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(a_wait_ends_at_its_time_and_not_before),
        cmocka_unit_test(a_poke_ends_a_wait_once),
        cmocka_unit_test(a_poke_before_the_wait_is_not_lost),
        cmocka_unit_test(signals_are_collected_each_once),
        cmocka_unit_test(bytes_go_over_every_kind_of_socket),
        cmocka_unit_test(listening_on_all_addresses_takes_both_families),
        cmocka_unit_test(a_second_watch_tells_anew),
        cmocka_unit_test(what_is_ignored_is_told_when_asked_again),
        cmocka_unit_test(datagrams_cross_families),
        cmocka_unit_test(a_refused_connect_says_so),
        cmocka_unit_test(files_are_written_read_and_renamed),
        cmocka_unit_test(files_are_made_truncated_and_locked_in_part),
        cmocka_unit_test(a_lock_is_for_one),
        cmocka_unit_test(a_folder_of_a_thousand_names_is_told_whole),
        cmocka_unit_test(work_comes_back_done),
        cmocka_unit_test(each_thread_runs_it_once),
        cmocka_unit_test(the_process_knows_its_cost),
        cmocka_unit_test(the_clock_goes_on_while_the_machine_sleeps),
    };
    return cmocka_run_group_tests_name("os", tests, folder_make, folder_remove);
}
